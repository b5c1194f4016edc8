package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// tells commits an event of a type and returns its id.
func (f *fixture) tells(typ rules.Type, alarm string, endpoints ...string) string {
	f.t.Helper()
	f.made++
	id := fmt.Sprintf("event-%05d", f.made)
	tr := event(id, alarm, endpoints...)
	tr.Events[0].Type = typ
	f.commitAll(tr)
	return id
}

// wantsStale claims by a mode and compares the ids.
func (f *fixture) wantsStale(mode bridge.Stale, endpoint string, want ...string) []bridge.Delivery {
	f.t.Helper()
	due, _ := f.ask(bridge.Ask{Endpoint: endpoint, Limit: 100, Stale: mode})
	if got := ids(due); !slices.Equal(got, want) {
		f.t.Fatalf("Claim(%s) = %v, want %v", endpoint, got, want)
	}
	return due
}

func endedWithoutAnAttemptLetsTheNextThrough(t *testing.T, f *fixture) {
	a, b, c := f.commit("rule/a", "x"), f.commit("rule/a", "x"), f.commit("rule/a", "x")
	f.finish(bridge.Cancelled, time.Time{}, f.wants("x", a)...)
	f.finish(bridge.Superseded, time.Time{}, f.wants("x", b)...)
	f.wantsBacklog("x", 1, 0)
	f.reopen()
	f.wantsBacklog("x", 1, 0)
	f.wants("x", c)
}

func (f *fixture) keep(d bridge.Delivery, keep map[string]string) {
	f.t.Helper()
	o := bridge.Outcome{Event: d.Event, Endpoint: d.Endpoint, Attempt: d.Attempt + 1, Status: 201, At: time.Now(), Keep: keep}
	if err := f.Finish(f.t.Context(), []bridge.Outcome{o}); err != nil {
		f.t.Fatal(err)
	}
}

// wantsKept claims one delivery and compares what comes with it.
func (f *fixture) wantsKept(endpoint, id string, want map[string]string) bridge.Delivery {
	f.t.Helper()
	d := f.wants(endpoint, id)[0]
	if !reflect.DeepEqual(d.Kept, want) {
		f.t.Errorf("%s comes to %s with %v, want %v", id, endpoint, d.Kept, want)
	}
	return d
}

func whatIsKeptIsHandedOut(t *testing.T, f *fixture) {
	ticket := map[string]string{"ticket": "42"}
	f.keep(f.wantsKept("x", f.commit("rule/a", "x"), nil), ticket)
	f.keep(f.wantsKept("x", f.commit("rule/a", "x"), ticket), nil)
	other := map[string]string{"ticket": "43", "note": "é \" \n"}
	f.keep(f.wantsKept("x", f.commit("rule/a", "x"), ticket), other)
	d := f.wantsKept("x", f.commit("rule/a", "x"), other)
	f.finish(bridge.Retry, time.Now(), d)
	f.keep(f.wantsKept("x", d.ID, other), map[string]string{})
	f.wantsKept("x", f.commit("rule/a", "x"), nil)
}

func whatIsKeptSurvivesReopen(t *testing.T, f *fixture) {
	ticket := map[string]string{"ticket": "42"}
	f.keep(f.wantsKept("x", f.commit("rule/a", "x"), nil), ticket)
	f.reopen()
	d := f.wantsKept("x", f.commit("rule/a", "x"), ticket)
	f.commitAll() // it is on disk, and was handed out before that
	f.keep(d, map[string]string{})
	f.reopen()
	f.wantsKept("x", f.commit("rule/a", "x"), nil)
}

func whatIsKeptIsOfOneEndpointAndAlarm(t *testing.T, f *fixture) {
	ticket := map[string]string{"ticket": "42"}
	f.keep(f.wantsKept("x", f.commit("rule/a", "x"), nil), ticket)
	b := f.commit("rule/b", "x", "y")
	f.deliver(f.wantsKept("x", b, nil), f.wantsKept("y", b, nil))
	a := f.commit("rule/a", "x", "y")
	f.wantsKept("y", a, nil)
	f.wantsKept("x", a, ticket)
}

// While a rule is renamed, an episode under way goes on by its former key for
// those who were told of it.
func whatIsKeptGoesByTheKeyThatReceiversHave(t *testing.T, f *fixture) {
	ticket := map[string]string{"ticket": "42"}
	f.keep(f.wantsKept("x", f.commit("former/a", "x"), nil), ticket)
	renamed := event("after", "latter/a", "x")
	renamed.Events[0].Alarm.Key = "former/a"
	f.commitAll(renamed)
	d := f.wantsKept("x", "after", ticket)
	f.keep(d, map[string]string{"ticket": "43"})
	f.reopen()
	renamed.Events[0].ID = "again"
	f.commitAll(renamed)
	f.wantsKept("x", "again", map[string]string{"ticket": "43"})
}

// The number of a ticket is needed as long as its alarm may have an end.
func whatIsKeptGoesWithItsAlarm(t *testing.T, f *fixture) {
	ticket := map[string]string{"ticket": "42"}
	firing := event("firing", "rule/firing", "x")
	firing.State.StartedAt = time.Now()
	firing.State.Levels = []rules.LevelState{{Severity: rules.Major, On: true}}
	over := event("over", "rule/over", "x")
	over.State.StartedAt, over.State.EndedAt = time.Now(), time.Now()
	busy := event("busy", "rule/busy", "y")
	busy.State.StartedAt, busy.State.EndedAt = time.Now(), time.Now()
	f.commitAll(firing, over, busy)
	for _, d := range append(f.wants("x", "firing", "over"), f.wants("y", "busy")...) {
		f.keep(d, ticket)
	}
	owed := f.commit("rule/busy", "y") // of whatever alarm
	f.trim(time.Now().Add(-far), 0)
	f.wantsKept("x", f.commit("rule/over", "x"), ticket)
	f.reopen()
	f.deliver(f.claim("x", 1)...)
	ended := f.commit("rule/over")
	over.Events, over.State.Episode = nil, ended
	f.commitAll(over)
	f.trim(time.Now().Add(far), 0)
	f.wantsKept("x", f.commit("rule/over", "x"), nil)
	f.wantsKept("x", f.commit("rule/firing", "x"), ticket)
	f.wantsKept("y", owed, ticket)
}

func latestSendsTheNewestState(t *testing.T, f *fixture) {
	fired := f.tells(rules.AlarmFired, "rule/a", "x", "y")
	f.finish(bridge.Retry, time.Now(), f.wants("x", fired)...)
	f.tells(rules.AlarmReminder, "rule/a", "x", "y")
	f.tells(rules.AlarmResolved, "rule/a", "x", "y")
	again := f.tells(rules.AlarmFired, "rule/a", "x", "y")
	acked := f.tells(rules.AlarmAcked, "rule/a", "x", "y")
	other := f.tells(rules.AlarmFired, "rule/b", "x", "y")
	for i, name := range []string{"x", "y"} {
		due := f.wantsStale(bridge.StaleLatest, name, again, other)
		if due[0].Attempt != 0 {
			t.Errorf("attempt %d of what was never sent", due[0].Attempt)
		}
		f.wantsBacklog(name, 3, 0)
		f.deliver(due...)
		f.deliver(f.wantsStale(bridge.StaleLatest, name, acked)...)
		f.wantsBacklog(name, 0, 0)
		if i == 0 {
			f.reopen()
		}
	}
}

func latestKeepsWhatIsNoState(t *testing.T, f *fixture) {
	reading := f.tells(rules.ReadingMatched, "rule/a", "x")
	f.tells(rules.DeviceOffline, "rule/a", "x")
	more := f.tells(rules.ReadingMatched, "rule/a", "x")
	online := f.tells(rules.DeviceOnline, "rule/a", "x")
	for _, id := range []string{reading, more, online} {
		f.deliver(f.wantsStale(bridge.StaleLatest, "x", id)...)
		f.reopen()
	}
	f.wantsBacklog("x", 0, 0)
}

func collapseTellsAnUnheardEpisodeWhole(t *testing.T, f *fixture) {
	fired := f.tells(rules.AlarmFired, "rule/a", "x", "y")
	f.tells(rules.AlarmEscalated, "rule/a", "x", "y")
	resolved := f.tells(rules.AlarmResolved, "rule/a", "x", "y")
	again := f.tells(rules.AlarmFired, "rule/a", "x", "y")
	due, _ := f.ask(bridge.Ask{Endpoint: "x", Limit: 100, Stale: bridge.StaleCollapse})
	if len(due) != 1 || due[0].Type != rules.AlarmOccurred || due[0].ID == fired || due[0].ID == resolved ||
		strings.Contains(due[0].ID, ".") || due[0].Alarm != "rule/a" {
		t.Fatalf("Claim = %+v", due)
	}
	var whole rules.Event
	if err := json.Unmarshal(due[0].Data, &whole); err != nil {
		t.Fatal(err)
	}
	if whole.ID != due[0].ID || whole.Type != due[0].Type || whole.EndedAt == nil || whole.Alarm.Key != "rule/a" {
		t.Errorf("the whole episode is told by %s", due[0].Data)
	}
	f.wantsBacklog("x", 2, 0)
	f.wantsBacklog("y", 4, 0)
	f.deliver(due...)
	f.deliver(f.wantsStale(bridge.StaleCollapse, "x", again)...)
	f.wantsBacklog("x", 0, 0)
	f.deliver(f.wants("y", fired)...) // was sent the start: will be sent the end
	for len(f.wantsAny("y")) > 0 {
	}
	f.wantsBacklog("y", 0, 0)
}

// wantsAny delivers what is due.
func (f *fixture) wantsAny(endpoint string) []bridge.Delivery {
	f.t.Helper()
	due, _ := f.ask(bridge.Ask{Endpoint: endpoint, Limit: 100, Stale: bridge.StaleCollapse})
	for _, d := range due {
		if d.Type == rules.AlarmOccurred {
			f.t.Errorf("%s is told as if nobody had been told of its start", d.ID)
		}
	}
	f.deliver(due...)
	return due
}

func collapseLeavesWhatMayHaveBeenHeard(t *testing.T, f *fixture) {
	fired := f.tells(rules.AlarmFired, "rule/a", "x")
	unheard := f.tells(rules.AlarmFired, "rule/b", "x")
	due := f.wants("x", fired, unheard)
	f.finish(bridge.Retry, time.Now(), due[0]) // it may have been a lost answer
	if err := f.Finish(t.Context(), []bridge.Outcome{{
		Event: due[1].Event, Endpoint: "x", Fate: bridge.Retry, Due: time.Now(), Attempt: 1, At: time.Now(), Unheard: true,
	}}); err != nil {
		t.Fatal(err)
	}
	resolved := f.tells(rules.AlarmResolved, "rule/a", "x")
	f.tells(rules.AlarmResolved, "rule/b", "x")
	f.reopen()
	due, _ = f.ask(bridge.Ask{Endpoint: "x", Limit: 100, Stale: bridge.StaleCollapse})
	if len(due) != 2 || due[0].ID != fired || due[1].Type != rules.AlarmOccurred || due[1].Attempt != 0 {
		t.Fatalf("Claim = %+v", due)
	}
	f.deliver(due...)
	f.deliver(f.wantsStale(bridge.StaleCollapse, "x", resolved)...)
	f.wantsBacklog("x", 0, 0)
}

// That an episode behind it is told whole must not make what was heard unheard.
func collapseForgetsNothingThatWasHeard(t *testing.T, f *fixture) {
	fired := f.tells(rules.AlarmFired, "rule/a", "x")
	f.tells(rules.AlarmResolved, "rule/a", "x")
	f.finish(bridge.Retry, time.Now(), f.wants("x", fired)...) // nobody knows whether it was taken
	f.reopen()
	f.tells(rules.AlarmFired, "rule/a", "x")
	f.tells(rules.AlarmResolved, "rule/a", "x")
	for range 3 {
		f.finish(bridge.Released, time.Time{}, f.wantsStale(bridge.StaleCollapse, "x", fired)...)
		f.reopen()
	}
}

// What was once told whole stays so, whatever came in between.
func collapsedStaysWhatItWas(t *testing.T, f *fixture) {
	f.tells(rules.AlarmFired, "rule/a", "x")
	f.tells(rules.AlarmResolved, "rule/a", "x")
	claim := func(mode bridge.Stale) bridge.Delivery {
		t.Helper()
		due, _ := f.ask(bridge.Ask{Endpoint: "x", Limit: 1, Stale: mode})
		if len(due) != 1 || due[0].Type != rules.AlarmOccurred {
			t.Fatalf("Claim = %+v", due)
		}
		return due[0]
	}
	first := claim(bridge.StaleCollapse)
	f.finish(bridge.Released, time.Time{}, first)
	sameDelivery(t, claim(bridge.StaleAll), first)
	f.reopen()
	f.tells(rules.AlarmFired, "rule/a", "x")
	f.tells(rules.AlarmResolved, "rule/a", "x")
	again := claim(bridge.StaleAll)
	sameDelivery(t, again, first)
	f.finish(bridge.Retry, time.Now(), again)
	f.trim(time.Now().Add(far), 1) // what it is made of is still needed
	f.reopen()
	last := claim(bridge.StaleCollapse)
	sameDelivery(t, last, first)
	f.deliver(last)
	f.deliver(claim(bridge.StaleCollapse))
	f.wantsBacklog("x", 0, 0)
}

// Receivers name what they were sent by its id, so the log must know it, however
// soon after the claim it was accepted.
func logSaysAsWhatItWasSent(t *testing.T, f *fixture) {
	for _, fates := range [][]bridge.Fate{{bridge.Delivered}, {bridge.Retry, bridge.Delivered}, {bridge.Dead}} {
		alarm := fmt.Sprint("rule/", len(fates), fates[0])
		f.tells(rules.AlarmFired, alarm, "x")
		resolved := f.tells(rules.AlarmResolved, alarm, "x")
		var sent string
		for _, fate := range fates {
			due, _ := f.ask(bridge.Ask{Endpoint: "x", Limit: 1, Stale: bridge.StaleCollapse})
			if len(due) != 1 || due[0].Type != rules.AlarmOccurred {
				t.Fatalf("Claim = %+v", due)
			}
			sent = due[0].ID
			f.finish(fate, time.Now(), due...)
		}
		f.commit("rule/other", "y") // with which it reaches the disk
		d, err := f.Log().Delivery(t.Context(), resolved, "x")
		if err != nil || d.SentAs != sent {
			t.Errorf("%v: the log says that it was sent as %q, and it was as %q (%v)", fates, d.SentAs, sent, err)
		}
	}
}

// A backlog that a store with bounds does not hold at once.
func longBacklogIsCondensed(t *testing.T, f *fixture) {
	const alarms, turns = 500, 16
	f.commit("rule/0", "x", "y") // so that they have positions
	f.deliver(f.claim("x", 1)...)
	f.deliver(f.claim("y", 1)...)
	f.set(bridge.EndpointState{Name: "x", Disabled: true})
	f.set(bridge.EndpointState{Name: "y", Disabled: true})
	for turn := range turns {
		typ := []rules.Type{rules.AlarmFired, rules.AlarmResolved}[turn%2]
		var ts []rules.Transition
		for i := range alarms {
			tr := event(fmt.Sprintf("long-%02d-%03d", turn, i), fmt.Sprintf("rule/%d", i), "x", "y")
			tr.Events[0].Type = typ
			ts = append(ts, tr)
		}
		f.commitAll(ts...)
	}
	f.reopen()
	f.set(bridge.EndpointState{Name: "x"})
	f.set(bridge.EndpointState{Name: "y"})
	for name, mode := range map[string]bridge.Stale{"x": bridge.StaleLatest, "y": bridge.StaleCollapse} {
		types := make(map[rules.Type]int)
		for {
			due, _ := f.ask(bridge.Ask{Endpoint: name, Limit: 100, Stale: mode})
			if len(due) == 0 {
				break
			}
			for _, d := range due {
				types[d.Type]++
			}
			f.deliver(due...)
		}
		want := map[rules.Type]int{rules.AlarmResolved: alarms}
		if mode == bridge.StaleCollapse {
			want = map[rules.Type]int{rules.AlarmOccurred: alarms * turns / 2}
		}
		if !reflect.DeepEqual(types, want) {
			t.Errorf("%s was sent %v, want %v", name, types, want)
		}
		f.wantsBacklog(name, 0, 0)
	}
}
