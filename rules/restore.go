package rules

import (
	"iter"
	"math"
	"slices"
)

// Restore gives the engine a stored alarm, before the first Step. It tells
// nobody anything. It reports false for an alarm whose rule is gone or no
// longer looks at the device: it is kept aside, see [Engine.Orphans], and if
// somebody was told of it, the next Step tells its end. An alarm whose rule has
// changed is looked at again in the next Step. A stored alarm counts, but is
// never refused, where MaxInstances and MaxDevices limit new ones.
func (e *Engine) Restore(s State) bool {
	e.rehearsal()
	return e.restore(s)
}

func (e *Engine) restore(s State) bool {
	r := e.program.byID[s.Rule]
	former := ""
	if r == nil {
		if r = e.program.formerly[s.Rule]; r != nil { // the episode under way ends as what it was told as
			s.ToldAs, former = first(s.ToldAs, s.Rule), s.Rule
			s.Rule = r.id
		}
	}
	a := e.claim(r, &s)
	if a != nil && former != "" && (a.started != 0 || a.episode != nil || a.extra != nil && a.extra.shelved != nil) {
		return true // what is stored under the new name is newer
	}
	if a == nil {
		e.orphans = append(e.orphans, s)
		return false
	}
	c := a.channel
	if former != "" && (!s.FiredAt.IsZero() || s.Shelved != nil || !s.Cooldown.IsZero() || phaseLeft(&s)) {
		e.renamed = append(e.renamed, resting(former, &s))
		e.shifted = append(e.shifted, a)
	}
	was := a.standing()
	if e.compareRehearsed(a, &s); e.played != nil {
		e.retold.know(&e.counts[r.index].health, &s)
	}
	a.restore(&s)
	a.stored = true
	if a.episode == nil && a.rule.gaugesOf(silence) { // it was heard, also where that was not recorded
		c.device.contact = max(c.device.contact, nanos(s.Contact))
	}
	e.restoreLast(c, &s)
	if c.seen = true; a.extra != nil { // what is stored was judged
		a.extra.seen = true
	}
	e.recount(a, was)
	if a.episode != nil && a.episode.muted == floodMute {
		e.flood.alarms = append(e.flood.alarms, a)
	}
	if s.Revision != "" && s.Revision != a.rule.revision {
		e.recheck = append(e.recheck, a)
	}
	e.schedule(a)
	return true
}

// recount counts an alarm as it stands now, and not as it stood.
func (e *Engine) recount(a *instance, was standing) {
	now, counts := a.standing(), &e.counts[a.rule.index].standing
	counts[was.severity][was.phase]--
	counts[now.severity][now.phase]++
}

// phaseLeft reports whether a stored alarm is not at rest.
func phaseLeft(s *State) bool {
	return slices.ContainsFunc(s.Levels, func(l LevelState) bool { return l.On || !l.Since.IsZero() })
}

// resting is a stored alarm of the named rule as it is when all that it was has
// ended, or goes on under another name.
func resting(rule string, s *State) State {
	levels := make([]LevelState, len(s.Levels))
	for i, l := range s.Levels {
		levels[i].Severity = l.Severity
	}
	return State{
		Key: rule + "/" + s.Device, Rule: rule, Device: s.Device, Group: s.Group, Labels: s.Labels, Revision: s.Revision, Levels: levels,
		Episode: s.Episode, Seq: s.Seq, StartedAt: s.StartedAt,
		LastAt: s.LastAt, Last: s.Last, LastClock: s.LastClock, Unit: s.Unit,
	}
}

// claim finds or makes the alarm of a stored state; nil if no rule looks at it.
func (e *Engine) claim(r *rule, s *State) *instance {
	if r == nil || r.disabled && !r.varies {
		return nil
	}
	if r.subject == ofGroup {
		a := e.groupAlarm(r, s.Device)
		if a != nil && len(a.extra.members) == 0 && (phaseLeft(s) || !s.FiredAt.IsZero()) {
			return nil // nothing would end it
		}
		return a
	}
	if s.Group || !e.restores(r, s) { // a group is no device, and would be missed as one
		return nil
	}
	d := e.devices[s.Device]
	if d == nil { // memory does not know it: nobody has listened for it since
		d = e.device(s.Device)
		d.listening = max(d.listening, e.now)
	}
	e.label(d, s.Labels, false)
	c := d.self
	if r.subject == ofMetric {
		c = e.bind(d, r.metric, math.MaxInt)
	}
	if c != nil {
		if a := c.alarm(r); a != nil {
			return a
		}
	}
	v := e.variant(r, d)
	if v.disabled && !r.switched {
		return nil
	}
	// It is only by labels of its own that the rule looks at it, or there was no room.
	if c == nil {
		d.self = &channel{device: d}
		c = d.self
	}
	return e.keepAlarm(c, r, v)
}

// keepAlarm gives a channel an alarm of a rule that need not look at its device any
// more: see [device.looks].
func (e *Engine) keepAlarm(c *channel, r, v *rule) *instance {
	e.counts[r.index].instances++
	c.device.moved = true
	e.add(c, []*rule{v})
	return c.alarm(r)
}

// restoreLast takes the newest reading that an alarm remembers.
func (e *Engine) restoreLast(c *channel, s *State) {
	if c.metric == nil {
		return
	}
	v, ok := c.metric.kind.private(s.Last)
	if !ok {
		return
	}
	at := nanos(s.LastAt)
	c.judged = max(c.judged, at)
	if at <= c.last.at {
		return
	}
	if c.trails() { // of what came after the hole, something was lost
		c.closeHole()
	}
	c.last, c.clock = point{at, v}, s.LastClock
	c.at = max(c.at, at)
	c.device.newest = max(c.device.newest, at)
	if c.metric.unit == "" && s.Unit != "" {
		c.foreign = &foreignUnit{unit: s.Unit, ok: true}
	}
}

// reconsider judges an alarm by its changed rule on what is known now.
func (e *Engine) reconsider(a *instance, out *Output) {
	c := a.channel
	if a.rule.disabled { // by an override that its device's new labels select
		if a.episode != nil {
			e.disband(a, "", out)
		}
		if a.extra != nil {
			clear(a.extra.rungs) // what it was asked before is not part of what it will be asked
		}
		e.schedule(a)
		return
	}
	if a.episode == nil {
		e.schedule(a) // it may wait for something else than before
		if !c.device.looks(a.rule) || c.metric != nil && c.metric.event {
			return
		}
		if a.rule.plain && (c.last.at == 0 || !a.rule.wakes(c.last.value)) {
			return
		}
		if after := a.patience(); c.metric != nil && after > 0 && c.at+after <= e.now {
			return // what is known is too old to start an alarm
		}
		e.look(a, true, out)
		return
	}
	fired := a.episode.fired != 0
	if a.rule.plain {
		if c.last.at != 0 {
			j := judgement{now: e.now, at: c.axis(e.now), value: c.last.value, before: c.last}
			a.episode.changed = fired
			e.judge(a, &j, out)
		}
	} else {
		a.episode.changed = fired
		e.look(a, false, out)
	}
	if a.episode != nil {
		a.episode.changed = false
		e.settle(a, a.standing(), e.now, true, out) // the new revision is stored
	}
}

// restores reports whether a rule looks at a stored alarm's device, by what is
// known of it or by the labels it had when the alarm was stored; or did before that,
// as a rule does that has not changed.
func (e *Engine) restores(r *rule, s *State) bool {
	def := e.program.devices[s.Device]
	if def == nil && e.program.declared {
		return false
	}
	if r.applies(s.Device, labelled(def, s.Labels)) {
		return true
	}
	if d := e.devices[s.Device]; d != nil && r.applies(s.Device, labelled(def, d.learnt)) {
		return true
	}
	return s.Revision != "" && r.mayApply(s.Device, def) && e.program.variant(r, s.Device, labelled(def, s.Labels)).revision == s.Revision
}

// Devices is how many devices the engine knows.
func (e *Engine) Devices() int { return len(e.devices) }

// Asked reports whether anything that a device has said is of use to a rule: a reading
// of a metric that one asks for, or that it speaks at all.
func (e *Engine) Asked(id string) bool {
	d := e.recent
	if d == nil || d.id != id {
		d = e.devices[id]
	}
	return d != nil && (len(d.channels) > 0 || d.self != nil)
}

// Orphans yields the restored states that no rule of the program claims.
func (e *Engine) Orphans() iter.Seq[State] { return slices.Values(e.orphans) }

// cancel ends an alarm that nothing can end any more: whoever was told of it
// would wait for ever.
func (e *Engine) cancel(s *State, reason string, out *Output) {
	severity := Unset
	for _, l := range s.Levels {
		if l.On {
			severity = max(severity, l.Severity)
		}
	}
	severity = max(severity, s.Severity)
	if s.FiredAt.IsZero() && slices.ContainsFunc(s.Levels, func(l LevelState) bool { return !l.Since.IsZero() }) {
		*s = resting(s.Rule, s) // it was on its way: nobody waits for it
		out.Transitions = append(out.Transitions, Transition{State: *s})
		return
	}
	if severity == Unset || s.FiredAt.IsZero() || len(s.Told) == 0 && s.Severity == Unset {
		return
	}
	at := wall(e.now)
	rule, fact := EventRule{ID: s.Rule}, "rule "+s.Rule+" is not configured any more"
	r := e.program.byID[s.Rule]
	switch {
	case reason == "no_members":
		rule, fact = r.public(), "no device is left in "+s.Device
	case r == nil:
		reason = first(reason, "rule_removed")
	default:
		rule, fact, reason = r.public(), "rule "+s.Rule+" does not look at "+s.Device+" any more", "rule_changed"
		if r.disabled && !r.varies {
			fact, reason = "rule "+s.Rule+" is disabled", "rule_disabled"
		} else if d := e.devices[s.Device]; d != nil && r.subject != ofGroup && e.variant(r, d).disabled {
			fact, reason = "rule "+s.Rule+" is disabled for "+s.Device, "rule_disabled"
		}
	}
	ev := Event{
		ID:   eventID(s.Episode, s.Seq+1, AlarmCancelled),
		Type: AlarmCancelled,
		At:   at,
		Alarm: EventAlarm{
			Key: first(s.ToldAs, s.Rule) + "/" + s.Device, Episode: s.Episode, Seq: s.Seq + 1, State: inactive.String(),
			Severity: severity, StartedAt: s.StartedAt, Relapses: s.Relapses, FirstSeen: s.FirstSeen,
		},
		Rule:    rule,
		Device:  EventDevice{ID: s.Device},
		Because: fact + "; in alarm since " + clock(s.StartedAt.UTC(), at),
		Title:   s.Device + ": alarm cancelled, " + fact,

		ValueAtFire: s.ValueAtFire,
		Peak:        s.Peak,
		Duration:    whole(max(0, at.Sub(s.StartedAt))).String(),
		Reason:      reason,
		Endpoints:   s.Told,
	}
	if d := labelled(e.program.devices[s.Device], s.Labels); d != nil {
		ev.Device.Labels, ev.Device.Via = d.Labels, d.Via
	}
	s.Seq++
	*s = resting(s.Rule, s)
	out.Transitions = append(out.Transitions, Transition{State: *s, Events: []Event{ev}})
}

// States yields every alarm that has a past, is on its way, or was, as it stands,
// by device and rule: more than what transitions have told, for it includes the
// newest evidence. What has only rested is in [Engine.Memory], with its readings.
func (e *Engine) States() iter.Seq[State] {
	return func(yield func(State) bool) {
		for a := range e.instances() {
			if !yield(a.state()) {
				return
			}
		}
	}
}

// instances yields the alarms of which there may be a stored state, in a stable order.
func (e *Engine) instances() iter.Seq[*instance] {
	return func(yield func(*instance) bool) {
		for _, d := range e.sortedDevices() {
			for _, c := range d.all() {
				for _, a := range c.alarms {
					if (a.stored || a.episode != nil) && !yield(a) {
						return
					}
				}
			}
		}
	}
}

// all are a device's channels, its self included.
func (d *device) all() []*channel {
	if d.self == nil {
		return d.channels
	}
	return append(slices.Clip(d.channels), d.self)
}
