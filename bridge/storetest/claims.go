package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

const far = time.Hour

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
