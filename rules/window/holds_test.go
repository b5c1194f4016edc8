package window

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Until the reading leaves that Holds names, whatever has left before it, the
// quantile is in its range; and it does not name the oldest where many may leave.
func TestQuantileStaysInItsRangeForAsLongAsHoldsSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const over = time.Hour
		w := New(over, Quantiles)
		values := rapid.SliceOfN(rapid.Float64Range(0, 20), 1, 60).Draw(t, "values")
		for i, v := range values {
			w.Add(int64(i+1), math.Round(v))
		}
		q := rapid.SampledFrom([]float64{0, 0.05, 0.3, 0.5, 0.9, 0.95, 0.999, 1}).Draw(t, "q")
		lo, hi := rapid.SampledFrom([]float64{math.Inf(-1), 0, 3, 10}).Draw(t, "lo"), rapid.SampledFrom([]float64{math.Inf(1), 20, 19, 12}).Draw(t, "hi")
		now, _ := w.Quantile(q)
		until := w.Holds(q, lo, hi)
		if now < lo || now > hi {
			if until != w.Oldest() {
				t.Fatalf("is %v, out of %v to %v, and held until %d leaves", now, lo, hi, until)
			}
			return
		}
		for i := range values {
			if until != 0 && int64(i+1) >= until {
				return
			}
			w.Advance(int64(i+1) + int64(over))
			if v, ok := w.Quantile(q); ok && (v < lo || v > hi) {
				t.Fatalf("%v of %v is %v when %d have left, out of %v to %v; held until %d leaves", q, values, v, i+1, lo, hi, until)
			}
		}
	})
}

func TestReadingsFarFromALimitMayLeave(t *testing.T) {
	w := New(time.Hour, Quantiles)
	for i := range 100 {
		w.Add(int64(i+1), float64(i%50))
	}
	for _, c := range []struct {
		q, lo, hi float64
		until     int64
	}{
		{0.95, math.Inf(-1), 49, 0},  // none is beyond
		{0.95, math.Inf(-1), 48, 39}, // two are: they are among the upper 5 % of no fewer than 60
		{0.5, 1, 48, 93},
		{0, math.Inf(-1), 10, 20}, // fires when all are above it
		{1, 49, math.Inf(1), 1},
	} {
		if until := w.Holds(c.q, c.lo, c.hi); until != c.until {
			t.Errorf("quantile %v from %v to %v holds until %d leaves, want %d", c.q, c.lo, c.hi, until, c.until)
		}
	}
}
