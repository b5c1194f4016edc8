package sim

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestModelSeesCrossings(t *testing.T) {
	limit, low, high := -15.0, -17.0, -13.0
	start := time.Unix(1_800_000_000, 0)
	// Values are a second apart; what is told is written as +N fired, -N ended, ?
	// for open, where N is the second at which the episode began.
	f := func(e Expect, values, want string) {
		t.Helper()
		w := newWatch("r", e)
		var got []string
		for i, field := range strings.Fields(values) {
			v, err := strconv.ParseFloat(field, 64)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range w.see(v, start.Add(time.Duration(i)*time.Second)) {
				mark := map[string]string{Fired: "+", Resolved: "-", Pending: "p", Cancelled: "c"}[c.Type]
				mark += strconv.Itoa(int(c.Started.Sub(start).Seconds()))
				if c.Maybe {
					mark += "?"
				}
				got = append(got, mark)
			}
		}
		if strings.Join(got, " ") != want {
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
				m := d.next(o)
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
