package config

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"tocsin/rules"
)

// checkRepetitions warns of rules that count readings which an external broker may
// deliver twice. It gives a message that it sends again another packet id, so only
// a time in the payload tells that it is the same; what the embedded broker hears
// again, it knows by the device's own packet id.
func (l *loader) checkRepetitions(set *ruleSet, program *rules.Program) {
	if program == nil || l.config.Broker.Mode != External {
		return
	}
	told := map[string]bool{} // keys of the defaults, which many rules count by
	for _, rule := range program.Rules() {
		for _, counted := range rule.Counts {
			name, key := l.repeats(counted.Metric), pathKey(counted.Path)
			if name == "" || told[key] {
				continue
			}
			told[key] = true
			why, remedy := l.config.Sources[name].untimed(name)
			l.ruleProblem(set, rules.Problem{
				Path: counted.Path, Warning: true,
				Fact:   fmt.Sprintf("a reading of %s that the external broker delivers twice counts twice: %s", counted.Metric, why),
				Remedy: remedy + ", or take the readings with the embedded broker",
			})
			break // the others have the same remedy
		}
	}
}

// repeats names the first source that may bring a reading of a metric twice without
// anything to tell; "" is none.
func (l *loader) repeats(metric string) string {
	for _, name := range slices.Sorted(maps.Keys(l.config.Sources)) {
		s := l.config.Sources[name]
		if why, _ := s.untimed(name); why != "" && s.feeds(metric) && !l.main.undecoded([]string{"source", name}) {
			return name
		}
	}
	return ""
}

// untimed says why the messages of a source are not known to carry a time that is
// used, and what to do; "" if they are.
func (s *Source) untimed(name string) (why, remedy string) {
	switch {
	case s.Decoder == "presence":
		return "", ""
	case s.Decoder == "scalar":
		return fmt.Sprintf("a scalar payload, as source %q has, carries no time", name),
			`have devices send JSON with a time in it, and read it with decoder = "json" and time = { path = "$.ts" }`
	case s.Clock == "arrival":
		return fmt.Sprintf("source %q uses no time that messages carry", name),
			`remove clock = "arrival" from ` + header("source", name)
	case s.Time.Path == "" && s.Clock != "device":
		place := "$.ts"
		if s.Records != "" {
			place = "@.ts"
		}
		return fmt.Sprintf("source %q does not say that messages carry a time", name),
			fmt.Sprintf("have devices send one, and name its place in %s, as in time = { path = %q }", header("source", name), place)
	}
	return "", ""
}

// feeds reports whether messages of a source may hold a reading of a metric: any,
// unless the configuration tells which one.
func (s *Source) feeds(metric string) bool {
	names, _ := checkTopic(s.Topic) // a fault of it is reported elsewhere
	one := "value"
	switch {
	case slices.Contains(names, "metric"):
		return true
	case s.Decoder == "scalar":
	case s.Value == "" || s.Metric != "":
		return true
	default:
		one = cmp.Or(lastKey(s.Value), one)
	}
	return cmp.Or(s.Rename[one], one) == metric
}

// lastKey is the last key on a path, which names a value that nothing else names;
// "" without one.
func lastKey(path string) string {
	steps := regexp.MustCompile(pathStep).FindAllString(strings.TrimLeft(path, "$@"), -1)
	for _, step := range slices.Backward(steps) {
		switch {
		case step[0] == '.':
			return step[1:]
		case step[1] == '\'', step[1] == '"':
			return step[2 : len(step)-2]
		}
	}
	return ""
}
