package rules

import (
	"slices"
	"time"
)

// queue has an alarm looked at before the step ends: after everything that a
// message says has been taken in. Sampled says that a new reading is the reason.
func (e *Engine) queue(a *instance, sampled bool) {
	if e.recalling {
		return
	}
	x := a.more()
	x.sampled, x.nudged = x.sampled || sampled, x.nudged || !sampled
	if !x.queued {
		x.queued = true
		e.dirty = append(e.dirty, a)
	}
}

// settleDirty looks at what was queued. An alarm that asks for others comes after
// them, so each is looked at once; what an alarm's change makes others do is
// part of the same step.
func (e *Engine) settleDirty(out *Output) {
	for len(e.dirty) > 0 {
		first := 0
		for i, a := range e.dirty {
			if compare(a, e.dirty[first]) < 0 {
				first = i
			}
		}
		if len(e.dirty) > 8 {
			slices.SortFunc(e.dirty, compare)
			first = 0
		}
		a := e.dirty[first]
		e.dirty = slices.Delete(e.dirty, first, first+1)
		if !a.extra.queued {
			continue // recalled meanwhile, as it was
		}
		x := a.extra
		sampled, nudged := x.sampled, x.nudged
		x.queued, x.sampled, x.nudged = false, false, false
		e.look(a, sampled, out)
		if sampled && nudged && a.episode != nil && !a.rule.disabled { // a reading that decides nothing tells nothing
			e.settle(a, a.standing(), e.now, false, out)
		}
	}
}

// look measures again what an alarm asks for, and judges it.
func (e *Engine) look(a *instance, sampled bool, out *Output) {
	c := a.channel
	if a.rule.forward || a.rule.disabled {
		return
	}
	if a.episode == nil && !c.device.looks(a.rule) {
		return // its labels say so; they may select it again
	}
	out.Depends = max(out.Depends, c.mark)
	if c.device.group && len(a.extra.members) == 0 && a.episode != nil {
		e.disband(a, "no_members", out)
		return
	}
	if a.rule.plain && !sampled {
		if a.episode != nil {
			e.settle(a, a.standing(), e.now, false, out)
		}
		return
	}
	at := c.axis(e.now)
	if c.metric == nil {
		at = e.now
		if d := c.device; !d.group && d.newest != 0 && sampled {
			at = d.newest
		}
	}
	if c.metric != nil && c.last.at == 0 && a.rule.noData != fireAlarm && !a.rule.countsInvalid() {
		return // nothing to judge yet
	}
	j := judgement{now: e.now, at: at, sample: sampled, value: c.last.value, before: c.prev}
	e.judge(a, &j, out)
}

// disband ends an alarm that nothing can end any more.
func (e *Engine) disband(a *instance, reason string, out *Output) {
	was, s := a.standing(), a.state()
	told := len(out.Transitions)
	e.cancel(&s, reason, out)
	if a.episode.fired != 0 {
		a.ended = max(a.ended, a.started, a.channel.last.at)
		a.channel.lived(a)
	}
	a.episode, a.seq = nil, s.Seq
	var events []Event
	if len(out.Transitions) > told {
		events, out.Transitions = out.Transitions[told].Events, out.Transitions[:told]
	}
	out.Transitions = append(out.Transitions, a.transition(events...)) // it may come back: cooldown and shelving stay
	e.recount(a, was)
	e.schedule(a)
	if was.on() {
		e.changedFor(a, false)
	}
}

// judge puts a reading, or the passing of time, before one alarm.
func (e *Engine) judge(a *instance, j *judgement, out *Output) {
	was := a.standing()
	moved, answered, stood := false, false, a.episode != nil && a.episode.frozen != 0
	if a.rule.plain {
		if a.episode == nil {
			a.open()
		}
		ep := a.episode
		a.thaw(j.now)
		for i := range a.rule.rungs {
			g, t := &a.rule.rungs[i], &ep.rungs[i]
			if t.judge(g, g.ask(t.on, j.value), j) {
				moved = true
			}
		}
		answered, ep.last = true, point{j.at, j.value}
	} else {
		moved, answered = e.judgeMeasured(a, j)
	}
	ep := a.episode
	if ep == nil { // nothing has begun
		if e.warm.born != 0 {
			e.firstSeen(a, was, answered)
		}
		e.schedule(a)
		return
	}
	switch {
	case answered && stood:
		moved = true
	case !answered && ep.frozen == 0 && a.busy():
		a.freeze(j.now)
		moved = true
	}
	a.join()
	busy := a.busy()
	if e.warm.born != 0 {
		e.firstSeen(a, was, answered)
	}
	if answered && (j.sample || a.channel.metric == nil) && (busy || ep.fired != 0 || moved) {
		a.witness(ep.last, j.before)
	}
	switch {
	case moved:
		e.settle(a, was, j.now, true, out)
	case !busy && ep.fired == 0:
		a.episode = nil
		e.schedule(a)
	case !j.sample:
		e.settle(a, was, j.now, false, out) // it may be told of now
	default:
		e.schedule(a) // the device's clock may have brought a timer forward
	}
}

// open begins an episode, of which it is not known yet what it comes to.
func (a *instance) open() {
	a.episode = &episode{rungs: make([]timer, len(a.rule.rungs))}
	a.channel.calm = calm{}
}

// busy reports whether a rung of the alarm is on or on its way.
func (a *instance) busy() bool {
	for i := range a.episode.rungs {
		if t := &a.episode.rungs[i]; t.on || t.running {
			return true
		}
	}
	return false
}

// ask is a rung's present question of a value: does it fire, or, when it is on,
// does it clear?
func (c *condition) ask(on bool, v value) truth {
	if on {
		return c.clears(v)
	}
	return c.fires(v)
}

// judgeMeasured judges a rule whose rungs compare what is measured, or are kept
// from firing by something. Answered is false when nothing is known. An alarm that
// is at rest has an episode only when one of its rungs begins to move.
func (e *Engine) judgeMeasured(a *instance, j *judgement) (moved, answered bool) {
	x := a.more()
	x.wake = 0
	held, until := e.heldBack(a)
	x.wake = sooner(x.wake, until)
	closed := e.closed(a)
	var m measurement
	var last point
	for i := range a.rule.rungs {
		g, on := &a.rule.rungs[i], a.episode != nil && a.episode.rungs[i].on
		if i == 0 || g.gauge != a.rule.rungs[i-1].gauge {
			m = e.measure(a, g.gauge)
			x.wake = sooner(x.wake, m.until)
		}
		known := m.known && (!m.partial || g.decided(on, m.value.num))
		if known && a.episode != nil {
			a.thaw(j.now)
		}
		if known && !answered {
			answered, last = true, a.measured(g, m.value, j.at)
		}
		fires, clears := unknown, unknown
		if known {
			fires, clears = g.truths(m)
		}
		if g.clearGauge > 0 {
			clears = unknown
			c := e.measure(a, g.clearGauge-1)
			x.wake = sooner(x.wake, c.until)
			if c.known {
				answered = true
				clears = truthOf(c.value.num != 0 && fires != yes)
				if a.episode != nil {
					a.thaw(j.now)
				}
			}
		}
		if len(x.rungs) > 0 {
			fires, clears = e.counted(a, i, j, fires, clears)
		}
		holds := fires
		switch {
		case on && closed:
			holds = yes
		case on:
			holds = clears
		case held:
			holds = no
		}
		if a.episode == nil {
			if holds != yes {
				continue
			}
			a.open()
		}
		of := *j
		if m.at != 0 {
			of.at = m.at
		}
		if a.episode.rungs[i].judge(g, holds, &of) {
			moved = true
		}
	}
	if ep := a.episode; ep != nil && last.at != 0 {
		ep.last = last
	} else if ep != nil {
		last = ep.last
	}
	if answered && (j.sample || !a.rule.lasts) {
		e.counts[a.rule.index].health.weigh(a, last.value.num, j.now)
	}
	if x.wake != 0 && x.wake <= e.gone() {
		x.wake = e.now + int64(time.Millisecond)
	}
	return moved, answered
}

// measured is what an event shows of a measurement: where that is only whether
// something holds, the reading that it is about.
func (a *instance) measured(g *rung, v value, at int64) point {
	if g.kind == Bool && a.rule.gauges[g.gauge].source != newest {
		if c := a.shown(); c != nil && c.last.at != 0 {
			return c.last
		}
	}
	return point{at, v}
}

// closed reports whether a rule's schedule says that its condition is false now.
func (e *Engine) closed(a *instance) bool {
	c := a.rule.calendar
	if c == nil || !c.off {
		return false
	}
	open, _ := c.open(e.now)
	return !open
}

// cooling reports whether the last episode began too short a time ago for
// another.
func (e *Engine) cooling(a *instance) bool {
	return a.rule.cooldown > 0 && a.extra.fired != 0 && e.now < a.extra.fired+int64(a.rule.cooldown)
}

// heldBack reports whether something keeps the alarm from starting, whatever is
// measured, and until when at most.
func (e *Engine) heldBack(a *instance) (held bool, until int64) {
	r := a.rule
	if (a.episode == nil || a.episode.fired == 0) && e.cooling(a) { // one that was told may still get worse
		held, until = true, a.extra.fired+int64(r.cooldown)
	}
	if c := r.calendar; c != nil && c.off {
		open, change := c.open(e.now)
		held, until = held || !open, sooner(until, change)
	}
	if len(r.unless) > 0 {
		d := a.channel.device
		held = held || slices.Contains(r.unless, d.presence.String())
	}
	if r.unlessWhen > 0 {
		m := e.measure(a, r.unlessWhen-1)
		held, until = held || m.known && m.value.num != 0, sooner(until, m.until)
	}
	return held, until
}
