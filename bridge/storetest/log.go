package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// list reads every page of a list, as it is for whoever has just finished something.
func (f *fixture) list(q bridge.DeliveryQuery) (all []bridge.DeliveryInfo) {
	f.t.Helper()
	for range 10000 {
		page, err := f.Log().Deliveries(f.t.Context(), q)
		if err != nil {
			f.t.Fatalf("Deliveries(%+v): %v", q, err)
		}
		if q.Limit > 0 && len(page.Deliveries) > q.Limit {
			f.t.Fatalf("%d deliveries on a page of %d", len(page.Deliveries), q.Limit)
		}
		all = append(all, page.Deliveries...)
		if q.Cursor = page.Cursor; q.Cursor == "" {
			return all
		}
	}
	f.t.Fatal("a list does not end")
	return nil
}

// wantsListed compares a list with "id endpoint state" of each, the newest first.
func (f *fixture) wantsListed(q bridge.DeliveryQuery, want ...string) {
	f.t.Helper()
	for _, q.Limit = range []int{1, 2, 100} {
		var got []string
		for _, d := range f.list(q) {
			got = append(got, fmt.Sprint(d.ID, " ", d.Endpoint, " ", d.State))
		}
		if !slices.Equal(got, want) {
			f.t.Fatalf("by %d, Deliveries(%+v) = %q, want %q", q.Limit, q, got, want)
		}
	}
}

func (f *fixture) detail(id, endpoint string) bridge.DeliveryDetail {
	f.t.Helper()
	d, err := f.Log().Delivery(f.t.Context(), id, endpoint)
	if err != nil {
		f.t.Fatalf("Delivery(%s, %s): %v", id, endpoint, err)
	}
	return d
}

func deliveriesAreListed(t *testing.T, f *fixture) {
	const waiting, delivered, dead = " waiting", " delivered", " dead"
	a := f.commit("rule/a", "x", "y")
	b := f.tells(rules.AlarmResolved, "rule/b", "y", "x")
	c := f.commit("other/c", "x")
	f.commit("rule/nobody")
	due := f.wants("x", a, b, c)
	f.deliver(due[0])
	f.finish(bridge.Dead, time.Time{}, due[1])
	f.finish(bridge.Retry, time.Now().Add(far), due[2])
	ax, ay, bx, by, cx := a+" x", a+" y", b+" x", b+" y", c+" x"
	for range 2 {
		f.wantsListed(bridge.DeliveryQuery{}, cx+waiting, bx+dead, by+waiting, ax+delivered, ay+waiting)
		f.wantsListed(bridge.DeliveryQuery{Endpoint: "x"}, cx+waiting, bx+dead, ax+delivered)
		f.wantsListed(bridge.DeliveryQuery{Endpoint: "x", State: bridge.DeliveryDead}, bx+dead)
		f.wantsListed(bridge.DeliveryQuery{State: bridge.DeliveryDead}, bx+dead)
		f.wantsListed(bridge.DeliveryQuery{State: bridge.DeliveryWaiting}, cx+waiting, by+waiting, ay+waiting)
		f.wantsListed(bridge.DeliveryQuery{Alarm: "rule/a"}, ax+delivered, ay+waiting)
		f.wantsListed(bridge.DeliveryQuery{Type: rules.AlarmResolved, Endpoint: "y"}, by+waiting)
		f.wantsListed(bridge.DeliveryQuery{Endpoint: "nobody"})
		f.wantsListed(bridge.DeliveryQuery{Device: "nothing"})
		f.wantsListed(bridge.DeliveryQuery{Until: time.Now().Add(-far)})
		f.wantsListed(bridge.DeliveryQuery{Since: time.Now().Add(far)})
		f.reopen()
	}
	for id, alarm := range map[string]string{a: "rule/a", b: "rule/b"} {
		if ev, err := f.Log().Event(t.Context(), id); err != nil || ev.ID != id || ev.Alarm.Key != alarm {
			t.Errorf("event %s: %+v, %v", id, ev, err)
		}
	}
	if _, err := f.Log().Event(t.Context(), "unknown"); !errors.Is(err, bridge.ErrNoEvent) {
		t.Errorf("an event that never was: %v", err)
	}
	if _, err := f.Log().Deliveries(t.Context(), bridge.DeliveryQuery{Cursor: "here"}); err == nil || !strings.Contains(err.Error(), "cursor") {
		t.Errorf("a made-up cursor: %v", err)
	}
	if _, err := f.Log().Deliveries(t.Context(), bridge.DeliveryQuery{State: "lost"}); err == nil || !strings.Contains(err.Error(), "state") {
		t.Errorf("a made-up state: %v", err)
	}
}

func deliveriesAreListedByTimeAndDevice(t *testing.T, f *fixture) {
	device := event("of-device", "rule/a", "x")
	device.Events[0].Device.ID = "freezer-7"
	f.commitAll(device)
	f.wantsListed(bridge.DeliveryQuery{Device: "freezer-7"}, "of-device x waiting")
	var between []time.Time
	var all []string
	for range 5 {
		<-time.After(time.Millisecond)
		between = append(between, time.Now())
		<-time.After(time.Millisecond)
		all = append([]string{f.commit("rule/b", "x") + " x waiting"}, all...)
	}
	f.wantsListed(bridge.DeliveryQuery{Since: between[0]}, all...)
	f.wantsListed(bridge.DeliveryQuery{Since: between[3]}, all[:2]...)
	f.wantsListed(bridge.DeliveryQuery{Since: between[1], Until: between[3]}, all[2:4]...)
}

func deliveryShowsEveryAttempt(t *testing.T, f *fixture) {
	id := f.commit("rule/a", "x")
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	long := bytes.Repeat([]byte("é<script>"), 4000)
	attempt := func(o bridge.Outcome) {
		t.Helper()
		d := f.claim("x", 1)[0]
		o.Event, o.Endpoint, o.Attempt, o.Due = d.Event, "x", d.Attempt+1, time.Now()
		o.At = at.Add(time.Duration(o.Attempt) * time.Minute)
		if err := f.Finish(t.Context(), []bridge.Outcome{o}); err != nil {
			t.Fatal(err)
		}
	}
	attempt(bridge.Outcome{Fate: bridge.Retry, Error: "connection refused", Took: time.Millisecond})
	attempt(bridge.Outcome{Fate: bridge.Retry, Status: 500, Error: "answered 500", Took: time.Second, Timings: []byte(`{"answer":1}`), Answer: long})
	f.reopen()
	attempt(bridge.Outcome{Fate: bridge.Delivered, Status: 200, Took: 2 * time.Second, Timings: []byte(`{"answer":2}`), Answer: []byte("\x00ok\xff"), Cut: true})
	for range 2 {
		d := f.detail(id, "x")
		if d.State != bridge.DeliveryDelivered || d.Attempts[2].Number != 3 || len(d.Attempts) != 3 || d.DeliveryInfo.Attempts != 3 ||
			d.Status != 200 || !bytes.Contains(d.Data, []byte(id)) || !d.Ended.Equal(at.Add(3*time.Minute)) {
			t.Fatalf("%+v", d)
		}
		one, two, three := d.Attempts[0], d.Attempts[1], d.Attempts[2]
		if one.Error != "connection refused" || one.Took != time.Millisecond || !one.At.Equal(at.Add(time.Minute)) || len(one.Answer) > 0 {
			t.Errorf("first attempt: %+v", one)
		}
		if two.Status != 500 || string(two.Timings) != `{"answer":1}` || !bytes.Equal(two.Answer, long[:16<<10]) || !two.Cut {
			t.Errorf("second attempt: %d bytes of %+v", len(two.Answer), two.Status)
		}
		if three.Took != 2*time.Second || string(three.Answer) != "\x00ok\xff" || !three.Cut || string(three.Timings) != `{"answer":2}` {
			t.Errorf("third attempt: %+v", three)
		}
		f.reopen()
	}
	_, err := f.Log().Delivery(t.Context(), id, "y")
	_, err2 := f.Log().Delivery(t.Context(), "unknown", "x")
	if !errors.Is(err, bridge.ErrNoDelivery) || !errors.Is(err2, bridge.ErrNoDelivery) {
		t.Errorf("%v, %v", err, err2)
	}
}

// Of a delivery that is tried for days the attempts in the middle go.
func attemptsAreBounded(t *testing.T, f *fixture) {
	const n = 100
	id := f.commit("rule/a", "x")
	for range n {
		f.finish(bridge.Retry, time.Now(), f.wants("x", id)...)
	}
	d := f.detail(id, "x")
	if d.DeliveryInfo.Attempts != n || len(d.Attempts) > 50 || d.Attempts[0].Number != 1 || d.Attempts[len(d.Attempts)-1].Number != n {
		t.Errorf("%d attempts are kept of %d: %+v", len(d.Attempts), d.DeliveryInfo.Attempts, d.Attempts)
	}
}

func (f *fixture) replay(want int, s bridge.Selection) {
	f.t.Helper()
	say := s
	say.OnlySay = true
	before := f.list(bridge.DeliveryQuery{Limit: 1000})
	if n, err := f.Log().Replay(f.t.Context(), say); n != want || err != nil {
		f.t.Fatalf("Replay(%+v) = %d, %v, want %d", say, n, err, want)
	}
	if after := f.list(bridge.DeliveryQuery{Limit: 1000}); !slices.Equal(before, after) {
		f.t.Fatalf("counting has changed %+v to %+v", before, after)
	}
	if n, err := f.Log().Replay(f.t.Context(), s); n != want || err != nil {
		f.t.Fatalf("Replay(%+v) = %d, %v, want %d", s, n, err, want)
	}
}

func (f *fixture) discard(want int, s bridge.Selection) {
	f.t.Helper()
	say := s
	say.OnlySay = true
	before := f.backlog(s.Endpoint)
	if n, err := f.Log().Discard(f.t.Context(), say); n != want || err != nil {
		f.t.Fatalf("Discard(%+v) = %d, %v, want %d", say, n, err, want)
	}
	if b := f.backlog(s.Endpoint); b != before {
		f.t.Fatalf("counting has changed %+v to %+v", before, b)
	}
	if n, err := f.Log().Discard(f.t.Context(), s); n != want || err != nil {
		f.t.Fatalf("Discard(%+v) = %d, %v, want %d", s, n, err, want)
	}
}

func replayedIsDeliveredAgain(t *testing.T, f *fixture) {
	before := time.Now()
	a := f.commit("rule/a", "x", "y")
	b := f.commit("rule/b", "x")
	due := f.wants("x", a, b)
	first := due[0]
	f.deliver(due[0])
	f.finish(bridge.Dead, time.Time{}, due[1])
	f.wantsBacklog("x", 0, 1)
	f.replay(1, bridge.Selection{Endpoint: "x", Dead: true})
	f.wantsBacklog("x", 1, 0)
	f.replay(1, bridge.Selection{Endpoint: "x", ID: a})
	f.replay(0, bridge.Selection{Endpoint: "x", ID: a}) // it is owed
	f.replay(0, bridge.Selection{Endpoint: "y", ID: a})
	f.replay(0, bridge.Selection{Endpoint: "nobody"})
	for range 2 {
		f.wantsBacklog("x", 2, 0)
		due = f.wants("x", a, b)
		if due[0].Attempt != 0 || !due[0].Owed.After(before) || due[0].Owed.Equal(first.Owed) {
			t.Errorf("replayed as %+v", due[0])
		}
		due[0].Owed = first.Owed
		sameDelivery(t, due[0], first)
		f.reopen()
	}
	f.deliver(f.wants("x", a, b)...)
	f.wantsBacklog("x", 0, 0)
	d := f.detail(a, "x")
	if len(d.Attempts) != 2 || d.Attempts[0].Number != 1 || d.Attempts[1].Number != 2 || d.DeliveryInfo.Attempts != 2 {
		t.Errorf("attempts %+v", d.Attempts)
	}
	f.wants("y", a)
}

func replayIsInOrder(t *testing.T, f *fixture) {
	a1, a2, a3 := f.commit("rule/a", "x"), f.commit("rule/a", "x"), f.commit("rule/a", "x")
	for _, id := range []string{a1, a2, a3} {
		f.deliver(f.wants("x", id)...)
	}
	a4, a5 := f.commit("rule/a", "x"), f.commit("rule/a", "x")
	f.finish(bridge.Retry, time.Now(), f.wants("x", a4)...)
	f.replay(2, bridge.Selection{Endpoint: "x", Alarm: "rule/a", Until: f.detail(a3, "x").Committed})
	a6 := f.commit("rule/a", "x")
	for i, id := range []string{a1, a2, a4, a5, a6} {
		due := f.wants("x", id)
		if id == a4 && due[0].Attempt != 1 {
			t.Errorf("attempt %d of what failed before", due[0].Attempt)
		}
		f.deliver(due...)
		if i%2 == 0 {
			f.reopen()
		}
	}
	f.wantsBacklog("x", 0, 0)
}

// A delivery that was ended by itself and is replayed comes after what is owed
// before it, which was never tried.
func replayComesAfterWhatIsOwed(t *testing.T, f *fixture) {
	a1, a2 := f.commit("rule/a", "x"), f.commit("rule/a", "x")
	f.discard(1, bridge.Selection{Endpoint: "x", ID: a2})
	f.replay(1, bridge.Selection{Endpoint: "x", ID: a2})
	f.reopen()
	f.deliver(f.wants("x", a1)...)
	f.deliver(f.wants("x", a2)...)
	f.wantsBacklog("x", 0, 0)
}

func replayOfTheLatest(t *testing.T, f *fixture) {
	a, b := f.commit("rule/a", "x"), f.commit("rule/b", "x")
	f.deliver(f.wants("x", a, b)...)
	a2, b2 := f.tells(rules.AlarmResolved, "rule/a", "x"), f.tells(rules.AlarmReminder, "rule/b", "x")
	f.deliver(f.wants("x", a2, b2)...)
	f.replay(2, bridge.Selection{Endpoint: "x", Latest: true})
	f.deliver(f.wants("x", b, a2)...)
	f.wantsBacklog("x", 0, 0)
}

func replaySparesWhatIsUnderWay(t *testing.T, f *fixture) {
	a := f.commit("rule/a", "x")
	f.deliver(f.wants("x", a)...)
	b := f.commit("rule/a", "x")
	due := f.wants("x", b)
	f.replay(1, bridge.Selection{Endpoint: "x"})
	f.wants("x") // b is under way
	f.finish(bridge.Retry, time.Now(), due...)
	f.deliver(f.wants("x", a)...)
	due = f.wants("x", b)
	if due[0].Attempt != 1 {
		t.Errorf("attempt %d, want 1", due[0].Attempt)
	}
	f.deliver(due...)
	f.wantsBacklog("x", 0, 0)
}

func discardedIsNotSent(t *testing.T, f *fixture) {
	a1, b1 := f.commit("rule/a", "x", "y"), f.commit("rule/b", "x", "y")
	due := f.wants("x", a1, b1)
	f.finish(bridge.Retry, time.Now(), due[1])
	a2, b2 := f.commit("rule/a", "x", "y"), f.commit("rule/b", "x", "y")
	f.discard(3, bridge.Selection{Endpoint: "x", Reason: "removed"}) // a1 is under way
	f.wantsBacklog("x", 1, 0)
	f.deliver(due[0])
	for range 2 {
		f.wants("x")
		f.wantsBacklog("x", 0, 0)
		f.wantsBacklog("y", 4, 0)
		f.wants("y", a1, b1)
		f.reopen()
	}
	if d := f.detail(b1, "x"); d.State != bridge.DeliveryCancelled || d.Error != "removed" || len(d.Attempts) != 1 || d.Ended.IsZero() {
		t.Errorf("%+v", d)
	}
	f.replay(3, bridge.Selection{Endpoint: "x", Since: f.detail(b1, "x").Committed})
	f.deliver(f.wants("x", b1, a2)...)
	f.deliver(f.wants("x", b2)...)
	f.discard(1, bridge.Selection{Endpoint: "y", ID: b2})
	f.deliver(f.wants("y", a1, b1)...)
	f.deliver(f.wants("y", a2)...)
	f.wantsBacklog("y", 0, 0)
}

func discardOfAllButTheLatest(t *testing.T, f *fixture) {
	f.commit("rule/a", "x")
	b := f.commit("rule/b", "x")
	f.tells(rules.AlarmReminder, "rule/b", "x")
	a := f.commit("rule/a", "x")
	f.discard(2, bridge.Selection{Endpoint: "x", Latest: true})
	f.reopen()
	f.deliver(f.wants("x", b, a)...)
	f.wantsBacklog("x", 0, 0)
}

func alsoOwedIsSentToo(t *testing.T, f *fixture) {
	a1 := f.commit("rule/a", "x")
	a2 := f.commit("rule/a", "x", "y")
	event := f.wants("x", a1)[0].Event
	also := bridge.Batch{Also: []bridge.Also{{Event: event, Endpoint: "y"}, {Event: event, Endpoint: "new"}, {Event: 999, Endpoint: "y"}}}
	for range 2 { // the second time changes nothing
		if err := f.Commit(t.Context(), also); err != nil {
			t.Fatal(err)
		}
		f.wantsBacklog("y", 2, 0)
		f.wantsBacklog("new", 1, 0)
		f.reopen()
	}
	for _, id := range []string{a1, a2} {
		f.deliver(f.wants("y", id)...)
	}
	f.deliver(f.wants("new", a1)...)
	f.wantsBacklog("y", 0, 0)
	f.trim(time.Now().Add(far), 1)
	if err := f.Commit(t.Context(), also); err != nil {
		t.Fatal(err)
	}
	f.wantsBacklog("new", 0, 0)
	f.wantsBacklog("x", 2, 0)
}
