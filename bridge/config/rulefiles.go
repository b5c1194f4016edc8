package config

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tocsin/rules"
)

// A ruleSet is the rule files of a configuration, merged into one.
type ruleSet struct {
	file  rules.File
	owner map[string]*source // path of a table, of two keys or one → the file it is in
	files []*source          // all that could be parsed
	whole bool               // and none that could not
}

// checkRules reads the rule files, merges them, compiles them, and checks that
// whom they notify exists.
func (l *loader) checkRules() {
	set := &ruleSet{
		file: rules.File{
			Schema: 1,
			Metric: map[string]*rules.MetricDef{},
			Device: map[string]*rules.DeviceDef{},
			Rule:   map[string]*rules.RuleDef{},
		},
		owner: map[string]*source{},
		whole: true,
	}
	for _, file := range l.ruleFiles() {
		name := filepath.ToSlash(file)
		s := readSource(name, file, &l.problems)
		if s.tree == nil {
			set.whole = false
			continue
		}
		s.expand(l.getenv)
		l.mergeRules(set, s)
	}
	program, problems := rules.Compile(&set.file)
	for _, p := range problems {
		l.ruleProblem(set, p)
	}
	l.checkNotify(set)
	if set.whole && !l.main.undecoded([]string{"rules"}) && len(set.file.Rule) == 0 {
		l.main.warnValue([]string{"rules"}, "there is no rule, so nothing will ever be told",
			`add one to a file that rules names, as in [rule.freezer-warm]`)
	}
	l.config.Rules, l.config.RuleFile = program, &set.file
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
	if _, ok := s.tree["schema"]; ok && file.Schema != 1 {
		s.atValue([]string{"schema"}, "schema is not one this version reads", "write schema = 1")
	}
	if _, ok := s.tree["defaults"]; ok && set.claim(s, "defaults") {
		set.file.Defaults = file.Defaults
	}
	for id, def := range file.Metric {
		if set.claim(s, "metric", id) {
			set.file.Metric[id] = def
		}
	}
	for id, def := range file.Device {
		if set.claim(s, "device", id) {
			set.file.Device[id] = def
		}
	}
	for id, def := range file.Rule {
		if set.claim(s, "rule", id) {
			def.Source = l.ruleSource(s, id)
			set.file.Rule[id] = def
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

// ruleSource says where a rule is written, as events tell it: relative to the
// configuration's folder, so that it is the same wherever that is.
func (l *loader) ruleSource(s *source, id string) string {
	name := s.name
	if rel, err := filepath.Rel(l.dir, name); err == nil && filepath.IsLocal(rel) {
		name = filepath.ToSlash(rel)
	}
	line, _ := s.position(s.find([]string{"rule", id}).value.start)
	return name + ":" + strconv.Itoa(line)
}

// ruleProblem reports what the compiler found at the place of its path, unless
// it is a consequence of what was reported before.
func (l *loader) ruleProblem(set *ruleSet, p rules.Problem) {
	s := set.of(p.Path)
	if s == nil {
		s = l.main
		s.problem(s.find([]string{"rules"}).value, p.Path, p.Fact, p.Remedy)
		return
	}
	if set.follows(s, p) {
		return
	}
	place := p.Path
	if n := len(place); n > 0 && beginsWith(p.Fact, place[n-1]) {
		place = place[:n-1]
	}
	report := func() { s.problem(s.find(p.Path).value, place, p.Fact, p.Remedy) }
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
	table := len(p.Path) <= 2 || len(p.Path) == 4 && p.Path[2] == "level"
	if !table && s.undecoded(p.Path) {
		return true
	}
	absent := p.Absent
	if len(p.Path) > 2 && p.Path[0] == "rule" && !slices.Contains(plainKeys(), p.Path[len(p.Path)-1]) {
		// What a limit or a value means depends on its metric.
		if rule := set.file.Rule[p.Path[1]]; rule != nil {
			for _, key := range []string{"type", "unit", "true_is", "false_is"} {
				absent = append(absent, []string{"metric", rule.Metric, key})
			}
		}
	}
	return slices.ContainsFunc(absent, func(path []string) bool {
		// A device may be declared in the file that could not be parsed.
		return path[0] == "device" && !set.whole ||
			slices.ContainsFunc(set.files, func(s *source) bool { return s.undecoded(path) })
	})
}

// plainKeys are the keys of a rule whose meaning no metric changes.
func plainKeys() []string {
	return []string{"for", "clear_for", "samples", "devices", "except", "title", "metric"}
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

// undecoded reports whether a problem was reported at a path or below it.
func (s *source) undecoded(path []string) bool {
	key := pathKey(path)
	for faulty := range s.faulty {
		if faulty == key || strings.HasPrefix(faulty, key+"\x00") {
			return true
		}
	}
	return false
}

// checkNotify checks that every endpoint that a rule names exists, that every
// rule reaches one, and that every endpoint is reached.
func (l *loader) checkNotify(set *ruleSet) {
	named := map[string]bool{}
	check := func(path, notify []string) {
		s := set.of(path)
		for i, name := range notify {
			named[name] = true
			if _, ok := l.config.Endpoints[name]; !ok && s != nil {
				s.atValue(append(path[:len(path):len(path)], "notify", strconv.Itoa(i)),
					fmt.Sprintf("there is no endpoint %q", name),
					suggest(name, slices.Sorted(maps.Keys(l.config.Endpoints)), "the endpoints are "))
			}
		}
	}
	check([]string{"defaults"}, set.file.Defaults.Notify)
	filtered := false // some rule leaves it to the endpoints' own filters
	for _, id := range slices.Sorted(maps.Keys(set.file.Rule)) {
		rule := set.file.Rule[id]
		check([]string{"rule", id}, rule.Notify)
		for _, severity := range slices.Sorted(maps.Keys(rule.Level)) {
			if level := rule.Level[severity]; level != nil {
				check([]string{"rule", id, "level", severity}, level.Notify)
			}
		}
		if filters, severities := leftToFilters(&set.file, rule); len(severities) > 0 {
			filtered = true
			if filters {
				l.checkReach(set, id, severities)
			}
		}
	}
	if filtered || len(set.file.Rule) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(l.config.Endpoints)) {
		if !named[name] {
			l.main.warnKey([]string{"endpoint", name}, fmt.Sprintf("endpoint %q is never told of anything", name),
				"name it in the notify of a rule, or remove it")
		}
	}
}

// leftToFilters returns the severities of a rule at which nobody is named, so
// that the endpoints' own filters decide, and whether that is all of them.
func leftToFilters(file *rules.File, rule *rules.RuleDef) (all bool, severities []rules.Severity) {
	notify := rule.Notify
	if notify == nil { // an empty list is one that is written
		notify = file.Defaults.Notify
	}
	all = len(notify) == 0
	if all {
		severities = append(severities, cmp.Or(rule.Severity, file.Defaults.Severity, rules.Warning))
	}
	for _, name := range slices.Sorted(maps.Keys(rule.Level)) {
		names := notify
		if level := rule.Level[name]; level != nil && level.Notify != nil {
			names = level.Notify
		}
		var severity rules.Severity
		switch err := severity.UnmarshalText([]byte(name)); {
		case len(names) > 0:
			all = false
		case err == nil:
			severities = append(severities, severity)
		}
	}
	return all, severities
}

// checkReach reports a rule that names nobody while no endpoint's filter would
// let it pass at any of its severities.
func (l *loader) checkReach(set *ruleSet, id string, severities []rules.Severity) {
	if len(l.config.Endpoints) == 0 {
		return
	}
	for name, e := range l.config.Endpoints {
		if l.main.undecoded([]string{"endpoint", name, "match"}) {
			return
		}
		types := len(e.Match.Types) == 0 || slices.ContainsFunc(e.Match.Types, func(p string) bool {
			ok, err := path.Match(p, string(rules.AlarmFired))
			return ok && err == nil || len(severities) > 1 // it may want what happens between them
		})
		matches := func(s rules.Severity) bool { return slices.Contains(e.Match.Severity, s) }
		if types && (len(e.Match.Severity) == 0 || slices.ContainsFunc(severities, matches)) {
			return
		}
	}
	at := []string{"rule", id}
	for _, key := range []string{"notify", "severity", "level"} {
		if set.of(at).undecoded(under(at, key)) {
			return
		}
	}
	words := make([]string, len(severities))
	for i, s := range severities {
		words[i] = s.String()
	}
	set.of(at).atKey(at, fmt.Sprintf("rule %q reaches no endpoint: its severity is %s, and none matches that", id, strings.Join(words, " or ")),
		`add notify = ["NAME"], or widen the match of an endpoint`)
}
