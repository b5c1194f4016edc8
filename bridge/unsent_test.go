package bridge_test

import (
	"context"
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
