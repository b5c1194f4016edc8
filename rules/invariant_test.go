package rules

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// storyLength bounds the drawn stories: what goes wrong, does so in few steps.
const storyLength = 30

// differ fails with the first difference of what two engines told.
func differ(t *rapid.T, file string, story []Input, how string, a, b []string) {
	t.Helper()
	for i := range max(len(a), len(b)) {
		x, y := "nothing more", "nothing more"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			_, rules, _ := strings.Cut(file, "outside = \"off\"\n")
			t.Fatalf("%s\n%s\n\nwithout %s\n  %s\nwith\n  %s", rules, tellInputs(story), how, x, y)
		}
	}
}

// bodies are what a run told of each alarm, in order of the alarms' keys: the
// order among alarms is not promised.
func (r *run) bodies() []string {
	list := make([]string, len(r.bytes))
	for i := range r.bytes {
		list[i] = r.events[i].Alarm.Key + " " + r.bytes[i] + " to " + strings.Join(r.events[i].Endpoints, ",")
	}
	slices.SortStableFunc(list, func(a, b string) int {
		x, _, _ := strings.Cut(a, " ")
		y, _, _ := strings.Cut(b, " ")
		return strings.Compare(x, y)
	})
	return list
}

// begun is a run whose engine knows since when it listens.
func begun(t *rapid.T, p *Program) *run {
	r := newRun(t, p, Options{})
	r.step(Input{Now: start})
	return r
}

// checkStandings compares the counts an engine keeps with its alarms.
func checkStandings(t *rapid.T, r *run) {
	t.Helper()
	want := map[string]int{}
	for a := range r.e.instances() {
		if s := a.standing(); s.phase != inactive {
			want[a.rule.id+" "+s.phase.String()+" "+s.severity.String()]++
		}
	}
	for c := range r.e.Alarms() {
		want[c.Rule+" "+c.State+" "+c.Severity.String()] -= c.Count
	}
	for k, n := range want {
		if n != 0 {
			t.Fatalf("the count of %s is off by %d", k, n)
		}
	}
}

// later lets both finish: what is under way ends, or is told again.
func later(story []Input, runs ...*run) {
	end := story[len(story)-1].Now
	for _, r := range runs {
		r.step(Input{Now: end.Add(2 * time.Hour)})
	}
}

// I1 and I2 under every combination.
func TestWhateverTheRulesEveryEpisodeIsToldWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p := drawFile(t)
		story := drawInputs(t, storyLength)
		r := begun(t, p)
		for _, in := range story {
			r.step(in)
			if slices.Contains(r.out.Problems, "timer") {
				t.Fatalf("a timer does not end\n%s\n%s", file, tellInputs(story))
			}
		}
		later(story, r)
		checkWhole(t, r, file, story)
		checkStandings(t, r)
	})
}

// An account is what receivers know of an alarm.
type account struct {
	open, closed map[string]bool // episodes
	seq          map[string]int
	told         map[string][]string
}

func checkWhole(t *rapid.T, r *run, file string, story []Input) {
	t.Helper()
	acc := account{map[string]bool{}, map[string]bool{}, map[string]int{}, map[string][]string{}}
	openOf := map[string]string{}
	ids := map[string]bool{}
	wrong := func(ev *Event, why string) {
		t.Helper()
		_, rules, _ := strings.Cut(file, "outside = \"off\"\n")
		t.Fatalf("%s\n%s\n\n%s: %s seq %d %v", rules, tellInputs(story), why, brief(ev), ev.Alarm.Seq, ev.Endpoints)
	}
	for i := range r.events {
		ev := &r.events[i]
		if ids[ev.ID] {
			wrong(ev, "an id twice")
		}
		ids[ev.ID] = true
		if ev.Alarm.Key == "" {
			continue
		}
		id := ev.Alarm.Episode
		if ev.Type == AlarmOccurred {
			if acc.seq[id] != 0 {
				wrong(ev, "occurred, and told before")
			}
			acc.seq[id], acc.closed[id] = 1, true
			continue
		}
		if acc.seq[id]++; acc.seq[id] != ev.Alarm.Seq || acc.closed[id] {
			wrong(ev, "numbers have a hole, or it goes on after its end")
		}
		switch ev.Type {
		case AlarmFired:
			if openOf[ev.Alarm.Key] != "" || acc.seq[id] != 1 {
				wrong(ev, "fires while it fires")
			}
			openOf[ev.Alarm.Key], acc.open[id] = id, true
			acc.told[id] = ev.Endpoints
		case AlarmResolved, AlarmCancelled:
			if !slices.Equal(acc.told[id], ev.Endpoints) {
				wrong(ev, "its end is told to others than its start")
			}
			delete(openOf, ev.Alarm.Key)
			acc.closed[id] = true
		case AlarmEscalated:
			acc.told[id] = union(acc.told[id], ev.Endpoints)
		}
		if !acc.open[id] {
			wrong(ev, "does not begin with fired")
		}
		if ev.Alarm.Severity == Unset {
			wrong(ev, "has no severity")
		}
	}
	firing := map[string]bool{}
	for s := range r.e.States() {
		if !s.FiredAt.IsZero() && s.Severity != Unset {
			firing[s.Key] = true
		}
	}
	for key := range openOf {
		if !firing[key] {
			t.Fatalf("%s\n%s\n\n%s was told to fire, does not, and nobody was told", file, tellInputs(story), key)
		}
	}
}

// I3: ticks at whatever moments change nothing.
func TestWhateverTheRulesTicksChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p := drawFile(t)
		story := drawInputs(t, storyLength)
		a, b := begun(t, p), begun(t, p)
		last := start
		for _, in := range story {
			a.step(in)
			until := listened(in)
			for wait := until.Sub(last); wait > 0; {
				d := min(wait, time.Duration(rapid.Int64Range(1, int64(10*time.Minute)).Draw(t, "tick")))
				wait -= d
				b.step(Input{Now: until.Add(-wait)})
			}
			b.step(in)
			last = in.Now
		}
		later(story, a)
		for left := 120; left >= 0; left -= 7 {
			b.step(Input{Now: last.Add(time.Duration(120-left) * time.Minute)})
		}
		later(story, b)
		differ(t, file, story, "ticks", a.bodies(), b.bodies())
	})
}

// I4: a clean restart at whatever moments changes nothing.
func TestWhateverTheRulesARestartChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p := drawFile(t)
		story := drawInputs(t, storyLength)
		a, b := begun(t, p), begun(t, p)
		for _, in := range story {
			a.step(in)
			b.step(in)
			if rapid.IntRange(0, 4).Draw(t, "restart") == 4 {
				b.revive(p)
			}
		}
		later(story, a, b)
		differ(t, file, story, "restarts", a.bodies(), b.bodies())
		differ(t, file, story, "health after restarts", a.health(), b.health())
	})
}

// I5: so does a reload of the same file.
func TestWhateverTheRulesAReloadOfTheSameChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p := drawFile(t)
		story := drawInputs(t, storyLength)
		a, b := begun(t, p), begun(t, p)
		for _, in := range story {
			a.step(in)
			b.step(in)
			if rapid.IntRange(0, 4).Draw(t, "reload") == 4 {
				b.out.Reset()
				b.e.Reload(compileText(file), in.Now, nil, &b.out)
				b.keep()
			}
		}
		later(story, a, b)
		differ(t, file, story, "reloads", a.bodies(), b.bodies())
		differ(t, file, story, "health after reloads", a.health(), b.health())
	})
}

// I8: in what order the readings of a message stand in it changes nothing.
func TestWhateverTheRulesTheOrderInAMessageChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p := drawFile(t)
		story := drawInputs(t, storyLength)
		a, b := begun(t, p), begun(t, p)
		for i, in := range story {
			slices.SortStableFunc(in.Batch, func(x, y Sample) int { return x.At.Compare(y.At) })
			in.Batch = slices.CompactFunc(in.Batch, func(x, y Sample) bool { return x.At.Equal(y.At) })
			a.step(in)
			story[i].Batch = rapid.Permutation(in.Batch).Draw(t, "order")
			b.step(story[i])
		}
		later(story, a, b)
		differ(t, file, story, "another order", a.bodies(), b.bodies())
	})
}
