package bridge_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
)

// members are the ids of a message's events: its own, or those of its batch.
func members(t *testing.T, m webhook.Message) (ids, told []string) {
	t.Helper()
	type single struct {
		Type string
		Data struct {
			ID    string
			Alarm struct{ Key string }
		}
	}
	var body struct {
		Type string
		Data json.RawMessage
	}
	if err := json.Unmarshal(m.Body, &body); err != nil {
		t.Fatalf("%s: %v", m.Body, err)
	}
	list := make([]single, 1)
	var err error
	if body.Type == "batch" {
		err = json.Unmarshal(body.Data, &list)
	} else {
		err = json.Unmarshal(m.Body, &list[0])
	}
	if err != nil {
		t.Fatalf("%s: %v", m.Body, err)
	}
	for _, s := range list {
		ids = append(ids, s.Data.ID)
		told = append(told, s.Data.Alarm.Key+" "+s.Type)
	}
	return ids, told
}

func TestEventsOfManyAlarmsGoInOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.treat = func(e *bridge.Endpoint) { e.Batch = bridge.Batching{Max: 100, Wait: time.Second} }
		ops := w.endpoints["ops"]
		bodies := map[string]string{} // by id of the message
		var mu sync.Mutex
		ops.answer = func(n int, m webhook.Message) webhook.Result {
			mu.Lock()
			defer mu.Unlock()
			if was, ok := bodies[m.ID]; ok && was != string(m.Body) {
				t.Errorf("%s has two bodies", m.ID)
			}
			bodies[m.ID] = string(m.Body)
			if n <= 3 {
				return failing(503)
			}
			return webhook.Result{Verdict: webhook.Accepted, Status: 200}
		}
		w.start()
		for i := range 250 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		for i := range 250 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -18)
		}
		time.Sleep(10 * time.Minute)
		ops.mu.Lock()
		defer ops.mu.Unlock()
		if n := len(ops.attempts); n > 15 {
			t.Errorf("%d requests for 500 events", n)
		}
		if n := len(bodies); n > 8 {
			t.Errorf("%d messages for 500 events: a batch that failed did not stay together", n)
		}
		last := map[string]string{} // type by alarm
		seen := map[string]bool{}
		for _, m := range ops.attempts[3:] {
			ids, told := members(t, m)
			for i, id := range ids {
				alarm, typ, _ := strings.Cut(told[i], " ")
				if typ == "alarm.resolved" && last[alarm] != "alarm.fired" {
					t.Errorf("%s is told %s after %q", alarm, typ, last[alarm])
				}
				last[alarm], seen[id] = typ, true
			}
		}
		if len(seen) != 500 {
			t.Errorf("%d events were accepted, want 500", len(seen))
		}
		ops.mu.Unlock()
		err := w.halt()
		ops.mu.Lock()
		if err != nil {
			t.Fatal(err)
		}
	})
}

// One event that the receiver can never take does not cost the others of its
// batch: they are told one by one.
func TestBatchThatIsRefusedIsTakenApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.treat = func(e *bridge.Endpoint) { e.Batch = bridge.Batching{Max: 10, Wait: time.Second} }
		ops := w.endpoints["ops"]
		var accepted []string
		var mu sync.Mutex
		ops.answer = func(_ int, m webhook.Message) webhook.Result {
			_, told := members(t, m)
			if slices.Contains(told, "warm/freezer-3 alarm.fired") {
				return webhook.Result{Verdict: webhook.Refused, Status: 422, Err: errBoom}
			}
			mu.Lock()
			defer mu.Unlock()
			accepted = append(accepted, told...)
			return webhook.Result{Verdict: webhook.Accepted, Status: 200}
		}
		w.start()
		for i := range 10 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(time.Minute)
		mu.Lock()
		if len(accepted) != 9 {
			t.Errorf("accepted: %q", accepted)
		}
		mu.Unlock()
		backlog, err := w.db.Log().Backlog(t.Context(), "ops")
		if err != nil || backlog.Count != 0 || backlog.Dead != 1 {
			t.Errorf("%+v, %v", backlog, err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
