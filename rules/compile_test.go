package rules

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// problems renders what is wrong with a file, one problem a line.
func problems(list []Problem) string {
	var b strings.Builder
	for _, p := range list {
		kind := "error"
		if p.Warning {
			kind = "warning"
		}
		fmt.Fprintf(&b, "%s %s: %s (%s)\n", kind, strings.Join(p.Path, "."), p.Fact, p.Remedy)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it anew)\n got:\n%s\nwant:\n%s", path, got, want)
	}
}

// TestEveryMistakeIsExplained has one mistake a case; each message is golden.
func TestEveryMistakeIsExplained(t *testing.T) {
	scalar := func(s string) *Scalar { return ptr(Scalar(s)) }
	var all strings.Builder
	f := func(name string, change func(f *File, r *RuleDef)) {
		t.Helper()
		rule := freezer(t)
		file := coldFile(rule)
		change(file, rule)
		p, list := Compile(file)
		if len(list) == 0 {
			t.Errorf("%s: no problem was found", name)
		}
		refused := slices.ContainsFunc(list, func(p Problem) bool { return !p.Warning })
		if refused != (p == nil) {
			t.Errorf("%s: program %v, problems %v", name, p, list)
		}
		for _, p := range list {
			if len(p.Path) == 0 || p.Fact == "" || p.Remedy == "" {
				t.Errorf("%s: a problem without place, fact or remedy: %+v", name, p)
			}
		}
		fmt.Fprintf(&all, "# %s\n%s\n", name, problems(list))
	}
	value := func(r *RuleDef, c Condition) { r.Condition = c }
	level := func(name string, c Condition) func(*File, *RuleDef) {
		return func(_ *File, r *RuleDef) { r.Level = map[string]*LevelDef{name: {Condition: c}} }
	}

	f("schema of the future", func(f *File, _ *RuleDef) { f.Schema = 2 })
	f("rule name with a slash", func(f *File, r *RuleDef) { f.Rule["a/b"] = freezer(t) })
	f("no metric", func(_ *File, r *RuleDef) { r.Metric = "" })
	f("metric mistyped", func(_ *File, r *RuleDef) { r.Metric = "temprature" })
	f("no condition", func(_ *File, r *RuleDef) { value(r, Condition{}) })
	f("only a clear", func(_ *File, r *RuleDef) { r.Above = nil })
	f("two families", func(_ *File, r *RuleDef) { r.Is = scalar("open") })
	f("two limits that contradict", func(_ *File, r *RuleDef) { r.Below = qty(t, "-20") })
	f("two limits of one side", func(_ *File, r *RuleDef) { r.AtLeast = qty(t, "-20") })
	f("clear beyond the limit", func(_ *File, r *RuleDef) { r.Clear = clr(t, "-13 °C") })
	f("clear beyond the limit below", func(_ *File, r *RuleDef) {
		value(r, Condition{AtMost: qty(t, "5"), Clear: clr(t, "4")})
	})
	f("clear with two limits", func(_ *File, r *RuleDef) { r.Clear = clr(t, "-20", "-17") })
	f("clear_is with a limit", func(_ *File, r *RuleDef) { r.Clear, r.ClearIs = nil, scalar("closed") })
	f("outside with one limit", func(_ *File, r *RuleDef) { value(r, Condition{Outside: rng(t, "2")}) })
	f("outside the wrong way round", func(_ *File, r *RuleDef) { value(r, Condition{Outside: rng(t, "8", "2")}) })
	f("outside cleared outside", func(_ *File, r *RuleDef) {
		value(r, Condition{Outside: rng(t, "2", "8"), Clear: clr(t, "1", "7")})
	})
	f("outside with one clear", func(_ *File, r *RuleDef) { value(r, Condition{Outside: rng(t, "2", "8"), Clear: clr(t, "5")}) })
	f("inside cleared inside", func(_ *File, r *RuleDef) {
		value(r, Condition{Inside: rng(t, "2", "8"), Clear: clr(t, "3", "9")})
	})
	f("unit of another dimension", func(_ *File, r *RuleDef) { r.Above = qty(t, "5 bar") })
	f("unknown unit", func(_ *File, r *RuleDef) { r.Above = qty(t, "-15 C°") })
	f("quantity too large", func(f *File, r *RuleDef) {
		f.Metric["temperature"].Unit = "mV"
		value(r, Condition{Above: qty(t, "1e308 kV")})
	})
	f("metric's unit in the wrong case", func(f *File, r *RuleDef) {
		f.Metric["temperature"].Unit = "kwh"
		value(r, Condition{Above: qty(t, "5")})
	})
	f("two units and none declared", func(f *File, r *RuleDef) {
		delete(f.Metric, "temperature")
		r.Level = map[string]*LevelDef{"critical": {Condition: Condition{Above: qty(t, "50 °F")}}}
	})
	f("limit outside the range", func(f *File, r *RuleDef) { f.Metric["temperature"].Range = rng(t, "-55", "-15") })
	f("limit below the range", func(f *File, r *RuleDef) { f.Metric["temperature"].Range = rng(t, "-10", "50") })
	f("ranges that cannot be left", func(f *File, r *RuleDef) {
		f.Metric["temperature"].Range = rng(t, "0", "50")
		value(r, Condition{Outside: rng(t, "-5", "60")})
	})
	f("ranges that cannot be entered", func(f *File, r *RuleDef) {
		f.Metric["temperature"].Range = rng(t, "0", "50")
		value(r, Condition{Inside: rng(t, "60", "70")})
	})
	f("clear outside the range", func(f *File, r *RuleDef) {
		f.Metric["temperature"].Range = rng(t, "-16", "50")
	})
	f("value outside the range", func(f *File, r *RuleDef) {
		f.Metric["temperature"].Range = rng(t, "0", "50")
		value(r, Condition{Is: scalar("60")})
	})
	f("value that is an error code", func(f *File, r *RuleDef) {
		f.Metric["temperature"].Range = nil
		f.Metric["temperature"].Invalid = []float64{85}
		value(r, Condition{In: []Scalar{"1", "85"}})
	})
	f("range with one value", func(f *File, r *RuleDef) { f.Metric["temperature"].Range = rng(t, "-55") })
	f("range of another dimension", func(f *File, r *RuleDef) { f.Metric["temperature"].Range = rng(t, "0 V", "5 V") })
	f("unknown type", func(f *File, r *RuleDef) { f.Metric["temperature"].Type = "boolean" })
	f("limit on a bool", func(f *File, r *RuleDef) { f.Metric["temperature"] = &MetricDef{Type: "bool"} })
	f("unit of a bool", func(f *File, r *RuleDef) {
		f.Metric["temperature"].Type = "bool"
		value(r, Condition{Is: scalar("true")})
	})
	f("true_is of a number", func(f *File, r *RuleDef) { f.Metric["temperature"].TrueIs = []string{"hot"} })
	f("true and false at once", func(f *File, r *RuleDef) {
		f.Metric["temperature"] = &MetricDef{TrueIs: []string{"wet", "on"}, FalseIs: []string{"WET"}}
		value(r, Condition{Is: scalar("true")})
	})
	f("negative jump", func(f *File, r *RuleDef) { f.Metric["temperature"].InvalidJump = -1 })
	f("jump without codes", func(f *File, r *RuleDef) { f.Metric["temperature"].InvalidJump = 20 })
	f("code that is no number", func(f *File, r *RuleDef) { f.Metric["temperature"].Invalid = []float64{nan()} })
	f("word on a number", func(_ *File, r *RuleDef) { value(r, Condition{Is: scalar("open")}) })
	f("word on a bool", func(f *File, r *RuleDef) {
		f.Metric["temperature"] = &MetricDef{Type: "bool"}
		value(r, Condition{Is: scalar("ajar")})
	})
	f("clear with a value", func(_ *File, r *RuleDef) { value(r, Condition{Is: scalar("1"), Clear: clr(t, "2")}) })
	f("clear_is that fires", func(_ *File, r *RuleDef) { value(r, Condition{In: []Scalar{"1", "2"}, ClearIs: scalar("2")}) })
	f("in with nothing", func(_ *File, r *RuleDef) { value(r, Condition{In: []Scalar{}}) })
	f("bad regular expression", func(f *File, r *RuleDef) {
		delete(f.Metric, "temperature")
		value(r, Condition{Matches: ptr("E[")})
	})
	f("regular expression that costs too much", func(f *File, r *RuleDef) {
		delete(f.Metric, "temperature")
		value(r, Condition{Matches: ptr("(E[0-9]{1,30}){30}")})
	})
	f("regular expression without end", func(f *File, r *RuleDef) {
		delete(f.Metric, "temperature")
		value(r, Condition{Matches: ptr(strings.Repeat("E", 1<<20))})
	})
	f("regular expression on a number", func(_ *File, r *RuleDef) { value(r, Condition{Matches: ptr("E")}) })
	f("unknown placeholder", func(_ *File, r *RuleDef) { r.Title = "{devise} is warm" })
	f("placeholder never closed", func(_ *File, r *RuleDef) { r.Title = "{device is warm" })
	f("placeholder never opened", func(_ *File, r *RuleDef) { r.Title = "device} is warm" })
	f("unknown format", func(_ *File, r *RuleDef) { r.Title = "{value:.1f}" })
	f("title with three mistakes", func(_ *File, r *RuleDef) { r.Title = "} {devise} is {valu:.1}, {" })
	f("no metric, and more", func(_ *File, r *RuleDef) {
		r.Metric, r.Title, r.Samples = "", "{devise}", ptr(0)
		r.Level = map[string]*LevelDef{"criticl": {}}
	})
	f("format of a device", func(_ *File, r *RuleDef) { r.Title = "{device:.1}" })
	f("decimals of a text", func(f *File, r *RuleDef) {
		delete(f.Metric, "temperature")
		value(r, Condition{Is: scalar("open")})
		r.Title = "{value:.1}"
	})
	f("level of no severity", level("criticl", Condition{}))
	f("level of the rule's severity", level("warning", Condition{}))
	f("level that adds nothing", level("critical", Condition{}))
	f("levels out of order", level("critical", Condition{Above: qty(t, "-20")}))
	f("level below out of order", level("info", Condition{Above: qty(t, "-10")}))
	f("level's clear beyond its limit", level("critical", Condition{Above: qty(t, "-10"), Clear: clr(t, "-5")}))
	f("level's clear beyond the rule's limit", level("critical", Condition{Clear: clr(t, "-5")}))
	f("negative for", func(_ *File, r *RuleDef) { r.For = ptr(Duration(-1)) })
	f("for of a century", func(f *File, _ *RuleDef) { f.Defaults.ClearFor = dur(t, "36500d") })
	f("no samples", func(_ *File, r *RuleDef) { r.Samples = ptr(0) })
	f("bad glob", func(_ *File, r *RuleDef) { r.Devices = Scope{"freezer-[0"} })
	f("empty pattern", func(_ *File, r *RuleDef) { r.Devices = Scope{""} })
	f("group nobody declares", func(_ *File, r *RuleDef) { r.Devices = Scope{"group:freezers"} })
	f("label without a value", func(_ *File, r *RuleDef) { r.Except = Scope{"label:site"} })
	f("type nobody has", func(_ *File, r *RuleDef) { r.Devices = Scope{"type:pump"} })
	f("its own parent", func(f *File, _ *RuleDef) { f.Device["freezer-07"].Via = "freezer-07" })
	f("parents in a circle", func(f *File, _ *RuleDef) {
		f.Device["freezer-07"].Via = "gw-a"
		f.Device["gw-a"] = &DeviceDef{Via: "gw-b"}
		f.Device["gw-b"] = &DeviceDef{Via: "gw-a"}
	})
	f("everything at once", func(f *File, r *RuleDef) {
		r.Title, r.Clear, r.Samples, f.Schema = "{nobody}", clr(t, "-1"), ptr(-1), 9
	})
	golden(t, "problems.golden", all.String())
}

func TestAGoodFileHasNoProblems(t *testing.T) {
	file := coldFile(ladder(t))
	file.Defaults = Defaults{Severity: Major, Timing: Timing{For: dur(t, "1m")}, Notify: []string{"ops"}, Labels: map[string]string{"team": "cold"}}
	file.Rule["quiet"] = &RuleDef{Metric: "door", Devices: Scope{"type:freezer", "gw-*"}, Except: Scope{"freezer-09"}, Condition: Condition{Is: ptr(Scalar("open"))}, Labels: map[string]string{"team": "doors"}}
	file.Rule["freezer-warm"].Severity = Warning
	p, list := Compile(file)
	if p == nil || len(list) != 0 {
		t.Fatalf("problems:\n%s", problems(list))
	}
	quiet := p.rules[1]
	if quiet.rungs[0].severity != Major || quiet.rungs[0].hold != 60e9 || !slices.Equal(quiet.rungs[0].notify, []string{"ops"}) || quiet.labels["team"] != "doors" {
		t.Errorf("defaults were not inherited: %+v", quiet)
	}
	info := p.Rules()[0]
	if info.ID != "freezer-warm" || !slices.Equal(info.Severities, []Severity{Warning, Critical}) || len(info.Notify) != 3 || len(p.Mentions()) != 4 {
		t.Errorf("rules %+v, mentions %+v", p.Rules(), p.Mentions())
	}
}

func TestScopes(t *testing.T) {
	pump := &DeviceDef{Type: "pump", Labels: map[string]string{"site": "lyon", "note": ""}}
	f := func(scope Scope, id string, def *DeviceDef, want bool) {
		t.Helper()
		if got := scope.matches(id, def); got != want {
			t.Errorf("%q selects %s: %v", scope, id, got)
		}
	}
	f(Scope{"*"}, "site/a", nil, true)
	f(Scope{"p-1"}, "p-1", nil, true)
	f(Scope{"p-?"}, "p-1", nil, true)
	f(Scope{"p-[2-9]"}, "p-1", nil, false)
	f(Scope{"q", "p-*"}, "p-1", nil, true)
	f(Scope{"aa:bb:*"}, "aa:bb:cc", nil, true)
	f(Scope{"type:pump"}, "p-1", pump, true)
	f(Scope{"type:pump"}, "p-1", nil, false)
	f(Scope{"label:site=lyon"}, "p-1", pump, true)
	f(Scope{"label:site=paris"}, "p-1", pump, false)
	f(Scope{"label:none="}, "p-1", pump, false)
	f(Scope{"label:note="}, "p-1", pump, true)
}

func TestRevisionSaysWhetherARuleChanged(t *testing.T) {
	revision := func(change func(*File, *RuleDef)) string {
		rule := ladder(t)
		file := coldFile(rule)
		change(file, rule)
		return mustCompile(t, file).Rules()[0].Revision
	}
	same := revision(func(*File, *RuleDef) {})
	if other := revision(func(f *File, r *RuleDef) {
		r.Source = "elsewhere:1"
		f.Rule["zero"] = freezer(t)
		r.Above = qty(t, "5 °F") // which is -15 °C
	}); other != same {
		t.Errorf("revision %s became %s though nothing changed", same, other)
	}
	for i, change := range []func(*File, *RuleDef){
		func(_ *File, r *RuleDef) { r.Above = qty(t, "-14") },
		func(_ *File, r *RuleDef) { r.Clear = nil },
		func(_ *File, r *RuleDef) { r.Level["critical"].For = dur(t, "3m") },
		func(_ *File, r *RuleDef) { r.Notify = nil },
		func(_ *File, r *RuleDef) { r.Title = "x" },
		func(f *File, _ *RuleDef) { f.Metric["temperature"].Range = rng(t, "-55", "125") },
		func(f *File, _ *RuleDef) { f.Defaults.Labels = map[string]string{"a": "b"} },
	} {
		if revision(change) == same {
			t.Errorf("change %d left the revision as it was", i)
		}
	}
}

func TestUnitsConvertExactly(t *testing.T) {
	f := func(v float64, from, to string, want float64) {
		t.Helper()
		c, ok := convert(from, to)
		if got := c.apply(v); !ok || got != want {
			t.Errorf("%v %s is %v %s (%v), want %v", v, from, got, to, ok, want)
		}
	}
	f(5, "°F", "°C", -15)
	f(-15, "°C", "°F", 5)
	f(293.15, "K", "°C", 20)
	f(1100, "mV", "V", 1.1)
	f(3.3, "V", "mV", 3300)
	f(101325, "Pa", "bar", 1.01325)
	f(1013.25, "hPa", "mbar", 1013.25)
	f(3.6, "MJ", "kWh", 1)
	f(36, "km/h", "m/s", 10)
	f(1, "in", "mm", 25.4)
	f(60, "rpm", "Hz", 1)
	f(7, "ppm", "ppm", 7)
	f(7, "", "°C", 7)
	for _, pair := range [][2]string{{"V", "°C"}, {"ppm", "%"}, {"V", "volts!"}} {
		if _, ok := convert(pair[0], pair[1]); ok {
			t.Errorf("%s was converted to %s", pair[0], pair[1])
		}
	}
	for _, u := range units {
		for _, w := range units {
			if c, ok := convert(u.name, w.name); ok != (u.dimension == w.dimension) || ok && u.name != w.name && c.div == 0 {
				t.Errorf("%s to %s: %v %v", u.name, w.name, c, ok)
			}
		}
	}
}
