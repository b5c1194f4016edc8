package expr_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/rules/expr"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// convert knows a few units: to a base by (v + shift) * num / den.
func convert(v float64, from, to string) (float64, bool) {
	type unit struct {
		dimension       string
		num, den, shift float64
	}
	units := map[string]unit{
		"°C": {"temperature", 1, 1, 0}, "°F": {"temperature", 5, 9, -32}, "K": {"temperature", 1, 1, -273.15},
		"V": {"voltage", 1, 1, 0}, "mV": {"voltage", 1, 1000, 0}, "W": {"power", 1, 1, 0}, "kW": {"power", 1000, 1, 0},
		"s": {"time", 1, 1, 0}, "min": {"time", 60, 1, 0}, "h": {"time", 3600, 1, 0}, "ms": {"time", 1, 1000, 0},
		"mm/s": {"speed", 1, 1000, 0}, "m/s": {"speed", 1, 1, 0}, "%": {"share", 1, 1, 0}, "m": {"length", 1, 1, 0},
	}
	if from == to || from == "" || to == "" {
		return v, true
	}
	f, t := units[from], units[to]
	if f.dimension == "" || f.dimension != t.dimension {
		return 0, false
	}
	v = (v+f.shift)*f.num*t.den/(f.den*t.num) - t.shift
	if f.shift != 0 || t.shift != 0 {
		v = math.Round(v*1e9) / 1e9
	}
	return v, true
}

// metrics are those that the tests' files declare.
func metrics() map[string]expr.Metric {
	return map[string]expr.Metric{
		"temperature":    {Unit: "°C"},
		"outside":        {Unit: "°F"},
		"battery":        {Unit: "%"},
		"vibration_rms":  {Unit: "mm/s"},
		"voltage":        {Unit: "V"},
		"level_mv":       {Unit: "mV"},
		"power":          {Unit: "W"},
		"uptime":         {Unit: "h"},
		"soil-moisture":  {Unit: "%"},
		"pulses":         {},
		"running":        {Type: expr.Bool},
		"external_power": {Type: expr.Bool},
		"mode":           {Type: expr.Text},
		"door":           {Type: expr.Text},
	}
}

func scope() expr.Scope {
	return expr.Scope{
		Metric: func(name string) (expr.Metric, bool) {
			m, ok := metrics()[name]
			return m, ok
		},
		Near: func(name string) (string, bool) {
			switch name {
			case "temprature":
				return "temperature", true
			case "energia":
				return "energy", false
			}
			return "", false
		},
		Rule: func(id string) (string, bool) {
			return map[string]string{"device-silnt": "device-silent", "door-opn ": "door-open", "door-opn": "door-open"}[id], slices.Contains([]string{"device-silent", "door-open", "cold.room"}, id)
		},
		Convert: convert,
		Group:   true,
	}
}

func compile(t *testing.T, src string) *expr.Program {
	t.Helper()
	p, problems := expr.Compile(src, scope())
	if p == nil {
		t.Fatalf("%s: %+v", src, problems)
	}
	return p
}

func num(v float64) expr.Value { return expr.Value{Num: v, Known: true} }
func text(s string) expr.Value { return expr.Value{Text: s, Known: true} }
func truth(b bool) expr.Value {
	if b {
		return num(1)
	}
	return num(0)
}

func TestDocumentedAndShortFormsAreOneProgram(t *testing.T) {
	for _, c := range []struct {
		want string
		same []string
	}{
		{"p95(vibration_rms, 5m) > 7.1 and min(running, 5m)", []string{
			`p95(vibration_rms, "5m") > 7.1 and min(running, "5m")`, `p95( vibration_rms , 300s )>7.1 && min(running,5m)`}},
		{"share_firing(device-silent) >= 50%", []string{`share_firing("device-silent") >= "50%"`, `share_firing( device-silent ) >= 50 %`, `share_firing(device-silent) >= "50 %"`}},
		{"battery < 15 and not (external_power ?? false)", []string{"battery < 15 and !(external_power ?? false)", "battery < 15.0 and not external_power ?? false"}},
		{"temperature > -15 °C", []string{`temperature > "-15 °C"`, `temperature > -"15 °C"`, "temperature>-15°C"}},
		{"battery > 25 or external_power", []string{"battery > 25 || external_power"}},
		{"switch.0.apower > 5", []string{`metric("switch.0.apower") > 5`}},
		{`metric("soil-moisture") < 20%`, []string{"soil-moisture < 20 %", "soil-moisture<20%"}},
		{"not (temperature > 5)", []string{"not temperature > 5", "!(temperature > 5)", "not (temperature > 5)"}},
		{"not (temperature + 1 > 5) and running", []string{"not temperature + 1 > 5 and running"}},
		{"(not running) == external_power", []string{"((not running)) == external_power"}},
		{"not (running == external_power)", []string{"not running == external_power"}},
		{"temperature > @max_temp", []string{`temperature > attr("max_temp")`}},
		{"temperature > @max-temp - 2", []string{`temperature > @max-temp-2`}},
		{"age(temperature) > 10m", []string{`age(temperature) > "10m"`}},
		{"age(temperature) > 1h30m", []string{`age(temperature) > "1h30m"`}},
		{"rate(temperature, 10m) > 0.5 °C/min", []string{`rate(temperature, "10m") > "0.5 °C/min"`}},
		{"rate(pulses, 10m) > 5/min", []string{`rate(pulses, 10m) > "5 /min"`}},
		{`mode in ["heat", "cool"]`, []string{`mode in ['heat', 'cool']`, "mode in [`heat`, `cool`]"}},
		{`not (mode in ["heat"])`, []string{`mode not in ["heat"]`, `not mode in ["heat"]`}},
		{`mode matches "^(h|c)"`, nil},
		{`weekday() in ["sat", "sun"] and hour() >= 8`, []string{`weekday in ["Sat", "SUN"] and hour >= 8`}},
		{"5 < temperature and temperature < 10", []string{"5 < temperature < 10"}},
		{"p99.9(vibration_rms, 1d) > 3", []string{`p99.9(vibration_rms, "24h") > 3`, "p99_9(vibration_rms, 24h) > 3"}},
		{"firing(cold.room) and online()", []string{`firing("cold.room") and online`}},
		{"abs(temperature - outside) > 5 and round(battery) == 3", []string{"abs(temperature - outside) > 5 // far\nand /* rounded */ round(battery) == 3"}},
		{"(temperature + 1) * 2 - -3 > 5 / (2 / power)", nil},
		{"-(temperature - 1) > 5", nil},
		{"prev(temperature) < temperature and changed(mode)", nil},
		{"uptime > 500 h", nil},
		{`(mode ?? "off") == "on"`, nil},
		{"x > 5 and y", nil},
	} {
		for _, src := range append(c.same, c.want) {
			if got := compile(t, src).String(); got != c.want {
				t.Errorf("%s\n  is %s\nwant %s", src, got, c.want)
			}
		}
	}
}

func TestSlotsSayWhatTheyAreFilledWith(t *testing.T) {
	f := func(src string, want ...expr.Ref) {
		t.Helper()
		if diff := cmp.Diff(want, compile(t, src).Refs()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", src, diff)
		}
	}
	m := 5 * time.Minute
	f("temperature > 5 and temperature < 10 °C", expr.Ref{Kind: expr.Last, Metric: "temperature", Unit: "°C"})
	f("p95(vibration_rms, 5m) > 7.1 and min(running, 5m)",
		expr.Ref{Kind: expr.Window, Metric: "vibration_rms", Func: "quantile", Quantile: 0.95, Over: m, Unit: "mm/s"},
		expr.Ref{Kind: expr.Window, Type: expr.Bool, Metric: "running", Func: "min", Over: m})
	f("min(on, 5m) and avg(on, 5m) > 50% and avg(on, 300s) < 0.9",
		expr.Ref{Kind: expr.Window, Type: expr.Bool, Metric: "on", Func: "min", Over: m},
		expr.Ref{Kind: expr.Window, Metric: "on", Func: "avg", Over: m})
	f(`hatch == "open" or prev(hatch) == "ajar"`,
		expr.Ref{Kind: expr.Last, Type: expr.Text, Metric: "hatch"}, expr.Ref{Kind: expr.Prev, Type: expr.Text, Metric: "hatch"})
	f("x > 5 °C and x < 100 °F", expr.Ref{Kind: expr.Last, Metric: "x", Unit: "°C"})
	f("rate(temperature, 5m) > 0.1 and delta(temperature, 5m) > 1",
		expr.Ref{Kind: expr.Window, Metric: "temperature", Func: "rate", Over: m, Unit: "°C/s"},
		expr.Ref{Kind: expr.Window, Metric: "temperature", Func: "delta", Over: m, Unit: "°C"})
	f("temperature > @max and delta(temperature, 5m) > @step and rate(temperature, 5m) > @slope",
		expr.Ref{Kind: expr.Last, Metric: "temperature", Unit: "°C"},
		expr.Ref{Kind: expr.Attr, Name: "max", Unit: "°C"},
		expr.Ref{Kind: expr.Window, Metric: "temperature", Func: "delta", Over: m, Unit: "°C"},
		expr.Ref{Kind: expr.Attr, Name: "step", Unit: "°C", Role: expr.Difference},
		expr.Ref{Kind: expr.Window, Metric: "temperature", Func: "rate", Over: m, Unit: "°C/s"},
		expr.Ref{Kind: expr.Attr, Name: "slope", Unit: "°C/s", Role: expr.Difference})
	f("temperature > @max - 2", expr.Ref{Kind: expr.Last, Metric: "temperature", Unit: "°C"},
		expr.Ref{Kind: expr.Attr, Name: "max", Unit: "°C", Role: expr.Either})
	f("firing(door-open) or share_firing(device-silent) > 5 or count_firing(device-silent) > 5 or online or hour > 5 or weekday > 5 or changed(door) or age(door) > 5",
		expr.Ref{Kind: expr.Firing, Type: expr.Bool, Name: "door-open"},
		expr.Ref{Kind: expr.Share, Name: "device-silent", Unit: "%"},
		expr.Ref{Kind: expr.Count, Name: "device-silent"},
		expr.Ref{Kind: expr.Online, Type: expr.Bool},
		expr.Ref{Kind: expr.Hour}, expr.Ref{Kind: expr.Weekday},
		expr.Ref{Kind: expr.Changed, Type: expr.Bool, Metric: "door"},
		expr.Ref{Kind: expr.Age, Metric: "door", Unit: "s"})
}

// TestQuantitiesAreConverted holds every literal between two readings in the
// metric's unit, of which it lies just between.
func TestQuantitiesAreConverted(t *testing.T) {
	f := func(src string, at float64) {
		t.Helper()
		p := compile(t, src+" ")
		const little = 1e-6
		if got := p.Eval([]expr.Value{num(at - little)}); got != truth(false) {
			t.Errorf("%s: below %v is %+v", src, at, got)
		}
		if got := p.Eval([]expr.Value{num(at + little)}); got != truth(true) {
			t.Errorf("%s: above %v is %+v", src, at, got)
		}
	}
	f("temperature > 5 °F", -15)
	f("temperature > -15 °F", -26.111111)
	f("outside > 5 °C", 41)
	f("delta(temperature, 5m) > 5 °F", 2.777777778)
	f("spread(temperature, 5m) > 5 K", 5)
	f("stddev(outside, 5m) > 5 °C", 9)
	f("delta(temperature, 5m) - 9 °F > 0", 5)
	f("avg(temperature, 5m) > 41 °F", 5)
	f("rate(temperature, 5m) > 0.6 °C/min", 0.01)
	f("rate(temperature, 5m) > 9 °F/h", 5.0/3600)
	f("rate(temperature, 5m) > 86400 K/d", 1)
	f("rate(temperature, 5m) > 2", 2)
	f("rate(pulses, 5m) > 60/min", 1)
	f("rate(vibration_rms, 5m) > 1 m/s/min", 1000.0/60)
	f("voltage > 1100 mV", 1.1)
	f("level_mv > 1.1 V", 1100)
	f("age(temperature) > 10m", 600)
	f("age(temperature) > 10 min", 600)
	f("uptime > 500h", 500)
	f("uptime > 30m", 0.5)
	f("uptime > 2d", 48)
	f("runtime > 500 h", 500)
	f("share_firing(door-open) > 50%", 50)
	f("avg(running, 1h) > 80%", 0.8)
	f("avg(running, 1h) > 0.8", 0.8)
	f("power > 2 * 3 kW", 6000)
	f("power * 90% > 1.8 kW", 2000)
	f("3 kW < power", 3000)
	f("(temperature ?? 41 °F) > 41 °F", 5)
	f("x > 5 °C", 5)
	f("x + 1 > 5 °C", 4)
	f(`weekday > "wed"`, 3)
}

func TestReadingsInDifferentUnitsAreCompared(t *testing.T) {
	f := func(src string, a, b float64, want bool) {
		t.Helper()
		if got := compile(t, src).Eval([]expr.Value{num(a), num(b)}); got != truth(want) {
			t.Errorf("%s with %v and %v is %+v", src, a, b, got)
		}
	}
	f("temperature > outside", 5, 41, false)
	f("temperature > outside", 5.001, 41, true)
	f("temperature == outside", -40, -40, true)
	f("voltage == level_mv", 1.1, 1100, true)
	f("voltage == level_mv", 3.3, 3300, true) // and 3300 * 0.001 is not
	f("level_mv == voltage", 1100, 1.1, true)
	f("delta(temperature, 5m) >= delta(outside, 5m)", 5, 9, true)
	f("delta(temperature, 5m) >= delta(outside, 5m)", 4.99, 9, false)
	f("avg(running, 5m) > battery", 0.6, 50, true)
	f("battery > avg(running, 5m)", 50, 0.6, false)
	f("voltage * pulses > 5", 2, 3, true)
	f("temperature / 2 + 10 > pulses", 10, 14, true)
}

func TestAttributesAreConvertedAsTheyAreUsed(t *testing.T) {
	f := func(r expr.Ref, v float64, unit string, want float64, wantOK bool) {
		t.Helper()
		got, ok := r.Convert(v, unit, convert)
		if ok != wantOK || ok && math.Abs(got-want) > 1e-9 {
			t.Errorf("%v %s as %+v is %v, %t", v, unit, r, got, ok)
		}
	}
	f(expr.Ref{Unit: "°C"}, 41, "°F", 5, true)
	f(expr.Ref{Unit: "°C"}, 41, "", 41, true)
	f(expr.Ref{Unit: "°C"}, 41, "V", 0, false)
	f(expr.Ref{Unit: "°C", Role: expr.Difference}, 9, "°F", 5, true)
	f(expr.Ref{Unit: "°C", Role: expr.Either}, 9, "°F", 0, false)
	f(expr.Ref{Unit: "V", Role: expr.Either}, 1100, "mV", 1.1, true)
	f(expr.Ref{Unit: "°C/s", Role: expr.Difference}, 9, "°F/min", 5.0/60, true)
	f(expr.Ref{Unit: "mm/s", Role: expr.Difference}, 1, "m/s", 1000, true)
	f(expr.Ref{Unit: "°C/s", Role: expr.Difference}, 9, "°F", 0, false)
}

// kleene are the values of the truth tables.
func kleene() map[string]expr.Value {
	return map[string]expr.Value{"F": truth(false), "U": {}, "T": truth(true)}
}

func TestKleene(t *testing.T) {
	const tables = `
a b | a and b | a or b | a == b | a != b | a ?? b | not a
F F | F F T F F T
F U | F U U U F T
F T | F T F T F T
U F | F U U U F U
U U | U U U U U U
U T | U T U U T U
T F | F T F T T F
T U | U T U U T F
T T | T T T F T F`
	lines := strings.Split(strings.TrimSpace(tables), "\n")
	columns := strings.Split(lines[0], " | ")[1:]
	for _, line := range lines[1:] {
		in, out, _ := strings.Cut(line, " | ")
		values := strings.Fields(in)
		for i, want := range strings.Fields(out) {
			p, problems := expr.Compile(columns[i], expr.Scope{Metric: func(string) (expr.Metric, bool) { return expr.Metric{Type: expr.Bool}, true }})
			if p == nil {
				t.Fatal(problems)
			}
			got := p.Eval([]expr.Value{kleene()[values[0]], kleene()[values[1]]})
			if got != kleene()[want] {
				t.Errorf("%s with %s is %+v, want %s", columns[i], in, got, want)
			}
		}
	}
}

func TestWhatCannotBeReckonedIsUnknown(t *testing.T) {
	f := func(src string, want expr.Value, slots ...expr.Value) {
		t.Helper()
		if got := compile(t, src).Eval(slots); got != want {
			t.Errorf("%s is %+v, want %+v", src, got, want)
		}
	}
	unknown := expr.Value{}
	f("temperature > 5", unknown, unknown)
	f("temperature > 5", unknown)
	f("temperature > 5", unknown, num(math.NaN()))
	f("temperature > 5", unknown, num(math.Inf(1)))
	f("temperature != 5", unknown, unknown)
	f("temperature in [5]", unknown, unknown)
	f("1 / pulses > 5", unknown, num(0))
	f("-1 / pulses < 5", unknown, num(0))
	f("pulses * 1e300 > 5", unknown, num(1e300))
	f("((1 / pulses) ?? 3) > 5", truth(false), num(0))
	f("(temperature ?? 7) > 5", truth(true), unknown)
	f(`mode == "on"`, unknown, unknown)
	f(`mode matches "o"`, unknown, unknown)
	f(`mode matches "o"`, unknown, text(strings.Repeat("o", 1025)))
	f(`mode matches "^o+$"`, truth(true), text(strings.Repeat("o", 1024)))
	f(`(mode ?? "off") in ["off"]`, truth(true), unknown)
	f("running or temperature > 5", truth(true), num(1), unknown)
	f("running and temperature > 5", truth(false), num(0), unknown)
	f("running", unknown, num(math.NaN()))
}

func TestProblems(t *testing.T) {
	sources, err := os.ReadFile("testdata/problems.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for src := range strings.Lines(string(sources)) {
		src = strings.TrimSuffix(src, "\n")
		s := scope()
		s.Group = !strings.Contains(src, "// one device")
		p, problems := expr.Compile(src, s)
		fmt.Fprintln(&b, src)
		if len(problems) == 0 {
			t.Errorf("%s has no problem", src)
		}
		failed := false
		for _, pr := range problems {
			level := "warning"
			if !pr.Warning {
				failed, level = true, "error"
			}
			if pr.Offset < 0 || pr.Length < 0 || pr.Offset+pr.Length > len(src) {
				t.Fatalf("%s: %+v is outside of it", src, pr)
			}
			runes := func(s string) int { return len([]rune(s)) }
			fmt.Fprintf(&b, "%s%s\n  %s: %s (%s)\n", strings.Repeat(" ", runes(src[:pr.Offset])),
				strings.Repeat("^", max(1, runes(src[pr.Offset:pr.Offset+pr.Length]))), level, pr.Fact, pr.Remedy)
			if pr.Fact == "" || pr.Remedy == "" {
				t.Errorf("%s: a fact or a remedy is missing: %+v", src, pr)
			}
		}
		if failed != (p == nil) {
			t.Errorf("%s: program %v with %+v", src, p, problems)
		}
		fmt.Fprintln(&b)
	}
	const golden = "testdata/problems.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
