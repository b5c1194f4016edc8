package sim

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// judged plays values, a second apart, to a watch. A value after ~ cannot be
// judged, and x is none. What is told is written as +N fired, -N ended, pN pending,
// cN cancelled, and ? for what may be, where N is the second at which the episode
// began.
func judged(t *testing.T, e Expect, values string) string {
	t.Helper()
	start := time.Unix(1_800_000_000, 0)
	w := newWatch("r", e)
	var got []string
	for i, field := range strings.Fields(values) {
		at := start.Add(time.Duration(i) * time.Second)
		var told []Crossing
		if field[0] == '~' {
			told = w.doubt(at, at.Add(time.Second/2))
		} else if field == "x" {
			told = w.miss(at)
		} else if v, err := strconv.ParseFloat(field, 64); err != nil {
			t.Fatal(err)
		} else {
			told = w.see(v, at)
		}
		for _, c := range told {
			mark := map[string]string{Fired: "+", Resolved: "-", Pending: "p", Cancelled: "c"}[c.Type]
			mark += strconv.Itoa(int(c.Started.Sub(start).Seconds()))
			if c.Maybe {
				mark += "?"
			}
			got = append(got, mark)
		}
	}
	return strings.Join(got, " ")
}

func TestModelSeesCrossings(t *testing.T) {
	limit, low, high := -15.0, -17.0, -13.0
	f := func(e Expect, values, want string) {
		t.Helper()
		if got := judged(t, e, values); got != want {
			t.Errorf("%+v on %s: got %v, want %s", e, values, got, want)
		}
	}
	plain := Expect{Above: &limit, Clear: &low}
	f(plain, "-20 -15 -20", "")
	f(plain, "-20 -14 -16 -14 -16.9 -17 -14", "+1 -1 +6")
	f(plain, "-14 -18", "+0 -0")
	f(Expect{Above: &limit}, "-14 -15 -14", "+0 -0 +2")
	f(Expect{Below: &limit, Clear: &high}, "-14 -16 -14 -13 -16", "+1 -1 +4")

	patient := Expect{Above: &limit, Clear: &low, For: Duration(3 * time.Second)}
	f(patient, "-14 -14 -20", "p0 c0")
	f(patient, "-14 -14 -16 -14", "p0 c0 p3")
	f(patient, "-14 -14 -14 -14 -14 -20", "p0 +0 -0")
	f(patient, "-20 -14 -14 -14 -20", "p1 +1? -1?")
	f(patient, "-20 -14 -14 -14 -16 -14 -14 -18 -14", "p1 +1? -1? p8")
}

func TestFreezerStoreTellsItsStory(t *testing.T) {
	p, err := Load("freezer-store")
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(100) {
		devices, err := p.devices(Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Unix(1_800_000_000, 0).UTC()
		o := Options{Speed: 1, StartAt: start}
		for _, d := range devices {
			var fired, critical, resolved time.Duration
			for at := time.Duration(0); at < 4*time.Minute; {
				m := d.next(o).sent[0]
				at = m.At.Sub(start)
				if d.values[d.index("temperature")] > -10 && critical == 0 {
					critical = at
				}
				for _, c := range m.Expected {
					switch {
					case c.Type == Fired && fired == 0:
						fired = at
					case c.Type == Resolved && resolved == 0:
						resolved = at
					}
				}
			}
			switch d.id {
			case "freezer-01":
				if fired == 0 || fired > 25*time.Second {
					t.Errorf("seed %d: freezer-01 fired after %v, want 25s at most", seed, fired)
				}
				if critical <= fired || critical > 40*time.Second {
					t.Errorf("seed %d: freezer-01 was above -10 after %v, fired after %v", seed, critical, fired)
				}
				if resolved < critical || resolved > 3*time.Minute {
					t.Errorf("seed %d: freezer-01 resolved after %v", seed, resolved)
				}
			case "freezer-02":
				if fired < 2*time.Minute {
					t.Errorf("seed %d: freezer-02 fired after %v", seed, fired)
				}
			default:
				if fired != 0 {
					t.Errorf("seed %d: healthy %s fired after %v", seed, d.id, fired)
				}
			}
		}
	}
}

// What cannot be judged leaves open how the alarm stands, until a reading that
// can be judged ends it.
func TestModelAdmitsWhatItCannotKnow(t *testing.T) {
	limit, low := -15.0, -17.0
	start := time.Unix(1_800_000_000, 0)
	f := func(e Expect, values, want string) {
		t.Helper()
		if got := judged(t, e, values); got != want {
			t.Errorf("%+v on %s: got %v, want %s", e, values, got, want)
		}
	}
	plain := Expect{Above: &limit, Clear: &low}
	f(plain, "-20 x -14 x -20", "+2 -2")
	f(plain, "-20 ~-14 ~-14 -20 -14", "+1? -1? +4")
	f(plain, "-20 ~-20 -14 -16 -20", "+1? -1?")
	f(plain, "-14 ~-14 -14 -20", "+0 -0? +1? -1?")
	f(plain, "~-20 ~-20", "+0?")
	long := Expect{Above: &limit, Clear: &low, For: Duration(2 * time.Second)}
	f(long, "-20 -14 -14 -14 -20", "p1 +1 -1")
	f(long, "-20 -14 x -14 -20 -14", "p1 -1? p5")
	f(long, "-20 -14 ~-14 -20", "p1 -1?")
	// A clock that was an hour ahead and is right again: nothing is known for an hour.
	w := newWatch("r", plain)
	w.doubt(start, start.Add(time.Hour))
	if told := w.see(-20, start.Add(time.Minute)); told != nil {
		t.Errorf("%v is told of a reading older than what was heard", told)
	}
	if told := w.see(-20, start.Add(time.Hour+1)); len(told) != 1 || !told[0].Maybe || told[0].Type != Resolved {
		t.Errorf("%v, want that the doubt ends", told)
	}
	// One that runs backwards: an alarm may begin at each of its times.
	w = newWatch("r", plain)
	w.doubt(start, start)
	told := w.doubt(start.Add(-time.Minute), start.Add(time.Second))
	if len(told) != 2 || told[0].Type != Resolved || !told[0].Maybe || told[1].Type != Fired || !told[1].Started.Equal(start.Add(-time.Minute)) {
		t.Errorf("%v, want an episode from the earlier time on", told)
	}
	ranged := Expect{Above: &limit, Clear: &low, Range: []float64{-55, 125}}
	w = newWatch("r", ranged)
	for v, want := range map[float64]bool{-127: true, -55: false, 125: false, 850: true} {
		if w.outside(v) != want {
			t.Errorf("outside(%v) is not %v", v, want)
		}
	}
}
