package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
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
	errors   int
	metrics  map[string]*metric
	mentions []NotifyRef
}

func (c *compiler) fail(path []string, fact, remedy string, absent ...[]string) {
	c.problems = append(c.problems, Problem{Path: path, Fact: fact, Remedy: remedy, Absent: absent})
	c.errors++
}

func (c *compiler) warn(path []string, fact, remedy string, absent ...[]string) {
	c.problems = append(c.problems, Problem{Path: path, Fact: fact, Remedy: remedy, Warning: true, Absent: absent})
}

// join makes a path of its own: problems outlive the compiler's slices.
func join(path []string, keys ...string) []string { return slices.Concat(path, keys) }

// Compile checks f and makes a program of it. It reports all problems at once;
// the program is nil if one of them is not a warning. It keeps nothing of f.
func Compile(f *File) (*Program, []Problem) {
	c := &compiler{file: f, metrics: map[string]*metric{}}
	if f.Schema < 0 || f.Schema > 1 {
		c.fail([]string{"schema"}, fmt.Sprintf("schema %d is not known to this version", f.Schema), "write schema = 1, or use a newer version")
	}
	c.defaults()
	c.allMetrics()
	p := &Program{byID: map[string]*rule{}, metrics: map[string]*metric{}, devices: map[string]*DeviceDef{}}
	for id, def := range f.Device {
		c.device(id, def)
		p.devices[id] = &DeviceDef{Type: def.Type, Labels: maps.Clone(def.Labels), Via: def.Via}
	}
	for _, id := range slices.Sorted(maps.Keys(f.Rule)) {
		first := len(c.mentions)
		r := c.rule(id, f.Rule[id])
		if c.errors > 0 {
			continue
		}
		r.index = len(p.rules)
		p.rules = append(p.rules, r)
		p.byID[id] = r
		p.metrics[r.metric.name] = r.metric
		r.metric.bind(r)
		info := RuleInfo{ID: id, Source: r.source, Metric: r.metric.name, Revision: r.revision, Notify: c.mentions[first:len(c.mentions):len(c.mentions)]}
		for _, rung := range r.rungs {
			info.Severities = append(info.Severities, rung.severity)
		}
		p.infos = append(p.infos, info)
	}
	p.mentions = c.mentions
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return slices.Compare(a.Path, b.Path) })
	if c.errors > 0 {
		return nil, c.problems
	}
	return p, c.problems
}

// bind indexes a rule by the devices it names.
func (m *metric) bind(r *rule) {
	ids, ok := r.devices.ids()
	if !ok {
		m.general = append(m.general, r)
		return
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		m.byDevice[id] = append(m.byDevice[id], r)
	}
}

func (c *compiler) defaults() {
	d := &c.file.Defaults
	c.timing([]string{"defaults"}, d.Timing)
	c.notify([]string{"defaults", "notify"}, d.Notify)
}

func (c *compiler) device(id string, def *DeviceDef) {
	if id == "" {
		c.fail([]string{"device", id}, "has no name", "write [device.NAME]")
	}
	if def.Via == id {
		c.fail([]string{"device", id, "via"}, "a device cannot be its own parent", "name the gateway it is connected to, or remove via")
	}
}

// allMetrics resolves each metric that is declared or used.
func (c *compiler) allMetrics() {
	uses := map[string][]*Condition{}
	for name := range c.file.Metric {
		uses[name] = nil
	}
	for _, id := range slices.Sorted(maps.Keys(c.file.Rule)) {
		def := c.file.Rule[id]
		if def.Metric == "" {
			continue
		}
		uses[def.Metric] = append(uses[def.Metric], &def.Condition)
		for _, level := range slices.Sorted(maps.Keys(def.Level)) {
			uses[def.Metric] = append(uses[def.Metric], &def.Level[level].Condition)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		c.metrics[name] = c.metric(name, c.file.Metric[name], uses[name])
	}
}

// rule compiles one rule; what it returns is of use only if nothing failed.
func (c *compiler) rule(id string, def *RuleDef) *rule {
	path := []string{"rule", id}
	r := &rule{id: id, source: def.Source, devices: slices.Clone(def.Devices), except: slices.Clone(def.Except)}
	allowed := func(x rune) bool { return unicode.IsLetter(x) || unicode.IsDigit(x) || strings.ContainsRune("-_.", x) }
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, func(x rune) bool { return !allowed(x) }) {
		c.fail(path, "has a name that cannot be part of an alarm's key", "use letters, digits, - _ and . only, at most 128 bytes")
	}
	c.scope(join(path, "devices"), def.Devices)
	c.scope(join(path, "except"), def.Except)

	d := &c.file.Defaults
	r.runbook = first(def.Runbook, d.Runbook)
	r.labels = maps.Clone(d.Labels)
	if r.labels == nil {
		r.labels = map[string]string{}
	}
	maps.Copy(r.labels, def.Labels)

	if def.Metric == "" {
		c.fail(path, "names no metric", `write metric = "temperature", or what your devices call the reading`, join(path, "metric"))
	}
	r.metric = c.metrics[def.Metric] // nil without a name: what needs no metric is checked all the same
	if r.metric != nil && c.file.Metric[def.Metric] == nil {
		if n := nearest(def.Metric, slices.Sorted(maps.Keys(c.file.Metric))); n != "" {
			c.warn(join(path, "metric"), fmt.Sprintf("no [metric.%s] is declared, but [metric.%s] is", def.Metric, n), fmt.Sprintf("did you mean %q?", n))
		}
	}
	c.ladder(path, def, r)
	c.title(path, def, r)
	if r.metric != nil {
		r.revision = r.hash()
	}
	return r
}

// ladder compiles the rule's own condition and its levels into rungs.
func (c *compiler) ladder(path []string, def *RuleDef, r *rule) {
	d := &c.file.Defaults
	base := rung{severity: first(def.Severity, d.Severity, Warning), limitFrom: "rule " + r.id}
	timing := inherit(def.Timing, d.Timing)
	base.time(timing)
	c.timing(path, def.Timing)
	base.notify = def.Notify
	c.notify(join(path, "notify"), def.Notify)
	if def.Notify == nil {
		base.notify = d.Notify
	}
	condition, ok := c.condition(path, &def.Condition, r.metric)
	base.condition = condition
	r.rungs = append(r.rungs, base)

	for _, name := range slices.Sorted(maps.Keys(def.Level)) {
		level := def.Level[name]
		at := join(path, "level", name)
		up := rung{condition: base.condition, notify: level.Notify, limitFrom: "level " + name}
		if err := up.severity.UnmarshalText([]byte(name)); err != nil {
			c.fail(at, "level "+strconv.Quote(name)+" is no severity", didYouMean(name, severityNames[1:]))
			continue
		}
		if up.severity == base.severity {
			c.fail(at, "level "+name+" has the severity of the rule itself", "give the level another severity, or change severity of the rule",
				join(path, "severity"), []string{"defaults", "severity"})
			continue
		}
		up.time(inherit(level.Timing, timing))
		c.timing(at, level.Timing)
		c.notify(join(at, "notify"), level.Notify)
		if level.Notify == nil {
			up.notify = base.notify
		}
		fire, others := level.written()
		switch {
		case len(fire) > 0: // a limit of its own, and no clear of another limit
			up.condition, _ = c.condition(at, &level.Condition, r.metric)
		case len(others) > 0 && ok:
			merged := def.Condition
			merged.Clear, merged.ClearIs = level.Clear, level.ClearIs
			up.condition, _ = c.condition(at, &merged, r.metric)
		default:
			up.limitFrom = base.limitFrom
		}
		r.rungs = append(r.rungs, up)
	}
	slices.SortStableFunc(r.rungs, func(a, b rung) int { return int(a.severity) - int(b.severity) })
	for i := range r.rungs {
		r.rungs[i].notify = slices.Clone(r.rungs[i].notify)
		r.rungs[i].describe()
		if i > 0 && c.errors == 0 {
			c.order(path, &r.rungs[i-1], &r.rungs[i])
		}
	}
}

// order warns of a rung that a more severe one leaves nothing to do.
func (c *compiler) order(path []string, low, high *rung) {
	at := join(path, "level", high.severity.String())
	if _, written := c.file.Rule[path[1]].Level[high.severity.String()]; !written {
		at = path
	}
	absent := [][]string{{"defaults", "for"}, {"defaults", "samples"}}
	for _, table := range [][]string{path, join(path, "level", low.severity.String()), join(path, "level", high.severity.String())} {
		absent = append(absent, append(fireKeys(table), join(table, "for"), join(table, "samples"))...)
	}
	switch {
	case low.op.upward() && high.op.upward() && high.lo < low.lo,
		low.op.downward() && high.op.downward() && high.lo > low.lo:
		c.warn(at, fmt.Sprintf("levels are out of order: %s (%s) is reached before %s (%s)", high.severity, high.text, low.severity, low.text),
			"give the more severe level the limit that is further away", absent...)
	case low.text == high.text && high.hold <= low.hold && high.samples <= low.samples:
		c.warn(at, fmt.Sprintf("%s (%s) never begins after %s", high.severity, high.sentence, low.severity),
			"give the more severe level a limit that is further away, or a longer for", absent...)
	}
}

// longest keeps every sum of a time and a duration within an int64.
const longest = Duration(10 * 365 * 24 * time.Hour)

func (c *compiler) timing(path []string, t Timing) {
	for _, d := range []struct {
		key   string
		value *Duration
	}{{"for", t.For}, {"clear_for", t.ClearFor}} {
		switch {
		case d.value == nil:
		case *d.value < 0:
			c.fail(join(path, d.key), d.key+" is negative", `write a duration such as "10m"`)
		case *d.value > longest:
			c.fail(join(path, d.key), d.key+" is longer than ten years", `write a shorter duration, such as "10m"`)
		}
	}
	if t.Samples != nil && (*t.Samples < 1 || *t.Samples > 1_000_000) {
		c.fail(join(path, "samples"), fmt.Sprintf("samples is %d", *t.Samples), "write how many samples in a row must hold: 1 or more")
	}
}

func (c *compiler) notify(path []string, names []string) {
	for _, name := range names {
		c.mentions = append(c.mentions, NotifyRef{Endpoint: name, Path: path})
	}
}

func (c *compiler) scope(at []string, s Scope) {
	for _, pattern := range s {
		kind, rest, _ := strings.Cut(pattern, ":")
		label, _, pair := strings.Cut(rest, "=")
		switch {
		case pattern == "":
			c.fail(at, "holds an empty pattern", `write "*" for every device`)
		case kind == "group":
			c.fail(at, "group: is not supported by this version", `select by "type:…" or "label:name=value"`)
		case kind == "label" && (!pair || label == ""):
			c.fail(at, strconv.Quote(pattern)+" is no label pattern", `write "label:name=value"`)
		case kind == "label": // a topic may give it
		case kind == "type":
			if !c.selects(pattern) {
				c.warn(at, strconv.Quote(pattern)+" selects no declared device", "declare one as [device.NAME], with its type", []string{"device"})
			}
		default:
			if _, err := path.Match(pattern, ""); err != nil {
				c.fail(at, strconv.Quote(pattern)+" is no pattern: a bracket is not closed", `close it, or write \[ for a bracket in a name`)
			}
		}
	}
}

func (c *compiler) selects(pattern string) bool {
	for id, def := range c.file.Device {
		if (Scope{pattern}).matches(id, def) {
			return true
		}
	}
	return false
}

func (c *compiler) title(path []string, def *RuleDef, r *rule) {
	text := def.Title
	if text == "" {
		text = "{device}: {metric} is {value}"
		if r.rungs[0].op.isLimit() {
			text = "{device}: {metric} {value} {unit}, limit {threshold}"
		}
	}
	t, wrong := parseTitle(text)
	for _, p := range wrong {
		c.fail(join(path, "title"), p.fact, p.remedy)
	}
	if m := r.metric; m != nil && t.formatted() && m.kind != Number {
		c.fail(join(path, "title"), "asks for decimals of "+m.name+", which is a "+m.kind.String(), "write {value}",
			append(fireKeys(path), []string{"metric", m.name, "type"})...)
	}
	r.title = t
}

// inherit fills what t leaves out from what is above it.
func inherit(t, from Timing) Timing {
	if t.For == nil {
		t.For = from.For
	}
	if t.ClearFor == nil {
		t.ClearFor = from.ClearFor
	}
	if t.Samples == nil {
		t.Samples = from.Samples
	}
	return t
}

func (r *rung) time(t Timing) {
	r.samples = 1
	if t.For != nil {
		r.hold = time.Duration(*t.For)
	}
	if t.ClearFor != nil {
		r.clearHold = time.Duration(*t.ClearFor)
	}
	if t.Samples != nil {
		r.samples = *t.Samples
	}
}

func (r *rung) describe() {
	r.sentence = r.metric + " " + r.text
	if r.hold > 0 {
		r.sentence += " for " + written(r.hold)
	}
	if r.samples > 1 {
		r.sentence += fmt.Sprintf(", %d samples in a row", r.samples)
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

// hash names the rule's revision: everything that changes what it decides or
// says, and nothing else, such as the line it is written on.
func (r *rule) hash() string {
	h := sha256.New()
	m := r.metric
	fmt.Fprintf(h, "%q %q %q %q %d %q %v %v %v %v %v %q %q", r.id, r.devices, r.except, m.name, m.kind, m.unit, m.ranged, m.lo, m.hi, m.codes, m.jump, m.trueIs, m.notIs)
	fmt.Fprintf(h, " %q %q %q", fmt.Sprint(r.title), r.runbook, fmt.Sprint(r.labels))
	for i := range r.rungs {
		g := &r.rungs[i]
		fmt.Fprintf(h, "\n%s %q %q %d %d %d %q %v %v", g.severity, g.text, g.clearText, g.hold, g.clearHold, g.samples, g.notify, g.limit, g.clear)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)[:8])
}
