package bridge_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/history"
	"tocsin/broker"
	"tocsin/rules"
)

// recorded are the readings in the history that a stopped world has left.
func (w *world) recorded() (values []float64) {
	w.t.Helper()
	for in, err := range history.ReplayFile(w.t.Context(), filepath.Join(w.dir, "history"), time.Time{}) {
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
		full := w.fillable()
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
		full.Store(true) // the engine is made anew, and has to be told
		_ = w.send("freezer-1", "temperature", -12)
		full.Store(false)
		time.Sleep(5 * time.Second)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		var links []bool
		for in, err := range history.ReplayFile(t.Context(), filepath.Join(w.dir, "history"), time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			if in.Link != nil {
				links = append(links, in.Link.Connected)
			}
		}
		if !slices.Equal(links, []bool{false, true, false, true, true}) {
			t.Errorf("told %v, want each change once, and an engine that is new", links)
		}
	})
}

// A bridge that has only just begun to listen knows of no silence.
func TestSilenceBeginsWithListening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		every, after := rules.Duration(time.Minute), rules.Duration(15*time.Minute)
		w.rules.Device = map[string]*rules.DeviceDef{"freezer-9": {Every: &every}}
		w.rules.Rule = map[string]*rules.RuleDef{"silent": {Severity: rules.Major, Condition: rules.Condition{Silent: &rules.Silent{After: after}}}}
		w.connected = func(string) bool { return true }
		w.start()
		time.Sleep(time.Minute)
		if got, _, err := w.Alarms(t.Context(), bridge.AlarmQuery{}); err != nil || len(got) != 0 {
			t.Errorf("silent already: %+v, %v", got, err)
		}
		time.Sleep(2 * time.Minute)
		equal(t, "told", alarms(w.endpoints["ops"]), []string{"silent/freezer-9 alarm.fired"})
		w.mustSend("freezer-9", "temperature", -20)
		synctest.Wait()
		equal(t, "told", alarms(w.endpoints["ops"]), []string{"silent/freezer-9 alarm.fired", "silent/freezer-9 alarm.resolved"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPresenceIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		after := rules.Duration(time.Hour)
		w.rules.Rule = map[string]*rules.RuleDef{"silent": {Severity: rules.Major, Condition: rules.Condition{Silent: &rules.Silent{After: after}}}}
		w.presence = "lwt/{device}"
		w.start()
		w.mustSend("freezer-1", "temperature", -20)
		if receipt := w.Handle(broker.Message{Topic: "lwt/freezer-1", Payload: []byte("offline"), QoS: 1, Received: time.Now()}); receipt != nil {
			if err := receipt(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		equal(t, "told", alarms(w.endpoints["ops"]), []string{"silent/freezer-1 alarm.fired"})
		w.mustSend("freezer-1", "temperature", -20)
		synctest.Wait()
		equal(t, "told", alarms(w.endpoints["ops"]), []string{"silent/freezer-1 alarm.fired", "silent/freezer-1 alarm.resolved"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// What a window holds outlives a crash: the readings are taken in again.
func TestWindowsSurviveACrash(t *testing.T) {
	for name, clean := range map[string]bool{"stop": true, "crash": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ops")
				w.rules.Rule = meanRule()
				w.remembers = true
				w.start()
				for range 5 {
					w.mustSend("freezer-1", "temperature", -30)
				}
				time.Sleep(2 * time.Second) // written by now
				if clean {
					if err := w.halt(); err != nil {
						t.Fatal(err)
					}
				} else {
					w.crash()
				}
				time.Sleep(10 * time.Second)
				w.start()
				w.mustSend("freezer-1", "temperature", 0) // the mean of six is far below
				synctest.Wait()
				equal(t, "told", alarms(w.endpoints["ops"]), nil)
				for range 6 {
					w.mustSend("freezer-1", "temperature", 0)
				}
				synctest.Wait()
				equal(t, "told", alarms(w.endpoints["ops"]), []string{"mean/freezer-1 alarm.fired"})
				if err := w.halt(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// meanRule fires when the mean of an hour is above -15.
func meanRule() map[string]*rules.RuleDef {
	over := rules.Duration(time.Hour)
	return map[string]*rules.RuleDef{"mean": {
		Metric: "temperature", Severity: rules.Major,
		Condition: rules.Condition{Agg: "avg", Over: &over, Above: &rules.Quantity{Value: -15}},
	}}
}

// What was recorded before a snapshot need not be there any more.
func TestSnapshotStandsForWhatCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.rules.Rule, w.remembers = meanRule(), true
		w.start()
		for range 5 {
			w.mustSend("freezer-1", "temperature", -30)
		}
		time.Sleep(11 * time.Minute)
		w.crash()
		segments, err := filepath.Glob(filepath.Join(w.dir, "history", "*.history"))
		if err != nil || len(segments) == 0 {
			t.Fatalf("segments %v, %v", segments, err)
		}
		for _, path := range segments {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		w.start()
		w.mustSend("freezer-1", "temperature", 0)
		synctest.Wait()
		equal(t, "told with a mean of -25", alarms(w.endpoints["ops"]), nil)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// What is not on disk may be refused, and come again as news.
func TestSnapshotWaitsForWhatItRestsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		hold := make(chan struct{})
		w.wrap = func(s bridge.Store) bridge.Store {
			return faulty{Store: s, commit: func(b bridge.Batch) error {
				if len(b.Transitions) > 0 {
					<-hold
				}
				return nil
			}}
		}
		w.start()
		if receipt := w.Handle(message("freezer-1", "temperature", -12)); receipt == nil {
			t.Fatal("a crossing has nothing to wait for")
		}
		snapshots := func() int {
			files, err := filepath.Glob(filepath.Join(w.dir, "history", "snapshot*"))
			if err != nil {
				t.Fatal(err)
			}
			return len(files)
		}
		if receipt := w.Handle(message("freezer-2", "temperature", -20)); receipt != nil {
			t.Fatal("a reading that decides nothing waits")
		}
		time.Sleep(15 * time.Minute)
		if n := snapshots(); n != 0 {
			t.Errorf("%d snapshots of what is not on disk", n)
		}
		close(hold)
		synctest.Wait()
		if n := snapshots(); n != 1 {
			t.Errorf("%d snapshots when it is", n)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// In which time nobody listened is known after a crash too, however soon it comes:
// of a full disk, and of the time between two processes.
func TestWhenNobodyListenedOutlivesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.remembers = true
		w.rules.Rule["quiet"] = &rules.RuleDef{Severity: rules.Major, Condition: rules.Condition{Silent: &rules.Silent{After: rules.Duration(15 * time.Minute)}}}
		full := w.fillable()
		told := func(when string, want int) {
			t.Helper()
			list, err := w.Deliveries(t.Context(), bridge.DeliveryQuery{Limit: 10})
			if err != nil || len(list.Deliveries) != want {
				t.Errorf("%s: %+v, %v", when, list.Deliveries, err)
			}
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -20)
		time.Sleep(time.Minute + 500*time.Millisecond)
		full.Store(true)
		if w.send("freezer-1", "temperature", -12) == nil {
			t.Fatal("it is accepted, and cannot be stored")
		}
		time.Sleep(30 * time.Minute)
		full.Store(false)
		for w.Ready() != nil {
			time.Sleep(10 * time.Millisecond)
		}
		w.crash()
		w.start()
		time.Sleep(5 * time.Minute)
		told("after a full disk", 0)
		w.crash()
		time.Sleep(30 * time.Minute)
		w.start()
		w.crash()
		w.start()
		time.Sleep(5 * time.Minute)
		told("after two crashes", 0)
		time.Sleep(time.Hour)
		told("after an hour of silence", 1)
		w.stopped()
	})
}
