package rules

import (
	"cmp"
	"container/heap"
	"iter"
	"slices"
	"strings"
	"time"
)

// Options are what an engine may be told beside its rules.
type Options struct {
	// Route names the endpoints that are to be told of an event that starts or
	// worsens an alarm. The event is complete but for its Endpoints. Nil means
	// the event's Notify list.
	Route func(*Event) []string

	MaxInstances int // alarms one rule may have in this engine; 0 means 100,000
	MaxDevices   int // devices this engine gets to know; 0 means 100,000
}

// An Engine judges samples by a program. It belongs to one goroutine at a time.
type Engine struct {
	program *Program
	options Options

	devices map[string]*device
	timers  timers
	counts  []ruleCount // by rule
	orphans []State
	ended   int // orphans up to this one have been told of, where they must
	now     int64

	gaps    []gap       // downtime that late samples may still cover
	shifted []*instance // alarms whose timers Resume changed: not yet in a transition
}

// A device is one sender with its metrics, as far as rules look at them.
type device struct {
	id       string
	def      *DeviceDef // the file's, with the labels learnt; nil without either
	channels []*channel

	learnt map[string]string // labels that samples or states have told
	heard  map[string]string // those of the last sample that had any
	moved  bool              // labels came after rules were bound to it
}

// A channel is one metric of one device, with the alarms that it decides.
type channel struct {
	device  *device
	metric  *metric
	alarms  []instance // by rule; see Engine.bindRules for who points to them
	mark    uint64     // see Output.Stamp
	refused bool       // a rule had no room for this device
	primed  bool       // last.value is only a retained one
	clock   Clock
	last    point // newest sample judged
	foreign *foreignUnit
}

// A foreignUnit remembers how to convert from the unit a device declares, or just
// its name where the metric has none.
type foreignUnit struct {
	unit string
	conv conversion
	ok   bool
}

// A ruleCount counts a rule's alarms in an engine.
type ruleCount struct {
	instances int
	standing  [Critical + 1][recovering + 1]int
}

// A gap is downtime, on the bridge's clock.
type gap struct{ from, to int64 }

// maxGaps bounds the gaps that are remembered; an older one stays uncovered.
const maxGaps = 16

// latest is the newest time a sample can be judged at: the year 2200, well
// within what an int64 of nanoseconds holds with any timer added.
const latest = 7_258_118_400 // seconds since 1970

// NewEngine returns an engine with every alarm inactive.
func NewEngine(p *Program, o Options) *Engine {
	if o.MaxInstances == 0 {
		o.MaxInstances = 100_000
	}
	if o.MaxDevices == 0 {
		o.MaxDevices = 100_000
	}
	if o.Route == nil {
		o.Route = func(ev *Event) []string { return ev.Notify }
	}
	return &Engine{program: p, options: o, devices: map[string]*device{}, counts: make([]ruleCount, len(p.rules))}
}

// Step takes one input in and appends what it decided to out. The sample is not
// kept.
func (e *Engine) Step(in Input, out *Output) {
	e.now = max(e.now, in.Now.UnixNano())
	for ; e.ended < len(e.orphans); e.ended++ {
		e.cancel(&e.orphans[e.ended], out)
	}
	if e.shifted != nil {
		for _, a := range e.shifted {
			out.Transitions = append(out.Transitions, Transition{State: a.state(), channel: a.channel})
		}
		e.shifted = nil
	}
	if in.Sample != nil {
		e.sample(in.Sample, out)
		return
	}
	for len(e.timers) > 0 && e.timers[0].due <= e.now {
		e.lapse(e.timers[0], out)
	}
}

// Next is when the earliest timer ends: a tick is due then. Zero for none.
func (e *Engine) Next() time.Time {
	if len(e.timers) == 0 {
		return time.Time{}
	}
	return wall(e.timers[0].due)
}

func (e *Engine) sample(s *Sample, out *Output) {
	c := e.channel(s, out)
	if c == nil {
		return
	}
	if len(s.Labels) != 0 && !same(s.Labels, c.device.heard) {
		e.learn(c.device, s)
	}
	out.Depends = max(out.Depends, c.mark)
	for i := range c.alarms {
		a := &c.alarms[i]
		// A timer that has run out by now ran out before this sample came,
		// whether or not a tick has said so.
		if a.due != 0 && a.due <= e.now {
			e.lapse(a, out)
		}
	}
	v, reason := c.read(s)
	if reason != "" {
		out.Problems = append(out.Problems, reason)
		for i := range c.alarms {
			if ep := c.alarms[i].episode; ep != nil && ep.fired == 0 {
				ep.seen++
			}
		}
		return
	}
	if s.Flags&Retained != 0 && (s.Clock == ClockArrival || c.atRest()) {
		if c.last.at == 0 {
			c.last.value, c.primed = v, true
		}
		return
	}
	at := s.At.UnixNano()
	switch {
	case at < c.last.at:
		out.Problems = append(out.Problems, "late")
		return
	case at == c.last.at && v == c.last.value:
		return // the same again
	}
	before := c.last
	c.last, c.clock = point{at, v}, s.Clock
	for i := range c.alarms {
		if a := &c.alarms[i]; a.episode != nil || s.Flags&Retained == 0 && a.rule.wakes(v) && c.device.looks(a.rule) {
			j := judgement{now: e.now, at: at, value: v, before: before}
			j.bridged, j.ahead = e.downtime(before.at, at)
			e.judge(a, &j, out)
		}
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
	if c.metric.kind == Text {
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
	if c.metric.unit == "" && c.metric.kind == Number && c.foreign != nil {
		return c.foreign.unit
	}
	return c.metric.unit
}

// atRest reports whether no alarm of the channel is under way.
func (c *channel) atRest() bool {
	return !slices.ContainsFunc(c.alarms, func(a instance) bool { return a.episode != nil })
}

// judge puts a sample before one alarm.
func (e *Engine) judge(a *instance, j *judgement, out *Output) {
	was := a.standing()
	if a.episode == nil {
		a.episode = &episode{rungs: make([]timer, len(a.rule.rungs))}
	}
	changed := false
	for i := range a.rule.rungs {
		g, t := &a.rule.rungs[i], &a.episode.rungs[i]
		holds := unknown
		if t.on {
			holds = g.clears(j.value)
		} else {
			holds = g.fires(j.value)
		}
		if t.judge(g, holds, j) {
			changed = true
		}
	}
	a.join()
	a.witness(j)
	if changed {
		e.settle(a, was, j.now, out)
	} else {
		e.schedule(a) // the device's clock may have brought a timer forward
	}
}

// lapse lets the timers of an alarm that have run out by now end, each at its
// own time, so that it does not matter when the tick came.
func (e *Engine) lapse(a *instance, out *Output) {
	out.Depends = max(out.Depends, a.channel.mark)
	for a.due != 0 && a.due <= e.now {
		due, was := a.due, a.standing()
		for i := range a.rule.rungs {
			if t, g := &a.episode.rungs[i], &a.rule.rungs[i]; t.due(g) == due {
				t.lapse(g)
			}
		}
		a.join()
		e.settle(a, was, due, out)
	}
}

// settle draws the consequences when timers of an alarm have changed: at most
// one event, one transition, and the next timer.
func (e *Engine) settle(a *instance, was standing, at int64, out *Output) {
	now, ep := a.standing(), a.episode
	if was.phase == recovering && now.phase == firing {
		ep.relapses++
	}
	t := Transition{channel: a.channel}
	switch {
	case was.top < 0 && now.top >= 0:
		a.begin(at)
		t.Events = []Event{e.tell(a, AlarmFired, was, now, at)}
	case now.top > was.top:
		t.Events = []Event{e.tell(a, AlarmEscalated, was, now, at)}
	case now.top >= 0 && now.top < was.top:
		t.Events = []Event{e.tell(a, AlarmDeescalated, was, now, at)}
	case now.top < 0 && was.top >= 0:
		t.Events = []Event{e.tell(a, AlarmResolved, was, now, at)}
	}
	for i := range ep.rungs {
		if r := &ep.rungs[i]; !r.running {
			*r = timer{on: r.on}
		}
	}
	switch {
	case now.phase == inactive:
		a.episode = nil
	case now.top < 0 && was.top >= 0:
		a.renew() // a lower rung is on its way in again
	}
	e.counts[a.rule.index].standing[was.severity][was.phase]--
	e.counts[a.rule.index].standing[now.severity][now.phase]++
	e.schedule(a)
	t.State = a.state()
	out.Transitions = append(out.Transitions, t)
}

// begin starts an episode that fires at the given time of our clock. It started
// when the first of the conditions that hold began to hold; two episodes of an
// alarm never start at the same nanosecond, so that they never share an id.
func (a *instance) begin(at int64) {
	ep := a.episode
	started := int64(0)
	for i := range ep.rungs {
		if t := &ep.rungs[i]; t.on && (started == 0 || t.since < started) {
			started = t.since
		}
	}
	a.started, a.seq = max(started, a.started+1), 0
	ep.fired, ep.valueAtFire = at, a.channel.last.value
}

// channel finds the channel of a sample, and makes it at first sight: this is
// where rules are matched with devices, once. It is nil when there is nothing
// to judge.
func (e *Engine) channel(s *Sample, out *Output) *channel {
	d := e.devices[s.Device]
	if d != nil {
		for _, c := range d.channels {
			if c.metric.name == s.Metric {
				if c.refused {
					out.Problems = append(out.Problems, "instances")
				}
				return c
			}
		}
	}
	m := e.program.metrics[s.Metric]
	if m == nil {
		return nil
	}
	if d == nil {
		if len(e.devices) >= e.options.MaxDevices {
			out.Problems = append(out.Problems, "devices")
			return nil
		}
		d = e.device(s.Device)
		e.learn(d, s)
	}
	c := e.bind(d, m, e.options.MaxInstances)
	if c.refused {
		out.Problems = append(out.Problems, "instances")
	}
	return c
}

// An AlarmCount says how many alarms of a rule stand alike.
type AlarmCount struct {
	Rule     string
	Severity Severity
	State    string // pending, firing or recovering
	Count    int
}

// Alarms yields the counts of alarms that are not inactive, in a stable order.
// Counts are kept as alarms change, so reading them is cheap.
func (e *Engine) Alarms() iter.Seq[AlarmCount] {
	return func(yield func(AlarmCount) bool) {
		for i, r := range e.program.rules {
			for severity := Info; severity <= Critical; severity++ {
				for p := pending; p <= recovering; p++ {
					n := e.counts[i].standing[severity][p]
					if n != 0 && !yield(AlarmCount{r.id, severity, p.String(), n}) {
						return
					}
				}
			}
		}
	}
}

// timers is a heap of the alarms that wait for something, the earliest first.
type timers []*instance

// schedule puts an alarm where its earliest timer belongs.
func (e *Engine) schedule(a *instance) {
	due, was := a.nextDue(), a.due
	a.due = due
	switch {
	case was == 0 && due != 0:
		heap.Push(&e.timers, a)
	case was != 0 && due == 0:
		heap.Remove(&e.timers, a.place)
	case due != was:
		heap.Fix(&e.timers, a.place)
	}
}

func (t timers) Len() int { return len(t) }

// Less breaks ties by name, so that the order of events is the same in every run.
func (t timers) Less(i, j int) bool {
	a, b := t[i], t[j]
	return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.rule.index, b.rule.index), cmp.Compare(a.channel.device.id, b.channel.device.id)) < 0
}

func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].place, t[j].place = i, j
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	a := x.(*instance)
	a.place = len(*t)
	*t = append(*t, a)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(*t) - 1
	a := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	a.place = -1
	return a
}
