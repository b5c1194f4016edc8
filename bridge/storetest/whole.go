package storetest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bridge"
	"tocsin/rules"
)

// alarmIsToldWhole lets alarms come and go at an endpoint that fails, is bounded,
// and collapses what is stale. What it accepts must make sense by itself: nothing
// goes on that has not begun, what began ends, and nothing is told twice.
func alarmIsToldWhole(t *testing.T, outer *fixture) {
	enough := time.Now().Add(2 * time.Second)
	rapid.Check(t, func(rt *rapid.T) {
		if time.Now().After(enough) && os.Getenv("TOCSIN_TORTURE") == "" {
			return
		}
		w := &listener{
			fixture: &fixture{t: t, open: outer.open, dir: t.TempDir()},
			next:    make(map[string]rules.Type), open: make(map[string]bool), heard: make(map[string]bool),
		}
		w.reopen()
		defer w.close()
		rt.Repeat(map[string]func(*rapid.T){
			"happen": w.happen,
			"tell":   w.tell,
			"bound":  w.bounds,
			"reopen": func(*rapid.T) { w.reopen() },
		})
		for alarm, typ := range w.next {
			if typ != rules.AlarmFired { // the last episode ends
				w.tells(rules.AlarmResolved, alarm, "x")
			}
		}
		for w.backlog("x").Count > 0 {
			for _, d := range w.claimed(rt) {
				w.accept(rt, d)
			}
		}
		for alarm := range w.open {
			if w.open[alarm] {
				rt.Fatalf("%s has ended, and nobody was told", alarm)
			}
		}
	})
}

type listener struct {
	*fixture
	next  map[string]rules.Type // what an alarm does next; "" is AlarmFired
	open  map[string]bool       // alarms that the receiver takes for firing
	heard map[string]bool       // ids that were accepted
}

func (w *listener) happen(rt *rapid.T) {
	alarm := fmt.Sprintf("rule/%d", rapid.IntRange(0, 3).Draw(rt, "alarm"))
	typ := w.next[alarm]
	if typ == "" {
		typ = rules.AlarmFired
	}
	severity := rapid.SampledFrom([]rules.Severity{rules.Info, rules.Major, rules.Critical}).Draw(rt, "severity")
	w.alarmed(typ, severity, alarm, "x")
	if typ == rules.AlarmResolved {
		w.next[alarm] = rules.AlarmFired
		return
	}
	w.next[alarm] = rapid.SampledFrom([]rules.Type{rules.AlarmEscalated, rules.AlarmReminder, rules.AlarmResolved, rules.AlarmResolved}).Draw(rt, "next")
}

func (w *listener) claimed(rt *rapid.T) []bridge.Delivery {
	mode := rapid.SampledFrom([]bridge.Stale{bridge.StaleAll, bridge.StaleCollapse}).Draw(rt, "mode")
	due, _ := w.ask(bridge.Ask{Endpoint: "x", Limit: rapid.IntRange(1, 5).Draw(rt, "limit"), Stale: mode})
	return due
}

func (w *listener) tell(rt *rapid.T) {
	for _, d := range w.claimed(rt) {
		switch rapid.IntRange(0, 3).Draw(rt, "answer") {
		case 0:
			w.accept(rt, d)
		case 1: // it is told, and the answer is lost
			w.hear(rt, d, true)
			w.finish(bridge.Retry, time.Now(), d)
		case 2:
			o := bridge.Outcome{Event: d.Event, Endpoint: "x", Fate: bridge.Retry, Due: time.Now(), Attempt: d.Attempt + 1, Unheard: true}
			if err := w.Finish(w.t.Context(), []bridge.Outcome{o}); err != nil {
				rt.Fatal(err)
			}
		default:
			w.finish(bridge.Released, time.Time{}, d)
		}
	}
}

func (w *listener) accept(rt *rapid.T, d bridge.Delivery) {
	w.hear(rt, d, false)
	w.deliver(d)
}

func (w *listener) hear(rt *rapid.T, d bridge.Delivery, lost bool) {
	if w.heard[d.ID] {
		return // a receiver knows by the id
	}
	w.heard[d.ID] = true
	switch d.Type {
	case rules.AlarmFired:
		if w.open[d.Alarm] {
			rt.Fatalf("%s fires and has not ended", d.Alarm)
		}
		w.open[d.Alarm] = true
		return
	case rules.AlarmOccurred:
		if w.open[d.Alarm] {
			rt.Fatalf("%s is told whole and was told before (an answer lost: %v)", d.Alarm, lost)
		}
		return
	}
	if !w.open[d.Alarm] {
		rt.Fatalf("%s of %s: nobody was told that it fires", d.Type, d.Alarm)
	}
	w.open[d.Alarm] = d.Type != rules.AlarmResolved
}

func (w *listener) bounds(rt *rapid.T) {
	b := bridge.Bounds{Count: rapid.IntRange(1, 6).Draw(rt, "count")}
	before := w.backlog("x")
	n, err := w.Log().Bound(w.t.Context(), "x", b)
	after := w.backlog("x")
	if err != nil || after.Count != before.Count-n || after.Dropped != before.Dropped+n {
		rt.Fatalf("Bound(%+v) = %d, %v: %+v, before %+v", b, n, err, after, before)
	}
}
