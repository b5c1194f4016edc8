package ruletest

import (
	"strings"
	"testing"
	"time"

	"tocsin/rules"
)

// q, d and c write leaves as a file would.
func q(t testing.TB, s string) *rules.Quantity {
	t.Helper()
	v := new(rules.Quantity)
	if err := v.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return v
}

func d(t testing.TB, s string) *rules.Duration {
	t.Helper()
	v := new(rules.Duration)
	if err := v.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return v
}

func at(t testing.TB, s string) rules.Duration { return *d(t, s) }

func clear(t testing.TB, s string) *rules.Clear {
	t.Helper()
	return &rules.Clear{Range: rules.Range{Low: *q(t, s)}, Text: s, Limits: true}
}

// cold is a file with the rule that most tests use: above -15 for 10m, clear -17
// for 5m; above -10 for 2m is critical.
func cold(t testing.TB) *rules.File {
	r := &rules.RuleDef{Metric: "temperature", Source: "cold.toml:5", Notify: []string{"ops"}, Severity: rules.Warning}
	r.Above, r.Clear, r.For, r.ClearFor = q(t, "-15 °C"), clear(t, "-17 °C"), d(t, "10m"), d(t, "5m")
	l := &rules.LevelDef{Notify: []string{"ops", "oncall"}}
	l.Above, l.Clear, l.For = q(t, "-10 °C"), clear(t, "-12 °C"), d(t, "2m")
	r.Level = map[string]*rules.LevelDef{"critical": l}
	return &rules.File{
		Metric: map[string]*rules.MetricDef{"temperature": {Unit: "°C", Invalid: []float64{85}, InvalidJump: 20}},
		Rule:   map[string]*rules.RuleDef{"freezer-warm": r},
	}
}

func compile(t testing.TB, f *rules.File) *rules.Program {
	t.Helper()
	p, problems := rules.Compile(f)
	if p == nil {
		t.Fatalf("file refused: %v", problems)
	}
	return p
}

func run(t testing.TB, def *rules.TestDef) Result {
	t.Helper()
	def.Source = "cold.toml:20"
	if def.Device == "" {
		def.Device = "freezer-03"
	}
	f := cold(t)
	return Run(f, compile(t, f), def, "a test")
}

// peak is the example of the language: a door is opened, then a compressor fails.
func peak(t testing.TB) *rules.TestDef {
	return &rules.TestDef{
		Rule:   "freezer-warm",
		Values: rules.Values{"": "-20x5 -14x4 -20x5 -14x11 -16x5 -18x6"},
		Expect: []rules.TestExpect{
			{At: at(t, "24m"), Event: "fired", Severity: rules.Warning},
			{At: at(t, "35m"), Event: "resolved"},
		},
	}
}

func TestExampleOfTheLanguageFiresAt24mAndResolvesAt35m(t *testing.T) {
	if r := run(t, peak(t)); !r.Passed() {
		t.Error(r.String())
	}
	code := &rules.TestDef{Rule: "freezer-warm", Values: rules.Values{"temperature": "-20x5 85x1 -20x30"}}
	if r := run(t, code); !r.Passed() || r.Unused["code"] != 1 {
		t.Errorf("%s; unused %v, want one code", r.String(), r.Unused)
	}
}

func TestExpectationThatIsNotMetFailsTheTest(t *testing.T) {
	for _, c := range []struct {
		change func(*rules.TestExpect)
		want   string
	}{
		{func(e *rules.TestExpect) { e.At = at(t, "23m") }, "at 24m, expected at 23m"},
		{func(e *rules.TestExpect) { e.Event = "escalated" }, `event is "alarm.fired", expected "alarm.escalated"`},
		{func(e *rules.TestExpect) { e.Severity = rules.Critical }, `severity is "warning", expected "critical"`},
		{func(e *rules.TestExpect) { e.Rule = "other" }, `rule is "freezer-warm", expected "other"`},
		{func(e *rules.TestExpect) { e.Device = "other" }, `device is "freezer-03", expected "other"`},
		{func(e *rules.TestExpect) { e.Reason = "cleared" }, `reason is "", expected "cleared"`},
		{func(e *rules.TestExpect) { e.Title = "x" }, `title is "freezer-03`},
		{func(e *rules.TestExpect) { e.Because = "below" }, `because is "above -15`},
		{func(e *rules.TestExpect) { e.To = []string{"oncall"} }, `to is "ops", expected "oncall"`},
		{func(e *rules.TestExpect) { e.To = []string{} }, `ops told, expected nobody`},
	} {
		def := peak(t)
		c.change(&def.Expect[0])
		r := run(t, def)
		if r.Passed() || !strings.Contains(r.String(), c.want) {
			t.Errorf("%s\nwant %s", r.String(), c.want)
		}
	}
	full := peak(t)
	full.Expect[0] = rules.TestExpect{
		At: at(t, "24m"), Event: "alarm.fired", Rule: "freezer-warm", Device: "freezer-03", Severity: rules.Warning,
		Title: "freezer-03: temperature -14 °C", Because: "10m 0s, 10 of 10 samples", To: []string{"ops"},
	}
	r := run(t, full)
	full.Expect[0].Title = r.Events[0].Title
	if r := run(t, full); !r.Passed() {
		t.Error(r.String())
	}
}

func TestFailureShowsBothSidesWithPlaceAndTimes(t *testing.T) {
	def := peak(t)
	def.Expect = []rules.TestExpect{{At: at(t, "14m"), Event: "fired"}, {At: at(t, "35m"), Event: "resolved"}, {At: at(t, "1h"), Event: "fired"}}
	want := `cold.toml:20: test "a test" failed
      expected           got
    ✗ 14m     fired      24m     fired        warning (freezer-warm/freezer-03)
      35m     resolved   35m     resolved     warning cleared (freezer-warm/freezer-03)
    ✗ 1h      fired
    at 24m, expected at 14m`
	r := run(t, def)
	if got := r.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	def.Expect = def.Expect[1:2]
	r = run(t, def)
	if got := r.String(); r.Passed() || !strings.Contains(got, "✗                    24m     fired") || !strings.Contains(got, "not expected: 24m     fired        warning (freezer-warm/freezer-03): freezer-03") {
		t.Errorf("got\n%s", got)
	}
}

func TestRestartsAndCrashesTellNothingAndForgetNothing(t *testing.T) {
	for _, step := range []rules.TestStep{{Restart: true}, {Crash: true}} {
		for minute := range 36 {
			def := peak(t)
			step.At = rules.Duration(time.Duration(minute) * time.Minute)
			def.Step = []rules.TestStep{step}
			if r := run(t, def); !r.Passed() {
				t.Errorf("%+v:\n%s", step, r.String())
			}
		}
	}
}

func TestDowntimeCountsNeitherForNorAgainst(t *testing.T) {
	for _, step := range []rules.TestStep{{Restart: true}, {Crash: true}} {
		step.At, step.Down = at(t, "20m"), at(t, "5m30s")
		def := peak(t)
		def.Values = rules.Values{"": "-20x14 -14x21"}
		def.Step = []rules.TestStep{step}
		def.Expect = []rules.TestExpect{{At: at(t, "29m30s"), Event: "fired"}}
		if r := run(t, def); !r.Passed() {
			t.Errorf("%+v:\n%s", step, r.String())
		}
	}
}

func TestStepsSetReadingsBesideTheValues(t *testing.T) {
	def := &rules.TestDef{
		Rule: "freezer-warm", Until: d(t, "20m"),
		Step: []rules.TestStep{
			{At: at(t, "1m"), Set: map[string]rules.Scalar{"temperature": "-5"}},
			{At: at(t, "3m"), Device: "freezer-09", Set: map[string]rules.Scalar{"temperature": "-14"}},
			{At: at(t, "4m"), Age: rules.Age(at(t, "30m")), Set: map[string]rules.Scalar{"temperature": "-20"}},
		},
		Expect: []rules.TestExpect{
			{At: at(t, "3m"), Event: "fired", Severity: rules.Critical, Device: "freezer-03", To: []string{"oncall", "ops"}},
			{At: at(t, "13m"), Event: "fired", Severity: rules.Warning, Device: "freezer-09"},
		},
	}
	if r := run(t, def); !r.Passed() {
		t.Error(r.String())
	}
}

func TestTestThatCannotBeRunSaysWhyAndWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		def  rules.TestDef
		want string
	}{
		{rules.TestDef{Rule: "freezer-cold"}, `there is no rule "freezer-cold"`},
		{rules.TestDef{Values: rules.Values{"": "1"}}, `nothing says of which metric the values are`},
		{rules.TestDef{Rule: "freezer-warm", Values: rules.Values{"": "1;2"}}, `temperature: at byte 0 of the values: 1;2 is no value`},
		{rules.TestDef{Step: []rules.TestStep{{At: at(t, "5m")}}}, `the step at 5m: does nothing (write set`},
		{rules.TestDef{Step: []rules.TestStep{{Presence: "gone"}}}, `the step at 0m: "gone" is no presence`},
		{rules.TestDef{Step: []rules.TestStep{{Source: "gone"}}}, `source is "gone" (write connected or disconnected)`},
		{rules.TestDef{Step: []rules.TestStep{{Restart: true, Crash: true}}}, `has both restart and crash`},
		{rules.TestDef{Step: []rules.TestStep{{Down: 1}}}, `down goes with restart or crash`},
		{rules.TestDef{Step: []rules.TestStep{{Ack: "eve"}}}, `ack needs to know of which alarm`},
		{rules.TestDef{Step: []rules.TestStep{{Set: map[string]rules.Scalar{"t": "_"}}}}, `t is set to nothing`},
		{rules.TestDef{Expect: []rules.TestExpect{{Event: "fire"}}}, `"fire" is no event (did you mean "fired"?)`},
		{rules.TestDef{Rule: "freezer-warm", Every: 1 << 60, Values: rules.Values{"": "1x100"}}, `take too long`},
	} {
		r := run(t, &c.def)
		if r.Passed() || !strings.HasPrefix(r.String(), `cold.toml:20: test "a test": `) || !strings.Contains(r.String(), c.want) {
			t.Errorf("%s\nwant %s", r.String(), c.want)
		}
	}
}

func TestDeviceOfATestMayHaveATypeAndLabels(t *testing.T) {
	f := cold(t)
	f.Rule["freezer-warm"].Devices = rules.Scope{"type:freezer"}
	def := peak(t)
	def.Device = "freezer-03"
	if r := Run(f, compile(t, f), def, "as the rule has it"); !r.Passed() {
		t.Error(r.String())
	}
	def.Type = "pump"
	if r := Run(f, compile(t, f), def, "another"); r.Passed() || len(r.Events) != 0 {
		t.Errorf("a device of another type has events: %s", r.String())
	}
	def.Type = "freezer"
	if r := Run(f, compile(t, f), def, "with"); !r.Passed() {
		t.Error(r.String())
	}
	f.Device = map[string]*rules.DeviceDef{"freezer-03": {Type: "freezer"}}
	if r := Run(f, compile(t, f), def, "both"); r.Err == nil {
		t.Errorf("a type beside that of the file is accepted")
	}
	f.Rule["freezer-warm"].Devices = rules.Scope{"label:site=lyon"}
	def.Type, def.Labels = "", map[string]string{"site": "lyon"}
	if r := Run(f, compile(t, f), def, "labels"); !r.Passed() {
		t.Error(r.String())
	}
}

func TestWhatIsMutedIsNoEventAndIsShownWhereATestFails(t *testing.T) {
	def := &rules.TestDef{
		Rule: "freezer-warm", Values: rules.Values{"": "-20 -14x15 -20x10"},
		Step: []rules.TestStep{{At: at(t, "2m"), Shelve: at(t, "2h")}},
	}
	r := run(t, def)
	if !r.Passed() || len(r.Recorded) != 2 {
		t.Errorf("%s; %d recorded, want fired and resolved", r.String(), len(r.Recorded))
	}
	def.Expect = []rules.TestExpect{{At: at(t, "11m"), Event: "fired"}}
	r = run(t, def)
	if want := "recorded, and nobody told: 11m     fired        warning (freezer-warm/freezer-03): shelved"; !strings.Contains(r.String(), want) {
		t.Errorf("got\n%s\nwant %s", r.String(), want)
	}
}

func TestEventsOfDevicesAreThereWhereATestExpectsThem(t *testing.T) {
	def := &rules.TestDef{
		Rule: "freezer-warm", Values: rules.Values{"": "-20x10"},
		Step:   []rules.TestStep{{At: at(t, "3m30s"), Presence: "lost"}, {At: at(t, "5m"), Source: "disconnected"}, {At: at(t, "7m"), Source: "connected"}},
		Expect: []rules.TestExpect{{At: at(t, "3m30s"), Event: "device.offline", Device: "freezer-03"}},
	}
	if r := run(t, def); !r.Passed() {
		t.Error(r.String())
	}
	def.Expect = []rules.TestExpect{{At: at(t, "5m30s"), Event: "source.disconnected"}, {At: at(t, "7m"), Event: "source.reconnected"}}
	if r := run(t, def); !r.Passed() {
		t.Error(r.String())
	}
	def.Expect = nil
	if r := run(t, def); !r.Passed() {
		t.Error(r.String())
	}
}

func TestCommandThatFindsNoAlarmFailsTheTest(t *testing.T) {
	def := &rules.TestDef{Rule: "freezer-warm", Values: rules.Values{"": "-20x3"}, Step: []rules.TestStep{{At: at(t, "1m"), Device: "freezer-77", Ack: "ada"}}}
	if r := run(t, def); r.Passed() || !strings.Contains(r.String(), "at 1m: ack of freezer-warm/freezer-77 had no effect: there is no alarm freezer-warm/freezer-77") {
		t.Error(r.String())
	}
}

func TestEventsThatDependOnTicksFailTheTest(t *testing.T) {
	r := run(t, peak(t))
	if got := differ(r.Start, r.Events, r.Events); got != nil {
		t.Errorf("the same events differ: %v", got)
	}
	later := []rules.Event{r.Events[0], r.Events[1]}
	later[1].At = later[1].At.Add(time.Second)
	got := strings.Join(differ(r.Start, r.Events, later), "")
	if !strings.Contains(got, "with a tick each second:  35m     resolved") || !strings.Contains(got, "with ticks when due:      35m1s   resolved") {
		t.Errorf("got %s", got)
	}
	if got := strings.Join(differ(r.Start, r.Events, later[:1]), ""); !strings.Contains(got, "with ticks when due:      nothing") {
		t.Errorf("got %s", got)
	}
}
