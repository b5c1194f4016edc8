package rules

import (
	"math"
	"time"

	"tocsin/rules/expr"
	"tocsin/rules/window"
)

// A Program is a checked rule file, ready to be run by engines. It is immutable.
type Program struct {
	rules    []*rule // by ascending id
	byID     map[string]*rule
	formerly map[string]*rule   // by the id that a rule had before (renamed_from)
	metrics  map[string]*metric // those that rules use
	names    []string           // of those, ascending
	devices  map[string]*DeviceDef
	infos    []RuleInfo
	mentions []NotifyRef

	// Rules of one metric are found by it, see metric.bind; the others are here.
	ofDevice []*rule
	ofGroup  []*rule

	declared bool // readings of devices that the file does not declare are refused

	late    time.Duration  // out-of-order tolerance; two minutes unless the file says
	maxRate *MaxRate       // nil: no bound, unless the device has one
	upkeep  []upkeep       // planned maintenance
	flood   *floodRule     // nil: none
	zone    *time.Location // of hours and weekdays in expressions

	windows  map[string]map[int64]window.Needs // that rules may ask for, by metric and length
	compiler *compiler                         // what variants are made with at run time
}

// An upkeep is planned maintenance of devices, on the bridge's clock.
type upkeep struct {
	name, reason string
	devices      selector
	rules        Scope // globs; empty is every rule
	from, to     int64
}

// A floodRule says when there are too many alarms to be told one by one.
type floodRule struct {
	startEvents, stopEvents int
	startWithin, stopWithin time.Duration
	pass                    [Critical + 1]bool
	digest                  time.Duration
}

// A RuleInfo describes a compiled rule to lints, metrics and lists.
type RuleInfo struct {
	ID         string
	Source     string // file:line
	Metric     string
	Revision   string     // hash of the rule as resolved: equal means nothing changed
	Severities []Severity // of its ladder, ascending
	Notify     []NotifyRef
	Counts     []CountRef
}

// A NotifyRef is a mention of an endpoint in a rule file.
type NotifyRef struct {
	Endpoint string
	Path     []string // the key that mentions it, as in [Problem]
}

// A CountRef is a key that counts or adds up readings of a metric, so that one
// which comes twice under two stamps changes what the rule decides.
type CountRef struct {
	Metric string
	Path   []string // the key, as in [Problem]
}

// Rules describes every rule, by ascending id. The caller must not change it.
func (p *Program) Rules() []RuleInfo { return p.infos }

// Metrics names the metrics that rules ask for, ascending. Readings of others are of no
// use to them. The caller must not change it.
func (p *Program) Metrics() []string { return p.names }

// NearestMetric is the one of these that a typing error would have made a name of, or "".
func (p *Program) NearestMetric(name string) string {
	return (&names{sorted: p.names}).nearest(name)
}

// Mentions lists every endpoint the file names, defaults included. The caller
// must not change it.
func (p *Program) Mentions() []NotifyRef { return p.mentions }

// A rule is a [rule.ID] table with everything inherited filled in. Where
// overrides or attributes change it for a device, the device has a variant of
// it: a rule of the same index and id.
type rule struct {
	index           int // in Program.rules
	id, source      string
	revision        string // hash of all it decides and says
	logic           string // hash of all it decides
	says            string // hash of how it says it, and to whom
	devices, except selector
	subject         subject
	metric          *metric // nil for a rule that looks at devices, or at several metrics
	shows           *metric // what events show: metric, or the first that an expression names; nil for none
	rungs           []rung  // ascending severity
	gauges          []gauge // what the rungs compare; a condition names one by its index
	title           title
	runbook         string
	labels          map[string]string
	behaviour
	group

	plain   bool    // nothing but readings against limits or values: see isPlain
	restLo  float64 // a reading from here to restHi leaves an alarm at rest; none does where it is the greater
	restHi  float64
	lasts   bool   // see ranks
	order   int    // a rule that asks whether others fire comes after them
	asks    []int  // indexes of the rules that this one asks for, in conditions or suppress_if
	varies  bool   // it has overrides or attributes: see Program.variant
	variant string // which variant this is, "" for the rule itself

	switched   bool       // labels may select overrides of it, and disable it with them
	overrides  []override // ascending by precedence
	overridden overridden
	attrs      []string         // attributes of devices that it compares with, sorted
	variants   map[string]*rule // those of declared devices, by key; read only
	alone      []*rule          // it with each override by itself
	begun      *rule            // what all variants by attributes alone have in common
	def        *RuleDef
}

// A subject is what an alarm of a rule is about.
type subject uint8

const (
	ofMetric subject = iota // one metric of one device
	ofDevice                // a device: silence, skew, expressions
	ofGroup                 // the devices that have a value of a label in common
)

// A behaviour is how a rule's alarms behave once they are under way, and what
// keeps them from being told.
type behaviour struct {
	cooldown   time.Duration
	renotify   []time.Duration // waits before reminders; the last repeats
	noData     noData
	staleAfter time.Duration // 0: three times the device's interval
	latch      bool
	calendar   *calendar // nil: always
	unless     []string  // presence states: online, offline, lost, sleeping
	unlessWhen int       // index+1 of a gauge that must not be true; 0 for none
	suppressIf []int     // indexes of rules
	explained  bool      // explain_by = "via"
	retained   retained
	backfill   bool
	shadow     bool
	forward    bool
	disabled   bool
	escalation []escalation // ascending by after
	flap       *flap
	renamed    string // former id
}

type noData uint8

const (
	holdState noData = iota
	fireAlarm
	resolveAlarm
)

type retained uint8

const (
	primeOnly retained = iota
	useRetained
	ignoreRetained
)

// A calendar is a schedule as a rule refers to it.
type calendar struct {
	schedule *schedule
	not      bool
	off      bool // outside it the condition is false; otherwise alarms are muted
	name     string
}

// open reports whether the calendar's time is now, and when that changes next
// (0: never).
func (c *calendar) open(at int64) (open bool, until int64) {
	open, until = c.schedule.open(at)
	return open != c.not, until
}

// An escalation is an [rule.ID.escalate.NAME] table.
type escalation struct {
	name     string
	after    time.Duration
	always   bool // whether or not somebody has acknowledged
	severity Severity
	notify   []string
}

// A flap recognises an alarm that comes and goes.
type flap struct {
	changes      int
	within, hold time.Duration
}

// A group is how the devices of a rule with across become one alarm.
type group struct {
	across      string // a label's name, "type" or "via"; "" for a rule without across
	reduce      string // avg median min max count sum spread; "" for an expression
	quorum      float64
	quorumShare bool // quorum is percent of the expected members
	fresh       time.Duration
}

// A gauge is how what a condition compares is made of readings.
type gauge struct {
	source     source
	metric     *metric // nil where source needs none
	over       time.Duration
	fn         string  // aggregate: avg min max sum count stddev spread median last quantile
	quantile   float64 // of fn quantile
	minSamples int     // fewer are unknown
	deviates   *deviates
	change     *change
	per        float64       // slope: of how many seconds; the limit is in that unit too
	within     float64       // flat: how far a value may move
	count      *count        // invalid
	silent     time.Duration // silence: 0 is auto
	when       *expr.Program
	refs       []operand // of when, slot by slot
}

// A source is what a gauge measures.
type source uint8

const (
	newest     source = iota // the newest reading
	aggregate                // fn of a window
	slope                    // least squares over a window, in the metric's unit per second
	delta                    // the newest of a window less its oldest
	deviation                // distance from the device's own normal, in deviations
	changed                  // true for a time after a change
	silence                  // true when the device has been quiet for too long
	flatness                 // seconds since the value last moved
	invalidity               // unusable readings within a time
	skewness                 // seconds that received is ahead of the event time, absolute
	expression               // true, false or unknown
)

type deviates struct {
	method     string // mad zscore baseline
	baseline   time.Duration
	season     string // "" hour weekday hour_of_week
	minHistory time.Duration
}

type change struct {
	any      bool
	from, to *value
	by       float64    // > 0: increased by at least that; < 0: decreased
	moment   *condition // of a momentary metric: each reading that fires it; nil for a change
	hold     time.Duration
}

type count struct {
	count  int
	within time.Duration
}

// An operand is what an expression's slot is filled with.
type operand struct {
	expr.Ref
	metric *metric
	rule   int // index, for firing, share_firing and count_firing

	// An age's: what it is compared with, ascending; nil where it is put to another use.
	bounds []float64
}

// A rung is one level of a rule's ladder.
type rung struct {
	condition
	severity     Severity
	hold         time.Duration // for
	share        float64       // for_share, 0 … 1; 0 for none
	clearHold    time.Duration // clear_for
	samples      int
	clearSamples int
	repeats      *count
	notify       []string
	sentence     string // "temperature above -12 °C for 10m"
	limitFrom    string // "override freezer-07 (@max_temp)"
	limitAt      string // file:line of the limit, as far as known
}

// applies reports whether the rule looks at a device.
func (r *rule) applies(id string, def *DeviceDef) bool {
	return (len(r.devices.scope) == 0 || r.devices.matches(id, def)) && !r.except.matches(id, def)
}

// mayApply reports whether the rule would look at a device with labels that it may
// learn beside those the file says.
func (r *rule) mayApply(id string, declared *DeviceDef) bool {
	return (len(r.devices.scope) == 0 || r.devices.selects(id, declared, true)) && !r.except.matches(id, declared)
}

// wakes reports whether v would start something in an alarm that is at rest.
func (r *rule) wakes(v value) bool {
	for i := range r.rungs {
		if r.rungs[i].fires(v) == yes {
			return true
		}
	}
	return false
}

// rests reports whether a number leaves an alarm at rest, without asking its rungs.
func (r *rule) rests(v float64) bool { return v >= r.restLo && v <= r.restHi }

// simplify finds out whether the rule is plain, between which values one of limits
// stays at rest, and whether it does so for longer than until a reading leaves.
func (r *rule) simplify() {
	r.plain, r.lasts = r.isPlain(), r.ranks()
	r.restLo, r.restHi = math.Inf(-1), math.Inf(1)
	for i := range r.rungs {
		switch g := &r.rungs[i]; g.op {
		case above:
			r.restHi = min(r.restHi, g.lo)
		case atLeast:
			r.restHi = min(r.restHi, math.Nextafter(g.lo, math.Inf(-1)))
		case below:
			r.restLo = max(r.restLo, g.lo)
		case atMost:
			r.restLo = max(r.restLo, math.Nextafter(g.lo, math.Inf(1)))
		case outside:
			r.restLo, r.restHi = max(r.restLo, g.lo), min(r.restHi, g.hi)
		default:
			r.restLo, r.restHi, r.lasts = math.Inf(1), math.Inf(-1), false
			return
		}
	}
}

// isPlain reports whether a reading alone decides whether an alarm that is at
// rest begins to move: the quick way.
func (r *rule) isPlain() bool {
	if r.subject != ofMetric || len(r.unless) > 0 || r.unlessWhen != 0 || r.cooldown > 0 || r.calendar != nil && r.calendar.off || r.forward || r.noData == fireAlarm {
		return false
	}
	for i := range r.rungs {
		if g := &r.rungs[i]; r.gauges[g.gauge].source != newest || g.repeats != nil || g.share > 0 {
			return false
		}
	}
	return true
}
