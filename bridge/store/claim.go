package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

const (
	// maxWaiting outcomes may wait for the disk; with more, nothing is leased.
	maxWaiting = 32768

	tailEvents = 1024    // the newest events are kept in memory, so many
	tailBytes  = 2 << 20 // and of so many bytes
)

const selectBodies = `SELECT num, id, type, alarm, at, committed, payload FROM event
	WHERE num IN (SELECT value FROM json_each(?))`

// States yields every alarm's state, by key. No lock is held while the caller
// works on one.
func (d *DB) States(ctx context.Context) iter.Seq2[rules.State, error] {
	return func(yield func(rules.State, error) bool) {
		after := ""
		for {
			page, err := d.statesAfter(ctx, after)
			if err != nil {
				yield(rules.State{}, err)
				return
			}
			for _, s := range page {
				if !yield(s, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
			after = page[len(page)-1].Key
		}
	}
}

func (d *DB) statesAfter(ctx context.Context, key string) (page []rules.State, err error) {
	if err := d.state(); err != nil {
		return nil, err
	}
	rows, err := d.read.QueryContext(ctx, `SELECT key, data FROM alarm WHERE key > ? ORDER BY key LIMIT 256`, key)
	if err != nil {
		return nil, d.reading("alarms", err)
	}
	err = each(rows, func() error {
		var s rules.State
		var data []byte
		if err := rows.Scan(&key, &data); err != nil {
			return err
		}
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("alarm %s: %w", key, err)
		}
		s.Key = key
		page = append(page, s)
		return nil
	})
	return page, d.reading("alarms", err)
}

// Claim leases up to limit deliveries that are due, in the order in which they
// were committed, and says when another falls due. An endpoint that was never
// committed is owed nothing. Data must not be changed.
func (d *DB) Claim(ctx context.Context, endpoint string, limit int) (due []bridge.Delivery, next time.Time, err error) {
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, fmt.Errorf("claiming for %s: %w", endpoint, err)
	}
	d.mu.Lock()
	l := d.byName[endpoint]
	err = d.ended
	d.mu.Unlock()
	if l == nil || err != nil {
		return nil, time.Time{}, err
	}
	l.claiming.Lock()
	defer l.claiming.Unlock()
	picked, next, err := d.lease(ctx, l, limit)
	if err == nil {
		due, err = d.deliveries(ctx, l, picked)
	}
	if err != nil {
		d.mu.Lock()
		l.release(picked)
		d.mu.Unlock()
		return nil, time.Time{}, fmt.Errorf("claiming for %s: %w", endpoint, err)
	}
	return due, next, nil
}

// lease picks heads, and takes in from the disk as long as that brings more.
func (d *DB) lease(ctx context.Context, l *lane, limit int) (picked []*line, next time.Time, err error) {
	for {
		d.mu.Lock()
		now := time.Now()
		if l.state.Disabled {
			d.mu.Unlock()
			return picked, time.Time{}, nil
		}
		if len(d.rows) >= maxWaiting {
			d.mu.Unlock()
			return picked, now.Add(time.Second), nil
		}
		picked = l.pick(now, limit, picked)
		next = l.next(now)
		more := l.behind && len(picked) < limit && l.room() > 0
		d.mu.Unlock()
		if !more {
			return picked, next, nil
		}
		if err := d.takeIn(ctx, l); err != nil {
			return picked, time.Time{}, err
		}
	}
}

// takeIn reads the next events for a lane that is behind.
func (d *DB) takeIn(ctx context.Context, l *lane) error {
	d.mu.Lock()
	from, to, limit := l.seen, min(l.seen+takeInRange, d.last), l.room()
	d.mu.Unlock()
	type found struct {
		num   int64
		alarm string
	}
	var list []found
	rows, err := d.read.QueryContext(ctx, `SELECT num, alarm FROM event e
		WHERE num > ? AND num <= ? AND instr(eps, ?) > 0
		AND NOT EXISTS (SELECT 1 FROM delivery WHERE event = e.num AND ep = ?)
		ORDER BY num LIMIT ?`, from, to, epToken(l.num), l.num, limit)
	if err != nil {
		return d.reading("events", err)
	}
	err = each(rows, func() error {
		var f found
		err := rows.Scan(&f.num, &f.alarm)
		list = append(list, f)
		return err
	})
	if err != nil {
		return d.reading("events", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range list {
		if l.add(f.num, f.alarm) {
			d.rows[rowKey{f.num, l.num}] = row{state: stateOpen}
		}
	}
	l.seen = to
	if len(list) == limit {
		l.seen = list[limit-1].num
	}
	l.behind = l.seen < d.last
	return nil
}

// deliveries gives the leased heads their bodies.
func (d *DB) deliveries(ctx context.Context, l *lane, picked []*line) ([]bridge.Delivery, error) {
	if len(picked) == 0 {
		return nil, nil
	}
	due := make([]bridge.Delivery, len(picked))
	byNum := make(map[int64]*bridge.Delivery)
	var missing []int64
	d.mu.Lock()
	slices.SortFunc(picked, func(a, b *line) int { return int(a.nums[0] - b.nums[0]) })
	for i, ln := range picked {
		e, ok := d.tail.events[ln.nums[0]]
		due[i] = e
		due[i].Event, due[i].Endpoint, due[i].Attempt = ln.nums[0], l.name, ln.attempt
		if !ok {
			missing = append(missing, ln.nums[0])
			byNum[ln.nums[0]] = &due[i]
		}
	}
	d.mu.Unlock()
	if len(missing) == 0 {
		return due, nil
	}
	rows, err := d.bodies.QueryContext(ctx, numList(missing))
	if err != nil {
		return nil, d.reading("events", err)
	}
	err = each(rows, func() error {
		var num, at, committed int64
		var e bridge.Delivery
		if err := rows.Scan(&num, &e.ID, &e.Type, &e.Alarm, &at, &committed, &e.Data); err != nil {
			return err
		}
		to := byNum[num]
		to.ID, to.Type, to.Alarm, to.Data = e.ID, e.Type, e.Alarm, e.Data
		to.At, to.Owed = fromNanos(at), fromNanos(committed)
		delete(byNum, num)
		return nil
	})
	if err != nil {
		return nil, d.reading("events", err)
	}
	for num := range byNum {
		return nil, fmt.Errorf("event %d is owed and is not in the store; it was deleted by another program", num)
	}
	return due, nil
}

// A tail keeps the newest events, so that what has just been committed is
// delivered without being read again.
type tail struct {
	events map[int64]bridge.Delivery // Event, Endpoint and Attempt are not set
	order  []int64
	bytes  int
}

func (t *tail) put(e *newEvent, committed time.Time) {
	if t.events == nil {
		t.events = make(map[int64]bridge.Delivery)
	}
	t.events[e.num] = bridge.Delivery{
		ID: e.id, Alarm: e.alarm, Type: e.typ, At: fromNanos(nanos(e.at)), Data: e.data, Owed: fromNanos(nanos(committed)),
	}
	t.order = append(t.order, e.num)
	t.bytes += len(e.data)
	for len(t.order) > tailEvents || t.bytes > tailBytes {
		t.bytes -= len(t.events[t.order[0]].Data)
		delete(t.events, t.order[0])
		t.order = t.order[1:]
	}
}
