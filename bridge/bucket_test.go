package bridge

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// In any stretch of time no more begins than the rate allows, and one second's
// worth; and somebody who asks when he is told to is not kept waiting.
func TestRateHoldsInEveryStretchOfTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.05, 500).Draw(t, "rate")
		b := bucket{rate: rate}
		now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		var begun []time.Time
		for range 200 {
			n, next := b.allow(now)
			if n == 0 {
				if !next.After(now) {
					t.Fatalf("nothing may begin, and it says to ask at once")
				}
				if wait := next.Sub(now).Seconds(); wait > 1/rate+1e-6 {
					t.Fatalf("a wait of %vs at %v/s", wait, rate)
				}
				now = next
				if n, _ := b.allow(now); n == 0 {
					now = now.Add(time.Microsecond) // a rounding away
				}
				continue
			}
			n = rapid.IntRange(0, n).Draw(t, "begin")
			b.take(n)
			for range n {
				begun = append(begun, now)
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "wait")))
		}
		for i := range begun {
			for j := i; j < len(begun); j++ {
				past := begun[j].Sub(begun[i]).Seconds()
				if most := past*rate + max(1, rate) + 1e-3; float64(j-i+1) > most {
					t.Fatalf("%d in %vs at %v/s", j-i+1, past, rate)
				}
			}
		}
	})
}
