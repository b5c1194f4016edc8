package bridge_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// A store may take a little and refuse what is more than that. Until what the bridge
// itself has to write is on disk, nobody is told that there is space, and the time in
// which nothing was heard is all one gap.
func TestSpaceIsToldWhenSomethingIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		w.rules.Rule["quiet"] = &rules.RuleDef{Source: "rules.toml:20", Severity: rules.Major, Condition: rules.Condition{Silent: &rules.Silent{After: rules.Duration(20 * time.Minute)}}}
		full := new(atomic.Bool)
		w.wrap = func(s bridge.Store) bridge.Store {
			return faulty{Store: s, commit: func(b bridge.Batch) error {
				if full.Load() && len(b.Transitions) > 0 {
					return fmt.Errorf("writing: %w", bridge.ErrFull)
				}
				return nil
			}}
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -20) // its silence begins
		w.mustSend("freezer-2", "humidity", 90)     // a timer runs: ten minutes
		time.Sleep(time.Minute)
		full.Store(true)
		if err := w.send("freezer-3", "temperature", -12); err == nil {
			t.Fatal("a crossing was acknowledged while the store was full")
		}
		for range 60 {
			time.Sleep(time.Minute)
			if reasons := w.Ready(); len(reasons) != 1 || !strings.Contains(reasons[0], "full") {
				t.Fatalf("readiness says %q, want the full store", reasons)
			}
		}
		if said := w.logged("nothing can be stored"); len(said) != 1 {
			t.Errorf("of one outage %d are told: %q", len(said), said[:min(len(said), 3)])
		}
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

// A process that is stopped when there is space, and before it has gone on, writes what
// it knows of endpoints. It has heard nothing meanwhile, and does not say that it has.
func TestStoppingJustAsSpaceReturnsForgetsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "crm")
		var full, returned atomic.Bool
		var written []bridge.Batch
		w.wrap = func(s bridge.Store) bridge.Store {
			return faulty{Store: s, commit: func(b bridge.Batch) error {
				if full.Load() {
					return fmt.Errorf("writing: %w", bridge.ErrFull)
				}
				if returned.Load() {
					written = append(written, b)
				}
				return nil
			}}
		}
		w.start()
		full.Store(true)
		if err := w.send("freezer-3", "temperature", -12); err == nil {
			t.Fatal("a crossing was acknowledged while the store was full")
		}
		if err := w.Pause(t.Context(), "crm", "too many"); err == nil {
			t.Error("pausing is on disk, and there is no space")
		}
		time.Sleep(time.Hour + time.Second/2) // between two probes
		returned.Store(true)
		full.Store(false)
		must(t, w.halt())
		if len(written) == 0 || len(written[0].Endpoints) == 0 {
			t.Fatalf("%d batches were written, and what the operator decided is not in the first", len(written))
		}
		for i, b := range written {
			if !b.Probe {
				t.Errorf("batch %d says that messages are taken", i+1)
			}
		}
	})
}
