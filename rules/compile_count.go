package rules

import "slices"

// Where readings are counted, a repetition that nothing tells from a new reading
// does harm. Whether a transport repeats, the rules do not know: they only say
// where it would matter.

// counts notes that a key counts readings of a metric.
func (c *compiler) counts(path []string, m *metric) {
	path = c.written(path)
	same := func(have CountRef) bool { return have.Metric == m.name && slices.Equal(have.Path, path) }
	if !slices.ContainsFunc(c.counted, same) {
		c.counted = append(c.counted, CountRef{Metric: m.name, Path: path})
	}
}

// recurs notes what a rung with repeats counts: readings of every metric that its
// condition looks at.
func (c *compiler) recurs(path []string, g *rung, r *rule, ok bool) {
	if g.repeats == nil || !ok {
		return
	}
	at := join(path, "repeats")
	asks := &r.gauges[g.gauge]
	if asks.metric != nil {
		c.counts(at, asks.metric)
	}
	for _, ref := range asks.refs {
		if ref.metric != nil {
			c.counts(at, ref.metric)
		}
	}
}
