package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A Histogram counts durations in buckets that are a sixteenth wide.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
}

const (
	steps   = 16 // of each doubling
	buckets = 64 * steps
)

// A recorder is a histogram that many write to.
type recorder struct {
	counts [buckets]atomic.Uint64
	max    atomic.Int64
}

func (r *recorder) record(d time.Duration) {
	r.counts[bucket(d)].Add(1)
	for {
		highest := r.max.Load()
		if int64(d) <= highest || r.max.CompareAndSwap(highest, int64(d)) {
			return
		}
	}
}

func (r *recorder) histogram() Histogram {
	h := Histogram{max: time.Duration(r.max.Load())}
	for i := range r.counts {
		h.counts[i] = r.counts[i].Load()
		h.total += h.counts[i]
	}
	return h
}

// bucket is where a duration is counted: by its highest bits.
func bucket(d time.Duration) int {
	n := uint64(max(0, d)) // #nosec G115 -- not negative
	if n < steps {
		return int(n) // #nosec G115 -- small
	}
	shift := bits.Len64(n) - 5
	return (shift+1)*steps + int(n>>shift) - steps // #nosec G115 -- below 32
}

// upper is the longest duration that a bucket counts.
func upper(i int) time.Duration {
	if i < steps {
		return time.Duration(i)
	}
	shift := i/steps - 1
	return time.Duration((uint64(i%steps+steps)+1)<<shift - 1) // #nosec G115 -- as bucket has it
}

// Percentile is the duration that p percent of all did not exceed, up to a
// sixteenth too long; 0 if there were none.
func (h *Histogram) Percentile(p float64) time.Duration {
	rank := uint64(p/100*float64(h.total) + 0.5)
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

// Max is the longest.
func (h *Histogram) Max() time.Duration { return h.max }

// Count is how many there were.
func (h *Histogram) Count() uint64 { return h.total }
