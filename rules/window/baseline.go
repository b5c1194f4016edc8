package window

import (
	"cmp"
	"math"
	"slices"
	"time"
)

const (
	maxSlots  = 168   // hours of a week
	tags      = 16    // chunks that can be told apart, more than are ever held
	fewest    = 5     // readings that make a normal
	budget    = 5760  // kept readings of a baseline of up to 24 slots
	mostKept  = 256   // of one cell
	leastKept = 16    // and at least
	trace     = 1e-9  // what is nearly nothing in any unit
	leastPart = 0.001 // of the centre: a spread below that is taken for it
)

// A Method is how a distance from normal is measured.
type Method uint8

const (
	Mad      Method = iota // from the median, in median absolute deviations made comparable to standard deviations
	ZScore                 // from the mean, in standard deviations
	Relative               // from the mean, as a share of it
)

// BaselineOptions are what a baseline is to know.
type BaselineOptions struct {
	// Span is how far back normal reaches; at least an hour, 14 days if 0. It
	// moves in steps of a fourteenth (above 24 slots: a fourth), so normal is up
	// to one step longer.
	Span time.Duration
	// Slots is how many seasons there are, 1 if 0, at most 168: 24 for the hour of
	// the day, 7 for the day of the week, 168 for the hour of the week.
	Slots int
	// MinHistory is how old the oldest reading must be before there is a normal.
	MinHistory time.Duration
}

// A Baseline is what is normal for one metric of one device, slot by slot.
//
// Means and standard deviations are those of all readings. Median and MAD are of
// a sample: of each step of time and slot it keeps 16 readings (with 24 slots or
// more; 54 with 7, 256 with one), those whose times have the lowest hashes. That
// is as good as drawing them, and the same whenever and in whatever order the
// readings come; unlike every n-th reading it does not fall in step with a
// machine that switches on and off. A step counts in proportion to its readings.
// Where no more came than are kept, the median is that of all. Otherwise, for 14
// days by the hour (240 kept), the median is within 0.17 standard deviations of
// the true one and the MAD within 15 %, 19 times in 20. A sketch of bins that are
// a share of the value would be worthless here: of 1000 W ± 5 W, one percent is 10 W.
//
// A device that hardly varies would make everything unusual. So a spread is at
// least a thousandth of the centre, and never below 1e-9. Where more than half of
// the readings are the same, which makes the MAD 0, the mean absolute deviation
// stands in for it.
//
// It takes at most 64 KiB with up to 24 slots, and 224 KiB with 168; less where
// there is less to keep: 8 bytes a reading.
type Baseline struct {
	span, minHistory int64
	length           int64       // of a chunk of time
	reach            int64       // chunks before the present one
	most             int         // readings kept of one cell
	newest           int64       // chunk
	oldest           [tags]int64 // time of the oldest reading of each chunk; 0 for none
	slots            []season
}

// A season is one slot.
type season struct {
	cells []cell // in no order
	kept  []kept // by value
}

// A cell is what one chunk of time brought for a slot.
type cell struct {
	mean, sq float64 // sq is the sum of squares around the mean
	chunk    int32
	n        uint32
	limit    uint32 // the highest draw that is kept
	kept     uint16
}

// A kept reading has its chunk's tag in the low bits and its draw above.
type kept struct {
	v   float32
	tag uint32
}

// before orders by value; what is of the same value, so that it does not matter
// what came first.
func (k kept) before(o kept) int {
	return cmp.Or(cmp.Compare(k.v, o.v), cmp.Compare(k.tag, o.tag))
}

func (k kept) chunk() int { return int(k.tag % tags) }

// NewBaseline makes a baseline that knows nothing yet.
func NewBaseline(o BaselineOptions) *Baseline {
	if o.Span <= 0 {
		o.Span = 14 * 24 * time.Hour
	}
	slots := min(max(1, o.Slots), maxSlots)
	reach := int64(14)
	if slots > 24 {
		reach = 4
	}
	b := &Baseline{
		span: int64(max(o.Span, time.Hour)), minHistory: int64(max(0, o.MinHistory)),
		reach: reach, newest: math.MinInt64, slots: make([]season, slots),
	}
	b.length = (b.span + reach - 1) / reach
	b.most = min(max(budget/(int(reach+1)*slots), leastKept), mostKept)
	return b
}

// Slots is how many seasons there are.
func (b *Baseline) Slots() int { return len(b.slots) }

// Add takes a reading in. One of before the span is left out, as is a slot that
// does not exist, and what is no number. A repeated reading counts twice: that is
// the caller's to know, as is whether readings of an alarm are normal.
func (b *Baseline) Add(at int64, slot int, v float64) {
	if slot < 0 || slot >= len(b.slots) || math.IsNaN(v) || math.Abs(v) > math.MaxFloat32 {
		return
	}
	b.advance(at)
	chunk := floor(at, b.length)
	if chunk < b.newest-b.reach {
		return
	}
	tag := int(chunk & (tags - 1))
	if o := b.oldest[tag]; o == 0 || at < o {
		b.oldest[tag] = at
	}
	s := &b.slots[slot]
	c := s.cell(int32(chunk))
	c.n++
	d := v - c.mean
	c.mean += d / float64(c.n)
	c.sq += float64(d * (v - c.mean))
	s.keep(c, kept{float32(v), draw(at)&^(tags-1) | uint32(tag)}, b.most)
}

// cell finds or makes the cell of a chunk.
func (s *season) cell(chunk int32) *cell {
	for i := len(s.cells) - 1; i >= 0; i-- {
		if s.cells[i].chunk == chunk {
			return &s.cells[i]
		}
	}
	s.cells = append(s.cells, cell{chunk: chunk})
	return &s.cells[len(s.cells)-1]
}

// keep keeps a reading if its draw is among the lowest of its cell.
func (s *season) keep(c *cell, k kept, most int) {
	if int(c.kept) == most {
		if k.tag >= c.limit {
			return
		}
		i := slices.IndexFunc(s.kept, func(o kept) bool { return o.tag == c.limit })
		s.kept = slices.Delete(s.kept, i, i+1)
		c.kept--
	}
	i, _ := slices.BinarySearchFunc(s.kept, k, kept.before)
	s.kept = slices.Insert(s.kept, i, k)
	c.kept++
	if int(c.kept) < most {
		c.limit = max(c.limit, k.tag)
		return
	}
	c.limit = 0
	for _, o := range s.kept {
		if o.chunk() == k.chunk() {
			c.limit = max(c.limit, o.tag)
		}
	}
}

// draw mixes the bits of a time (the finish of splitmix64).
func draw(at int64) uint32 {
	x := uint64(at) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return uint32((x ^ x>>31) >> 32)
}

func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// advance forgets the chunks that are out of reach at a time.
func (b *Baseline) advance(at int64) {
	chunk := floor(at, b.length)
	if chunk <= b.newest {
		return
	}
	from := max(b.newest+1, chunk-tags+1)
	if b.newest == math.MinInt64 {
		from = chunk
	}
	for c := from; c <= chunk; c++ {
		b.oldest[c&(tags-1)] = 0
	}
	b.newest = chunk
	for c := chunk - tags + 1; c < chunk-b.reach; c++ {
		b.oldest[c&(tags-1)] = 0
	}
	for i := range b.slots {
		b.slots[i].forget(int32(chunk - b.reach))
	}
}

// forget drops what is of before a chunk.
func (s *season) forget(chunk int32) {
	var gone [tags]bool
	any := false
	s.cells = slices.DeleteFunc(s.cells, func(c cell) bool {
		old := c.chunk < chunk
		gone[c.chunk&(tags-1)] = gone[c.chunk&(tags-1)] || old
		any = any || old
		return old
	})
	if any {
		s.kept = slices.DeleteFunc(s.kept, func(k kept) bool { return gone[k.chunk()] })
	}
}

// Score is how far v is from normal; false as long as the history is too short
// or the slot has fewer than 5 readings. Ask before the reading is added, or it
// is part of what it is compared with.
func (b *Baseline) Score(at int64, slot int, v float64, method Method) (score float64, ok bool) {
	if slot < 0 || slot >= len(b.slots) || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, false
	}
	b.advance(at)
	since, ok := b.Since()
	if !ok || since > at-b.minHistory {
		return 0, false
	}
	s := &b.slots[slot]
	n, mean, deviation := s.normal()
	if n < fewest {
		return 0, false
	}
	switch method {
	case ZScore:
		score = math.Abs(v-mean) / atLeast(deviation, mean)
	case Relative:
		score = math.Abs(v-mean) / max(math.Abs(mean), trace)
	default:
		median, spread := s.robust(n)
		score = math.Abs(v-median) / atLeast(spread, median)
	}
	return score, !math.IsInf(score, 0) && !math.IsNaN(score)
}

// Since is the time of the oldest reading; false if there is none.
func (b *Baseline) Since() (int64, bool) {
	oldest := int64(0)
	for _, at := range b.oldest {
		if at != 0 && (oldest == 0 || at < oldest) {
			oldest = at
		}
	}
	return oldest, oldest != 0
}

func atLeast(spread, centre float64) float64 {
	return max(spread, leastPart*math.Abs(centre), trace)
}

// normal is how many readings a slot has, their mean and their deviation.
func (s *season) normal() (n int, mean, deviation float64) {
	var sq float64
	for i := range s.cells {
		c := &s.cells[i]
		d := c.mean - mean
		all := float64(n + int(c.n))
		sq += c.sq + float64(d*d)*float64(n)*float64(c.n)/all
		mean += d * float64(c.n) / all
		n += int(c.n)
	}
	if n == 0 {
		return 0, 0, 0
	}
	return n, mean, math.Sqrt(sq / float64(n))
}

// robust is the median of a slot's n readings and their spread around it, in
// standard deviations as a normal distribution would have them.
func (s *season) robust(n int) (median, spread float64) {
	var weight [tags]float64
	for i := range s.cells {
		c := &s.cells[i]
		weight[c.chunk&(tags-1)] = float64(c.n) / float64(c.kept)
	}
	half := float64(n) / 2
	median = middle(half, func(yield func(v, weight float64) bool) {
		for _, k := range s.kept {
			if !yield(float64(k.v), weight[k.chunk()]) {
				return
			}
		}
	})
	// Deviations in ascending order: outwards from the median.
	outwards := func(yield func(v, weight float64) bool) {
		right := len(s.kept)
		for i, k := range s.kept {
			if float64(k.v) > median {
				right = i
				break
			}
		}
		for left := right - 1; left >= 0 || right < len(s.kept); {
			i := right
			if right == len(s.kept) || left >= 0 && median-float64(s.kept[left].v) <= float64(s.kept[right].v)-median {
				i = left
				left--
			} else {
				right++
			}
			if !yield(math.Abs(float64(s.kept[i].v)-median), weight[s.kept[i].chunk()]) {
				return
			}
		}
	}
	if mad := middle(half, outwards); mad > 0 {
		return median, 1.4826 * mad
	}
	var sum float64
	for d, weight := range outwards {
		sum += float64(d * weight)
	}
	return median, 1.2533 * sum / float64(n)
}

// middle is the value at half of the weight of ascending values; between two
// where one ends exactly there.
func middle(half float64, values func(yield func(v, weight float64) bool)) float64 {
	var below, before float64
	even := false
	for v, weight := range values {
		if even {
			return before + (v-before)/2
		}
		below += weight
		if below > half {
			return v
		}
		before, even = v, below == half
	}
	return before
}
