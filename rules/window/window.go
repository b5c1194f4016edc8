// Package window keeps the readings of a stretch of time and answers what they
// come to: counts, sums, extremes, quantiles, slopes; and what is normal for a
// device over weeks.
//
// It is not a time series database: a window forgets what has left it, and
// keeps nothing on disk. Times are nanoseconds since 1970 and come from the
// caller; nothing here reads a clock.
//
// # Precision and memory
//
// A [Window] holds up to 2048 readings as they are, and every answer is a pure
// function of them: nothing runs along that could drift, and a window that is
// restored, or filled anew with the same readings, answers with the same bits.
// It takes at most 64 KiB, 24 bytes a reading.
//
// Above 2048 readings the newest 512 stay as they are, and older ones are
// summed up in buckets of a thirty-second of the window. Then
//   - counts, sums, averages, deviations, slopes and extremes are still those of
//     every reading, but whole buckets leave: the window reaches back up to a
//     thirty-second too far;
//   - a quantile is at most 0.8 % of its value off, as long as the readings fall
//     into 256 bins of that width (20 °C to 25 °C needs 20 of them; 64 go for each
//     doubling). Where they do not, bins are made twice as wide, and the error is
//     1.6 %, 3.2 %, …: see [Window.QuantileError];
//   - a repeated reading is recognised among the newest 512 only.
//
// It takes at most 112 KiB then. It is exact again as soon as the last bucket
// has left.
//
// A [Baseline] of 14 days by hour of the day takes at most 64 KiB; its comment
// says how far it may be off. [Run], [Gaps] and [Skews] are of fixed size,
// [Marks] takes 8 bytes a mark.
//
// # Stored form
//
// AppendBinary and the functions that begin with Decode keep all of it, to the
// bit. The form has a version; garbage is an error, never a panic.
//
// Concurrency: none; each value belongs to its owner.
package window

import (
	"math"
	"slices"
	"time"
)

const (
	exactLimit = 2048 // so many readings are kept as they are
	recent     = 512  // and so many of the newest when there are more
	slack      = 512  // room to slide in
)

// Needs says what a window is going to be asked.
type Needs uint8

const (
	Sums      Needs = 1 << iota // avg, sum, stddev, count
	Extremes                    // min, max, spread
	Quantiles                   // median, pNN
	Slope                       // and delta

	allNeeds = Sums | Extremes | Quantiles | Slope
)

type reading struct {
	at int64
	v  float64
}

// A Window holds the readings of one metric of one device over the last stretch
// of time. All aggregates over the same stretch share it.
type Window struct {
	over  int64
	needs Needs
	cut   int64 // readings at or before it are forgotten

	buf    []reading // by time, then by arrival; what is held begins at start
	start  int
	sorted []float64 // the values of buf[start:], if inOrder
	coarse *coarse   // older readings, summed up; nil while all of them are in buf

	// What was asked since the readings last changed.
	inOrder bool
	summed  bool
	ranged  bool
	sums    moments
	folds   folds
	lo, hi  float64
}

// New makes an empty window. A window of no length holds nothing.
func New(over time.Duration, needs Needs) *Window {
	return &Window{over: max(0, int64(over)), needs: needs & allNeeds, cut: math.MinInt64}
}

// Over is the length of the window.
func (w *Window) Over() time.Duration { return time.Duration(w.over) }

// Need adds to what the window is going to be asked. A window that holds more
// than 2048 readings can tell quantiles only when the readings from before have
// left; all else it can tell at once.
func (w *Window) Need(needs Needs) { w.needs |= needs & allNeeds }

// Resize changes the length of the window. What is held is kept: a shorter
// window forgets with the next Advance, a longer one is complete when [Window.Span]
// says so.
func (w *Window) Resize(over time.Duration) {
	w.over = max(0, int64(over))
	w.summed = false
	w.folds.forget()
	if w.coarse != nil {
		w.coarse.resize(w.over)
	}
}

// Span is the time since when the window is complete: it holds every reading
// after it that it was given. It has grown into its length when Span is not
// after now less [Window.Over].
func (w *Window) Span() int64 { return w.cut }

// Exact reports whether every reading is held as it is.
func (w *Window) Exact() bool { return w.coarse == nil }

// Add takes a reading in, wherever in time it belongs. It refuses, with false,
// one that is held already, one of before the window, and what is no number.
// Readings of the same time stay in the order they came in.
func (w *Window) Add(at int64, v float64) bool {
	if at <= w.cut || math.IsNaN(v) || math.IsInf(v, 0) {
		return false
	}
	v += 0 // one zero, not two
	if w.coarse != nil && at < w.coarse.until {
		if !w.coarse.add(w, reading{at, v}) {
			return false
		}
		w.summed, w.ranged = false, false
		return true
	}
	held := w.buf[w.start:]
	i := len(held)
	for i > 0 && held[i-1].at > at {
		if i > 16 && held[i-8].at > at { // far back: search instead
			i = after(held[:i-8], at)
			break
		}
		i--
	}
	for j := i; j > 0 && held[j-1].at == at; j-- {
		if held[j-1].v == v {
			return false
		}
	}
	if w.coarse != nil && w.coarse.repeats(reading{at, v}) {
		return false
	}
	w.insert(i, reading{at, v})
	return true
}

// after is the index of the first reading after at.
func after(held []reading, at int64) int {
	lo, hi := 0, len(held)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if held[mid].at <= at {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// insert puts a reading at place i of what is held.
func (w *Window) insert(i int, r reading) {
	w.summed, w.ranged = false, false
	if len(w.buf) == cap(w.buf) {
		w.room()
	}
	w.buf = append(w.buf, r)
	if held := w.buf[w.start:]; i < len(held)-1 {
		copy(held[i+1:], held[i:])
		held[i] = r
		w.folds.forget()
	}
	if w.inOrder {
		w.sorted = slices.Insert(w.sorted, rank(w.sorted, r.v), r.v)
	}
	if w.coarse != nil && w.coarse.totalled {
		w.coarse.count(&w.coarse.total, r.v, maxTotal)
	}
	switch n := len(w.buf) - w.start; {
	case w.coarse != nil && n > recent:
		w.spill(1)
	case n > exactLimit:
		w.coarsen()
	}
}

// room makes place behind the newest reading: by sliding down where the readings
// that left have made enough of it, so that a reading is moved a few times in its
// life and a steady window allocates nothing.
func (w *Window) room() {
	n, size := len(w.buf)-w.start, cap(w.buf)
	if roomy := n < size/8 && size > 64; w.start < max(1, size/5) || roomy {
		size = min(max(8, 2*n), exactLimit+slack)
		w.buf = append(make([]reading, 0, size), w.buf[w.start:]...)
	} else {
		copy(w.buf, w.buf[w.start:])
		w.buf = w.buf[:n]
	}
	w.start = 0
}

// coarsen goes from exact to summed up.
func (w *Window) coarsen() {
	w.coarse = newCoarse(w.over)
	w.inOrder, w.sorted = false, nil
	w.spill(len(w.buf) - w.start - recent)
	w.buf = append(make([]reading, 0, recent+slack/2), w.buf[w.start:]...)
	w.start = 0
}

// spill moves the n oldest of what is held into buckets.
func (w *Window) spill(n int) {
	for _, r := range w.buf[w.start : w.start+n] {
		w.coarse.take(w, r)
	}
	w.start += n
}

// Advance forgets the readings of now less the window's length and before. Time
// never goes back. A reading of after now stays and counts: it is the newest
// there is, and how far ahead a clock may run is the caller's to decide.
func (w *Window) Advance(now int64) {
	cut := now - w.over
	if cut > now { // before the beginning of time
		cut = math.MinInt64
	}
	if cut <= w.cut {
		return
	}
	w.cut = cut
	if w.coarse != nil {
		w.coarse.forget(w)
		if len(w.coarse.buckets) > 0 {
			return
		}
		w.coarse = nil
	}
	held := w.buf[w.start:]
	if len(held) == 0 || held[0].at > cut {
		return
	}
	w.summed, w.ranged = false, false
	n := 1
	for n < len(held) && held[n].at <= cut {
		n++
	}
	if n > 8 && n > len(held)/4 {
		w.inOrder = false // sorting what is left is less work
	}
	if w.inOrder {
		for _, r := range held[:n] {
			i := rank(w.sorted, r.v)
			w.sorted = slices.Delete(w.sorted, i, i+1)
		}
	}
	w.start += n
	if w.start == len(w.buf) {
		w.buf, w.start = w.buf[:0], 0
	}
}

// rank is the index of the first value that is not below v. Each step halves what
// is left and leaves the processor no branch to guess.
func rank(sorted []float64, v float64) int {
	lo := 0
	for n := len(sorted); n > 0; {
		half := (n + 1) / 2
		below := 0
		if sorted[lo+half-1] < v {
			below = 1
		}
		lo, n = lo+half*below, n-half
	}
	return lo
}
