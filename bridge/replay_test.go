package bridge_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
)

func TestReplayedDeliveriesGoOutAgainUnderTheirIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops := w.endpoints["ops"]
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		w.mustSend("freezer-1", "temperature", -18)
		time.Sleep(time.Second)
		all := bridge.Selection{Endpoint: "ops", OnlySay: true}
		if n, err := w.Replay(t.Context(), all, false); n != 2 || err != nil {
			t.Fatalf("Replay = %d, %v", n, err)
		}
		time.Sleep(time.Second)
		equal(t, "told", ops.types(), []string{"alarm.fired", "alarm.resolved"})
		all.OnlySay = false
		if n, err := w.Replay(t.Context(), all, false); n != 2 || err != nil {
			t.Fatalf("Replay = %d, %v", n, err)
		}
		time.Sleep(time.Second)
		told := ops.list()
		if len(told) != 4 || told[2].ID != told[0].ID || told[3].ID != told[1].ID || told[2].Body != told[0].Body || told[3].Body != told[1].Body {
			t.Fatalf("told %+v", told)
		}
		page, err := w.Deliveries(t.Context(), bridge.DeliveryQuery{Endpoint: "ops"})
		if err != nil || len(page.Deliveries) != 2 || page.Deliveries[0].Attempts != 2 {
			t.Fatalf("%+v, %v", page, err)
		}
		d, err := w.Delivery(t.Context(), told[0].ID, "ops")
		if err != nil || len(d.Attempts) != 2 || d.Attempts[1].Status != 200 {
			t.Fatalf("%+v, %v", d, err)
		}
		if _, err := w.Replay(t.Context(), bridge.Selection{Endpoint: "nobody"}, true); !errors.Is(err, bridge.ErrNoEndpoint) {
			t.Errorf("Replay for nobody: %v", err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhoHasLeftTheConfigurationIsReplayedToOnlyWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "crm")
		w.endpoints["crm"].answer = func(int, webhook.Message) webhook.Result { return failing(500) }
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(time.Second)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		crm := w.endpoints["crm"]
		delete(w.endpoints, "crm")
		w.start()
		w.mustSend("freezer-1", "temperature", -18)
		if n, err := w.Discard(t.Context(), bridge.Selection{Endpoint: "crm"}); n == 0 || err != nil {
			t.Fatalf("Discard = %d, %v", n, err)
		}
		if _, err := w.Enable(t.Context(), "crm", bridge.ResumeAll, false); !errors.Is(err, bridge.ErrNotConfigured) {
			t.Errorf("Enable: %v", err)
		}
		s := bridge.Selection{Endpoint: "crm"}
		if n, err := w.Replay(t.Context(), s, false); n != 0 || !errors.Is(err, bridge.ErrNotConfigured) {
			t.Errorf("Replay = %d, %v", n, err)
		}
		n, err := w.Replay(t.Context(), s, true)
		if n == 0 || err != nil {
			t.Errorf("Replay = %d, %v", n, err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		crm.answer, w.endpoints["crm"] = nil, crm
		w.start()
		time.Sleep(time.Minute)
		if got := crm.types(); len(got) != n || !slices.Contains(got, "alarm.fired") {
			t.Errorf("told %v, want %d", got, n)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
