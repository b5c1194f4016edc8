package rules

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
	if ep != nil && ep.stale || ep == nil && (a.rule.noData != fireAlarm || a.rule.disabled) {
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

// ages reports whether what is measured says nothing of the present once the
// newest reading is too old to. That readings leave a window is no news of their
// device then. How many came is known all the same.
func (g *gauge) ages() bool {
	switch g.source {
	case aggregate:
		return !g.counts()
	case newest, slope, delta, deviation, flatness:
		return true
	}
	return false
}

// counts reports whether none is as good a measurement as some.
func (g *gauge) counts() bool {
	return g.source == aggregate && g.fn == "count" && g.minSamples == 0
}

// outdated reports whether the newest reading of an alarm's metric is too old to
// speak for the present.
func (e *Engine) outdated(a *instance) bool {
	c := a.channel
	if c.metric.event {
		return false
	}
	after := a.patience()
	return after > 0 && e.now >= e.heard(c, after)+after
}
