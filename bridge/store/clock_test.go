package store

import (
	"testing"
	"time"

	"tocsin/bridge"
)

// A machine without a battery for its clock may start in the past. What was to
// wait a minute waits a minute then, and not until the clock is where it was.
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
		if err != nil || len(due) != 0 || next.After(time.Now().Add(time.Minute)) {
			t.Errorf("written with a clock %v ahead: %v is handed out, and more at %v (%v)", ahead, due, next, err)
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
