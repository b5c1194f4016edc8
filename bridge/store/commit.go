package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

const (
	// flushAfter is how long outcomes wait for a commit; with the sync they are
	// on disk within 100 ms.
	flushAfter = 50 * time.Millisecond

	cursorEvery = time.Second // cursors are moved this often, when something is written anyway

	// checkpointPages is the length of the log at which it is copied: 16 MiB.
	checkpointPages = 4000
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
	if err := d.recover(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	if err := d.write(context.WithoutCancel(ctx), k); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	if !d.alive.Swap(true) {
		// SQLite makes its log with the first write.
		if err := d.watch(databaseFile+"-wal", databaseFile+"-shm"); err != nil {
			return d.broken("using "+d.dir, err)
		}
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
	if d.full {
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
	if k.probe {
		if _, err := d.w.probe.ExecContext(ctx, nanos(k.committed)); err != nil {
			return fmt.Errorf("probing: %w", err)
		}
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

// recover lets intake begin again when the disk has space for the reserve, and
// as much for what is to come.
func (d *DB) recover() error {
	if err := d.state(); err != nil || !d.full {
		return err
	}
	err := makeReserve(filepath.Join(d.dir, reserveFile), reserveBytes)
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", bridge.ErrFull, err)
	}
	if err != nil {
		return d.broken("writing to "+d.dir, err)
	}
	d.full = false
	d.log.Info("disk has space again", "path", d.dir)
	return nil
}

// surrender gives the reserve up, so that outcomes can be written.
func (d *DB) surrender(cause error) {
	if d.full {
		return
	}
	d.full = true
	d.log.Warn("disk is full, nothing new is taken", "path", d.dir, "error", cause)
	if err := os.Remove(filepath.Join(d.dir, reserveFile)); err != nil {
		d.log.Warn("reserve was not freed", "path", d.dir, "error", err)
	}
	signal(d.overflow) // a log that was copied is written again in place
}

// checkpoint copies the log into the file. Most of it is done beside commits;
// the rest, with commits held, so that the log is begun anew.
func (d *DB) checkpoint(ctx context.Context) error {
	if _, err := d.copyLog(ctx, "PASSIVE"); err != nil {
		return err
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.restartLog(ctx)
}

// restartLog copies what is left of the log. What a reader holds back is tried
// again some pages later. The caller holds writing.
func (d *DB) restartLog(ctx context.Context) error {
	mode := "PASSIVE"
	if d.full {
		mode = "TRUNCATE" // the log is space that others need more
	}
	left, err := d.copyLog(ctx, mode)
	d.unchecked = min(left, checkpointPages*3/4)
	return err
}

// copyLog does what SQLite's automatic checkpoint does, which keeps its errors
// to itself. It says how many pages are left.
func (d *DB) copyLog(ctx context.Context, mode string) (left int, err error) {
	if err := d.state(); err != nil {
		return 0, err
	}
	var busy, pages, copied int
	err = d.read.QueryRowContext(context.WithoutCancel(ctx), `PRAGMA wal_checkpoint(`+mode+`)`).Scan(&busy, &pages, &copied)
	if isFull(err) {
		d.log.Debug("log was not copied, disk is full", "path", d.dir, "error", err)
		return checkpointPages, nil
	}
	if err != nil {
		return 0, d.broken("copying the log of "+d.dir, err)
	}
	return pages - copied, nil
}
