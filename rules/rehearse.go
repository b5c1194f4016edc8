package rules

import "slices"

// After a crash there are the states of the last transitions, which were committed
// with what they told, and a snapshot with the inputs that came after it. The
// inputs are judged once more, from the snapshot on: that is what everything was
// that no transition carries, such as windows, a flood, or how far a timer has
// come. How an alarm stands is for the store to say.

// Recollect takes an alarm back as it stood at the snapshot that a rehearsal begins
// with, before the first [Engine.Rehearse].
func (e *Engine) Recollect(s State) {
	e.restore(s)
	e.rehearsed = true
}

// Rehearse takes an input of the past in that an engine has decided on already,
// before the first [Engine.Restore]. It is judged again, and what comes of it is
// told to nobody.
func (e *Engine) Rehearse(in Input) {
	e.rehearsing = true
	var out Output
	e.Step(in, &out)
	e.rehearsing, e.rehearsed = false, true
}

// rehearsal ends a rehearsal, before anything else: the alarms are at rest again,
// and how they stood is kept for Restore. What was rehearsed was decided on, and the
// decisions are stored: a reading that is older now is late, as it would have been.
func (e *Engine) rehearsal() {
	if !e.rehearsed {
		return
	}
	e.rehearsed, e.chores = false, e.now
	e.flood.alarms, e.shifted, e.renamed, e.recheck, e.selected, e.orphans, e.ended = nil, nil, nil, nil, nil, nil, 0
	e.played = map[*instance]State{}
	for _, a := range slices.Collect(e.instances()) {
		e.played[a] = a.state()
		e.forget(a)
	}
}

// forget puts an alarm to rest that has decided nothing.
func (e *Engine) forget(a *instance) {
	was := a.standing()
	a.episode, a.started, a.ended, a.seq = nil, 0, 0, 0
	if x := a.extra; x != nil {
		x.fired, x.shelved, x.flips = 0, nil, nil
	}
	e.recount(a, was)
	e.wait(a, 0)
}

// compareRehearsed gives a stored alarm what the rehearsal knows beyond its last
// transition, if it came to the same. Otherwise what holds now is looked at, once
// it is known how all alarms stand.
func (e *Engine) compareRehearsed(a *instance, s *State) {
	if e.played == nil {
		return
	}
	r, ok := e.played[a]
	switch {
	case ok && s.agrees(&r):
		s.enrich(&r)
		delete(e.played, a)
	case ok || phaseLeft(s):
		if s.Episode == r.Episode && !s.FiredAt.IsZero() {
			s.worsen(a.rule, &r)
		}
		e.played[a] = *s
	}
}

// worsen takes over the peak of the same episode, which readings change without a
// transition.
func (s *State) worsen(rule *rule, r *State) {
	switch g := &rule.rungs[0]; {
	case r.Peak == nil || !g.peaks():
	case s.Peak == nil:
		s.Peak = r.Peak
	default:
		x, ok := rule.evidence().private(r.Peak.Value)
		y, known := rule.evidence().private(s.Peak.Value)
		if ok && known && g.further(x.num, y.num) {
			s.Peak = r.Peak
		}
	}
}

// agrees reports whether a rehearsal came to what was stored: the same episode, as
// far as it was told, and the same timers.
func (s *State) agrees(r *State) bool {
	return s.Revision == r.Revision && s.Episode == r.Episode && s.Seq == r.Seq && s.Stale == r.Stale && s.Unknown.IsZero() == r.Unknown.IsZero() &&
		slices.EqualFunc(s.Levels, r.Levels, func(x, y LevelState) bool {
			return x.Severity == y.Severity && x.On == y.On && x.Since.Equal(y.Since)
		})
}

// enrich takes over what readings change without a transition.
func (s *State) enrich(r *State) {
	for i := range s.Levels {
		x, y := &s.Levels[i], &r.Levels[i]
		if y.Deadline.Before(x.Deadline) {
			x.Deadline = y.Deadline
		}
		x.Uncovered, x.Samples = min(x.Uncovered, y.Uncovered), max(x.Samples, y.Samples)
	}
	if r.Contact.After(s.Contact) {
		s.Contact = r.Contact
	}
	s.Flips, s.Counted, s.Measured, s.Peak, s.Evidence = r.Flips, r.Counted, r.Measured, r.Peak, r.Evidence
}

// awaken has what holds now looked at after a rehearsal, where that came to
// something else than what is stored.
func (e *Engine) awaken(out *Output) {
	if e.played == nil {
		return
	}
	for a := range e.played {
		if !a.rule.plain {
			e.queue(a, false)
		}
		e.schedule(a)
	}
	e.played, e.retold = nil, retold{}
	e.settleDirty(out)
}
