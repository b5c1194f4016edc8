package window

import "math"

// Holds is when the first of the readings was taken whose leaving may bring a
// quantile out of the range from lo to hi, as long as none comes; 0 where none may.
// It looks at ranks only, and so at how many leave: it may be too early, never too
// late. Of a window that is summed up it is the oldest.
func (w *Window) Holds(q, lo, hi float64) int64 {
	held := w.buf[w.start:]
	if w.coarse != nil || len(held) == 0 {
		return w.Oldest()
	}
	sorted, n := w.ordered(), len(held)
	least := 0.0 // so many have to be left; one more than it takes, because ranks are rounded
	if sorted[n-1] > hi {
		beyond := n - rank(sorted, math.Nextafter(hi, math.Inf(1)))
		least = float64(beyond+1)/(1-q) + 2
	}
	if sorted[0] < lo {
		least = max(least, float64(rank(sorted, lo))/q+2)
	}
	switch may := float64(n) - least; {
	case least == 0:
		return 0
	case may > 0:
		return held[int(may)].at
	}
	return held[0].at
}
