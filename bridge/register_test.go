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
	"tocsin/broker"
	"tocsin/rules"
)

func TestUndeclaredDeviceIsAcknowledgedCountedAndNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.registry, w.presence = prometheus.NewRegistry(), "lwt/{device}"
		w.rules.Defaults.Register = "declared"
		w.rules.Device = map[string]*rules.DeviceDef{"freezer-1": {}}
		w.start()
		w.mustSend("stray", "temperature", -12)
		w.mustSend("stray", "temperature", -18)
		w.Handle(broker.Message{Topic: "lwt/stray", Payload: []byte("online"), QoS: 1, Received: time.Now()})
		w.mustSend("freezer-1", "temperature", -12)
		synctest.Wait()
		equal(t, "types", w.endpoints["ops"].types(), []string{"alarm.fired"})
		want := `
# HELP tocsin_decode_problems_total Messages and readings that could not be used, by reason.
# TYPE tocsin_decode_problems_total counter
tocsin_decode_problems_total{reason="undeclared",source="lwt"} 1
tocsin_decode_problems_total{reason="undeclared",source="plant"} 2
`
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), "tocsin_decode_problems_total"); err != nil {
			t.Error(err)
		}
		lines := w.logged("input was not used")
		if len(lines) == 0 || !strings.Contains(lines[0], "device=stray") || !strings.Contains(lines[0], "topic=plant/stray") || !strings.Contains(lines[0], "[device]") {
			t.Errorf("the log says %q, want who was refused, where, and what to do", lines)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNearlyAllDevicesIsToldOnceOverCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "pager")
		w.remembers, w.limit, w.registry = true, 5, prometheus.NewRegistry()
		w.match = map[string]bridge.Match{"ops": {Types: []string{"devices.*"}}}
		w.start()
		for i := range 4 {
			w.mustSend(fmt.Sprint("freezer-", i), "temperature", -20)
		}
		time.Sleep(5 * time.Second) // the history is flushed
		want := `
# HELP tocsin_devices_registered Devices known that no rule file declares.
# TYPE tocsin_devices_registered gauge
tocsin_devices_registered 4
# HELP tocsin_devices_registered_limit Devices to be known, at most, that no rule file declares.
# TYPE tocsin_devices_registered_limit gauge
tocsin_devices_registered_limit 5
`
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), "tocsin_devices_registered", "tocsin_devices_registered_limit"); err != nil {
			t.Error(err)
		}
		w.registry = nil
		w.crash()
		w.start()
		w.mustSend("freezer-1", "temperature", -20)
		w.mustSend("freezer-5", "temperature", -20)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.mustSend("freezer-6", "temperature", -20)
		synctest.Wait()
		equal(t, "ops", w.endpoints["ops"].types(), []string{"devices.near_limit"})
		equal(t, "pager", w.endpoints["pager"].types(), nil)
		if !strings.Contains(w.endpoints["ops"].list()[0].Body, `"devices":{"registered":4,"limit":5}`) {
			t.Errorf("told %s", w.endpoints["ops"].list()[0].Body)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
