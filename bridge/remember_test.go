package bridge_test

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge/history"
)

// recorded are the readings in the history that a stopped world has left.
func (w *world) recorded() (values []float64) {
	w.t.Helper()
	for in, err := range history.ReplayFile(w.t.Context(), filepath.Join(w.dir, "history")) {
		if err != nil {
			w.t.Fatal(err)
		}
		if in.Sample != nil {
			values = append(values, in.Sample.Num)
		}
		for _, s := range in.Batch {
			values = append(values, s.Num)
		}
	}
	return values
}

func TestRefusedReadingsAreNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		full := w.fillable()
		w.start()
		w.mustSend("freezer-1", "temperature", -20)
		w.mustSend("freezer-1", "temperature", -12)
		full.Store(true)
		if err := w.send("freezer-2", "temperature", -11); err == nil {
			t.Fatal("acknowledged while the store is full")
		}
		_ = w.send("freezer-2", "temperature", -10)
		full.Store(false)
		time.Sleep(3 * time.Second)
		w.mustSend("freezer-2", "temperature", -11) // it comes again, and is news
		synctest.Wait()
		equal(t, "told", alarms(w.endpoints["ops"]), []string{"warm/freezer-1 alarm.fired", "warm/freezer-2 alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		got := w.recorded()
		if want := []float64{-20, -12, -11}; len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
			t.Errorf("remembered %v, want %v", got, want)
		}
	})
}

// The store learns of an alarm when it changes; what happened since is worth
// keeping as well when there is time to say goodbye.
func TestCleanStopKeepsWhatTheStoreDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		w.mustSend("freezer-1", "temperature", -3)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -18)
		synctest.Wait()
		got := w.endpoints["ops"].list()
		if len(got) != 2 || !strings.Contains(got[1].Body, `"peak":["2000-01-01T00:00:00.002Z",-3]`) {
			t.Errorf("the peak was forgotten: %+v", got)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLinksAreToldWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		up := make(chan bool, 1)
		up <- false
		w.connected = func(source string) bool {
			if source != "plant" {
				t.Errorf("asked for source %q", source)
			}
			now := <-up
			up <- now
			return now
		}
		w.start()
		time.Sleep(5 * time.Second)
		for _, now := range []bool{true, false, true} {
			<-up
			up <- now
			time.Sleep(5 * time.Second)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		var links []bool
		for in, err := range history.ReplayFile(t.Context(), filepath.Join(w.dir, "history")) {
			if err != nil {
				t.Fatal(err)
			}
			if in.Link != nil {
				links = append(links, in.Link.Connected)
			}
		}
		if len(links) != 4 || links[0] || !links[1] || links[2] || !links[3] {
			t.Errorf("told %v, want each change once", links)
		}
	})
}
