package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

const (
	parkRows   = 2048
	parkAlarms = 100_000 // that are looked at for episodes at a time

	// parkPause is how long a lane is left alone when not enough may be dropped.
	parkPause = time.Minute

	noRoom = "dropped: the endpoint's backlog is full (limits.backlog)"
)

// Bound drops from what an endpoint is owed until that is a tenth below the
// bounds, if it is above one. It goes by worth, from the least on, and within
// that by age:
//
//  1. remarks, readings, devices that come and go: what is nobody's alarm;
//  2. episodes that are over, from their beginning to their end;
//  3. alarms that fire, and then those that fire and are critical.
//
// What may have been heard is not dropped, and neither is the end of an episode
// whose beginning was: a receiver that was told of an alarm is told how it ended.
// The end of an episode that was dropped is dropped when its turn comes.
func (j journal) Bound(ctx context.Context, endpoint string, b bridge.Bounds) (dropped int, err error) {
	d := j.d
	d.mu.Lock()
	l := d.byName[endpoint]
	err = d.ended
	if l == nil || err != nil {
		d.mu.Unlock()
		return 0, err
	}
	over := excess(l.record, b, false) && time.Now().After(l.parked)
	d.mu.Unlock()
	if !over {
		return 0, nil
	}
	l.claiming.Lock()
	defer l.claiming.Unlock()
	p := &parking{choice: choice{d: d, l: l, discard: true, s: bridge.Selection{Endpoint: endpoint}}, bounds: b}
	if err := p.hold(ctx); err != nil {
		return 0, err
	}
	before := p.record().dropped
	for _, pass := range []func(context.Context) error{p.dropRemarks, p.dropEpisodes} {
		if err := pass(ctx); err != nil {
			return p.record().dropped - before, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if excess(l.record, b, true) {
		l.parked = time.Now().Add(parkPause)
	}
	return l.dropped - before, nil
}

// excess reports whether a lane is owed too much; lower means above the line down
// to which is dropped.
func excess(r record, b bridge.Bounds, lower bool) bool {
	bytes, count := b.Bytes, int64(b.Count)
	if lower {
		bytes, count = bytes-bytes/10, count-count/10
	}
	return b.Bytes > 0 && r.bytes > bytes || b.Count > 0 && int64(r.owed) > count
}

// A parking makes room in one lane. The lane is held meanwhile.
type parking struct {
	choice
	bounds bridge.Bounds
	list   []chosen
	untold map[string]int64 // by alarm: what began an episode under way that is dropped
	bytes  int64            // of list
}

func (p *parking) record() record {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	return p.l.record
}

// enough reports whether what is dropped, with what is about to be, makes room.
func (p *parking) enough() bool {
	r := p.record()
	r.owed -= len(p.list)
	r.bytes -= p.bytes
	return !excess(r, p.bounds, true)
}

func (p *parking) drop(items ...chosen) {
	for _, it := range items {
		p.list = append(p.list, it)
		p.bytes += int64(it.size)
	}
}

func (p *parking) write(ctx context.Context) error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortFunc(p.list, func(a, b chosen) int { return cmp.Compare(a.num, b.num) })
	c := change{lane: p.l, list: p.list, state: stateDropped, reason: noRoom, untold: p.untold}
	if err := p.d.changeSome(ctx, c); err != nil {
		return err
	}
	if len(p.untold) > 0 {
		p.d.mu.Lock()
		p.l.keeps = true
		p.d.mu.Unlock()
	}
	p.list, p.untold, p.bytes = nil, nil, 0
	return nil
}

// scan goes through what is owed, the oldest first, until see says that it has
// seen enough.
func (p *parking) scan(ctx context.Context, see func(found) (done bool, err error)) error {
	last := p.d.newestEvent()
	for after := p.from; after < last; {
		to := min(after+takeInRange, last)
		page, err := p.d.find(ctx, `SELECT `+columnsOf(`CASE e.told WHEN '' THEN e.alarm ELSE e.told END`)+`,
			coalesce(d.attempt, 0), 0, 0, coalesce(d.heard, 0), coalesce(d.began, 0)
			FROM event e LEFT JOIN delivery d ON d.event = e.num AND d.ep = ?1
			WHERE e.num > ?2 AND e.num <= ?3 AND instr(e.eps, ?4) > 0 AND coalesce(d.state, 0) = 0 ORDER BY e.num LIMIT ?5`,
			p.l.num, after, to, epToken(p.l.num), parkRows)
		if err != nil {
			return err
		}
		for _, f := range page {
			if done, err := see(f); done || err != nil {
				return err
			}
		}
		if after = to; len(page) == parkRows {
			after = page[parkRows-1].num
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// some writes what is to be dropped when it is a slice, or enough.
func (p *parking) some(ctx context.Context) (done bool, err error) {
	if len(p.list) < changeSlice && !p.enough() {
		return false, nil
	}
	err = p.write(ctx)
	return p.enough(), err
}

func (p *parking) dropRemarks(ctx context.Context) error {
	err := p.scan(ctx, func(f found) (bool, error) {
		if f.class.kind() > remark || f.heard || p.leased[f.num] {
			return false, nil
		}
		p.drop(chosen{num: f.num, size: f.size})
		return p.some(ctx)
	})
	if err != nil {
		return err
	}
	return p.write(ctx)
}

// An episode is what is owed of one, from its beginning on.
type episode struct {
	alarm string
	items []chosen
	worst rules.Severity
}

// dropEpisodes drops those that are over, and then, if that is not enough, those
// under way.
func (p *parking) dropEpisodes(ctx context.Context) error {
	if p.enough() {
		return nil
	}
	open := make(map[string]*episode)
	dropped, err := p.d.allUntold(ctx, p.l)
	if err != nil {
		return err
	}
	err = p.scan(ctx, func(f found) (bool, error) {
		e := open[f.alarm]
		it := chosen{num: f.num, size: f.size}
		since, was := dropped[f.alarm]
		if was = was && f.num > since; was && f.class.kind() == begin {
			delete(dropped, f.alarm)
			was = false
		}
		switch kind := f.class.kind(); {
		case was && kind != apart && !p.leased[f.num] && !f.heard:
			p.drop(it) // what is left of an episode that was dropped before
		case p.leased[f.num] || f.heard:
			delete(open, f.alarm)
			return false, nil
		case kind == begin:
			if len(open) < parkAlarms {
				open[f.alarm] = &episode{alarm: f.alarm, items: []chosen{it}, worst: f.class.severity()}
			}
			return false, nil
		case kind == end && f.began != 0: // it is an episode by itself
			p.drop(it)
		case kind == end && e != nil:
			p.drop(append(e.items, it)...)
			delete(open, f.alarm)
		case kind == state && e != nil:
			e.items = append(e.items, it)
			e.worst = max(e.worst, f.class.severity())
			return false, nil
		default:
			return false, nil
		}
		return p.some(ctx)
	})
	if err != nil {
		return err
	}
	if err := p.write(ctx); err != nil || p.enough() {
		return err
	}
	return p.dropFiring(ctx, open)
}

func (p *parking) dropFiring(ctx context.Context, open map[string]*episode) error {
	var firing []*episode
	for _, e := range open {
		firing = append(firing, e)
	}
	critical := func(e *episode) int {
		if e.worst >= rules.Critical {
			return 1
		}
		return 0
	}
	slices.SortFunc(firing, func(a, b *episode) int {
		return cmp.Or(critical(a)-critical(b), cmp.Compare(a.items[0].num, b.items[0].num))
	})
	for _, e := range firing {
		p.drop(e.items...)
		if p.untold == nil {
			p.untold = make(map[string]int64)
		}
		p.untold[e.alarm] = e.items[0].num
		if done, err := p.some(ctx); done || err != nil {
			return err
		}
	}
	return p.write(ctx)
}

const markUntold = `INSERT INTO kept (ep, alarm, data, untold, at) VALUES (?, ?, '', ?, ?)
	ON CONFLICT (ep, alarm) DO UPDATE SET untold = excluded.untold, at = excluded.at`

// putUntold notes which episodes an endpoint will not hear the end of.
func (w *writer) putUntold(ctx context.Context, ep int64, untold map[string]int64, now time.Time) error {
	for alarm, num := range untold {
		if _, err := w.conn.ExecContext(ctx, markUntold, ep, alarm, num, nanos(now)); err != nil {
			return fmt.Errorf("noting what %s was not told: %w", alarm, err)
		}
	}
	return nil
}

// dropUnheard takes from what is handed out that which goes on about an episode
// whose beginning was dropped, and ends it as dropped too. A new beginning is
// told.
func (d *DB) dropUnheard(l *lane, picked []*line, due []bridge.Delivery, untold map[string]int64) []bridge.Delivery {
	if len(untold) == 0 {
		return due
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	told := due[:0]
	for i, ln := range picked {
		it, began := ln.items[0], untold[ln.key()]
		kind := it.class.kind()
		unheard := began != 0 && it.num > began && !ln.heard && (kind == remark || kind == state || kind == end)
		if began != 0 && it.num >= began && (kind == end || kind == begin) {
			d.next.told[keptKey{l.num, ln.key()}] = true
		}
		if !unheard {
			told = append(told, due[i])
			continue
		}
		d.begun.end(ln)
		delete(l.leased, it.num)
		ln.leased = false
		d.next.rows[rowKey{it.num, l.num}] = row{state: stateDropped, attempt: ln.attempt, err: noRoom, at: now}
		l.dropped++
		l.drop(ln)
	}
	if len(told) < len(picked) {
		signal(d.soon)
	}
	return told
}
