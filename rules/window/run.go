package window

import "math"

// A Run is how long a value has stayed where it is: a frozen sensor shows none of
// the noise that a working one has. The zero Run has seen nothing. Its fields are
// exported to be stored.
//
// All readings of a run lie within the allowed movement of each other, so slow
// drift ends it too. Since may be later than the value truly came to rest, by the
// readings before it that would also have fitted, and is never earlier.
type Run struct {
	From      int64 // time of the first reading of the run; 0 for none
	Low, High float64
}

// Add takes the newest reading in. Late ones are not for a Run: what is frozen
// is decided by the newest. One of before the run, and what is no number, is
// ignored.
func (r *Run) Add(at int64, v, within float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) || r.From != 0 && at < r.From {
		return
	}
	low, high := min(r.Low, v), max(r.High, v)
	// 21.05 - 21.00 is a trifle more than 0.05.
	trifle := 1e-12 * max(math.Abs(low), math.Abs(high))
	if r.From == 0 || high-low > within+trifle {
		*r = Run{From: at, Low: v, High: v}
		return
	}
	r.Low, r.High = low, high
}

// Since is the time since when the value has not moved, 0 if none is known.
func (r Run) Since() int64 { return r.From }
