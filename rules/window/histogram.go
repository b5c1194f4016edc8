package window

import (
	"math"
	"slices"
)

// A histogram counts values in bins whose width is a share of the value: sixty-four
// for each doubling. A bin's key is the beginning of a float's own bits, so
// keys are as cheap as a shift, the same on every machine, and cover all numbers.
// Only bins that hold something exist. Counts are whole numbers: what was added
// can be taken away again and leaves nothing behind.
//
// At a higher level keys are shorter by one bit each: two neighbours are one, and
// the error is twice as large. Histograms that are to be added share a level.
type histogram struct{ bins []bin } // by ascending key

type bin struct {
	key int32
	n   uint32
}

const (
	maxBins  = 256
	keyShift = 52 - 6
	topLevel = 17 // at which only the signs are left
)

// relativeError is half of a bin's width over the least value in it. From level 6
// on a bin is one or more doublings wide.
func relativeError(level uint8) float64 {
	if level <= 6 {
		return math.Ldexp(1, int(level)-7)
	}
	return (math.Exp2(math.Ldexp(1, int(level)-6)) - 1) / 2
}

func keyOf(v float64, level uint8) int32 {
	bits := math.Float64bits(v)
	key := int32(bits &^ (1 << 63) >> keyShift >> level)
	if bits>>63 != 0 {
		return -key
	}
	return key
}

// value is the middle of a bin.
func (b bin) value(level uint8) float64 {
	key, sign := b.key, 1.0
	if key < 0 {
		key, sign = -key, -1
	}
	if key == 0 {
		return 0
	}
	lo := math.Float64frombits(uint64(key) << level << keyShift)
	hi := math.Float64frombits(min(uint64(key+1)<<level<<keyShift, math.Float64bits(math.MaxFloat64)))
	return sign * (lo + (hi-lo)/2)
}

func (h *histogram) count(key int32, n uint32) {
	i, found := h.find(key)
	if !found {
		h.bins = slices.Insert(h.bins, i, bin{key: key})
	}
	h.bins[i].n += n
}

// find is where the bin of key is, or ought to be.
func (h *histogram) find(key int32) (int, bool) {
	lo, hi := 0, len(h.bins)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if h.bins[mid].key < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(h.bins) && h.bins[lo].key == key
}

func (h *histogram) merge(o *histogram) {
	for _, b := range o.bins {
		h.count(b.key, b.n)
	}
}

// remove takes away what was merged before.
func (h *histogram) remove(o *histogram) {
	for _, b := range o.bins {
		if i, found := h.find(b.key); found {
			h.bins[i].n -= b.n
		}
	}
	h.bins = slices.DeleteFunc(h.bins, func(b bin) bool { return b.n == 0 })
}

// raise goes one level up.
func (h *histogram) raise() {
	out := h.bins[:0]
	for _, b := range h.bins {
		b.key /= 2 // towards zero: as the bits of the magnitude
		if last := len(out) - 1; last >= 0 && out[last].key == b.key {
			out[last].n += b.n
			continue
		}
		out = append(out, b)
	}
	h.bins = out
}

// values is those of ranks i and j, i <= j, from 0.
func (h *histogram) values(i, j uint64, level uint8) (vi, vj float64) {
	var below uint64
	got := false
	for _, b := range h.bins {
		below += uint64(b.n)
		if !got && below > i {
			vi, got = b.value(level), true
		}
		if below > j {
			return vi, b.value(level)
		}
	}
	return vi, vi
}
