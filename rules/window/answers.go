package window

import (
	"iter"
	"math"
	"slices"
)

// Count is how many readings are held.
func (w *Window) Count() int {
	n := len(w.buf) - w.start
	if w.coarse != nil {
		n += w.coarse.n
	}
	return n
}

// Oldest is the time of the oldest reading, 0 if there is none.
func (w *Window) Oldest() int64 { return w.first().at }

// Newest is the time of the newest reading, 0 if there is none.
func (w *Window) Newest() int64 { return w.last().at }

func (w *Window) first() reading {
	if w.coarse != nil {
		return w.coarse.first()
	}
	if w.start == len(w.buf) {
		return reading{}
	}
	return w.buf[w.start]
}

func (w *Window) last() reading {
	if w.start == len(w.buf) {
		return reading{}
	}
	return w.buf[len(w.buf)-1]
}

// answer is v, unless there is no reading or the numbers were too large to be
// reckoned with.
func (w *Window) answer(v float64) (float64, bool) {
	if w.start == len(w.buf) || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, false
	}
	return v, true
}

// moments sums up what is held; once for all who ask.
func (w *Window) moments() *moments {
	if !w.summed {
		w.summed, w.sums = true, w.folds.sum(w.buf[w.start:], w.over)
		if w.coarse != nil {
			for i := range w.coarse.buckets {
				w.sums.merge(&w.coarse.buckets[i].sums)
			}
		}
	}
	return &w.sums
}

// Sum is the sum of the readings. All that follow are false where the window is
// empty, and where numbers are so large (1e150) that the answer is none.
func (w *Window) Sum() (float64, bool) { return w.answer(w.moments().total()) }

// Avg is the mean of the readings, each with the same weight.
func (w *Window) Avg() (float64, bool) { return w.answer(w.moments().mean()) }

// Stddev is the standard deviation of the readings (of the population).
func (w *Window) Stddev() (float64, bool) { return w.answer(w.moments().deviation()) }

// Slope is the rise per second of the straight line through the readings with
// the least squares; false where all are of the same time.
func (w *Window) Slope() (float64, bool) {
	if w.Oldest() == w.Newest() {
		return 0, false
	}
	return w.answer(w.moments().slope())
}

// First is the oldest reading.
func (w *Window) First() (float64, bool) { return w.answer(w.first().v) }

// Last is the newest reading.
func (w *Window) Last() (float64, bool) { return w.answer(w.last().v) }

// Delta is the newest reading less the oldest.
func (w *Window) Delta() (float64, bool) { return w.answer(w.last().v - w.first().v) }

// Min is the least reading.
func (w *Window) Min() (float64, bool) {
	lo, _ := w.extremes()
	return w.answer(lo)
}

// Max is the greatest reading.
func (w *Window) Max() (float64, bool) {
	_, hi := w.extremes()
	return w.answer(hi)
}

// Spread is the greatest reading less the least.
func (w *Window) Spread() (float64, bool) {
	lo, hi := w.extremes()
	return w.answer(hi - lo)
}

func (w *Window) extremes() (lo, hi float64) {
	held := w.buf[w.start:]
	if len(held) == 0 {
		return 0, 0
	}
	if w.coarse == nil {
		sorted := w.ordered()
		return sorted[0], sorted[len(sorted)-1]
	}
	if !w.ranged {
		lo, hi = held[0].v, held[0].v
		for _, r := range held {
			lo, hi = min(lo, r.v), max(hi, r.v)
		}
		for i := range w.coarse.buckets {
			b := &w.coarse.buckets[i]
			lo, hi = min(lo, b.lo), max(hi, b.hi)
		}
		w.ranged, w.lo, w.hi = true, lo, hi
	}
	return w.lo, w.hi
}

// ordered sorts the values that are held, and from then on they are kept so.
func (w *Window) ordered() []float64 {
	if !w.inOrder {
		w.inOrder = true
		w.sorted = w.sorted[:0]
		for _, r := range w.buf[w.start:] {
			w.sorted = append(w.sorted, r.v)
		}
		slices.Sort(w.sorted)
	}
	return w.sorted
}

// Quantile is the value that the share q (0 … 1) of the readings does not exceed,
// between two ranks in proportion, as Prometheus' quantile_over_time.
func (w *Window) Quantile(q float64) (float64, bool) {
	n := w.Count()
	if n == 0 || math.IsNaN(q) {
		return 0, false
	}
	at := min(max(q, 0), 1) * float64(n-1)
	i := int(at)
	share := at - float64(i)
	if w.coarse == nil {
		sorted := w.ordered()
		return w.answer(between(sorted[i], sorted[min(i+1, n-1)], share))
	}
	total, ok := w.coarse.counts(w)
	if !ok {
		return 0, false
	}
	a, b := total.values(uint64(i), uint64(min(i+1, n-1)), w.coarse.level)
	lo, hi := w.extremes()
	return w.answer(min(max(between(a, b, share), lo), hi))
}

// QuantileError is how far a quantile may be off, as a share of its value: 0 while
// the window is exact.
func (w *Window) QuantileError() float64 {
	if w.coarse == nil {
		return 0
	}
	return relativeError(w.coarse.level)
}

// between goes the share from a to b; exactly a where both are the same.
func between(a, b, share float64) float64 {
	if d := b - a; !math.IsInf(d, 0) {
		return min(a+float64(d*share), b)
	}
	return float64(a*(1-share)) + float64(b*share)
}

// Until yields the readings that are held as they are, up to a time, the oldest
// first.
func (w *Window) Until(at int64) iter.Seq2[int64, float64] {
	return func(yield func(int64, float64) bool) {
		for _, r := range w.buf[w.start:] {
			if r.at > at || !yield(r.at, r.v) {
				return
			}
		}
	}
}
