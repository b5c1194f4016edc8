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

// stray is how far the wall clock has moved away.
func (c *clock) stray() time.Duration { return time.Now().Round(0).Sub(c.now()) }

// tickLoop lets timers run out without a sample, once a second. A tick that
// comes late, or a wall clock that was set, is a gap: time in which nothing was
// heard, which no timer counts.
func (b *Bridge) tickLoop(ctx context.Context) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	last := b.clock.now()
	b.watchLinks()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		if stray := b.clock.stray(); stray.Abs() > maxStray || b.clock.now().Sub(last) > maxStray {
			b.gap(last, stray)
		}
		last = b.clock.now()
		b.mu.Lock()
		b.ticked = last
		b.mu.Unlock()
		b.watchLinks()
		b.tick()
		b.rejects.flush(time.Now())
		if _, err := b.store.Log().Size(); err != nil {
			b.fatal(fmt.Errorf("store: %w", err)) // noticed without anything to write
		}
	}
}

// slept reports whether this process stood still until a moment ago, whether the
// tick that notices has come yet or not. Connections that ended meanwhile say
// nothing: nobody answered at our end. The caller holds mu.
func (b *Bridge) slept(now time.Time) bool {
	return b.clock.stray().Abs() > maxStray || now.Sub(b.woke) < maxStray || !b.ticked.IsZero() && now.Sub(b.ticked) > maxStray
}

// gap sets the clock and shifts every running timer by the time that was lost.
// Nothing is judged in between.
func (b *Bridge) gap(last time.Time, stray time.Duration) {
	b.mu.Lock()
	if stray.Abs() > maxStray {
		b.clock.reset()
	}
	now := b.clock.now()
	b.woke = now
	var g *group
	var inputs []rules.Input
	if b.engine != nil {
		g, inputs = b.stepGap(last, now)
	}
	b.mu.Unlock()
	b.record(g, inputs)
	b.log.Warn("a gap in time: timers stand still over it", "since", last, "gap", now.Sub(last).Round(time.Millisecond), "clock_step", stray.Round(time.Millisecond))
}
