package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

const (
	pageRows = 50
	maxPage  = 1000

	// A list looks at this many events at a time, and for one page at some more:
	// a read that lasts would keep the log from being begun anew.
	lookAt   = 512
	lookPage = 64 * lookAt
)

// states are the states of deliveries as people have them.
var states = [...]bridge.DeliveryState{
	stateOpen: bridge.DeliveryWaiting, stateDelivered: bridge.DeliveryDelivered, stateDead: bridge.DeliveryDead,
	stateCancelled: bridge.DeliveryCancelled, stateSuperseded: bridge.DeliverySuperseded, stateDropped: bridge.DeliveryDropped,
}

// A place is where a page begins: after the delivery of an event to an endpoint.
type place struct{ event, ep int64 }

func (p place) String() string {
	return strconv.FormatInt(p.event, 10) + "-" + strconv.FormatInt(p.ep, 10)
}

func parsePlace(s string) (p place, err error) {
	event, ep, _ := strings.Cut(s, "-")
	if p.event, err = strconv.ParseInt(event, 10, 64); err == nil {
		p.ep, err = strconv.ParseInt(ep, 10, 64)
	}
	if err != nil {
		return p, fmt.Errorf("%q is no cursor of a list of deliveries; begin at the first page", s)
	}
	return p, nil
}

// Deliveries lists deliveries, the newest first.
func (j journal) Deliveries(ctx context.Context, q bridge.DeliveryQuery) (page bridge.DeliveryPage, err error) {
	d := j.d
	limit := cmp.Or(min(q.Limit, maxPage), pageRows)
	s, err := d.search(ctx, q)
	if err != nil || s == nil {
		return page, err
	}
	var last place
	for looked := 0; ; looked += lookAt {
		if looked >= lookPage {
			page.Cursor = s.after.String()
			return page, nil
		}
		more, err := s.look(ctx)
		if err != nil {
			return page, err
		}
		for i, info := range s.found {
			if len(page.Deliveries) == limit {
				page.Cursor = last.String()
				return page, nil
			}
			page.Deliveries = append(page.Deliveries, info)
			last = s.places[i]
		}
		if !more {
			return page, nil
		}
	}
}

// A search goes through deliveries from the newest to the oldest.
type search struct {
	d     *DB
	q     bridge.DeliveryQuery
	names map[int64]string
	ep    int64 // 0: all
	after place
	least int64 // the oldest event that is asked for

	found  []bridge.DeliveryInfo
	places []place // of those found
}

// search begins a search; nil for one that can find nothing. What has just ended is
// written first, so that a list and the counts agree; on a full disk it is not seen.
func (d *DB) search(ctx context.Context, q bridge.DeliveryQuery) (*search, error) {
	if err := d.flush(ctx, false); err != nil && !errors.Is(err, bridge.ErrFull) {
		return nil, err
	}
	s := &search{d: d, q: q, names: make(map[int64]string)}
	d.mu.Lock()
	err, last := d.ended, d.last
	for name, l := range d.byName {
		s.names[l.num] = name
		if name == q.Endpoint {
			s.ep = l.num
		}
	}
	d.mu.Unlock()
	if err != nil || q.Endpoint != "" && s.ep == 0 {
		return nil, err
	}
	if q.State != "" && !slices.Contains(states[:], q.State) {
		return nil, fmt.Errorf("%q is no state of a delivery; it is one of %v", q.State, states)
	}
	s.after = place{event: last + 1}
	if !q.Until.IsZero() {
		if s.after.event, err = d.firstSince(ctx, q.Until); err != nil {
			return nil, err
		}
	}
	if !q.Since.IsZero() {
		if s.least, err = d.firstSince(ctx, q.Since); err != nil {
			return nil, err
		}
	}
	if q.Cursor != "" {
		if s.after, err = parsePlace(q.Cursor); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// firstSince is the first event that was committed at a time or later. Events
// are committed in the order of their numbers.
func (d *DB) firstSince(ctx context.Context, at time.Time) (int64, error) {
	d.mu.Lock()
	last := d.last
	d.mu.Unlock()
	var err error
	n := sort.Search(int(last), func(i int) bool {
		var committed int64
		e := d.read.QueryRowContext(ctx, `SELECT committed FROM event WHERE num > ? ORDER BY num LIMIT 1`, i).Scan(&committed)
		if !errors.Is(e, sql.ErrNoRows) {
			err = errors.Join(err, e)
		}
		return e != nil || committed >= nanos(at)
	})
	return int64(n) + 1, d.reading("events", err)
}

// look looks at the next events and says whether there may be more.
func (s *search) look(ctx context.Context) (more bool, err error) {
	s.found, s.places = s.found[:0], s.places[:0]
	from, to := s.after.event, max(s.after.event-lookAt, s.least-1, 0)
	if s.after.ep == 0 {
		from-- // that event was looked at
	}
	if s.ep > 0 && s.q.State == bridge.DeliveryDead {
		if from, to, err = s.deadBetween(ctx, from, to); err != nil {
			return false, err
		}
	}
	events, err := s.events(ctx, from, to)
	if err != nil {
		return false, err
	}
	if len(events) > 0 {
		if err := s.rows(ctx, from, to, events); err != nil {
			return false, err
		}
	}
	for _, e := range events {
		for _, ep := range e.eps {
			if e.info.Event == s.after.event && ep <= s.after.ep {
				continue
			}
			info, ok := s.delivery(e, ep)
			if ok {
				s.found, s.places = append(s.found, info), append(s.places, place{info.Event, ep})
			}
		}
	}
	s.after = place{event: to + 1}
	return to > max(s.least-1, 0), nil
}

// deadBetween narrows a look to where something is dead.
func (s *search) deadBetween(ctx context.Context, from, to int64) (int64, int64, error) {
	var first sql.NullInt64
	err := s.d.read.QueryRowContext(ctx, `SELECT max(event) FROM delivery INDEXED BY delivery_dead
		WHERE state = 2 AND ep = ? AND event <= ?`, s.ep, from).Scan(&first)
	if err != nil {
		return 0, 0, s.d.reading("deliveries", err)
	}
	if !first.Valid {
		return from, max(s.least-1, 0), nil
	}
	if first.Int64 <= to {
		to = max(first.Int64-lookAt, s.least-1, 0)
	}
	return min(from, first.Int64), to, nil
}

// A listed is an event whose deliveries are looked at.
type listed struct {
	info bridge.DeliveryInfo
	eps  []int64
	rows map[int64]listedRow // by endpoint
}

type listedRow struct {
	state, attempts int
	due             time.Time
	status          int
	err             string
	at              time.Time
	began           string // id of the event with which it is told whole
}

func (s *search) events(ctx context.Context, from, to int64) (events []*listed, err error) {
	rows, err := s.d.read.QueryContext(ctx, `SELECT num, id, type, CASE told WHEN '' THEN alarm ELSE told END AS key, at, committed, eps FROM event
		WHERE num <= ?1 AND num > ?2 AND (?3 = 0 OR instr(eps, ?4) > 0) AND (?5 = '' OR type = ?5) AND (?6 = '' OR key = ?6)
		AND (?7 = '' OR payload ->> '$.device.id' = ?7) ORDER BY num DESC`,
		from, to, s.ep, epToken(s.ep), string(s.q.Type), s.q.Alarm, s.q.Device)
	if err != nil {
		return nil, s.d.reading("events", err)
	}
	err = each(rows, func() error {
		e := &listed{rows: make(map[int64]listedRow)}
		var at, committed int64
		var eps string
		if err := rows.Scan(&e.info.Event, &e.info.ID, &e.info.Type, &e.info.Alarm, &at, &committed, &eps); err != nil {
			return err
		}
		e.info.At, e.info.Committed = fromNanos(at), fromNanos(committed)
		for _, field := range strings.Fields(eps) {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return fmt.Errorf("event %d: %w", e.info.Event, err)
			}
			if s.ep == 0 || s.ep == n {
				e.eps = append(e.eps, n)
			}
		}
		slices.Sort(e.eps)
		events = append(events, e)
		return nil
	})
	return events, s.d.reading("events", err)
}

func (s *search) rows(ctx context.Context, from, to int64, events []*listed) error {
	byNum := make(map[int64]*listed, len(events))
	for _, e := range events {
		byNum[e.info.Event] = e
	}
	rows, err := s.d.read.QueryContext(ctx, `SELECT event, ep, state, prior + attempt, due, status, error, at,
		coalesce((SELECT id FROM event WHERE num = began), '') FROM delivery
		WHERE event <= ? AND event > ?`, from, to)
	if err != nil {
		return s.d.reading("deliveries", err)
	}
	return s.d.reading("deliveries", each(rows, func() error {
		var event, ep, due, at int64
		var r listedRow
		if err := rows.Scan(&event, &ep, &r.state, &r.attempts, &due, &r.status, &r.err, &at, &r.began); err != nil {
			return err
		}
		r.due, r.at = fromNanos(due), fromNanos(at)
		if e := byNum[event]; e != nil {
			e.rows[ep] = r
		}
		return nil
	}))
}

func (s *search) delivery(e *listed, ep int64) (bridge.DeliveryInfo, bool) {
	info, r := e.info, e.rows[ep]
	if r.state < 0 || r.state >= len(states) {
		return info, false
	}
	info.Endpoint, info.State = s.names[ep], states[r.state]
	info.Attempts, info.Due, info.Status, info.Error, info.Ended = r.attempts, r.due, r.status, r.err, r.at
	if info.State == bridge.DeliveryWaiting {
		info.Ended = time.Time{}
	} else {
		info.Due = time.Time{}
	}
	if r.began != "" {
		info.SentAs = wholeID(r.began, info.ID)
	}
	return info, s.q.State == "" || s.q.State == info.State
}

// Event returns the event of an id.
func (j journal) Event(ctx context.Context, id string) (ev rules.Event, err error) {
	if err := j.d.state(); err != nil {
		return ev, err
	}
	e, err := j.d.event(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return ev, fmt.Errorf("%s: %w", id, bridge.ErrNoEvent)
	}
	if err == nil {
		err = json.Unmarshal(e.data, &ev)
	}
	return ev, err
}

// A written is an event as it is on disk.
type written struct {
	num  int64
	data []byte
}

// event finds the event of an id, or [sql.ErrNoRows].
func (d *DB) event(ctx context.Context, id string) (e written, err error) {
	var at int64
	var typ, alarm, told string
	var sum sql.NullInt64
	err = d.read.QueryRowContext(ctx, `SELECT num, type, payload, alarm, told, at, sum FROM event WHERE id = ?`, id).
		Scan(&e.num, &typ, &e.data, &alarm, &told, &at, &sum)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		err = d.reading("events", err)
	case sum.Valid && sum.Int64 != checksumOf(e.num, id, typ, alarm, told, at, e.data):
		// Whoever looks ends nothing: it is not about to be told to anybody.
		err = fmt.Errorf("event %d: %w (%s)", e.num, errDamaged, afterDamage)
	}
	return e, err
}

// Delivery returns one delivery with all that is kept of it.
func (j journal) Delivery(ctx context.Context, id, endpoint string) (detail bridge.DeliveryDetail, err error) {
	d := j.d
	s, err := d.search(ctx, bridge.DeliveryQuery{Endpoint: endpoint})
	if err != nil {
		return detail, err
	}
	none := fmt.Errorf("%s to %s: %w", id, endpoint, bridge.ErrNoDelivery)
	if s == nil || endpoint == "" {
		return detail, none
	}
	e, err := d.event(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return detail, none
	}
	if err != nil {
		return detail, err
	}
	detail.Data = e.data
	s.after, s.least = place{event: e.num + 1}, e.num
	if _, err := s.look(ctx); err != nil {
		return detail, err
	}
	if len(s.found) == 0 {
		return detail, none
	}
	detail.DeliveryInfo = s.found[0]
	detail.Attempts, err = d.attempts(ctx, e.num, s.ep)
	return detail, err
}

// attempts are those kept of a delivery, in order.
func (d *DB) attempts(ctx context.Context, event, ep int64) (all []bridge.Attempted, err error) {
	rows, err := d.read.QueryContext(ctx, `SELECT n, at, took, timings, status, error, answer, cut FROM attempt WHERE event = ?1 AND ep = ?2
		UNION ALL SELECT prior + attempt, at, took, timings, status, error, answer, cut FROM delivery
		WHERE event = ?1 AND ep = ?2 AND state = ?3 ORDER BY 1`, event, ep, stateDelivered)
	if err != nil {
		return nil, d.reading("attempts", err)
	}
	err = each(rows, func() error {
		var a bridge.Attempted
		var at, took int64
		if err := rows.Scan(&a.Number, &at, &took, &a.Timings, &a.Status, &a.Error, &a.Answer, &a.Cut); err != nil {
			return err
		}
		a.At, a.Took = fromNanos(at), time.Duration(took)
		all = append(all, a)
		return nil
	})
	return all, d.reading("attempts", err)
}
