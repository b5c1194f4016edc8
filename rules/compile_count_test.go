package rules

import (
	"fmt"
	"strings"
	"testing"
)

// Whoever knows that readings may come twice asks the program where that would be
// counted: every key that counts is named, where it is written, and no other.
func TestEveryKeyThatCountsReadingsIsNamed(t *testing.T) {
	f := func(rule string, want ...string) {
		t.Helper()
		p, list := Compile(readFile(t, rule))
		if p == nil {
			t.Fatalf("%s:\n%s", rule, problems(list))
		}
		var got []string
		for _, info := range p.Rules() {
			for _, c := range info.Counts {
				got = append(got, fmt.Sprintf("%s at %s", c.Metric, strings.Join(c.Path, ".")))
			}
		}
		if g, w := strings.Join(got, ", "), strings.Join(want, ", "); g != w {
			t.Errorf("%s\ncounts %s, want %s", rule, g, w)
		}
	}
	const limit = "[rule.r]\nmetric = \"a\"\nabove = 9\n"
	const often = "repeats = { count = 3, within = \"1h\" }\n"
	f(limit)
	f(limit + "for = \"1h\"\nsamples = 3")
	f(limit + "agg = \"avg\"\nover = \"1h\"")
	f(limit+"agg = \"sum\"\nover = \"1h\"", "a at rule.r.agg")
	f(limit+"agg = \"count\"\nover = \"1h\"", "a at rule.r.agg")
	f(limit+often, "a at rule.r.repeats")
	f("[defaults]\n"+often+limit, "a at defaults.repeats")
	f(limit+often+"[rule.r.level.critical]\nabove = 10", "a at rule.r.repeats")
	f(limit+"[rule.r.level.critical]\n"+often, "a at rule.r.level.critical.repeats")
	f(limit+"[rule.r.level.critical]\nabove = 10\n"+often, "a at rule.r.level.critical.repeats")
	f(limit+"[rule.r.override.x]\n"+often, "a at rule.r.override.x.repeats")
	f(limit+"over = \"1h\"\nagg = \"avg\"\n[rule.r.override.x]\nagg = \"sum\"", "a at rule.r.override.x.agg")
	f("[rule.r]\nwhen = \"a > 3 and avg(b, 5m) > 2\"")
	f("[rule.r]\nwhen = \"a > 3 and count(b, 5m) > 2\"\nclear = \"sum(c, 5m) < 1\"", "b at rule.r.when", "c at rule.r.clear")
	f(limit+"unless = \"sum(b, 5m) > 2\"", "b at rule.r.unless")
	f("[rule.r]\nwhen = \"a > 3 and online\"\n"+often, "a at rule.r.repeats")
	f("[rule.r]\nwhen = \"a > 3 and count(b, 5m) > 2\"\n"+often, "b at rule.r.when", "a at rule.r.repeats", "b at rule.r.repeats")
	f(limit+often+"[rule.s]\nmetric = \"a\"\nbelow = 1\n", "a at rule.r.repeats")
	f("[rule.r]\nsilent = \"1h\"\n" + often)
	f(limit + "across = \"label:room\"\nreduce = \"sum\"")
}
