package bridge_test

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// reload gives the running bridge what the world describes now.
func (w *world) reload() bridge.Diff {
	w.t.Helper()
	diff, err := w.Reload(w.t.Context(), w.reloaded())
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	return diff
}

func (w *world) reloaded() bridge.Reloaded {
	return bridge.Reloaded{Program: w.compile(), Endpoints: w.destinations()}
}

func TestReloadOfTheSameChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		if diff := w.reload(); !diff.Empty() {
			t.Errorf("the same configuration is a change: %+v", diff)
		}
		w.mustSend("freezer-1", "temperature", -18)
		synctest.Wait()
		equal(t, "types", w.endpoints["ops"].types(), []string{"alarm.fired", "alarm.resolved"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReloadTellsNewEndpointsAndKeepsWhatFormerOnesAreOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops, crm := w.endpoints["ops"], new(receiver)
		ops.answer = func(int, webhook.Message) webhook.Result { return failing(500) }
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()

		delete(w.endpoints, "ops")
		w.endpoints["crm"] = crm
		diff := w.reload()
		equal(t, "added", diff.Endpoints.Added, []string{"crm"})
		equal(t, "removed", diff.Endpoints.Removed, []string{"ops"})
		tried := ops.tried()
		w.mustSend("freezer-2", "temperature", -12)
		time.Sleep(time.Hour)
		equal(t, "crm", alarms(crm), []string{"warm/freezer-2 alarm.fired"})
		if n := ops.tried(); n != tried {
			t.Errorf("%d attempts at an endpoint that has left", n-tried)
		}

		ops.answer = nil
		w.endpoints["ops"] = ops
		w.reload()
		equal(t, "ops after its return", alarms(ops), []string{"warm/freezer-1 alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReloadOfAnEndpointKeepsItsQueueAndItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		old := w.endpoints["ops"]
		old.answer = func(int, webhook.Message) webhook.Result { return webhook.Result{Status: hang} }
		w.start()
		for _, value := range []float64{-12, -18, -12} {
			w.mustSend("freezer-1", "temperature", value)
		}
		synctest.Wait()
		now := new(receiver)
		w.endpoints["ops"] = now
		w.revision++
		equal(t, "changed", w.reload().Endpoints.Changed, []string{"ops"})
		// The attempt under way is the old endpoint's: only its end frees the alarm.
		equal(t, "overtaken", now.types(), nil)
		old.let()
		time.Sleep(time.Minute)
		equal(t, "old", old.types(), []string{"alarm.fired"})
		equal(t, "now", now.types(), []string{"alarm.resolved", "alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReloadWithAnotherURLEnablesAnEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.targets["ops"] = "old"
		w.endpoints["ops"].answer = func(int, webhook.Message) webhook.Result {
			return webhook.Result{Verdict: webhook.Gone, Status: 410, Err: errBoom}
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		now := new(receiver)
		w.endpoints["ops"] = now
		w.revision++
		w.reload()
		time.Sleep(time.Minute)
		equal(t, "with the same url", now.types(), nil)
		w.targets["ops"] = "new"
		w.revision++
		w.reload()
		equal(t, "with another", now.types(), []string{"alarm.fired"})
		for range 2 { // and it stays enabled
			if err := w.halt(); err != nil {
				t.Fatal(err)
			}
			w.start()
		}
		w.mustSend("freezer-1", "temperature", -18)
		synctest.Wait()
		equal(t, "after restarts", now.types(), []string{"alarm.fired", "alarm.resolved"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReloadChangesWhomAnEventGoesTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "crm")
		w.start()
		w.match = map[string]bridge.Match{"crm": {Severity: []rules.Severity{rules.Critical}}}
		w.revision++
		w.reload()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		equal(t, "ops", w.endpoints["ops"].types(), []string{"alarm.fired"})
		equal(t, "crm", w.endpoints["crm"].types(), nil)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReloadWhileTheStoreIsFullTakesPlaceWhenThereIsSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		full := w.fillable()
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		full.Store(true)
		_ = w.send("freezer-2", "temperature", -12)
		delete(w.rules.Rule, "warm")
		if diff, err := w.Reload(t.Context(), bridge.Reloaded{Program: w.compile(), Endpoints: w.destinations()}); err != nil || len(diff.Rules.Removed) != 1 {
			t.Fatalf("%+v, %v", diff, err)
		}
		full.Store(false)
		time.Sleep(3 * time.Second)
		equal(t, "told", alarms(w.endpoints["ops"]), []string{"warm/freezer-1 alarm.fired", "warm/freezer-1 alarm.cancelled"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEventsOfNoAlarmGoOnlyToWhomAsksForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "all", "alarms", "config", "majors")
		w.match = map[string]bridge.Match{
			"alarms": {Types: []string{"alarm.*"}},
			"config": {Types: []string{"alarm.*", "config.*"}},
			"majors": {Types: []string{"config.rejected"}, Severity: []rules.Severity{rules.Major}},
		}
		w.start()
		ev := rules.Event{Type: rules.ConfigRejected, At: time.Now(), Title: "rejected", Because: "rules.toml:1"}
		for range 2 { // told twice it is the same event
			if err := w.Announce(t.Context(), ev); err != nil {
				t.Fatal(err)
			}
		}
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		equal(t, "all", w.endpoints["all"].types(), []string{"alarm.fired"})
		equal(t, "alarms", w.endpoints["alarms"].types(), []string{"alarm.fired"})
		equal(t, "config", w.endpoints["config"].types(), []string{"config.rejected", "alarm.fired"})
		equal(t, "majors", w.endpoints["majors"].types(), []string{"config.rejected"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever comes while rules change is judged once, by the old or the new.
func TestReloadsUnderLoadLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		w.start()
		var sending sync.WaitGroup
		for i := range 10 {
			sending.Go(func() {
				for n := range 20 {
					time.Sleep(time.Duration(i+1) * time.Millisecond)
					if err := w.send(fmt.Sprintf("freezer-%d", i), "temperature", []float64{-12, -18}[n%2]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for n := range 50 {
			time.Sleep(3 * time.Millisecond)
			w.revision++
			w.rules.Rule["warm"].Title = fmt.Sprint("title ", n)
			if _, err := w.Reload(t.Context(), bridge.Reloaded{Program: w.compile(), Endpoints: w.destinations()}); err != nil {
				t.Error(err)
			}
			if _, err := w.Plan(w.t.Context(), bridge.Reloaded{Program: w.compile(), Endpoints: w.destinations()}); err != nil {
				t.Error(err)
			}
		}
		sending.Wait()
		time.Sleep(time.Minute)
		var want []string
		for range 10 {
			want = append(want, "alarm.fired", "alarm.resolved")
		}
		complete(t, w.endpoints["ops"], 10, want)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A plan is worth something if it comes true.
func TestPlanForetellsWhatReloadDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		for i, value := range []float64{-14, -12, -5, -20} {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", value)
		}
		w.mustSend("cellar", "humidity", 90)
		synctest.Wait()
		told := len(w.endpoints["ops"].list())

		w.rules.Rule["warm"].Above = &rules.Quantity{Value: -10}
		w.rules.Rule["warm"].Clear = &rules.Clear{Range: rules.Range{Low: rules.Quantity{Value: -13}}, Limits: true}
		delete(w.rules.Rule, "slow")
		w.endpoints["crm"] = new(receiver)
		plan, err := w.Plan(w.t.Context(), bridge.Reloaded{Program: w.compile(), Endpoints: w.destinations()})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(w.endpoints["ops"].list()); n != told {
			t.Fatalf("planning told %d events", n-told)
		}
		equal(t, "changed", plan.Changes.Rules.Changed, []string{"warm"})
		equal(t, "removed", plan.Changes.Rules.Removed, []string{"slow"})
		equal(t, "added", plan.Changes.Endpoints.Added, []string{"crm"})
		var foreseen, standing []string
		for _, a := range plan.Alarms {
			standing = append(standing, a.Key+" "+a.After.State)
			for _, ev := range a.Told {
				foreseen = append(foreseen, a.Key+" "+string(ev.Type))
			}
		}
		equal(t, "foreseen", foreseen, []string{"warm/freezer-0 alarm.resolved"})

		w.reload()
		equal(t, "told", alarms(w.endpoints["ops"])[told:], foreseen)
		now := map[string]string{}
		list, _, err := w.Alarms(t.Context(), bridge.AlarmQuery{})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			now[a.Key] = a.State
		}
		for _, s := range standing {
			key, state, _ := strings.Cut(s, " ")
			if got := cmp.Or(now[key], "inactive"); got != state {
				t.Errorf("%s is %s, and was to be %s", key, got, state)
			}
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReloadCancelsTheAlarmsOfARuleThatGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		delete(w.rules.Rule, "warm")
		w.reload()
		equal(t, "types", w.endpoints["ops"].types(), []string{"alarm.fired", "alarm.cancelled"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// What answers 410 is the address that was asked, not the one that has replaced it.
func TestGoneOfAFormerAddressDisablesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.targets["ops"] = "old"
		late := make(chan struct{})
		w.endpoints["ops"].answer = func(int, webhook.Message) webhook.Result {
			<-late
			return webhook.Result{Verdict: webhook.Gone, Status: 410, Err: errBoom}
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		now := new(receiver)
		w.endpoints["ops"], w.targets["ops"] = now, "new"
		w.revision++
		w.reload()
		close(late)
		synctest.Wait()
		equal(t, "types", now.types(), []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEndpointThatLeavesAndReturnsGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		old, now := w.endpoints["ops"], new(receiver)
		old.answer = func(int, webhook.Message) webhook.Result { return webhook.Result{Status: hang} }
		w.start()
		for _, value := range []float64{-12, -18, -12} {
			w.mustSend("freezer-1", "temperature", value)
		}
		synctest.Wait()
		delete(w.endpoints, "ops")
		w.reload()
		w.endpoints["ops"] = now
		w.reload()
		old.let()
		time.Sleep(time.Second)
		equal(t, "old", old.types(), []string{"alarm.fired"})
		equal(t, "now", now.types(), []string{"alarm.resolved", "alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
