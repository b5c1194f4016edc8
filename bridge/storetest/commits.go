package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"tocsin/bridge"
	"tocsin/rules"
)

func committedIsThereAfterReopen(t *testing.T, f *fixture) {
	a := f.commit("rule/a", "x", "y")
	b := f.commit("rule/b", "x")
	f.commitAll(rules.Transition{State: rules.State{Key: "rule/c", Rule: "rule", Device: "c", Seq: 7, Told: []string{"x"}}})
	before := f.states()
	f.reopen()
	if after := f.states(); !reflect.DeepEqual(after, before) || len(after) != 3 || after["rule/c"].Seq != 7 {
		t.Errorf("states after reopen = %v, before %v", after, before)
	}
	f.wants("x", a, b)
	f.wants("y", a)
}

func lastStateOfABatchCounts(t *testing.T, f *fixture) {
	f.commitAll(event("1", "rule/a", "x"), event("2", "rule/b", "x"), event("3", "rule/a", "x"))
	if s := f.states(); s["rule/a"].Episode != "3" || s["rule/b"].Episode != "2" {
		t.Errorf("states = %v", s)
	}
	f.deliver(f.wants("x", "1", "2")...)
	f.wants("x", "3")
}

func everyStateIsYielded(t *testing.T, f *fixture) {
	const n = 1000
	var ts []rules.Transition
	for i := range n {
		ts = append(ts, rules.Transition{State: rules.State{Key: fmt.Sprintf("rule/%d", i), Seq: i}})
	}
	f.commitAll(ts...)
	all := f.states()
	if len(all) != n {
		t.Fatalf("%d states, want %d", len(all), n)
	}
	for i := range n {
		if got := all[fmt.Sprintf("rule/%d", i)].Seq; got != i {
			t.Errorf("state %d holds %d", i, got)
		}
	}
}

func statesComeInTheOrderOfTheirKeys(t *testing.T, f *fixture) {
	keys := []string{"a", "a/b", "b/\x01", "b/a", "b/é"}
	for _, key := range []string{"b/é", "a/b", "b/a", "a", "b/\x01"} {
		f.commit(key)
	}
	for i, from := range append(keys, "c") {
		var got []string
		for s, err := range f.States(context.Background(), from) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s.Key)
		}
		if !slices.Equal(got, keys[i:]) {
			t.Errorf("from %q: %q, want %q", from, got, keys[i:])
		}
	}
}

func iterationOfStatesMayStop(t *testing.T, f *fixture) {
	f.commit("rule/a")
	f.commit("rule/b")
	for s, err := range f.States(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		// The store is free while the caller works on a state.
		f.commit(s.Key + "/more")
		break
	}
	if n := len(f.states()); n != 3 {
		t.Errorf("%d states, want 3", n)
	}
}

func knownEventIsIgnored(t *testing.T, f *fixture) {
	again := event("once", "rule/a", "x")
	f.commitAll(again)
	f.commitAll(again)
	due := f.wants("x", "once")
	f.commitAll(again, again)
	f.wants("x")
	f.deliver(due...)
	f.commitAll(again)
	f.wantsBacklog("x", 0, 0)
	f.reopen()
	f.commitAll(again)
	f.wants("x")
	f.wantsBacklog("x", 0, 0)
}

func emptyBatchIsCommitted(t *testing.T, f *fixture) {
	f.commitAll()
	a := f.commit("rule/a", "x")
	f.commitAll()
	f.wants("x", a)
}

func endedContextCommitsNothing(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := f.Commit(ctx, bridge.Batch{Transitions: []rules.Transition{event("never", "rule/a", "x")}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Commit = %v, want %v", err, context.Canceled)
	}
	f.wants("x")
	f.wants("x", append([]string(nil), f.commit("rule/a", "x"))...)
}
