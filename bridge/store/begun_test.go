package store

import (
	"context"
	"slices"
	"testing"
	"time"

	"tocsin/bridge"
)

// What kills the process each time it is sent is counted each time.
func TestAttemptThatKillsTheProcessIsCounted(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	d := open(t, dir)
	commit(t, d, event("first", "rule/a", "x"), event("second", "rule/a", "x"), event("done", "rule/b", "x"))
	due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 10})
	if err != nil || len(due) != 2 {
		t.Fatalf("%v, %v", due, err)
	}
	// The one that ended is not counted again.
	if err := d.Finish(ctx, []bridge.Outcome{{Event: due[1].Event, Endpoint: "x", Fate: bridge.Retry, Attempt: 1, At: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil { // a clean end cuts nothing off
		t.Fatal(err)
	}
	for _, want := range [][]string{{"first 0", "done 1", "all"}, {"first 1", "done 2", "all"}, {"first 2", "done 3", "all"}} {
		c := start(t, "attempt", dir)
		c.read(len(want))
		c.kill()
		if !slices.Equal(c.acks, want) {
			t.Fatalf("handed out %q, want %q (%s)", c.acks, want, c.last)
		}
	}
	d = open(t, dir)
	detail, err := d.Log().Delivery(ctx, "first", "x")
	if err != nil || len(detail.Attempts) != 3 || detail.Attempts[2].Error != cutOff || detail.State != bridge.DeliveryWaiting {
		t.Errorf("%+v, %v", detail, err)
	}
	audit(t, d, []string{"first", "second", "done"})
	if n := drain(t, d, "x"); n != 3 {
		t.Errorf("%d delivered, want 3", n)
	}
}

// An outcome that is on disk says more than the note of its beginning.
func TestAttemptWithAnOutcomeIsNotCountedTwice(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	d := open(t, dir)
	commit(t, d, event("delivered", "rule/a", "x"), event("failed", "rule/b", "x"), event("cut off", "rule/c", "x"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 10})
	if err != nil || len(due) != 3 {
		t.Fatalf("%v, %v", due, err)
	}
	list := []slot{{rowKey{due[0].Event, 1}, 1}, {rowKey{due[1].Event, 1}, 1}, {rowKey{due[2].Event, 1}, 1}, {rowKey{77, 1}, 1}, {rowKey{1, 77}, 1}}
	if err := d.Finish(ctx, []bridge.Outcome{
		{Event: due[0].Event, Endpoint: "x", Attempt: 1, At: time.Now()},
		{Event: due[1].Event, Endpoint: "x", Fate: bridge.Retry, Attempt: 1, At: time.Now()},
		{Event: due[2].Event, Endpoint: "x", Fate: bridge.Released},
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	if err := d.countBegun(ctx, list); err != nil {
		t.Fatal(err)
	}
	audit(t, d, nil)
	due, _, err = d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 10})
	if err != nil || len(due) != 2 || due[0].ID != "failed" || due[0].Attempt != 1 || due[1].ID != "cut off" || due[1].Attempt != 1 {
		t.Errorf("%d handed out, %v", len(due), err)
	}
}
