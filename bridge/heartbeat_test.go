package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
)

func TestReceiverHearsFromUsWhenThereIsNothingToTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "other")
		w.treat = func(e *bridge.Endpoint) {
			if e.Name == "ops" {
				e.Heartbeat = time.Minute
			}
		}
		ops := w.endpoints["ops"]
		w.start()
		time.Sleep(5*time.Minute + time.Second)
		equal(t, "ops", ops.types(), []string{"heartbeat", "heartbeat", "heartbeat", "heartbeat", "heartbeat"})
		for range 10 { // something else is told: nothing has to be said
			w.mustSend("freezer-1", "temperature", -12)
			time.Sleep(20 * time.Second)
			w.mustSend("freezer-1", "temperature", -18)
			time.Sleep(20 * time.Second)
		}
		beats := strings.Count(strings.Join(ops.types(), " "), "heartbeat")
		if beats != 5 {
			t.Errorf("%d heartbeats, though alarms were told all the time", beats)
		}
		ids := map[string]bool{}
		for _, got := range ops.list() {
			ids[got.ID] = true
		}
		if len(ids) != len(ops.list()) {
			t.Error("two heartbeats have one id")
		}
		if got := w.endpoints["other"].types(); len(got) != 20 {
			t.Errorf("an endpoint without heartbeats was told %q", got)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A heartbeat is not kept for later, and does not wait behind what is owed.
func TestHeartbeatIsNeitherQueuedNorRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.treat = func(e *bridge.Endpoint) { e.Heartbeat, e.Rate = time.Minute, 0.1 }
		ops := w.endpoints["ops"]
		ops.answer = always(failing(503))
		w.start()
		time.Sleep(time.Hour)
		tried := ops.tried()
		if tried == 0 || tried > 60 {
			t.Fatalf("%d attempts in an hour without events", tried)
		}
		ops.answering(nil)
		time.Sleep(20 * time.Minute)
		if got := ops.types(); len(got) == 0 || len(got) > 21 {
			t.Errorf("%d heartbeats in the twenty minutes after the outage", len(got))
		}
		if list, err := w.Endpoints(t.Context()); err != nil || list[0].Condition != "active" {
			t.Errorf("nobody noticed that it is back: %+v, %v", list, err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLongOutageEndsWithASummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.treat = func(e *bridge.Endpoint) { e.Digest = 10 * time.Minute }
		ops := w.endpoints["ops"]
		ops.answer = always(failing(503))
		w.start()
		for i := range 30 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(30 * time.Minute)
		for i := range 18 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -18)
		}
		if err := w.halt(); err != nil { // which forgets nothing
			t.Fatal(err)
		}
		w.start()
		time.Sleep(11 * time.Minute)
		ops.answering(nil)
		time.Sleep(30 * time.Minute)
		got := ops.list()
		if len(got) != 49 || got[0].Type != "endpoint.digest" {
			t.Fatalf("%d messages, the first is %s", len(got), got[0].Type)
		}
		n := notice(t, got[0])
		if n.Owed != 48 || n.Firing == nil || *n.Firing != 12 || !strings.Contains(got[0].Body, "held 48 events for 4") {
			t.Errorf("%s", got[0].Body)
		}
		ops.answering(always(failing(503))) // a short one ends with none
		w.mustSend("freezer-20", "temperature", -18)
		time.Sleep(2 * time.Minute)
		ops.answering(nil)
		time.Sleep(30 * time.Minute)
		if got := ops.types(); got[len(got)-1] != "alarm.resolved" || len(got) != 50 {
			t.Errorf("after a short outage: %q", got[49:])
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A receiver that cannot take the summary is told what it is owed.
func TestRefusedSummaryHoldsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.treat = func(e *bridge.Endpoint) { e.Digest = 10 * time.Minute }
		ops := w.endpoints["ops"]
		ops.answer = always(failing(503))
		w.start()
		for i := range 30 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(30 * time.Minute)
		ops.answering(func(_ int, m webhook.Message) webhook.Result {
			if strings.Contains(string(m.Body), `"type":"endpoint.digest"`) {
				return webhook.Result{Verdict: webhook.Refused, Status: 400, Err: errBoom}
			}
			return webhook.Result{Verdict: webhook.Accepted, Status: 200}
		})
		time.Sleep(2 * time.Hour)
		complete(t, ops, 30, []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
