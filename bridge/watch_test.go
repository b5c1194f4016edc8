package bridge_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
)

func (w *world) watch(q bridge.WatchQuery) *bridge.Watch {
	w.t.Helper()
	watch, err := w.Watch(q)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(watch.Close)
	return watch
}

// seen takes what has happened so far, each as a line, and the last id.
func (w *world) seen(watch *bridge.Watch) (lines []string, last string) {
	w.t.Helper()
	synctest.Wait()
	for {
		select {
		case m, more := <-watch.C:
			if !more {
				return append(lines, "closed"), last
			}
			text, err := json.Marshal(m)
			if err != nil {
				w.t.Fatal(err)
			}
			var v struct {
				Type, Outcome, Endpoint, Metric, Reason string
				Value                                   any
				Skipped                                 int
				Device                                  any
			}
			if err := json.Unmarshal(text, &v); err != nil {
				w.t.Fatalf("%s: %v", text, err)
			}
			line := m.Kind
			switch m.Kind {
			case bridge.KindEvent:
				line += " " + v.Type
			case bridge.KindDelivery:
				line += " " + v.Type + " " + v.Endpoint + " " + v.Outcome
			case bridge.KindReading:
				line += fmt.Sprint(" ", v.Device, " ", v.Metric, "=", v.Value)
				if v.Skipped > 0 {
					line += fmt.Sprint(" after ", v.Skipped)
				}
			}
			lines = append(lines, line)
			if m.ID != "" {
				last = m.ID
			}
		default:
			return lines, last
		}
	}
}

func (w *world) sees(watch *bridge.Watch, want ...string) (last string) {
	w.t.Helper()
	lines, last := w.seen(watch)
	equal(w.t, "seen", lines, want)
	return last
}

func TestWhoeverWatchesSeesWhatHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "crm")
		w.endpoints["crm"].answer = func(int, webhook.Message) webhook.Result { return failing(500) }
		w.match = map[string]bridge.Match{"crm": {Types: []string{"alarm.fired"}}}
		w.start()
		all := w.watch(bridge.WatchQuery{Kinds: []string{bridge.KindEvent, bridge.KindDelivery, bridge.KindReading}})
		usual := w.watch(bridge.WatchQuery{})
		one := w.watch(bridge.WatchQuery{Kinds: []string{bridge.KindReading}, Device: "freezer-2"})
		crm := w.watch(bridge.WatchQuery{Endpoint: "crm"})
		slow := w.watch(bridge.WatchQuery{Rule: "slow"})
		w.mustSend("freezer-1", "temperature", -20)
		w.mustSend("freezer-2", "temperature", -20)
		w.sees(all, "reading freezer-1 temperature=-20", "reading freezer-2 temperature=-20")
		w.mustSend("freezer-1", "temperature", -12)
		if lines, _ := w.seen(all); len(lines) != 4 {
			t.Errorf("%q", lines)
		}
		lines, _ := w.seen(usual)
		if len(lines) != 3 || lines[0] != "event alarm.fired" {
			t.Errorf("seen %q", lines)
		}
		w.sees(one, "reading freezer-2 temperature=-20")
		w.sees(crm, "event alarm.fired", "delivery alarm.fired crm retry")
		w.sees(slow)
	})
}

func TestWatchGoesOnWhereItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		first := w.watch(bridge.WatchQuery{})
		w.mustSend("a", "temperature", -12)
		last := w.sees(first, "event alarm.fired", "delivery alarm.fired ops delivered")
		first.Close()
		first.Close()
		w.sees(first, "closed")
		if err := first.Err(); err != nil {
			t.Error(err)
		}
		w.mustSend("a", "temperature", -20)
		synctest.Wait()
		again := w.watch(bridge.WatchQuery{After: last})
		w.mustSend("b", "temperature", -12)
		last = w.sees(again, "event alarm.resolved", "delivery alarm.resolved ops delivered", "event alarm.fired", "delivery alarm.fired ops delivered")
		w.sees(w.watch(bridge.WatchQuery{After: last}))
		w.sees(w.watch(bridge.WatchQuery{After: last, Device: "a"}))
		for _, unknown := range []string{"x", "x-1", last + "0", last + "x", "-", "-1"} {
			w.sees(w.watch(bridge.WatchQuery{After: unknown, Device: "a"}), "gap")
		}
		gap := w.watch(bridge.WatchQuery{After: "x-1"})
		last = w.sees(gap, "gap")
		gap.Close()
		w.mustSend("a", "temperature", -12)
		synctest.Wait()
		w.sees(w.watch(bridge.WatchQuery{After: last}), "event alarm.fired", "delivery alarm.fired ops delivered")
	})
}

// So much is kept and no more; who comes back later than that is told of the gap.
func TestWatchGoesOnFromTheLastMoments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		watch := w.watch(bridge.WatchQuery{})
		ids := make([]string, 0, 2000)
		for i := range 1500 {
			w.mustSend(fmt.Sprint("device-", i), "temperature", -12)
			_, last := w.seen(watch)
			ids = append(ids, last)
		}
		for _, after := range []int{1499 - 1024, 1498} {
			watch := w.watch(bridge.WatchQuery{After: ids[after]})
			if lines, last := w.seen(watch); len(lines) != 1499-after || lines[0] != "event alarm.fired" || last != ids[1499] {
				t.Errorf("after %d: %d moments, the first %s, the last %s", after, len(lines), lines[0], last)
			}
			watch.Close()
		}
		w.sees(w.watch(bridge.WatchQuery{After: ids[1498-1024]}), "gap")
	})
}

// Who does not keep up with events is ended, and counted; the others, the devices
// and the endpoints do not notice. Readings end nobody: they are left out.
func TestSlowWatchIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.registry = prometheus.NewRegistry()
		w.start()
		slow, quick := w.watch(bridge.WatchQuery{}), w.watch(bridge.WatchQuery{})
		readings := w.watch(bridge.WatchQuery{Kinds: []string{bridge.KindReading}})
		n := 0
		for i := range 300 {
			w.mustSend(fmt.Sprint("device-", i), "temperature", -12)
			lines, _ := w.seen(quick)
			n += len(lines)
		}
		lines, _ := w.seen(slow)
		if n != 300 || len(lines) != 257 || lines[256] != "closed" || !errors.Is(slow.Err(), bridge.ErrSlow) {
			t.Errorf("quick saw %d, slow %d, %v", n, len(lines), slow.Err())
		}
		if got := value(t, w.registry, "tocsin_watches_dropped_total"); got != 1 {
			t.Errorf("%v dropped", got)
		}
		if got := value(t, w.registry, "tocsin_watches"); got != 2 {
			t.Errorf("%v watch", got)
		}
		if lines, _ := w.seen(readings); len(lines) != 128 {
			t.Errorf("%d readings", len(lines))
		}
		w.mustSend("late", "temperature", -20)
		w.sees(readings, "reading late temperature=-20 after 172")
	})
}

func TestWatchesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		var watches []*bridge.Watch
		for range 64 {
			watches = append(watches, w.watch(bridge.WatchQuery{Kinds: []string{bridge.KindReading}}))
		}
		if _, err := w.Watch(bridge.WatchQuery{}); !errors.Is(err, bridge.ErrWatches) {
			t.Error(err)
		}
		watches[3].Close()
		w.watch(bridge.WatchQuery{})
	})
}

func value(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return -1
}
