package window

import "slices"

const (
	parts      = 32
	maxBuckets = 40 // a few more than parts: clocks that run ahead
	maxTotal   = 2 * maxBins
)

// coarse is what a window knows of readings that it does not hold one by one.
type coarse struct {
	width    int64 // of a bucket
	until    int64 // time of the newest reading in a bucket
	n        int
	level    uint8 // of all histograms
	totalled bool  // total is that of all buckets and of the readings held
	total    histogram
	buckets  []bucket // by ascending slot; never empty once one is filled
}

// A bucket sums up readings of one stretch of time.
type bucket struct {
	slot        int64 // its time in widths
	first, last reading
	lo, hi      float64
	sums        moments
	binned      bool // bins has all of its readings
	bins        histogram
}

func newCoarse(over int64) *coarse {
	return &coarse{width: over/parts + 1, buckets: make([]bucket, 0, maxBuckets)}
}

func (c *coarse) slot(at int64) int64 {
	slot := at / c.width
	if at%c.width < 0 {
		slot--
	}
	return slot
}

// take moves a reading that is held into its bucket. Readings are taken in order
// of time, so there is a bucket for each.
func (c *coarse) take(w *Window, r reading) {
	c.until = r.at
	c.fill(c.bucket(w, r.at), r)
}

// add takes in a reading of before those that are held.
func (c *coarse) add(w *Window, r reading) bool {
	b := c.bucket(w, r.at)
	if b == nil || b.sums.n > 0 && (b.first == r || b.last == r) {
		return false
	}
	c.fill(b, r)
	if c.totalled {
		c.count(&c.total, r.v, maxTotal)
	}
	return true
}

// repeats reports whether a reading of the time where buckets end is the one
// that went into a bucket last.
func (c *coarse) repeats(r reading) bool { return c.buckets[len(c.buckets)-1].last == r }

// bucket finds or opens the bucket of a time. Where there are too many, the
// oldest is forgotten, and the window's span says so; nil if that is the one.
func (c *coarse) bucket(w *Window, at int64) *bucket {
	slot := c.slot(at)
	i := len(c.buckets)
	for i > 0 && c.buckets[i-1].slot > slot {
		i--
	}
	if i > 0 && c.buckets[i-1].slot == slot {
		return &c.buckets[i-1]
	}
	if len(c.buckets) == maxBuckets {
		if i == 0 {
			w.cut = max(w.cut, at)
			return nil
		}
		w.cut = max(w.cut, c.buckets[0].last.at)
		c.drop(1)
		i--
	}
	c.buckets = slices.Insert(c.buckets, i, bucket{slot: slot, binned: w.needs&Quantiles != 0})
	return &c.buckets[i]
}

func (c *coarse) fill(b *bucket, r reading) {
	c.n++
	if b.sums.n == 0 {
		b.first, b.last, b.lo, b.hi = r, r, r.v, r.v
	}
	if r.at < b.first.at {
		b.first = r
	}
	if r.at >= b.last.at {
		b.last = r
	}
	b.lo, b.hi = min(b.lo, r.v), max(b.hi, r.v)
	b.sums.add(r.at, r.v)
	if b.binned {
		c.count(&b.bins, r.v, maxBins)
	}
}

// count counts a value in a histogram of at most so many bins.
func (c *coarse) count(h *histogram, v float64, most int) {
	for {
		key := keyOf(v, c.level)
		if _, found := h.find(key); found || len(h.bins) < most {
			h.count(key, 1)
			return
		}
		c.raise()
	}
}

// raise makes all bins twice as wide.
func (c *coarse) raise() {
	c.level++
	c.total.raise()
	for i := range c.buckets {
		c.buckets[i].bins.raise()
	}
}

// counts is the histogram of all readings. It is false while there is a bucket
// that was filled before anybody needed quantiles.
func (c *coarse) counts(w *Window) (*histogram, bool) {
	w.needs |= Quantiles
	if c.totalled {
		return &c.total, true
	}
	for i := range c.buckets {
		if !c.buckets[i].binned {
			return nil, false
		}
	}
	c.total = histogram{}
	for i := range c.buckets {
		c.total.merge(&c.buckets[i].bins)
	}
	for _, r := range w.buf[w.start:] {
		c.total.count(keyOf(r.v, c.level), 1)
	}
	for len(c.total.bins) > maxTotal {
		c.raise()
	}
	c.total.bins = slices.Clone(c.total.bins)
	c.totalled = true
	return &c.total, true
}

// forget drops the buckets that have left the window.
func (c *coarse) forget(w *Window) {
	n := 0
	for n < len(c.buckets) && c.buckets[n].last.at <= w.cut {
		n++
	}
	if n > 0 {
		w.summed, w.ranged = false, false
		c.drop(n)
	}
}

// drop forgets the n oldest buckets.
func (c *coarse) drop(n int) {
	for i := range c.buckets[:n] {
		c.n -= c.buckets[i].sums.n
		if c.totalled {
			c.total.remove(&c.buckets[i].bins)
		}
	}
	c.buckets = slices.Delete(c.buckets, 0, n)
}

// first is the oldest reading. Buckets overlap where their width has changed.
func (c *coarse) first() reading {
	first := c.buckets[0].first
	for i := range c.buckets {
		if r := c.buckets[i].first; r.at < first.at {
			first = r
		}
	}
	return first
}

// resize goes on with buckets of another width. Those there are become parts of
// wider ones, or stay as wide as they were.
func (c *coarse) resize(over int64) {
	c.width = over/parts + 1
	out := c.buckets[:0]
	for _, b := range c.buckets {
		b.slot = c.slot(b.last.at)
		if n := len(out); n > 0 && out[n-1].slot == b.slot {
			out[n-1].merge(&b)
		} else {
			out = append(out, b)
		}
	}
	clear(c.buckets[len(out):])
	c.buckets = out
	for i := range c.buckets {
		for len(c.buckets[i].bins.bins) > maxBins {
			c.raise()
		}
		c.buckets[i].bins.bins = slices.Clip(c.buckets[i].bins.bins)
	}
}

// merge adds the readings of the bucket that follows.
func (b *bucket) merge(o *bucket) {
	b.last = o.last
	if o.first.at < b.first.at {
		b.first = o.first
	}
	b.lo, b.hi = min(b.lo, o.lo), max(b.hi, o.hi)
	b.sums.merge(&o.sums)
	b.binned = b.binned && o.binned
	b.bins.merge(&o.bins)
	if !b.binned {
		b.bins = histogram{}
	}
}
