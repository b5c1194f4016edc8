package rules

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Linter finds what can be suspected of rules only with readings at hand: it
// plays inputs that were recorded to them, and looks at what came of it. It
// belongs to one goroutine.
type Linter struct {
	engine *Engine
	out    Output
	heard  map[string]*heardDevice
	chatty map[*instance]*chatter
}

// A heardDevice is what a device was heard to send.
type heardDevice struct {
	labels  map[string]string
	metrics map[string]bool
}

// A chatter is an alarm without a deadband that comes back soon after its end.
type chatter struct {
	ended   int64 // 0 while it is under way
	depth   float64
	returns []float64 // how far readings had been back from the limit, each time
}

// What a linter remembers, and what it holds to be chatter. An alarm that comes
// back within ten minutes of its end has most likely never been over; five times
// is more than chance.
const (
	maxHeard    = 1_000_000 // devices
	maxSent     = 1000      // metrics of one
	maxReturns  = 1000      // of one alarm
	soon        = 10 * time.Minute
	manyReturns = 5
)

// NewLinter returns a linter of a program's rules.
func NewLinter(p *Program) *Linter {
	return &Linter{engine: NewEngine(p, Options{}), heard: map[string]*heardDevice{}, chatty: map[*instance]*chatter{}}
}

// Take takes the next input. Nothing of it is kept.
func (l *Linter) Take(in Input) {
	l.out.Reset()
	l.engine.Step(in, &l.out)
	if in.Sample != nil {
		l.hear(in.Sample)
	}
	for i := range in.Batch {
		l.hear(&in.Batch[i])
	}
	for i := range l.out.Transitions {
		for j := range l.out.Transitions[i].Events {
			l.event(&l.out.Transitions[i].Events[j])
		}
	}
}

func (l *Linter) hear(s *Sample) {
	h := l.heard[s.Device]
	if h == nil {
		if len(l.heard) == maxHeard {
			return
		}
		h = &heardDevice{metrics: map[string]bool{}}
		l.heard[strings.Clone(s.Device)] = h
	}
	if len(s.Labels) > 0 && !same(s.Labels, h.labels) {
		h.labels = maps.Clone(s.Labels)
	}
	if !h.metrics[s.Metric] && len(h.metrics) < maxSent {
		h.metrics[strings.Clone(s.Metric)] = true
	}
	if len(l.chatty) == 0 {
		return
	}
	d := l.engine.devices[s.Device]
	if d == nil {
		return
	}
	c := d.channel(s.Metric)
	if c == nil {
		return
	}
	for _, a := range c.alarms {
		if t := l.chatty[a]; t != nil && t.ended != 0 {
			t.depth = max(t.depth, a.rule.rungs[0].short(c.last.value.num))
		}
	}
}

// event follows the alarms that a deadband might calm.
func (l *Linter) event(ev *Event) {
	if ev.Muted != "" || ev.Type != AlarmFired && ev.Type != AlarmResolved {
		return
	}
	r, d := l.engine.program.byID[ev.Rule.ID], l.engine.devices[ev.Device.ID]
	if r == nil || d == nil || r.subject != ofMetric {
		return
	}
	a := d.alarm(r)
	if a == nil || !a.rule.bare() {
		return
	}
	t := l.chatty[a]
	if t == nil {
		t = &chatter{}
		l.chatty[a] = t
	}
	at := ev.At.UnixNano()
	if ev.Type == AlarmResolved {
		t.ended, t.depth = at, a.rule.rungs[0].short(a.channel.last.value.num)
		return
	}
	if t.ended != 0 && at-t.ended < int64(soon) && len(t.returns) < maxReturns {
		t.returns = append(t.returns, t.depth)
	}
	t.ended = 0
}

// bare reports whether the rule is one limit for readings, without a deadband. What
// else may keep it calm, such as clear_for, shows in what it tells.
func (r *rule) bare() bool {
	g := &r.rungs[0]
	return (g.op.upward() || g.op.downward()) && !g.hasClear && r.gauges[g.gauge].source == newest
}

// Problems is what there is to suspect after all inputs: warnings only, by place.
func (l *Linter) Problems() []Problem {
	var list []Problem
	warn := func(path []string, fact, remedy string) {
		list = append(list, Problem{Path: path, Fact: fact, Remedy: remedy, Warning: true})
	}
	if len(l.heard) == 0 {
		return nil
	}
	for _, r := range l.engine.program.rules {
		if !r.disabled {
			l.unheard(r, warn)
			l.idle(r, warn)
		}
	}
	f := l.gather()
	for i, r := range l.engine.program.rules {
		l.restless(r, f[i].chatty, warn)
		if x := f[i].irregular; x.count > 0 {
			warn([]string{"rule", r.id, "silent"}, fmt.Sprintf("auto finds no interval for %s: what comes at irregular times, as from a device that reports changes only, never counts as silent", x.others()),
				"write a duration as in silent = \"26h\", every = \"1h\" in [device."+x.first+"], or leave it out with except")
		}
		for j := range f[i].sparse {
			if x := &f[i].sparse[j]; x.count > 0 {
				m := &r.gauges[r.rungs[j].gauge]
				warn([]string{"rule", r.id, "min_samples"}, fmt.Sprintf("a window of %s does not hold the %d readings of min_samples: %s reports each %s, so that it is never known", written(x.hold), m.minSamples, x.others(), written(x.longest.Round(time.Second))),
					"write a longer over, or fewer min_samples")
			}
		}
		for j := range f[i].slow {
			x, g := &f[i].slow[j], &r.rungs[j]
			if x.count > 0 {
				warn(l.writtenFor(r, g), fmt.Sprintf("for (%s) is shorter than the %s at which %s reports, so that one reading decides", written(x.hold), written(x.longest.Round(time.Second)), x.others()),
					"write a longer for, or samples = 2 for that many readings in a row")
			}
		}
	}
	return sorted(list)
}

// A finding gathers what is to be said of a rule's alarms.
type finding struct {
	chatty    []*instance
	irregular tellings
	slow      []tellings // by rung
	sparse    []tellings // by rung: their windows hold too few readings
}

// tellings are devices of which the same is to be said.
type tellings struct {
	first   string // the one that is named: that with the longest interval
	count   int
	longest time.Duration
	hold    time.Duration
}

func (t *tellings) add(device string, every, hold time.Duration) {
	if t.count++; t.first == "" || every > t.longest {
		t.first, t.longest, t.hold = device, every, hold
	}
}

func (t *tellings) others() string {
	switch t.count {
	case 1:
		return t.first
	case 2:
		return t.first + " and one other device"
	}
	return t.first + " and " + strconv.Itoa(t.count-1) + " other devices"
}

// gather goes through the alarms once, for all rules.
func (l *Linter) gather() []finding {
	e := l.engine
	f := make([]finding, len(e.program.rules))
	for i, r := range e.program.rules {
		f[i].slow, f[i].sparse = make([]tellings, len(r.rungs)), make([]tellings, len(r.rungs))
	}
	for _, d := range e.sortedDevices() {
		declared := d.def != nil && d.def.Every != nil && *d.def.Every > 0 // linted without readings
		every, known := d.interval()
		for _, c := range d.all() {
			for _, a := range c.alarms {
				if a.rule.disabled {
					continue
				}
				x := &f[a.rule.index]
				if t := l.chatty[a]; t != nil && len(t.returns) >= manyReturns {
					x.chatty = append(x.chatty, a)
				}
				if declared || d.group {
					continue
				}
				for j := range a.rule.rungs {
					g := &a.rule.rungs[j]
					m := &a.rule.gauges[g.gauge]
					if known && m.minSamples > 1 && m.over > 0 && int64(m.over)/int64(every)+1 < int64(m.minSamples) && j < len(x.sparse) {
						x.sparse[j].add(d.id, every, m.over)
					}
					switch {
					case m.source == silence:
						if m.silent == 0 && d.gaps != nil && d.gaps.Irregular() && j == 0 {
							x.irregular.add(d.id, 0, 0)
						}
					case m.reads() && known && g.hold > 0 && g.hold < every && g.samples <= 1 && g.repeats == nil && j < len(x.slow):
						x.slow[j].add(d.id, every, g.hold)
					}
				}
			}
		}
	}
	return f
}

// reads reports whether a gauge goes by single readings as they come.
func (g *gauge) reads() bool { return g.source <= deviation || g.source == expression }

// restless warns of a limit that readings cross back and forth.
func (l *Linter) restless(r *rule, alarms []*instance, warn func([]string, string, string)) {
	if len(alarms) == 0 {
		return
	}
	var depths []float64
	most, total := alarms[0], 0
	for _, a := range alarms {
		t := l.chatty[a]
		total += len(t.returns)
		depths = append(depths, t.returns...)
		if len(t.returns) > len(l.chatty[most].returns) {
			most = a
		}
	}
	slices.Sort(depths)
	band := roundUp(depths[int(math.Ceil(0.95*float64(len(depths))))-1])
	g := &most.rule.rungs[0]
	fact := fmt.Sprintf("there is no clear, and the readings of %s cross the limit back and forth: its alarm came back within %s of its end %d times", most.channel.device.id, written(soon), len(l.chatty[most].returns))
	if len(alarms) > 1 {
		fact += fmt.Sprintf(" (%d times in all, of %d devices)", total, len(alarms))
	}
	remedy := "write a longer for, or clear_for"
	if band > 0 {
		clear := g.lo - band
		if g.op.downward() {
			clear = g.lo + band
		}
		remedy = fmt.Sprintf("write clear = %q, which 95 of 100 times they would not have reached", withUnit(shown(clear), r.rungs[0].measured))
		if most.rule.variant != "" {
			remedy = fmt.Sprintf("write a clear that is %s back from the limit, which 95 of 100 times they would not have reached", withUnit(shown(band), r.rungs[0].measured))
		}
	}
	warn([]string{"rule", r.id, keys[g.op]}, fact, remedy)
}

// roundUp makes a number that people would write, and that is a little more.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return math.Ceil(v/unit*1.000001) * unit
}

// unheard warns of a rule for devices that were not heard of, or a metric that
// they do not send.
func (l *Linter) unheard(r *rule, warn func([]string, string, string)) {
	sent := map[string]bool{}
	devices := l.lookedAt(r)
	for id := range devices {
		maps.Copy(sent, l.heard[id].metrics)
	}
	looked := len(devices)
	if looked == 0 {
		if !r.gaugesSilence() {
			l.unmatched(r, warn)
		}
		return
	}
	for _, name := range r.unsent(sent) {
		at, remedy := []string{"rule", r.id, "metric"}, "check what your devices call it, or wait until they send it"
		if r.metric == nil {
			at[2] = "when"
		}
		near := nearest(name, slices.Sorted(maps.Keys(sent)))
		if near != "" {
			remedy = "did you mean " + strconv.Quote(near) + "?"
		}
		if m := l.engine.program.metrics[name]; m != nil && m.event && near == "" {
			continue // it may not have happened
		}
		whose := "none of the " + strconv.Itoa(looked) + " devices that it looks at and that were heard of has sent "
		if looked == 1 {
			whose = "the one device that it looks at and that was heard of has not sent "
		}
		warn(at, whose+strconv.Quote(name), remedy)
	}
}

func hasValue(d *device, across string) bool {
	_, ok := d.value(across)
	return ok
}

func (l *Linter) unmatched(r *rule, warn func([]string, string, string)) {
	at, remedy := []string{"rule", r.id, "devices"}, "correct what it selects, or wait until they report"
	if ids, ok := r.devices.scope.ids(); ok {
		for _, id := range ids {
			if near := nearest(id, slices.Sorted(maps.Keys(l.heard))); near != "" {
				remedy = "did you mean " + strconv.Quote(near) + "?"
				break
			}
		}
	}
	fact := "matches none of the " + strconv.Itoa(len(l.heard)) + " devices that were heard of"
	if len(l.heard) == 1 {
		fact = "does not match the one device that was heard of"
	}
	warn(at, fact, remedy)
}

// unsent lists the metrics without which the rule knows nothing, and that are not
// among those that are sent. An expression with a default may do without some.
func (r *rule) unsent(sent map[string]bool) []string {
	var all, missing []string
	optional := false
	note := func(m *metric) {
		if m == nil || slices.Contains(all, m.name) {
			return
		}
		all = append(all, m.name)
		if !sent[m.name] {
			missing = append(missing, m.name)
		}
	}
	for i := range r.gauges {
		g := &r.gauges[i]
		if i == r.unlessWhen-1 {
			continue // what only keeps the rule from firing need not be known
		}
		note(g.metric)
		for _, ref := range g.refs {
			note(ref.metric)
		}
	}
	if r.def.When != nil {
		optional = strings.Contains(*r.def.When, "??")
	}
	if optional && len(missing) < len(all) {
		return nil
	}
	slices.Sort(missing)
	return missing
}

// writtenFor is where the for of a rung is written.
func (l *Linter) writtenFor(r *rule, g *rung) []string {
	file := l.engine.program.compiler.file
	at := []string{"rule", r.id}
	def := file.Rule[r.id]
	if level := def.Level[g.severity.String()]; level != nil && level.For != nil {
		return join(at, "level", g.severity.String(), "for")
	}
	if def.For == nil && file.Defaults.For != nil {
		return []string{"defaults", "for"}
	}
	return join(at, "for")
}
