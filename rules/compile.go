package rules

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A compiler collects what is wrong while it goes on, so that everything is
// reported at once.
type compiler struct {
	file     *File
	problems []Problem
	keys     map[string]bool // of the first so many problems: see said
	noted    int
	errors   int

	metrics   map[string]*metric
	untyped   map[string]bool // metrics of which nothing says yet what they are
	schedules map[string]*schedule
	ids       []string       // of rules, ascending
	index     map[string]int // of a rule in ids
	attrUnits map[string]string
	devices   *inventory
	rules     *names // ids
	groups    *names
	calendars *names             // schedules, and always
	declares  *names             // metrics that the file describes
	measured  *names             // and those that a rule has for its key
	renames   map[string]string  // a former id of a rule → the first of those that had it
	asks      []map[int][]string // by rule: see asked
	sealed    bool               // compiled: from now on it is shared

	// Of the rule in hand.
	origin   map[string][]string // where a key is written, by where it is looked for
	attrs    map[string]Quantity // of the device it is compiled for
	per      string              // the unit of time of its rates
	mentions []NotifyRef
	asked    map[int][]string // rules it asks for, with the key that does
	counted  []CountRef
}

func (c *compiler) fail(path []string, fact, remedy string, absent ...[]string) {
	c.problems = append(c.problems, Problem{Path: c.written(path), Fact: fact, Remedy: remedy, Absent: absent})
	c.errors++
}

func (c *compiler) warn(path []string, fact, remedy string, absent ...[]string) {
	c.problems = append(c.problems, Problem{Path: c.written(path), Fact: fact, Remedy: remedy, Warning: true, Absent: absent})
}

// join makes a path of its own: problems outlive the compiler's slices.
func join(path []string, keys ...string) []string { return slices.Concat(path, keys) }

// Compile checks f and makes a program of it. It reports all problems at once;
// the program is nil if one of them is not a warning. The program keeps f, which
// must not be changed afterwards.
func Compile(f *File) (*Program, []Problem) {
	c := &compiler{file: f, metrics: map[string]*metric{}, untyped: map[string]bool{}, index: map[string]int{}, schedules: map[string]*schedule{}, renames: map[string]string{}}
	if f.Schema < 0 || f.Schema > 1 {
		c.fail([]string{"schema"}, fmt.Sprintf("schema %d is not known to this version", f.Schema), "write schema = 1, or use a newer version")
	}
	c.ids = slices.Sorted(maps.Keys(f.Rule))
	for i, id := range c.ids {
		c.index[id] = i
		if from := f.Rule[id].RenamedFrom; c.renames[from] == "" {
			c.renames[from] = id
		}
	}
	calendars := append(slices.Collect(maps.Keys(f.Schedule)), "always")
	slices.Sort(calendars)
	c.calendars = &names{sorted: calendars}
	c.rules, c.groups, c.declares = &names{sorted: c.ids}, namesOf(f.Group), namesOf(f.Metric)
	p := &Program{byID: map[string]*rule{}, formerly: map[string]*rule{}, metrics: map[string]*metric{}, devices: map[string]*DeviceDef{}, compiler: c}
	c.devices = newInventory(f.Device)
	c.tables(p)
	c.allMetrics()
	c.defaults()
	p.mentions = append(p.mentions, c.mentions...)
	for _, id := range c.ids {
		r := c.whole(id, f.Rule[id])
		p.rules = append(p.rules, r)
		p.byID[id] = r
		p.mentions = append(p.mentions, c.mentions...)
		p.infos = append(p.infos, RuleInfo{ID: id, Source: r.source, Notify: slices.Clone(c.mentions), Counts: slices.Clone(c.counted)})
	}
	c.mentions, c.counted = nil, nil
	c.arrange(p)
	c.lint(p)
	problems := sorted(c.problems)
	if c.errors > 0 {
		return nil, problems
	}
	for _, m := range c.metrics {
		m.described = m.description() // which each variant of a rule would write anew
	}
	for i, r := range p.rules {
		c.place(p, r)
		p.infos[i].describe(r)
	}
	p.names = slices.Sorted(maps.Keys(p.metrics))
	p.windows = p.askedWindows()
	c.untyped, c.origin, c.asked, c.problems, c.keys, c.sealed = nil, nil, nil, nil, nil, true
	return p, problems
}

// defaults checks what rules inherit, whether or not one does.
func (c *compiler) defaults() {
	at, d := []string{"defaults"}, &c.file.Defaults
	timing := d.Timing
	if timing.For == nil {
		timing.For = new(Duration)
		*timing.For = Duration(time.Minute) // for_share may stand without the for of a rule
	}
	c.time(at, timing, &rung{})
	c.behaviour(at, &RuleDef{Behaviour: d.Behaviour}, &rule{index: -1, def: &RuleDef{}})
	c.note(join(at, "notify"), d.Notify)
}

// sorted orders problems by place, and drops what is said twice.
func sorted(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int { return slices.Compare(a.Path, b.Path) })
	seen := map[string]bool{}
	return slices.DeleteFunc(problems, func(p Problem) bool {
		key := p.key()
		defer func() { seen[key] = true }()
		return seen[key]
	})
}

// key is equal for problems that say the same of the same place.
func (p *Problem) key() string {
	return strings.Join(p.Path, "\x00") + "\x00" + p.Fact + "\x00" + fmt.Sprint(p.Offset)
}

// said reports whether p says what has been said of the same place.
func (c *compiler) said(p Problem) bool {
	if c.keys == nil {
		c.keys = map[string]bool{}
	}
	for ; c.noted < len(c.problems); c.noted++ {
		c.keys[c.problems[c.noted].key()] = true
	}
	return c.keys[p.key()]
}

// place puts a rule where the engine finds it, once nothing can change any more.
func (c *compiler) place(p *Program, r *rule) {
	r.simplify()
	if r.revision == "" {
		c.revise(r)
	}
	for _, v := range r.variants {
		v.order, v.asks = r.order, r.asks
		v.simplify()
		c.revise(v)
		c.uses(p, v)
	}
	c.uses(p, r)
	if r.renamed != "" {
		p.formerly[r.renamed] = r
	}
	switch {
	case r.subject == ofGroup:
		p.ofGroup = append(p.ofGroup, r)
	case r.subject == ofDevice:
		p.ofDevice = append(p.ofDevice, r)
	default:
		r.metric.bind(r)
	}
}

// uses makes the metrics of a rule known to the engine.
func (c *compiler) uses(p *Program, r *rule) {
	for i := range r.gauges {
		g := &r.gauges[i]
		if g.metric != nil {
			p.metrics[g.metric.name] = g.metric
		}
		for _, ref := range g.refs {
			if ref.metric != nil {
				p.metrics[ref.metric.name] = ref.metric
			}
		}
	}
}

func (i *RuleInfo) describe(r *rule) {
	i.Revision = r.revision
	if r.metric != nil {
		i.Metric = r.metric.name
	}
	for _, rung := range r.rungs {
		i.Severities = append(i.Severities, rung.severity)
	}
}

// bind indexes a rule by the devices it names.
func (m *metric) bind(r *rule) {
	ids, ok := r.devices.scope.ids()
	if !ok {
		m.general = append(m.general, r)
		return
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		m.byDevice[id] = append(m.byDevice[id], r)
	}
}

// allMetrics resolves each metric that is declared, or named by a key of a rule.
func (c *compiler) allMetrics() {
	uses := map[string][]*Condition{}
	for name := range c.file.Metric {
		uses[name] = nil
	}
	for _, id := range c.ids {
		def := c.file.Rule[id]
		if def.Metric == "" {
			continue
		}
		list := append(uses[def.Metric], &def.Condition)
		for _, name := range slices.Sorted(maps.Keys(def.Level)) {
			list = append(list, &def.Level[name].Condition)
		}
		for _, key := range slices.Sorted(maps.Keys(def.Override)) {
			o := def.Override[key]
			list = append(list, &o.Condition)
			for _, name := range slices.Sorted(maps.Keys(o.Level)) {
				list = append(list, &o.Level[name].Condition)
			}
		}
		uses[def.Metric] = list
	}
	c.measured = namesOf(uses)
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		c.metrics[name] = c.metric(name, c.file.Metric[name], uses[name])
	}
}

// rule compiles a rule as def has it; what it returns is of use only if nothing
// failed.
func (c *compiler) rule(id string, def *RuleDef) *rule {
	r := c.begin(id, def)
	c.finish(r)
	return r
}

// begin compiles what no attribute of a device changes: all but the ladder and the
// title.
func (c *compiler) begin(id string, def *RuleDef) *rule {
	path := []string{"rule", id}
	r := &rule{id: id, index: c.index[id], source: def.Source, def: def}
	allowed := func(x rune) bool { return unicode.IsLetter(x) || unicode.IsDigit(x) || strings.ContainsRune("-_.", x) }
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, func(x rune) bool { return !allowed(x) }) {
		c.fail(path, "has a name that cannot be part of an alarm's key", "use letters, digits, - _ and . only, at most 128 bytes")
	}
	c.scope(join(path, "devices"), def.Devices)
	c.scope(join(path, "except"), def.Except)
	r.devices, r.except = c.selector(def.Devices), c.selector(def.Except)

	d := &c.file.Defaults
	r.runbook = first(def.Runbook, d.Runbook)
	r.labels = maps.Clone(d.Labels)
	if r.labels == nil {
		r.labels = map[string]string{}
	}
	maps.Copy(r.labels, def.Labels)
	var meant Severity
	if meant.UnmarshalText([]byte(def.Labels["severity"])) == nil && meant != first(def.Severity, d.Severity, Warning) {
		c.warn(join(path, "labels", "severity"), "is a label, and changes nothing of how severe the alarm is", "write severity = "+strconv.Quote(meant.String())+" in the rule itself")
	}

	c.group(path, def, r)
	c.subject(path, def, r)
	c.behaviour(path, def, r)
	return r
}

// finish compiles the rest of a rule that was begun.
func (c *compiler) finish(r *rule) {
	path := []string{"rule", r.id}
	c.per = ""
	c.ladder(path, r.def, r)
	if r.shows == nil {
		r.shows = r.metric
	}
	c.title(path, r.def, r)
}

// subject settles what a rule is about, and its metric.
func (c *compiler) subject(path []string, def *RuleDef, r *rule) {
	f, asks := def.family()
	byDevice := asks && f.ofDevice()
	switch {
	case r.across != "":
		r.subject = ofGroup
	case byDevice:
		r.subject = ofDevice
	}
	at := join(path, "metric")
	switch {
	case byDevice && def.Metric != "" && f == expressionFamily:
		c.fail(at, "metric has no effect with when", "remove it: an expression names its metrics itself")
	case byDevice && def.Metric != "":
		c.fail(at, def.fire()[0].name+" is of a device, not of one metric", "remove metric")
	case byDevice:
		return
	case def.Metric == "":
		c.fail(path, "names no metric", `write metric = "temperature", or what your devices call the reading`, at)
	}
	r.metric = c.metrics[def.Metric] // nil without a name: what needs no metric is checked all the same
	if r.metric != nil && c.file.Metric[def.Metric] == nil {
		if n := c.declares.nearest(def.Metric); n != "" {
			fact := "no metric is declared as " + def.Metric
			if slip(def.Metric, n) {
				c.fail(at, fact, fmt.Sprintf("did you mean %q? if not, declare [metric.%s]", n, def.Metric))
			} else {
				c.warn(at, fact, fmt.Sprintf("did you mean %q?", n))
			}
		}
	}
}

// longest keeps every sum of a time and a duration within an int64.
const longest = Duration(10 * 365 * 24 * time.Hour)

// note remembers who is mentioned where.
func (c *compiler) note(path []string, names []string) {
	path = c.written(path)
	for _, name := range names {
		ref := NotifyRef{Endpoint: name, Path: path}
		same := func(have NotifyRef) bool { return have.Endpoint == name && slices.Equal(have.Path, path) }
		if !slices.ContainsFunc(c.mentions, same) {
			c.mentions = append(c.mentions, ref)
		}
	}
}

// first returns the first of its arguments that is not zero.
func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}
