package bridge

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// However attempts end, and whenever: an open breaker lets one probe through at a
// time and none before its pause is over, only failures in a row open it, and a
// pause is never shorter than the first nor longer than the longest.
func TestOpenBreakerLetsOneProbeThroughAtATime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Breaker{Failures: rapid.IntRange(1, 5).Draw(t, "failures")}.withDefaults()
		now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		var b breaker
		var flight []int    // eras of attempts under way
		row, probes := 0, 0 // failures since a success; probes under way
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "wait")))
			},
			"begin": func(t *rapid.T) {
				n, next := b.allow(now)
				if n == 0 {
					if !next.IsZero() && !next.After(now) {
						t.Fatalf("nothing may begin, and it says to ask at once: %v", next)
					}
					return
				}
				if b.isOpen() {
					if now.Before(b.until) || n != 1 || probes > 0 {
						t.Fatalf("%d attempts may begin with the pause until %v at %v and %d probes under way", n, b.until, now, probes)
					}
					probes++
				}
				flight = append(flight, b.begin())
			},
			"end": func(t *rapid.T) {
				if len(flight) == 0 {
					return
				}
				i := rapid.IntRange(0, len(flight)-1).Draw(t, "which")
				era := flight[i]
				flight = append(flight[:i], flight[i+1:]...)
				open, current := b.isOpen(), era == b.era
				switch rapid.SampledFrom([]string{"succeed", "fail", "fail", "abandon"}).Draw(t, "how") {
				case "succeed":
					row, probes = 0, 0
					if closed := b.succeed(now); closed != open || b.isOpen() {
						t.Fatalf("closed = %v, open before = %v, after = %v", closed, open, b.isOpen())
					}
				case "fail":
					if current {
						row++
						probes = 0
					}
					until, probing := b.until, b.probing
					opened := b.fail(now, o, era)
					if !current && (b.until != until || b.probing != probing) {
						t.Fatal("an attempt from before it opened has changed it")
					}
					if opened && (open || row < o.Failures) {
						t.Fatalf("opened after %d of %d failures in a row (open before: %v)", row, o.Failures, open)
					}
					if current && (opened || open) {
						if pause := b.until.Sub(now); pause < o.Open || pause > o.MaxOpen {
							t.Fatalf("a pause of %v", pause)
						}
					}
				case "abandon":
					if current && open {
						probes = 0
					}
					b.abandon(era)
					if b.isOpen() != open {
						t.Fatal("an attempt that told nothing has changed it")
					}
				}
			},
		})
	})
}

func TestFailuresInARowOpenTheBreaker(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	o := Breaker{Failures: 3, Window: time.Minute}.withDefaults()
	var b breaker
	for i, step := range []struct {
		after time.Duration
		ok    bool
		opens bool
	}{
		{0, false, false}, {time.Second, false, false}, {time.Second, true, false}, // a success forgets them
		{0, false, false}, {0, false, false},
		{2 * time.Minute, false, false}, // those before are out of the window
		{time.Second, false, false}, {time.Second, false, true},
	} {
		now = now.Add(step.after)
		if step.ok {
			b.succeed(now)
			continue
		}
		if opens := b.fail(now, o, b.begin()); opens != step.opens {
			t.Fatalf("step %d: opens = %v", i, opens)
		}
	}
}

func TestPauseDoublesUntilTheEndpointHasRecovered(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	o := Breaker{Failures: 1, Open: 30 * time.Second, MaxOpen: 100 * time.Second}.withDefaults()
	var b breaker
	fails := func(want time.Duration) {
		t.Helper()
		b.fail(now, o, b.begin())
		if got := b.until.Sub(now); got != want {
			t.Fatalf("a pause of %v, want %v", got, want)
		}
		now = b.until
	}
	fails(30 * time.Second)
	fails(60 * time.Second)
	b.begin()
	b.succeed(now)
	fails(100 * time.Second) // in its slow start: it has not recovered
	fails(100 * time.Second)
	b.begin()
	b.succeed(now)
	for b.ramp.running() {
		now = now.Add(time.Second)
		b.allow(now)
	}
	b.begin()
	b.succeed(now)
	fails(30 * time.Second)
}

// In second n after its return an endpoint gets 2ⁿ attempts at most, at times of
// chance, until that holds nothing back.
func TestSlowStartDoublesEverySecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		b := breaker{until: start, opened: 1}
		b.ramp.draw = func() float64 { return rapid.Float64Range(0, 0.999).Draw(t, "draw") }
		b.begin()
		b.succeed(start)
		var perSecond [6]int
		for now := start; now.Before(start.Add(6 * time.Second)); {
			n, next := b.allow(now)
			for range n {
				b.begin()
				perSecond[now.Sub(start)/time.Second]++
			}
			if !next.After(now) {
				t.Fatalf("at %v it says to ask at %v", now, next)
			}
			now = next
		}
		for second, n := range perSecond {
			if n != 1<<second {
				t.Fatalf("attempts by second: %v", perSecond)
			}
		}
	})
}

// Who wakes up a moment too late for the last attempt of a second has not had less
// to do.
func TestSlowStartOutlivesALateHand(t *testing.T) {
	start := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	b := breaker{until: start, opened: 1}
	draws := 0
	b.ramp.draw = func() float64 { draws++; return []float64{0.999, 0.3}[draws%2] }
	b.succeed(start)
	begun := 0
	for now := start; now.Before(start.Add(6 * time.Second)); now = now.Add(10 * time.Millisecond) {
		n, _ := b.allow(now)
		if begun += n; begun > 2<<(now.Sub(start)/time.Second) {
			t.Fatalf("%d attempts within %v", begun, now.Sub(start))
		}
		for range n {
			b.begin()
		}
	}
	if begun < 31 {
		t.Errorf("%d attempts in six seconds", begun)
	}
}

func TestSlowStartEndsWhenItHoldsNothingBack(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	b := breaker{until: now}
	b.ramp.draw = func() float64 { return 0.5 }
	b.succeed(now)
	if n, _ := b.allow(now.Add(999 * time.Millisecond)); n > 1 {
		t.Fatalf("%d in the first second", n)
	}
	if n, _ := b.allow(now.Add(time.Second)); n != unlimited {
		t.Fatalf("%d after a second in which nothing was to be sent", n)
	}
}
