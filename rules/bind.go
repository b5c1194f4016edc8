package rules

import (
	"slices"
	"strings"
)

func (e *Engine) device(id string) *device {
	d := e.devices[id]
	if d == nil {
		id = strings.Clone(id) // it may be part of a large message
		d = &device{id: id, def: e.program.devices[id]}
		e.devices[id] = d
	}
	return d
}

// bind makes the channel of a metric of a device, with an alarm for each rule
// that looks at it and has fewer than limit.
func (e *Engine) bind(d *device, m *metric, limit int) *channel {
	for _, c := range d.channels {
		if c.metric == m {
			return c
		}
	}
	c := &channel{device: d, metric: m}
	d.channels = append(d.channels, c)
	e.bindRules(c, limit)
	return c
}

// bindRules gives a channel an alarm for each rule that looks at it and has
// none yet. Alarms move when their number grows; the timers follow them, and
// nothing else points to an alarm from one step to the next.
func (e *Engine) bindRules(c *channel, limit int) {
	d, m := c.device, c.metric
	c.refused = false
	var bound []*rule
	for _, list := range [][]*rule{m.byDevice[d.id], m.general} {
		for _, r := range list {
			switch {
			case !r.applies(d.id, d.def) || c.alarm(r) != nil:
			case e.counts[r.index].instances >= limit:
				c.refused = true
			default:
				e.counts[r.index].instances++
				bound = append(bound, r)
			}
		}
	}
	c.add(bound, e)
}

// add gives the channel alarms that are at rest.
func (c *channel) add(bound []*rule, e *Engine) {
	if len(bound) == 0 {
		return
	}
	alarms := make([]instance, len(c.alarms), len(c.alarms)+len(bound))
	copy(alarms, c.alarms)
	for _, r := range bound {
		alarms = append(alarms, instance{rule: r, channel: c, place: -1})
		e.counts[r.index].standing[Unset][inactive]++
	}
	slices.SortFunc(alarms, func(a, b instance) int { return a.rule.index - b.rule.index })
	c.alarms = alarms
	for i := range alarms {
		if a := &alarms[i]; a.place >= 0 {
			e.timers[a.place] = a
		}
	}
}

// alarm is the channel's alarm of a rule; nil for none.
func (c *channel) alarm(r *rule) *instance {
	for i := range c.alarms {
		if c.alarms[i].rule == r {
			return &c.alarms[i]
		}
	}
	return nil
}
