package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
)

// An owner is told of drops, not of each: at once, and of more once an hour, also
// over restarts and crashes.
func TestOwnerIsToldHowManyDeliveriesWereDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, owner := owned(t)
		ops.answer = always(webhook.Result{Verdict: webhook.Gone, Status: 410, Err: errBoom})
		w.treat = func(e *bridge.Endpoint) {
			if e.Name == "ops" {
				e.Backlog = bridge.Bounds{Count: 10}
			}
		}
		w.start()
		dropped := func() (n, sum int) {
			for _, r := range owner.list() {
				if r.Type == "endpoint.dropped" {
					n, sum = n+1, sum+notice(t, r).Dropped
				}
			}
			return n, sum
		}
		storm := func(name string) {
			for i := range 30 {
				w.mustSend(fmt.Sprint(name, i), "temperature", -12)
			}
			time.Sleep(3 * time.Second)
		}
		storm("freezer-")
		first := func() int { _, sum := dropped(); return sum }()
		if n, sum := dropped(); n != 1 || sum < 15 {
			t.Fatalf("told %d times of %d: %q", n, sum, owner.types())
		}
		for i := range 5 {
			storm(fmt.Sprintf("cellar-%d-", i))
			w.crash()
			w.start()
		}
		if n, sum := dropped(); n != 1 || sum != first {
			t.Errorf("told %d times of %d within a minute", n, sum)
		}
		time.Sleep(3 * time.Hour)
		b, err := w.db.Log().Backlog(t.Context(), "ops")
		if n, sum := dropped(); n != 2 || sum != b.Dropped || sum < 150 || err != nil {
			t.Errorf("told %d times of %d, of %d that were dropped, %v", n, sum, b.Dropped, err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFullBacklogIsDroppedCountedAndLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "crm")
		ops := w.endpoints["ops"]
		ops.answer = func(int, webhook.Message) webhook.Result { return webhook.Result{Verdict: webhook.Gone, Status: 410} }
		w.registry = prometheus.NewRegistry()
		w.treat = func(e *bridge.Endpoint) {
			if e.Name == "ops" {
				e.Backlog = bridge.Bounds{Count: 10}
			}
		}
		w.start()
		for i := range 30 {
			w.mustSend(fmt.Sprint("freezer-", i), "temperature", -12)
			w.mustSend(fmt.Sprint("freezer-", i), "temperature", -18)
		}
		time.Sleep(3 * time.Second)
		b, err := w.db.Log().Backlog(t.Context(), "ops")
		if err != nil || b.Count > 10 || b.Dropped != 60-b.Count || b.Dropped == 0 {
			t.Errorf("%+v, %v", b, err)
		}
		if n := len(w.endpoints["crm"].list()); n != 60 {
			t.Errorf("the other was told %d of 60", n)
		}
		want := fmt.Sprintf("# HELP tocsin_deliveries_dropped_total Deliveries dropped because the endpoint's backlog was full.\n"+
			"# TYPE tocsin_deliveries_dropped_total counter\n"+
			"tocsin_deliveries_dropped_total{endpoint=\"crm\"} 0\ntocsin_deliveries_dropped_total{endpoint=\"ops\"} %d\n", b.Dropped)
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), "tocsin_deliveries_dropped_total"); err != nil {
			t.Error(err)
		}
		if len(w.logged("deliveries dropped")) == 0 {
			t.Error("nobody was told")
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
