package rules

import (
	"encoding/binary"
	"math"
	"slices"
)

// A broker sends what it retains again with each subscription, so a reconnection
// of ours repeats readings that have been taken in long ago.

// A used reading is a retained one that alarms were judged by although nothing
// says that it is of now.
type used struct {
	point
	came int64 // on the bridge's clock
}

// retained takes in a retained reading of unknown age, or one that has been taken
// in before; false for one that is as good as live.
func (e *Engine) retained(c *channel, v value, at int64, s *Sample, out *Output) bool {
	if c.repeats(v, at, s.Clock) {
		return true
	}
	if e.lives(c, s) {
		return false
	}
	if c.last.at == 0 {
		c.last.value, c.primed = v, true
	}
	if s.Clock == ClockArrival || at >= c.judged { // what came after an older one is known
		e.useRetained(c, v, at, out)
	}
	return true
}

// repeats reports whether a retained reading is the same as the newest one, or as
// the retained one that was used since. Without a stamp of its own the value is
// all there is to tell them apart.
func (c *channel) repeats(v value, at int64, clock Clock) bool {
	same := func(p point) bool { return v == p.value && (clock == ClockArrival || at == p.at) }
	return c.last.at != 0 && same(c.last) || c.used != nil && c.used.came >= c.at && same(c.used.point)
}

// lives reports whether a retained reading is as good as a live one: its device's
// own clock says that it is of now, or it is the newest and something it decides is
// under way.
func (e *Engine) lives(c *channel, s *Sample) bool {
	if s.Clock == ClockArrival {
		return false
	}
	if at := s.At.UnixNano(); at >= c.judged && !c.atRest() {
		return true
	}
	if every, ok := c.device.interval(); ok && e.now-s.At.UnixNano() <= 3*int64(every) {
		return true
	}
	return slices.ContainsFunc(c.alarms, func(a *instance) bool { return e.young(a, s.At.UnixNano()) })
}

// young reports whether a reading that its device has stamped is of now for an
// alarm: then it does not matter that a broker has kept it.
func (e *Engine) young(a *instance, at int64) bool {
	after := a.channel.device.staleAfter(a.rule)
	return after > 0 && e.now-at < after
}

// useRetained lets a reading of unknown age decide where a rule wants it to.
func (e *Engine) useRetained(c *channel, v value, at int64, out *Output) {
	for _, a := range c.alarms {
		if a.rule.retained != useRetained || a.rule.disabled {
			continue
		}
		if a.episode != nil || a.rule.wakes(v) {
			c.used = &used{point{at, v}, e.now}
			j := judgement{now: e.now, at: max(at, c.judged), sample: true, value: v}
			e.judge(a, &j, out)
		}
	}
}

// appendUsed writes the retained readings of a device that were used.
func (d *device) appendUsed(b []byte) []byte {
	n := 0
	for _, c := range d.channels {
		if c.used != nil {
			n++
		}
	}
	b = binary.AppendUvarint(b, uint64(n))
	for _, c := range d.channels {
		if c.used != nil {
			b = append(appendText(b, c.metric.name), byte(c.metric.kind))
			b = binary.AppendVarint(appendPoint(b, c.used.point), c.used.came)
		}
	}
	return b
}

// recallUsed takes them back.
func (e *Engine) recallUsed(d *device, r *reader) {
	if len(r.b) == 0 {
		return // written before they were
	}
	for range r.count(5) {
		m := e.program.metrics[r.text()]
		kind := Kind(r.byte())
		kept := used{r.point(), r.int()}
		if m != nil && m.kind == kind && r.err == nil {
			e.bind(d, m, math.MaxInt).used = &kept
		}
	}
}
