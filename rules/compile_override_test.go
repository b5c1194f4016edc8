package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// dairy has a rule with an override of every rank.
const dairy = `
[metric.temp]
unit = "°C"
[device.tank-1]
type = "tank"
labels = { hall = "a" }
attr = { hottest = "41 °F" }
[device.tank-2]
type = "tank"
[group.hall-a]
match = { hall = "a" }
[group.old]
match = { id = "old-*" }
[rule.warm]
metric = "temp"
above = "8 °C"
clear = "7 °C"
for = "10m"
[rule.warm.level.critical]
above = "12 °C"
[rule.warm.override."type:tank"]
above = 7.5
for = "5m"
clear_for = "1m"
cooldown = "1h"
[rule.warm.override."group:hall-a"]
for = "4m"
clear_for = "2m"
[rule.warm.override."label:hall=a"]
for = "3m"
level.critical.above = 11
[rule.warm.override.tank-1]
above = "@hottest"
clear = 4
[rule.warm.override."group:old"]
enabled = false
`

// judged is what a variant asks, in short.
func judged(v *rule) string {
	if v.disabled {
		return "disabled"
	}
	var parts []string
	for i := range v.rungs {
		g := &v.rungs[i]
		parts = append(parts, fmt.Sprintf("%s for %s until %s for %s", g.text, written(g.hold), g.clearText, written(g.clearHold)))
	}
	return strings.Join(parts, "; ")
}

func TestTheNarrowestOverrideDecidesEachKey(t *testing.T) {
	p := readAndCompile(t, dairy)
	r := p.byID["warm"]
	f := func(id string, def *DeviceDef, want string) {
		t.Helper()
		if def == nil {
			def = p.devices[id]
		}
		v := p.variant(r, id, def)
		if got := judged(v); got != want {
			t.Errorf("%s:\n got %s\nwant %s", id, got, want)
		}
		if v.variant != p.variantKey(r, id, def) {
			t.Errorf("%s: variant %q has the key %q", id, v.variant, p.variantKey(r, id, def))
		}
		if v.index != r.index || v.id != r.id || v.order != r.order || !slices.Equal(v.asks, r.asks) || v.subject != r.subject || v.metric != r.metric {
			t.Errorf("%s: a variant is another rule: %+v", id, v)
		}
	}
	const critical = "; above 12 °C for 10m until at or below 12 °C for "
	f("tank-1", nil, "above 5 °C for 3m until at or below 4 °C for 2m; above 11 °C for 3m until at or below 11 °C for 2m")
	f("tank-2", nil, "above 7.5 °C for 5m until at or below 7 °C for 1m; above 12 °C for 5m until at or below 12 °C for 1m")
	f("other", nil, "above 8 °C for 10m until at or below 7 °C for 0s"+critical+"0s")
	f("old-3", nil, "disabled")
	// Nobody declares these: their labels and types come with their readings.
	f("tank-8", &DeviceDef{Type: "tank"}, "above 7.5 °C for 5m until at or below 7 °C for 1m; above 12 °C for 5m until at or below 12 °C for 1m")
	f("box", &DeviceDef{Labels: map[string]string{"hall": "a"}}, "above 8 °C for 3m until at or below 7 °C for 2m; above 11 °C for 3m until at or below 11 °C for 2m")
	f("tank-9", &DeviceDef{Type: "tank", Labels: map[string]string{"hall": "a"}}, "above 7.5 °C for 3m until at or below 7 °C for 2m; above 11 °C for 3m until at or below 11 °C for 2m")
}

func TestLimitsSayWhereTheyComeFrom(t *testing.T) {
	p := readAndCompile(t, dairy)
	r := p.byID["warm"]
	f := func(id string, rung int, from, at string) {
		t.Helper()
		if g := &p.variant(r, id, p.devices[id]).rungs[rung]; g.limitFrom != from || g.limitAt != at {
			t.Errorf("%s, %s: limit from %s (%s), want %s (%s)", id, g.severity, g.limitFrom, g.limitAt, from, at)
		}
	}
	f("other", 0, "rule warm", "rule.warm.above")
	f("other", 1, "level critical", "rule.warm.level.critical.above")
	f("tank-2", 0, "override type:tank", "rule.warm.override.type:tank.above")
	f("tank-1", 0, "override tank-1 (@hottest)", "rule.warm.override.tank-1.above")
	f("tank-1", 1, "override label:hall=a level critical", "rule.warm.override.label:hall=a.level.critical.above")
}

// TestADeviceWithoutTheAttributeIsLeftAlone is about a rule that cannot know its
// limit for some devices.
func TestADeviceWithoutTheAttributeIsLeftAlone(t *testing.T) {
	p, list := Compile(readFile(t, `
[metric.temp]
unit = "°C"
[device.a]
attr = { top = "50 °F" }
[device.b]
[rule.r]
metric = "temp"
above = "@top"
clear = "5 °C"
`))
	if p == nil || len(list) != 1 || !list[0].Warning || !slices.Equal(list[0].Path, []string{"device", "b"}) {
		t.Fatalf("program %v, problems:\n%s", p, problems(list))
	}
	r := p.rules[0]
	if got, want := judged(p.variant(r, "a", p.devices["a"])), "above 10 °C for 0s until at or below 5 °C for 0s"; got != want {
		t.Errorf("a: %s, want %s", got, want)
	}
	for _, id := range []string{"b", "undeclared"} {
		if v := p.variant(r, id, p.devices[id]); !v.disabled {
			t.Errorf("%s: %s", id, judged(v))
		}
	}
	if r.rungs[0].fires(value{num: 1e9}) == yes {
		t.Error("the rule itself fires, though it has no limit")
	}
}

// TestOverridesThatDoNotGoTogetherYield is about a device that nobody declared,
// so that nobody could find this at load.
func TestOverridesThatDoNotGoTogetherYield(t *testing.T) {
	p := readAndCompile(t, `
[rule.r]
metric = "temp"
above = 8
clear = 7
[rule.r.override."label:hall=a"]
clear = 6
[rule.r.override."label:milk=raw"]
above = 5
clear = 4
`)
	// Together they would fire above 5 and clear at 6. Of the same rank, the first
	// by name counts.
	def := &DeviceDef{Labels: map[string]string{"hall": "a", "milk": "raw"}}
	if got, want := judged(p.variant(p.rules[0], "y", def)), "above 8 for 0s until at or below 6 for 0s"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestVariantsAreMadeAtTheSameTime is for the race detector: a program is shared.
func TestVariantsAreMadeAtTheSameTime(t *testing.T) {
	p := readAndCompile(t, dairy+`
[rule.dry]
when = "charge < 5 and not mains"
[rule.dry.override."label:hall=a"]
when = "charge < 3 and not mains"
`)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 50 {
				def := &DeviceDef{Type: "tank", Labels: map[string]string{"hall": string(rune('a' + (n+i)%2))}}
				for _, r := range p.rules {
					if v := p.variant(r, "new", def); v.disabled {
						t.Errorf("%s is disabled", r.id)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestARuleThatDoesNotVaryCostsNothing(t *testing.T) {
	p := readAndCompile(t, base)
	r, def := p.rules[0], p.devices["tank-1"]
	if n := testing.AllocsPerRun(100, func() {
		if p.variant(r, "tank-1", def) != r || p.variantKey(r, "tank-1", def) != "" {
			t.Error("another rule")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDiffSaysWhatAFileChanges(t *testing.T) {
	const old = base + `
[rule.a]
metric = "temp"
above = 5
clear = 4
[rule.b]
metric = "temp"
below = 5
[rule.b.override.tank-1]
below = 4
[rule.gone]
when = "temp > 7"
[rule.moved]
metric = "lid"
is = "open"
`
	f := func(from, to string, want ...string) {
		t.Helper()
		text := strings.Replace(old, from, to, 1)
		if from != "" && text == old {
			t.Fatalf("%q is not in the file", from)
		}
		before, _ := Compile(readFile(t, old))
		after, list := Compile(readFile(t, text))
		if after == nil {
			t.Fatalf("problems:\n%s", problems(list))
		}
		var got []string
		for _, ch := range after.Diff(before) {
			line := ch.Rule + " " + string(ch.Kind)
			if ch.From != "" {
				line += " from " + ch.From
			}
			if ch.Kind != RuleUnchanged || ch.From != "" {
				got = append(got, line)
			} else if ch.Before != ch.After {
				t.Errorf("%s: revision %s became %s though nothing changed", ch.Rule, ch.Before, ch.After)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q became %q: %q, want %q", from, to, got, want)
		}
	}
	f("", "")
	f("above = 5\nclear = 4", "above = \"41 °F\"\nclear = 4")
	f("above = 5\nclear = 4", "above = 5\nclear = 3", "a limits")
	f("above = 5\nclear = 4", "above = 5\nclear = 4\ntitle = \"x\"", "a text")
	f("above = 5\nclear = 4", "above = 5\nclear = 4\nseverity = \"critical\"\nnotify = [\"x\"]\nlabels = { a = \"b\" }", "a text")
	f("above = 5\nclear = 4", "above = 5\nclear = 4\nlatch = true", "a limits")
	f("below = 4", "below = 3", "b limits")
	f("below = 4", "below = 4\nnotify = [\"x\"]", "b text")
	f("[rule.gone]", "[rule.here]", "gone removed", "here added")
	f("[rule.moved]", "[rule.its-new-name]\nrenamed_from = \"moved\"", "its-new-name unchanged from moved")
	f("[rule.moved]", "[rule.its-new-name]\nrenamed_from = \"moved\"\nlatch = true", "its-new-name limits from moved")
	f("temp > 7", "temp  >  7.0")
	f("temp > 7", "temp > 8", "gone limits")
	f("unit = \"°C\"", "unit = \"°C\"\nrange = [-50, 100]", "a limits", "b limits", "gone limits", "other limits")
	f("every = \"1m\"", "every = \"2m\"")
}

// TestEveryKeyOfARuleIsInItsRevision writes each key of a rule in turn: a
// reload that does not see a key would not apply it.
func TestEveryKeyOfARuleIsInItsRevision(t *testing.T) {
	compile := func(keys string) RuleInfo {
		t.Helper()
		p, list := Compile(readFile(t, base+"[rule.r]\n"+keys))
		if p == nil {
			t.Fatalf("%s:\n%s", keys, problems(list))
		}
		return p.Rules()[1]
	}
	f := func(of string, keys ...string) {
		t.Helper()
		seen := map[string]string{}
		for _, key := range keys {
			revision := compile(of + "\n" + key).Revision
			if other, ok := seen[revision]; ok {
				t.Errorf("%s: revision with %s is that with %s", of, key, other)
			}
			seen[revision] = key
		}
	}
	f("metric = \"temp\"\nabove = 9", "",
		`clear = 4`, `devices = "tank-1"`, `devices = "group:tanks"`, `except = "tank-1"`, `severity = "major"`, `notify = ["a"]`, `title = "x"`, `runbook = "x"`, `labels = { a = "b" }`,
		`for = "1h"`, `clear_for = "1h"`, `samples = 2`, `clear_samples = 2`, `repeats = { count = 2, within = "1h" }`, `repeats = { count = 3, within = "1h" }`, "for = \"1h\"\nfor_share = \"80%\"",
		`cooldown = "1h"`, `renotify = "1h"`, `no_data = "fire"`, `no_data = "resolve"`, `stale_after = "1h"`, `latch = true`, `schedule = "shift"`, `schedule = { not = "shift" }`,
		`unless = "sleeping"`, `unless = "temp2 > 5"`, `suppress_if = "other"`, `explain_by = "via"`, `retained = "use"`, `retained = "ignore"`, `backfill = "ignore"`, `shadow = true`, `enabled = false`,
		`across = "label:hall"`, `across = "type"`, "across = \"type\"\nreduce = \"max\"", "across = \"type\"\nquorum = 2", "across = \"type\"\nquorum = \"2%\"", "across = \"type\"\nfresh = \"1h\"",
		`agg = "avg"`+"\nover = \"5m\"", `agg = "avg"`+"\nover = \"6m\"", `agg = "max"`+"\nover = \"5m\"", `agg = "p90"`+"\nover = \"5m\"", `agg = "p95"`+"\nover = \"5m\"", `agg = "avg"`+"\nover = \"5m\"\nmin_samples = 2",
		`level.critical.above = 10`, `level.critical.for = "1h"`, `override.tank-1.above = 10`, `override.tank-2.above = 10`, `override.tank-1.enabled = false`, `override."type:tank".above = 10`,
		`escalate.x = { after = "1h", severity = "critical" }`, `escalate.x = { after = "1h", severity = "critical", unless = "never" }`, `escalate.x = { after = "2h", severity = "critical" }`, `escalate.x = { after = "1h", notify = ["x"] }`,
		`flap = { changes = 3, within = "1h" }`, `flap = { changes = 3, within = "1h", hold = "2h" }`)
	f("metric = \"temp\"\nhold = \"1h\"", `changed = true`, `from = 1`, `to = 1`, `from = 2`, "from = 1\nto = 2", `increased_by = 1`, `decreased_by = 1`, `increased_by = 2`)
	f("metric = \"temp\"\nover = \"1h\"", `rate_above = "1 °C/min"`, `rate_above = "1 °C/h"`, `rate_below = "1 °C/min"`, `delta_above = 1`, `delta_below = 1`)
	f("metric = \"temp\"", `deviates = { by = 3 }`, `deviates = { by = 4 }`, `deviates = { by = 3, method = "zscore" }`, `deviates = { by = 3, season = "hour" }`, `deviates = { by = 3, baseline = "2d" }`, `deviates = { by = 3, min_history = "1h" }`,
		`flat = { for = "1h", within = 1 }`, `flat = { for = "2h", within = 1 }`, `flat = { for = "1h", within = 2 }`, `invalid = { count = 2, within = "1h" }`, `invalid = { count = 3, within = "1h" }`, `invalid = { count = 2, within = "2h" }`,
		`is = 1`, `is_not = 1`, `in = [1, 2]`, "is = 1\nclear_is = 2", `forward = true`)
	f("", `silent = "auto"`, `silent = "1h"`, `skew = "1m"`, `when = "temp > 5"`, "when = \"temp > 5\"\nclear = \"temp < 4\"", "when = \"temp > 5\"\nmin_samples = 3", "when = \"temp > 5\"\nfresh = \"1h\"")
}

func TestVariantsOfDeclaredDevicesAreSharedWhereTheyAreEqual(t *testing.T) {
	var b strings.Builder
	b.WriteString("[rule.r]\nmetric = \"temp\"\nabove = 8\n[rule.r.override.\"label:hall=a\"]\nabove = 7\n")
	for i := range 100 {
		fmt.Fprintf(&b, "[device.d%d]\nlabels = { hall = %q }\n", i, string(rune('a'+i%2)))
	}
	p := readAndCompile(t, b.String())
	if keys := slices.Collect(maps.Keys(p.rules[0].variants)); len(keys) != 1 {
		t.Errorf("variants %q", keys)
	}
}

func TestWhatIsLeftOutIsFilledIn(t *testing.T) {
	p := readAndCompile(t, `
[rule.a]
metric = "temp"
rate_above = "1 °C/min"
over = "10m"
min_samples = 5
flap = { changes = 4, within = "20m" }
[rule.a.level.critical]
above = 90
[rule.b]
metric = "temp"
deviates = { by = 3 }
[rule.c]
when = "avg(temp, 5m) > 5"
clear = "avg(temp, 5m) < 4"
min_samples = 7
[rule.c.override.x]
when = "avg(temp, 5m) > 6 and firing(a)"
`)
	a, b, c := p.byID["a"], p.byID["b"], p.byID["c"]
	if a.flap.hold != 20*60e9 {
		t.Errorf("flap %+v", a.flap)
	}
	if g := a.gauges[a.rungs[1].gauge]; g.source != newest || g.over != 0 {
		t.Errorf("a level with a limit of its own measures %s", g.key())
	}
	if d := b.gauges[0].deviates; *d != (deviates{"mad", 7 * 24 * 3600e9, "", 24 * 3600e9}) {
		t.Errorf("deviates %+v", d)
	}
	if g := c.gauges[c.rungs[0].clearGauge-1]; g.minSamples != 7 {
		t.Errorf("the clear expression goes by %d samples", g.minSamples)
	}
	// An override asks for another rule: the rule comes after it on every device.
	if !slices.Equal(c.asks, []int{a.index}) || c.order != 1 {
		t.Errorf("asks %v, order %d", c.asks, c.order)
	}
}
