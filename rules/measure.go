package rules

import (
	"math"

	"tocsin/rules/window"
)

// Alarms that look at one reading compare it as it comes. All others measure:
// something is computed of several readings, of their absence, or of other
// alarms, and may change with time alone. Each measurement says until when it
// holds, and the alarm is looked at again then, on the bridge's clock; so what is
// decided does not depend on when ticks come.

// A gaugeMemory is what a gauge remembers from reading to reading.
type gaugeMemory struct {
	run   window.Run       // flatness
	marks *window.Marks    // invalidity
	base  *window.Baseline // deviation
	value float64          // deviation: of the newest reading
	known bool
	at    int64   // changed, and deviation's next: the last one, in event time; silence: the contact that was the last
	next  float64 // deviation: the newest reading, which is normal unless it began an alarm
}

func (g *gauge) remembers() bool {
	switch g.source {
	case changed, flatness, invalidity, deviation, silence:
		return true
	}
	return false
}

// axis is a channel's own time at a moment of ours: its newest reading's, and
// what has gone by since it came. A device whose clock is wrong by an hour has
// windows like any other.
func (c *channel) axis(now int64) int64 {
	if c.last.at == 0 {
		return now
	}
	return c.last.at + now - c.at
}

// ours turns a time on the channel's axis into one on the bridge's clock.
func (c *channel) ours(at int64) int64 {
	if c.last.at == 0 {
		return at
	}
	return at - c.last.at + c.at
}

// observe lets a gauge take a new reading in, before it is asked.
func (e *Engine) observe(a *instance, v float64, at int64) {
	if a.extra == nil || len(a.extra.gauges) == 0 {
		return
	}
	for i := range a.rule.gauges {
		g, m := &a.rule.gauges[i], &a.extra.gauges[i]
		switch g.source {
		case flatness:
			m.run.Add(at, v, g.within)
		case changed:
			if g.change.happened(a.channel) {
				m.at = at
			}
		case deviation:
			e.deviate(a, g, m, v, at)
		}
	}
}

// happened reports whether the newest reading is the change that is asked for.
func (ch *change) happened(c *channel) bool {
	if ch.moment != nil {
		return ch.moment.fires(c.last.value) == yes
	}
	if c.prev.at == 0 && !(c.metric.event && ch.from == nil && ch.by == 0) {
		return false
	}
	was, is := c.prev.value, c.last.value
	if c.metric.event { // two of the same are two
		return (ch.from == nil || *ch.from == was) && (ch.to == nil || *ch.to == is)
	}
	switch {
	case ch.by > 0:
		return is.num-was.num >= ch.by
	case ch.by < 0:
		return is.num-was.num <= ch.by
	}
	return was != is && (ch.from == nil || *ch.from == was) && (ch.to == nil || *ch.to == is)
}

// A measurement is what a gauge says, and for how long.
type measurement struct {
	value   value
	known   bool
	partial bool  // a count or a sum, and it may be more: nobody has watched its whole stretch
	at      int64 // event time since when it is so, where the gauge knows better
	until   int64 // on the bridge's clock; 0 for as long as nothing happens
}

// measure asks a gauge of an alarm.
func (e *Engine) measure(a *instance, i int) measurement {
	g, c := &a.rule.gauges[i], a.channel
	switch g.source {
	case expression:
		return e.evaluate(a, g)
	case silence:
		return e.quiet(a, i)
	case skewness:
		if d := c.device; d.skews != nil {
			skew, ok := d.skews.Median()
			return measurement{value: value{num: math.Abs(skew.Seconds())}, known: ok}
		}
		return measurement{}
	}
	if a.rule.subject == ofGroup {
		return e.reduce(a, g)
	}
	if (g.ages() || g.source == changed && !a.rule.gaugesSilence()) && e.outdated(a) {
		return measurement{}
	}
	return e.gaugeOf(a, i, c)
}

// gaugeOf asks a gauge of one channel.
func (e *Engine) gaugeOf(a *instance, i int, c *channel) measurement {
	g := &a.rule.gauges[i]
	if g.source == newest {
		return measurement{value: c.last.value, known: c.last.at != 0}
	}
	if g.over > 0 {
		m := e.windowed(c, int64(g.over), g.fn, g.quantile, g.minSamples, g.source, g.per)
		if a.rule.lasts && a.episode == nil {
			m.until = a.rule.restsUntil(g, c)
		}
		return m
	}
	m := &a.extra.gauges[i]
	switch g.source {
	case flatness:
		if c.last.at == 0 {
			return measurement{}
		}
		// From reading to reading: that nothing comes is not that nothing moves.
		return measurement{value: value{num: float64(c.last.at-m.run.Since()) / 1e9}, known: true}
	case changed:
		end := m.at + int64(g.change.hold)
		held := m.at != 0 && c.axis(e.gone()) < end
		out := measurement{value: truthValue(held), known: c.last.at != 0}
		if held {
			out.until = c.ours(end)
		}
		return out
	case invalidity:
		if m.marks == nil {
			return measurement{known: true}
		}
		out := measurement{value: value{num: float64(m.marks.Within(e.gone(), g.count.within))}, known: true}
		if int(out.value.num) == g.count.count { // the oldest is one of them
			out.until = m.marks.Oldest() + int64(g.count.within)
		}
		return out
	case deviation:
		return measurement{value: value{num: m.value}, known: m.known}
	}
	return measurement{}
}

func truthValue(b bool) value {
	if b {
		return value{num: 1}
	}
	return value{}
}

// windowed asks a window of a channel.
func (e *Engine) windowed(c *channel, over int64, fn string, quantile float64, min_ int, src source, per float64) measurement {
	w := c.span(over)
	if w == nil || c.last.at == 0 {
		return measurement{}
	}
	now := c.axis(e.now)
	w.pass(c, e.gone())
	out := measurement{}
	if adds(fn) {
		out.partial, out.until = e.partial(c, w.Window, now)
	}
	n := w.Count()
	if n > 0 {
		out.until = sooner(out.until, c.ours(w.Oldest()+over))
	}
	need := max(min_, 1)
	if src == delta || fn == "delta" {
		need = max(need, 2) // a reading differs from another one
	}
	if (src == slope || fn == "rate") && w.Newest()-w.Oldest() < over/10 {
		return out // what a burst rose by in milliseconds says nothing of minutes
	}
	if n < need {
		if fn == "count" && min_ == 0 {
			out.known = true
		}
		return out
	}
	if fn == "sum" && out.partial && c.signed(w.Window) {
		return out // more readings could make it less
	}
	var v float64
	ok := true
	switch src {
	case slope:
		v, ok = w.Slope()
		v *= per
	case delta:
		v, ok = w.Delta()
	default:
		v, ok = apply(w.Window, fn, quantile)
	}
	out.value, out.known = value{num: v}, ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	return out
}

// apply asks a window for a function of its readings.
func apply(w *window.Window, fn string, quantile float64) (float64, bool) {
	switch fn {
	case "avg":
		return w.Avg()
	case "min":
		return w.Min()
	case "max":
		return w.Max()
	case "sum":
		return w.Sum()
	case "count":
		return float64(w.Count()), true
	case "first":
		return w.First()
	case "last":
		return w.Last()
	case "stddev":
		return w.Stddev()
	case "spread":
		return w.Spread()
	case "median":
		return w.Quantile(0.5)
	case "quantile":
		return w.Quantile(quantile)
	case "rate":
		return w.Slope()
	case "delta":
		return w.Delta()
	}
	return 0, false
}

// quiet measures whether a device has been silent for too long. Once an alarm is
// on, only a contact ends it, and not that we were deaf meanwhile.
func (e *Engine) quiet(a *instance, i int) measurement {
	d, m := a.channel.device, &a.extra.gauges[i]
	r := e.reachOf(a, i)
	on := a.episode != nil && a.episode.fired != 0
	base := i == a.rule.rungs[0].gauge
	switch {
	case r.deaf:
		return measurement{}
	case on && !r.lost && d.contact == m.at && (base || d.contact != 0):
		return measurement{value: value{num: 1}, known: true}
	case r.deadline == 0 && on && !r.lost: // it was lost, and is there again
		return measurement{known: true}
	case r.deadline == 0:
		return measurement{}
	case e.gone() >= r.deadline:
		m.at = d.contact
		return measurement{value: value{num: 1}, known: true, at: r.deadline}
	}
	return measurement{known: true, until: r.deadline}
}

// minSamples is what the rule asks of the windows in its expressions.
func (r *rule) minSamples() int {
	for i := range r.gauges {
		if n := r.gauges[i].minSamples; n > 0 {
			return n
		}
	}
	return 0
}
