package rules

import (
	"slices"
	"strings"
	"time"
)

// settle draws the consequences when something of an alarm has changed: what is
// told catches up with how the alarm stands, as far as it may. What mutes an alarm
// stops only the telling; so nothing has to be undone or made up for when it is
// heard again. Moved says that rungs or flags have changed and must be stored.
func (e *Engine) settle(a *instance, was standing, at int64, moved bool, out *Output) {
	if a.episode == nil {
		if a.unshelve(e.now) {
			out.Transitions = append(out.Transitions, a.transition())
		}
		e.schedule(a)
		return
	}
	e.settleAll(a, was, at, moved, nil, out)
}

// settleWith settles an alarm after an operator's action, which is told first, to
// those who were told of the alarm.
func (e *Engine) settleWith(a *instance, was standing, at int64, s *saying, out *Output) {
	if a.episode == nil { // shelved beforehand
		e.schedule(a)
		out.Transitions = append(out.Transitions, a.transition())
		return
	}
	e.settleAll(a, was, at, true, s, out)
}

func (e *Engine) settleAll(a *instance, was standing, at int64, moved bool, s *saying, out *Output) {
	ep := a.episode
	var told []Event
	now := a.standing()
	if was.phase == recovering && now.phase == firing && !now.held {
		ep.relapses++
	}
	if now.top >= 0 && ep.fired == 0 {
		a.begin(at)
		e.flooding(a, at)
	}
	tell := func(s saying) { told = append(told, e.tell(a, s, at)) }
	moved = a.unshelve(e.now) || moved
	if s != nil && s.typ != "" && ep.severity != Unset {
		tell(*s)
	}
	if ep.fired != 0 {
		e.flapOrLatch(a, was, at, tell)
		now = a.standing()
		if now.on() {
			moved = e.catchUp(a, was, now, at, tell) || moved
		} else {
			e.end(a, was, tell)
		}
	}
	for i := range ep.rungs {
		if r := &ep.rungs[i]; !r.running {
			*r = timer{on: r.on}
		}
	}
	ended := ep.fired != 0 && !now.on()
	switch {
	case now.phase == inactive:
		if was.phase == pending {
			e.counts[a.rule.index].health.missed(a)
		}
		a.episode = nil
	case ended:
		a.renew() // a lower rung is on its way in again
	}
	e.counts[a.rule.index].standing[was.severity][was.phase]--
	now = a.standing()
	e.counts[a.rule.index].standing[now.severity][now.phase]++
	e.schedule(a)
	if moved || len(told) > 0 {
		out.Transitions = append(out.Transitions, a.transition(told...))
	}
	if was.on() != now.on() || ended {
		e.changedFor(a, now.on())
	}
}

// unshelve ends what an operator wished for, when its time is over.
func (a *instance) unshelve(now int64) bool {
	x := a.extra
	if x == nil || x.shelved == nil || x.shelved.until > now {
		return false
	}
	x.shelved = nil
	return true
}

// begin starts an episode that fires at the given time of our clock. It started
// when the first of the conditions that hold began to hold; two episodes of an
// alarm never start at the same nanosecond, so that they never share an id.
func (a *instance) begin(at int64) {
	ep := a.episode
	started := int64(0)
	for i := range ep.rungs {
		if t := &ep.rungs[i]; t.on && (started == 0 || t.since < started) {
			started = t.since
		}
	}
	a.started, a.seq = a.untold(max(started, a.started+1)), 0
	ep.fired, ep.valueAtFire = at, ep.last.value
	if a.rule.cooldown > 0 {
		a.more().fired = at
	}
}

// flapOrLatch holds an alarm that comes and goes too often, or that a person must
// have seen.
func (e *Engine) flapOrLatch(a *instance, was standing, at int64, tell func(saying)) {
	ep, r := a.episode, a.rule
	now := a.standing()
	came, went := was.top < 0 && now.top >= 0, was.top >= 0 && now.top < 0
	if r.latch {
		switch {
		case went && !ep.acked && !ep.returned:
			ep.returned = true
		case came && ep.returned:
			ep.returned = false
			ep.relapses++
			if ep.returnedTold && e.muting(a) == "" {
				tell(saying{typ: AlarmReminder, reason: "relapsed"})
			}
			ep.returnedTold = false
		}
	}
	if r.flap == nil {
		return
	}
	x := a.more()
	if came || went {
		x.flips = append(x.flips, at)
	}
	if ep.flapping {
		if at >= x.flips[len(x.flips)-1]+int64(r.flap.hold) {
			ep.flapping, x.flips = false, nil
			if ep.severity != Unset {
				tell(saying{typ: AlarmFlapEnded})
			}
		} else if len(x.flips) > r.flap.changes {
			x.flips = slices.Delete(x.flips, 0, len(x.flips)-r.flap.changes)
		}
		if came {
			ep.relapses++
		}
		return
	}
	for len(x.flips) > 0 && x.flips[0] <= at-int64(r.flap.within) {
		x.flips = slices.Delete(x.flips, 0, 1)
	}
	if len(x.flips) >= r.flap.changes {
		ep.flapping = true
		if ep.severity == Unset && e.muting(a) == "" {
			e.sayFired(a, a.standing(), at, tell)
		}
		if ep.severity != Unset {
			tell(saying{typ: AlarmFlapping})
		}
	}
}

// catchUp tells of an alarm that is on what has not been told yet. It reports
// whether something changed that must be stored.
func (e *Engine) catchUp(a *instance, was, now standing, at int64, tell func(saying)) bool {
	ep := a.episode
	moved := false
	mute := e.muting(a)
	if mute == "" && e.taking && ep.severity == Unset && len(a.rule.suppressIf) > 0 {
		e.queue(a, false) // what mutes it may be in the rest of the message
		return false
	}
	for mute == "" && ep.severity != Unset {
		x := a.nextEscalation()
		if x == nil || at < ep.toldAt+int64(x.after) {
			break
		}
		ep.escalated, moved = slices.IndexFunc(a.rule.escalation, func(y escalation) bool { return y.name == x.name })+1, true
		ep.raised = max(ep.raised, x.severity)
		now = a.standing()
		tell(saying{typ: AlarmEscalated, reason: x.reason(), notify: x.notify})
		ep.severity = now.severity
	}
	switch {
	case mute != "":
		if ep.severity == Unset && ep.muted != mute {
			if mute == floodMute {
				e.flood.alarms = append(e.flood.alarms, a)
			}
			ep.muted, moved = mute, true
			if mute != pastMute { // it waits for the rest of its message, and is told then
				e.noteMuted(a, at, mute)
			}
		}
	case ep.severity == Unset:
		e.sayFired(a, now, at, tell)
	case now.severity > ep.severity && !now.held:
		tell(saying{typ: AlarmEscalated, reason: ep.why()})
		ep.severity = now.severity
	case now.severity < ep.severity && !now.held:
		tell(saying{typ: AlarmDeescalated, rung: max(was.top, now.top), reason: ep.why()})
		ep.severity = now.severity
	}
	if ep.returned && !ep.returnedTold && ep.severity != Unset && mute == "" {
		ep.returnedTold, moved = true, true
		tell(saying{typ: AlarmReturned})
	}
	if ep.stale && !ep.noData && !ep.staleTold && ep.severity != Unset && mute == "" {
		ep.staleTold, moved = true, true
		tell(saying{typ: AlarmStale})
	}
	if ep.reminder != 0 && at >= ep.reminder && ep.severity != Unset && !ep.acked && mute == "" {
		ep.reminded++
		ep.reminder = at + int64(a.rule.renotify[min(ep.reminded, len(a.rule.renotify)-1)])
		tell(saying{typ: AlarmReminder})
	}
	return moved
}

// why is the reason of a change of level that no reading made, "" for others.
func (ep *episode) why() string {
	if ep.changed {
		return ruleChanged
	}
	return ""
}

// sayFired tells of the start of an episode, late if it was muted until now.
func (e *Engine) sayFired(a *instance, now standing, at int64, tell func(saying)) {
	ep := a.episode
	ep.severity, ep.toldAt, ep.muted = now.severity, at, ""
	tell(saying{typ: AlarmFired})
	if len(a.rule.renotify) > 0 {
		ep.reminder = at + int64(a.rule.renotify[0])
	}
}

// end tells the end of an episode, to those who were told that it fired, muted or
// not. One that nobody was told of is recorded whole.
func (e *Engine) end(a *instance, was standing, tell func(saying)) {
	ep := a.episode
	ep.closed = e.closed(a)
	if ep.muted == pastMute {
		e.occurred(a, was, tell)
	} else if ep.severity == Unset {
		ep.severity = was.severity
		tell(saying{typ: AlarmFired, record: true, muted: first(ep.muted, "it ended before it could be told")})
		tell(saying{typ: AlarmResolved, record: true, muted: first(ep.muted, "it ended before it could be told")})
	} else {
		tell(saying{typ: AlarmResolved})
	}
	a.ended = max(a.ended, a.ending())
	a.channel.lived(a)
}

// occurred tells of an episode that began and ended in the older readings of a
// message.
func (e *Engine) occurred(a *instance, was standing, tell func(saying)) {
	a.episode.severity = was.severity
	tell(saying{typ: AlarmOccurred})
}

// reason says why an escalation raised an alarm.
func (x *escalation) reason() string {
	if x.always {
		return x.name
	}
	return "unacked"
}

// muting says why an alarm may not be told of now, "" if it may.
func (e *Engine) muting(a *instance) string {
	r, d := a.rule, a.channel.device
	if e.past && a.episode.severity == Unset && (a.episode.muted == "" || a.episode.muted == pastMute) {
		return pastMute
	}
	if x := a.extra; x != nil && x.shelved != nil && e.now < x.shelved.until {
		return "shelved" + by(x.shelved.by)
	}
	if r.calendar != nil && !r.calendar.off {
		if open, _ := r.calendar.open(e.now); !open {
			return "schedule " + r.calendar.name
		}
	}
	for i := range e.program.upkeep {
		if u := &e.program.upkeep[i]; u.from <= e.now && e.now < u.to && u.covers(a) {
			return "maintenance " + u.name
		}
	}
	for _, i := range r.suppressIf {
		if other := e.program.rules[i]; other.index != r.index && e.fires(d, other) {
			return "suppressed by " + other.id
		}
	}
	if r.explained {
		for p, depth := d.parent, 0; p != nil && depth < maxDepth; p, depth = p.parent, depth+1 {
			if e.fires(p, r) {
				return "explained by " + p.id
			}
		}
		if e.benefit(a) > e.now {
			return first(a.episode.muted, "a device that explains it may be silent too")
		}
	}
	if e.flood.on && !e.program.flood.pass[a.standing().severity] && a.episode != nil && a.episode.severity == Unset {
		return floodMute
	}
	return ""
}

// benefit is until when nobody is told that a device is silent because what stands
// between it and us may be the reason: until a parent that is overdue has been
// silent for long enough itself, and, once one is back, until its children have
// had the time to report. 0 for no reason to wait.
func (e *Engine) benefit(a *instance) int64 {
	d := a.channel.device
	if a.episode == nil || a.episode.severity != Unset || !a.rule.gaugesSilence() {
		return 0
	}
	ask := func(d *device) reach {
		own := d.alarm(a.rule)
		if own == nil || own.rule.disabled {
			return reach{}
		}
		g := &own.rule.rungs[0]
		return d.reach(e, &own.rule.gauges[g.gauge], g.hold)
	}
	until := int64(0)
	if own := ask(d); d.parent != nil && !own.lost {
		until = own.deadline
	}
	for p, depth := d.parent, 0; p != nil && depth < maxDepth; p, depth = p.parent, depth+1 {
		overdue := p.contact <= d.contact
		if every, ok := p.interval(); ok {
			overdue = e.now-p.contact > 2*int64(every)
		}
		if r := ask(p); overdue && r.deadline != 0 && !r.deaf {
			until = max(until, r.deadline+int64(time.Millisecond)) // it is judged first
		}
	}
	return until
}

func by(name string) string {
	if name == "" {
		return ""
	}
	return " by " + strings.Map(printable, name)
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// changedFor has the alarms looked at that ask whether this one fires.
func (e *Engine) changedFor(a *instance, on bool) {
	d := a.channel.device
	for _, r := range e.askers[a.rule.index] {
		if r.subject == ofGroup {
			for _, g := range d.groups {
				if other := g.self.alarm(r); other != nil {
					e.queue(other, false)
				}
			}
			continue
		}
		if other := d.alarm(r); other != nil && other != a {
			e.nudge(other)
		}
	}
	if a.rule.explained {
		e.nudgeChildren(d, a.rule, 0)
		if !on {
			e.returned(d, 0)
		}
	}
}

func (e *Engine) nudgeChildren(d *device, r *rule, depth int) {
	for _, c := range d.children {
		if other := c.alarm(r); other != nil {
			e.nudge(other)
		}
		if depth < maxDepth {
			e.nudgeChildren(c, r, depth+1)
		}
	}
}

// nudge has an alarm looked at, if there is anything to see.
func (e *Engine) nudge(a *instance) {
	if !a.rule.plain || a.episode != nil {
		e.queue(a, false)
	}
}

// A flood is too many alarms to be told one by one.
type flood struct {
	on     bool
	begun  int64
	due    int64       // of the next digest
	recent []int64     // when alarms fired, as far as it matters
	held   int         // alarms since the last digest
	alarms []*instance // that are held back
	to     []string    // who would have been told of one of them
	told   bool        // a summary
}

// floodMute is why an alarm is not told one by one.
const floodMute = "flood"

// maxFlood bounds what is remembered of a flood.
const maxFlood = 10_000

// flooding counts an alarm that fires, and begins a flood when there are too many.
func (e *Engine) flooding(a *instance, at int64) {
	f, r := &e.flood, e.program.flood
	if r == nil || a.rule.shadow || e.muting(a) != "" && !f.on {
		return
	}
	if len(f.recent) < maxFlood {
		f.recent = append(f.recent, at)
	}
	if f.on {
		e.hold(a)
		return
	}
	f.prune(at, r.startWithin)
	if len(f.recent) > r.startEvents {
		f.on, f.begun, f.due = true, at, at+int64(r.digest)
		e.hold(a)
	}
}

// hold counts an alarm that a flood holds back, and remembers whom to tell of it
// in the summary. One that passes is told by itself, and one that is muted anyway is
// not.
func (e *Engine) hold(a *instance) {
	if e.muting(a) != floodMute {
		return
	}
	e.flood.held++
	e.flood.to = union(e.flood.to, e.options.Route(a.probe()))
}

func (f *flood) prune(at int64, within time.Duration) {
	i := 0
	for i < len(f.recent) && f.recent[i] <= at-int64(within) {
		i++
	}
	f.recent = slices.Delete(f.recent, 0, i)
}

// digest tells in one event of the alarms that a flood holds back, and ends the
// flood when they have become few; what still fires then is told.
func (e *Engine) digest(at int64, out *Output) {
	f, r := &e.flood, e.program.flood
	if r == nil {
		*f = flood{}
		return
	}
	f.alarms = slices.DeleteFunc(f.alarms, func(a *instance) bool { return a.episode == nil || a.episode.muted != floodMute })
	slices.SortFunc(f.alarms, compare)
	f.alarms = slices.Compact(f.alarms) // one may have fired twice
	held := slices.Clone(f.alarms)
	slices.SortFunc(held, compare)
	held = slices.Compact(held) // one may have come twice
	f.prune(at, r.stopWithin)
	over := len(f.recent) < r.stopEvents
	if f.held > 0 || over && f.told {
		e.tellFlood(held, over, at, out)
		f.told = true
	}
	f.held = 0
	if !over {
		f.due = at + int64(r.digest)
		return
	}
	*f = flood{}
	for _, a := range held {
		a.episode.muted = "" // should the next flood begin at once, it is of that one
		e.queue(a, false)
	}
}
