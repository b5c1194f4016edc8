package store

import (
	"fmt"
	"testing"
	"time"

	"tocsin/bridge"
)

// A machine without a battery for its clock may start in the past. What was to
// wait a minute is due then, however often its lane starts over: it does not begin
// to wait anew each time, and not until the clock is where it was.
func TestAClockThatWasSetBackDelaysNothing(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	commit(t, d, event("event-1", "rule/a", "x"))
	due, _, err := d.Claim(t.Context(), bridge.Ask{Endpoint: "x", Limit: 1})
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	now := time.Now()
	o := bridge.Outcome{Event: due[0].Event, Endpoint: "x", Fate: bridge.Retry, Due: now.Add(time.Minute), Attempt: 1, At: now}
	if err := d.Finish(t.Context(), []bridge.Outcome{o}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, ahead := range []time.Duration{0, time.Hour, 30 * 365 * 24 * time.Hour} {
		d = open(t, dir)
		if _, err := d.w.conn.ExecContext(t.Context(), "UPDATE delivery SET due = due + ?1, at = at + ?1", int64(ahead)); err != nil {
			t.Fatal(err)
		}
		due, next, err := d.Claim(t.Context(), bridge.Ask{Endpoint: "x", Limit: 1})
		if err != nil || len(due) == 1 != (ahead > 0) || next.After(time.Now().Add(time.Minute)) {
			t.Errorf("written with a clock %v ahead: %d are handed out, and more at %v (%v)", ahead, len(due), next, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// An attempt that was cut off was due when it began, so its delivery is due.
func TestAttemptThatWasCutOffIsMadeAgainAtOnceWhateverTheClock(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	commit(t, d, event("event-1", "rule/a", "x"))
	claim := func() []bridge.Delivery {
		t.Helper()
		due, _, err := d.Claim(t.Context(), bridge.Ask{Endpoint: "x", Limit: 1})
		if err != nil || len(due) != 1 {
			t.Fatal(due, err)
		}
		return due
	}
	now := time.Now()
	o := bridge.Outcome{Event: claim()[0].Event, Endpoint: "x", Fate: bridge.Retry, Due: now.Add(-1), Attempt: 1, At: now.Add(-2)}
	if err := d.Finish(t.Context(), []bridge.Outcome{o}); err != nil {
		t.Fatal(err)
	}
	commit(t, d) // and with it the outcome
	if _, err := d.w.conn.ExecContext(t.Context(), "UPDATE delivery SET due = due + ?1, at = at + ?1", int64(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := d.countBegun(t.Context(), []slot{{rowKey{o.Event, 1}, 2}}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	if got := claim()[0].Attempt; got != 2 {
		t.Errorf("%d attempts were made, want 2", got)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// What happened before a clock was set back happened no later than that, so that
// events are committed in the order of their numbers, by which times are found.
func TestEventsAreInOrderOfTimeWhateverTheClock(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	for _, step := range []struct {
		restart bool
		ahead   time.Duration // of what is in the file
	}{{true, time.Hour}, {false, 30 * 365 * 24 * time.Hour}, {true, 0}, {false, 100 * time.Millisecond}} {
		for i := range 3 {
			commit(t, d, event(fmt.Sprint(step, i), fmt.Sprint("rule/", i), "x"))
		}
		if _, err := d.w.conn.ExecContext(t.Context(), "UPDATE event SET committed = committed + ?", int64(step.ahead)); err != nil {
			t.Fatal(err)
		}
		d.newest = d.newest.Add(step.ahead)
		if step.restart {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = open(t, dir)
		}
		since := time.Now()
		commit(t, d, event(fmt.Sprint(step, "after"), "rule/after", "x"))
		var swapped int
		if err := d.w.conn.QueryRowContext(t.Context(), "SELECT count(*) FROM event e JOIN event f ON f.num = e.num + 1 WHERE f.committed < e.committed").Scan(&swapped); err != nil || swapped != 0 {
			t.Errorf("%+v: %d events were committed after the next one (%v)", step, swapped, err)
		}
		for q, want := range map[*bridge.DeliveryQuery]bool{{Since: since}: true, {Until: time.Now().Add(time.Second)}: true, {Until: since}: false} {
			q.Endpoint, q.Alarm = "x", "rule/after"
			page, err := d.Log().Deliveries(t.Context(), *q)
			if got := len(page.Deliveries) > 0 && page.Deliveries[0].ID == fmt.Sprint(step, "after"); err != nil || got != want && step.ahead != 100*time.Millisecond {
				t.Errorf("%+v: from %v until %v is what was just committed: %v, %v", step, q.Since, q.Until, got, err)
			}
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
