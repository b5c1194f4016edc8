package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// start is when every test's time begins.
var start = time.Date(2026, 11, 6, 14, 0, 0, 0, time.UTC)

// tb is what a test and a rapid check have in common.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func ptr[T any](v T) *T { return &v }

// qty, rng and dur write leaves as a file would.
func qty(t tb, s string) *Quantity {
	t.Helper()
	q := new(Quantity)
	if err := q.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return q
}

func rng(t tb, s ...string) *Range {
	t.Helper()
	r := &Range{Low: *qty(t, s[0])}
	if len(s) > 1 {
		r.High = qty(t, s[1])
	}
	return r
}

func clr(t tb, s ...string) *Clear {
	t.Helper()
	return &Clear{Range: *rng(t, s...), Limits: true}
}

func dur(t tb, s string) *Duration {
	t.Helper()
	d, err := ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return ptr(Duration(d))
}

// freezer is the rule most tests use: above -15 for 10m, clear -17 for 5m.
func freezer(t tb) *RuleDef {
	r := &RuleDef{Metric: "temperature", Source: "rules/cold.toml:68", Notify: []string{"ops"}}
	r.Above, r.Clear = qty(t, "-15 °C"), clr(t, "-17 °C")
	r.For, r.ClearFor = dur(t, "10m"), dur(t, "5m")
	return r
}

// ladder is freezer without waiting, and critical above -10, clear -12, for 2m.
func ladder(t tb) *RuleDef {
	r := freezer(t)
	r.For, r.ClearFor = dur(t, "0s"), dur(t, "0s")
	l := &LevelDef{Notify: []string{"ops", "oncall"}}
	l.Above, l.Clear, l.For = qty(t, "-10 °C"), clr(t, "-12 °C"), dur(t, "2m")
	r.Level = map[string]*LevelDef{"critical": l}
	return r
}

func coldFile(rule *RuleDef) *File {
	return &File{
		Metric: map[string]*MetricDef{"temperature": {Unit: "°C"}},
		Device: map[string]*DeviceDef{"freezer-07": {Type: "freezer", Labels: map[string]string{"site": "lyon", "room": "cold-1"}, Via: "gw-lyon"}},
		Rule:   map[string]*RuleDef{"freezer-warm": rule},
	}
}

func mustCompile(t tb, f *File) *Program {
	t.Helper()
	p, problems := Compile(f)
	if p == nil {
		t.Fatalf("file refused: %v", problems)
	}
	return p
}

// A run plays inputs to an engine and keeps what came out, as a store would:
// the last state of each alarm, through JSON, and every event's bytes.
type run struct {
	t      tb
	e      *Engine
	out    Output
	inputs []Input
	stored map[string][]byte
	events []Event
	bytes  []string
	log    []string // one line a transition
}

func newRun(t tb, p *Program, o Options) *run {
	return &run{t: t, e: NewEngine(p, o), stored: map[string][]byte{}}
}

func (r *run) step(in Input) []Transition {
	r.t.Helper()
	r.inputs = append(r.inputs, in)
	r.out.Reset()
	r.e.Step(in, &r.out)
	for _, tr := range r.out.Transitions {
		b, err := json.Marshal(tr.State)
		if err != nil {
			r.t.Fatal(err)
		}
		line := phaseOf(tr.State)
		for i := range tr.Events {
			ev := &tr.Events[i]
			body, err := ev.AppendJSON(nil)
			if err != nil {
				r.t.Fatal(err)
			}
			r.events, r.bytes = append(r.events, *ev), append(r.bytes, string(body))
			line = fmt.Sprintf("%s %s", strings.TrimPrefix(string(ev.Type), "alarm."), ev.Alarm.Severity)
		}
		at := in.Now
		if len(tr.Events) > 0 {
			at = tr.Events[0].At
		}
		line = fmt.Sprintf("%s %s", written(at.Sub(start)), line)
		if tr.State.Relapses > 0 {
			line += fmt.Sprintf(" relapses=%d", tr.State.Relapses)
		}
		r.stored[tr.State.Key] = b
		r.log = append(r.log, line)
	}
	return r.out.Transitions
}

// tick gives the engine every tick it asks for up to and including now.
func (r *run) tick(now time.Time) {
	for next := r.e.Next(); !next.IsZero() && !next.After(now); next = r.e.Next() {
		r.step(Input{Now: next})
	}
}

// sample plays a reading that arrives when it is taken.
func (r *run) sample(at time.Time, v any) []Transition {
	return r.step(Input{Now: at, Sample: reading(at, v)})
}

func reading(at time.Time, v any) *Sample {
	s := &Sample{Source: "plant", Device: "freezer-07", Metric: "temperature", At: at, Received: at, Clock: ClockDevice}
	switch v := v.(type) {
	case float64:
		s.Num = v
	case int:
		s.Num = float64(v)
	case bool:
		s.Kind = Bool
		if v {
			s.Num = 1
		}
	case string:
		s.Kind, s.Text = Text, v
	}
	return s
}

func phaseOf(s State) string {
	on, running, leaving := false, false, true
	for _, l := range s.Levels {
		on = on || l.On
		running = running || !l.Since.IsZero()
		leaving = leaving && (!l.On || !l.Since.IsZero())
	}
	switch {
	case on && leaving:
		return "recovering"
	case on:
		return "firing"
	case running:
		return "pending"
	}
	return "inactive"
}

// series reads "-20x5 -14 x": a value a minute; "_" is a minute without one.
func series(t tb, s string) []any {
	t.Helper()
	var list []any
	for word := range strings.FieldsSeq(s) {
		text, times, _ := strings.Cut(word, "x")
		n := 1
		if times != "" {
			var err error
			if n, err = strconv.Atoi(times); err != nil {
				t.Fatal(err)
			}
		}
		var v any = text
		if x, err := strconv.ParseFloat(text, 64); err == nil {
			v = x
		}
		for range n {
			list = append(list, v)
		}
	}
	return list
}

// play runs a series through a rule and returns the log of its transitions.
func play(t tb, f *File, values string) *run {
	t.Helper()
	r := newRun(t, mustCompile(t, f), Options{})
	now := start
	for _, v := range series(t, values) {
		r.tick(now)
		if v != "_" {
			r.sample(now, v)
		}
		now = now.Add(time.Minute)
	}
	r.tick(now.Add(-time.Minute))
	return r
}

func TestEveryRowOfTheMachine(t *testing.T) {
	f := func(row string, rule *RuleDef, values string, want ...string) {
		t.Helper()
		got := play(t, coldFile(rule), values).log
		if !slices.Equal(got, want) {
			t.Errorf("%s: %s\n got %q\nwant %q", row, values, got, want)
		}
	}
	instant := func() *RuleDef {
		r := freezer(t)
		r.For, r.ClearFor = nil, nil
		return r
	}
	f("nothing happens below the limit", freezer(t), "-20x5 -15x5 -16x5")
	f("1: fires at once", instant(), "-20 -14", "1m fired warning")
	f("1, 7: and clears at once", instant(), "-14 -16 -17", "0s fired warning", "2m resolved warning")
	f("2: pending", freezer(t), "-20 -14x3", "1m pending")
	f("3: a pending alarm is forgotten", freezer(t), "-14x3 -20", "0s pending", "3m inactive")
	f("3: the deadband counts as false", freezer(t), "-14x3 -16", "0s pending", "3m inactive")
	f("4: for elapses on samples or ticks", freezer(t), "-14x11", "0s pending", "10m fired warning")
	f("4: for elapses without a sample", freezer(t), "-14 _x11", "0s pending", "10m fired warning")
	f("4: one false sample starts for again", freezer(t), "-14x9 -15 -14x11", "0s pending", "9m inactive", "10m pending", "20m fired warning")
	f("5: a higher level", ladder(t), "-14 -9x3", "0s fired warning", "1m firing", "3m escalated critical")
	f("5: that does not last", ladder(t), "-14 -9 -11", "0s fired warning", "1m firing", "2m firing")
	f("6: and comes back", ladder(t), "-14 -9x3 -11 -12 -16", "0s fired warning", "1m firing", "3m escalated critical", "5m deescalated warning")
	f("7: all levels end together", ladder(t), "-9x3 -17", "0s fired warning", "2m escalated critical", "3m resolved critical")
	f("8, 10: recovers", freezer(t), "-14x11 -17x6", "0s pending", "10m fired warning", "11m recovering", "16m resolved warning")
	f("8, 20: nothing is known before it has recovered", freezer(t), "-14x11 -17 _x6", "0s pending", "10m fired warning", "11m recovering", "14m stale warning")
	f("9: relapses", freezer(t), "-14x11 -17x2 -16 -17x6", "0s pending", "10m fired warning", "11m recovering",
		"13m firing relapses=1", "14m recovering relapses=1", "19m resolved warning")
	f("the spec's own example", freezer(t), "-20x5 -14x4 -20x5 -14x11 -16x5 -18x6",
		"5m pending", "9m inactive", "14m pending", "24m fired warning", "30m recovering", "35m resolved warning")

	samples := instant()
	samples.Samples = ptr(3)
	f("samples in a row, each one remembered", samples, "-14x2 -20 -14x3", "0s pending", "1m pending", "2m inactive", "3m pending", "4m pending", "5m fired warning")
	samples = freezer(t)
	samples.Samples = ptr(3)
	f("samples and for: for comes last", samples, "-14x4 _x8", "0s pending", "1m pending", "2m pending", "10m fired warning")
	f("samples and for: samples come last", samples, "-14 _x14 -14x2", "0s pending", "15m pending", "16m fired warning")

	later := freezer(t)
	l := &LevelDef{}
	l.For = dur(t, "30m")
	later.Level = map[string]*LevelDef{"critical": l}
	f("a level that only waits longer", later, "-14x31", "0s pending", "10m fired warning", "30m escalated critical")
	f("an invalid sample changes nothing", freezer(t), "-14x5 nan -14 oops -14x4", "0s pending", "10m fired warning")
}

func TestLowerLevelsComeOnWithAHigherOne(t *testing.T) {
	rule := ladder(t)
	rule.For = dur(t, "10m")
	r := play(t, coldFile(rule), "-14x2 -9x3 -13 -18")
	want := []string{"0s pending", "2m pending", "4m fired critical", "5m deescalated warning", "6m resolved warning"}
	if !slices.Equal(r.log, want) {
		t.Fatalf("got %q, want %q", r.log, want)
	}
	if at := r.events[0].Alarm.StartedAt; !at.Equal(start) {
		t.Errorf("the alarm started at %v, want when the first condition began to hold", at)
	}
}

func TestAnEpisodeThatBeginsWhileAnotherEndsStartsAfresh(t *testing.T) {
	rule := ladder(t)
	rule.For = dur(t, "3m")
	rule.Level["critical"].For, rule.Level["critical"].ClearFor = dur(t, "0s"), dur(t, "2m")
	r := play(t, coldFile(rule), "-9 -20 -13x5")
	want := []string{"0s fired critical", "1m recovering", "2m recovering", "3m resolved critical", "5m fired warning"}
	if !slices.Equal(r.log, want) {
		t.Fatalf("got %q, want %q", r.log, want)
	}
	if ev := r.events[2]; !slices.Equal(ev.Endpoints, []string{"ops"}) || ev.Because != "above -15 °C since 14:02:00 (3m 0s, 3 of 3 samples); peak -13 °C at 14:02:00" || len(ev.Evidence) != 3 {
		t.Errorf("the second episode remembers the first: %v %s", ev.Endpoints, r.bytes[2])
	}
}

func TestWhoWasToldIsToldTheEndAndNobodyElse(t *testing.T) {
	r := play(t, coldFile(ladder(t)), "-14 -9x3 -13 -18 -14")
	var got []string
	for _, ev := range r.events {
		got = append(got, fmt.Sprint(ev.Type, ev.Endpoints, ev.Alarm.Seq))
	}
	want := []string{"alarm.fired[ops] 1", "alarm.escalated[oncall ops] 2", "alarm.deescalated[oncall ops] 3", "alarm.resolved[oncall ops] 4", "alarm.fired[ops] 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r.events[0].Alarm.Episode == r.events[4].Alarm.Episode {
		t.Error("two episodes share an id")
	}
}

func TestEpisodesOfOneInstantDoNotShareAnID(t *testing.T) {
	rule := freezer(t)
	rule.For, rule.ClearFor = nil, nil
	r := newRun(t, mustCompile(t, coldFile(rule)), Options{})
	for _, v := range []float64{-14, -20, -13, -21} {
		r.sample(start, v) // a device whose clock counts whole seconds
	}
	ids := map[string]bool{}
	for _, ev := range r.events {
		ids[ev.ID] = true
	}
	if len(r.events) != 4 || len(ids) != 4 || !r.events[2].Alarm.StartedAt.Equal(start.Add(1)) {
		t.Errorf("events %q", r.bytes)
	}
}

func TestTimersDoNotDependOnTicks(t *testing.T) {
	// The second sample comes long after for has elapsed, and no tick did.
	r := newRun(t, mustCompile(t, coldFile(freezer(t))), Options{})
	r.sample(start, -14)
	r.sample(start.Add(time.Hour), -20)
	r.sample(start.Add(2*time.Hour), -20)
	want := []string{"0s pending", "10m fired warning", "1h recovering", "1h5m resolved warning"}
	if !slices.Equal(r.log, want) {
		t.Errorf("got %q, want %q", r.log, want)
	}
}

func TestABatchThatWasKeptBackIsNotWaitedForAgain(t *testing.T) {
	r := newRun(t, mustCompile(t, coldFile(freezer(t))), Options{})
	for i := range 5 { // arrives now, speaks of the last four minutes
		s := reading(start.Add(time.Duration(i-4)*time.Minute), -14.0)
		r.step(Input{Now: start, Sample: s})
	}
	if next := r.e.Next(); !next.Equal(start.Add(6 * time.Minute)) {
		t.Errorf("fires at %v, want six minutes on", next)
	}
	r = newRun(t, mustCompile(t, coldFile(freezer(t))), Options{})
	for i := range 21 {
		s := reading(start.Add(time.Duration(i-20)*time.Minute), -14.0)
		r.step(Input{Now: start, Sample: s})
	}
	if len(r.events) != 1 || !r.events[0].Alarm.StartedAt.Equal(start.Add(-20*time.Minute)) || !r.events[0].At.Equal(start) {
		t.Errorf("events %q", r.bytes)
	}
}

func TestADeviceWithASkewedClockWaitsAsLong(t *testing.T) {
	r := newRun(t, mustCompile(t, coldFile(freezer(t))), Options{})
	for i := range 12 {
		now := start.Add(time.Duration(i) * time.Minute)
		r.tick(now)
		r.step(Input{Now: now, Sample: reading(now.Add(-3*time.Hour), -14.0)})
	}
	if want := []string{"0s pending", "10m fired warning"}; !slices.Equal(r.log, want) {
		t.Errorf("got %q, want %q", r.log, want)
	}
}

func TestSamplesThatAreNotJudged(t *testing.T) {
	f := func(reason string, change func(*Sample)) {
		t.Helper()
		file := coldFile(freezer(t))
		m := file.Metric["temperature"]
		m.Range, m.Invalid, m.InvalidJump = rng(t, "-55", "125"), []float64{85}, 20
		rule := file.Rule["freezer-warm"]
		rule.For = nil
		r := newRun(t, mustCompile(t, file), Options{})
		r.sample(start, -20)
		s := reading(start.Add(time.Minute), -14.0)
		change(s)
		r.step(Input{Now: start.Add(time.Minute), Sample: s})
		want := []string{reason}
		if reason == "" {
			want = nil
		}
		if !slices.Equal(r.out.Problems, want) || len(r.events) != len(want)^1 {
			t.Errorf("%s: problems %q, events %q", reason, r.out.Problems, r.bytes)
		}
	}
	f("", func(s *Sample) {})
	f("", func(s *Sample) { s.Kind, s.Text = Text, " -14.5 " })
	f("", func(s *Sample) { s.Unit, s.Num = "°F", 7 })
	f("", func(s *Sample) { s.Unit = "degC" })
	f("nan", func(s *Sample) { s.Num = nan() })
	f("nan", func(s *Sample) { s.Num = 1 / (s.Num - s.Num) })
	f("null", func(s *Sample) { s.Invalid = "null" })
	f("range", func(s *Sample) { s.Num = 125.1 })
	f("code", func(s *Sample) { s.Num = 85 })
	for _, text := range []string{"warm", "1_0", "1_000", "0x10", "0x1p4", "12,5", "inf", "-Infinity", "NaN", "1 000", "1e", "--5", ""} {
		f("type", func(s *Sample) { s.Kind, s.Text = Text, text })
	}
	f("", func(s *Sample) { s.Kind, s.Text = Text, "1e+1" })
	f("type", func(s *Sample) { s.Kind = Bool })
	f("unit", func(s *Sample) { s.Unit = "V" })
	f("unit", func(s *Sample) { s.Unit = "furlong" })
	f("late", func(s *Sample) { s.At = start.Add(-time.Second) })
	f("time", func(s *Sample) { s.At = time.Time{} })
	f("time", func(s *Sample) { s.At = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) })
}

func nan() float64 {
	zero := 0.0
	return zero / zero
}

func TestAnErrorCodeNearTheLastValueIsAValue(t *testing.T) {
	file := coldFile(freezer(t))
	file.Metric["temperature"].Invalid, file.Metric["temperature"].InvalidJump = []float64{85}, 20
	file.Rule["freezer-warm"].For = nil
	r := newRun(t, mustCompile(t, file), Options{})
	r.sample(start, 85) // power-on: nothing to compare with
	r.sample(start.Add(time.Minute), 70)
	r.sample(start.Add(2*time.Minute), 85)
	if len(r.out.Problems) != 0 || r.e.devices["freezer-07"].channels[0].last.value.num != 85 {
		t.Errorf("problems %q", r.out.Problems)
	}
	if len(r.events) != 1 || !r.events[0].At.Equal(start.Add(time.Minute)) {
		t.Errorf("events %q", r.bytes)
	}
}

func TestDuplicatesChangeNothing(t *testing.T) {
	rule := freezer(t)
	rule.Samples = ptr(3)
	r := newRun(t, mustCompile(t, coldFile(rule)), Options{})
	for range 5 {
		r.sample(start, -14)
	}
	if want := []string{"0s pending"}; !slices.Equal(r.log, want) {
		t.Errorf("got %q, want %q", r.log, want)
	}
}

func TestARetainedMessageStartsNoAlarm(t *testing.T) {
	rule := freezer(t)
	rule.For, rule.ClearFor = nil, nil
	r := newRun(t, mustCompile(t, coldFile(rule)), Options{})
	retained := func(at time.Time, v float64, clock Clock) {
		s := reading(at, v)
		s.Flags, s.Clock = Retained, clock
		r.step(Input{Now: at, Sample: s})
	}
	retained(start, -14, ClockArrival)
	retained(start, -14, ClockDevice)
	if len(r.log) != 0 {
		t.Fatalf("a retained message made %q", r.log)
	}
	r.sample(start, -14) // the same reading live
	retained(start.Add(time.Minute), -20, ClockArrival)
	if want := []string{"0s fired warning"}; !slices.Equal(r.log, want) {
		t.Fatalf("a retained message of unknown age ended an alarm: %q", r.log)
	}
	retained(start.Add(2*time.Minute), -20, ClockDevice)
	if want := []string{"0s fired warning", "2m resolved warning"}; !slices.Equal(r.log, want) {
		t.Fatalf("a retained message newer than the last reading was not judged: %q", r.log)
	}
}

func TestValueConditions(t *testing.T) {
	scalar := func(s string) *Scalar { return ptr(Scalar(s)) }
	f := func(m *MetricDef, c Condition, values string, want ...string) {
		t.Helper()
		rule := &RuleDef{Metric: "temperature", Condition: c}
		file := &File{Rule: map[string]*RuleDef{"r": rule}}
		if m != nil {
			file.Metric = map[string]*MetricDef{"temperature": m}
		}
		r := play(t, file, values)
		var got []string
		for _, ev := range r.events {
			got = append(got, fmt.Sprintf("%s %s %v", written(ev.At.Sub(start)), strings.TrimPrefix(string(ev.Type), "alarm."), ev.Reading.Value))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", values, got, want)
		}
	}
	f(nil, Condition{Is: scalar("open")}, "closed open ajar", "1m fired open", "2m resolved ajar")
	f(nil, Condition{Is: scalar("open"), ClearIs: scalar("closed")}, "open ajar closed", "0s fired open", "2m resolved closed")
	f(nil, Condition{Is: scalar("true")}, "OFF ON banana 0", "1m fired true", "3m resolved false")
	f(&MetricDef{TrueIs: []string{"wet"}, FalseIs: []string{"dry"}}, Condition{Is: scalar("true")}, "dry ON wet dry", "2m fired true", "3m resolved false")
	f(&MetricDef{TrueIs: []string{"no"}}, Condition{Is: scalar("true")}, "off no off", "1m fired true", "2m resolved false")
	f(&MetricDef{FalseIs: []string{"open"}}, Condition{Is: scalar("true")}, "open on open", "1m fired true", "2m resolved false")
	f(nil, Condition{IsNot: scalar("ok")}, "ok E4 E5 ok", "1m fired E4", "3m resolved ok")
	f(nil, Condition{In: []Scalar{"1", "2"}}, "0 2 1 3", "1m fired 2", "3m resolved 3")
	f(nil, Condition{Matches: ptr("^E[0-9]")}, "ok E4 ok", "1m fired E4", "2m resolved ok")
	f(&MetricDef{Type: "text"}, Condition{Is: scalar("7")}, "6 7 8", "1m fired 7", "2m resolved 8")
	f(nil, Condition{Outside: rng(t, "2", "8"), Clear: clr(t, "3", "7")}, "5 8 8.1 7.5 7", "2m fired 8.1", "4m resolved 7")
	f(nil, Condition{Inside: rng(t, "2", "8"), Clear: clr(t, "1", "9")}, "0 5 8.5 9", "1m fired 5", "3m resolved 9")
	f(nil, Condition{AtLeast: qty(t, "5")}, "4 5 4.9", "1m fired 5", "2m resolved 4.9")
	f(nil, Condition{AtMost: qty(t, "5"), Clear: clr(t, "6")}, "6 5 5.5 6", "1m fired 5", "3m resolved 6")
	f(nil, Condition{Below: qty(t, "300 mV")}, "300 299 300", "1m fired 299", "2m resolved 300")
}

func TestBooleansAndNumbersAreReadAsWhatTheMetricIs(t *testing.T) {
	f := func(kind string, v any, want any) {
		t.Helper()
		rule := &RuleDef{Metric: "temperature", Condition: Condition{IsNot: ptr(Scalar("0"))}}
		r := newRun(t, mustCompile(t, &File{Metric: map[string]*MetricDef{"temperature": {Type: kind}}, Rule: map[string]*RuleDef{"r": rule}}), Options{})
		r.sample(start, v)
		var got any
		if len(r.events) > 0 {
			got = r.events[0].Reading.Value
		}
		if got != want {
			t.Errorf("%s %v is read as %v (problems %q), want %v", kind, v, got, r.out.Problems, want)
		}
	}
	f("bool", true, true)
	f("bool", false, nil)
	f("bool", 1, true)
	f("bool", 2, nil)
	f("text", true, "true")
	f("text", 2.5, "2.5")
	f("text", strings.Repeat("x", maxText+1), nil)
	f("number", " 7 ", 7.0)
	f("number", true, nil)
}

func TestRulesForSingleDevices(t *testing.T) {
	file := coldFile(freezer(t))
	for _, id := range []string{"a", "b"} {
		rule := freezer(t)
		rule.Devices = Scope{"device-" + id, "device-" + id, "both"}
		file.Rule[id] = rule
	}
	rule := freezer(t)
	rule.Except = Scope{"device-*"}
	file.Rule["freezer-warm"] = rule
	r := newRun(t, mustCompile(t, file), Options{})
	for _, id := range []string{"device-a", "device-c", "both"} {
		s := reading(start, -14)
		s.Device = id
		r.step(Input{Now: start, Sample: s})
	}
	r.step(Input{Now: minutes(20)}) // all at one time: in order of rule and device
	var got []string
	for _, ev := range r.events {
		got = append(got, ev.Alarm.Key)
	}
	if want := []string{"a/both", "a/device-a", "b/both", "freezer-warm/both"}; !slices.Equal(got, want) {
		t.Errorf("told of %q, want %q", got, want)
	}
}

func TestUnknownNeitherFiresNorClears(t *testing.T) {
	p := mustCompile(t, coldFile(freezer(t)))
	g := &p.rules[0].rungs[0]
	for _, before := range []timer{{}, {on: true}, {running: true, since: 1, deadline: 2, samples: 1}, {on: true, running: true, since: 1, deadline: 2, samples: 1}} {
		after := before
		if after.judge(g, unknown, &judgement{now: 1 << 60, at: 1 << 60}) || after != before {
			t.Errorf("unknown made %+v of %+v", after, before)
		}
	}
}

func TestLimitsOnInstancesAndDevices(t *testing.T) {
	rule := freezer(t)
	rule.For = nil
	r := newRun(t, mustCompile(t, coldFile(rule)), Options{MaxInstances: 2, MaxDevices: 3})
	var problems []string
	for i := range 5 {
		s := reading(start, -14)
		s.Device = fmt.Sprint("d", i)
		r.step(Input{Now: start, Sample: s})
		problems = append(problems, r.out.Problems...)
	}
	if want := []string{"instances", "devices", "devices"}; !slices.Equal(problems, want) {
		t.Errorf("problems %q, want %q", problems, want)
	}
	if len(r.events) != 2 {
		t.Errorf("%d alarms fired, want the two that there is room for", len(r.events))
	}
	for s := range r.e.Alarms() {
		if want := (AlarmCount{"freezer-warm", Warning, "firing", 2}); s != want {
			t.Errorf("counted %+v, want %+v", s, want)
		}
	}
}

func TestDependsOnWhatIsNotYetWritten(t *testing.T) {
	rule := freezer(t)
	rule.For = nil
	r := newRun(t, mustCompile(t, coldFile(rule)), Options{})
	r.sample(start, -14)
	if r.out.Depends != 0 {
		t.Errorf("a fresh alarm depends on %d", r.out.Depends)
	}
	r.out.Stamp(7)
	r.sample(start, -14) // the same message again, before the first is on disk
	if r.out.Depends != 7 || len(r.out.Transitions) != 0 {
		t.Errorf("depends on %d, want 7", r.out.Depends)
	}
	s := reading(start, -14)
	s.Device = "other"
	r.step(Input{Now: start, Sample: s})
	if r.out.Depends != 0 {
		t.Errorf("another device's alarm depends on %d", r.out.Depends)
	}
}

func TestTransitionsShareNothingWithTheEngine(t *testing.T) {
	r := newRun(t, mustCompile(t, coldFile(freezer(t))), Options{})
	r.sample(start, -14)
	kept := r.out.Transitions[0].State
	before := string(r.stored[kept.Key])
	for i := range 40 {
		r.sample(start.Add(time.Duration(i)*time.Minute), float64(-14+i%3))
	}
	after, err := json.Marshal(kept)
	if err != nil || string(after) != before {
		t.Errorf("a snapshot changed from\n%s to\n%s (%v)", before, after, err)
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	rule := freezer(t)
	r := newRun(t, mustCompile(t, coldFile(rule)), Options{})
	for i := range 1000 {
		v := -14.0
		if i == 333 {
			v = -3
		}
		r.sample(start.Add(time.Duration(i)*time.Minute), v)
	}
	for i := range 6 {
		r.sample(start.Add(time.Duration(1000+i)*time.Minute), -20)
	}
	ev := r.events[len(r.events)-1]
	n := len(ev.Evidence)
	if n > maxEvidence || !ev.Evidence[0].At.Equal(start) || ev.Evidence[n-1].Value != -20.0 {
		t.Errorf("evidence %v", ev.Evidence)
	}
	if !slices.ContainsFunc(ev.Evidence, func(p Point) bool { return p.Value == -3.0 }) || ev.Peak.Value != -3.0 {
		t.Errorf("the peak is missing: %v %v", ev.Peak, ev.Evidence)
	}
}

// Law of the package comment, for the race detector.
func TestEnginesShareAProgramAndNothingElse(t *testing.T) {
	file := coldFile(ladder(t))
	file.Rule["state"] = &RuleDef{Metric: "mode", Condition: Condition{Matches: ptr("^E")}}
	p := mustCompile(t, file)
	logs := make([][]string, 4)
	var all sync.WaitGroup
	for i := range logs {
		all.Go(func() {
			r := newRun(t, p, Options{})
			for n, v := range []float64{-20, -14, -9, -9, -9, -13, -20} {
				r.sample(minutes(float64(n)), v)
				mode := reading(minutes(float64(n)), fmt.Sprint("E", n))
				mode.Metric = "mode"
				r.step(Input{Now: mode.At, Sample: mode})
			}
			logs[i] = r.bytes
		})
	}
	all.Wait()
	for _, log := range logs {
		if len(log) != 5 || !slices.Equal(log, logs[0]) {
			t.Errorf("one engine told %q, another %q", logs[0], log)
		}
	}
}
