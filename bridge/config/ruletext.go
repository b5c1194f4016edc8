package config

import (
	"maps"
	"path/filepath"

	"tocsin/rules"
)

// CompileText compiles the text of a rule file as if it stood in the place of c's rule
// files: beside c's sources and endpoints, and with the metrics, devices, groups,
// schedules and defaults of c that it does not write itself. The Program is nil if one
// of the problems is not a warning. No file is read, and no variable: a ${NAME} stays
// what it is.
func (c *Config) CompileText(name, text string) (*rules.Program, Problems) {
	l := &loader{noSecrets: true, dir: filepath.Dir(c.Path), report: newReport()}
	l.config.Path, l.config.Broker, l.config.Sources, l.config.Endpoints = c.Path, c.Broker, c.Sources, c.Endpoints
	l.main = newSource(name, text, l.report)
	if l.main.tree == nil {
		l.report.problems.finish()
		return nil, l.report.problems
	}
	set := newRuleSet()
	set.inherit(c.RuleFile)
	set.file.Place = func(path []string) string {
		if s := set.of(path); s != nil || c.RuleFile.Place == nil {
			return l.place(s, path)
		}
		return c.RuleFile.Place(path)
	}
	l.mergeRules(set, l.main)
	l.localTimes(set)
	program, problems := rules.Compile(&set.file)
	for _, p := range problems {
		if !p.Warning || set.of(p.Path) != nil { // what c's tables are like was said when c was read
			l.ruleProblem(set, p)
		}
	}
	l.checkRepetitions(set, program)
	l.checkNamed(set)
	if len(set.file.Rule) == 0 && l.report.errors == 0 {
		l.main.problem(span{}, nil, "there is no rule", "write one, as in [rule.freezer-warm]")
	}
	l.report.problems.finish()
	if l.report.errors > 0 {
		return nil, l.report.problems
	}
	return program, l.report.problems
}

// inherit takes over what rules refer to, and not the rules.
func (set *ruleSet) inherit(f *rules.File) {
	set.file.Defaults, set.file.Flood = f.Defaults, f.Flood
	maps.Copy(set.file.Metric, f.Metric)
	maps.Copy(set.file.Device, f.Device)
	maps.Copy(set.file.Group, f.Group)
	maps.Copy(set.file.Schedule, f.Schedule)
	maps.Copy(set.file.Maintenance, f.Maintenance)
}
