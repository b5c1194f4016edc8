package storetest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

func disabledEndpointKeepsEverything(t *testing.T, f *fixture) {
	a, b := f.commit("rule/a", "x", "y"), f.commit("rule/b", "x", "y")
	due := f.wants("x", a, b)
	f.set(bridge.EndpointState{Name: "x", Disabled: true, Reason: "410 Gone"})
	f.deliver(due[0]) // an attempt that was under way may still end
	f.finish(bridge.Released, time.Time{}, due[1])
	c := f.commit("rule/c", "x", "y")
	for range 2 {
		due, next := f.claimNext("x", 10)
		if len(due) > 0 || !next.IsZero() {
			t.Errorf("a disabled endpoint is handed %v, next %v", ids(due), next)
		}
		f.wantsBacklog("x", 2, 0)
		f.wants("y", a, b, c)
		f.reopen()
	}
	f.set(bridge.EndpointState{Name: "x"})
	f.wants("x", b, c)
}

func enabledEndpointIsDueAtOnce(t *testing.T, f *fixture) {
	a, b := f.commit("rule/a", "x"), f.commit("rule/b", "x")
	f.finish(bridge.Retry, time.Now().Add(far), f.wants("x", a, b)...)
	f.set(bridge.EndpointState{Name: "x"}) // was not disabled: nothing changes
	f.wants("x")
	f.set(bridge.EndpointState{Name: "x", Disabled: true})
	f.set(bridge.EndpointState{Name: "x"})
	f.reopen()
	for _, d := range f.wants("x", a, b) {
		if d.Attempt != 1 {
			t.Errorf("attempt %d, want 1", d.Attempt)
		}
	}
}

func endpointStateSurvivesReopen(t *testing.T, f *fixture) {
	f.commit("rule/a", "x", "silent")
	want := []bridge.EndpointState{
		{Name: "a", Disabled: true, Reason: "410 Gone", Memo: `{"floor":1}`, Target: "sha256:1", Since: time.Date(2026, 11, 22, 1, 2, 3, 4, time.UTC)},
		{Name: "silent"},
		{Name: "x", Target: "sha256:2"},
	}
	f.set(want[2])
	f.set(want[0])
	for range 2 {
		got, err := f.Log().Endpoints(context.Background())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Endpoints = %+v, %v, want %+v", got, err, want)
		}
		f.reopen()
	}
}

func deadEndpointHoldsNoOther(t *testing.T, f *fixture) {
	const n = 100
	for i := range n {
		f.commit(fmt.Sprintf("rule/%d", i%7), "dead", "live")
		f.deliver(f.claim("live", 10)...)
		if i%10 == 0 {
			f.finish(bridge.Retry, time.Now().Add(far), f.claim("dead", 1)...)
		}
	}
	f.wantsBacklog("live", 0, 0)
	f.wantsBacklog("dead", n, 0)
	f.reopen()
	f.wantsBacklog("dead", n, 0)
	if due := f.claim("live", 10); len(due) > 0 {
		t.Errorf("delivered again: %v", ids(due))
	}
	f.set(bridge.EndpointState{Name: "dead", Disabled: true})
	f.set(bridge.EndpointState{Name: "dead"})
	got := 0
	for {
		due := f.claim("dead", 10)
		if len(due) == 0 {
			break
		}
		got += len(due)
		f.deliver(due...)
	}
	if got != n {
		t.Errorf("%d delivered late, want %d", got, n)
	}
}

func retriesAndNewTakeTurns(t *testing.T, f *fixture) {
	const n = 40
	tried := make(map[string]bool)
	for i := range n {
		tried[f.commit(fmt.Sprintf("old/%d", i), "x")] = true
	}
	f.finish(bridge.Retry, time.Now(), f.claim("x", n)...)
	for i := range n {
		f.commit(fmt.Sprintf("new/%d", i), "x")
	}
	old, fresh := 0, 0
	for _, d := range f.claim("x", n/2) {
		if tried[d.ID] {
			old++
		} else {
			fresh++
		}
	}
	if old < n/8 || fresh < n/8 {
		t.Errorf("of %d claimed, %d were tried before and %d are new: one starves", n/2, old, fresh)
	}
}

// longBacklogIsToldWhole is long enough to make a store with bounds meet them.
func longBacklogIsToldWhole(t *testing.T, f *fixture) {
	const n, alarms = 6000, 5000
	var want []string
	for i := 0; i < n; i += 500 {
		var ts []rules.Transition
		for j := i; j < i+500; j++ {
			id := fmt.Sprintf("long-%05d", j)
			want = append(want, id)
			ts = append(ts, event(id, fmt.Sprintf("rule/%d", j%alarms), "x"))
		}
		f.commitAll(ts...)
		if i == 3000 {
			f.reopen()
		}
	}
	seen := make(map[string]int)
	last := make(map[string]string)
	for {
		due := f.claim("x", 200)
		if len(due) == 0 {
			break
		}
		for _, d := range due {
			seen[d.ID]++
			if d.ID <= last[d.Alarm] {
				t.Fatalf("%s is told %s after %s", d.Alarm, d.ID, last[d.Alarm])
			}
			last[d.Alarm] = d.ID
		}
		f.deliver(due...)
	}
	for _, id := range want {
		if seen[id] != 1 {
			t.Fatalf("%s was handed out %d times", id, seen[id])
		}
	}
	f.wantsBacklog("x", 0, 0)
}
