package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"time"

	"tocsin/rules"
)

// A ruleSet is the rule files of a configuration, merged into one.
type ruleSet struct {
	file  rules.File
	owner map[string]*source // path of a table, of two keys or one → the file it is in
	files []*source          // all that could be parsed
	whole bool               // and none that could not
}

func newRuleSet() *ruleSet {
	return &ruleSet{
		file: rules.File{
			Schema:      1,
			Metric:      map[string]*rules.MetricDef{},
			Device:      map[string]*rules.DeviceDef{},
			Group:       map[string]*rules.GroupDef{},
			Schedule:    map[string]*rules.ScheduleDef{},
			Maintenance: map[string]*rules.MaintenanceDef{},
			Rule:        map[string]*rules.RuleDef{},
			Test:        map[string]*rules.TestDef{},
		},
		owner: map[string]*source{},
		whole: true,
	}
}

// checkRules reads the rule files, merges them, compiles them, and checks that
// whom they notify exists.
func (l *loader) checkRules() {
	set := newRuleSet()
	set.file.Place = func(path []string) string { return l.place(set.of(path), path) }
	for _, file := range l.ruleFiles() {
		name := filepath.ToSlash(file)
		s := readSource(name, file, l.report)
		if s.tree == nil {
			set.whole = false
			continue
		}
		l.noteRead(s, file)
		s.expand(l.getenv)
		l.mergeRules(set, s)
		if l.report.full(false) {
			return // what was left out would be missed
		}
	}
	l.localTimes(set)
	l.inheritMaxAhead(set)
	program, problems := rules.Compile(&set.file)
	for _, p := range problems {
		l.ruleProblem(set, p)
	}
	l.checkRepetitions(set, program)
	l.checkNotify(set)
	if set.whole && !l.main.undecoded([]string{"rules"}) && len(set.file.Rule) == 0 {
		l.main.warnValue([]string{"rules"}, "there is no rule, so nothing will ever be told",
			`add one to a file that rules names, as in [rule.freezer-warm]`)
	}
	l.config.Rules, l.config.RuleFile, l.config.ruleSet = program, &set.file, set
}

// RuleProblem says where in the rule files a problem is that was found after they
// had been loaded, and shows the place.
func (c *Config) RuleProblem(p rules.Problem) Problem {
	if c.ruleSet != nil {
		if found := c.ruleSet.of(p.Path); found != nil {
			s := *found
			s.report, s.lenient = &report{scrubber: found.report.scrubber}, p.Warning
			s.problem(s.part(s.element(p.Path, p.Fact), p.Offset, p.Length), placeFor(p.Path, p.Fact), p.Fact, p.Remedy)
			return s.report.problems[0]
		}
	}
	return Problem{File: c.Path, Line: 1, Column: 1, Place: placeName(p.Path), Fact: p.Fact, Remedy: p.Remedy, Warning: p.Warning}
}

// inheritMaxAhead gives sources that do not say how far a device's clock may be
// ahead what the rules' defaults say.
func (l *loader) inheritMaxAhead(set *ruleSet) {
	ahead := set.file.Defaults.MaxAhead
	if ahead == nil {
		return
	}
	for name, s := range l.config.Sources {
		if _, written := l.main.places[pathKey([]string{"source", name, "max_ahead"})]; !written {
			s.MaxAhead = time.Duration(*ahead)
		}
	}
}

// ruleFiles finds the files that the patterns name, each once, in order.
func (l *loader) ruleFiles() []string {
	var files []string
	for i, pattern := range l.config.RuleFiles {
		at := []string{"rules", strconv.Itoa(i)}
		matches, err := filepath.Glob(l.resolve(pattern))
		if err != nil || pattern == "" {
			l.main.atValue(at, fmt.Sprintf("%q is no pattern of file names", pattern), `write one as in "rules/*.toml"`)
			continue
		}
		if len(matches) == 0 {
			l.main.atValue(at, fmt.Sprintf("no file matches %q", pattern), "create it, or correct the name; it is relative to this file")
		}
		for _, file := range matches {
			if l.admitRuleFile(at, pattern, file) && !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files
}

func (l *loader) admitRuleFile(at []string, pattern, file string) bool {
	if self, err := os.Stat(l.config.Path); err == nil {
		if info, err := os.Stat(file); err == nil && os.SameFile(self, info) {
			l.main.atValue(at, fmt.Sprintf("%q matches this very file", pattern), `keep rules in files of their own, as in "rules/*.toml"`)
			return false
		}
	}
	if !filepath.IsLocal(pattern) {
		return true
	}
	name, err := filepath.Rel(l.dir, file)
	if err != nil {
		return true
	}
	if err := l.contained(filepath.ToSlash(name), file); err != nil {
		l.main.leaf(at, err, "")
		return false
	}
	return true
}

// mergeRules decodes a rule file and adds it to the set. What two files define
// is a problem of the second.
func (l *loader) mergeRules(set *ruleSet, s *source) {
	set.files = append(set.files, s)
	var file rules.File
	decoder{source: s, elsewhere: mainTables()}.decode(&file)
	if l.report.full(false) {
		return
	}
	if _, ok := s.tree["schema"]; ok && file.Schema != 1 {
		s.atValue([]string{"schema"}, "schema is not one this version reads", "write schema = 1")
	}
	if _, ok := s.tree["defaults"]; ok && set.claim(s, "defaults") {
		set.file.Defaults = file.Defaults
	}
	if file.Flood != nil && set.claim(s, "flood") {
		set.file.Flood = file.Flood
	}
	for id, def := range file.Rule {
		def.Source = l.place(s, []string{"rule", id})
	}
	for name, def := range file.Test {
		def.Source = l.place(s, []string{"test", name})
	}
	merge(set, s, "metric", set.file.Metric, file.Metric)
	merge(set, s, "device", set.file.Device, file.Device)
	merge(set, s, "group", set.file.Group, file.Group)
	merge(set, s, "schedule", set.file.Schedule, file.Schedule)
	merge(set, s, "maintenance", set.file.Maintenance, file.Maintenance)
	merge(set, s, "rule", set.file.Rule, file.Rule)
	merge(set, s, "test", set.file.Test, file.Test)
}

// merge adds the named tables of a file to those of the files before it.
func merge[T any](set *ruleSet, s *source, table string, into, from map[string]*T) {
	for name, def := range from {
		if set.claim(s, table, name) {
			into[name] = def
		}
	}
}

// claim notes that a table is in a file, and reports false if another has it.
func (set *ruleSet) claim(s *source, path ...string) bool {
	key := pathKey(path)
	first, taken := set.owner[key]
	if !taken {
		set.owner[key] = s
		return true
	}
	line, _ := first.position(first.find(path).value.start)
	s.atKey(path, fmt.Sprintf("%s is defined in two files", placeName(path)),
		fmt.Sprintf("keep one of them; the other is at %s:%d", first.name, line))
	return false
}

// place says where a path is written, as events tell it: relative to the
// configuration's folder, so that it is the same wherever that is. It is "" for
// what is written in no file.
func (l *loader) place(s *source, path []string) string {
	if s == nil {
		return ""
	}
	name := s.name
	if rel, err := filepath.Rel(l.dir, name); err == nil && filepath.IsLocal(rel) {
		name = filepath.ToSlash(rel)
	}
	line, _ := s.position(s.find(path).value.start)
	return name + ":" + strconv.Itoa(line)
}

// ruleProblem reports what the compiler found at the place of its path, unless
// it is a consequence of what was reported before.
func (l *loader) ruleProblem(set *ruleSet, p rules.Problem) {
	if l.report.full(p.Warning) {
		return
	}
	s := set.of(p.Path)
	if s == nil {
		s = l.main
		s.problem(s.find([]string{"rules"}).value, p.Path, p.Fact, p.Remedy)
		return
	}
	if set.follows(s, p) {
		return
	}
	at := s.part(s.element(p.Path, p.Fact), p.Offset, p.Length)
	report := func() { s.problem(at, placeFor(p.Path, p.Fact), p.Fact, p.Remedy) }
	if p.Warning {
		s.warn(nil, report)
	} else {
		report()
	}
}

// follows reports whether a problem, of what is in file s, follows from
// something that could not be decoded.
func (set *ruleSet) follows(s *source, p rules.Problem) bool {
	for n := range p.Path {
		if s.faulty[pathKey(p.Path[:n+1])] {
			return true
		}
	}
	// Of a table, one key may be at fault and another all the same; but what is
	// only likely is not said of one that was not read as a whole.
	if (p.Warning || !isRuleTable(p.Path)) && s.undecoded(p.Path) {
		return true
	}
	key := keyOf(p.Path)
	if len(p.Path) > 2 && slices.ContainsFunc(refersTo(key), set.missing) {
		return true
	}
	absent := slices.Concat(p.Absent, set.meaning(p.Path, key))
	return slices.ContainsFunc(absent, func(path []string) bool {
		return len(path) < 3 && set.missing(path[0]) ||
			slices.ContainsFunc(set.files, func(s *source) bool { return s.undecoded(path) })
	})
}

// missing reports whether tables of a kind are known to be missing: those in a
// file that could not be parsed, and those that were not written as tables.
func (set *ruleSet) missing(table string) bool {
	return !set.whole && table != "defaults" ||
		slices.ContainsFunc(set.files, func(s *source) bool { return s.faulty[table] })
}

// keyOf is the last key of a path that is no position in a list.
func keyOf(path []string) string {
	key := path[len(path)-1]
	if _, err := strconv.Atoi(key); err == nil && len(path) > 3 {
		return path[len(path)-2]
	}
	return key
}

// isRuleTable reports whether a path leads to a table of a rule.
func isRuleTable(path []string) bool {
	if len(path) <= 2 {
		return true
	}
	tables := []string{"level", "override", "escalate"}
	n := len(path)
	return path[0] == "rule" && (n == 3 && path[2] == "flap" || n%2 == 0 && slices.Contains(tables, path[n-2]))
}

// refersTo returns the tables whose names the value of a key holds.
func refersTo(key string) []string {
	switch key {
	case "devices", "except":
		return []string{"group", "device"}
	case "schedule":
		return []string{"schedule"}
	case "suppress_if", "rules", "rule":
		return []string{"rule"}
	case "when", "clear", "unless":
		return []string{"metric", "rule", "device"} // an expression may name any of them
	case "via", "across":
		return []string{"device"}
	}
	return nil
}

// meaning returns what gives a key of a rule its meaning, and is written elsewhere.
func (set *ruleSet) meaning(path []string, key string) (elsewhere [][]string) {
	if len(path) == 2 && path[0] == "rule" {
		// Whether a rule needs a metric depends on its family.
		return [][]string{under(path, "silent"), under(path, "when"), under(path, "skew")}
	}
	if len(path) <= 2 || path[0] != "rule" || slices.Contains(plainKeys(), key) {
		return nil
	}
	if key == "when" || key == "clear" {
		elsewhere = [][]string{{"metric"}} // an expression may name any
	}
	rule := set.file.Rule[path[1]]
	if rule == nil {
		return elsewhere
	}
	// What a limit or a value means depends on its metric.
	for _, key := range []string{"type", "kind", "unit", "true_is", "false_is"} {
		elsewhere = append(elsewhere, []string{"metric", rule.Metric, key})
	}
	return elsewhere
}

// plainKeys are the keys of a rule whose meaning no metric changes.
func plainKeys() []string {
	return []string{
		"for", "for_share", "clear_for", "samples", "clear_samples", "repeats", "count", "within", "title", "metric",
		"cooldown", "renotify", "no_data", "stale_after", "latch", "unless", "explain_by", "retained", "backfill",
		"shadow", "forward", "enabled", "after", "severity", "notify", "changes", "hold", "over", "min_samples",
		"reduce", "quorum", "fresh", "silent", "skew", "renamed_from", "runbook", "labels", "devices", "except", "schedule",
	}
}

// of returns the file that a path leads into, or nil.
func (set *ruleSet) of(path []string) *source {
	for n := min(len(path), 2); n > 0; n-- {
		if s := set.owner[pathKey(path[:n])]; s != nil {
			return s
		}
	}
	return nil
}
