package window

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Versions of the stored forms.
const (
	windowForm   = 1
	baselineForm = 1
	marksForm    = 1
	gapsForm     = 1
	skewsForm    = 1
)

var errForm = errors.New("what is stored is cut short or damaged")

// A decoder reads a stored form; after the first error it reads zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err, d.b = err, nil
	}
}

func (d *decoder) check(ok bool) {
	if !ok {
		d.fail(errForm)
	}
}

// version reads the first byte.
func (d *decoder) version(want byte) {
	if got := d.byte(); d.err == nil && got != want {
		d.fail(fmt.Errorf("form %d is stored, %d is the one that is known", got, want))
	}
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(errForm)
		return 0
	}
	b := d.b[0]
	d.b = d.b[1:]
	return b
}

func (d *decoder) uint32() uint32 {
	if len(d.b) < 4 {
		d.fail(errForm)
		return 0
	}
	v := binary.LittleEndian.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errForm)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errForm)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many things of at least size bytes follow, at most so many.
func (d *decoder) count(most, size int) int {
	n := d.uint()
	if n > uint64(most) || n > uint64(len(d.b)/size) {
		d.fail(errForm)
		return 0
	}
	return int(n)
}

// float reads a number, which must be finite.
func (d *decoder) float() float64 {
	v := d.any()
	d.check(!math.IsNaN(v) && !math.IsInf(v, 0))
	return v
}

// any reads a number that may have run over.
func (d *decoder) any() float64 {
	if len(d.b) < 8 {
		d.fail(errForm)
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(d.b))
	d.b = d.b[8:]
	return v
}

// next reads a time that is not before the last one.
func (d *decoder) next(last int64) int64 {
	at := last + int64(d.uint())
	d.check(at >= last)
	return at
}

func (d *decoder) reading() reading { return reading{d.int(), d.float()} }

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func (r reading) append(b []byte) []byte { return appendFloat(binary.AppendVarint(b, r.at), r.v) }

// AppendBinary appends the window's stored form.
func (w *Window) AppendBinary(b []byte) []byte {
	held := w.buf[w.start:]
	b = append(b, windowForm, byte(w.needs))
	b = binary.AppendUvarint(b, uint64(w.over))
	b = binary.AppendVarint(b, w.cut)
	b = binary.AppendUvarint(b, uint64(len(held)))
	if len(held) > 0 {
		b = binary.AppendVarint(b, held[0].at)
	}
	for i, r := range held {
		b = binary.AppendUvarint(b, uint64(r.at-held[max(0, i-1)].at))
		b = appendFloat(b, r.v)
	}
	if w.coarse == nil {
		return append(b, 0)
	}
	return w.coarse.append(append(b, 1))
}

// Decode reads a window from the beginning of b. It goes on exactly as the one
// that was stored.
func Decode(b []byte) (w *Window, rest []byte, err error) {
	d := &decoder{b: b}
	d.version(windowForm)
	needs := Needs(d.byte())
	w = New(time.Duration(d.uint()), needs)
	d.check(needs&^allNeeds == 0)
	w.cut = d.int()
	if n := d.count(exactLimit, 9); n > 0 {
		at := d.int()
		w.buf = make([]reading, 0, n)
		for range n {
			at = d.next(at)
			w.buf = append(w.buf, reading{at, d.float()})
		}
		d.check(w.buf[0].at > w.cut)
	}
	if d.byte() != 0 {
		w.decodeCoarse(d)
	}
	if d.err != nil {
		return nil, b, fmt.Errorf("reading a window: %w", d.err)
	}
	return w, d.b, nil
}

func (c *coarse) append(b []byte) []byte {
	totalled := byte(0)
	if c.totalled {
		totalled = 1
	}
	b = append(b, c.level, totalled)
	b = binary.AppendVarint(b, c.until)
	b = binary.AppendUvarint(b, uint64(len(c.buckets)))
	for i := range c.buckets {
		b = c.buckets[i].append(b)
	}
	return b
}

func (w *Window) decodeCoarse(d *decoder) {
	c := newCoarse(w.over)
	c.level = d.byte()
	totalled := d.byte() == 1
	c.until = d.int()
	n := d.count(maxBuckets, 64)
	d.check(c.level <= topLevel && n > 0 && len(w.buf) > 0 && len(w.buf) <= recent && w.buf[0].at >= c.until)
	for i := range n {
		b := d.bucket()
		b.slot = c.slot(b.last.at)
		if i > 0 {
			d.check(b.slot > c.buckets[i-1].slot)
		}
		d.check(b.last.at <= c.until && b.last.at > w.cut)
		c.n += b.sums.n
		c.buckets = append(c.buckets, b)
	}
	if d.err != nil {
		return
	}
	w.coarse = c
	if totalled {
		_, ok := c.counts(w)
		d.check(ok)
	}
}

func (b *bucket) append(to []byte) []byte {
	to = b.last.append(b.first.append(to))
	to = appendFloat(appendFloat(to, b.lo), b.hi)
	m := &b.sums
	to = binary.AppendUvarint(to, uint64(m.n))
	to = reading{m.at, m.v}.append(to)
	for _, v := range []float64{m.sum, m.lost, m.d, m.dd, m.t, m.tt, m.td} {
		to = appendFloat(to, v)
	}
	if !b.binned {
		return append(to, 0)
	}
	to = binary.AppendUvarint(append(to, 1), uint64(len(b.bins.bins)))
	for _, bin := range b.bins.bins {
		to = binary.AppendVarint(to, int64(bin.key))
		to = binary.AppendUvarint(to, uint64(bin.n))
	}
	return to
}

func (d *decoder) bucket() bucket {
	b := bucket{first: d.reading(), last: d.reading(), lo: d.float(), hi: d.float()}
	m := &b.sums
	m.n = int(d.uint())
	d.check(m.n > 0 && b.first.at <= b.last.at)
	origin := d.reading()
	m.at, m.v = origin.at, origin.v
	for _, v := range []*float64{&m.sum, &m.lost, &m.d, &m.dd, &m.t, &m.tt, &m.td} {
		*v = d.any()
	}
	if d.byte() == 0 {
		return b
	}
	b.binned = true
	var counted uint64
	for range d.count(maxBins, 2) {
		key, n := d.int(), d.uint()
		ascends := len(b.bins.bins) == 0 || int64(b.bins.bins[len(b.bins.bins)-1].key) < key
		d.check(ascends && key == int64(int32(key)) && n > 0 && n == uint64(uint32(n)))
		counted += n
		b.bins.bins = append(b.bins.bins, bin{int32(key), uint32(n)})
	}
	d.check(counted == uint64(m.n))
	return b
}
