package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"tocsin/broker"
	"tocsin/rules"
)

// maxWaiting is how many transitions may wait for the disk before intake waits
// too. A device's own messages in flight bound it at QoS 1; this bounds QoS 0.
const maxWaiting = 8192

// errRefused answers a message while nothing can be stored.
var errRefused = errors.New("nothing can be stored now")

// errStopped is why nothing can be stored at the end.
var errStopped = errors.New("the bridge has stopped")

// A group is what one commit writes. Its number rises by one from group to
// group, and groups are written in that order.
type group struct {
	number  uint64
	batch   Batch
	done    chan struct{} // closed when err is final
	err     error
	receipt broker.Receipt

	// Guarded by the committer.
	inputs  []rules.Input // what waits for this group
	changes []change      // of endpoints: they rest on no state of an alarm
	settled bool
	origins []origin // of transitions; none when nobody follows
}

func newGroup(number uint64) *group {
	g := &group{number: number, done: make(chan struct{})}
	g.receipt = func(ctx context.Context) error {
		select {
		case <-g.done:
			return g.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return g
}

// waits is the group's receipt; nil for none.
func (g *group) waits() broker.Receipt {
	if g == nil {
		return nil
	}
	return g.receipt
}

func (g *group) empty() bool {
	return len(g.batch.Transitions) == 0 && len(g.changes) == 0
}

// A committer writes transitions in the order in which they were queued:
// whatever waits when the disk becomes free is one group. Nothing lingers; a
// group gathers only while the one before it is being written.
type committer struct {
	store Store
	taken func(rules.Input) // is told, in order, which inputs are safe; nil: nobody is
	wake  chan struct{}     // holds one

	committed atomic.Uint64 // number of the last group that is on disk
	deaf      atomic.Bool   // nobody is heard: what is written does not say otherwise

	mu   sync.Mutex
	room sync.Cond // signalled when the open group is taken
	open *group    // being filled
	busy *group    // being written, or nil
	shut bool      // nobody waits for room any more
}

func newCommitter(s Store, taken func(rules.Input)) *committer {
	c := &committer{store: s, taken: taken, wake: make(chan struct{}, 1), open: newGroup(1)}
	c.room.L = &c.mu
	return c
}

// admit waits until the open group has room. It is called without locks.
func (c *committer) admit() {
	c.mu.Lock()
	for len(c.open.batch.Transitions) >= maxWaiting && !c.shut {
		c.room.Wait()
	}
	c.mu.Unlock()
}

// enqueue adds transitions to the open group, with where they come from if anybody
// wants to know. The caller holds the engine's lock, which is what keeps an alarm's
// transitions in order.
func (c *committer) enqueue(ts []rules.Transition, from *origin) *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from != nil {
		from.from = len(c.open.batch.Transitions)
		from.to = from.from + len(ts)
		c.open.origins = append(c.open.origins, *from)
	}
	c.open.batch.Transitions = append(c.open.batch.Transitions, ts...)
	c.signal()
	return c.open
}

// enqueueChange adds a change of an endpoint to the open group. It is written
// even when that group fails, with one that comes after it.
func (c *committer) enqueueChange(ch change) *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open.changes = append(c.open.changes, ch)
	c.signal()
	return c.open
}

func (c *committer) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// waiting returns the group with the given number, or one that is written after
// it; nil when it is on disk already.
func (c *committer) waiting(number uint64) *group {
	if number <= c.committed.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.busy != nil && number <= c.busy.number:
		return c.busy
	case number <= c.committed.Load():
		return nil
	}
	return c.open
}

// last returns the last group that holds decisions; nil when all are on disk.
func (c *committer) last() *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open.batch.Transitions) > 0 {
		return c.open
	}
	return c.busy
}

// keep has inputs taken down when a group is on disk, and forgotten when it
// fails.
func (c *committer) keep(g *group, inputs []rules.Input) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.inputs = append(g.inputs, inputs...)
	if g.settled {
		c.release(g)
	}
}

// release hands on what has waited for a group that is settled. The caller holds
// mu.
func (c *committer) release(g *group) {
	if g.err == nil && c.taken != nil {
		for _, in := range g.inputs {
			c.taken(in)
		}
	}
	g.inputs = nil
}

// take opens a new group and returns the one that waited, nil when it is empty.
func (c *committer) take() *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open.empty() {
		return nil
	}
	c.busy = c.open
	for i := range c.busy.changes {
		ch := &c.busy.changes[i]
		c.busy.batch.Endpoints = append(c.busy.batch.Endpoints, ch.state)
		if ch.event != nil {
			c.busy.batch.Transitions = append(c.busy.batch.Transitions, rules.Transition{Events: []rules.Event{*ch.event}})
		}
	}
	c.open = newGroup(c.busy.number + 1)
	c.room.Broadcast()
	return c.busy
}

// write commits what waits until nothing does. It returns the first error, with
// every group that could not be written failed.
func (c *committer) write(ctx context.Context, written func(*group)) error {
	for g := c.take(); g != nil; g = c.take() {
		g.batch.Probe = c.deaf.Load()
		// gofail: var beforeCommit struct{}
		if err := c.store.Commit(ctx, g.batch); err != nil {
			c.settle(g, fmt.Errorf("%w: %w", errRefused, err))
			return err
		}
		// gofail: var beforeReceipts struct{}
		c.settle(g, nil)
		written(g)
	}
	return nil
}

func (c *committer) settle(g *group, err error) {
	c.mu.Lock()
	g.err, g.settled = err, true
	if err != nil {
		c.open.changes = slices.Concat(g.changes, c.open.changes)
		c.signal() // for when there is space
	}
	c.release(g) // before what comes next finds nothing to wait for
	if err == nil {
		c.committed.Store(g.number)
	}
	c.busy = nil
	c.mu.Unlock()
	close(g.done)
}

// fail gives up what waits: its transitions were made from states that the
// store does not have. Changes of endpoints rest on no such state and stay.
func (c *committer) fail(err error) {
	c.mu.Lock()
	g := c.open
	c.open = newGroup(g.number + 1)
	c.open.changes = g.changes
	c.signal()
	c.room.Broadcast()
	g.err, g.settled = fmt.Errorf("%w: %w", errRefused, err), true
	c.release(g)
	c.mu.Unlock()
	close(g.done)
}

// shutdown lets nobody wait for room any more.
func (c *committer) shutdown() {
	c.mu.Lock()
	c.shut = true
	c.room.Broadcast()
	c.mu.Unlock()
}
