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
