package bridge_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
)

// Presets have no request for some events: a ticket is not told that a device is
// online. Such an event has nothing to wait for, and says nothing of the endpoint.
func TestEventWithoutARequestDoesNotPassForAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, owner := owned(t)
		ops.answer = always(failing(503))
		w.match["ops"] = bridge.Match{Types: []string{"alarm.fired", "alarm.resolved"}}
		w.treat = func(e *bridge.Endpoint) {
			if e.Name != "ops" {
				return
			}
			e.Breaker = bridge.Breaker{Failures: 2, Open: time.Minute, MaxOpen: time.Minute}
			e.Heartbeat, e.Digest = 10*time.Second, time.Minute
			send := e.Send
			e.Send = func(ctx context.Context, batch []preset.Notice) preset.Reply {
				if batch[0].Type == "alarm.fired" {
					return send(ctx, batch)
				}
				return preset.Reply{Result: webhook.Result{Verdict: webhook.Accepted}} // nothing is to be sent
			}
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(10 * time.Minute)
		tried := ops.tried()
		w.mustSend("freezer-2", "temperature", -18) // it was never warm: no event
		time.Sleep(10 * time.Minute)
		if n := ops.tried() - tried; n == 0 || n > 20 {
			t.Errorf("%d attempts in ten minutes at an endpoint that is probed every minute", n)
		}
		list, err := w.Endpoints(t.Context())
		if err != nil || !strings.Contains("open half_open", list[0].Condition) {
			t.Errorf("%+v, %v", list, err)
		}
		equal(t, "owner", owner.types(), []string{"endpoint.failing"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A receiver that consented to so many requests a minute is not failing when more
// are waiting, and what waits was not attempted.
func TestWhatIsHeldForTheReceiversRateHasNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, owner := owned(t)
		var open time.Time
		ops.answer = func(int, webhook.Message) webhook.Result {
			if now := time.Now(); now.Before(open) {
				return webhook.Result{Held: true, RetryAfter: open.Sub(now), Err: errBoom}
			}
			open = time.Now().Add(time.Minute)
			return webhook.Result{Verdict: webhook.Accepted, Status: 200}
		}
		w.treat = func(e *bridge.Endpoint) {
			if e.Name == "ops" {
				e.Concurrency, e.Breaker = 1, bridge.Breaker{Failures: 1, Open: time.Hour, MaxOpen: time.Hour}
			}
		}
		w.start()
		for i := range 5 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(5 * time.Minute)
		if got := len(ops.list()); got != 5 || ops.tried() != 9 {
			t.Errorf("%d of 5 were accepted in %d attempts, want 9", got, ops.tried())
		}
		page, err := w.db.Log().Deliveries(t.Context(), bridge.DeliveryQuery{Endpoint: "ops"})
		if err != nil || len(page.Deliveries) != 5 {
			t.Fatal(page, err)
		}
		for _, d := range page.Deliveries {
			if d.Attempts != 1 {
				t.Errorf("%s took %d attempts", d.Alarm, d.Attempts)
			}
		}
		equal(t, "owner", owner.types(), nil)
		if failing := w.logged("endpoint failing"); len(failing) > 0 {
			t.Errorf("logged %q", failing)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
