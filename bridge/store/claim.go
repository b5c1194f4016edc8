package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
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

	// flushRows are written without waiting for more, where reading makes them.
	flushRows = 4096

	tailEvents = 1024    // the newest events are kept in memory, so many
	tailBytes  = 2 << 20 // and of so many bytes
)

const selectBodies = `SELECT num, id, type, alarm, at, committed, payload, told, sum FROM event
	WHERE num IN (SELECT value FROM json_each(?))`

// States yields every alarm's state, by key. No lock is held while the caller
// works on one.
func (d *DB) States(ctx context.Context, from string) iter.Seq2[rules.State, error] {
	return func(yield func(rules.State, error) bool) {
		for {
			page, err := d.statesFrom(ctx, from)
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
			from = page[len(page)-1].Key + "\x00" // the least that comes after it
		}
	}
}

func (d *DB) statesFrom(ctx context.Context, key string) (page []rules.State, err error) {
	if err := d.state(); err != nil {
		return nil, err
	}
	rows, err := d.read.QueryContext(ctx, `SELECT key, data, sum FROM alarm WHERE key >= ? ORDER BY key LIMIT 256`, key)
	if err != nil {
		return nil, d.reading("alarms", err)
	}
	err = each(rows, func() error {
		var s rules.State
		var data []byte
		var sum sql.NullInt64
		if err := rows.Scan(&key, &data, &sum); err != nil {
			return err
		}
		if sum.Valid && sum.Int64 != checksum([]byte(key), data) {
			return fmt.Errorf("alarm %s: %w", key, errDamaged)
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

// Claim leases up to ask.Limit deliveries that are due, in the order in which
// they were committed, and says when another falls due. An endpoint that was
// never committed is owed nothing. Data must not be changed.
func (d *DB) Claim(ctx context.Context, ask bridge.Ask) (due []bridge.Delivery, next time.Time, err error) {
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, fmt.Errorf("claiming for %s: %w", ask.Endpoint, err)
	}
	d.mu.Lock()
	l := d.byName[ask.Endpoint]
	err = d.ended
	d.mu.Unlock()
	if l == nil || err != nil {
		return nil, time.Time{}, err
	}
	l.claiming.Lock()
	defer l.claiming.Unlock()
	picked, next, err := d.lease(ctx, l, ask)
	if err == nil {
		due, err = d.deliveries(ctx, l, picked)
	}
	if err != nil {
		d.mu.Lock()
		for _, ln := range picked {
			d.begun.end(ln)
		}
		l.release(picked)
		d.mu.Unlock()
		return nil, time.Time{}, fmt.Errorf("claiming for %s: %w", ask.Endpoint, err)
	}
	if len(picked) > 0 {
		d.writeBegun()
	}
	if len(due) < len(picked) {
		next = time.Now() // what was not handed out may have let others through
	}
	return due, next, nil
}

// lease picks heads, and takes in from the disk as long as that brings more.
func (d *DB) lease(ctx context.Context, l *lane, ask bridge.Ask) (picked []*line, next time.Time, err error) {
	for {
		d.mu.Lock()
		now := time.Now()
		if l.state.Disabled {
			d.mu.Unlock()
			return picked, time.Time{}, nil
		}
		if len(d.next.rows) >= maxWaiting {
			d.mu.Unlock()
			return picked, now.Add(time.Second), nil
		}
		l.stale = ask.Stale
		// What is stale shows by what came later: that is looked at first.
		ahead := l.stale != bridge.StaleAll && l.behind && l.room() > 0
		if !ahead {
			before := len(picked)
			picked = l.pick(now, ask.Limit, picked, d.next.rows)
			for _, ln := range picked[before:] {
				d.begun.begin(ln, l.num)
			}
		}
		next = l.next(now)
		more := ahead || l.behind && len(picked) < ask.Limit && l.room() > 0
		flush := len(d.next.rows) >= flushRows
		d.mu.Unlock()
		if flush {
			if err := d.flush(ctx, false); err != nil && !errors.Is(err, bridge.ErrFull) {
				return picked, time.Time{}, err
			}
		}
		if !more || ctx.Err() != nil {
			return picked, next, nil
		}
		if err := d.takeIn(ctx, l); err != nil {
			return picked, time.Time{}, err
		}
	}
}

// A found is a delivery as it was read.
type found struct {
	alarm string
	item
	try
}

// takeIn reads more of what a lane is owed: what has a row, and after that what
// has none. The caller holds claiming.
func (d *DB) takeIn(ctx context.Context, l *lane) error {
	d.mu.Lock()
	limit, read, rowed := l.room(), l.read, l.rows
	from, to := l.rowsSeen, d.last
	if !rowed {
		from, to = l.seen, min(l.seen+takeInRange, d.last)
	}
	ended := d.underWay(l)
	d.mu.Unlock()

	query := `SELECT ` + columnsOf("e.alarm") + ` FROM event e
		WHERE num > ? AND num <= ? AND instr(eps, ?4) > 0
		AND NOT EXISTS (SELECT 1 FROM delivery WHERE event = e.num AND ep = ?3) ORDER BY num LIMIT ?5`
	if rowed {
		query = `SELECT ` + columnsOf("e.alarm") + `, d.attempt, d.due, d.at, d.heard, d.began, d.owed
			FROM delivery d INDEXED BY delivery_open JOIN event e ON e.num = d.event
			WHERE d.state = 0 AND d.fold = 0 AND d.ep = ?3 AND d.event > ?1 AND d.event <= ?2 AND ?4 <> '' ORDER BY d.event LIMIT ?5`
	}
	list, err := d.find(ctx, query, from, to, l.num, epToken(l.num), limit)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.read != read { // what was read is not what it was
		return nil
	}
	for _, f := range list {
		if ended[f.num] {
			continue
		}
		l.add(f.alarm, f.item, rowed, f.try, d.next.rows)
		if ln := l.lines[f.alarm]; l.stale != bridge.StaleAll && !ln.leased {
			l.unready(ln)
			l.condense(ln, d.next.rows)
			l.ready(ln)
		}
	}
	if len(list) == limit {
		to = list[limit-1].num
	}
	switch {
	case rowed && len(list) == limit:
		l.rowsSeen = to
	case rowed:
		l.rows = false
	default:
		l.seen = to
		l.behind = l.seen < d.last
		l.rewound = l.rewound && l.behind
	}
	return nil
}

// columnsOf are the columns of an item, with the alarm's key by one of its names.
// The type is there for events of an older store, which have no class.
func columnsOf(key string) string {
	return `e.num, ` + key + `, coalesce(e.class, -1), CASE WHEN e.class IS NULL THEN e.type ELSE '' END, octet_length(e.payload)`
}

// find reads deliveries: the columns of items, and with six more, tries.
func (d *DB) find(ctx context.Context, query string, args ...any) (list []found, err error) {
	rows, err := d.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, d.reading("events", err)
	}
	var f found
	var typ rules.Type
	var c, due, at, owed int64
	to := []any{&f.num, &f.alarm, &c, &typ, &f.size, &f.attempt, &due, &at, &f.heard, &f.began, &owed}
	columns, err := rows.Columns()
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	to = to[:len(columns)]
	err = each(rows, func() error {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		f.class, f.due, f.owed = classFrom(c, typ), dueBy(time.Now(), due, at), fromNanos(owed)
		list = append(list, f)
		return nil
	})
	return list, d.reading("events", err)
}

// dueBy is when a delivery is due that was put off at one time until another. If
// that time is yet to come, the clock was set back since, and nobody knows how much
// of the wait is over: it is due now, and where an answer asked for patience its
// endpoint as a whole still waits. The result has a monotonic reading, so that a
// clock that is set from now on does not move it.
func dueBy(now time.Time, due, at int64) time.Time {
	if due == 0 || at > nanos(now) {
		return time.Time{}
	}
	return now.Add(time.Duration(due - nanos(now)))
}

// underWay are events that a lane which reads again must not take for owed: what
// the disk says of them is behind, or will be. The caller holds mu.
func (d *DB) underWay(l *lane) map[int64]bool {
	if !l.rewound {
		return nil
	}
	nums := make(map[int64]bool)
	for num := range l.leased {
		nums[num] = true
	}
	for _, rows := range []map[rowKey]row{d.next.rows, d.flying.rows} {
		for key, r := range rows {
			if key.ep == l.num && (r.state != stateOpen || r.fold != 0) {
				nums[key.event] = true
			}
		}
	}
	return nums
}

// deliveries gives the leased heads their bodies, and what is kept for their
// alarms.
func (d *DB) deliveries(ctx context.Context, l *lane, picked []*line) ([]bridge.Delivery, error) {
	if len(picked) == 0 {
		return nil, nil
	}
	d.mu.Lock()
	slices.SortFunc(picked, func(a, b *line) int { return cmp.Compare(a.items[0].num, b.items[0].num) })
	nums := make([]int64, len(picked)) // of the heads: what waits behind one may grow meanwhile
	for i, ln := range picked {
		nums[i] = ln.items[0].num
	}
	d.mu.Unlock()
	events, err := d.events(ctx, l, nums)
	if err != nil {
		return nil, err
	}
	due := make([]bridge.Delivery, len(picked))
	d.mu.Lock()
	for i, ln := range picked {
		ln.told = events[i].told
		due[i] = events[i].Delivery
		due[i].Event, due[i].Endpoint, due[i].Attempt = nums[i], l.name, ln.attempt
		if !ln.owed.IsZero() {
			due[i].Owed = ln.owed
		}
	}
	d.mu.Unlock()
	if err := d.tellWhole(ctx, picked, due); err != nil {
		return nil, err
	}
	untold, err := d.addKept(ctx, l, picked, due)
	if err != nil {
		return nil, err
	}
	return d.dropUnheard(l, picked, due, untold), nil // only now: what was picked can be given back no more
}

// events are those of leased heads: from memory as far as they are there, and
// otherwise read, with some that come next.
func (d *DB) events(ctx context.Context, l *lane, nums []int64) ([]newest, error) {
	all := make([]newest, len(nums))
	missing := make(map[int64]int) // where they belong
	var read []int64
	d.mu.Lock()
	for i, num := range nums {
		var ok bool
		if all[i], ok = d.tail.events[num]; ok {
			continue
		}
		if all[i], ok = l.ahead.take(num); !ok {
			missing[num] = i
			read = append(read, num)
		}
	}
	if len(read) > 0 {
		read = append(read, l.ahead.plan(len(read), l.fresh, l.leased, d.tail.events)...)
	}
	d.mu.Unlock()
	ahead := make(map[int64]newest, len(read)-len(missing))
	if err := d.bodies(ctx, read, func(num int64, e newest) {
		if i, ok := missing[num]; ok {
			all[i] = e
			delete(missing, num)
		} else {
			ahead[num] = e
		}
	}); err != nil {
		return nil, err
	}
	for num := range missing {
		return nil, fmt.Errorf("event %d is owed and is not in the store; it was deleted by another program", num)
	}
	if len(read) > 0 {
		d.mu.Lock()
		l.ahead.events = ahead
		d.mu.Unlock()
	}
	return all, nil
}

// bodies reads events.
func (d *DB) bodies(ctx context.Context, nums []int64, to func(num int64, e newest)) error {
	if len(nums) == 0 {
		return nil
	}
	rows, err := d.selectBodies.QueryContext(ctx, numList(nums))
	if err != nil {
		return d.reading("events", err)
	}
	return d.reading("events", each(rows, func() error {
		var num, at, committed int64
		var e newest
		var sum sql.NullInt64
		if err := rows.Scan(&num, &e.ID, &e.Type, &e.Alarm, &at, &committed, &e.Data, &e.told, &sum); err != nil {
			return err
		}
		if sum.Valid && sum.Int64 != checksumOf(num, e.ID, string(e.Type), e.Alarm, e.told, at, e.Data) {
			return fmt.Errorf("event %d: %w", num, errDamaged)
		}
		e.At, e.Owed = fromNanos(at), fromNanos(committed)
		to(num, e)
		return nil
	}))
}

// A tail keeps the newest events, so that what has just been committed is
// delivered without being read again.
type tail struct {
	events map[int64]newest
	order  []int64
	bytes  int
}

// A newest is an event as it is delivered; Event, Endpoint and Attempt are not set.
type newest struct {
	bridge.Delivery
	told string // the alarm's key for receivers, where it is another
}

func (t *tail) put(e *newEvent, committed time.Time) {
	if t.events == nil {
		t.events = make(map[int64]newest)
	}
	t.events[e.num] = newest{told: e.told, Delivery: bridge.Delivery{
		ID: e.id, Alarm: e.alarm, Type: e.typ, At: fromNanos(nanos(e.at)), Data: e.data, Owed: fromNanos(nanos(committed)),
	}}
	t.order = append(t.order, e.num)
	t.bytes += len(e.data)
	for len(t.order) > tailEvents || t.bytes > tailBytes {
		t.bytes -= len(t.events[t.order[0]].Data)
		delete(t.events, t.order[0])
		t.order = t.order[1:]
	}
}
