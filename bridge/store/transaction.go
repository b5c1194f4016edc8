package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
)

// run is the body of the transaction.
func (d *DB) run(ctx context.Context, k *work) error {
	for i := range k.states {
		if err := d.w.putState(ctx, k.states[i].key, k.states[i].data); err != nil {
			return err
		}
	}
	var err error
	if k.newest, err = d.turnBack(ctx, k.committed); err != nil {
		return err
	}
	if k.newest.After(k.committed) {
		k.committed = k.newest
	}
	if err := d.runEvents(ctx, k); err != nil {
		return err
	}
	if err := d.w.putOutcomes(ctx, &k.outcomes); err != nil {
		return err
	}
	if err := d.runAlso(ctx, k); err != nil {
		return err
	}
	for i := range k.changes {
		if err := k.changes[i].run(ctx, d.w, k); err != nil {
			return err
		}
	}
	for _, s := range k.endpoints {
		l := d.laneFor(k, s.Name)
		r := k.records[l]
		if r.state.Disabled && !s.Disabled {
			if err := d.w.makeDue(ctx, l.num); err != nil {
				return err
			}
		}
		s.Since = fromNanos(nanos(s.Since))
		r.state, r.known = s, true
		k.records[l] = r
		k.switched = append(k.switched, l)
	}
	if len(k.deletes) > 0 {
		dead, err := d.w.deleteEvents(ctx, k.deletes)
		if err != nil {
			return err
		}
		for ep, n := range dead {
			if l := d.byNum[ep]; l != nil {
				k.move(l, record{dead: -n})
			}
		}
	}
	if k.forget != 0 {
		if _, err := d.w.conn.ExecContext(ctx, forgetKept, k.forget); err != nil {
			return fmt.Errorf("deleting what was kept: %w", err)
		}
	}
	if k.vacuum {
		if err := d.w.vacuum(ctx); err != nil {
			return err
		}
	}
	if k.access != nil {
		if err := k.access(ctx, d.w); err != nil {
			return err
		}
	}
	for l, r := range k.records {
		if r == l.written {
			continue
		}
		if err := d.w.putEndpoint(ctx, l, r); err != nil {
			return err
		}
	}
	switch {
	case k.room > 0:
		value := make([]byte, k.room)
		_, _ = rand.Read(value) // it does not fail; zeros are nothing to a disk that packs
		return d.probe(ctx, value)
	case k.probe:
		return d.probe(ctx, nanos(k.committed))
	}
	return nil
}

func (d *DB) probe(ctx context.Context, value any) error {
	if _, err := d.w.probe.ExecContext(ctx, value); err != nil {
		return fmt.Errorf("probing: %w", err)
	}
	return nil
}

func (d *DB) runEvents(ctx context.Context, k *work) error {
	var eps []int64
	for i := range k.events {
		e := &k.events[i]
		eps = eps[:0]
		e.num, e.lanes = k.last+1, e.lanes[:0]
		for _, name := range e.endpoints {
			l := d.laneFor(k, name)
			if !slices.Contains(eps, l.num) {
				eps = append(eps, l.num)
				e.lanes = append(e.lanes, l)
			}
		}
		isNew, err := d.w.putEvent(ctx, e.num, e, k.committed, epList(eps))
		if err != nil {
			return err
		}
		if !isNew {
			continue
		}
		k.last = e.num
		k.written = append(k.written, e)
		for _, l := range e.lanes {
			r := k.records[l]
			r.owed++
			r.bytes += int64(len(e.data))
			k.records[l] = r
		}
	}
	return nil
}

// runAlso makes events owed to more endpoints.
func (d *DB) runAlso(ctx context.Context, k *work) error {
	for _, a := range k.also {
		l := d.laneFor(k, a.Endpoint)
		size, err := d.w.alsoTo(ctx, a.Event, l.num, k.committed)
		if err != nil {
			return err
		}
		if size < 0 {
			continue
		}
		if err := d.w.keepOrder(ctx, l.num, []int64{a.Event}, k.records[l].cursor); err != nil {
			return err
		}
		k.move(l, record{owed: 1, bytes: size})
		k.added = append(k.added, l)
	}
	return nil
}

// move changes counters of a lane in this transaction.
func (k *work) move(l *lane, by record) {
	r := k.records[l]
	r.add(by)
	k.records[l] = r
	if k.moved == nil {
		k.moved = make(map[*lane]record)
	}
	m := k.moved[l]
	m.add(by)
	k.moved[l] = m
}

func (r *record) add(by record) {
	r.owed += by.owed
	r.bytes += by.bytes
	r.dead += by.dead
	r.dropped += by.dropped
}

// laneFor finds the lane of an endpoint or makes one, which exists for others
// only after the commit. Lanes are added under writing alone, so it reads them
// without mu.
func (d *DB) laneFor(k *work, name string) *lane {
	if l := d.byName[name]; l != nil {
		return l
	}
	if l := k.lanes[name]; l != nil {
		return l
	}
	l := newLane(int64(len(d.byName)+len(k.lanes)+1), name, k.last)
	if k.lanes == nil {
		k.lanes = make(map[string]*lane)
	}
	k.lanes[name] = l
	k.records[l] = l.record
	return l
}
