package ruletest

import (
	"errors"
	"iter"
	"math"
	"strings"
	"testing"
	"time"

	"tocsin/rules"
)

var begun = time.Date(2026, 11, 6, 14, 0, 0, 0, time.UTC)

// recorded makes inputs of a series, one each minute.
func recorded(t testing.TB, device, text string) iter.Seq2[rules.Input, error] {
	t.Helper()
	list, err := parseValues(text)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(rules.Input, error) bool) {
		for i, r := range list {
			now := begun.Add(time.Duration(i) * time.Minute)
			if !r.missing && !yield(rules.Input{Now: now, Sample: r.sample(device, "temperature", map[string]string{"site": "lyon"}, now, 0)}, nil) {
				return
			}
		}
	}
}

// warm fires above -15 at once and clears at once.
func warm(t testing.TB) *rules.File {
	f := cold(t)
	r := f.Rule["freezer-warm"]
	r.Clear, r.For, r.ClearFor, r.Level = nil, nil, nil, nil
	return f
}

func backtest(t testing.TB, f *rules.File, inputs iter.Seq2[rules.Input, error]) RuleReport {
	t.Helper()
	report, err := Backtest(f, compile(t, f), inputs)
	if err != nil {
		t.Fatal(err)
	}
	return report.Rules[0]
}

func TestBacktestCountsEpisodesFlapsAndTimeInAlarm(t *testing.T) {
	r := backtest(t, warm(t), recorded(t, "freezer-03", "-20x5 -14x3 -16x2 -14x4 -20x30 -14x10 -20x5 -14x6"))
	want := Summary{Episodes: 4, Flaps: 2, InAlarm: (3 + 4 + 10 + 5) * time.Minute, Longest: 10 * time.Minute}
	if r.Summary != want {
		t.Errorf("got %+v, want %+v", r.Summary, want)
	}
	if len(r.List) != 4 || !r.List[3].Ended.IsZero() || r.List[0].Instance != "freezer-03" || r.List[0].Fired != begun.Add(5*time.Minute) || r.List[0].Ended != begun.Add(8*time.Minute) {
		t.Errorf("episodes are %+v", r.List)
	}
}

func TestAdviceIsWhatTheSameInputsWouldHaveMadeOfTheChange(t *testing.T) {
	noisy := strings.Repeat("-14x2 -15.4x2 ", 10) + "-20x60 -14x30 -20x5"
	f := warm(t)
	r := backtest(t, f, recorded(t, "freezer-03", "-20x5 "+noisy))
	if r.Episodes != 11 || r.Flaps != 9 {
		t.Fatalf("got %+v, want 11 episodes and 9 flaps", r.Summary)
	}
	if len(r.Advice) != 3 {
		t.Fatalf("advice is %+v, want for twice and clear once", r.Advice)
	}
	byKey := map[string]Advice{}
	for _, a := range r.Advice {
		byKey[a.Key+" "+a.Value] = a
	}
	for key, episodes := range map[string]int{"for 4m": 1, "for 6m": 1, "clear -15.41 °C": 2} {
		a, ok := byKey[key]
		if !ok || a.Episodes != episodes || a.Flaps != 0 {
			t.Errorf("%s: %+v (there is %t), want %d episodes and no flap", key, a, ok, episodes)
		}
	}
	// Taken, it does what was said.
	for _, a := range r.Advice {
		changed := warm(t)
		switch def := changed.Rule["freezer-warm"]; a.Key {
		case "for":
			def.For = d(t, a.Value)
		case "clear":
			def.Clear = clear(t, a.Value)
		}
		if again := backtest(t, changed, recorded(t, "freezer-03", "-20x5 "+noisy)); again.Summary != a.Summary {
			t.Errorf("%s = %s gives %+v, said was %+v", a.Key, a.Value, again.Summary, a.Summary)
		}
	}
	if f.Rule["freezer-warm"].For != nil || f.Rule["freezer-warm"].Clear != nil {
		t.Error("the file was changed")
	}
}

func TestQuietRuleIsLeftAlone(t *testing.T) {
	r := backtest(t, warm(t), recorded(t, "freezer-03", "-20x5 -14x3 -20x60 -14x3 -20"))
	if r.Episodes != 2 || r.Flaps != 0 || r.Advice != nil {
		t.Errorf("got %+v", r)
	}
}

// Whoever copies an advice need not know what the metric is declared in.
func TestDeadbandIsAdvisedWithItsUnit(t *testing.T) {
	f := warm(t)
	f.Rule["freezer-warm"].Above = q(t, "-15")
	report := backtest(t, f, recorded(t, "freezer-03", "-20x5 "+strings.Repeat("-14x2 -15.4x2 ", 10)+"-20"))
	for _, a := range report.Advice {
		if a.Key == "clear" {
			if a.Value != "-15.41 °C" {
				t.Errorf("clear %q is advised", a.Value)
			}
			return
		}
	}
	t.Errorf("no deadband is advised: %+v", report.Advice)
}

// A device that was away sends an hour of readings at once, in the middle of an
// episode: that had lasted for forty minutes, and is no short one.
func TestEpisodeThatJoinsThePresentCountsFromWhenItOccurred(t *testing.T) {
	for _, wait := range []string{"0s", "5m"} {
		f := warm(t)
		f.Rule["freezer-warm"].For = d(t, wait)
		for _, behind := range []time.Duration{0, 3 * time.Hour} { // of the device's clock
			sample := func(after time.Duration, v float64) rules.Sample {
				at := begun.Add(after)
				return rules.Sample{Device: "freezer-03", Metric: "temperature", Kind: rules.Number, Num: v, At: at.Add(-behind), Received: at, Clock: rules.ClockDevice}
			}
			late := rules.Input{Now: begun.Add(2 * time.Hour)}
			for m := 65; m <= 120; m++ {
				v := -20.0
				if m >= 80 {
					v = -14
				}
				late.Batch = append(late.Batch, sample(time.Duration(m)*time.Minute, v))
			}
			early, end := sample(time.Hour, -20), sample(122*time.Minute, -20)
			r := backtest(t, f, func(yield func(rules.Input, error) bool) {
				_ = yield(rules.Input{Now: begun.Add(time.Hour), Sample: &early}, nil) && yield(late, nil) && yield(rules.Input{Now: begun.Add(122 * time.Minute), Sample: &end}, nil)
			})
			if want := (Summary{Episodes: 1, InAlarm: 42 * time.Minute, Longest: 42 * time.Minute}); r.Summary != want {
				t.Errorf("for = %s, clock %s behind: %+v, want %+v", wait, behind, r.Summary, want)
			}
			if len(r.List) != 1 || r.List[0].Fired != begun.Add(2*time.Hour) {
				t.Errorf("for = %s, clock %s behind: %+v", wait, behind, r.List)
			}
		}
	}
}

func TestErrorOfTheInputsEndsABacktest(t *testing.T) {
	torn := errors.New("segment is torn")
	f := warm(t)
	_, err := Backtest(f, compile(t, f), func(yield func(rules.Input, error) bool) { yield(rules.Input{}, torn) })
	if !errors.Is(err, torn) {
		t.Errorf("got %v, want %v", err, torn)
	}
}

func TestDeadbandIsOnTheSideThatTheRuleClears(t *testing.T) {
	f := warm(t)
	r := f.Rule["freezer-warm"]
	r.Above, r.Below = nil, q(t, "5 °C")
	report := backtest(t, f, recorded(t, "fridge-1", "8x5 "+strings.Repeat("4x2 5.25 ", 12)+"8"))
	for _, a := range report.Advice {
		if a.Key == "clear" {
			v := clear(t, a.Value).Low.Value
			if v <= 5.25 || math.Abs(v-5.26) > 1e-9 || a.Episodes != 1 {
				t.Errorf("got %+v, want clear just above 5.25 and one episode", a)
			}
			return
		}
	}
	t.Errorf("no deadband is advised: %+v", report)
}

func TestDeadbandLeavesTheRareDeepMovesOut(t *testing.T) {
	f := warm(t)
	n := newNoise(f)
	for in := range recorded(t, "freezer-03", strings.Repeat("-14 -15.2 ", 19)+"-14 -19 -14") {
		n.take(in)
	}
	list := n.wider(f, "freezer-warm")
	if len(list) != 1 || list[0].value != "-15.21 °C" {
		t.Errorf("got %+v, want a clear just below the 19 of 20 shallow moves", list)
	}
}

func TestTimersDoNotEndWhileNobodyListened(t *testing.T) {
	f := warm(t)
	f.Rule["freezer-warm"].For = d(t, "10m")
	inputs := func(yield func(rules.Input, error) bool) {
		for _, minute := range []int{0, 2, 30, 31, 60} {
			now := begun.Add(time.Duration(minute) * time.Minute)
			in := rules.Input{Now: now, Sample: reading{num: -14}.sample("freezer-03", "temperature", nil, now, 0)}
			if minute == 30 {
				in = rules.Input{Now: now, Gap: &rules.Gap{From: begun.Add(3 * time.Minute), To: now}}
			}
			if !yield(in, nil) {
				return
			}
		}
	}
	r := backtest(t, f, inputs)
	if len(r.List) != 1 || r.List[0].Fired != begun.Add(37*time.Minute) {
		t.Errorf("got %+v, want one episode fired after 3m and 7m", r.List)
	}
}

// An episode that is told late, while another of the same alarm is under way, is
// counted beside it.
func TestEpisodeOfThePastLeavesTheOneUnderWayAlone(t *testing.T) {
	at := func(minute int, values ...float64) rules.Input {
		in := rules.Input{Now: begun.Add(time.Duration(minute) * time.Minute)}
		for i, v := range values { // a minute apart, the last one now
			stamp := in.Now.Add(time.Duration(i+1-len(values)) * time.Minute)
			in.Batch = append(in.Batch, rules.Sample{Device: "freezer-03", Metric: "temperature", Num: v, At: stamp, Received: in.Now, Clock: rules.ClockDevice})
		}
		return in
	}
	late := at(20, -20, -14, -14, -20) // what the device had kept of the time between
	for i := range late.Batch {
		late.Batch[i].Received = begun.Add(31 * time.Minute)
	}
	late.Now = begun.Add(31 * time.Minute)
	inputs := []rules.Input{at(0, -20), at(30, -14), late, at(40, -20)}
	f := warm(t)
	r := backtest(t, f, func(yield func(rules.Input, error) bool) {
		for _, in := range inputs {
			if !yield(in, nil) {
				return
			}
		}
	})
	if len(r.List) != 2 || r.List[0].Fired != begun.Add(18*time.Minute) || r.List[0].Ended != begun.Add(20*time.Minute) ||
		r.List[1].Fired != begun.Add(30*time.Minute) || r.List[1].Ended != begun.Add(40*time.Minute) {
		t.Errorf("episodes are %+v", r.List)
	}
}
