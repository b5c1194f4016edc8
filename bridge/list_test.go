package bridge_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

func (w *world) plan() bridge.Plan {
	w.t.Helper()
	plan, err := w.Plan(w.t.Context(), bridge.Reloaded{Program: w.compile(), Endpoints: w.destinations()})
	if err != nil {
		w.t.Fatal(err)
	}
	return plan
}

func (w *world) list() []bridge.Alarm {
	w.t.Helper()
	list, _, err := w.Alarms(w.t.Context(), bridge.AlarmQuery{})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// Whoever asks what a change would do looks for the alarms that it moves, not for
// all those of a rule whose title has changed.
func TestPlanListsOnlyWhatWouldChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		w.mustSend("freezer-2", "temperature", -5)
		w.mustSend("cellar", "humidity", 90) // pending
		synctest.Wait()
		longer := rules.Duration(2 * time.Hour)
		rename := func(from, to string) {
			r := *w.rules.Rule[from]
			r.RenamedFrom = from
			w.rules.Rule[to] = &r
			delete(w.rules.Rule, from)
		}
		for _, change := range []func(){
			func() { w.rules.Rule["warm"].Title = "another" },
			func() { w.rules.Rule["slow"].For = &longer },
			func() { rename("warm", "hot"); rename("slow", "damp") },
		} {
			change()
			if plan := w.plan(); len(plan.Alarms) != 0 || plan.Kept != 3 || plan.More != 0 {
				t.Errorf("%+v", plan)
			}
		}
		w.rules.Rule["damp"].Above = &rules.Quantity{Value: 95}
		w.rules.Rule["hot"].Severity = rules.Major
		plan := w.plan()
		var moved []string
		for _, a := range plan.Alarms {
			moved = append(moved, fmt.Sprint(a.Key, " ", a.Before, " to ", a.After, " told ", len(a.Told)))
		}
		equal(t, "moved", moved, []string{
			"damp/cellar {pending major} to {inactive } told 0",
			"warm/freezer-1 {firing warning} to {firing major} told 1",
			"warm/freezer-2 {firing warning} to {firing major} told 1",
		})
		if plan.Kept != 0 {
			t.Errorf("%d alarms go on as they are", plan.Kept)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// The key that receivers know is the one that people have at hand, whatever the
// rule is called by now.
func TestRenamedAlarmAnswersToTheKeyItWasToldUnder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		rename := func(from, to string) {
			r := *w.rules.Rule[from]
			r.RenamedFrom = from
			w.rules.Rule[to] = &r
			delete(w.rules.Rule, from)
			w.reload()
		}
		rename("warm", "hot")
		rename("hot", "boiling")
		list := w.list()
		if len(list) != 1 || list[0].Key != "warm/freezer-1" || list[0].Rule != "boiling" {
			t.Fatalf("listed as %+v", list)
		}
		for _, c := range []rules.Command{
			{Verb: rules.Ack, Key: "warm/freezer-1"},
			{Verb: rules.Unack, Key: "boiling/freezer-1"},
			{Verb: rules.Ack, Key: "hot/freezer-1"},
		} {
			if err := w.Command(t.Context(), c); err != nil {
				t.Errorf("%s %s: %v", c.Verb, c.Key, err)
			}
		}
		if x, err := w.Explain(t.Context(), "freezer-1", ""); err != nil || x[0].Key != "warm/freezer-1" {
			t.Errorf("explained as %v, %v", x, err)
		}
		w.mustSend("freezer-1", "temperature", -20)
		w.mustSend("freezer-1", "temperature", -12)
		if list = w.list(); len(list) != 1 || list[0].Key != "boiling/freezer-1" {
			t.Errorf("the next episode is listed as %+v", list)
		}
		synctest.Wait()
		equal(t, "told", alarms(w.endpoints["ops"]), []string{
			"warm/freezer-1 alarm.fired", "warm/freezer-1 alarm.acked", "warm/freezer-1 alarm.unacked", "warm/freezer-1 alarm.acked",
			"warm/freezer-1 alarm.resolved", "boiling/freezer-1 alarm.fired",
		})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A pending alarm is listed with the time since when its condition holds, not with
// the start of the episode before.
func TestPendingAlarmIsListedSinceItsConditionHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("cellar", "humidity", 90)
		first := w.list()
		if len(first) != 1 || first[0].State != "pending" || first[0].StartedAt.IsZero() || first[0].Episode != "" {
			t.Fatalf("pending: %+v", first)
		}
		time.Sleep(10 * time.Minute)
		w.mustSend("cellar", "humidity", 91)
		firing := w.list()
		if firing[0].State != "firing" || !firing[0].StartedAt.Equal(first[0].StartedAt) {
			t.Fatalf("firing: %+v, pending since %v", firing, first[0].StartedAt)
		}
		w.mustSend("cellar", "humidity", 20)
		time.Sleep(10 * time.Minute)
		w.mustSend("cellar", "humidity", 92)
		again := w.list()
		if len(again) != 1 || again[0].State != "pending" || !again[0].StartedAt.After(firing[0].StartedAt) || again[0].Episode != "" {
			t.Errorf("pending again: %+v", again)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// Alarms are asked for by what people know of them, a page at a time, and one that
// has ended is found with its last episode.
func TestAlarmsAreFoundByWhatIsKnownOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		w.mustSend("freezer-2", "temperature", -5)
		w.mustSend("freezer-3", "temperature", -20)
		w.mustSend("cellar", "humidity", 90) // pending
		time.Sleep(time.Minute)
		w.mustSend("freezer-2", "temperature", -25) // resolved
		w.mustSend("freezer-4", "temperature", -5)
		synctest.Wait()
		f := func(q bridge.AlarmQuery, want ...string) {
			t.Helper()
			got := []string{}
			for q.From = ""; ; {
				page, next, err := w.Alarms(t.Context(), q)
				if err != nil || q.Limit > 0 && len(page) > q.Limit {
					t.Fatalf("%d alarms, %v", len(page), err)
				}
				for _, a := range page {
					got = append(got, a.Key+" "+a.State)
				}
				if q.From = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %q, want %q", q, got, want)
			}
		}
		for _, limit := range []int{0, 1, 2, 3, 100} {
			f(bridge.AlarmQuery{Limit: limit}, "slow/cellar pending", "warm/freezer-1 firing", "warm/freezer-4 firing")
		}
		f(bridge.AlarmQuery{State: "pending"}, "slow/cellar pending")
		f(bridge.AlarmQuery{Rule: "warm"}, "warm/freezer-1 firing", "warm/freezer-4 firing")
		f(bridge.AlarmQuery{Device: "freezer-4"}, "warm/freezer-4 firing")
		f(bridge.AlarmQuery{State: "inactive", Device: "freezer-2"}, "warm/freezer-2 inactive")
		f(bridge.AlarmQuery{State: "all", Rule: "warm", Limit: 1, Since: time.Now().Add(-time.Hour)},
			"warm/freezer-1 firing", "warm/freezer-2 inactive", "warm/freezer-4 firing")
		f(bridge.AlarmQuery{Since: time.Now().Add(-time.Second)}, "warm/freezer-4 firing")
		f(bridge.AlarmQuery{Severity: rules.Critical})

		ended, err := w.Alarm(t.Context(), "warm/freezer-2")
		if err != nil || ended.State != "inactive" || ended.EndedAt.Sub(ended.StartedAt).Truncate(time.Second) != time.Minute {
			t.Errorf("%+v, %v", ended, err)
		}
		if _, err := w.Alarm(t.Context(), "warm/nobody"); !errors.Is(err, bridge.ErrNoAlarm) {
			t.Errorf("an alarm that never was: %v", err)
		}
	})
}
