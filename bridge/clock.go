package bridge

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"tocsin/rules"
)

// maxStray is how far the wall clock may stray from the bridge's, and how late
// a tick may come, before the difference is a gap.
const maxStray = 5 * time.Second

// A clock gives the wall time at which it was last set plus the time that has
// gone by since, so that a step of the wall clock moves no timer.
type clock struct{ set atomic.Pointer[time.Time] }

func newClock() *clock {
	c := new(clock)
	c.reset()
	return c
}

func (c *clock) reset() {
	now := time.Now()
	c.set.Store(&now)
}

func (c *clock) now() time.Time {
	set := c.set.Load()
	return set.Add(time.Since(*set)).Round(0)
}

// look is the time on the bridge's clock, and how far the wall clock has moved away.
func (c *clock) look() (now time.Time, stray time.Duration) {
	set, wall := c.set.Load(), time.Now()
	now = set.Add(wall.Sub(*set)).Round(0)
	return now, wall.Round(0).Sub(now)
}

// tickLoop lets timers run out without a sample, once a second, and looks whether
// time has passed in which nothing was heard, see [Bridge.wake].
func (b *Bridge) tickLoop(ctx context.Context) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	b.mu.Lock()
	b.ticked = b.clock.now()
	b.mu.Unlock()
	b.watchLinks()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		b.rouse()
		b.watchLinks()
		b.tick()
		b.rejects.flush(time.Now())
		if _, err := b.store.Log().Size(); err != nil {
			b.fatal(fmt.Errorf("store: %w", err)) // noticed without anything to write
		}
	}
}

// rouse is the tick's look at the clock. It tells of gaps, whoever has found them.
func (b *Bridge) rouse() {
	b.mu.Lock()
	b.out.Reset()
	now, inputs := b.wake(nil)
	var g *group
	if len(inputs) > 0 {
		g = b.queue(nil, nil)
	}
	b.ticked = now
	gaps := b.gaps
	b.gaps = nil
	b.mu.Unlock()
	b.record(g, inputs)
	for _, in := range gaps {
		b.log.Warn("a gap in time: timers stand still over it", "since", in.since, "gap", in.until.Sub(in.since).Round(time.Millisecond), "clock_step", in.step.Round(time.Millisecond))
	}
}

// A gap is time in which this process stood still, or which its clock leapt over.
type gap struct {
	since, until time.Time
	step         time.Duration // of the wall clock
}

// wake returns the time for an input that comes now. A tick that is overdue, or a wall
// clock that was set, is a gap: time in which nothing was heard, which no timer counts.
// The engine is told of it before anything that comes after it, for a process that was
// suspended may read a message before its clock ticks: timers would run out by time in
// which nobody listened. The caller holds mu, has emptied out, and queues what is in it.
func (b *Bridge) wake(inputs []rules.Input) (time.Time, []rules.Input) {
	now, stray := b.clock.look()
	since := b.ticked
	if since.IsZero() || stray.Abs() <= maxStray && now.Sub(since) <= maxStray {
		return now, inputs
	}
	if stray.Abs() > maxStray {
		b.clock.reset()
		now = b.clock.now()
	}
	b.woke, b.ticked = now, now
	b.gaps = append(b.gaps, gap{since, now, stray})
	if b.engine == nil { // one that is made anew learns of it then
		return now, inputs
	}
	in := rules.Input{Now: now, Gap: &rules.Gap{From: since, To: now}}
	b.engine.Step(in, &b.out)
	b.leapt = true
	return now, append(inputs, in)
}
