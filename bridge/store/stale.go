package store

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// condense takes out of a line what its lane's mode does not send. What stays is
// in order, and never nothing. It is decided where a delivery is about to be
// handed out and written down with the next outcomes, all of it in one
// transaction: a crash before that finds everything as it was, and decides again
// by what is there then. The line is in no heap.
func (l *lane) condense(ln *line, rows map[rowKey]row) {
	if len(ln.items) < 2 {
		return
	}
	var stale []int // where the items are that go, ascending
	switch l.stale {
	case bridge.StaleLatest:
		stale = ln.older()
	case bridge.StaleCollapse:
		stale = l.collapse(ln, rows)
	}
	if len(stale) == 0 {
		return
	}
	head, now := ln.items[0].num, time.Now()
	keep := ln.items[:0]
	for i, it := range ln.items {
		if len(stale) == 0 || stale[0] != i {
			keep = append(keep, it)
			continue
		}
		stale = stale[1:]
		t := l.tryOf(ln, i)
		delete(l.tried, it.num)
		rows[rowKey{it.num, l.num}] = row{state: stateSuperseded, attempt: t.attempt, heard: t.heard, began: t.began, at: now}
		l.owed--
		l.held--
		l.bytes -= int64(it.size)
	}
	ln.items = keep
	if first := ln.items[0].num; first != head {
		ln.try = l.takeTry(first)
	}
}

func (l *lane) tryOf(ln *line, i int) try {
	if i == 0 {
		return ln.try
	}
	return l.tried[ln.items[i].num]
}

// older are the items before the newest one that tells a state.
func (ln *line) older() (stale []int) {
	newest := -1
	for i, it := range ln.items {
		if k := it.class.kind(); k >= state {
			newest = i
		}
	}
	for i := 0; i < newest; i++ {
		if ln.items[i].class.kind() != apart {
			stale = append(stale, i)
		}
	}
	return stale
}

// collapse finds episodes that began and ended unheard. The event that ended one
// carries it whole from now on, and says so on disk; the others go.
func (l *lane) collapse(ln *line, rows map[rowKey]row) (stale []int) {
	began := -1
	for i, it := range ln.items {
		switch k := it.class.kind(); {
		case k == begin && !l.tryOf(ln, i).heard:
			began = i
		case k == begin:
			began = -1
		case k == end && began >= 0 && l.tryOf(ln, i).began == 0:
			for j := began; j < i; j++ {
				if ln.items[j].class.kind() != apart {
					stale = append(stale, j)
				}
			}
			t := l.tried[it.num]
			t.began = ln.items[began].num
			l.tried[it.num] = t
			if !ln.rowed { // rows that are there say what was heard
				l.setAside(ln, ln.items, rows)
			}
			rows[rowKey{it.num, l.num}] = row{state: stateOpen, attempt: t.attempt, due: t.due, heard: t.heard, began: t.began}
			began = -1
		case k == end:
			began = -1
		}
	}
	return stale
}

// tellWhole makes one event of those whose delivery stands for a whole episode.
// It is made of the two that are stored, so it is the same in every attempt.
func (d *DB) tellWhole(ctx context.Context, picked []*line, due []bridge.Delivery) error {
	var nums []int64
	for _, ln := range picked {
		if ln.began != 0 {
			nums = append(nums, ln.began)
		}
	}
	first := make(map[int64]newest, len(nums))
	if err := d.bodies(ctx, nums, func(num int64, e newest) { first[num] = e }); err != nil {
		return err
	}
	for i, ln := range picked {
		if e, ok := first[ln.began]; ok {
			if err := whole(&due[i], e.ID, e.Data); err != nil {
				return fmt.Errorf("event %d: %w", due[i].Event, err)
			}
		}
	}
	return nil
}

// whole makes the end of an episode the whole of it.
func whole(d *bridge.Delivery, beganID string, beganData []byte) error {
	var began, ended rules.Event
	if err := json.Unmarshal(beganData, &began); err != nil {
		return err
	}
	if err := json.Unmarshal(d.Data, &ended); err != nil {
		return err
	}
	ev := ended
	ev.ID, ev.Type, ev.EndedAt = wholeID(beganID, d.ID), rules.AlarmOccurred, &ended.At
	ev.Alarm.Severity = max(began.Alarm.Severity, ended.Alarm.Severity)
	ev.Condition, ev.Evidence = began.Condition, began.Evidence
	ev.Because = "it began and ended before it could be told: " + began.Because + "; then " + ended.Because
	data, err := ev.AppendJSON(nil)
	d.ID, d.Type, d.Data = ev.ID, ev.Type, data
	return err
}

// wholeID is the id of an episode that is told as one event: by what it was made of.
func wholeID(began, ended string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "whole %d %s%s", len(began), began, ended))
	return "evt_" + base32.StdEncoding.EncodeToString(sum[:15])
}
