package rules

import (
	"strings"
	"time"

	"tocsin/rules/window"
)

// behind takes in a reading that is older than the newest one. Within late it
// has its place in windows, and cannot turn what newer readings say; in a hole,
// but that before the very first reading, it is of the past.
func (e *Engine) behind(c *channel, v value, at int64, s *Sample, out *Output) {
	used, tolerated := false, s.Flags&Historical == 0 && at >= c.judged-int64(e.program.late)
	if tolerated {
		for _, w := range c.windows {
			used = e.place(c, w, at, v.num+c.carried) || used
		}
		if used {
			e.queueAll(c)
		}
	}
	h := c.hole(at)
	if h != nil && tolerated && h.from == 0 {
		h.begin(point{at, v})
		h = nil
	}
	if h == nil || !c.backfills() || c.waiting() >= maxPast {
		if !used {
			out.Problems = append(out.Problems, "late")
		}
		return
	}
	if c.late == nil {
		c.late = &backlog{}
	}
	kept := *s
	kept.Device, kept.Metric, kept.Source = c.device.id, c.metric.name, strings.Clone(s.Source)
	kept.Kind, kept.Num, kept.Text, kept.Unit = c.metric.kind.of(v), v.num, v.text, c.metric.unit
	kept.Flags &^= Historical | Retained | Dup
	c.late.samples = append(c.late.samples, kept)
	if len(e.order) > 0 {
		e.touch(c)
	}
}

// queueAll has every alarm looked at that measures a channel.
func (e *Engine) queueAll(c *channel) {
	for _, a := range c.alarms {
		if !a.rule.plain {
			e.queue(a, false)
		}
	}
	for _, a := range c.asked {
		e.queue(a, false)
	}
}

// maxPast bounds the readings of the past of one channel that are remembered.
const maxPast = 4096

// A backlog is readings of the past that wait to be judged.
type backlog struct{ samples []Sample }

// waiting is how many readings of the past a channel holds.
func (c *channel) waiting() int {
	n := 0
	if c.late != nil {
		n = len(c.late.samples)
	}
	for i := range c.holes {
		n += len(c.holes[i].past)
	}
	return n
}

// flushLate judges readings of the past: in an engine of their own, because what
// they say of now is older than what is known. Each time, all that has come of a
// hole is judged anew, so it does not matter in what order it comes.
func (e *Engine) flushLate(c *channel, out *Output) {
	if c.late == nil {
		return
	}
	samples := c.late.samples
	c.late = nil
	fresh := map[int64]bool{} // holes, by their ends
	for i := range samples {
		s := &samples[i]
		p := dated{point{s.At.UnixNano(), value{s.Num, s.Text}}, s.Clock}
		h := c.hole(p.at)
		if h == nil || !h.take(p) {
			out.Problems = append(out.Problems, "late")
			continue
		}
		fresh[h.to] = true
		if !c.metric.counter { // what it had reached by then is not known here
			for _, w := range c.windows {
				e.place(c, w, p.at, p.value.num)
			}
		}
	}
	for i := 0; i < len(c.holes); {
		if fresh[c.holes[i].to] {
			i = e.rejudge(c, i, out)
		} else {
			i++
		}
	}
	if len(fresh) > 0 {
		e.queueAll(c)
	}
}

// rejudge judges what is known from the beginning of a hole on, up to the present
// or to where it is not known any more. Whole episodes are told, once; one that is
// open joins the present. It returns the first hole after that.
func (e *Engine) rejudge(c *channel, i int, out *Output) int {
	r := e.apart(c, &c.holes[i], out)
	for ; ; i++ {
		h := &c.holes[i]
		for _, p := range h.past {
			r.feed(p)
		}
		r.feed(dated{point{h.to, h.end}, c.clock})
		if h.cut {
			break
		}
		for _, p := range h.tail {
			r.feed(dated{p, c.clock})
		}
		if i == len(c.holes)-1 {
			break
		}
	}
	h := &c.holes[i]
	whole := i == len(c.holes)-1 && (!h.cut || h.to == c.last.at)
	if whole {
		r.pass(c.axis(e.now))
	}
	for _, a := range c.alarms {
		if s := r.channel.alarm(a.rule); s != nil && r.speaksFor(a.rule) {
			e.catchUpWith(a, s, h.to, whole, out)
		}
	}
	return i + 1
}

// A rehearing is an engine apart that knows one channel only, and judges its past
// on the clock of its readings.
type rehearing struct {
	of      *Engine
	engine  *Engine
	real    *channel
	channel *channel
	before  *before
	gaps    []gap // downtime that it has yet to live through
	past    Output
	fired   map[string]Event
	out     *Output
}

// apart is an engine as things stood when a hole began.
func (e *Engine) apart(c *channel, h *hole, out *Output) *rehearing {
	sub := &Engine{
		program: e.program, options: Options{MaxDevices: 2, MaxInstances: e.options.MaxInstances, Route: func(*Event) []string { return nil }},
		counts: make([]ruleCount, len(e.counts)), askers: make([][]*rule, len(e.counts)),
		devices: map[string]*device{}, groups: map[groupName]*device{}, variants: e.variants, links: map[string]*link{},
	}
	d := &device{id: c.device.id, def: c.device.def, learnt: c.device.learnt, heard: c.device.heard, learned: c.device.learned}
	if g := c.device.gaps; g != nil {
		rhythm := *g
		rhythm.Skip()
		d.gaps, d.lessons = &rhythm, c.device.lessons
	}
	sub.devices[d.id] = d
	sub.recalling, sub.isPast = true, true
	r := &rehearing{of: e, engine: sub, real: c, channel: sub.bind(d, c.metric, e.options.MaxInstances), before: h.before, fired: map[string]Event{}, out: out}
	at := int64(0)
	if h.before != nil {
		at = h.before.at
		r.restore(h.before)
	}
	for _, g := range e.gaps {
		if g.to <= at {
			sub.gaps = append(sub.gaps, g)
		} else {
			r.gaps = append(r.gaps, g)
		}
	}
	sub.recalling = false
	return r
}

// restore puts the engine apart where things stood.
func (r *rehearing) restore(b *before) {
	c, sub := r.channel, r.engine
	sub.now, sub.deaf, sub.begun = b.last.at, b.last.at, r.of.begun
	c.device.contact, c.device.newest = b.last.at, b.last.at
	c.last, c.prev, c.clock, c.carried = b.last, b.prev, b.clock, b.carried
	c.judged, c.at = b.last.at, b.last.at
	for _, w := range c.windows {
		w.Window = window.New(time.Duration(w.over), w.needs)
		w.Advance(b.last.at)
		for _, m := range b.windowed {
			w.Add(m.at, m.v)
		}
	}
	for i := range b.alarms {
		s := &b.alarms[i]
		a := (*instance)(nil)
		if rule := sub.program.byID[s.Rule]; rule != nil {
			a = c.alarm(rule)
		}
		if a == nil {
			continue
		}
		a.restore(s)
		if ep := a.episode; ep != nil {
			ep.frozen, ep.stale, ep.muted, ep.reminder = 0, false, "", 0
			if ep.fired != 0 {
				ep.fired, ep.severity = a.started, max(ep.severity, a.standing().severity)
			}
			for k := range ep.rungs {
				t := &ep.rungs[k]
				wait, _ := a.rule.rungs[k].wait(t.on)
				t.deadline = t.since + t.uncovered + int64(wait)
			}
			sub.schedule(a)
		}
	}
}

// speaksFor reports whether what is judged apart is all that a rule asks of a
// device, so that its alarm of the present should stand as the one apart does.
func (r *rehearing) speaksFor(rule *rule) bool {
	if !rule.backfill || rule.disabled || rule.forward || len(rule.unless) > 0 || rule.unlessWhen > 0 || rule.cooldown > 0 {
		return false
	}
	for i := range rule.rungs {
		if g := &rule.rungs[i]; g.repeats != nil || g.share > 0 {
			return false
		}
	}
	for i := range rule.gauges {
		switch g := &rule.gauges[i]; g.source {
		case newest:
		case aggregate, slope, delta:
			if r.real.metric.counter || r.before != nil && int64(g.over) > r.before.over {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// pass lets time go by up to the next reading, or to the present.
func (r *rehearing) pass(at int64) {
	for len(r.gaps) > 0 && r.gaps[0].to < at {
		g := r.gaps[0]
		r.gaps = r.gaps[1:]
		if g.from = max(g.from, r.engine.now); g.from < g.to { // readings speak for the rest
			r.step(Input{Now: wall(g.from), Gap: &Gap{wall(g.from), wall(g.to)}})
		}
	}
	if at > r.engine.now {
		r.step(Input{Now: wall(at)})
	}
}

// feed takes the next reading in, and tells what it ends.
func (r *rehearing) feed(p dated) {
	r.pass(p.at)
	c := r.real
	s := Sample{
		Device: c.device.id, Metric: c.metric.name, Kind: c.metric.kind.of(p.value), Num: p.value.num, Text: p.value.text, Unit: c.unit(),
		At: wall(p.at), Received: wall(p.at), Clock: p.clock,
	}
	r.step(Input{Now: s.At, Sample: &s})
}

func (r *rehearing) step(in Input) {
	r.engine.Step(in, &r.past)
	for _, t := range r.past.Transitions {
		for i := range t.Events {
			r.heard(&t.Events[i])
		}
	}
	r.past.Reset()
}

// heard looks at what the engine apart says of the past.
func (r *rehearing) heard(ev *Event) {
	switch ev.Type {
	case AlarmFired:
		r.fired[ev.Alarm.Key] = *ev
		return
	case AlarmResolved:
	default:
		return
	}
	began, ok := r.fired[ev.Alarm.Key]
	rule := r.of.program.byID[ev.Rule.ID]
	if !ok || rule == nil || began.Alarm.Episode != ev.Alarm.Episode {
		return
	}
	a := r.real.alarm(rule)
	if a == nil || !a.rule.backfill || ev.Reading == nil {
		return
	}
	from, to := nanos(began.Alarm.StartedAt), r.channel.alarm(rule).ended
	if to < from { // not by a reading, and not by a timer
		to = max(from, nanos(ev.Reading.At)) // its device's clock may have gone back
	}
	if a.tells(from, to) {
		return // that episode was told when it happened
	}
	if h := r.real.hole(from); h != nil {
		h.tell(tale{a.rule.id, from, to, true})
	} else if n := len(r.real.holes); n > 0 {
		r.real.holes[n-1].tell(tale{a.rule.id, from, to, true})
	}
	r.of.tellOccurred(a, &began, ev, to, r.out)
}
