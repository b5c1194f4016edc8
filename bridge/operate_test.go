package bridge_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
	"tocsin/broker"
	"tocsin/rules"
)

func TestPausedEndpointIsToldNothingUntilItIsEnabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, owner := owned(t)
		w.targets["ops"] = "one"
		w.start()
		if err := w.Pause(t.Context(), "ops", "the CRM is migrated"); err != nil {
			t.Fatal(err)
		}
		w.mustSend("freezer-1", "temperature", -12)
		for range 2 {
			time.Sleep(time.Hour)
			if err := w.halt(); err != nil {
				t.Fatal(err)
			}
			w.targets["ops"] = "another" // which is no reason to go on
			w.start()
		}
		if n := ops.tried(); n != 0 {
			t.Fatalf("%d attempts at a paused endpoint", n)
		}
		list, err := w.Endpoints(t.Context())
		if err != nil || list[0].Condition != "paused" || list[0].Reason != "the CRM is migrated" || list[0].Owed != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		reply, err := w.Test(t.Context(), "ops")
		if err != nil || reply.Verdict != webhook.Accepted {
			t.Fatalf("%+v, %v", reply, err)
		}
		time.Sleep(time.Minute)
		equal(t, "owner while it is paused", owner.types(), []string{"endpoint.disabled"})
		w.mustSend("freezer-1", "temperature", -18)
		w.mustSend("freezer-2", "temperature", -12)
		for _, onlySay := range []bool{true, false} {
			if n, err := w.Enable(t.Context(), "ops", bridge.ResumeLatest, onlySay); err != nil || n != 1 {
				t.Fatalf("%d discarded, %v", n, err)
			}
		}
		time.Sleep(time.Minute)
		equal(t, "ops", ops.types(), []string{"test.ping", "alarm.resolved", "alarm.fired"})
		equal(t, "owner", owner.types(), []string{"endpoint.disabled", "endpoint.recovered"})
		if err := w.Pause(t.Context(), "nobody", ""); !errors.Is(err, bridge.ErrNoEndpoint) {
			t.Errorf("pausing an endpoint that is not there: %v", err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A pause is an operator's, also where the endpoint was in trouble when it began
// and is given another URL before it ends.
func TestPausedEndpointInTroubleStaysPausedAtAnotherURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops := w.endpoints["ops"]
		ops.answer = always(webhook.Result{Status: 429, RetryAfter: time.Hour, Err: errBoom})
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		if err := w.Pause(t.Context(), "ops", "the CRM is migrated"); err != nil {
			t.Fatal(err)
		}
		w.targets["ops"], w.revision = "another", 1
		w.reload()
		time.Sleep(2 * time.Hour)
		if n := ops.tried(); n != 1 {
			t.Errorf("%d attempts at a paused endpoint", n-1)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A full disk is when somebody may have to switch a receiver off: they are not
// kept waiting for it.
func TestEndpointIsPausedAlthoughTheStoreIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops, full := w.endpoints["ops"], w.fillable()
		ops.answer = always(failing(503))
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		full.Store(true)
		_ = w.send("freezer-2", "temperature", -12) // which finds that out
		time.Sleep(time.Second)
		before := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := w.Pause(ctx, "ops", "too many")
		if err == nil || !strings.Contains(err.Error(), "nothing can be stored now") || time.Since(before) > 0 {
			t.Errorf("pausing: %v after %s", err, time.Since(before))
		}
		ops.answering(nil)
		time.Sleep(time.Hour)
		full.Store(false)
		time.Sleep(time.Minute)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.start()
		time.Sleep(time.Hour)
		equal(t, "ops", ops.types(), nil)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// Somebody who knows that a receiver is back need not wait for the next probe.
func TestEnablingClosesTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops := w.endpoints["ops"]
		ops.answer = always(failing(503))
		w.treat = func(e *bridge.Endpoint) { e.Breaker = bridge.Breaker{Failures: 1, Open: time.Hour, MaxOpen: time.Hour} }
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		w.mustSend("freezer-2", "temperature", -12)
		time.Sleep(time.Minute)
		ops.answering(nil)
		time.Sleep(10 * time.Minute)
		equal(t, "while it is open", ops.types(), nil)
		if _, err := w.Enable(t.Context(), "ops", bridge.ResumeAll, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		complete(t, ops, 2, []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// An endpoint that is left alone is not asked again for a while, so nothing else would
// say why.
func TestOpenBreakerNamesItsCauseAlsoAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops := w.endpoints["ops"]
		ops.answer = always(failing(503))
		w.treat = func(e *bridge.Endpoint) { e.Breaker = bridge.Breaker{Failures: 2, Open: time.Hour, MaxOpen: time.Hour} }
		w.retry = bridge.RetryPolicy{Schedule: []time.Duration{0, time.Second}}
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(time.Minute)
		names := func(when string) bridge.LastAttempt {
			t.Helper()
			list, err := w.Endpoints(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			e := list[0]
			if e.Condition != "open" || e.Reason != "answered 503" || e.WaitsFor != "breaker" || e.Last.Status != 503 {
				t.Errorf("%s: %+v, want an open breaker and why", when, e)
			}
			return e.Last
		}
		before := names("when it has opened")
		w.crash()
		w.start()
		if after := names("after a crash"); !after.At.Equal(before.At) {
			t.Errorf("the last attempt was at %v, and after a crash at %v", before.At, after.At)
		}
		ops.answering(nil)
		time.Sleep(3 * time.Hour)
		list, err := w.Endpoints(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e := list[0]; e.Condition != "active" || e.Reason != "" || !e.Last.Accepted {
			t.Errorf("when it accepts: %+v", e)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// What an operator decided meanwhile could not be written: he was told so.
func TestStoppingWhileTheStoreIsFullIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		full := w.fillable()
		w.start()
		full.Store(true)
		_ = w.send("freezer-1", "temperature", -12) // which finds that out
		if err := w.Pause(t.Context(), "ops", "too many"); err == nil {
			t.Error("pausing is on disk, and there is no space")
		}
		if err := w.halt(); err != nil {
			t.Errorf("stopping with a full store: %v", err)
		}
	})
}

// A process that starts on a full disk hears nothing either, and the downtime
// before it is not forgotten when there is space.
func TestStartingWhileTheStoreIsFullForgetsNoDowntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		w.rules.Rule["quiet"] = &rules.RuleDef{Source: "rules.toml:20", Severity: rules.Major, Condition: rules.Condition{Silent: &rules.Silent{After: rules.Duration(20 * time.Minute)}}}
		full := w.fillable()
		w.start()
		w.mustSend("freezer-1", "temperature", -20)
		w.mustSend("freezer-2", "humidity", 90) // a timer runs: ten minutes
		time.Sleep(time.Minute)
		full.Store(true)
		must(t, w.halt())
		time.Sleep(time.Hour)
		w.start()
		time.Sleep(time.Minute)
		full.Store(false)
		time.Sleep(8 * time.Minute)
		equal(t, "ops before anybody has listened for long enough", w.endpoints["ops"].types(), nil)
		time.Sleep(2 * time.Minute)
		equal(t, "ops when the timer has ended", alarms(w.endpoints["ops"]), []string{"slow/freezer-2 alarm.fired"})
		time.Sleep(15 * time.Minute)
		if n := len(w.endpoints["ops"].types()); n != 3 {
			t.Errorf("%d events when both freezers are missed, want 3", n)
		}
		must(t, w.halt())
	})
}

// What a message found rests on what the downtime before it has moved. While that is
// not on disk, the message is not safe, and no history tells of it.
func TestNothingIsAcknowledgedBeforeTheDowntimeIsOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		full := w.fillable()
		w.start()
		w.mustSend("freezer-2", "humidity", 90) // a timer runs: ten minutes
		time.Sleep(time.Minute)
		must(t, w.halt())
		time.Sleep(time.Hour)
		full.Store(true)
		w.create()
		receipt := w.Handle(broker.Message{Topic: "plant/freezer-1", Payload: []byte(`{"temperature":-20}`), QoS: 1, Received: time.Now()})
		if receipt == nil {
			t.Error("it is acknowledged")
		}
		w.launch()
		if receipt != nil && receipt(t.Context()) == nil {
			t.Error("it is acknowledged, and nothing can be stored")
		}
		full.Store(false)
		time.Sleep(5 * time.Second)
		w.mustSend("freezer-1", "temperature", -20)
		synctest.Wait()
		must(t, w.halt())
	})
}
