package rules

import (
	"cmp"
	"container/heap"
	"iter"
	"maps"
	"slices"
	"time"

	"tocsin/rules/expr"
	"tocsin/rules/window"
)

// Options are what an engine may be told beside its rules.
type Options struct {
	// Route names the endpoints that are to be told of an event that starts or
	// worsens an alarm, or that is no alarm's. The event is complete but for its
	// Endpoints. Nil means the event's Notify list.
	Route func(*Event) []string

	// Born is when the store was made, empty: what was told before is not known,
	// and the engine warms up. The zero time is for one that has lost nothing.
	Born time.Time

	// Sync names the endpoints that are told of all alarms under way when the
	// engine has warmed up. Nil: none.
	Sync func() []string

	MaxInstances int // alarms one rule may have in this engine; 0 means 2,000,000
	MaxDevices   int // devices this engine gets to know that its program does not declare; 0 means 1,000,000
}

// An Engine judges samples by a program. It belongs to one goroutine at a time.
type Engine struct {
	program *Program
	options Options

	devices   map[string]*device
	recent    *device // that the last reading was of: a message has several
	groups    map[groupName]*device
	variants  map[variantName]*rule
	links     map[string]*link
	away      int               // links that are down
	presences [Sleeping + 1]int // devices by presence
	timers    timers
	counts    []ruleCount // by rule
	askers    [][]*rule   // by rule: those whose alarms depend on its alarms
	orphans   []State
	ended     int // orphans up to this one have been told of, where they must
	now       int64
	over      bool  // nothing else comes at that moment
	deaf      int64 // until then nothing was heard: the start, or the end of a gap
	begun     int64 // since when it has listened at all, but for gaps; 0 is not known

	gaps     []gap       // downtime that late samples may still cover
	absent   []gap       // downtime, on the present clock
	renamed  []State     // what is stored under a rule's former id, now that it goes on under another
	shifted  []*instance // alarms that have changed and are not yet in a transition
	recheck  []*instance // alarms whose rule has changed since they were stored
	selected []*instance // alarms whose rule looks at their device again, or for the first time
	dirty    []*instance // to be looked at before the step ends
	flood    flood
	excess   excess
	warm     warmth
	crowded  bool   // it was told that the devices are nearly as many as there may be
	chores   int64  // when what is no alarm's is looked at again, floods and links aside; 0 for never
	mark     uint64 // of every channel, at least: see Reload

	recalling  bool // nothing is looked at
	isPast     bool // it judges anew what is over: see rehearing
	rehearsing bool // what is decided was decided before
	rehearsed  bool // something was taken in again, and is not forgotten yet as far as it must be
	past       bool // the reading at hand is not the last of its message
	taking     bool // a reading is being taken in, and its message may have more of the same time
	retold     retold
	played     map[*instance]State // how a rehearsal left alarms that the store has otherwise; nil without one
	order      []*Sample
	touched    []*channel // by readings of the past, in a batch
	slots      []expr.Value
	sorted     []float64
}

// A device is one sender with its metrics, as far as rules look at them; or, with
// members, a group of devices.
type device struct {
	// What every reading touches, in as few cache lines as it takes.
	id       string
	channels []*channel
	link     *link
	newest   int64       // event time of its newest reading
	contact  int64       // when it was last heard of, on the bridge's clock
	taught   int64       // the last contact that taught its interval, on the bridge's clock
	bucket   *bucket     // what of max_rate is left; nil without one
	silent   []*instance // alarms about its silence
	presence Status
	moved    bool // labels came after rules were bound to it
	group    bool
	lessons  uint8             // contacts that taught its interval
	heard    map[string]string // labels of the last sample that had any

	children []*device
	across   string            // of a group: the label that its members have in common
	def      *DeviceDef        // the file's, with the labels learnt; nil without either
	learnt   map[string]string // labels that samples or states have told
	self     *channel          // alarms that are about the device itself; nil without any

	listening int64         // since when its silence would mean something
	gaps      *window.Gaps  // reporting interval
	learned   int64         // what they come to; 0 for nothing
	skews     *window.Skews // received less event time

	presenceAt int64
	why        string // the presence is what it is, in words; "" where nobody said

	parent *device
	groups []*device
}

// A channel is one metric of one device, with the alarms that it decides; or, as
// a device's self, the alarms that are about several metrics or none.
type channel struct {
	// What every reading touches, in as few cache lines as it takes.
	metric   *metric // nil for a self
	mark     uint64  // see Output.Stamp
	judged   int64   // event time up to which alarms have been judged
	at       int64   // when the newest reading came, on the bridge's clock
	last     point   // the newest reading
	prev     point   // the reading before the last
	calm     calm
	refused  bool // a rule had no room for this device
	seen     bool // a reading has been judged since the store is there
	primed   bool // last.value is only a retained one
	trailing bool // what trails says
	clock    Clock
	foreign  *foreignUnit // what the device's unit is, where that is not the metric's
	late     *backlog     // readings of the past, until they are judged as such
	windows  []*span
	asked    []*instance // alarms elsewhere that look at this channel

	alarms []*instance
	holes  []hole // stretches without a reading: the past may still fill them
	slot   *slot  // readings beyond max_rate; nil before the first
	used   *used  // the retained reading that alarms were judged by last; nil without one

	device              *device
	patience, patientAt int64   // see instance.patience
	carried             float64 // what a counter had reached before it began again
}

// A span is a window of a channel.
type span struct {
	over  int64
	needs window.Needs
	left  []mark // readings that have left it since the newest came
	*window.Window
}

// A foreignUnit remembers how to convert from the unit a device declares, or just
// its name where the metric has none.
type foreignUnit struct {
	unit string
	conv conversion
	ok   bool
}

// A ruleCount counts a rule's alarms in an engine, and remembers for people how
// it came to what it decided.
type ruleCount struct {
	instances int
	looked    int // of them, those whose rule looks at their device now
	standing  [Critical + 1][recovering + 1]int
	health    health
}

// A gap is downtime, on the bridge's clock.
type gap struct{ from, to int64 }

// latest is the newest time a sample can be judged at: the year 2200, well
// within what an int64 of nanoseconds holds with any timer added.
const latest = 7_258_118_400 // seconds since 1970

// NewEngine returns an engine with every alarm inactive. Declared devices are
// known from the start.
func NewEngine(p *Program, o Options) *Engine {
	if o.MaxInstances == 0 {
		o.MaxInstances = 2_000_000
	}
	if o.MaxDevices == 0 {
		o.MaxDevices = 1_000_000
	}
	if o.Route == nil {
		o.Route = func(ev *Event) []string { return ev.Notify }
	}
	e := &Engine{
		program: p, options: o, counts: make([]ruleCount, len(p.rules)), askers: make([][]*rule, len(p.rules)),
		devices: map[string]*device{}, groups: map[groupName]*device{}, variants: map[variantName]*rule{}, links: map[string]*link{},
		slots: make([]expr.Value, 0, 32),
		warm:  warmth{born: nanos(o.Born), from: nanos(o.Born)},
	}
	for _, r := range p.rules {
		for _, i := range r.asks {
			e.askers[i] = append(e.askers[i], r)
		}
		if r.explained {
			e.askers[r.index] = append(e.askers[r.index], r)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.devices)) {
		e.device(id)
	}
	return e
}

// Step takes one input in and appends what it decided to out. Nothing of the
// input is kept.
func (e *Engine) Step(in Input, out *Output) {
	now := max(e.now, in.Now.UnixNano())
	if (e.rehearsed || e.played != nil) && !e.rehearsing {
		e.rehearsal()
		e.awaken(out)
	}
	e.begin(now)
	if g := in.Gap; g != nil {
		if e.recheck == nil { // until then somebody listened, and judged by these rules
			e.listened(max(e.now, nanos(g.From)), g.To.After(g.From), out)
		}
		if now = max(now, e.now); g.To.After(g.From) {
			e.Resume(g.From, g.To)
		}
	}
	if e.pending(now) {
		e.listened(now, false, out)
	}
	e.now = now
	switch {
	case in.Sample != nil:
		e.taking = true
		e.sample(in.Sample, out)
		e.taking = false
	case len(in.Batch) > 0:
		e.batch(in.Batch, out)
	case in.Presence != nil:
		e.present(in.Presence, out)
	case in.Link != nil:
		e.relink(in.Link, out)
	case in.Command != nil:
		e.command(in.Command, out)
	case in.Gap != nil && in.Gap.To.Before(in.Gap.From):
		e.Resume(in.Gap.From, in.Gap.To)
		e.now = nanos(in.Now)
		e.deliverLeftovers(e.now, out)
	}
	if len(e.dirty) > 0 {
		e.settleDirty(out)
	}
	if len(e.recheck)+len(e.selected) > 0 { // new labels have changed what rules say of a device
		e.deliverLeftovers(e.now, out)
		e.settleDirty(out)
	}
}

// begin is the first start of an engine of which no memory was left: nothing was
// heard before it, and what is no alarm's is looked at from now on.
func (e *Engine) begin(now int64) {
	if e.now == 0 {
		e.deaf, e.begun, e.chores = max(e.deaf, now), now, now
	}
}

// pending reports whether there may be something to do before what comes now: the
// quick answer, for nearly every input.
func (e *Engine) pending(now int64) bool {
	return len(e.timers) > 0 && e.timers[0].due <= now ||
		e.flood.due|e.excess.due|int64(e.away) != 0 || e.chores != 0 && e.chores <= now || e.leftovers()
}

// leftovers reports whether something was decided without a step.
func (e *Engine) leftovers() bool {
	return e.ended != len(e.orphans) || len(e.renamed)+len(e.shifted)+len(e.recheck)+len(e.selected) != 0
}

// listened lets the time go by up to now, in which nothing else came; over as in
// advance.
func (e *Engine) listened(now int64, over bool, out *Output) {
	e.deliverLeftovers(now, out)
	e.advance(now, over, out)
	e.now = now
}

// deliverLeftovers puts into out what was decided without a step: the ends of
// alarms without a rule, timers that a gap has moved, alarms of changed rules.
func (e *Engine) deliverLeftovers(now int64, out *Output) {
	if !e.leftovers() {
		return
	}
	if e.now == 0 {
		e.now = now // otherwise what is due comes after it, each at its own time
	}
	for ; e.ended < len(e.orphans); e.ended++ {
		e.cancel(&e.orphans[e.ended], "", out)
	}
	for _, s := range e.renamed {
		out.Transitions = append(out.Transitions, Transition{State: s})
	}
	e.renamed = nil
	for _, a := range e.shifted {
		out.Transitions = append(out.Transitions, a.transition())
	}
	e.shifted = nil
	recheck := e.recheck
	e.recheck = nil
	for _, a := range recheck {
		e.reconsider(a, out)
	}
	for _, a := range e.selected {
		if a.episode == nil { // or the reading that brought the labels was judged
			e.reconsider(a, out)
		}
	}
	e.selected = nil
}

// advance lets everything happen that is due by now, in the order of time, so
// that it does not matter when ticks come. Over says that nothing else comes at that
// very moment.
func (e *Engine) advance(now int64, over bool, out *Output) {
	var again *instance
	times := 0
	for {
		due := int64(0)
		if len(e.timers) > 0 {
			due = e.timers[0].due
		}
		if s := e.sooners(); s != 0 && (due == 0 || s <= due) && s <= now {
			e.now = max(e.now, s)
			e.happen(s, out)
			e.settleDirty(out)
			continue
		}
		if due == 0 {
			return
		}
		a := e.timers[0]
		at, last := a.moment()
		if due > now && !(over && last && at == now) {
			return
		}
		e.now = max(e.now, at)
		e.over = last && at == e.now
		e.attend(a, due, out)
		e.settleDirty(out)
		e.over = false
		if times++; a != again || a.due > due {
			again, times = a, 0
		} else if times > maxAgain { // better late than never anything else
			out.Problems = append(out.Problems, "timer")
			e.wait(a, now+int64(time.Second))
		}
	}
}

// sooners is when something that is no alarm's is due next; 0 for never.
func (e *Engine) sooners() int64 {
	return sooner(sooner(e.flood.due, e.excess.due), sooner(e.chores, e.linkDue()))
}

// happen does what is due at that time and is no alarm's.
func (e *Engine) happen(at int64, out *Output) {
	if e.flood.due == at {
		e.digest(at, out)
	}
	if e.excess.due == at {
		e.closeSlots(out)
	}
	e.reportLinks(at, out)
	if e.chores == at {
		e.keepUp(max(at, e.deaf), out)
	}
}

// Next is when the earliest timer ends: a tick is due then. Zero for none.
func (e *Engine) Next() time.Time {
	next := e.sooners()
	if len(e.timers) > 0 {
		next = sooner(next, e.timers[0].due)
	}
	return wall(next)
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

// maxAgain is how often an alarm may ask to be attended to at one time: a mistake
// in the engine must not stand in the way of all others.
const maxAgain = 64

// schedule puts an alarm where it is to be attended to next.
func (e *Engine) schedule(a *instance) { e.wait(a, e.awake(e.nextDue(a))) }

func (e *Engine) wait(a *instance, due int64) {
	was := a.due
	a.due = due
	switch {
	case was == 0 && due != 0:
		heap.Push(&e.timers, a)
	case was != 0 && due == 0:
		heap.Remove(&e.timers, int(a.place))
	case due != was:
		heap.Fix(&e.timers, int(a.place))
	}
}

func (t timers) Len() int { return len(t) }

// Less breaks ties by name, so that the order of events is the same in every run.
func (t timers) Less(i, j int) bool {
	a, b := t[i], t[j]
	return cmp.Or(cmp.Compare(a.due, b.due), compare(a, b)) < 0
}

func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].place, t[j].place = int32(i), int32(j)
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	a := x.(*instance)
	a.place = int32(len(*t))
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

// compare orders alarms: one that asks for others comes after them.
func compare(a, b *instance) int {
	return cmp.Or(cmp.Compare(a.rule.order, b.rule.order), cmp.Compare(a.rule.index, b.rule.index), cmp.Compare(a.channel.device.id, b.channel.device.id))
}
