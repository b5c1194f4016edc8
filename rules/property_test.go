package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A played is one reading of a random history.
type played struct {
	wait   time.Duration // since the one before
	device int
	v      float64
	flags  Flags
}

// drawRule draws a rule with a random ladder, hysteresis and timing.
func drawRule(t *rapid.T) *RuleDef {
	duration := rapid.SampledFrom([]Duration{0, 0, Duration(time.Minute), Duration(5 * time.Minute)})
	timing := func(name string) Timing {
		tm := Timing{For: ptr(duration.Draw(t, name+" for")), ClearFor: ptr(duration.Draw(t, name+" clear_for"))}
		if n := rapid.IntRange(1, 3).Draw(t, name+" samples"); n > 1 {
			tm.Samples = &n
		}
		return tm
	}
	r := &RuleDef{Metric: "temperature", Notify: []string{"ops"}, Timing: timing("rule")}
	limit := float64(0)
	clear := func(name string) *Clear {
		return &Clear{Limits: true, Range: Range{Low: Quantity{Value: limit - rapid.Float64Range(0, 2).Draw(t, name)}}}
	}
	r.Above, r.Clear = &Quantity{Value: limit}, clear("rule clear")
	r.Level = map[string]*LevelDef{}
	for _, name := range []string{"major", "critical"} {
		if rapid.Bool().Draw(t, name) {
			limit += 2
			l := &LevelDef{Notify: []string{name}, Timing: timing(name)}
			l.Above, l.Clear = &Quantity{Value: limit}, clear(name+" clear")
			r.Level[name] = l
		}
	}
	return r
}

func drawHistory(t *rapid.T) []played {
	values := rapid.SampledFrom([]float64{-5, -1.5, -0.5, 0, 0.5, 1, 2.5, 3, 5, nan()})
	waits := rapid.SampledFrom([]time.Duration{0, time.Second, 30 * time.Second, time.Minute, 90 * time.Second, 4 * time.Minute, 20 * time.Minute})
	flags := rapid.SampledFrom([]Flags{0, 0, 0, 0, 0, Retained, Dup})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) played {
		return played{waits.Draw(t, "wait"), rapid.IntRange(0, 1).Draw(t, "device"), values.Draw(t, "value"), flags.Draw(t, "flags")}
	}), 1, 40).Draw(t, "history")
}

func drawProgram(t *rapid.T) *Program {
	p, problems := Compile(&File{Rule: map[string]*RuleDef{"hot": drawRule(t), "hot2": drawRule(t)}})
	if p == nil {
		t.Fatalf("file refused: %v", problems)
	}
	return p
}

// input makes the n-th reading of a history.
func (p played) input(now time.Time) Input {
	s := reading(now, p.v)
	s.Device, s.Flags = fmt.Sprint("d", p.device), p.flags
	return Input{Now: now, Sample: s}
}

// perAlarm sorts event bodies by alarm, keeping the order within each.
func perAlarm(r *run) map[string][]string {
	byKey := map[string][]string{}
	for i, ev := range r.events {
		byKey[ev.Alarm.Key] = append(byKey[ev.Alarm.Key], r.bytes[i])
	}
	return byKey
}

// I1 and I2: an episode fires once, first, and ends at most once, last, numbered
// without a hole; and the endpoints of an ending are those that were told.
func TestEveryEpisodeIsToldWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun(t, drawProgram(t), Options{})
		now := start
		for _, p := range drawHistory(t) {
			now = now.Add(p.wait)
			r.tick(now)
			r.step(p.input(now))
		}
		type told struct {
			seq   int
			names []string
			ended bool
			at    time.Time
		}
		episodes := map[string]*told{}
		open := map[string]string{}
		ids := map[string]bool{}
		for i, ev := range r.events {
			ep := episodes[ev.Alarm.Episode]
			if ep == nil {
				ep = &told{}
				episodes[ev.Alarm.Episode] = ep
				if ev.Type != AlarmFired || open[ev.Alarm.Key] != "" {
					t.Fatalf("an episode begins with %s while %q is open", r.bytes[i], open[ev.Alarm.Key])
				}
				open[ev.Alarm.Key] = ev.Alarm.Episode
			} else if ev.Type == AlarmFired {
				t.Fatalf("fired twice: %s", r.bytes[i])
			}
			if ep.seq++; ev.Alarm.Seq != ep.seq || ep.ended || ev.At.Before(ep.at) || ids[ev.ID] {
				t.Fatalf("seq %d, ended %v, last at %v: %s", ep.seq, ep.ended, ep.at, r.bytes[i])
			}
			ep.at, ids[ev.ID] = ev.At, true
			ep.names = union(ep.names, nil)
			switch ev.Type {
			case AlarmFired, AlarmEscalated:
				ep.names = union(ep.names, ev.Notify)
			case AlarmResolved:
				ep.ended = true
				delete(open, ev.Alarm.Key)
			}
			if !slices.Equal(ev.Endpoints, ep.names) {
				t.Fatalf("told %q, want %q: %s", ev.Endpoints, ep.names, r.bytes[i])
			}
			if strings.ContainsAny(ev.ID+ev.Alarm.Episode, ". ") || len(ev.Evidence) == 0 || len(ev.Evidence) > maxEvidence {
				t.Fatalf("malformed: %s", r.bytes[i])
			}
		}
		checkCounts(t, r)
	})
}

// checkCounts compares the counts an engine keeps with a count of its alarms.
func checkCounts(t *rapid.T, r *run) {
	want := map[string]int{}
	for s := range r.e.States() {
		if p := phaseOf(s); p != "inactive" {
			want[s.Rule+p]++
		}
	}
	for c := range r.e.Alarms() {
		want[c.Rule+c.State] -= c.Count
	}
	for k, n := range want {
		if n != 0 {
			t.Fatalf("the count of %s is off by %d", k, n)
		}
	}
}

// I3: the same inputs make the same bytes, whenever ticks come in between.
func TestSameInputsMakeTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, history := drawProgram(t), drawHistory(t)
		a, b := newRun(t, p, Options{}), newRun(t, p, Options{})
		now := start
		for _, h := range history {
			for left := h.wait; left > 0; {
				d := min(left, time.Duration(rapid.Int64Range(1, int64(5*time.Minute)).Draw(t, "tick")))
				left -= d
				b.step(Input{Now: now.Add(h.wait - left)})
			}
			now = now.Add(h.wait)
			a.step(h.input(now))
			b.step(h.input(now))
		}
		for _, r := range []*run{a, b} {
			r.step(Input{Now: now.Add(time.Hour)})
		}
		x, y := perAlarm(a), perAlarm(b)
		for key := range x {
			if !slices.Equal(x[key], y[key]) {
				t.Fatalf("%s\nwithout ticks %s\nwith ticks    %s", key, strings.Join(x[key], "\n"), strings.Join(y[key], "\n"))
			}
		}
		if len(a.events) != len(b.events) {
			t.Fatalf("%d events without ticks, %d with", len(a.events), len(b.events))
		}
	})
}

// I4: a snapshot, through JSON, goes on as the engine it was taken of, to the
// byte; and taking it back tells nobody anything.
func TestASnapshotGoesOnIdentically(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, history := drawProgram(t), drawHistory(t)
		a := newRun(t, p, Options{})
		now := start
		cut := rapid.IntRange(0, len(history)).Draw(t, "cut")
		for _, h := range history[:cut] {
			now = now.Add(h.wait)
			a.step(h.input(now))
		}
		b := newRun(t, p, Options{})
		for record := range a.e.Memory() {
			if err := b.e.Recall(record); err != nil {
				t.Fatal(err)
			}
		}
		for s := range a.e.States() {
			text, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			var back State
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			if again, _ := json.Marshal(back); string(again) != string(text) {
				t.Fatalf("%s became %s", text, again)
			}
			if !b.e.Restore(back) {
				t.Fatalf("not restored: %s", text)
			}
		}
		b.step(Input{Now: now})
		a.step(Input{Now: now})
		known := len(a.bytes) - len(b.bytes)
		for _, h := range history[cut:] {
			now = now.Add(h.wait)
			a.step(h.input(now))
			b.step(h.input(now))
		}
		a.step(Input{Now: now.Add(time.Hour)})
		b.step(Input{Now: now.Add(time.Hour)})
		if !slices.Equal(a.bytes[known:], b.bytes) {
			t.Fatalf("\nwent on with %s\nrestored     %s", strings.Join(a.bytes[known:], "\n"), strings.Join(b.bytes, "\n"))
		}
		checkCounts(t, b)
	})
}

// I4 in a crash: what was stored is each alarm's last transition, and that is
// enough to tell the same events under the same ids, in the same order.
func TestACrashTellsTheSameEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, history := drawProgram(t), drawHistory(t)
		a, b := newRun(t, p, Options{}), newRun(t, p, Options{})
		now := start
		var past []Input
		for _, h := range history {
			h.flags &^= Retained
			now = now.Add(max(h.wait, 1)) // no duplicates: one of them is seen only by a
			for _, r := range []*run{a, b} {
				r.tick(now)
				r.step(h.input(now))
			}
			past = append(past, h.input(now))
			if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
				a.tick(now)
				b.tick(now)
				before := len(b.events)
				e := NewEngine(p, Options{})
				for _, in := range past {
					e.Rehearse(in)
				}
				for _, text := range b.stored {
					var s State
					if err := json.Unmarshal(text, &s); err != nil {
						t.Fatal(err)
					}
					e.Restore(s)
				}
				b.e = e
				b.step(Input{Now: now})
				if len(b.events) != before {
					t.Fatalf("the restart itself told %s", b.bytes[before:])
				}
			}
		}
		tell := func(r *run) (list []string) {
			for _, ev := range r.events {
				list = append(list, fmt.Sprint(ev.ID, ev.Type, ev.Alarm.Severity, ev.Alarm.Seq, ev.Alarm.StartedAt, ev.Endpoints, ev.Alarm.Relapses))
			}
			slices.Sort(list)
			return list
		}
		if x, y := tell(a), tell(b); !slices.Equal(x, y) {
			t.Fatalf("\nwent on %s\ncrashed %s", strings.Join(x, "\n"), strings.Join(y, "\n"))
		}
	})
}

// I5: compiling an identical file makes the same revisions, and an engine of
// the new program goes on as the old one.
func TestAnIdenticalFileChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &File{Rule: map[string]*RuleDef{"hot": drawRule(t)}}
		p, _ := Compile(f)
		q, _ := Compile(f)
		if p.Rules()[0].Revision != q.Rules()[0].Revision {
			t.Fatal("two revisions of one rule")
		}
		a := newRun(t, p, Options{})
		now := start
		for _, h := range drawHistory(t) {
			now = now.Add(h.wait)
			a.tick(now)
			a.step(h.input(now))
		}
		b := newRun(t, q, Options{})
		for s := range a.e.States() {
			b.e.Restore(s)
		}
		b.step(Input{Now: now})
		if len(b.events) != 0 {
			t.Fatalf("a reload told %s", b.bytes)
		}
	})
}

// I7: a repeated input changes nothing, but for being counted when it is late.
func TestRepeatedInputsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, history := drawProgram(t), drawHistory(t)
		a, b := newRun(t, p, Options{}), newRun(t, p, Options{})
		now := start
		var seen []Input
		for _, h := range history {
			h.wait = max(h.wait, 1)
			h.flags = 0
			if h.v != h.v {
				continue // an invalid sample has no event time that could be compared
			}
			now = now.Add(h.wait)
			in := h.input(now)
			seen = append(seen, in)
			for _, r := range []*run{a, b} {
				r.tick(now)
				r.step(in)
			}
			for range rapid.IntRange(0, 3).Draw(t, "repeats") {
				again := rapid.SampledFrom(seen).Draw(t, "again")
				again.Now = now
				b.step(again)
			}
		}
		if !slices.Equal(a.log, b.log) || !slices.Equal(a.bytes, b.bytes) {
			t.Fatalf("\nonce  %s\nagain %s", strings.Join(a.bytes, "\n"), strings.Join(b.bytes, "\n"))
		}
	})
}
