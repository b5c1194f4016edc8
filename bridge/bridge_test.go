package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
	"tocsin/broker"
)

func TestCrossingIsToldAndSoIsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("freezer-1", "temperature", -20)
		w.mustSend("freezer-1", "temperature", -12)
		w.mustSend("freezer-1", "temperature", -16) // inside the deadband
		w.mustSend("freezer-1", "temperature", -18)
		synctest.Wait()
		equal(t, "types", w.endpoints["ops"].types(), []string{"alarm.fired", "alarm.resolved"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReceiptWaitsForTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		hold := make(chan struct{})
		w.wrap = func(s bridge.Store) bridge.Store {
			return faulty{Store: s, commit: func(b bridge.Batch) error {
				if len(b.Transitions) > 0 {
					<-hold
				}
				return nil
			}}
		}
		w.start()
		var acknowledged atomic.Int32
		// The second reading decides nothing itself: the alarm fires already. It
		// rests on a decision that is not on disk, so it waits as well.
		for _, value := range []float64{-12, -11} {
			time.Sleep(time.Millisecond)
			receipt := w.Handle(message("freezer-1", "temperature", value))
			if receipt == nil {
				t.Fatalf("%v needs no receipt although nothing is on disk", value)
			}
			go func() {
				if receipt(t.Context()) == nil {
					acknowledged.Add(1)
				}
			}()
		}
		if receipt := w.Handle(message("freezer-2", "temperature", -20)); receipt != nil {
			t.Error("a reading that decided nothing waits for the disk")
		}
		synctest.Wait()
		if n := acknowledged.Load(); n != 0 {
			t.Fatalf("%d readings acknowledged before the commit", n)
		}
		if n := w.endpoints["ops"].tried(); n != 0 {
			t.Fatalf("%d attempts before the commit", n)
		}
		close(hold)
		synctest.Wait()
		if n := acknowledged.Load(); n != 2 {
			t.Fatalf("%d readings acknowledged after the commit, want 2", n)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFullStoreRefusesAndHealsWithNothingForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		full := w.fillable()
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		full.Store(true)
		if err := w.send("freezer-2", "temperature", -12); err == nil {
			t.Fatal("a crossing was acknowledged while the store was full")
		}
		time.Sleep(5 * time.Second)
		if err := w.send("freezer-3", "temperature", -20); err == nil {
			t.Fatal("intake goes on while the store is full")
		}
		if reasons := w.Ready(); len(reasons) != 1 || !strings.Contains(reasons[0], "full") {
			t.Fatalf("readiness says %q, want the full store", reasons)
		}
		full.Store(false)
		time.Sleep(2 * time.Second)
		if reasons := w.Ready(); len(reasons) != 0 {
			t.Fatalf("not ready after space returned: %q", reasons)
		}
		w.mustSend("freezer-2", "temperature", -12)
		w.mustSend("freezer-1", "temperature", -18)
		synctest.Wait()
		got := alarms(w.endpoints["ops"])
		equal(t, "told", got, []string{"warm/freezer-1 alarm.fired", "warm/freezer-2 alarm.fired", "warm/freezer-1 alarm.resolved"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBrokenStoreEndsTheBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.wrap = func(s bridge.Store) bridge.Store {
			return faulty{Store: s, commit: func(b bridge.Batch) error {
				if len(b.Transitions) > 0 {
					return errBoom
				}
				return nil
			}}
		}
		w.start()
		if err := w.send("freezer-1", "temperature", -12); err == nil {
			t.Fatal("acknowledged although the store is broken")
		}
		synctest.Wait() // it ends by itself
		if err := w.halt(); !errors.Is(err, errBoom) {
			t.Fatalf("the bridge ended with %v, want %v", err, errBoom)
		}
	})
}

func TestRestartTellsNothingAndForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		for range 3 {
			if err := w.halt(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			w.start()
			time.Sleep(time.Minute)
		}
		equal(t, "types after restarts", w.endpoints["ops"].types(), []string{"alarm.fired"})
		w.mustSend("freezer-1", "temperature", -18)
		synctest.Wait()
		equal(t, "types", w.endpoints["ops"].types(), []string{"alarm.fired", "alarm.resolved"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDowntimeCountsNeitherForNorAgainstATimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("cellar", "humidity", 90)
		time.Sleep(4 * time.Minute)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		w.start()
		time.Sleep(5 * time.Minute) // nine of ten minutes heard
		equal(t, "types before the ten minutes are full", w.endpoints["ops"].types(), nil)
		time.Sleep(90 * time.Second)
		equal(t, "types", w.endpoints["ops"].types(), []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTimerRunsOutWithoutAnotherReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("cellar", "humidity", 90)
		time.Sleep(10*time.Minute + 2*time.Second)
		equal(t, "types", w.endpoints["ops"].types(), []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReceiverDownForTenMinutesLosesNothingAndKeepsOrder(t *testing.T) {
	answers := map[string]func(int, webhook.Message) webhook.Result{
		"500": func(int, webhook.Message) webhook.Result { return failing(500) },
		"302": func(int, webhook.Message) webhook.Result { return failing(302) },
		"429 with Retry-After": func(int, webhook.Message) webhook.Result {
			r := failing(429)
			r.RetryAfter = time.Minute
			return r
		},
		"no connection": func(int, webhook.Message) webhook.Result {
			return webhook.Result{Verdict: webhook.Retry, Err: errBoom}
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ops", "other")
				w.endpoints["ops"].answer = answer
				w.start()
				for i := range 20 {
					device := fmt.Sprintf("freezer-%d", i)
					w.mustSend(device, "temperature", -12)
					w.mustSend(device, "temperature", -18)
					w.mustSend(device, "temperature", -11)
				}
				synctest.Wait()
				if n := len(w.endpoints["other"].list()); n != 60 {
					t.Fatalf("the other endpoint got %d of 60 while this one failed", n)
				}
				time.Sleep(10 * time.Minute)
				w.endpoints["ops"].mu.Lock()
				w.endpoints["ops"].answer = nil
				w.endpoints["ops"].mu.Unlock()
				time.Sleep(30 * time.Minute)
				complete(t, w.endpoints["ops"], 20, []string{"alarm.fired", "alarm.resolved", "alarm.fired"})
				if err := w.halt(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// complete checks that each of n alarms was told exactly the given types, in
// order, and that one id always had one body.
func complete(t *testing.T, r *receiver, n int, want []string) {
	t.Helper()
	byAlarm := map[string][]string{}
	bodies := map[string]string{}
	for _, got := range r.list() {
		if body, ok := bodies[got.ID]; ok {
			if body != got.Body {
				t.Errorf("%s has two bodies", got.ID)
			}
			continue
		}
		bodies[got.ID] = got.Body
		byAlarm[got.Alarm] = append(byAlarm[got.Alarm], got.Type)
	}
	if len(byAlarm) != n {
		t.Errorf("%d alarms were told, want %d", len(byAlarm), n)
	}
	for alarm, types := range byAlarm {
		if !slices.Equal(types, want) {
			t.Errorf("%s was told as %q, want %q", alarm, types, want)
		}
	}
}

func TestRetryAfterHoldsTheWholeEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.endpoints["ops"].answer = func(n int, _ webhook.Message) webhook.Result {
			if n > 1 {
				return webhook.Result{Verdict: webhook.Accepted, Status: 200}
			}
			r := failing(429)
			r.RetryAfter = 5 * time.Minute
			return r
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		w.mustSend("freezer-2", "temperature", -12) // another alarm: not failed itself
		time.Sleep(4 * time.Minute)
		if n := w.endpoints["ops"].tried(); n != 1 {
			t.Fatalf("%d attempts in the time the endpoint asked for, want 1", n)
		}
		time.Sleep(2 * time.Minute)
		complete(t, w.endpoints["ops"], 2, []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A receiver may close a connection that was kept open just as it is used again.
// That is no reason to hold an alarm back.
func TestAttemptOverAStaleConnectionIsRepeatedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.retry = bridge.RetryPolicy{Schedule: []time.Duration{0, time.Minute}, Steady: true}
		w.endpoints["ops"].answer = func(n int, _ webhook.Message) webhook.Result {
			if n == 1 {
				return webhook.Result{Verdict: webhook.Retry, Reused: true, Err: errBoom}
			}
			return webhook.Result{Verdict: webhook.Accepted, Status: 200}
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		equal(t, "types, with no time gone by", w.endpoints["ops"].types(), []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestGoneEndpointIsDisabledAndKeepsWhatItIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops := w.endpoints["ops"]
		w.targets["ops"] = "old"
		ops.answer = func(int, webhook.Message) webhook.Result {
			return webhook.Result{Verdict: webhook.Gone, Status: 410, Err: errors.New("answered 410")}
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(time.Hour)
		w.mustSend("freezer-1", "temperature", -18)
		time.Sleep(time.Hour)
		if n := ops.tried(); n != 1 {
			t.Fatalf("%d attempts at an endpoint that is gone, want 1", n)
		}
		ops.answer = nil
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.start() // the same url: still disabled
		time.Sleep(time.Hour)
		if n := ops.tried(); n != 1 {
			t.Fatalf("a restart enabled a disabled endpoint: %d attempts", n)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.targets["ops"] = "new"
		w.start()
		time.Sleep(time.Minute)
		equal(t, "types", ops.types(), []string{"alarm.fired", "alarm.resolved"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHangingEndpointDelaysNobodyElseAndNotTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "other")
		w.endpoints["ops"].answer = func(int, webhook.Message) webhook.Result { return webhook.Result{Status: hang} }
		w.start()
		for i := range 50 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		synctest.Wait()
		if n := len(w.endpoints["other"].list()); n != 50 {
			t.Fatalf("the other endpoint got %d of 50", n)
		}
		if n := w.endpoints["ops"].tried(); n != 4 {
			t.Fatalf("%d attempts at once, want the concurrency limit of 4", n)
		}
		begun := time.Now()
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 6*time.Second {
			t.Fatalf("stopping took %v of virtual time, want the grace at most", took)
		}
		w.endpoints["ops"].answer = nil
		w.start()
		synctest.Wait()
		complete(t, w.endpoints["ops"], 50, []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestGivenUpDeliveryFreesItsAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops := w.endpoints["ops"]
		w.retry = bridge.RetryPolicy{Schedule: []time.Duration{0, time.Minute}, GiveUpAfter: time.Hour, Steady: true}
		ops.answer = func(int, webhook.Message) webhook.Result { return failing(500) }
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(61 * time.Minute)
		ops.mu.Lock()
		ops.answer = nil
		ops.mu.Unlock()
		w.mustSend("freezer-1", "temperature", -18)
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(time.Minute)
		if got := ops.types(); len(got) == 0 || got[len(got)-1] != "alarm.fired" {
			t.Fatalf("told %q, want the newer episode after the older was given up", got)
		}
		backlog, err := w.db.Log().Backlog(t.Context(), "ops")
		if err != nil || backlog.Count != 0 || backlog.Dead != 1 {
			t.Fatalf("backlog %+v, %v; want nothing owed and one dead", backlog, err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRulesNotifyGoesBeforeMatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "crm")
		w.rules.Rule["warm"].Notify = []string{"crm"}
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		equal(t, "ops", w.endpoints["ops"].types(), nil)
		equal(t, "crm", w.endpoints["crm"].types(), []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBadInputIsAcknowledgedCountedAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.registry = prometheus.NewRegistry()
		w.start()
		for _, payload := range []string{"", "{", `{"temperature":}`, `{"temperature":1,"temperature":2}`, `{"temperature":null}`, `{"temperature":"NaN"}`, "\xff"} {
			receipt := w.Handle(broker.Message{Topic: "plant/freezer-1", Payload: []byte(payload), QoS: 1, Received: time.Now()})
			if receipt != nil {
				if err := receipt(t.Context()); err != nil {
					t.Errorf("%q was refused (%v): it would come back for ever", payload, err)
				}
			}
		}
		synctest.Wait()
		equal(t, "told", w.endpoints["ops"].types(), nil)
		if n, err := testutil.GatherAndCount(w.registry, "tocsin_decode_problems_total"); err != nil || n == 0 {
			t.Errorf("no problem was counted (%d, %v)", n, err)
		}
		if problems, err := testutil.GatherAndLint(w.registry); err != nil || len(problems) > 0 {
			t.Errorf("metrics do not pass the linter: %v, %v", problems, err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTwoBridgesRunInOneProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newWorld(t, "ops"), newWorld(t, "ops")
		first.start()
		second.start()
		first.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		equal(t, "first", first.endpoints["ops"].types(), []string{"alarm.fired"})
		equal(t, "second", second.endpoints["ops"].types(), nil)
		for _, w := range []*world{first, second} {
			if err := w.halt(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func message(device, metric string, value float64) broker.Message {
	return broker.Message{
		Topic: "plant/" + device, Payload: fmt.Appendf(nil, `{%q:%v}`, metric, value), QoS: 1, Received: time.Now(),
	}
}

func alarms(r *receiver) []string {
	var all []string
	for _, got := range r.list() {
		all = append(all, got.Alarm+" "+got.Type)
	}
	return all
}

// faulty is a real store whose commits can be made to fail or to wait.
type faulty struct {
	bridge.Store
	commit func(bridge.Batch) error
}

func (f faulty) Commit(ctx context.Context, b bridge.Batch) error {
	if err := f.commit(b); err != nil {
		return err
	}
	return f.Store.Commit(ctx, b)
}

func TestRemovedRuleEndsItsAlarmOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		delete(w.rules.Rule, "warm")
		for range 2 {
			if err := w.halt(); err != nil {
				t.Fatal(err)
			}
			w.start()
			time.Sleep(time.Minute)
		}
		equal(t, "types", w.endpoints["ops"].types(), []string{"alarm.fired", "alarm.cancelled"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEndpointThatLeftKeepsWhatItIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "crm")
		crm := w.endpoints["crm"]
		crm.answer = func(int, webhook.Message) webhook.Result { return failing(500) }
		w.registry = prometheus.NewRegistry()
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		delete(w.endpoints, "crm")
		w.registry = prometheus.NewRegistry()
		w.start()
		const want = `# HELP tocsin_deliveries_pending Deliveries owed.
# TYPE tocsin_deliveries_pending gauge
tocsin_deliveries_pending{endpoint="crm"} 1
tocsin_deliveries_pending{endpoint="ops"} 0
`
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), "tocsin_deliveries_pending"); err != nil {
			t.Error(err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		crm.answer = nil
		w.endpoints["crm"], w.registry = crm, nil
		w.start()
		time.Sleep(time.Minute)
		equal(t, "crm after its return", crm.types(), []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNamesInATopicSelectAndLabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "lyon", "paris")
		w.topic = "plant/{site}/{device}"
		w.match = map[string]bridge.Match{"lyon": {Labels: map[string]string{"site": "lyon"}}, "paris": {Labels: map[string]string{"site": "paris"}}}
		w.start()
		for _, site := range []string{"lyon", "paris"} {
			receipt := w.Handle(broker.Message{Topic: "plant/" + site + "/freezer-" + site, Payload: []byte(`{"temperature":-12}`), QoS: 1, Received: time.Now()})
			if err := receipt(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for _, site := range []string{"lyon", "paris"} {
			got := w.endpoints[site].list()
			if len(got) != 1 || got[0].Alarm != "warm/freezer-"+site || !strings.Contains(got[0].Body, `"labels":{"site":"`+site+`"}`) {
				t.Errorf("%s was told %+v", site, got)
			}
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestUnusedInputIsToldOnceAMinuteAndToTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		for range 30 {
			if receipt := w.Handle(broker.Message{Topic: "plant/freezer-1", Payload: []byte("{"), Client: "c7", Received: time.Now()}); receipt != nil {
				t.Fatal("bad input was refused: it would come back for ever")
			}
		}
		time.Sleep(5 * time.Minute)
		lines := w.logged("input was not used")
		if len(lines) != 2 || !strings.Contains(lines[0], "count=1") || !strings.Contains(lines[1], "count=29") || !strings.Contains(lines[1], "client=c7") {
			t.Errorf("told as %q, want the first at once and the other 29 after a minute", lines)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
