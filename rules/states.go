package rules

import (
	"slices"
	"time"
)

// state is a snapshot that shares nothing that changes with the engine.
func (a *instance) state() State {
	c := a.channel
	s := State{
		Key: a.key(), Rule: a.rule.id, Device: c.device.id, Group: a.rule.subject == ofGroup, Revision: a.rule.revision,
		Labels:    c.device.learnt,
		Levels:    make([]LevelState, len(a.rule.rungs)),
		Seq:       a.seq,
		StartedAt: wall(a.started), EndedAt: wall(a.ended),
	}
	if a.started != 0 {
		s.Episode = a.episodeID()
	}
	if c.metric != nil && c.last.at != 0 {
		s.LastAt, s.LastClock, s.Last = wall(c.last.at), c.clock, c.metric.kind.public(c.last.value)
		if c.metric.unit == "" {
			s.Unit = c.unit()
		}
	}
	for i := range a.rule.rungs {
		s.Levels[i].Severity = a.rule.rungs[i].severity
	}
	a.stateExtra(&s)
	if a.episode != nil {
		a.stateEpisode(&s)
	} else if a.rule.gaugesOf(silence) {
		s.Contact = wall(c.device.contact)
	}
	return s
}

// transition tells the state of an alarm, and what is told with it.
func (a *instance) transition(events ...Event) Transition {
	a.stored = true
	return Transition{State: a.state(), Events: events, channel: a.channel}
}

func (a *instance) stateExtra(s *State) {
	x := a.extra
	if x == nil {
		return
	}
	s.Cooldown = wall(x.fired)
	if h := x.shelved; h != nil {
		s.Shelved = &Shelving{By: h.by, Reason: h.reason, Until: wall(h.until)}
	}
	for _, at := range x.flips {
		s.Flips = append(s.Flips, wall(at))
	}
	for i := range x.gauges {
		if a.rule.gauges[i].source == silence {
			s.Contact = wall(x.gauges[i].at)
		}
	}
}

func (a *instance) stateEpisode(s *State) {
	ep, kind := a.episode, a.rule.evidence()
	for i, t := range ep.rungs {
		l := &s.Levels[i]
		l.On = t.on
		if t.running {
			wait, _ := a.rule.rungs[i].wait(t.on)
			l.Since, l.Deadline, l.Uncovered, l.Samples, l.Wait = wall(t.since), wall(t.deadline), time.Duration(t.uncovered), t.samples, wait
		}
	}
	s.ToldAs = ep.rule
	s.Relapses, s.Told, s.FiredAt = ep.relapses, slices.Clone(ep.told), wall(ep.fired)
	s.Severity, s.ToldAt, s.Muted = ep.severity, wall(ep.toldAt), ep.muted
	s.Acked, s.AckedBy, s.Reminder, s.Reminded = ep.acked, ep.ackedBy, wall(ep.reminder), ep.reminded
	s.Raised, s.Escalated, s.Returned, s.Flapping = ep.raised, ep.escalated, ep.returned, ep.flapping
	s.Unknown, s.Stale, s.StaleTold, s.NoData = wall(ep.frozen), ep.stale, ep.staleTold, ep.noData
	s.FirstSeen = ep.unseen
	s.StaleAt, s.ReturnedTold = wall(ep.staleAt), ep.returnedTold
	s.Counted = [2]int{ep.held, ep.seen}
	if ep.fired != 0 {
		s.ValueAtFire = kind.public(ep.valueAtFire)
	}
	if ep.last.at != 0 {
		s.Measured = &Point{wall(ep.last.at), kind.public(ep.last.value)}
	}
	if ep.peak.at != 0 {
		s.Peak = &Point{wall(ep.peak.at), kind.public(ep.peak.value)}
	}
	s.Evidence = ep.points(kind)
}

func (ep *episode) points(kind Kind) []Point {
	list := make([]Point, len(ep.evidence))
	for i, p := range ep.evidence {
		list[i] = Point{wall(p.at), kind.public(p.value)}
	}
	return list
}

// restore undoes state. A level that the rule no longer has gives its place to
// the nearest one below, or else above: an alarm that was told stays on until
// its readings end it. A timer whose rule waits longer or shorter now keeps its
// beginning.
func (a *instance) restore(s *State) {
	a.started, a.ended, a.seq = nanos(s.StartedAt), nanos(s.EndedAt), s.Seq
	a.restoreExtra(s)
	ep := &episode{rungs: make([]timer, len(a.rule.rungs))}
	active := false
	for _, l := range s.Levels {
		t := timer{on: l.On}
		i := slices.IndexFunc(a.rule.rungs, func(g rung) bool { return g.severity == l.Severity })
		if !l.Since.IsZero() {
			t = timer{on: l.On, running: true, since: nanos(l.Since), deadline: nanos(l.Deadline), uncovered: int64(l.Uncovered), samples: l.Samples}
			if i >= 0 && s.Revision != "" && s.Revision != a.rule.revision {
				wait, _ := a.rule.rungs[i].wait(t.on)
				t.deadline += int64(wait - l.Wait)
			}
		}
		if i < 0 {
			if !l.On {
				continue
			}
			t, i = timer{on: true}, 0
			for i+1 < len(a.rule.rungs) && a.rule.rungs[i+1].severity < l.Severity {
				i++
			}
			if ep.rungs[i].on {
				continue
			}
		}
		ep.rungs[i] = t
		active = active || t.on || t.running
	}
	a.episode, a.channel.calm = nil, calm{}
	if active || s.Returned || s.Flapping && !s.FiredAt.IsZero() {
		a.episode = ep
		a.restoreEpisode(s)
	}
}

func (a *instance) restoreExtra(s *State) {
	if x := a.extra; x != nil {
		x.fired, x.shelved, x.flips = 0, nil, nil
	}
	if !s.Cooldown.IsZero() {
		a.more().fired = nanos(s.Cooldown)
	}
	if h := s.Shelved; h != nil {
		a.more().shelved = &shelving{by: h.By, reason: h.Reason, until: nanos(h.Until)}
	}
	if len(s.Flips) > 0 && a.rule.flap != nil {
		x := a.more()
		x.flips = x.flips[:0]
		for _, at := range s.Flips {
			x.flips = append(x.flips, nanos(at))
		}
	}
	if a.extra == nil {
		return
	}
	for i := range a.extra.gauges {
		if a.rule.gauges[i].source == silence {
			a.extra.gauges[i].at = nanos(s.Contact)
		}
	}
}

func (a *instance) restoreEpisode(s *State) {
	ep, kind := a.episode, a.rule.evidence()
	keep := func(p *Point) (point, bool) {
		if p == nil {
			return point{}, false
		}
		v, ok := kind.private(p.Value)
		return point{nanos(p.At), v}, ok
	}
	if s.ToldAs != a.rule.id && !s.FiredAt.IsZero() {
		ep.rule = s.ToldAs
	}
	ep.fired, ep.relapses, ep.told = nanos(s.FiredAt), s.Relapses, slices.Clone(s.Told)
	ep.severity, ep.toldAt, ep.muted = s.Severity, nanos(s.ToldAt), s.Muted
	ep.acked, ep.ackedBy, ep.reminder, ep.reminded = s.Acked, s.AckedBy, nanos(s.Reminder), s.Reminded
	ep.raised, ep.escalated, ep.returned = s.Raised, min(s.Escalated, len(a.rule.escalation)), s.Returned
	ep.flapping = s.Flapping && a.rule.flap != nil && len(a.more().flips) > 0
	ep.frozen, ep.stale, ep.staleTold, ep.noData = nanos(s.Unknown), s.Stale, s.StaleTold, s.NoData
	ep.unseen = s.FirstSeen
	ep.staleAt, ep.returnedTold = nanos(s.StaleAt), s.ReturnedTold
	ep.held, ep.seen = s.Counted[0], s.Counted[1]
	if len(a.rule.renotify) == 0 {
		ep.reminder = 0
	}
	if ep.fired != 0 && ep.severity == Unset && ep.muted == "" {
		ep.severity = a.standing().severity // stored before what was told was kept apart
	}
	if ep.severity != Unset && ep.toldAt == 0 {
		ep.toldAt = ep.fired
	}
	ep.valueAtFire, _ = kind.private(s.ValueAtFire)
	ep.last, _ = keep(s.Measured)
	if p, ok := keep(s.Peak); ok {
		ep.peak = p
	}
	for i := range s.Evidence {
		if p, ok := keep(&s.Evidence[i]); ok && len(ep.evidence) < maxEvidence {
			ep.evidence = append(ep.evidence, p)
		}
	}
}
