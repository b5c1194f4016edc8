package bridge_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// still is a store that has the bridge's tick stand still for a time, as a process does
// that was suspended: what comes first when it goes on is nobody's choice.
type still struct {
	bridge.Store
	until *atomic.Int64 // in nanoseconds
}

func (s still) Log() bridge.Log { return stillLog{s.Store.Log(), s.until} }

type stillLog struct {
	bridge.Log
	until *atomic.Int64
}

func (l stillLog) Size() (int64, error) {
	time.Sleep(time.Until(time.Unix(0, l.until.Load())))
	return l.Log.Size()
}

func TestTimeInWhichWeStoodStillIsNoSilenceWhateverComesFirst(t *testing.T) {
	for name, wakes := range map[string]func(*world){
		"a reading":           func(w *world) { w.live("gw: freezer-2") },
		"a client that drops": func(w *world) { w.live("gw drops") },
		"a client that comes": func(w *world) { w.live("gw comes") },
		"an operator": func(w *world) {
			_ = w.Command(w.t.Context(), rules.Command{Verb: rules.Ack, Key: "silent/freezer-1", By: "ann"})
		},
		"a reload":             func(w *world) { w.rules.Rule["warm"] = freezerRules().Rule["warm"]; w.reload() },
		"the tick, as before":  func(*world) {},
		"two readings at once": func(w *world) { w.live("gw: freezer-2\ngw: freezer-3") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ops")
				w.rules.Rule = silentRule()
				until := new(atomic.Int64)
				w.wrap = func(s bridge.Store) bridge.Store { return still{s, until} }
				w.start()
				w.live(held)
				until.Store(time.Now().Add(2 * time.Hour).UnixNano())
				time.Sleep(2*time.Hour - time.Second)
				wakes(w)
				synctest.Wait()
				time.Sleep(30 * time.Minute)
				if got := alarms(w.endpoints["ops"]); len(got) > 0 {
					t.Errorf("told: %q", got)
				}
				time.Sleep(2 * time.Hour)
				if got := alarms(w.endpoints["ops"]); len(got) == 0 {
					t.Error("real silence is not told of any more")
				}
				if err := w.halt(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}
