package bridge_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLostStoreIsToldToWhomAsksOnceOverACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "crm")
		w.sync = true
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		w.mustSend("freezer-2", "temperature", -12)
		time.Sleep(20 * time.Minute)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		for _, r := range w.endpoints { // the first start is one on a new store too
			if types := r.types(); !slices.Contains(types, "alarm.sync") {
				t.Fatalf("told %q, want a list of what is under way", types)
			}
			r.accepted = nil
		}
		if err := os.RemoveAll(filepath.Join(w.dir, "data")); err != nil {
			t.Fatal(err)
		}

		w.start()
		w.mustSend("freezer-1", "temperature", -12) // as it was; freezer-2 has been mended meanwhile
		w.mustSend("freezer-2", "temperature", -20)
		time.Sleep(5 * time.Minute)
		w.crash() // which does not end the warming
		w.start()
		w.mustSend("freezer-3", "temperature", -20)
		w.mustSend("freezer-3", "temperature", -12)
		time.Sleep(20 * time.Minute)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.start()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for _, r := range w.endpoints {
			equal(t, "told", r.types(), []string{"alarm.fired", "alarm.fired", "alarm.sync"})
			list := r.list()
			for i, first := range []bool{true, false} {
				if got := strings.Contains(list[i].Body, `"first_seen_after_restart":true`); got != first {
					t.Errorf("%s was marked %t, want %t: %s", list[i].Alarm, got, first, list[i].Body)
				}
			}
			body := list[2].Body
			if !strings.Contains(body, `"part":1,"parts":1,"alarms":[{"key":"warm/freezer-1","episode":"ep_`) ||
				!strings.Contains(body, `{"key":"warm/freezer-3"`) || strings.Contains(body, "freezer-2") {
				t.Errorf("told %s", body)
			}
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNewStoreIsSaidByTheStartThatMadeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.level = slog.LevelInfo
		said := func(when string, want int) {
			t.Helper()
			if got := w.logged("the store is new"); len(got) != want {
				t.Errorf("%s: the store was said to be new %d times, want %d: %q", when, len(got), want, got)
			}
		}
		w.start()
		said("the first start", 1)
		time.Sleep(time.Minute) // it warms up still
		w.crash()
		w.start()
		said("a start after a crash", 1)
		time.Sleep(time.Hour)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.start()
		said("a later start", 1)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		lost, err := filepath.Glob(filepath.Join(w.dir, "data", "tocsin.db*"))
		if err != nil || len(lost) == 0 {
			t.Fatalf("the files of the store: %q, %v", lost, err)
		}
		for _, name := range lost {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		w.start()
		said("a start without the file", 2)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
