package store

import (
	"context"
	"encoding/json"
	"fmt"

	"tocsin/bridge"
	"tocsin/rules"
)

// foldShown is how many events a Fold has whole.
const foldShown = 20

// inFold is what the log says of a delivery that is folded.
const inFold = "over the endpoint's budget: it waits for the next digest"

const markFolded = `INSERT INTO kept (ep, alarm, data, folded, at) VALUES (?, ?, '', ?, ?)
	ON CONFLICT (ep, alarm) DO UPDATE SET folded = excluded.folded, at = excluded.at`

// noteFold keeps, with the outcome of a line's head, whether the episode under way
// is one that is told in digests. It begins to be one with its start, and ceases
// with its end, or when something of it may have been told by itself.
func (w *outcomes) noteFold(l *lane, ln *line, o bridge.Outcome) {
	kind := ln.items[0].class.kind()
	switch {
	case o.Fate == bridge.Released:
		return
	case o.Fate == bridge.Folded && kind == begin:
		w.folded[keptKey{l.num, ln.key()}] = ln.items[0].num
		l.keeps = true
	case ln.folded && (o.Fate != bridge.Folded || kind == end):
		w.folded[keptKey{l.num, ln.key()}] = 0
	}
}

// Fold sums up what is folded for an endpoint. What is folded from now on is of
// the next one.
func (j journal) Fold(ctx context.Context, endpoint string) (f bridge.Fold, err error) {
	d := j.d
	d.mu.Lock()
	l := d.byName[endpoint]
	if l == nil || d.ended != nil || !l.folds {
		defer d.mu.Unlock()
		return f, d.ended
	}
	last := l.fold
	l.fold++
	d.mu.Unlock()
	if err := d.flush(ctx, false); err != nil { // what is folded may not be on disk yet
		return f, fmt.Errorf("summing up what is folded for %s: %w", endpoint, err)
	}
	if err := d.countFold(ctx, l.num, last, &f); err != nil || f.Events == 0 {
		return f, err
	}
	return f, d.showFold(ctx, l.num, last, &f)
}

// ofFold are the events of what is folded at an endpoint, up to a fold. The type
// says which are of an alarm.
const ofFold = ` FROM delivery d INDEXED BY delivery_folded JOIN event e ON e.num = d.event
	WHERE d.state = 0 AND d.fold <> 0 AND d.ep = ?1 AND d.fold <= ?2 `

// newestOfFold are the newest event of each alarm among them.
const newestOfFold = `(SELECT max(e.num) AS num, coalesce(e.class, 0) AS class, e.type GLOB 'alarm.*' AS alarmed` + ofFold + `GROUP BY e.alarm)`

func (d *DB) countFold(ctx context.Context, ep, last int64, f *bridge.Fold) error {
	f.Types, f.Severity = make(map[rules.Type]int), make(map[rules.Severity]int)
	rows, err := d.read.QueryContext(ctx, `SELECT e.type, count(*), max(d.fold), min(d.at), max(d.at)`+ofFold+`GROUP BY e.type`, ep, last)
	if err != nil {
		return d.reading("what is folded", err)
	}
	err = each(rows, func() error {
		var typ rules.Type
		var n int
		var mark, first, last int64
		err := rows.Scan(&typ, &n, &mark, &first, &last)
		f.Types[typ] = n
		f.Events += n
		f.Mark = max(f.Mark, mark)
		if since := fromNanos(first); f.Since.IsZero() || since.Before(f.Since) {
			f.Since = since
		}
		if until := fromNanos(last); until.After(f.Until) {
			f.Until = until
		}
		return err
	})
	if err != nil {
		return d.reading("what is folded", err)
	}
	rows, err = d.read.QueryContext(ctx, `SELECT class, count(*) FROM `+newestOfFold+` WHERE alarmed GROUP BY class`, ep, last)
	if err != nil {
		return d.reading("what is folded", err)
	}
	return d.reading("what is folded", each(rows, func() error {
		var c class
		var n int
		err := rows.Scan(&c, &n)
		f.Alarms += n
		f.Severity[c.severity()] += n
		if c.kind() != end {
			f.Open += n
		}
		return err
	}))
}

// showFold reads some of what is folded: of each alarm the newest, the worst first.
func (d *DB) showFold(ctx context.Context, ep, last int64, f *bridge.Fold) error {
	rows, err := d.read.QueryContext(ctx, `SELECT num FROM `+newestOfFold+` ORDER BY class / ?3 DESC, num DESC LIMIT ?4`, ep, last, kinds, foldShown)
	if err != nil {
		return d.reading("what is folded", err)
	}
	var nums []int64
	err = each(rows, func() error {
		var num int64
		err := rows.Scan(&num)
		nums = append(nums, num)
		return err
	})
	if err != nil {
		return d.reading("what is folded", err)
	}
	shown := make(map[int64]rules.Event, len(nums))
	err = d.bodies(ctx, nums, func(num int64, e newest) {
		var ev rules.Event
		if json.Unmarshal(e.Data, &ev) == nil { // one that cannot be shown is counted all the same
			shown[num] = ev
		}
	})
	for _, num := range nums {
		if ev, ok := shown[num]; ok {
			f.Newest = append(f.Newest, ev)
		}
	}
	return err
}

// EndFold ends what a Fold summed up.
func (j journal) EndFold(ctx context.Context, endpoint string, mark int64, fate bridge.Fate, reason string) (n int, err error) {
	d := j.d
	d.mu.Lock()
	l := d.byName[endpoint]
	err = d.ended
	d.mu.Unlock()
	if l == nil || err != nil {
		return 0, err
	}
	l.claiming.Lock() // whoever else changes what is owed waits
	defer l.claiming.Unlock()
	for {
		list, err := d.find(ctx, `SELECT `+columnsOf("e.alarm")+ofFold+`ORDER BY d.fold, d.event LIMIT ?3`, l.num, mark, changeSlice)
		if err != nil || len(list) == 0 {
			return n, err
		}
		c := change{lane: l, state: stateOf(fate), reason: reason}
		for _, f := range list {
			c.list = append(c.list, chosen{num: f.num, size: f.size})
		}
		if err := d.changeSome(ctx, c); err != nil {
			return n, fmt.Errorf("ending what is folded for %s: %w", endpoint, err)
		}
		n += len(list)
	}
}
