package bridge_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/rules"
)

// mean is a rule about the mean of a metric over a time.
func mean(metric string, over time.Duration, limit float64) *rules.RuleDef {
	d := rules.Duration(over)
	return &rules.RuleDef{Metric: metric, Severity: rules.Major, Condition: rules.Condition{Agg: "avg", Over: &d, Above: &rules.Quantity{Value: limit}}}
}

// fewer is a rule about how many readings came within a time.
func fewer(metric string, over time.Duration, count float64) *rules.RuleDef {
	r := mean(metric, over, 0)
	r.Agg, r.Above, r.Below = "count", nil, &rules.Quantity{Value: count}
	return r
}

// hour sends a reading a minute: warm for half an hour, cold for ten minutes, and
// the last one of another kind.
func (w *world) hour() {
	for i := range 40 {
		value := -16.0
		if i > 30 {
			value = -30
		}
		w.mustSend("freezer-1", "temperature", value)
		time.Sleep(time.Minute)
	}
}

// A window of a new rule, or a longer one than there was, holds what came before
// there was a rule to ask for it: nothing fires, or fails to, for want of what is
// in the history.
func TestNewWindowsAreFilledFromTheHistory(t *testing.T) {
	change := func(w *world) {
		w.rules.Rule["mean"] = mean("temperature", 30*time.Minute, -23) // it is about -20.7
		w.rules.Rule["brief"] = mean("temperature", 5*time.Minute, -23) // it is -30
		w.rules.Rule["few"] = fewer("temperature", 30*time.Minute, 20)  // there are 30
		w.rules.Rule["many"] = fewer("temperature", 30*time.Minute, 40)
	}
	want := []string{"many/freezer-1 alarm.fired", "mean/freezer-1 alarm.fired"}
	for _, restart := range []bool{false, true} {
		for _, had := range []bool{false, true} {
			t.Run(fmt.Sprintf("restart %v, with a shorter window before %v", restart, had), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, "ops")
					w.remembers = true
					if had {
						w.rules.Rule["before"] = mean("temperature", 10*time.Minute, 0)
					}
					w.start()
					w.hour()
					change(w)
					if !restart {
						plan, err := w.Plan(t.Context(), w.reloaded())
						if err != nil || len(plan.Alarms) != len(want) {
							t.Errorf("planned %+v, %v", plan.Alarms, err)
						}
						w.reload()
					} else {
						if err := w.halt(); err != nil {
							t.Fatal(err)
						}
						w.start()
						w.mustSend("freezer-1", "temperature", -30)
					}
					synctest.Wait()
					equal(t, "told", slices.Sorted(slices.Values(alarms(w.endpoints["ops"]))), want)
					if err := w.halt(); err != nil {
						t.Fatal(err)
					}
				})
			})
		}
	}
}

// Without a history a new window knows the newest reading, and that it does not
// know of others: few is not what it counts.
func TestNewWindowWithoutAHistoryIsUnknownUntilItHasGrown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.hour()
		w.rules.Rule["few"] = fewer("temperature", 30*time.Minute, 20)
		w.reload()
		for range 20 {
			w.mustSend("freezer-1", "temperature", -30)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		equal(t, "while it grows", alarms(w.endpoints["ops"]), nil)
		for range 10 {
			w.mustSend("freezer-1", "temperature", -30)
			time.Sleep(time.Minute)
		}
		time.Sleep(12 * time.Minute)
		equal(t, "when it is whole", alarms(w.endpoints["ops"]), []string{"few/freezer-1 alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
