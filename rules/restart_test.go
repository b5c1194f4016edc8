package rules

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// restart replaces the run's engine by one that knows only what was stored.
func (r *run) restart(p *Program) {
	r.t.Helper()
	r.e = NewEngine(p, Options{})
	for _, b := range r.stored {
		var s State
		if err := json.Unmarshal(b, &s); err != nil {
			r.t.Fatal(err)
		}
		if !r.e.Restore(s) {
			r.t.Fatalf("not restored: %s", b)
		}
	}
}

func minutes(n float64) time.Time {
	return start.Add(time.Duration(n * float64(time.Minute)))
}

func TestDowntimeCountsNeitherForNorAgainst(t *testing.T) {
	f := func(name string, values []any, down, up float64, after func(*run), want ...string) {
		t.Helper()
		p := mustCompile(t, coldFile(freezer(t)))
		r := newRun(t, p, Options{})
		for i, v := range values {
			r.tick(minutes(float64(i)))
			r.sample(minutes(float64(i)), v)
		}
		r.tick(minutes(down))
		known := len(r.events)
		r.restart(p)
		r.e.Resume(minutes(down), minutes(up))
		r.step(Input{Now: minutes(up)})
		if len(r.events) != known {
			t.Errorf("%s: the restart itself told %q", name, r.bytes[known:])
		}
		after(r)
		if !slices.Equal(r.log, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, r.log, want)
		}
	}
	f("for goes on where it was", series(t, "-14x5"), 4, 24, func(r *run) { r.tick(minutes(60)) },
		"0s pending", "24m pending", "30m fired warning")
	f("live samples do not cover the gap", series(t, "-14x5"), 4, 24, func(r *run) {
		r.sample(minutes(25), -14)
		r.tick(minutes(60))
	}, "0s pending", "24m pending", "30m fired warning")
	f("buffered samples do", series(t, "-14x5"), 4, 24, func(r *run) {
		for i := 5; i <= 12; i++ {
			r.step(Input{Now: minutes(25), Sample: reading(minutes(float64(i)), -14)})
		}
	}, "0s pending", "24m pending", "25m pending", "25m pending", "25m pending", "25m pending", "25m pending", "25m fired warning")
	f("as far as they go", series(t, "-14x5"), 4, 24, func(r *run) {
		for i := 5; i <= 9; i++ {
			r.step(Input{Now: minutes(25), Sample: reading(minutes(float64(i)), -14)})
		}
		r.tick(minutes(60))
	}, "0s pending", "24m pending", "25m pending", "25m pending", "25m pending", "25m pending", "25m pending", "26m fired warning")
	f("and may end it", series(t, "-14x5"), 4, 24, func(r *run) {
		r.step(Input{Now: minutes(25), Sample: reading(minutes(9), -20)})
		r.tick(minutes(60))
	}, "0s pending", "24m pending", "25m inactive")
	f("clear_for goes on too", series(t, "-14x11 -20x3"), 13, 33, func(r *run) { r.tick(minutes(60)) },
		"0s pending", "10m fired warning", "11m recovering", "33m recovering", "36m resolved warning")
	f("an alarm that fires stays", series(t, "-14x11"), 13, 33, func(r *run) { r.sample(minutes(34), -14) },
		"0s pending", "10m fired warning", "13m stale warning", "34m firing")
}

// What nobody has seen is not counted in words either.
func TestWordsLeaveDowntimeOut(t *testing.T) {
	f := func(want string, up float64, after func(*run)) {
		t.Helper()
		p := mustCompile(t, coldFile(freezer(t)))
		r := newRun(t, p, Options{})
		for i := range 5 {
			r.sample(minutes(float64(i)), -14)
		}
		r.restart(p)
		r.e.Resume(minutes(4), minutes(up))
		r.step(Input{Now: minutes(up)})
		after(r)
		if n := len(r.events); n == 0 || r.events[n-1].Because != want {
			t.Errorf("told %q, want %s", r.bytes, want)
		}
	}
	f("above -15 °C since 14:00:00 (10m 0s without 20m 0s in which nothing was known, 1 of 1 samples); peak -14 °C at 14:00:00", 24,
		func(r *run) { r.tick(minutes(60)) })
	f("above -15 °C since 14:00:00 (11m 0s without 20m 0s in which nothing was known, 2 of 2 samples); peak -14 °C at 14:00:00", 24,
		func(r *run) { r.step(Input{Now: minutes(25), Sample: reading(minutes(31), -14)}) })
	f("above -15 °C since 14:00:00 (10m 0s, 2 of 2 samples); peak -14 °C at 14:00:00", 24, // kept back, and from the midst of the gap
		func(r *run) { r.step(Input{Now: minutes(25), Sample: reading(minutes(10), -14)}) })
	f("at or below -17 °C since 15:01:00 (5m 0s without 1h 0m 0s in which nothing was known, 1 sample); in alarm for 2h 6m 0s; peak -14 °C at 14:00:00", 24,
		func(r *run) {
			r.tick(minutes(60))
			r.sample(minutes(61), -20)
			r.e.Resume(minutes(62), minutes(122))
			r.tick(minutes(200))
		})
}

func TestATimerThatRanOutBeforeTheCrashEndsAtItsOwnTime(t *testing.T) {
	p := mustCompile(t, coldFile(freezer(t)))
	r := newRun(t, p, Options{})
	r.sample(start, -14)
	r.restart(p)
	r.e.Resume(minutes(10.5), minutes(30)) // the tick at 10 was not committed
	r.step(Input{Now: minutes(30)})
	if want := []string{"0s pending", "10m fired warning"}; !slices.Equal(r.log, want) {
		t.Errorf("got %q, want %q", r.log, want)
	}
}

func TestASecondRestartRemembersTheFirstGap(t *testing.T) {
	p := mustCompile(t, coldFile(freezer(t)))
	r := newRun(t, p, Options{})
	r.sample(start, -14)
	for _, gap := range [][2]float64{{4, 24}, {25, 45}} {
		r.restart(p)
		r.e.Resume(minutes(gap[0]), minutes(gap[1]))
		r.step(Input{Now: minutes(gap[1])})
	}
	r.tick(minutes(100))
	if want := []string{"0s pending", "24m pending", "45m pending", "50m fired warning"}; !slices.Equal(r.log, want) {
		t.Errorf("got %q, want %q", r.log, want)
	}
}

func TestStatesWithoutARuleAreKeptAside(t *testing.T) {
	e := NewEngine(mustCompile(t, coldFile(freezer(t))), Options{})
	gone := State{Key: "old/freezer-07", Rule: "old", Device: "freezer-07", Levels: []LevelState{{Severity: Warning, On: true}}}
	if e.Restore(gone) {
		t.Error("a state of no rule was restored")
	}
	var out Output
	if e.Step(Input{Now: start}, &out); len(out.Transitions) != 0 {
		t.Errorf("nobody was told, and now %+v", out.Transitions)
	}
	if kept := slices.Collect(e.Orphans()); len(kept) != 1 || !reflect.DeepEqual(kept[0], gone) {
		t.Errorf("kept %+v", kept)
	}
	if n := e.Devices(); n != 1 {
		t.Errorf("%d devices, want the declared one", n)
	}
}

// orphaned restarts without caring whether a rule claims what was stored.
func (r *run) orphaned(p *Program, up float64) {
	r.t.Helper()
	r.e = NewEngine(p, Options{})
	for _, b := range r.stored {
		var s State
		if err := json.Unmarshal(b, &s); err != nil {
			r.t.Fatal(err)
		}
		r.e.Restore(s)
	}
	r.e.Resume(minutes(up-1), minutes(up))
	r.step(Input{Now: minutes(up)})
	r.out.Stamp(1)
}

func TestTheEndOfAnAlarmWithoutARuleIsTold(t *testing.T) {
	removed := coldFile(freezer(t))
	removed.Rule["other"] = removed.Rule["freezer-warm"]
	delete(removed.Rule, "freezer-warm")
	elsewhere := coldFile(ladder(t))
	elsewhere.Rule["freezer-warm"].Except = Scope{"freezer-*"}
	for name, c := range map[string]struct {
		file                   *File
		reason, because, title string
	}{
		"removed": {removed, "rule_removed", "rule freezer-warm is not configured any more; in alarm since 14:00:00",
			"freezer-07: alarm cancelled, rule freezer-warm is not configured any more"},
		"elsewhere": {elsewhere, "rule_changed", "rule freezer-warm does not look at freezer-07 any more; in alarm since 14:00:00",
			"freezer-07: alarm cancelled, rule freezer-warm does not look at freezer-07 any more"},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustCompile(t, coldFile(ladder(t)))
			r := newRun(t, p, Options{})
			for i, v := range []float64{-14, -9, -9, -9} {
				r.labelled(float64(i), v, 0, map[string]string{"line": "3"})
			}
			r.orphaned(mustCompile(t, c.file), 10)
			if len(r.events) != 3 {
				t.Fatalf("told %q", r.bytes)
			}
			ev, fired := r.events[2], r.events[0]
			if ev.Type != AlarmCancelled || ev.Reason != c.reason || ev.Because != c.because || ev.Title != c.title {
				t.Errorf("told %s", r.bytes[2])
			}
			if ev.Alarm.Key != fired.Alarm.Key || ev.Alarm.Episode != fired.Alarm.Episode || ev.Alarm.Seq != 3 || ev.Alarm.State != "inactive" || ev.Alarm.Severity != Critical {
				t.Errorf("alarm %+v", ev.Alarm)
			}
			if !slices.Equal(ev.Endpoints, []string{"oncall", "ops"}) || ev.Condition != nil || ev.Device.Labels["line"] != "3" || ev.Device.Via != "gw-lyon" || ev.Duration != "10m0s" {
				t.Errorf("told %v: %s", ev.Endpoints, r.bytes[2])
			}
			r.step(Input{Now: minutes(11)})
			r.orphaned(mustCompile(t, c.file), 20)
			if len(r.events) != 3 {
				t.Errorf("told again: %q", r.bytes[3:])
			}
			r.orphaned(p, 30) // the rule is back
			r.sample(minutes(31), -14)
			if len(r.events) != 4 || r.events[3].Alarm.Seq != 1 || r.events[3].Alarm.Episode == fired.Alarm.Episode {
				t.Errorf("then told %q", r.bytes[3:])
			}
		})
	}
}

func TestDevicesAreCounted(t *testing.T) {
	e := NewEngine(mustCompile(t, coldFile(freezer(t))), Options{})
	var out Output
	for i, d := range []string{"a", "b", "a"} {
		s := reading(minutes(float64(i)), -20)
		s.Device = d
		e.Step(Input{Now: s.At, Sample: s}, &out)
	}
	if n := e.Devices(); n != 3 {
		t.Errorf("%d devices, want two and the declared one", n)
	}
}

func TestAnAlarmOutlivesItsLevel(t *testing.T) {
	r := newRun(t, mustCompile(t, coldFile(ladder(t))), Options{})
	for i, v := range []float64{-14, -9, -9, -9} {
		r.sample(minutes(float64(i)), v)
	}
	rule := ladder(t)
	rule.Level, rule.Severity = nil, Major // neither warning nor critical any more
	r.restart(mustCompile(t, coldFile(rule)))
	r.sample(minutes(5), -20)
	ev := r.events[len(r.events)-1]
	if ev.Type != AlarmResolved || ev.Alarm.Seq != 4 || ev.Alarm.Episode != r.events[0].Alarm.Episode || !slices.Equal(ev.Endpoints, []string{"oncall", "ops"}) {
		t.Errorf("ended by %s", r.bytes[len(r.bytes)-1])
	}
}

func TestRestoredStatesAreNotRefused(t *testing.T) {
	p := mustCompile(t, coldFile(freezer(t)))
	e := NewEngine(p, Options{MaxInstances: 1, MaxDevices: 1})
	for _, d := range []string{"a", "b", "c"} {
		if !e.Restore(State{Rule: "freezer-warm", Device: d, Levels: []LevelState{{Severity: Warning, On: true}}}) {
			t.Errorf("device %s was refused", d)
		}
	}
	counts := slices.Collect(e.Alarms())
	if want := []AlarmCount{{"freezer-warm", Warning, "firing", 3}}; !slices.Equal(counts, want) {
		t.Errorf("counts %v, want %v", counts, want)
	}
}

func TestValuesOfEachKindSurvive(t *testing.T) {
	f := func(is string, values ...any) {
		t.Helper()
		p := mustCompile(t, &File{Rule: map[string]*RuleDef{"r": {Metric: "temperature", Condition: Condition{Is: ptr(Scalar(is))}, Timing: Timing{ClearFor: dur(t, "5m")}}}})
		a, b := newRun(t, p, Options{}), newRun(t, p, Options{})
		for i, v := range values {
			for _, r := range []*run{a, b} {
				r.sample(minutes(float64(i)), v)
			}
			if i > 0 { // before the first transition nothing is stored, not even evidence
				b.restart(p)
			}
		}
		for _, r := range []*run{a, b} {
			r.tick(minutes(60))
		}
		if len(a.bytes) != 2 || !slices.Equal(a.bytes, b.bytes) {
			t.Errorf("%s:\nwent on  %q\nrestored %q", is, a.bytes, b.bytes)
		}
	}
	f("true", "off", "on", "off")
	f("open", "closed", "open", "ajar")
	f("0", 1, 0, 1)
}

// Whatever the gaps, a timer that nothing contradicts runs for its time of
// listening, no more and no less.
func TestATimerCountsTheTimeOfListening(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := mustCompile(t, coldFile(freezer(t)))
		r := newRun(t, p, Options{})
		r.sample(start, -14)
		now, left := start, 10*time.Minute
		for range rapid.IntRange(0, maxGaps+2).Draw(t, "gaps") {
			lived := time.Duration(rapid.Int64Range(1, int64(left)-1).Draw(t, "lived"))
			deaf := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "deaf"))
			left -= lived
			now = now.Add(lived)
			if rapid.Bool().Draw(t, "restart") {
				r.restart(p)
			}
			r.e.Resume(now, now.Add(deaf))
			now = now.Add(deaf)
			r.step(Input{Now: now})
			if left < 2 {
				break
			}
		}
		if next := r.e.Next(); !next.Equal(now.Add(left)) || len(r.events) != 0 {
			t.Fatalf("runs out at %v, want %v; told %q", next, now.Add(left), r.bytes)
		}
	})
}

func TestResumeIgnoresWhatIsNoGap(t *testing.T) {
	r := newRun(t, mustCompile(t, coldFile(freezer(t))), Options{})
	r.sample(start, -14)
	r.e.Resume(time.Time{}, start) // a first start: nobody knows when it last lived
	r.e.Resume(minutes(2), minutes(2))
	if r.step(Input{Now: minutes(3)}); len(r.log) != 1 {
		t.Errorf("log %q", r.log)
	}
}

// A clock that was an hour ahead is set right, while the bridge runs or while it
// is down. Timers go on for as long as they would have, and readings that no
// other clock has stamped are not late for an hour.
func TestAClockSetBackHoldsNothingUp(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "down": true} {
		t.Run(name, func(t *testing.T) {
			p := mustCompile(t, coldFile(freezer(t)))
			r := newRun(t, p, Options{})
			send := func(at time.Time, v float64) {
				s := reading(at, v)
				s.Clock = ClockArrival
				r.step(Input{Now: at, Sample: s})
			}
			for i := range 5 {
				send(minutes(60+float64(i)), -14)
			}
			if restart {
				r.restart(p)
			}
			r.e.Resume(minutes(64), minutes(4))
			r.step(Input{Now: minutes(4)})
			for i := 5; i <= 12; i++ {
				send(minutes(float64(i)), -14)
			}
			for i := 13; i <= 20; i++ {
				send(minutes(float64(i)), -20)
			}
			want := []string{"1h pending", "4m pending", "10m fired warning", "13m recovering", "18m resolved warning"}
			if !slices.Equal(r.log, want) {
				t.Errorf("got %q, want %q", r.log, want)
			}
		})
	}
}
