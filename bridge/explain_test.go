package bridge_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/rules"
)

// explained is what a restart may change nothing of: how an alarm stands and why, and
// what it and its rule last came to.
func (w *world) explained(device, rule string) string {
	w.t.Helper()
	list, err := w.Explain(w.t.Context(), device, rule)
	if err != nil || len(list) != 1 {
		w.t.Fatalf("%s of %s: %d explanations, %v", rule, device, len(list), err)
	}
	health, err := w.Health()
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(health, func(h rules.Health) bool { return h.Rule == rule })
	x, h := &list[0], &health[i]
	text, err := json.MarshalIndent(map[string]any{
		"state": x.State, "severity": x.Severity, "since": x.Since, "because": x.Because, "peak": x.Peak, "told": x.Told, "traces": x.Traces,
		"rule": h.State, "fired": h.Fired, "of the rule": h.Traces,
	}, "", " ")
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// What was judged again at a start was decided before: it is not what an alarm last
// came to, where the end of the history is lost and it comes to something else.
func TestExplanationIsTheSameAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		same := func(when string) {
			t.Helper()
			time.Sleep(2 * time.Second) // the history is on disk
			before := w.explained("freezer-1", "warm")
			w.crash()
			w.start()
			if after := w.explained("freezer-1", "warm"); after != before {
				t.Errorf("%s: after a crash\n%s\nand before it\n%s", when, after, before)
			}
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -20)
		time.Sleep(2 * time.Second)
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		fired := w.explained("freezer-1", "warm")
		w.crash() // the reading that fired is in the store, and not in the history
		w.start()
		if again := w.explained("freezer-1", "warm"); again != fired {
			t.Errorf("after a crash\n%s\nand before it\n%s", again, fired)
		}
		w.mustSend("freezer-1", "temperature", -11)
		same("it has become worse")
		time.Sleep(time.Minute)
		w.mustSend("freezer-1", "temperature", -18)
		same("it has ended")
		if x := w.explained("freezer-1", "warm"); !strings.Contains(x, "in alarm for 1m") {
			t.Errorf("it was in alarm for more than a minute: %s", x)
		}
		w.mustSend("freezer-2", "temperature", -5)
		same("another has fired")
		w.mustSend("freezer-1", "temperature", -9)
		same("it has fired again")
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.start()
		same("after a stop")
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// What other rules would have decided has not happened.
func TestChangedRulesHaveNoPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		w.start()
		w.mustSend("freezer-1", "temperature", -16)
		w.mustSend("freezer-1", "temperature", -20)
		time.Sleep(2 * time.Second)
		w.crash()
		w.rules.Rule["warm"].Condition.Above.Value, w.rules.Rule["warm"].Condition.Clear.Range.Low.Value = -18, -19
		w.start()
		if x := w.explained("freezer-1", "warm"); strings.Contains(x, `"outcome"`) || !strings.Contains(x, `"fired": 0`) {
			t.Errorf("nothing was told, and it says %s", x)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// The last of a rule is of whichever alarm; an explanation is of one.
func TestExplanationHasNoTraceOfAnotherAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t) // that nobody is told changes nothing
		w.remembers = true
		w.start()
		for _, device := range []string{"freezer-1", "freezer-2", "freezer-3"} {
			w.mustSend(device, "temperature", -20)
		}
		for _, v := range []float64{-12, -18} {
			for _, device := range []string{"freezer-1", "freezer-2"} {
				time.Sleep(time.Second)
				w.mustSend(device, "temperature", v)
			}
		}
		for device, want := range map[string]int{"freezer-1": 2, "freezer-2": 2, "freezer-3": 0} {
			list, err := w.Explain(t.Context(), device, "warm")
			if err != nil {
				t.Fatal(err)
			}
			traces := list[0].Traces
			if len(traces) != want || slices.ContainsFunc(traces, func(x rules.Trace) bool { return x.Key != "warm/"+device }) {
				t.Errorf("of %s: %+v", device, traces)
			}
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A reading that is worse changes no alarm, so it is in no state: it is taken in again,
// also where the rules have changed since.
func TestPeakOutlivesACrashAndAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		w.mustSend("freezer-1", "temperature", -3)
		w.mustSend("freezer-1", "temperature", -8)
		time.Sleep(2 * time.Second)
		w.crash()
		w.rules.Rule["warm"].Condition.Above.Value = -14
		w.start()
		if list, err := w.Explain(t.Context(), "freezer-1", "warm"); err != nil || list[0].Peak == nil || list[0].Peak.Value != -3.0 {
			t.Errorf("%+v, %v", list, err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
