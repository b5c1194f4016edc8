package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"tocsin/bridge"
)

// changeSlice deliveries are changed in one transaction: a commit waits for one
// slice at most.
const changeSlice = 512

// Replay makes deliveries that have ended owed again.
func (j journal) Replay(ctx context.Context, s bridge.Selection) (n int, err error) {
	return j.d.change(ctx, s, false)
}

// Discard ends what is owed as cancelled.
func (j journal) Discard(ctx context.Context, s bridge.Selection) (n int, err error) {
	return j.d.change(ctx, s, true)
}

// A change is a slice of deliveries that are replayed, or ended.
type change struct {
	lane   *lane
	list   []chosen
	replay bool
	state  int // into which they end
	reason string
	untold map[string]int64 // see parking
}

// A chosen is a delivery that is to be changed.
type chosen struct {
	num   int64
	size  int32
	state int // as it was
}

// change does what an operator wants done with an endpoint's deliveries. It
// holds the lane: nothing is leased meanwhile, and what is leased is left alone.
func (d *DB) change(ctx context.Context, s bridge.Selection, discard bool) (n int, err error) {
	d.mu.Lock()
	l := d.byName[s.Endpoint]
	err = d.ended
	d.mu.Unlock()
	if l == nil || err != nil {
		return 0, err
	}
	c := &choice{d: d, l: l, s: s, discard: discard, seed: maphash.MakeSeed()}
	if err := c.bounds(ctx); err != nil {
		return 0, err
	}
	l.claiming.Lock()
	defer l.claiming.Unlock()
	if err := c.hold(ctx); err != nil {
		return 0, err
	}
	reason := cmp.Or(s.Reason, "discarded")
	return n, c.each(ctx, func(list []chosen) error {
		if !s.OnlySay {
			if err := d.changeSome(ctx, change{lane: l, list: list, replay: !discard, state: stateCancelled, reason: reason}); err != nil {
				return err
			}
		}
		n += len(list)
		return nil
	})
}

func (d *DB) changeSome(ctx context.Context, c change) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	ctx = context.WithoutCancel(ctx)
	if err := d.recover(ctx); err != nil {
		return err
	}
	return d.write(ctx, &work{changes: []change{c}, cursors: true})
}

// hold lets the lane forget everything but what is leased, once all that it knew
// is on disk. The caller holds claiming, so that it stays so.
func (c *choice) hold(ctx context.Context) error {
	d, l := c.d, c.l
	for {
		if err := d.flush(ctx, false); err != nil {
			return err
		}
		d.mu.Lock()
		c.leased = make(map[int64]bool, len(l.leased))
		for num := range l.leased {
			c.leased[num] = true
		}
		waits := false
		for key := range d.next.rows {
			waits = waits || key.ep == l.num
		}
		if !waits && !c.s.OnlySay {
			l.rewind(d.last, nil)
			l.behead()
		}
		at, newest := l.settled(d.last), d.last
		d.mu.Unlock()
		if waits && !c.s.OnlySay {
			continue // outcomes of what was under way have come meanwhile
		}
		first, err := d.firstOwed(ctx, l.num, at, newest)
		if err != nil {
			return err
		}
		if c.discard {
			c.from = max(c.from, first-1)
		}
		return c.passOver(ctx, at, newest)
	}
}

// passOver moves a lane that was emptied past events that are not owed to it
// without a row: what comes later is known to be in order then, and need not be
// looked for again (see keepOrder).
func (c *choice) passOver(ctx context.Context, at, newest int64) error {
	if c.s.OnlySay {
		return nil
	}
	var first sql.NullInt64
	err := c.d.read.QueryRowContext(ctx, `SELECT min(num) FROM (SELECT num FROM event e WHERE num > ?1 AND num <= ?2 AND instr(eps, ?3) > 0
		AND NOT EXISTS (SELECT 1 FROM delivery WHERE event = e.num AND ep = ?4) ORDER BY num LIMIT 1)`,
		at, newest, epToken(c.l.num), c.l.num).Scan(&first)
	if err != nil {
		return c.d.reading("events", err)
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.l.seen = newest
	if first.Valid {
		c.l.seen = first.Int64 - 1
	}
	return nil
}

// run writes a change.
func (c *change) run(ctx context.Context, w *writer, k *work) error {
	nums := make([]int64, len(c.list))
	var by record
	for i, it := range c.list {
		nums[i] = it.num
		by.owed++
		by.bytes += int64(it.size)
		if it.state == stateDead {
			by.dead--
		}
	}
	if c.replay {
		k.move(c.lane, by)
		return w.replay(ctx, c.lane, nums, k.records[c.lane].cursor, k.committed)
	}
	by.owed, by.bytes = -by.owed, -by.bytes
	switch c.state {
	case stateDropped:
		by.dropped = len(c.list)
	case stateDead:
		by.dead = len(c.list)
	}
	k.move(c.lane, by)
	for _, num := range nums {
		if _, err := w.settle.ExecContext(ctx, num, c.lane.num, c.state, c.reason, nanos(k.committed)); err != nil {
			return fmt.Errorf("ending the delivery of event %d: %w", num, err)
		}
	}
	return w.putUntold(ctx, c.lane.num, c.untold, k.committed)
}

// replay opens rows again. What was accepted becomes one of the attempts.
func (w *writer) replay(ctx context.Context, l *lane, nums []int64, cursor int64, now time.Time) error {
	list := numList(nums)
	for _, s := range []struct {
		text string
		args []any
	}{
		{`INSERT OR IGNORE INTO attempt (event, ep, n, at, took, status, error, timings, answer, cut)
			SELECT event, ep, prior + attempt, at, took, status, error, timings, answer, cut FROM delivery
			WHERE ep = ?1 AND state = 1 AND event IN (SELECT value FROM json_each(?2))`, []any{l.num, list}},
		{`UPDATE delivery SET heard = max(heard, state = 1), prior = prior + attempt, attempt = 0, state = 0, due = 0, owed = ?3,
			took = 0, timings = '', answer = x'', cut = 0, fold = 0
			WHERE ep = ?1 AND event IN (SELECT value FROM json_each(?2))`, []any{l.num, list, nanos(now)}},
	} {
		if _, err := w.conn.ExecContext(ctx, s.text, s.args...); err != nil {
			return fmt.Errorf("making deliveries owed again: %w", err)
		}
	}
	return w.keepOrder(ctx, l.num, nums, cursor)
}

// keepOrder gives a row to what is owed before one of these events, which have
// one, and is of the same alarm: without it, it would be handed out after them.
func (w *writer) keepOrder(ctx context.Context, ep int64, nums []int64, cursor int64) error {
	last := slices.Max(nums)
	if last <= cursor {
		return nil
	}
	if _, err := w.conn.ExecContext(ctx, `INSERT INTO delivery (event, ep, state, attempt, due, status, error, at)
		SELECT num, ?1, 0, 0, 0, 0, '', 0 FROM event e WHERE num > ?3 AND num < ?4 AND instr(eps, ?5) > 0
		AND alarm IN (SELECT alarm FROM event WHERE num > ?3 AND num IN (SELECT value FROM json_each(?2)))
		AND NOT EXISTS (SELECT 1 FROM delivery WHERE event = e.num AND ep = ?1)`,
		ep, numList(nums), cursor, last, epToken(ep)); err != nil {
		return fmt.Errorf("keeping the order of an alarm: %w", err)
	}
	return nil
}

// A choice goes through the deliveries that a selection means.
type choice struct {
	d        *DB
	l        *lane
	s        bridge.Selection
	discard  bool
	leased   map[int64]bool
	seed     maphash.Seed
	from, to int64 // events of this range, without from
}

func (c *choice) bounds(ctx context.Context) (err error) {
	c.to = math.MaxInt64 - 1
	if !c.s.Since.IsZero() {
		if c.from, err = c.d.firstSince(ctx, c.s.Since); err != nil {
			return err
		}
		c.from--
	}
	if !c.s.Until.IsZero() {
		if c.to, err = c.d.firstSince(ctx, c.s.Until); err != nil {
			return err
		}
		c.to--
	}
	return nil
}

// each hands out what is chosen, a slice at a time, the oldest first.
func (c *choice) each(ctx context.Context, do func([]chosen) error) error {
	var newest map[uint64]int64
	if c.s.Latest {
		var err error
		if newest, err = c.newest(ctx); err != nil {
			return err
		}
	}
	for after := c.from; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, last, err := c.page(ctx, after)
		if err != nil {
			return err
		}
		var list []chosen
		for _, f := range page {
			isNewest := newest[c.hash(f.alarm)] == f.num
			if !c.leased[f.num] && (!c.s.Latest || isNewest != c.discard) {
				list = append(list, chosen{num: f.num, size: f.size, state: f.attempt})
			}
		}
		if len(list) > 0 {
			if err := do(list); err != nil {
				return err
			}
		}
		if last == 0 {
			return nil
		}
		after = last
	}
}

// newest finds the newest delivery of each alarm that tells more than a remark.
func (c *choice) newest(ctx context.Context) (map[uint64]int64, error) {
	nums := make(map[uint64]int64)
	for after := c.from; ; {
		page, last, err := c.page(ctx, after)
		if err != nil {
			return nil, err
		}
		for _, f := range page {
			if f.class.kind() != remark {
				nums[c.hash(f.alarm)] = f.num
			}
		}
		if last == 0 {
			return nums, nil
		}
		after = last
	}
}

// hash stands for an alarm's key where many are held.
func (c *choice) hash(key string) uint64 { return maphash.String(c.seed, key) }

// page reads a slice of what the selection means, but for Latest, and where the
// next begins, 0 for nowhere. The state comes in the place of the attempts.
func (c *choice) page(ctx context.Context, after int64) (page []found, last int64, err error) {
	columns := `SELECT ` + columnsOf("e.alarm") + `, coalesce(d.state, 0) FROM `
	const selected = ` AND instr(e.eps, ?6) > 0 AND (?4 = '' OR e.id = ?4) AND (?5 = '' OR CASE e.told WHEN '' THEN e.alarm ELSE e.told END = ?5)
		ORDER BY e.num LIMIT ?7`
	limit, to := changeSlice, c.to
	var query string
	switch {
	case c.discard:
		to = min(to, after+takeInRange)
		query = columns + `event e LEFT JOIN delivery d ON d.event = e.num AND d.ep = ?1 WHERE e.num > ?2 AND e.num <= ?3
			AND coalesce(d.state, 0) = 0` + selected
	case c.s.Dead:
		query = columns + `delivery d INDEXED BY delivery_dead JOIN event e ON e.num = d.event
			WHERE d.state = 2 AND d.ep = ?1 AND d.event > ?2 AND d.event <= ?3` + selected
	default:
		to = min(to, after+takeInRange)
		query = columns + `delivery d JOIN event e ON e.num = d.event
			WHERE d.state <> 0 AND d.ep = ?1 AND d.event > ?2 AND d.event <= ?3` + selected
	}
	page, err = c.d.find(ctx, query, c.l.num, after, to, c.s.ID, c.s.Alarm, epToken(c.l.num), limit)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case len(page) == limit:
		return page, page[limit-1].num, nil
	case to >= c.to || to >= c.d.newestEvent():
		return page, 0, nil
	}
	return page, to, nil
}

func (d *DB) newestEvent() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}
