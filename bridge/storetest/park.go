package storetest

import (
	"fmt"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// alarmed commits an event of a type and a severity and returns its id.
func (f *fixture) alarmed(typ rules.Type, s rules.Severity, alarm, endpoint string) string {
	f.t.Helper()
	f.made++
	id := fmt.Sprintf("event-%05d", f.made)
	tr := event(id, alarm, endpoint)
	tr.Events[0].Type, tr.Events[0].Alarm.Severity = typ, s
	f.commitAll(tr)
	return id
}

// bound asks for room and compares how much was dropped.
func (f *fixture) bound(want int, endpoint string, b bridge.Bounds) {
	f.t.Helper()
	before := f.backlog(endpoint)
	n, err := f.Log().Bound(f.t.Context(), endpoint, b)
	if n != want || err != nil {
		f.t.Fatalf("Bound(%s, %+v) = %d, %v, want %d", endpoint, b, n, err, want)
	}
	after := f.backlog(endpoint)
	if after.Dropped != before.Dropped+want || after.Count != before.Count-want {
		f.t.Fatalf("after %d were dropped of %+v there is %+v", want, before, after)
	}
}

func boundDropsByWorth(t *testing.T, f *fixture) {
	crit := f.alarmed(rules.AlarmFired, rules.Critical, "rule/critical", "x")
	fired := f.alarmed(rules.AlarmFired, rules.Major, "rule/major", "x")
	reading := f.alarmed(rules.ReadingMatched, rules.Unset, "rule/reading", "x")
	overFired := f.alarmed(rules.AlarmFired, rules.Critical, "rule/over", "x")
	remark := f.alarmed(rules.AlarmAcked, rules.Critical, "rule/over", "x")
	overEnd := f.alarmed(rules.AlarmResolved, rules.Critical, "rule/over", "x")
	f.alarmed(rules.AlarmFired, rules.Critical, "rule/elsewhere", "y")
	f.bound(0, "x", bridge.Bounds{})
	f.bound(0, "x", bridge.Bounds{Count: 6, Bytes: 1 << 20})
	f.bound(0, "nobody", bridge.Bounds{Count: 1})
	f.bound(1, "x", bridge.Bounds{Count: 5})
	f.wantsListed(bridge.DeliveryQuery{State: bridge.DeliveryDropped}, reading+" x dropped")
	f.bound(1, "x", bridge.Bounds{Count: 4})
	f.reopen()
	f.bound(2, "x", bridge.Bounds{Count: 3}) // not a half of what is over
	f.wantsListed(bridge.DeliveryQuery{State: bridge.DeliveryDropped}, overEnd+" x dropped", remark+" x dropped", overFired+" x dropped", reading+" x dropped")
	f.bound(1, "x", bridge.Bounds{Count: 1})
	f.wantsBacklog("y", 1, 0)
	f.deliver(f.wants("x", crit)...)
	if d := f.detail(fired, "x"); d.State != bridge.DeliveryDropped || d.Error == "" {
		t.Errorf("%+v", d)
	}
}

func boundGoesByBytes(t *testing.T, f *fixture) {
	for i := range 50 {
		f.alarmed(rules.ReadingMatched, rules.Unset, fmt.Sprint("rule/", i%3), "x")
	}
	bytes := f.backlog("x").Bytes
	f.bound(0, "x", bridge.Bounds{Bytes: bytes})
	n, err := f.Log().Bound(t.Context(), "x", bridge.Bounds{Bytes: bytes / 2})
	after := f.backlog("x")
	if err != nil || n == 0 || after.Dropped != n || after.Bytes > bytes/2 || after.Bytes < bytes/3 {
		t.Errorf("%d dropped, %v, of %d bytes there are %+v", n, err, bytes, after)
	}
	f.reopen()
	if again := f.backlog("x"); again.Bytes != after.Bytes || again.Dropped != n {
		t.Errorf("%+v after reopen, before %+v", again, after)
	}
}

// A receiver that was told of an alarm is told how it ended.
func boundKeepsTheEndOfWhatWasHeard(t *testing.T, f *fixture) {
	told := f.alarmed(rules.AlarmFired, rules.Warning, "rule/told", "x")
	perhaps := f.alarmed(rules.AlarmFired, rules.Warning, "rule/perhaps", "x")
	under := f.alarmed(rules.AlarmFired, rules.Warning, "rule/underway", "x")
	due := f.wants("x", told, perhaps, under)
	f.deliver(due[0])
	f.finish(bridge.Retry, time.Now().Add(far), due[1])
	end := f.alarmed(rules.AlarmResolved, rules.Warning, "rule/told", "x")
	f.alarmed(rules.AlarmResolved, rules.Warning, "rule/perhaps", "x")
	f.alarmed(rules.AlarmResolved, rules.Warning, "rule/underway", "x")
	f.bound(0, "x", bridge.Bounds{Count: 1})
	f.wants("x", end)
	f.wantsBacklog("x", 5, 0)
}

// What goes on about an alarm whose start was dropped is dropped too, and its
// next episode is told.
func boundLeavesNoEndAlone(t *testing.T, f *fixture) {
	f.alarmed(rules.AlarmFired, rules.Major, "rule/a", "x")
	f.alarmed(rules.AlarmEscalated, rules.Major, "rule/a", "x")
	b := f.alarmed(rules.AlarmFired, rules.Critical, "rule/b", "x")
	f.bound(2, "x", bridge.Bounds{Count: 1})
	f.reopen()
	f.alarmed(rules.AlarmReminder, rules.Major, "rule/a", "x")
	resolved := f.alarmed(rules.AlarmResolved, rules.Major, "rule/a", "x")
	f.deliver(f.wants("x", b)...)
	f.wants("x")
	f.wants("x")
	if got := f.backlog("x"); got.Count != 0 || got.Dropped != 4 {
		t.Errorf("%+v", got)
	}
	if d := f.detail(resolved, "x"); d.State != bridge.DeliveryDropped {
		t.Errorf("%+v", d)
	}
	f.reopen()
	for _, typ := range []rules.Type{rules.AlarmFired, rules.AlarmResolved} {
		id := f.alarmed(typ, rules.Major, "rule/a", "x")
		f.deliver(f.wants("x", id)...)
	}
	f.replay(4, bridge.Selection{Endpoint: "x", Alarm: "rule/a", Until: f.detail(resolved, "x").Committed.Add(1)})
	n := 0
	for {
		due := f.claim("x", 10)
		if len(due) == 0 {
			break
		}
		n += len(due)
		f.deliver(due...)
	}
	if n != 4 {
		t.Errorf("%d of 4 replayed were told", n)
	}
}
