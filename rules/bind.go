package rules

import (
	"slices"
	"time"

	"tocsin/rules/window"
)

// bindDevice binds the rules about devices and groups that look at a device and
// are not bound to it yet.
func (e *Engine) bindDevice(d *device) {
	for _, r := range e.program.ofDevice {
		if r.applies(d.id, d.def) && (d.self == nil || d.self.alarm(r) == nil) {
			e.bindSelf(d, r)
		}
	}
	for _, r := range e.program.ofGroup {
		if value, ok := d.value(r.across); ok && r.applies(d.id, d.def) {
			e.join(d, r, value)
		}
	}
}

// bindSelf gives a device an alarm about itself; nil if there is no room.
func (e *Engine) bindSelf(d *device, r *rule) *instance {
	v := e.variant(r, d)
	if v.disabled {
		e.unfit(v, d)
	}
	switch {
	case v.disabled && !r.switched:
		return nil
	case e.counts[r.index].instances >= e.options.MaxInstances:
		e.full(r, d)
		return nil
	}
	if d.self == nil {
		d.self = &channel{device: d}
	}
	e.counts[r.index].instances++
	e.add(d.self, []*rule{v})
	return d.self.alarm(r)
}

// value is what a device has of what a rule groups by: a label, type or via.
func (d *device) value(across string) (string, bool) {
	if d.def == nil {
		return "", false
	}
	v := ""
	switch across {
	case "type":
		v = d.def.Type
	case "via":
		v = d.def.Via
	default:
		v = d.def.Labels[across]
	}
	return v, v != ""
}

// groupAlarm is a rule's alarm of a group, made with the group where there is none;
// nil if there is no room. It stays when the last member leaves: what it was told,
// and when it last fired, holds for whoever comes.
func (e *Engine) groupAlarm(r *rule, value string) *instance {
	name := groupName{r.across, value}
	g := e.groups[name]
	if g == nil {
		g = &device{id: value, group: true, across: r.across, def: &DeviceDef{Labels: map[string]string{r.across: value}}, self: &channel{}}
		g.self.device = g
		e.groups[name] = g
	}
	if a := g.self.alarm(r); a != nil {
		return a
	}
	return e.bindSelf(g, r)
}

// maxMembers bounds the devices of one group, because its alarm looks at all of
// them when one reports.
const maxMembers = 10_000

// join makes a device a member of its group for a rule.
func (e *Engine) join(d *device, r *rule, value string) {
	a := e.groupAlarm(r, value)
	if a == nil {
		return
	}
	g := a.channel.device
	if slices.Contains(a.extra.members, d) || len(a.extra.members) >= maxMembers {
		return
	}
	i, _ := slices.BinarySearchFunc(a.extra.members, d, func(a, b *device) int { return compareIDs(a.id, b.id) })
	a.extra.members = slices.Insert(a.extra.members, i, d)
	if !slices.Contains(d.groups, g) {
		d.groups = append(d.groups, g)
	}
	e.listen(a, d)
	e.queue(a, false) // what it measures is another thing with another member
}

func compareIDs(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// leave takes a device out of the groups that its labels do not put it in.
func (e *Engine) leave(d *device) {
	d.groups = slices.DeleteFunc(d.groups, func(g *device) bool {
		member := false
		for _, a := range g.self.alarms {
			value, _ := d.value(a.rule.across)
			if value == g.id && a.rule.applies(d.id, d.def) {
				member = true
				continue
			}
			a.extra.members = slices.DeleteFunc(a.extra.members, func(m *device) bool { return m == d })
			for _, c := range d.channels {
				c.asked = slices.DeleteFunc(c.asked, func(x *instance) bool { return x == a })
			}
			e.queue(a, false)
		}
		return !member
	})
}

// listen makes an alarm that is about a device, or a group of them, hear of the
// readings it asks for.
func (e *Engine) listen(a *instance, d *device) {
	hear := func(m *metric) *channel {
		c := e.bind(d, m, e.options.MaxInstances)
		if !slices.Contains(c.asked, a) {
			c.asked = append(c.asked, a)
		}
		return c
	}
	for i := range a.rule.gauges {
		g := &a.rule.gauges[i]
		switch {
		case g.source == expression:
			for _, ref := range g.refs {
				if ref.metric == nil {
					continue
				}
				c := hear(ref.metric)
				if ref.Over > 0 {
					c.need(int64(ref.Over), needs(ref.Func))
				}
			}
		case g.metric != nil:
			hear(g.metric).prepare(g)
		}
	}
}

// prepare makes the windows that a gauge needs of a channel.
func (c *channel) prepare(g *gauge) {
	if over, n := g.window(); over > 0 {
		c.need(over, n)
	}
}

// window is the window that a gauge asks, and what for; 0 where it asks none.
func (g *gauge) window() (over int64, n window.Needs) {
	switch g.source {
	case aggregate:
		return int64(g.over), needs(g.fn)
	case slope:
		return int64(g.over), window.Slope
	case delta:
		return int64(g.over), window.Sums
	}
	return 0, 0
}

// needs is what a window must be able to answer for a function of its readings.
func needs(fn string) window.Needs {
	switch fn {
	case "min", "max", "spread":
		return window.Extremes
	case "median", "quantile":
		return window.Quantiles
	case "rate":
		return window.Slope
	}
	return window.Sums
}

// need makes a window of a channel, or makes it answer more.
func (c *channel) need(over int64, n window.Needs) *span {
	s := c.span(over)
	if s == nil {
		s = &span{over: over, needs: n, Window: window.New(time.Duration(over), n)}
		c.windows = append(c.windows, s)
		if c.last.at != 0 {
			s.since(c)
		}
	}
	s.needs |= n
	s.Need(n)
	return s
}

func (c *channel) span(over int64) *span {
	for _, s := range c.windows {
		if s.over == over {
			return s
		}
	}
	return nil
}

// variant is the rule as overrides make it for a device.
func (e *Engine) variant(r *rule, d *device) *rule {
	if !r.varies || d.group {
		return r
	}
	key := e.program.variantKey(r, d.id, d.def)
	if key == "" {
		return r
	}
	name := variantName{r.index, key}
	v := e.variants[name]
	if v == nil {
		v = e.program.variant(r, d.id, d.def)
		e.variants[name] = v
	}
	return v
}

// bind makes the channel of a metric of a device, with an alarm for each rule
// that looks at it and has fewer than limit.
func (e *Engine) bind(d *device, m *metric, limit int) *channel {
	if c := d.channel(m.name); c != nil {
		return c
	}
	c := &channel{device: d, metric: m, mark: e.mark}
	d.channels = append(d.channels, c)
	e.bindRules(c, limit)
	return c
}

func (d *device) channel(metric string) *channel {
	for _, c := range d.channels {
		if c.metric.name == metric {
			return c
		}
	}
	return nil
}

// bindRules gives a channel an alarm for each rule that looks at it and has
// none yet.
func (e *Engine) bindRules(c *channel, limit int) {
	d, m := c.device, c.metric
	c.refused = false
	var bound []*rule
	for _, list := range [][]*rule{m.byDevice[d.id], m.general} {
		for _, r := range list {
			if !r.applies(d.id, d.def) || c.alarm(r) != nil {
				continue
			}
			v := e.variant(r, d)
			if v.disabled {
				e.unfit(v, d)
			}
			switch {
			case v.disabled && !r.switched:
			case e.counts[r.index].instances >= limit:
				c.refused = true
				e.full(r, d)
			default:
				e.counts[r.index].instances++
				bound = append(bound, v)
			}
		}
	}
	e.add(c, bound)
}

// add gives a channel alarms that are at rest.
func (e *Engine) add(c *channel, bound []*rule) {
	if len(bound) == 0 {
		return
	}
	c.calm = calm{}
	fresh := make([]instance, len(bound))
	for i, r := range bound {
		a := &fresh[i]
		*a = instance{rule: r, channel: c, place: -1}
		a.equip()
		c.alarms = append(c.alarms, a)
		e.counts[r.index].standing[Unset][inactive]++
	}
	slices.SortFunc(c.alarms, func(a, b *instance) int { return a.rule.index - b.rule.index })
	for i := range fresh {
		a := &fresh[i]
		e.heed(a)
		e.attune(a)
		if a.rule.subject == ofDevice && slices.ContainsFunc(a.rule.gauges, func(g gauge) bool { return g.source == silence }) {
			c.device.silent = append(c.device.silent, a)
		}
		if !a.rule.plain {
			e.queue(a, false)
		}
	}
}

// attune makes the windows that an alarm's rule asks for, and has it hear of what
// it asks.
func (e *Engine) attune(a *instance) {
	switch a.rule.subject {
	case ofMetric:
		for g := range a.rule.gauges {
			a.channel.prepare(&a.rule.gauges[g])
		}
	case ofDevice:
		e.listen(a, a.channel.device)
	}
}

// equip makes what only some rules remember.
func (a *instance) equip() {
	r := a.rule
	if !r.plain {
		a.more()
	}
	if a.extra == nil {
		return
	}
	gauges, rungs := 0, 0
	if slices.ContainsFunc(r.gauges, func(g gauge) bool { return g.remembers() }) {
		gauges = len(r.gauges)
	}
	if slices.ContainsFunc(r.rungs, func(g rung) bool { return g.repeats != nil || g.share > 0 }) {
		rungs = len(r.rungs)
	}
	if len(a.extra.gauges) != gauges {
		a.extra.gauges = make([]gaugeMemory, gauges)
	}
	if len(a.extra.rungs) != rungs {
		a.extra.rungs = make([]rungMemory, rungs)
	}
}

// alarm is the channel's alarm of a rule; nil for none.
func (c *channel) alarm(r *rule) *instance {
	for _, a := range c.alarms {
		if a.rule.index == r.index {
			return a
		}
	}
	return nil
}

// alarm is a device's alarm of a rule, whatever it is about; nil for none.
func (d *device) alarm(r *rule) *instance {
	if r.subject == ofMetric {
		if c := d.channel(r.metric.name); c != nil {
			return c.alarm(r)
		}
		return nil
	}
	if d.self == nil {
		return nil
	}
	return d.self.alarm(r)
}
