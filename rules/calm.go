package rules

import "math"

// A calm is the numbers, from lo to hi, that leave every alarm of a channel at rest
// and come no nearer to a limit than others did: a reading that is one of them need
// not be put before any alarm. It is only a shorter way to what each of them would
// say, and is forgotten whenever one of them begins to move, is added, or judges by
// another variant of its rule; so it is never stored.
type calm struct {
	known  bool
	lo, hi float64
}

func (c *calm) covers(v float64) bool { return c.known && v >= c.lo && v <= c.hi }

// calm works out the calm of a channel whose alarms are at rest, all of them by
// rules that look at nothing but its readings.
func (e *Engine) calm(c *channel) calm {
	all := calm{true, math.Inf(-1), math.Inf(1)}
	for _, a := range c.alarms {
		of := a.rule.calm(e.counts[a.rule.index].health.near.short)
		all.lo, all.hi = max(all.lo, of.lo), min(all.hi, of.hi)
	}
	return all
}

// calm is what leaves an alarm at rest and falls short of the limit of the lowest
// level by so much at least, as that is reckoned.
func (r *rule) calm(short float64) calm {
	c, g := calm{true, r.restLo, r.restHi}, &r.rungs[0]
	switch g.op {
	case above, atLeast:
		c.hi = min(c.hi, g.lo-short)
	case below, atMost:
		c.lo = max(c.lo, g.lo+short)
	case outside:
		c.lo, c.hi = max(c.lo, g.lo+short), min(c.hi, g.hi-short)
	}
	if g.short(c.lo) < short { // rounded to the wrong side
		c.lo = math.Nextafter(c.lo, math.Inf(1))
	}
	if g.short(c.hi) < short {
		c.hi = math.Nextafter(c.hi, math.Inf(-1))
	}
	return c
}

// ranks reports whether the rule compares one quantile of a window, extremes among
// them, with limits. When readings leave, that moves by ranks only: so it is known
// how many may leave before there is anything to look at.
func (r *rule) ranks() bool {
	if r.subject != ofMetric || r.gauges[0].source != aggregate {
		return false
	}
	for i := range r.rungs {
		if g := &r.rungs[i]; g.gauge != 0 || g.repeats != nil || g.share > 0 {
			return false
		}
	}
	_, ok := rankOf(r.gauges[0].fn, r.gauges[0].quantile)
	return ok
}

// rankOf is which quantile a function of a window's readings is; false for one that
// is none.
func rankOf(fn string, quantile float64) (float64, bool) {
	switch fn {
	case "min":
		return 0, true
	case "median":
		return 0.5, true
	case "max":
		return 1, true
	case "quantile":
		return quantile, true
	}
	return 0, false
}

// restsUntil is until when an alarm at rest stays so if nothing comes, whatever
// leaves its window, on the bridge's clock; 0 for ever.
func (r *rule) restsUntil(g *gauge, c *channel) int64 {
	q, _ := rankOf(g.fn, g.quantile)
	at := c.span(int64(g.over)).Holds(q, r.restLo, r.restHi)
	if at == 0 {
		return 0
	}
	return c.ours(at + int64(g.over))
}
