package rules

import (
	"slices"
)

// fresh is for how long a reading of a channel is used by an expression or a
// group: what the rule says, or three times its device's interval; 0 for ever.
func (a *instance) fresh(c *channel) int64 {
	if a.rule.fresh > 0 {
		return int64(a.rule.fresh)
	}
	if every, ok := c.device.interval(); ok {
		return 3 * int64(every)
	}
	return 0
}

// reduce makes one number of what a group's devices measure. It is unknown while
// too few of them are fresh.
func (e *Engine) reduce(a *instance, g *gauge) measurement {
	values := e.sorted[:0]
	out := measurement{}
	total := 0.0
	for _, d := range a.extra.members {
		c := d.channel(a.rule.metric.name)
		if c == nil || c.last.at == 0 {
			continue
		}
		if fresh := a.fresh(c); fresh > 0 {
			end := c.at + fresh
			if end <= e.gone() {
				continue
			}
			out.until = sooner(out.until, end)
		}
		m := measurement{value: c.last.value, known: true}
		if g.over > 0 {
			m = e.windowed(c, int64(g.over), g.fn, g.quantile, g.minSamples, g.source, g.per)
			out.until = sooner(out.until, m.until)
		}
		if m.known {
			values = append(values, m.value.num)
			total += m.value.num
			out.partial = out.partial || m.partial
		}
	}
	e.sorted = values
	n := len(values)
	if !a.rule.quorate(n, len(a.extra.members)) {
		return out
	}
	if a.rule.reduce == "count" {
		return measurement{value: value{num: float64(n)}, known: true, until: out.until}
	}
	if n == 0 || out.partial && a.rule.reduce == "spread" {
		return out
	}
	out.known = true
	switch a.rule.reduce {
	case "sum":
		out.value.num = total
	case "min":
		out.value.num = slices.Min(values)
	case "max":
		out.value.num = slices.Max(values)
	case "spread":
		out.value.num = slices.Max(values) - slices.Min(values)
	case "median":
		slices.Sort(values)
		out.value.num = (values[(n-1)/2] + values[n/2]) / 2
	default:
		out.value.num = total / float64(n)
	}
	return out
}

// quorate reports whether n of the expected devices are enough.
func (g *group) quorate(n, expected int) bool {
	if g.quorumShare {
		return float64(n)*100 >= g.quorum*float64(expected)
	}
	return float64(n) >= g.quorum
}
