package storetest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// folds claims one delivery, of which it is known whether its episode is folded,
// and folds it.
func (f *fixture) folds(endpoint, id string, before bool) {
	f.t.Helper()
	due := f.wants(endpoint, id)
	if due[0].Folded != before {
		f.t.Fatalf("%s is handed out with Folded = %v", id, due[0].Folded)
	}
	f.finish(bridge.Folded, time.Time{}, due...)
}

// wantsFold sums up what is folded and compares how much that is.
func (f *fixture) wantsFold(endpoint string, events, alarms, open int) bridge.Fold {
	f.t.Helper()
	got, err := f.Log().Fold(f.t.Context(), endpoint)
	if err != nil || got.Events != events || got.Alarms != alarms || got.Open != open || got.Since.IsZero() != (events == 0) {
		f.t.Fatalf("Fold(%s) = %+v, %v, want %d events of %d alarms, %d open", endpoint, got, err, events, alarms, open)
	}
	return got
}

func (f *fixture) endFold(want int, endpoint string, mark int64, fate bridge.Fate) {
	f.t.Helper()
	if n, err := f.Log().EndFold(f.t.Context(), endpoint, mark, fate, "told in a digest"); n != want || err != nil {
		f.t.Fatalf("EndFold(%s, %d) = %d, %v, want %d", endpoint, mark, n, err, want)
	}
}

// What is folded is owed until its digest was told, over restarts, and what is
// folded after that was made is of the next.
func foldedWaitsForItsDigest(t *testing.T, f *fixture) {
	f.wantsFold("nobody", 0, 0, 0)
	a := f.alarmed(rules.AlarmFired, rules.Major, "rule/a", "x")
	b := f.alarmed(rules.AlarmFired, rules.Major, "rule/b", "x")
	f.wantsFold("x", 0, 0, 0)
	f.finish(bridge.Folded, time.Time{}, f.wants("x", a, b)...)
	f.wants("x")
	f.wantsBacklog("x", 2, 0)
	first := f.wantsFold("x", 2, 2, 2)
	f.reopen()
	f.wants("x")
	f.wantsBacklog("x", 2, 0)
	if again := f.wantsFold("x", 2, 2, 2); !reflect.DeepEqual(again, first) {
		t.Errorf("the same fold is\n%+v\nand\n%+v", first, again)
	}
	f.reopen()
	f.folds("x", f.alarmed(rules.AlarmFired, rules.Major, "rule/c", "x"), false)
	f.endFold(2, "x", first.Mark, bridge.Superseded)
	f.endFold(0, "x", first.Mark, bridge.Superseded)
	f.wantsBacklog("x", 1, 0)
	if d := f.detail(a, "x"); d.State != bridge.DeliverySuperseded || d.Error != "told in a digest" {
		t.Errorf("%+v", d)
	}
	f.reopen()
	second := f.wantsFold("x", 1, 1, 1)
	f.trim(second.Since.Add(far), 0)
	f.wantsFold("x", 1, 1, 1)
	f.folds("x", f.alarmed(rules.AlarmFired, rules.Major, "rule/d", "x"), false)
	f.endFold(1, "x", second.Mark, bridge.Dead)
	f.wantsBacklog("x", 1, 1)
	f.wantsFold("x", 1, 1, 1)
}

// Whether an episode was folded is known until it ends, or until something of it
// was told by itself.
func foldedIsTheEpisodeToItsEnd(t *testing.T, f *fixture) {
	f.folds("x", f.alarmed(rules.AlarmFired, rules.Major, "rule/a", "x"), false)
	f.reopen()
	f.folds("x", f.alarmed(rules.AlarmEscalated, rules.Major, "rule/a", "x"), true)
	f.folds("x", f.alarmed(rules.AlarmResolved, rules.Major, "rule/a", "x"), true)
	f.wantsFold("x", 3, 1, 0)
	told := f.wants("x", f.alarmed(rules.AlarmFired, rules.Major, "rule/a", "x"))
	if told[0].Folded {
		t.Error("a new episode is handed out as folded")
	}
	f.deliver(told...)
	f.folds("x", f.alarmed(rules.AlarmAcked, rules.Major, "rule/a", "x"), false)
	f.reopen()
	f.folds("x", f.alarmed(rules.AlarmResolved, rules.Major, "rule/a", "x"), false)

	f.folds("x", f.alarmed(rules.AlarmFired, rules.Major, "rule/b", "x"), false)
	worse := f.wants("x", f.alarmed(rules.AlarmEscalated, rules.Critical, "rule/b", "x"))
	f.finish(bridge.Released, time.Time{}, worse...)
	worse = f.wants("x", worse[0].ID)
	if !worse[0].Folded {
		t.Error("what was released has forgotten that its episode is folded")
	}
	f.deliver(worse...)
	f.reopen()
	if end := f.wants("x", f.alarmed(rules.AlarmResolved, rules.Critical, "rule/b", "x")); end[0].Folded {
		t.Error("what was told by itself does not end by itself")
	}
}

func foldShowsTheWorst(t *testing.T, f *fixture) {
	for i := range 30 {
		severity := rules.Info
		if i == 3 {
			severity = rules.Major
		}
		f.folds("x", f.alarmed(rules.AlarmFired, severity, fmt.Sprint("rule/", i), "x"), false)
	}
	f.folds("x", f.alarmed(rules.AlarmResolved, rules.Info, "rule/7", "x"), true)
	f.folds("x", f.alarmed(rules.ReadingMatched, rules.Unset, "rule/reading", "x"), false)
	got := f.wantsFold("x", 32, 30, 29)
	if got.Types[rules.AlarmFired] != 30 || got.Types[rules.AlarmResolved] != 1 || got.Severity[rules.Major] != 1 || got.Severity[rules.Info] != 29 {
		t.Errorf("%+v", got)
	}
	if len(got.Newest) == 0 || len(got.Newest) == 30 || got.Newest[0].Alarm.Key != "rule/3" || got.Newest[1].Alarm.Key != "rule/7" || got.Newest[1].Type != rules.AlarmResolved {
		t.Errorf("%d are shown, the first of them are %+v", len(got.Newest), got.Newest[:2])
	}
}

// Folding loses nothing: what a digest told is there to be told again by itself.
func whatEndsAFoldIsReplayed(t *testing.T, f *fixture) {
	id := f.alarmed(rules.AlarmFired, rules.Major, "rule/a", "x")
	f.folds("x", id, false)
	f.endFold(1, "x", f.wantsFold("x", 1, 1, 1).Mark, bridge.Superseded)
	f.replay(1, bridge.Selection{Endpoint: "x"})
	f.reopen()
	f.deliver(f.wants("x", id)...)
	f.wantsBacklog("x", 0, 0)
	f.folds("x", f.alarmed(rules.AlarmResolved, rules.Major, "rule/a", "x"), false)
	f.discard(1, bridge.Selection{Endpoint: "x"})
	f.wantsFold("x", 0, 0, 0)
	f.wantsBacklog("x", 0, 0)
}
