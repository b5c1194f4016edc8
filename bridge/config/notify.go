package config

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"tocsin/rules"
)

// checkNotify checks that every endpoint that a rule names exists, that every
// rule reaches one, and that every endpoint is reached.
func (l *loader) checkNotify(set *ruleSet) {
	named, filtered := l.checkNamed(set)
	if filtered || len(set.file.Rule) == 0 {
		return
	}
	for _, e := range l.config.Endpoints {
		if e.Fallback != nil {
			named[e.Fallback.To] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.config.Endpoints)) {
		if !named[name] {
			l.main.warnKey([]string{"endpoint", name}, fmt.Sprintf("endpoint %q is never told of anything", name),
				"name it in the notify of a rule, or remove it")
		}
	}
}

// checkNamed checks whom rules name. filtered says that some rule leaves it to the
// endpoints' own filters.
func (l *loader) checkNamed(set *ruleSet) (named map[string]bool, filtered bool) {
	named = map[string]bool{}
	check := func(path, notify []string) {
		s := set.of(path)
		for i, name := range notify {
			named[name] = true
			if _, ok := l.config.Endpoints[name]; !ok && s != nil {
				s.atValue(under(path, "notify", strconv.Itoa(i)),
					fmt.Sprintf("there is no endpoint %q", name),
					suggest(name, slices.Sorted(maps.Keys(l.config.Endpoints)), "the endpoints are "))
			}
		}
	}
	check([]string{"defaults"}, set.file.Defaults.Notify)
	for _, id := range slices.Sorted(maps.Keys(set.file.Rule)) {
		rule := set.file.Rule[id]
		at := []string{"rule", id}
		levels := func(at []string, of map[string]*rules.LevelDef) {
			for _, severity := range slices.Sorted(maps.Keys(of)) {
				check(under(at, "level", severity), of[severity].Notify)
			}
		}
		check(at, rule.Notify)
		levels(at, rule.Level)
		for _, scope := range slices.Sorted(maps.Keys(rule.Override)) {
			check(under(at, "override", scope), rule.Override[scope].Notify)
			levels(under(at, "override", scope), rule.Override[scope].Level)
		}
		for _, name := range slices.Sorted(maps.Keys(rule.Escalate)) {
			check(under(at, "escalate", name), rule.Escalate[name].Notify)
		}
		if tellsNobody(&set.file, rule) {
			continue
		}
		if filters, severities := leftToFilters(&set.file, rule); len(severities) > 0 {
			filtered = true
			if filters {
				l.checkReach(set, id, severities)
			}
		}
	}
	return named, filtered
}

// tellsNobody reports whether a rule is switched off, or only recorded.
func tellsNobody(file *rules.File, rule *rules.RuleDef) bool {
	enabled := cmp.Or(rule.Enabled, file.Defaults.Enabled)
	shadow := cmp.Or(rule.Shadow, file.Defaults.Shadow)
	return enabled != nil && !*enabled || shadow != nil && *shadow
}

// leftToFilters returns the severities of a rule at which nobody is named, so
// that the endpoints' own filters decide, and whether that is all of them.
func leftToFilters(file *rules.File, rule *rules.RuleDef) (all bool, severities []rules.Severity) {
	all = true
	// One of the rule's alarms, or of an override's: its own severity and those of its levels.
	alarms := func(severity rules.Severity, notify []string, levels map[string]*rules.LevelDef) {
		add := func(severity rules.Severity, names []string) {
			if len(names) > 0 {
				all = false
			} else if severity != rules.Unset && !slices.Contains(severities, severity) {
				severities = append(severities, severity)
			}
		}
		add(severity, notify)
		for _, name := range slices.Sorted(maps.Keys(levels)) {
			var severity rules.Severity
			_ = severity.UnmarshalText([]byte(name)) // a bad one is the compiler's to report
			add(severity, inherit(levels[name].Notify, notify))
		}
		for _, e := range rule.Escalate {
			add(e.Severity, slices.Concat(notify, e.Notify))
		}
	}
	severity := cmp.Or(rule.Severity, file.Defaults.Severity, rules.Warning)
	notify := inherit(rule.Notify, file.Defaults.Notify)
	alarms(severity, notify, rule.Level)
	for _, scope := range slices.Sorted(maps.Keys(rule.Override)) {
		o := rule.Override[scope]
		levels := maps.Clone(rule.Level)
		if levels == nil {
			levels = map[string]*rules.LevelDef{}
		}
		for name, level := range o.Level {
			inherited := rules.LevelDef{Notify: level.Notify}
			if base := rule.Level[name]; base != nil {
				inherited.Notify = inherit(level.Notify, base.Notify)
			}
			levels[name] = &inherited
		}
		alarms(cmp.Or(o.Severity, severity), inherit(o.Notify, notify), levels)
	}
	slices.Sort(severities)
	return all, severities
}

// inherit is who is named, or who is named above if nobody is; an empty list is one
// that is written.
func inherit(names, above []string) []string {
	if names == nil {
		return above
	}
	return names
}

// checkReach reports a rule that names nobody while no endpoint's filter would
// let it pass at any of its severities.
func (l *loader) checkReach(set *ruleSet, id string, severities []rules.Severity) {
	if len(l.config.Endpoints) == 0 {
		return
	}
	first := rules.AlarmFired
	if forward := cmp.Or(set.file.Rule[id].Forward, set.file.Defaults.Forward); forward != nil && *forward {
		first = rules.ReadingMatched
	}
	for name, e := range l.config.Endpoints {
		if l.main.undecoded([]string{"endpoint", name, "match"}) {
			return
		}
		types := len(e.Match.Types) == 0 || slices.ContainsFunc(e.Match.Types, func(p string) bool {
			ok, err := path.Match(p, string(first))
			return ok && err == nil || len(severities) > 1 // it may want what happens between them
		})
		matches := func(s rules.Severity) bool { return slices.Contains(e.Match.Severity, s) }
		if types && (len(e.Match.Severity) == 0 || slices.ContainsFunc(severities, matches)) {
			return
		}
	}
	at := []string{"rule", id}
	for _, key := range []string{"notify", "severity", "level", "override", "escalate"} {
		if set.of(at).undecoded(under(at, key)) {
			return
		}
	}
	words := make([]string, len(severities))
	for i, s := range severities {
		words[i] = s.String()
	}
	report := set.of(at).atKey
	if l.config.HTTP.Registration != nil { // which one that is registered may
		report = set.of(at).warnKey
	}
	report(at, fmt.Sprintf("rule %q reaches no endpoint: its severity is %s, and none matches that", id, strings.Join(words, " or ")),
		`add notify = ["NAME"], or widen the match of an endpoint`)
}
