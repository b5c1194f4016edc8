package rules

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tocsin/rules/window"
)

// batch takes in the readings of a message in the order of their own time. What
// lies further back than late tolerates is the past: an episode that began and
// ended there is told as one that occurred.
func (e *Engine) batch(list []Sample, out *Output) {
	order := e.order[:0]
	for i := range list {
		order = append(order, &list[i])
	}
	slices.SortStableFunc(order, func(a, b *Sample) int { return a.At.Compare(b.At) })
	e.order = order
	end := order[len(order)-1].At.Add(-e.program.late)
	for i, s := range order {
		e.past = s.At.Before(end) && s.Invalid == ""
		e.taking = true
		e.sample(s, out)
		e.taking = false
		if next := i + 1; next == len(order) || !order[next].At.Equal(s.At) {
			e.settleDirty(out)
		}
	}
	e.past = false
	clear(order)
	e.order = order[:0]
	for _, c := range e.touched {
		e.flushLate(c, out)
		for _, list := range [][]*instance{c.alarms, c.asked} {
			for _, a := range list {
				if a.episode != nil && a.episode.muted == pastMute {
					e.settle(a, a.standing(), e.now, false, out)
				}
			}
		}
	}
	e.touched = e.touched[:0]
}

// pastMute is why an episode is not told yet: its reading is not the last of its
// message.
const pastMute = "past"

// sample takes one reading in.
func (e *Engine) sample(s *Sample, out *Output) {
	retained := s.Flags&Retained != 0
	d := e.recent
	if d == nil || d.id != s.Device {
		d = e.devices[s.Device]
		e.recent = d
	}
	if d == nil {
		if e.undeclared(s.Device, out) || e.program.metrics[s.Metric] == nil && len(e.program.ofDevice) == 0 && len(e.program.ofGroup) == 0 {
			return
		}
		if d = e.meet(s.Device, s.Source, s.Labels, retained, out); d == nil {
			return
		}
	} else if len(s.Labels) != 0 && !same(s.Labels, d.heard) {
		e.learn(d, s)
	}
	sec := s.At.Unix()
	at := sec*int64(time.Second) + int64(s.At.Nanosecond())
	if !retained {
		e.contacted(d, s, at, out)
	}
	c := d.channel(s.Metric)
	if c == nil {
		m := e.program.metrics[s.Metric]
		if m == nil {
			return
		}
		c = e.bind(d, m, e.options.MaxInstances)
	}
	if c.refused {
		out.Problems = append(out.Problems, "instances")
	}
	out.Depends = max(out.Depends, c.mark)
	v, reason := value{num: s.Num}, ""
	if !c.metric.takes(s) || c.foreign != nil || sec <= 0 || sec > latest {
		if v, reason = c.read(s); reason != "" {
			out.Problems = append(out.Problems, reason)
			e.unusable(c)
			return
		}
	}
	if retained && e.retained(c, v, at, s, out) {
		return
	}
	switch {
	case at < c.judged:
		e.behind(c, v, at, s, out)
		return
	case at == c.judged && v == c.last.value && c.last.at == at:
		return // the same again
	case d.bucket != nil && e.coalesced(c, v, at, s, out):
		return
	}
	e.live(c, v, at, s, out)
}

// unusable counts a reading that cannot be judged.
func (e *Engine) unusable(c *channel) {
	for _, a := range c.alarms {
		if ep := a.episode; ep != nil && ep.fired == 0 {
			ep.seen++
		}
		if a.extra == nil || len(a.extra.gauges) == 0 {
			continue
		}
		for i := range a.rule.gauges {
			if g := &a.rule.gauges[i]; g.source == invalidity {
				m := &a.extra.gauges[i]
				if m.marks == nil {
					m.marks = window.NewMarks(g.count.count)
				}
				m.marks.Add(e.now)
				e.queue(a, true)
			}
		}
	}
}

// live takes in the newest reading of a channel and judges by it.
func (e *Engine) live(c *channel, v value, at int64, s *Sample, out *Output) {
	if c.late != nil {
		e.flushLate(c, out)
	}
	before, axis := c.last, c.axis(e.gone())
	if at >= c.last.at { // not one that is repeated after a crash
		if at-c.last.at > int64(e.program.late) || c.trailing {
			e.follow(c, point{at, v})
			c.trailing = c.trails()
		}
		c.prev = c.last
		c.last, c.clock, c.at = point{at, v}, s.Clock, e.now
		if c.metric.counter {
			c.count(v, before)
		}
	}
	if len(c.windows) > 0 {
		c.enter(at, v.num, axis)
	}
	c.judged = at
	if e.past {
		e.touch(c)
	}
	if !c.calm.covers(v.num) { // nearly every reading is
		e.put(c, point{at, v}, before, s.Flags&Retained != 0, out)
	}
	c.seen = e.now >= e.warm.from
	for _, a := range c.asked {
		e.queue(a, true)
	}
}

// enter takes the newest reading into the windows. They go on to it first, so that
// they never hold more than they must; and as far as they would have gone if
// somebody had looked just before it came.
func (c *channel) enter(at int64, v float64, axis int64) {
	for _, w := range c.windows {
		w.left = w.left[:0]
		w.Advance(max(at, min(axis, w.Newest()+w.over)))
		w.Add(at, v+c.carried)
	}
}

// put puts a reading before its channel's alarms.
func (e *Engine) put(c *channel, p, before point, retained bool, out *Output) {
	calm := c.metric.kind == Number
	for _, a := range c.alarms {
		if a.episode == nil && a.rule.plain && (a.rule.rests(p.value.num) || !a.rule.wakes(p.value)) {
			e.counts[a.rule.index].health.saw(a, p.value)
			continue
		}
		calm = false
		e.weigh(a, p, before, retained, out)
	}
	if calm {
		c.calm = e.calm(c)
	}
}

// weigh puts a reading before one of its channel's alarms.
func (e *Engine) weigh(a *instance, p, before point, retained bool, out *Output) {
	d, v, at := a.channel.device, p.value, p.at
	retained = retained && (a.rule.retained == ignoreRetained || a.channel.clock == ClockArrival || !e.young(a, at))
	switch {
	case a.rule.disabled:
		e.observe(a, v.num, at) // what it measures goes on
	case retained && a.rule.retained == ignoreRetained, e.past && !a.rule.backfill && a.episode == nil:
		e.schedule(a) // it may become too old all the same
	case a.rule.forward:
		if a.rule.wakes(v) && d.looks(a.rule) {
			e.forward(a, out)
		}
	default:
		e.observe(a, v.num, at)
		if a.episode == nil && (retained || !d.looks(a.rule)) {
			e.schedule(a) // it may become too old all the same
			return
		}
		j := judgement{now: e.now, at: at, sample: true, value: v, before: before}
		j.bridged, j.ahead = e.downtime(before.at, at)
		e.judge(a, &j, out)
	}
	if a.rule.plain {
		e.counts[a.rule.index].health.saw(a, v)
	}
}

// count keeps a counter rising where the device begins again from nothing.
func (c *channel) count(v value, before point) {
	if before.at != 0 && v.num < before.value.num {
		c.carried += before.value.num
	}
}

func (e *Engine) touch(c *channel) {
	if !slices.Contains(e.touched, c) {
		e.touched = append(e.touched, c)
	}
}

// read makes a value of a sample, or says in a word why it cannot be judged.
func (c *channel) read(s *Sample) (value, string) {
	if s.Invalid != "" {
		return value{}, s.Invalid
	}
	if sec := s.At.Unix(); sec <= 0 || sec > latest {
		return value{}, "time"
	}
	var conv *conversion
	switch {
	case s.Unit == c.metric.unit:
		if s.Unit == "" && c.foreign != nil {
			c.foreign = nil // nobody says any more
		}
	case s.Unit != "":
		if c.foreign == nil || c.foreign.unit != s.Unit {
			conv, ok := convert(s.Unit, c.metric.unit)
			c.foreign = &foreignUnit{strings.Clone(s.Unit), conv, ok}
		}
		if !c.foreign.ok {
			return value{}, "unit"
		}
		conv = &c.foreign.conv
	}
	good := &c.last.value
	if c.last.at == 0 && !c.primed {
		good = nil
	}
	v, reason := c.metric.read(s, conv, good)
	if c.metric.kind >= Text {
		if v.text == c.last.value.text {
			v.text = c.last.value.text
		} else {
			v.text = strings.Clone(v.text) // the sample's may be part of a large message
		}
	}
	return v, reason
}

// unit is what the channel's readings are in, as far as anybody says.
func (c *channel) unit() string {
	if c.metric.unit == "" && c.metric.kind != Bool && c.foreign != nil {
		return c.foreign.unit
	}
	return c.metric.unit
}

// atRest reports whether no alarm of the channel is under way.
func (c *channel) atRest() bool {
	return !slices.ContainsFunc(c.alarms, func(a *instance) bool { return a.episode != nil })
}

func (e *Engine) sortedDevices() []*device {
	devices := make([]*device, 0, len(e.devices)+len(e.groups))
	for _, d := range e.devices {
		devices = append(devices, d)
	}
	for _, d := range e.groups {
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b *device) int {
		if a.group != b.group {
			if b.group {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.across, b.across))
	})
	return devices
}
