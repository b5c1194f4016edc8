package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

const far = time.Hour

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

func deliveryCarriesItsEvent(t *testing.T, f *fixture) {
	before := time.Now()
	tr := event("the-id", "rule/a", "x")
	f.commitAll(tr)
	for _, reopened := range []bool{false, true} {
		if reopened {
			f.reopen()
		}
		d := f.wants("x", "the-id")[0]
		e := tr.Events[0]
		if d.Event <= 0 || d.Endpoint != "x" || d.Alarm != "rule/a" || d.Type != e.Type || !d.At.Equal(e.At) || d.Attempt != 0 {
			t.Errorf("delivery = %+v", d)
		}
		if d.Owed.Before(before.Truncate(time.Millisecond)) || d.Owed.After(time.Now().Add(time.Millisecond)) {
			t.Errorf("owed since %v, committed after %v", d.Owed, before)
		}
		var back rules.Event
		if err := json.Unmarshal(d.Data, &back); err != nil {
			t.Fatal(err)
		}
		e.Endpoints = nil
		if !reflect.DeepEqual(back, e) {
			t.Errorf("data = %s, want %+v", d.Data, e)
		}
		if strings.Contains(string(d.Data), `\u003c`) {
			t.Errorf("data is escaped for HTML: %s", d.Data)
		}
	}
}

func bodyIsTheSameInEveryAttempt(t *testing.T, f *fixture) {
	f.commit("rule/a", "x", "y")
	first := f.claim("x", 1)[0]
	f.finish(bridge.Retry, time.Now(), first)
	second := f.claim("x", 1)[0]
	sameDelivery(t, second, first)
	f.reopen()
	sameDelivery(t, f.claim("x", 1)[0], first)
	other := f.claim("y", 1)[0]
	other.Endpoint = "x"
	sameDelivery(t, other, first)
}

func unknownEndpointIsOwedNothing(t *testing.T, f *fixture) {
	f.commit("rule/a", "x")
	f.commit("rule/a")
	due, next := f.claimNext("nobody", 10)
	if len(due) > 0 || !next.IsZero() {
		t.Errorf("Claim = %v, %v", due, next)
	}
	f.wantsBacklog("nobody", 0, 0)
	// An endpoint that is named for the first time is owed nothing from before.
	late := f.commit("rule/a", "late")
	f.reopen()
	f.wants("late", late)
}

func claimKeepsToTheLimit(t *testing.T, f *fixture) {
	for i := range 10 {
		f.commit(fmt.Sprintf("rule/%d", i), "x")
	}
	seen := 0
	for _, want := range []int{3, 3, 3, 1, 0} {
		due, next := f.claimNext("x", 3)
		if len(due) != want {
			t.Fatalf("%d deliveries, want %d", len(due), want)
		}
		if seen += want; seen < 9 && next.IsZero() {
			t.Errorf("nothing is said to be due after %d of 10", seen)
		}
		if want == 0 && !next.IsZero() {
			t.Errorf("next = %v with everything leased", next)
		}
	}
}

func leasedIsNotClaimedAgain(t *testing.T, f *fixture) {
	a := f.commit("rule/a", "x", "y")
	due := f.wants("x", a)
	f.wants("x")
	f.wants("y", a) // a lease is of one endpoint
	f.deliver(due...)
	f.wants("x")
}

func leaseEndsWithTheProcess(t *testing.T, f *fixture) {
	a := f.commit("rule/a", "x")
	b := f.commit("rule/a", "x")
	f.wants("x", a)
	f.reopen()
	f.deliver(f.wants("x", a)...)
	f.wants("x", b)
	f.reopen()
	f.wants("x", b)
}

func alarmIsToldInOrder(t *testing.T, f *fixture) {
	a1, b1 := f.commit("rule/a", "x"), f.commit("rule/b", "x")
	a2, a3 := f.commit("rule/a", "x"), f.commit("rule/a", "x")
	due := f.wants("x", a1, b1)
	f.wants("x") // leased
	f.finish(bridge.Retry, time.Now().Add(far), due[0])
	f.wants("x") // waiting for its retry
	a4 := f.commit("rule/a", "x")
	f.wants("x")
	f.deliver(due[1])
	f.set(bridge.EndpointState{Name: "x", Disabled: true})
	f.set(bridge.EndpointState{Name: "x"}) // makes the retry due
	for _, id := range []string{a1, a2, a3, a4} {
		f.deliver(f.wants("x", id)...)
	}
	f.wants("x")
	f.wantsBacklog("x", 0, 0)
}

func alarmIsToldInOrderAfterReopen(t *testing.T, f *fixture) {
	a1 := f.commit("rule/a", "x")
	a2 := f.commit("rule/a", "x")
	f.finish(bridge.Retry, time.Now().Add(far), f.wants("x", a1)...)
	a3, b1 := f.commit("rule/a", "x"), f.commit("rule/b", "x")
	f.reopen()
	a4 := f.commit("rule/a", "x")
	f.deliver(f.wants("x", b1)...)
	f.reopen()
	f.wants("x")
	f.wantsBacklog("x", 4, 0)
	f.set(bridge.EndpointState{Name: "x", Disabled: true})
	f.set(bridge.EndpointState{Name: "x"})
	for _, id := range []string{a1, a2, a3, a4} {
		f.deliver(f.wants("x", id)...)
		f.reopen()
	}
	f.wants("x")
}

func failingAlarmHoldsNoOther(t *testing.T, f *fixture) {
	bad := f.commit("rule/bad", "x")
	f.finish(bridge.Retry, time.Now().Add(far), f.wants("x", bad)...)
	for range 50 {
		f.commit("rule/bad", "x") // set aside behind the first
		good := f.commit("rule/good", "x")
		f.deliver(f.wants("x", good)...)
	}
	f.reopen()
	good := f.commit("rule/good", "x")
	f.deliver(f.wants("x", good)...)
	f.wantsBacklog("x", 51, 0)
}

func retryWaitsUntilItIsDue(t *testing.T, f *fixture) {
	a := f.commit("rule/a", "x")
	due := f.wants("x", a)
	at := time.Now().Add(50 * time.Millisecond)
	f.finish(bridge.Retry, at, due...)
	for {
		due, next := f.claimNext("x", 10)
		if len(due) > 0 {
			if now := time.Now(); now.Before(at) {
				t.Errorf("handed out %v too early", at.Sub(now))
			}
			if due[0].Attempt != 1 {
				t.Errorf("attempt %d, want 1", due[0].Attempt)
			}
			return
		}
		if d := next.Sub(at); d < -time.Millisecond || d > time.Millisecond {
			t.Fatalf("next = %v, want %v", next, at)
		}
		<-time.After(time.Until(next))
	}
}

func retrySurvivesReopen(t *testing.T, f *fixture) {
	a, b := f.commit("rule/a", "x"), f.commit("rule/b", "x")
	due := f.wants("x", a, b)
	at := time.Now().Add(far)
	f.finish(bridge.Retry, at, due[0])
	f.finish(bridge.Retry, time.Now(), due[1])
	f.reopen()
	due, next := f.claimNext("x", 10)
	if len(due) != 1 || due[0].ID != b || due[0].Attempt != 1 {
		t.Errorf("Claim = %+v", due)
	}
	if d := next.Sub(at); d < -time.Millisecond || d > time.Millisecond {
		t.Errorf("next = %v, want %v", next, at)
	}
}

func releasedIsAsItWas(t *testing.T, f *fixture) {
	a := f.commit("rule/a", "x")
	f.finish(bridge.Released, time.Time{}, f.wants("x", a)...)
	due := f.wants("x", a)
	if due[0].Attempt != 0 {
		t.Errorf("attempt %d after a release, want 0", due[0].Attempt)
	}
	f.finish(bridge.Retry, time.Now(), due...)
	f.finish(bridge.Released, time.Time{}, f.wants("x", a)...)
	if due = f.wants("x", a); due[0].Attempt != 1 {
		t.Errorf("attempt %d, want 1", due[0].Attempt)
	}
	f.wantsBacklog("x", 1, 0)
}

func deadLetsTheNextThrough(t *testing.T, f *fixture) {
	a, b := f.commit("rule/a", "x"), f.commit("rule/a", "x")
	f.finish(bridge.Dead, time.Time{}, f.wants("x", a)...)
	f.wantsBacklog("x", 1, 1)
	f.wants("x", b)
	f.reopen()
	f.wantsBacklog("x", 1, 1)
	f.wants("x", b)
}

func unleasedOutcomeIsIgnored(t *testing.T, f *fixture) {
	a := f.commit("rule/a", "x")
	due := f.wants("x", a)
	f.finish(bridge.Retry, time.Now(), due...)
	f.deliver(due...) // its lease has ended
	stranger := due[0]
	stranger.Event = 999
	f.deliver(stranger)
	stranger.Event, stranger.Endpoint = due[0].Event, "nobody"
	f.deliver(stranger)
	f.wantsBacklog("x", 1, 0)
	f.wants("x", a)
}

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

func backlogIsExact(t *testing.T, f *fixture) {
	before := time.Now().Truncate(time.Millisecond)
	for i := range 20 {
		f.commit(fmt.Sprintf("rule/%d", i%4), "x", "y")
	}
	between := time.Now()
	f.wantsBacklog("x", 20, 0)
	if o := f.backlog("x").Oldest; o.Before(before) || o.After(between) {
		t.Errorf("oldest = %v, want one of %v to %v", o, before, between)
	}
	due := f.claim("x", 4)
	f.deliver(due[:2]...)
	f.finish(bridge.Dead, time.Time{}, due[2])
	f.finish(bridge.Retry, time.Now().Add(far), due[3])
	for range 2 {
		f.wantsBacklog("x", 17, 1)
		f.wantsBacklog("y", 20, 0)
		f.reopen()
	}
}

func trimKeepsWhatIsOwed(t *testing.T, f *fixture) {
	done := f.commit("rule/a", "x", "y")
	owed := f.commit("rule/b", "x", "y")
	dead := f.commit("rule/c", "x")
	retried := f.commit("rule/d", "x")
	f.commit("rule/e") // for the history alone
	due := f.wants("x", done, owed, dead, retried)
	f.deliver(due[0], due[1])
	f.finish(bridge.Dead, time.Time{}, due[2])
	f.finish(bridge.Retry, time.Now(), due[3])
	f.deliver(f.wants("y", done, owed)[0])
	last := f.commit("rule/f", "z")
	f.trim(time.Now().Add(-far), 0) // nothing is that old
	f.wantsBacklog("x", 1, 1)
	f.trim(time.Now().Add(far), 1) // everything is
	f.wantsBacklog("x", 1, 0)
	f.wantsBacklog("y", 1, 0)
	f.wants("x", retried)
	f.reopen()
	f.wants("x", retried)
	f.wants("y", owed)
	f.wants("z", last)
	f.wantsBacklog("x", 1, 0)
	f.wantsBacklog("y", 1, 0)
	if n := len(f.states()); n != 6 {
		t.Errorf("%d states after a trim, want 6", n)
	}
}

func trimDropsTheOldestOverTheLimit(t *testing.T, f *fixture) {
	commit := func(n int) {
		for i := 0; i < n; i += 100 {
			var ts []rules.Transition
			for range 100 {
				f.made++
				ts = append(ts, event(fmt.Sprintf("event-%05d", f.made), "rule/a", "x"))
			}
			f.commitAll(ts...)
		}
	}
	commit(2000)
	for {
		due := f.claim("x", 100)
		if len(due) == 0 {
			break
		}
		f.deliver(due...)
	}
	f.commit("rule/b", "x")
	f.reopen()
	full, err := f.Log().Size()
	if err != nil {
		t.Fatal(err)
	}
	f.trim(time.Now().Add(-far), 1<<40)
	if same, _ := f.Log().Size(); same < full/2 {
		t.Errorf("size %d of %d, though nothing had to go", same, full)
	}
	f.trim(time.Now().Add(-far), 1)
	f.reopen()
	less, err := f.Log().Size()
	if err != nil || less >= full {
		t.Errorf("size %d after trimming %d (%v)", less, full, err)
	}
	f.wantsBacklog("x", 1, 0)
}

func numbersAscendAfterTrimAndReopen(t *testing.T, f *fixture) {
	a := f.commit("rule/a", "x")
	due := f.wants("x", a)
	f.deliver(due...)
	f.trim(time.Now().Add(far), 1)
	f.reopen()
	b := f.commit("rule/a", "x")
	if next := f.wants("x", b)[0]; next.Event <= due[0].Event {
		t.Errorf("event %d comes after event %d", next.Event, due[0].Event)
	}
}

func everybodyAtOnce(t *testing.T, f *fixture) {
	const events = 300
	ctx := context.Background()
	endpoints := []string{"a", "b", "c"}
	var wg sync.WaitGroup
	committed := make(chan struct{})
	wg.Go(func() {
		defer close(committed)
		for i := range events {
			tr := event(fmt.Sprintf("e%05d", i), fmt.Sprintf("rule/%d", i%11), endpoints...)
			if err := f.Commit(ctx, bridge.Batch{Transitions: []rules.Transition{tr}}); err != nil {
				t.Errorf("Commit: %v", err)
				return
			}
		}
	})
	for _, name := range endpoints {
		wg.Go(func() { deliverAll(t, f, name, events) })
	}
	stop := make(chan struct{})
	var log sync.WaitGroup
	log.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			for _, err := range f.States(ctx, "") {
				if err != nil {
					t.Errorf("States: %v", err)
				}
			}
			if _, err := f.Log().Backlog(ctx, "a"); err != nil {
				t.Errorf("Backlog: %v", err)
			}
			if err := f.Log().Trim(ctx, time.Now().Add(far), 1<<40); err != nil {
				t.Errorf("Trim: %v", err)
			}
		}
	})
	<-committed
	wg.Wait()
	close(stop)
	log.Wait()
	for _, name := range endpoints {
		f.wantsBacklog(name, 0, 0)
	}
}

// deliverAll is a lane: every third attempt fails once.
func deliverAll(t *testing.T, f *fixture, name string, events int) {
	ctx := context.Background()
	last := make(map[string]string)
	deadline := time.Now().Add(20 * time.Second)
	for done := 0; done < events; {
		due, _, err := f.Claim(ctx, bridge.Ask{Endpoint: name, Limit: 7})
		if err != nil || time.Now().After(deadline) {
			t.Errorf("%s got %d of %d: %v", name, done, events, err)
			return
		}
		if len(due) == 0 {
			<-time.After(time.Millisecond)
		}
		for _, d := range due {
			o := bridge.Outcome{Event: d.Event, Endpoint: name, Attempt: d.Attempt + 1, At: time.Now()}
			if d.Attempt == 0 && d.Event%3 == 0 {
				o.Fate, o.Due = bridge.Retry, time.Now()
			} else {
				done++
				if d.ID <= last[d.Alarm] {
					t.Errorf("%s is told %s after %s", d.Alarm, d.ID, last[d.Alarm])
				}
				last[d.Alarm] = d.ID
			}
			if err := f.Finish(ctx, []bridge.Outcome{o}); err != nil {
				t.Errorf("Finish: %v", err)
				return
			}
		}
	}
}
