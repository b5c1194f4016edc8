package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// backlogOf leaves events on disk that nobody remembers: so many of each alarm, of
// about so many bytes.
func backlogOf(t *testing.T, alarms, each, size int) *DB {
	t.Helper()
	dir := t.TempDir()
	d := open(t, dir)
	for i := range each {
		var ts []rules.Transition
		for j := range alarms {
			ev := event(fmt.Sprintf("%d-%04d", i, j), fmt.Sprint("rule/", j), "x")
			ev.Events[0].Because = strings.Repeat("x", size)
			ts = append(ts, ev)
		}
		commit(t, d, ts...)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

// claimOne claims a delivery and says whether its event had to be read.
func claimOne(t *testing.T, d *DB) (due bridge.Delivery, read bool) {
	t.Helper()
	l := d.byName["x"]
	before := len(l.ahead.events)
	list, _, err := d.Claim(t.Context(), bridge.Ask{Endpoint: "x", Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("Claim = %v, %v", list, err)
	}
	return list[0], len(l.ahead.events) != before-1
}

func endOne(t *testing.T, d *DB, due bridge.Delivery, fate bridge.Fate) {
	t.Helper()
	o := bridge.Outcome{Event: due.Event, Endpoint: "x", Fate: fate, Attempt: due.Attempt + 1, At: time.Now()}
	if fate == bridge.Retry {
		o.Due = time.Now().Add(time.Hour)
	}
	if err := d.Finish(t.Context(), []bridge.Outcome{o}); err != nil {
		t.Fatal(err)
	}
}

// What is read ahead is what is claimed next, whether alarms are many or few:
// otherwise it would be read for nothing.
func TestBacklogIsReadInLargePieces(t *testing.T) {
	for _, alarms := range []int{1, 7, 300} {
		t.Run(fmt.Sprint(alarms), func(t *testing.T) {
			each := 600 / alarms
			d := backlogOf(t, alarms, each, 100)
			reads, total := 0, alarms*each
			for n := 0; n < total; {
				var under []bridge.Delivery
				for ; len(under) < min(4, alarms) && n < total; n++ {
					due, read := claimOne(t, d)
					if under = append(under, due); read {
						reads++
					}
				}
				for _, due := range slices.Backward(under) { // they need not end in order
					endOne(t, d, due, bridge.Delivered)
				}
			}
			// It doubles up to 64; where a piece that was taken in ends, it is less.
			if most := total/maxAhead + 20; reads > most {
				t.Errorf("%d deliveries were read in %d pieces, want at most %d", total, reads, most)
			}
		})
	}
}

func TestReadingAheadIsBounded(t *testing.T) {
	const size = 10 << 10
	d := backlogOf(t, 50, 1, size)
	for range 50 {
		due, _ := claimOne(t, d)
		endOne(t, d, due, bridge.Delivered)
		bytes := 0
		for _, e := range d.byName["x"].ahead.events {
			bytes += len(e.Data)
		}
		if bytes > maxAheadBytes {
			t.Fatalf("%d bytes are read ahead, want at most %d", bytes, maxAheadBytes)
		}
	}
}

func TestEndpointThatFailsHoldsNothingReadAhead(t *testing.T) {
	d := backlogOf(t, 100, 1, 100)
	l := d.byName["x"]
	for range 12 {
		due, _ := claimOne(t, d)
		endOne(t, d, due, bridge.Delivered)
	}
	if len(l.ahead.events) == 0 {
		t.Fatal("nothing is read ahead of an endpoint that accepts")
	}
	for _, fate := range []bridge.Fate{bridge.Retry, bridge.Released} {
		due, _ := claimOne(t, d)
		endOne(t, d, due, fate)
		if n := len(l.ahead.events); n != 0 {
			t.Errorf("%d events are held after fate %d", n, fate)
		}
	}
}
