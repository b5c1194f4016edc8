package rules

// catchUpWith lets an alarm stand as it would if the readings of the past had come
// in time: s is its like in an engine that took them in, up to the reading after
// the hole (at to), or, if whole, up to the newest. Otherwise only what the
// reading at to began can have begun earlier. What was told stays as it was told:
// the episode, its start, who knows of it.
func (e *Engine) catchUpWith(a, s *instance, to int64, whole bool, out *Output) {
	if len(a.rule.rungs) != len(s.rule.rungs) || a.episode == nil && (s.episode == nil || !whole) || a.episode != nil && a.episode.noData || s.episode != nil && s.episode.noData {
		return
	}
	was := a.standing()
	if a.episode == nil && s.episode.returned {
		e.latchOf(a, s, out)
		return
	}
	if a.episode != nil && a.episode.fired != 0 && s.episode != nil && s.episode.peak.at != 0 {
		a.episode.top(&a.rule.rungs[0], s.episode.peak)
	}
	rungs, changed := a.earlier(s, to, whole)
	if !changed {
		return
	}
	ep := a.episode
	if ep == nil {
		a.open()
		ep = a.episode
		if s.episode.frozen != 0 {
			ep.frozen, ep.stale = a.channel.ours(s.episode.frozen), s.episode.stale
		}
	}
	ep.recount(a.rule, s.episode, whole)
	ep.rungs = rungs
	starts := false
	for i := range rungs {
		starts = starts || rungs[i].on && ep.fired == 0
	}
	if starts {
		e.beginOf(a, s)
	}
	for i := range rungs {
		t, g := &rungs[i], &a.rule.rungs[i]
		if due := t.due(g); ep.frozen == 0 && due != 0 && due <= e.now {
			t.lapse(g)
		}
	}
	a.join()
	e.settle(a, was, e.now, true, out)
}

// earlier are the alarm's timers as s knows them, and whether that differs.
func (a *instance) earlier(s *instance, to int64, whole bool) (rungs []timer, changed bool) {
	rungs = make([]timer, len(a.rule.rungs))
	if a.episode != nil {
		copy(rungs, a.episode.rungs)
	}
	for i := range rungs {
		t, known := &rungs[i], timer{}
		if s.episode != nil {
			known = s.episode.rungs[i]
		}
		wait, _ := a.rule.rungs[i].wait(known.on)
		switch {
		case t.on == known.on && t.running == known.running && t.since == known.since:
			continue
		case t.on && !known.on && known.running:
			continue // it came on again, and will again: people know it as it is
		case whole:
			*t = timer{on: known.on, running: known.running, since: known.since, uncovered: known.uncovered, samples: known.samples}
			if t.running {
				t.deadline = a.channel.ours(t.since + t.uncovered + int64(wait))
			}
		case !t.running || t.on || t.since != to:
			continue
		case known.on:
			*t = timer{on: true}
		case known.running && known.since < t.since:
			t.deadline -= t.since - known.since - known.uncovered
			t.since, t.uncovered, t.samples = known.since, t.uncovered+known.uncovered, t.samples+known.samples-1
		default:
			continue
		}
		if t.on && !t.running {
			t.since, t.ended = s.started, max(to, s.started)
			if s.episode.fired != 0 {
				t.ended = s.episode.fired
			}
		}
		if !t.on && !t.running && a.episode != nil && a.episode.rungs[i].on {
			t.ended = max(s.ended, a.started)
		}
		changed = true
	}
	return rungs, changed
}

// recount takes over what was seen of an episode that nobody has been told of.
func (ep *episode) recount(r *rule, known *episode, whole bool) {
	switch {
	case known == nil, ep.fired != 0:
	case whole:
		ep.held, ep.seen, ep.last = known.held, known.seen, known.last
		ep.peak, ep.evidence = known.peak, known.evidence
	default:
		ep.held, ep.seen = ep.held+known.held-1, ep.seen+known.seen-1
		after := ep.evidence
		ep.evidence = known.evidence
		if known.peak.at != 0 {
			ep.top(&r.rungs[0], known.peak)
		}
		for _, p := range after {
			if n := len(ep.evidence); n > 0 && p.at <= ep.evidence[n-1].at {
				continue
			}
			if len(ep.evidence) >= maxEvidence {
				ep.thin()
			}
			ep.evidence = append(ep.evidence, p)
		}
	}
}

// beginOf begins an episode now that began in the past. It starts after what was
// told before it has ended.
func (e *Engine) beginOf(a, s *instance) {
	ep := a.episode
	rungs := ep.rungs
	ep.rungs = append([]timer(nil), rungs...)
	for i := range ep.rungs {
		if t := &ep.rungs[i]; t.on {
			t.since = s.started
			if a.ended != 0 {
				t.since = max(t.since, a.ended+1)
			}
		}
	}
	a.begin(e.now)
	ep.rungs = rungs
	e.flooding(a, e.now)
}

// latchOf fires an alarm whose condition has come and gone in the past, and which
// a person must have seen.
func (e *Engine) latchOf(a, s *instance, out *Output) {
	if a.tells(s.started, s.started) {
		return
	}
	was := a.standing()
	a.open()
	ep := a.episode
	ep.recount(a.rule, s.episode, true)
	ep.rungs[0] = timer{on: true}
	e.beginOf(a, s)
	ep.rungs[0] = timer{}
	ep.returned = true
	e.settle(a, was, e.now, true, out)
}
