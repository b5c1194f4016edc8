package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

const (
	// flushAfter is how long outcomes wait for a commit; with the sync they are
	// on disk within 100 ms.
	flushAfter = 50 * time.Millisecond

	cursorEvery = time.Second // cursors are moved this often, when something is written anyway
)

// A work is one transaction: what somebody brings, and what was waiting.
type work struct {
	states    []newState
	events    []newEvent
	endpoints []bridge.EndpointState
	deletes   []int64 // settled events
	also      []bridge.Also
	changes   []change
	forget    int64 // forget what is kept of alarms since before then
	vacuum    bool  // give some free space of the file back
	probe     bool  // write even when there is nothing to write
	room      int   // bytes that are written to see whether there is space for them
	cursors   bool  // move the cursors
	access    func(context.Context, *writer) error

	// Filled in on the way; none of it is visible before the disk agreed.
	committed time.Time
	newest    time.Time // to be DB.newest
	last      int64
	outcomes
	lanes    map[string]*lane // new
	records  map[*lane]record // as they are to be
	written  []*newEvent
	switched []*lane
	added    []*lane          // what they are owed was not known before
	moved    map[*lane]record // what is to be added to counters
}

type newState struct {
	key  string
	data []byte
}

type newEvent struct {
	num       int64
	id        string
	typ       rules.Type
	alarm     string
	at        time.Time
	data      []byte
	class     class
	told      string // the alarm's key for receivers, where it is another
	endpoints []string
	lanes     []*lane
}

// Commit writes states and the events they made: atomic, and on disk when nil.
// After bridge.ErrFull nothing was written and the store goes on; after another
// error it is broken ([ErrBroken]). ctx is looked at before the write begins,
// and does not stop one: when it has ended, its error is returned and the store
// is as it was.
func (d *DB) Commit(ctx context.Context, b bridge.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	k, err := encode(b)
	if err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	start := time.Now()
	ctx = context.WithoutCancel(ctx)
	if err := d.recover(ctx); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	if err := d.write(ctx, k); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	if !d.alive.Swap(true) {
		// SQLite makes its log with the first write.
		if err := d.watch(databaseFile+"-wal", databaseFile+"-shm"); err != nil {
			return d.astray(err)
		}
	}
	if !b.Probe && !d.hears.Swap(true) {
		d.touch() // what was stored now is not of a later time than the mark: clocks are set back
	}
	d.metrics.committed(time.Since(start))
	return nil
}

// encode makes rows of a batch; of several states of an alarm the last counts.
// A transition without a key is an event of no alarm, a ping: it has no state,
// and its order is that of the alarm it names.
func encode(b bridge.Batch) (*work, error) {
	k := &work{endpoints: b.Endpoints, also: b.Also}
	k.probe = len(b.Transitions) == 0 && len(b.Endpoints) == 0 && len(b.Also) == 0
	newest := make(map[string]int, len(b.Transitions))
	for i := range b.Transitions {
		newest[b.Transitions[i].State.Key] = i
	}
	for i := range b.Transitions {
		t := &b.Transitions[i]
		if t.State.Key != "" && newest[t.State.Key] == i {
			data, err := json.Marshal(&t.State)
			if err != nil {
				return nil, fmt.Errorf("encoding alarm %s: %w", t.State.Key, err)
			}
			k.states = append(k.states, newState{t.State.Key, data})
		}
		for j := range t.Events {
			e := &t.Events[j]
			data, err := e.AppendJSON(nil)
			if err != nil {
				return nil, err
			}
			n := newEvent{
				id: e.ID, typ: e.Type, alarm: cmp.Or(t.State.Key, e.Alarm.Key, e.Device.ID, e.Source, aboutEndpoint(e)), at: e.At, data: data,
				class: classify(e.Type, e.Alarm.Severity), endpoints: e.Endpoints,
			}
			if e.Alarm.Key != n.alarm {
				n.told = e.Alarm.Key
			}
			k.events = append(k.events, n)
		}
	}
	return k, nil
}

// aboutEndpoint is whose order an event about an endpoint has: what is said of one
// does not wait for another.
func aboutEndpoint(e *rules.Event) string {
	if e.Endpoint == nil {
		return ""
	}
	return "endpoint/" + e.Endpoint.Name
}

// flush writes outcomes that wait, if any do.
func (d *DB) flush(ctx context.Context, closing bool) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.state(); err != nil {
		return err
	}
	if !closing && !d.waiting() {
		return nil
	}
	// gofail: var beforeOutcomesAlone struct{}
	return d.write(context.WithoutCancel(ctx), &work{cursors: closing})
}

// waiting reports whether there is something that a crash would lose.
func (d *DB) waiting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.next.rows) > 0
}

// write does one transaction. The caller holds writing.
func (d *DB) write(ctx context.Context, k *work) error {
	d.prepare(k)
	err := d.w.transact(ctx, func() error { return d.run(ctx, k) })
	if err == nil {
		d.apply(k)
		d.unchecked += d.w.pagesWritten()
		if d.unchecked >= checkpointPages {
			signal(d.overflow)
		}
		if d.unchecked >= 4*checkpointPages {
			return d.restartLog(ctx) // copying does not keep up: now commits wait for it
		}
		return nil
	}
	d.putBack(k)
	if isFull(err) {
		d.surrender(err)
		return fmt.Errorf("%w: %w", bridge.ErrFull, err)
	}
	return d.broken("writing to "+d.dir, err)
}

// prepare takes what is waiting into k.
func (d *DB) prepare(k *work) {
	k.committed = time.Now()
	k.cursors = k.cursors || k.committed.Sub(d.cursorsAt) >= cursorEvery
	d.mu.Lock()
	defer d.mu.Unlock()
	k.last = d.last
	k.outcomes, d.next = d.next, newOutcomes()
	d.flying = k.outcomes
	if d.full.Load() {
		k.attempts = nil // the space is for the outcomes themselves
	}
	k.records = make(map[*lane]record, len(d.byName))
	for _, l := range d.byName {
		r := l.record
		if k.cursors {
			r.cursor = l.settled(d.last)
		}
		k.records[l] = r
	}
}

// putBack returns what could not be written; what has come since is newer.
func (d *DB) putBack(k *work) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next.putBack(k.outcomes)
	d.flying = outcomes{}
}

// apply makes what is on disk visible. Counters that moved meanwhile keep their
// moves: the difference is added, not the value.
func (d *DB) apply(k *work) {
	if k.cursors {
		d.cursorsAt = k.committed
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flying = outcomes{}
	for name, l := range k.lanes {
		d.byName[name], d.byNum[l.num] = l, l
	}
	for _, e := range k.written {
		for _, l := range e.lanes {
			l.commit(e.alarm, item{num: e.num, size: int32(len(e.data)), class: e.class}, d.next.rows) // #nosec G115 -- no event is that long
		}
		if len(e.lanes) > 0 {
			d.tail.put(e, k.committed)
		}
		d.last, k.newest = e.num, k.committed.Round(0)
	}
	d.newest = k.newest
	for l, r := range k.records {
		l.cursor, l.written = r.cursor, r
	}
	for _, l := range k.switched {
		l.set(k.records[l].state)
	}
	for l, by := range k.moved {
		l.record.add(by)
	}
	for _, l := range k.added {
		l.rewind(d.last, d.next.rows)
	}
}

// Finish records how attempts ended. It does not wait for the disk: outcomes
// ride on the next commit, or are written within 100 ms. On a full disk they are
// kept and written as soon as there is space, and [DB.Claim] hands nothing out
// when too many wait. The outcome of a delivery that is not leased is ignored.
func (d *DB) Finish(ctx context.Context, outcomes []bridge.Outcome) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended != nil {
		return d.ended
	}
	for _, o := range outcomes {
		l := d.byName[o.Endpoint]
		if l == nil {
			continue
		}
		if ln := l.leased[o.Event]; ln != nil {
			d.begun.end(ln)
			d.next.finish(l, ln, o)
		}
	}
	if len(d.next.rows) > 0 {
		signal(d.soon)
	}
	return nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
