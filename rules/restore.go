package rules

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strconv"
	"time"
)

// Restore gives the engine a stored alarm, before the first Step. It tells
// nobody anything. It reports false for an alarm whose rule is gone or no
// longer looks at the device: it is kept aside, see [Engine.Orphans], and if
// somebody was told of it, the next Step tells its end. A stored alarm counts, but is never refused, where
// MaxInstances and MaxDevices limit new ones.
func (e *Engine) Restore(s State) bool {
	r := e.program.byID[s.Rule]
	if r == nil || !e.restores(r, &s) {
		e.orphans = append(e.orphans, s)
		return false
	}
	d := e.device(s.Device)
	e.label(d, s.Labels, false)
	c := e.bind(d, r.metric, math.MaxInt)
	a := c.alarm(r)
	if a == nil { // it is only by labels of its own that the rule looks at it, or there was no room
		e.counts[r.index].instances++
		c.add([]*rule{r}, e)
		a, d.moved = c.alarm(r), true
	}
	was := a.standing()
	a.restore(&s)
	if v, ok := r.metric.kind.private(s.Last); ok && nanos(s.LastAt) > c.last.at {
		c.last, c.clock = point{nanos(s.LastAt), v}, s.LastClock
		if c.metric.unit == "" && s.Unit != "" {
			c.foreign = &foreignUnit{unit: s.Unit, ok: true}
		}
	}
	now := a.standing()
	e.counts[r.index].standing[was.severity][was.phase]--
	e.counts[r.index].standing[now.severity][now.phase]++
	e.schedule(a)
	return true
}

// restores reports whether a rule looks at a stored alarm's device, by what is
// known of it or by the labels it had when the alarm was stored.
func (e *Engine) restores(r *rule, s *State) bool {
	def := e.program.devices[s.Device]
	if r.applies(s.Device, labelled(def, s.Labels)) {
		return true
	}
	d := e.devices[s.Device]
	return d != nil && r.applies(s.Device, labelled(def, d.learnt))
}

// Devices is how many devices the engine knows.
func (e *Engine) Devices() int { return len(e.devices) }

// Orphans yields the restored states that no rule of the program claims.
func (e *Engine) Orphans() iter.Seq[State] { return slices.Values(e.orphans) }

// cancel ends an alarm that nothing can end any more: whoever was told of it
// would wait for ever.
func (e *Engine) cancel(s *State, out *Output) {
	severity := Unset
	for _, l := range s.Levels {
		if l.On {
			severity = max(severity, l.Severity)
		}
	}
	if severity == Unset || len(s.Told) == 0 {
		return
	}
	at := wall(e.now)
	rule, fact := EventRule{ID: s.Rule}, "rule "+s.Rule+" is not configured any more"
	reason := "rule_removed"
	if r := e.program.byID[s.Rule]; r != nil {
		rule, fact = r.public(), "rule "+s.Rule+" does not look at "+s.Device+" any more"
		reason = "rule_changed"
	}
	ev := Event{
		ID:   "evt_" + digest("event", s.Episode, strconv.Itoa(s.Seq+1), string(AlarmCancelled)),
		Type: AlarmCancelled,
		At:   at,
		Alarm: EventAlarm{
			Key: s.Rule + "/" + s.Device, Episode: s.Episode, Seq: s.Seq + 1, State: inactive.String(),
			Severity: severity, StartedAt: s.StartedAt, Relapses: s.Relapses,
		},
		Rule:    rule,
		Device:  EventDevice{ID: s.Device},
		Because: fact + "; in alarm since " + clock(s.StartedAt.UTC(), at),
		Title:   s.Device + ": alarm cancelled, " + fact,

		ValueAtFire: s.ValueAtFire,
		Peak:        s.Peak,
		Duration:    max(0, at.Sub(s.StartedAt)).String(),
		Reason:      reason,
		Endpoints:   s.Told,
	}
	if d := labelled(e.program.devices[s.Device], s.Labels); d != nil {
		ev.Device.Labels, ev.Device.Via = d.Labels, d.Via
	}
	levels := make([]LevelState, len(s.Levels))
	for i, l := range s.Levels {
		levels[i].Severity = l.Severity
	}
	*s = State{
		Key: ev.Alarm.Key, Rule: s.Rule, Device: s.Device, Labels: s.Labels, Levels: levels,
		Episode: s.Episode, Seq: s.Seq + 1, StartedAt: s.StartedAt,
		LastAt: s.LastAt, Last: s.Last, LastClock: s.LastClock, Unit: s.Unit,
	}
	out.Transitions = append(out.Transitions, Transition{State: *s, Events: []Event{ev}})
}

// States yields every alarm as it stands, by device and rule: more than what
// transitions have told, for it includes the newest reading and evidence.
func (e *Engine) States() iter.Seq[State] {
	return func(yield func(State) bool) {
		for a := range e.instances() {
			if !yield(a.state()) {
				return
			}
		}
	}
}

// instances yields the alarms that have seen a sample, in a stable order.
func (e *Engine) instances() iter.Seq[*instance] {
	return func(yield func(*instance) bool) {
		devices := make([]*device, 0, len(e.devices))
		for _, d := range e.devices {
			devices = append(devices, d)
		}
		slices.SortFunc(devices, func(a, b *device) int { return cmp.Compare(a.id, b.id) })
		for _, d := range devices {
			for _, c := range d.channels {
				for i := range c.alarms {
					if (c.last.at != 0 || c.alarms[i].episode != nil) && !yield(&c.alarms[i]) {
						return
					}
				}
			}
		}
	}
}

// Resume says, after the last Restore or after the process was suspended, that
// nobody listened between from and to, on the bridge's clock. That time counts
// neither for nor against a timer that was running, unless samples stamped in
// it arrive later and say how it was. Nobody is told anything; the changed
// timers are in the transitions of the next Step, which should come, and be
// committed, before the new run is itself recorded as alive.
//
// When to is before from, our clock was set back. Timers go on for as long as
// they would have, and readings that only our clock has stamped go back with it.
func (e *Engine) Resume(from, to time.Time) {
	g := gap{nanos(from), nanos(to)}
	if g.from <= 0 || g.to == g.from {
		return
	}
	if g.to < g.from {
		e.rewind(g)
		return
	}
	if len(e.gaps) == maxGaps {
		e.gaps = slices.Delete(e.gaps, 0, 1)
	}
	e.gaps = append(e.gaps, g)
	for a := range e.instances() {
		if a.episode != nil && a.shift(g) {
			e.shifted = append(e.shifted, a)
			e.schedule(a)
		}
	}
}

// shift moves the timers that were running in the gap by as much of it as they
// were; one that had run out before is left to end at its own time.
func (a *instance) shift(g gap) bool {
	changed := false
	for i := range a.episode.rungs {
		t := &a.episode.rungs[i]
		wait, _ := a.rule.rungs[i].wait(t.on)
		if begun := t.deadline - int64(wait); t.running && t.deadline > g.from && begun < g.to {
			lost := g.to - max(g.from, begun)
			t.deadline += lost
			t.uncovered += lost
			changed = true
		}
	}
	return changed
}

// rewind moves everything that our clock has stamped by as much as it was set
// back. Downtime before that was told on the old clock and is forgotten: what no
// sample has covered by now stays uncovered.
func (e *Engine) rewind(g gap) {
	by := g.to - g.from
	e.now, e.gaps = g.to, nil
	for _, d := range e.devices {
		for _, c := range d.channels {
			if c.clock == ClockArrival && c.last.at != 0 {
				c.last.at += by
			}
		}
	}
	for a := range e.instances() {
		if a.episode == nil {
			continue
		}
		moved := false
		for i := range a.episode.rungs {
			t := &a.episode.rungs[i]
			if !t.running {
				continue
			}
			t.deadline += by
			if a.channel.clock == ClockArrival {
				t.since += by
			}
			moved = true
		}
		if moved {
			e.shifted = append(e.shifted, a)
			e.schedule(a)
		}
	}
}

// downtime says how much of it a sample proves to have been covered, and how
// much lies after the sample. A sample stamped in a gap comes from a device that
// kept its readings for us, and speaks for the time since the one before.
func (e *Engine) downtime(before, at int64) (bridged, ahead int64) {
	for _, g := range e.gaps {
		if g.from < at && at <= g.to {
			bridged += at - max(before, g.from)
		}
		ahead += max(0, g.to-max(g.from, at))
	}
	return bridged, ahead
}
