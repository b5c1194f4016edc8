package rules

import (
	"math"
	"path"
	"slices"
	"time"

	"tocsin/rules/window"
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
	a.episode, a.seq = nil, s.Seq
	if len(out.Transitions) == told {
		out.Transitions = append(out.Transitions, Transition{State: a.state()})
	}
	out.Transitions[told].channel = a.channel
	e.counts[a.rule.index].standing[was.severity][was.phase]--
	e.counts[a.rule.index].standing[Unset][inactive]++
	e.schedule(a)
	if was.on() {
		e.changedFor(a, false)
	}
}

// judge puts a reading, or the passing of time, before one alarm.
func (e *Engine) judge(a *instance, j *judgement, out *Output) {
	was := a.standing()
	if a.episode == nil {
		a.episode = e.episode(a.rule)
	}
	ep := a.episode
	moved, answered, stood := false, false, ep.frozen != 0
	if a.rule.plain {
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
		if answered {
			e.counts[a.rule.index].health.weigh(a, ep.last.value.num, j.now)
		}
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
		e.spare, a.episode = ep, nil
		e.schedule(a)
	case !j.sample:
		e.settle(a, was, j.now, false, out) // it may be told of now
	default:
		e.schedule(a) // the device's clock may have brought a timer forward
	}
}

// episode makes one for a rule, of one that came to nothing if there is.
func (e *Engine) episode(r *rule) *episode {
	ep := e.spare
	e.spare = nil
	if ep == nil || cap(ep.rungs) < len(r.rungs) {
		return &episode{rungs: make([]timer, len(r.rungs))}
	}
	rungs := ep.rungs[:len(r.rungs)]
	clear(rungs)
	*ep = episode{rungs: rungs}
	return ep
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
// from firing by something. Answered is false when nothing is known.
func (e *Engine) judgeMeasured(a *instance, j *judgement) (moved, answered bool) {
	x, ep := a.more(), a.episode
	x.wake = 0
	held, until := e.heldBack(a)
	x.wake = sooner(x.wake, until)
	closed := e.closed(a)
	var got [8]measurement
	var asked [8]bool
	get := func(i int) measurement {
		if i >= len(got) {
			return e.measure(a, i)
		}
		if !asked[i] {
			asked[i], got[i] = true, e.measure(a, i)
			x.wake = sooner(x.wake, got[i].until)
		}
		return got[i]
	}
	for i := range a.rule.rungs {
		g, t := &a.rule.rungs[i], &ep.rungs[i]
		m := get(g.gauge)
		m.known = m.known && (!m.partial || g.decided(t.on, m.value.num))
		if m.known {
			a.thaw(j.now)
		}
		if m.known && !answered {
			answered, ep.last = true, point{j.at, m.value}
			if g.kind != Bool || a.rule.gauges[g.gauge].source == newest {
				ep.last = point{j.at, m.value}
			} else if s := a.shown(); s != nil && s.last.at != 0 {
				ep.last = point{s.last.at, s.last.value}
			}
		}
		fires, clears := g.truths(m)
		if g.clearGauge > 0 {
			clears = unknown
			if c := get(g.clearGauge - 1); c.known {
				answered = true
				a.thaw(j.now)
				clears = truthOf(c.value.num != 0 && fires != yes)
			}
		}
		if len(x.rungs) > 0 {
			fires, clears = e.counted(a, i, j, fires, clears)
		}
		holds := fires
		switch {
		case t.on && closed:
			holds = yes
		case t.on:
			holds = clears
		case held:
			holds = no
		}
		at := j.at
		if m.at != 0 {
			at = m.at
		}
		jj := *j
		jj.at = at
		if t.judge(g, holds, &jj) {
			moved = true
		}
	}
	if x.wake != 0 && x.wake <= e.now {
		x.wake = e.now + int64(time.Millisecond)
	}
	return moved, answered
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

// counted turns what a rung's condition says now into what it says of a stretch
// of time: how often it came true, or for which share.
func (e *Engine) counted(a *instance, i int, j *judgement, fires, clears truth) (truth, truth) {
	g, m := &a.rule.rungs[i], &a.extra.rungs[i]
	if g.repeats != nil {
		if m.marks == nil {
			m.marks = window.NewMarks(g.repeats.count)
		}
		again := a.channel.metric != nil && a.channel.metric.event
		if a.rule.gauges[g.gauge].source == changed { // each change counts, and not how long it is held
			again = len(a.extra.gauges) > 0 && a.extra.gauges[g.gauge].at == j.at
		}
		if fires == yes && j.sample && (m.was != yes || again) {
			m.marks.Add(j.at)
		}
		if fires != unknown {
			m.was = fires
		}
		n := m.marks.Within(j.at, g.repeats.within)
		if n >= g.repeats.count {
			a.extra.wake = sooner(a.extra.wake, a.channel.ours(m.marks.Oldest()+int64(g.repeats.within)))
		}
		often := truthOf(n >= g.repeats.count)
		return often, truthOf(often == no)
	}
	if g.share > 0 {
		fires = e.shared(a, g, m, j, fires)
	}
	return fires, clears
}

// maxStretches bounds what is remembered of a condition that comes and goes.
const maxStretches = 256

// shared is whether a condition holds, and has held for its share of the time in
// for. What does not hold now starts no alarm, whatever it did before.
func (e *Engine) shared(a *instance, g *rung, m *rungMemory, j *judgement, fires truth) truth {
	begin := j.at - int64(g.hold)
	if n := len(m.share); n == 0 || m.share[n-1].held != fires {
		m.share = append(m.share, stretch{j.at, fires})
	}
	for len(m.share) > 1 && (m.share[1].at <= begin || len(m.share) > maxStretches) {
		m.share = slices.Delete(m.share, 0, 1)
	}
	if len(m.share) == 1 && m.share[0].held != yes {
		return truthOf(false)
	}
	held, seen := int64(0), int64(0)
	for k, s := range m.share {
		from, to := max(s.at, begin), j.at
		if k+1 < len(m.share) {
			to = m.share[k+1].at
		}
		seen += max(0, to-from)
		if s.held == yes {
			held += max(0, to-from)
		}
	}
	if fires != yes { // or an alarm that has cleared would be back at once
		return fires
	}
	if due := m.shareDue(g); due > j.at {
		a.extra.wake = sooner(a.extra.wake, e.now+due-j.at)
	}
	return truthOf(seen >= int64(g.hold) && float64(held) >= g.share*float64(g.hold))
}

// shareDue is when a condition that goes on to hold will have held for its share
// of the time, in event time.
func (m *rungMemory) shareDue(g *rung) int64 {
	hold := int64(g.hold)
	spare := hold - int64(math.Ceil(g.share*float64(hold))) // for which it may not have held
	for k := len(m.share) - 2; k >= 0; k-- {
		if m.share[k].held == yes {
			continue
		}
		end := m.share[k+1].at
		if spent := end - m.share[k].at; spent > spare {
			return end - spare + hold
		} else {
			spare -= spent
		}
	}
	return m.share[0].at + hold
}

// thaw lets the timers of an alarm go on that stood still while nothing was
// known. It comes before the reading is judged that is the reason: what nobody
// has seen is not time for which a condition held.
func (a *instance) thaw(now int64) {
	ep := a.episode
	if ep.frozen == 0 {
		return
	}
	for i := range ep.rungs {
		if t := &ep.rungs[i]; t.running {
			lost := max(0, now-ep.frozen)
			t.deadline += lost
			t.uncovered += lost
		}
	}
	ep.frozen, ep.stale, ep.noData = 0, false, false
}

// attend does what is due for an alarm.
func (e *Engine) attend(a *instance, due int64, out *Output) {
	out.Depends = max(out.Depends, a.channel.mark)
	was := a.standing()
	if ep := a.episode; ep != nil {
		if s := e.staleDue(a); s != 0 && s < due {
			e.grow(a, was, due, out) // its device turned out to report more often than was known
			return
		}
		if ep.frozen == 0 {
			ran := false
			for i := range a.rule.rungs {
				if t, g := &ep.rungs[i], &a.rule.rungs[i]; t.due(g) == due {
					t.lapse(g)
					ran = true
				}
			}
			if ran {
				a.join()
				e.settle(a, was, due, true, out)
				return
			}
		}
		if s := e.staleDue(a); s != 0 && s <= due {
			e.grow(a, was, due, out)
			return
		}
	} else if a.rule.noData == fireAlarm {
		if s := e.staleDue(a); s != 0 && s <= due {
			a.episode = e.episode(a.rule)
			e.grow(a, was, due, out)
			return
		}
	}
	if a.extra != nil && a.extra.wake != 0 && a.extra.wake <= due {
		a.extra.wake = 0
		e.look(a, false, out)
		return
	}
	e.settle(a, was, due, false, out)
	if a.due == due {
		e.schedule(a)
	}
}

// patience is for how long the newest reading of an alarm's channel speaks for the
// present. What is learned meanwhile counts from the next reading on, so that it
// does not matter when somebody asks; 0 is for ever.
func (a *instance) patience() int64 {
	c := a.channel
	if a.rule.staleAfter > 0 || c.metric == nil {
		return c.device.staleAfter(a.rule)
	}
	if c.patientAt != c.at {
		c.patientAt, c.patience = c.at, c.device.patience()
	}
	return c.patience
}

// freeze lets an alarm stand still from now on, because nothing is known.
func (a *instance) freeze(now int64) {
	a.episode.frozen, a.episode.staleAt = now, 0
	if after := a.patience(); after > 0 {
		a.episode.staleAt = now + after
	}
}

// staleDue is when what an alarm knows becomes too old: its readings, for one
// that looks at a metric; 0 for never, or where that has been dealt with.
func (e *Engine) staleDue(a *instance) int64 {
	c, ep := a.channel, a.episode
	if ep != nil && ep.stale || ep == nil && a.rule.noData != fireAlarm {
		return 0
	}
	d := c.device
	switch unheard := d.unheard(); {
	case a.rule.gaugesSilence(), unheard && (ep == nil || ep.frozen != 0):
		return 0
	case ep != nil && ep.frozen != 0:
		return ep.staleAt
	}
	if c.metric == nil || c.metric.event || d.group {
		return 0
	}
	after := a.patience()
	if after == 0 {
		return 0
	}
	heard := e.heard(c, after)
	if c.last.at == 0 {
		if ep == nil {
			return 0 // never heard of: the silence of a device is another rule's matter
		}
	}
	return heard + after
}

// heard is since when a reading of a channel grows old: since it came, or since we
// listen again, unless it was too old before that.
func (e *Engine) heard(c *channel, after int64) int64 {
	heard := c.at
	excuse := func(list []gap, since int64) {
		if since <= heard {
			return
		}
		for _, g := range list {
			if heard+after > g.from {
				heard = max(heard, g.to)
			}
		}
		if len(list) == 0 {
			heard = since
		}
	}
	for was := int64(-1); was != heard; { // one absence may follow on the other
		was = heard
		excuse(e.absent, e.deaf)
		if l := c.device.link; l != nil {
			excuse(l.gaps, l.since)
		}
	}
	return heard
}

// gaugesSilence reports whether the rule is about silence, which is what others
// call no data: that nothing comes, or nothing of use, is what it measures.
func (r *rule) gaugesSilence() bool {
	g := &r.gauges[r.rungs[0].gauge]
	held := g.source == changed && r.noData == holdState // its hold ends it, whatever comes
	return r.rungs[0].kind == Bool && g.source == silence || g.source == invalidity || g.counts() || held
}

// countsInvalid reports whether the rule is about readings that are none: a sensor
// that has never sent another kind is one that it is about.
func (r *rule) countsInvalid() bool {
	return len(r.gauges) > 0 && r.gauges[r.rungs[0].gauge].source == invalidity
}

// grow makes an alarm of which nothing has been known for too long stale.
func (e *Engine) grow(a *instance, was standing, at int64, out *Output) {
	ep := a.episode
	if a.channel.device.unheard() { // it is we who do not hear
		a.freeze(at)
		e.settle(a, was, at, true, out)
		return
	}
	ep.stale = true
	if ep.frozen == 0 {
		ep.frozen = at
	}
	on := ep.fired != 0
	switch {
	case on && a.rule.noData == resolveAlarm, !on && a.rule.noData == resolveAlarm:
		for i := range ep.rungs {
			if t := &ep.rungs[i]; t.on {
				*t = timer{since: a.channel.axis(at), ended: a.channel.axis(at)}
			} else {
				*t = timer{}
			}
		}
		ep.noData = on
	case !on && a.rule.noData == fireAlarm:
		t := &ep.rungs[0]
		if !t.running {
			t.since = a.channel.axis(at)
		}
		*t = timer{on: true, since: t.since, samples: t.samples, ended: a.channel.axis(at)}
		ep.noData = true
	}
	e.settle(a, was, at, true, out)
}

// nextDue is when an alarm is to be attended to next; 0 for never.
func (e *Engine) nextDue(a *instance) int64 {
	due := a.timerDue()
	if x := a.extra; x != nil {
		due = sooner(due, x.wake)
		if x.shelved != nil {
			due = sooner(due, x.shelved.until)
		}
	}
	if s := e.staleDue(a); s != 0 {
		due = sooner(due, max(s, e.now))
	}
	ep := a.episode
	if ep == nil || ep.fired == 0 {
		return due
	}
	due = sooner(due, e.insistDue(a))
	if a.rule.explained {
		if until := e.benefit(a); until > e.now {
			due = sooner(due, until)
		}
	}
	if ep.flapping {
		due = sooner(due, a.extra.flips[len(a.extra.flips)-1]+int64(a.rule.flap.hold))
	}
	if a.rule.calendar != nil && !a.rule.calendar.off {
		_, until := a.rule.calendar.open(e.now)
		due = sooner(due, until)
	}
	return sooner(due, e.upkeepEnds(a))
}

// insistDue is when people are told again of an alarm that they know of; 0 for
// never. What came due while it is muted waits for the end of that.
func (e *Engine) insistDue(a *instance) int64 {
	ep, due := a.episode, int64(0)
	if ep.severity == Unset {
		return 0
	}
	if !ep.acked {
		due = ep.reminder
	}
	if n := a.nextEscalation(); n != nil {
		due = sooner(due, ep.toldAt+int64(n.after))
	}
	if due != 0 && due <= e.now && e.muting(a) != "" {
		return 0
	}
	return due
}

// nextEscalation is the escalation that is due next; nil for none.
func (a *instance) nextEscalation() *escalation {
	for i := a.episode.escalated; i < len(a.rule.escalation); i++ {
		if x := &a.rule.escalation[i]; x.always || !a.episode.acked {
			return x
		}
	}
	return nil
}

// upkeepEnds is when planned maintenance of the alarm begins or ends next.
func (e *Engine) upkeepEnds(a *instance) int64 {
	next := int64(0)
	for i := range e.program.upkeep {
		u := &e.program.upkeep[i]
		if u.to > e.now && u.covers(a) {
			if u.from > e.now {
				next = sooner(next, u.from)
			} else {
				next = sooner(next, u.to)
			}
		}
	}
	return next
}

// covers reports whether maintenance is of the alarm's device and rule.
func (u *upkeep) covers(a *instance) bool {
	if len(u.rules) > 0 && !slices.ContainsFunc(u.rules, func(p string) bool {
		ok, err := path.Match(p, a.rule.id)
		return ok && err == nil
	}) {
		return false
	}
	d := a.channel.device
	return len(u.devices.scope) == 0 || u.devices.matches(d.id, d.def)
}
