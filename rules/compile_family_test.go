package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// base is what the mistakes below are made in.
const base = `
[metric.temp]
unit = "°C"
[metric.lid]
type = "text"
[device.tank-1]
type = "tank"
labels = { hall = "a", product = "cream" }
every = "1m"
attr = { hottest = "5 °C", loud = "5 bar" }
[device.tank-2]
type = "tank"
every = "1m"
[group.tanks]
match = { type = "tank" }
[schedule.shift]
days = ["mon"]
[schedule.never]
days = ["mon"]
hours = ["08:00-09:00"]
[rule.other]
metric = "temp"
above = 40
`

// TestEveryMistakeInARuleIsExplained has one mistake a case, in a rule as it is
// written; each message is golden.
func TestEveryMistakeInARuleIsExplained(t *testing.T) {
	var all strings.Builder
	f := func(text string) {
		t.Helper()
		file := readFile(t, base+text)
		p, list := Compile(file)
		if len(list) == 0 {
			t.Errorf("no problem was found:\n%s", text)
		}
		refused := slices.ContainsFunc(list, func(p Problem) bool { return !p.Warning })
		if refused != (p == nil) {
			t.Errorf("program %v, problems %v:\n%s", p, list, text)
		}
		fmt.Fprintf(&all, "%s\n", strings.TrimSpace(text))
		for _, p := range list {
			if len(p.Path) == 0 || p.Fact == "" || p.Remedy == "" {
				t.Errorf("a problem without place, fact or remedy: %+v", p)
			}
			line := strings.TrimSuffix(problems([]Problem{p}), "\n")
			if p.Length > 0 {
				line += fmt.Sprintf(" [%d+%d]", p.Offset, p.Length)
			}
			fmt.Fprintf(&all, "    %s\n", line)
		}
		all.WriteByte('\n')
	}
	// r is a rule on temp, d one that names no metric.
	r := func(keys string) { t.Helper(); f("[rule.r]\nmetric = \"temp\"\n" + keys) }
	d := func(keys string) { t.Helper(); f("[rule.r]\n" + keys) }

	// windows
	r(`agg = "p95"` + "\nabove = 5")
	r(`agg = "p95"` + "\nover = \"10m\"")
	r(`agg = "p100"` + "\nover = \"10m\"\nabove = 5")
	r(`agg = "mediam"` + "\nover = \"10m\"\nabove = 5")
	r(`agg = "mean"` + "\nover = \"10m\"\nabove = 5")
	r(`agg = "avg"` + "\nover = \"0s\"\nabove = 5")
	r(`agg = "avg"` + "\nover = \"32d\"\nabove = 5")
	r(`agg = "avg"` + "\nover = \"10m\"\nmin_samples = 0\nabove = 5")
	r(`agg = "avg"` + "\nover = \"10m\"\nis = 5")
	r(`agg = "count"` + "\nover = \"10m\"\nabove = \"5 °C\"")
	r("over = \"10m\"\nabove = 5")
	r("min_samples = 3\nabove = 5")
	f("[rule.r]\nmetric = \"lid\"\nagg = \"avg\"\nover = \"10m\"\nabove = 5")

	// trends
	r("rate_above = 5\nover = \"10m\"")
	r("rate_above = \"5 °C\"\nover = \"10m\"")
	r("rate_above = \"5 °C/week\"\nover = \"10m\"")
	r("rate_above = \"5 bar/min\"\nover = \"10m\"")
	r("rate_above = \"5 °C/min\"")
	r("rate_above = \"5 °C/min\"\nrate_below = \"-5 °C/min\"\nover = \"10m\"")
	r("rate_above = \"5 °C/min\"\nclear = \"6 °C/min\"\nover = \"10m\"")
	r("rate_above = \"5 °C/min\"\nclear = \"1 °C\"\nover = \"10m\"")
	r("delta_above = 5\nabove = 5\nover = \"10m\"")
	f("[rule.r]\nmetric = \"lid\"\ndelta_above = 5\nover = \"10m\"\n[metric.x]\n")

	// deviation
	r(`deviates = { by = 0 }`)
	r(`deviates = { method = "madd", by = 3 }`)
	r(`deviates = { by = 3, season = "moon" }`)
	r(`deviates = { by = 3, baseline = "1d", min_history = "2d" }`)
	r("deviates = { by = 3 }\nclear = 4")
	r("deviates = { by = 3 }\nabove = 4")

	// changes
	r("changed = true")
	r("changed = false\nhold = \"5m\"")
	r("changed = true\nfrom = 1\nhold = \"5m\"")
	r("from = 1\nto = 1\nhold = \"5m\"")
	r("to = \"open\"\nhold = \"5m\"")
	r("increased_by = 0\nhold = \"5m\"")
	r("increased_by = 5\ndecreased_by = 5\nhold = \"5m\"")
	r("changed = true\nhold = \"5m\"\nclear = 4")
	f("[metric.button]\nkind = \"event\"\ntype = \"text\"\n[rule.r]\nmetric = \"button\"\nis = \"double\"")
	r("above = 5\nhold = \"5m\"")

	// silence, health
	r(`silent = "auto"`)
	d("silent = \"5m\"\nclear = 5")
	d("silent = \"5m\"\nacross = \"label:hall\"")
	d("silent = \"30s\"")
	r(`flat = { for = "6h", within = "1 bar" }`)
	r(`flat = { for = "0s", within = 1 }`)
	r(`flat = { for = "6h", within = -1 }`)
	r(`invalid = { count = 0, within = "15m" }`)
	r("invalid = { count = 5, within = \"15m\" }\nclear = 2")
	r(`skew = "2m"`)

	// expressions
	d(`when = "temp > "`)
	d(`when = "temp > 5 %"`)
	d(`when = "tmp > 5"`)
	d(`when = "firing(othr)"`)
	d(`when = "firing(r)"`)
	d("when = \"temp > 5\"\nclear = 4")
	d("when = \"temp > 5\"\nclear = \"temp > 5\"")
	d("when = \"temp > 5\"\nclear = \"temp < 7\"")
	d("when = \"avg(temp, 5m) < '5 °C'\"\nclear = \"avg(temp, 5m) < '7 °C'\"")
	r(`when = "temp > 5"`)
	r("above = 5\nclear = \"temp < 4\"")
	d("when = \"temp > 5\"\nlevel.critical.above = 5")
	d("when = \"temp > 5\"\nunless = \"temp < \"")

	// groups
	r("above = 5\nacross = \"room\"")
	r("above = 5\nacross = \"label:type\"")
	r("above = 5\nreduce = \"max\"")
	r("above = 5\nquorum = \"50%\"")
	r("above = 5\nfresh = \"5m\"")
	r("above = 5\nacross = \"label:hall\"\nreduce = \"mean\"\nquorum = \"120%\"")
	r("above = 5\nacross = \"label:hall\"\nquorum = 1.5")
	r("is = 5\nacross = \"label:hall\"")
	d("when = \"temp > 5\"\nacross = \"label:hall\"")
	d("when = \"share_firing(other) > 50%\"\nacross = \"label:hall\"\nreduce = \"avg\"")
	d(`when = "share_firing(other) > 50%"`)

	d("when = \"count_firing(many) > 1\"\nacross = \"label:hall\"\n[rule.many]\nmetric = \"temp\"\nabove = 5\nacross = \"label:hall\"")
	d("when = \"firing(other)\"\nacross = \"label:hall\"")
	d("when = \"firing(many)\"\n[rule.many]\nmetric = \"temp\"\nabove = 5\nacross = \"label:hall\"")
	r("above = 5\nsuppress_if = \"many\"\n[rule.many]\nmetric = \"temp\"\nabove = 5\nacross = \"label:hall\"")

	// timing
	r("above = 5\nfor_share = \"80%\"")
	r("above = 5\nfor = \"1h\"\nfor_share = \"180%\"")
	r("above = 5\nfor = \"1h\"\nfor_share = 0.8")
	r("above = 5\nfor = \"32d\"\nfor_share = \"80%\"")
	r("above = 5\nsamples = 10001\nclear_samples = 0")
	r("above = 5\nrepeats = { count = 1, within = \"5m\" }")
	r("above = 5\nfor = \"30s\"")
	r("agg = \"avg\"\nover = \"5m\"\nmin_samples = 10\nabove = 5")

	// behaviour
	r("above = 5\nno_data = \"held\"")
	r("above = 5\nretained = \"prim\"")
	r("above = 5\nbackfill = \"yes\"")
	r("above = 5\nexplain_by = \"gateway\"")
	r("above = 5\nschedule = \"shft\"")
	r("above = 5\nschedule = \"evenings\"")
	r("above = 5\nschedule = \"08:00-18:00\"")
	r("above = 5\nschedule = \"mon-fri 08:00-18:00\"")
	r("above = 5\nschedule = { not = \"round-the-clock\" }\n[schedule.round-the-clock]")
	r("above = 5\nunless = \"asleep\"")
	r("above = 5\nunless = [\"other\"]")
	r("above = 5\nunless = [\"online\", \"sleepy\"]")
	r("above = 5\nsuppress_if = \"othr\"")
	r("above = 5\nsuppress_if = \"r\"")
	r("above = 5\nsuppress_if = \"s\"\n[rule.s]\nwhen = \"firing(t)\"\n[rule.t]\nmetric = \"temp\"\nbelow = 0\nsuppress_if = [\"other\", \"r\"]")
	r("above = 5\ncooldown = \"0s\"")
	r("above = 5\nlatch = true\nseverity = \"info\"")
	r("above = 5\nstale_after = \"10s\"")
	r("above = 5\nrenamed_from = \"other\"")
	r("above = 5\nrenamed_from = \"old\"\n[rule.s]\nmetric = \"temp\"\nbelow = 5\nrenamed_from = \"old\"")
	r("above = 5\n[rule.r.flap]\nchanges = 1")
	r("above = 5\n[rule.r.escalate.late]\nseverity = \"info\"")
	r("above = 5\n[rule.r.escalate.late]\nafter = \"1h\"")
	r("above = 40")
	r("forward = true\nfor = \"5m\"\nrenotify = \"4h\"")
	d("forward = true\nsilent = \"5m\"")
	d("forward = true")
	r("above = 5\ntitle = \"{limit:othr}\"")
	r("above = 5\ntitle = \"in {eta}\"")
	f("[defaults]\nno_data = \"hld\"\nunless = [\"nobody\"]\nsuppress_if = \"x\"")

	// overrides and attributes
	r("above = 5\n[rule.r.override.\"tank-*\"]\nabove = 6")
	r("above = 5\n[rule.r.override.\"group:pumps\"]\nabove = 6")
	r("above = 5\n[rule.r.override.\"type:pump\"]\nabove = 6")
	r("above = 5\n[rule.r.override.tank-3]\nabove = 6")
	r("above = 5\ndevices = \"tank-2\"\n[rule.r.override.tank-1]\nabove = 6")
	r("above = 5\n[rule.r.override.tank-1]")
	r("above = 5\nclear = 4\n[rule.r.override.tank-1]\nabove = 3")
	r("above = 5\nclear = 4\n[rule.r.override.tank-1]\nclear = 6")
	r("above = 5\n[rule.r.level.critical]\nabove = 9\nclear = 8\n[rule.r.override.tank-1.level.critical]\nabove = 7")
	r("above = 5\nclear = 4\n[rule.r.override.\"type:tank\"]\nabove = 3\nclear = 2\n[rule.r.override.tank-1]\nclear = 3.5")
	r("above = 5\n[rule.r.override.\"label:hall=a\"]\nabove = 6\n[rule.r.override.\"label:product=cream\"]\nabove = 7")
	r("above = 5\n[rule.r.override.\"label:hall=a\"]\nabove = 6\n[rule.r.override.\"label:product=cream\"]\nbelow = 7")
	r("above = 5\n[rule.r.override.tank-1]\nwhen = \"temp > 6\"")
	r("above = \"@hottest\"")
	r("above = \"@loud\"\ndevices = \"tank-1\"")
	r("above = 5\nclear = \"@hottest\"\nlevel.critical.above = \"@hottest\"\ndevices = \"tank-1\"\n[rule.r.override.tank-1]\nabove = 4")
	f("[device.x]\nattr = { a = \"@b\" }\nevery = \"0s\"")
	f("[metric.y]\ntype = \"float\"")
	f("[metric.y]\nrange = [\"@a\", 5]\n[metric.z]\nkind = \"meter\"\n[metric.u]\nkind = \"counter\"\ntype = \"text\"")

	// the rest of the file
	f("[group.g]")
	f("[group.g]\nmatch = { id = \"[\", type = \"pmp\" }")
	f("[schedule.always]")
	r("above = 5\ndevices = \"group:tank\"")
	r("above = 5\ndevices = \"tank-01\"")
	f("[maintenance.m]\nrules = [\"oter\", \"[\"]\ndevices = \"group:x\"")
	f("[maintenance.m]\nfrom = 2026-11-12T22:00:00Z\nto = 2026-11-12T21:00:00Z")
	f("[flood]\nstart = { events = 0 }\nstop = { events = 5, within = \"1m\" }\ndigest = \"0s\"")
	f("[defaults]\nlate = \"48h\"")
	golden(t, "mistakes.golden", all.String())
}

// TestNoTwoKeysConfuseTheCompiler writes every two keys into one rule: whatever
// they come to, they come to a program or to errors that help.
func TestNoTwoKeysConfuseTheCompiler(t *testing.T) {
	keys := []string{
		`metric = "temp"`, `metric = "lid"`, `devices = "group:tanks"`, `above = 5`, `at_least = "@hottest"`, `below = "-5 °F"`, `at_most = 1`, `outside = [1, 2]`, `inside = ["@hottest", 9]`,
		`is = "open"`, `is_not = 5`, `in = ["a", "b"]`, `matches = "a+"`, `clear = 3`, `clear = [3, 4]`, `clear = "temp < 3"`, `clear_is = "closed"`,
		`changed = true`, `from = "open"`, `to = 5`, `increased_by = 5`, `decreased_by = "@hottest"`, `hold = "5m"`,
		`rate_above = "1 °C/min"`, `rate_below = "@hottest"`, `delta_above = 5`, `delta_below = -5`, `agg = "p95"`, `agg = "count"`, `agg = "spread"`, `over = "5m"`, `min_samples = 3`,
		`deviates = { by = 3 }`, `silent = "auto"`, `silent = "5m"`, `flat = { for = "1h", within = "@hottest" }`, `invalid = { count = 3, within = "1h" }`, `skew = "1m"`,
		`when = "temp > 5 and lid == 'open'"`, `when = "share_firing(other) > 50%"`, `across = "label:hall"`, `reduce = "spread"`, `quorum = "50%"`, `fresh = "5m"`,
		`for = "5m"`, `for_share = "80%"`, `clear_for = "5m"`, `samples = 2`, `repeats = { count = 2, within = "5m" }`, `cooldown = "5m"`, `renotify = false`, `latch = true`,
		`schedule = "shift"`, `unless = "lid == 'open'"`, `suppress_if = "other"`, `forward = true`, `enabled = false`, `title = "{eta} {limit:other} {value:.1}"`,
		`level.critical.above = 9`, `level.info.below = 0`, `level.critical.when = "temp > 9"`, `level.critical.rate_above = "1 °C/h"`, `level.critical.agg = "max"`, `level.critical.clear = 1`, `level.critical.silent = "1h"`,
		`override.tank-1.above = "@hottest"`, `override.tank-1.clear = 4`, `override.tank-1.when = "temp > 7"`, `override."type:tank".below = 1`, `override.tank-2.enabled = false`, `override.tank-1.severity = "critical"`,
		`override."label:hall=a".level.critical.below = 3`, `override.tank-1.over = "7m"`, `override.tank-1.silent = "2h"`, `override.tank-1.deviates = { by = 4 }`,
		`escalate.x = { after = "1h", severity = "critical" }`, `flap = { changes = 3, within = "1h" }`, `renamed_from = "x"`,
	}
	good := 0
	for i, a := range keys {
		for _, b := range keys[i:] {
			for _, metric := range []string{"", "metric = \"temp\"\nabove = 6\n"} {
				text := base + "[rule.r]\n" + metric + a + "\n" + b
				f := new(File)
				if _, err := toml.Decode(text, f); err != nil {
					continue // the same key twice
				}
				p, list := Compile(f)
				if p != nil {
					good++
					for id, def := range f.Device {
						sound(t, p.variant(p.byID["r"], id, def), text)
					}
				}
				for _, problem := range list {
					if len(problem.Path) == 0 || problem.Fact == "" || problem.Remedy == "" || p == nil && !slices.ContainsFunc(list, func(p Problem) bool { return !p.Warning }) {
						t.Fatalf("%+v of\n%s", problem, text)
					}
				}
			}
		}
	}
	if good < 300 {
		t.Errorf("%d programs only", good)
	}
}

// sound checks what the engine takes for granted.
func sound(t *testing.T, r *rule, text string) {
	t.Helper()
	for i := range r.rungs {
		g := &r.rungs[i]
		numbers := g.lo - g.lo + g.hi - g.hi + g.clearLo - g.clearLo + g.clearHi - g.clearHi
		switch {
		case r.disabled:
		case numbers != 0:
			t.Fatalf("a limit is no number: %+v of\n%s", g.condition, text)
		case g.hasClear && (g.op.upward() && g.clearLo > g.lo || g.op.downward() && g.clearLo < g.lo):
			t.Fatalf("clear is beyond the limit: %+v of\n%s", g.condition, text)
		case g.gauge >= len(r.gauges) || g.clearGauge > len(r.gauges) || g.text == "" || g.clearText == "" || g.sentence == "" || g.limitFrom == "" || g.samples < 1 || g.clearSamples < 1:
			t.Fatalf("a rung is not whole: %+v of\n%s", g, text)
		case i > 0 && g.severity <= r.rungs[i-1].severity:
			t.Fatalf("rungs are out of order in\n%s", text)
		}
	}
	if len(r.rungs) == 0 || r.subject == ofMetric && r.metric == nil || r.title == nil {
		t.Fatalf("a rule is not whole: %+v of\n%s", r, text)
	}
}
