package window

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// AppendBinary appends the baseline's stored form.
func (b *Baseline) AppendBinary(to []byte) []byte {
	to = append(to, baselineForm)
	to = binary.AppendUvarint(to, uint64(b.span))
	to = binary.AppendUvarint(to, uint64(b.minHistory))
	to = binary.AppendUvarint(to, uint64(len(b.slots)))
	to = binary.AppendVarint(to, b.newest)
	for _, at := range b.oldest {
		to = binary.AppendVarint(to, at)
	}
	for i := range b.slots {
		s := &b.slots[i]
		to = append(to, byte(len(s.cells)))
		for _, c := range s.cells {
			to = append(to, byte(int32(b.newest)-c.chunk))
			to = binary.AppendUvarint(to, uint64(c.n))
			to = appendFloat(appendFloat(to, c.mean), c.sq)
		}
		to = binary.AppendUvarint(to, uint64(len(s.kept)))
		for _, k := range s.kept {
			to = binary.LittleEndian.AppendUint32(to, math.Float32bits(k.v))
			to = binary.LittleEndian.AppendUint32(to, k.tag)
		}
	}
	return to
}

// DecodeBaseline reads a baseline from the beginning of b. It goes on exactly as
// the one that was stored.
func DecodeBaseline(b []byte) (base *Baseline, rest []byte, err error) {
	d := &decoder{b: b}
	d.version(baselineForm)
	o := BaselineOptions{Span: time.Duration(d.uint()), MinHistory: time.Duration(d.uint())}
	o.Slots = d.count(maxSlots, 1)
	d.check(o.Span >= time.Hour && o.MinHistory >= 0 && o.Slots > 0)
	base = NewBaseline(o)
	base.newest = d.int()
	for i := range base.oldest {
		base.oldest[i] = d.int()
	}
	for i := range base.slots {
		if d.err == nil {
			base.decodeSeason(d, &base.slots[i])
		}
	}
	if d.err != nil {
		return nil, b, fmt.Errorf("reading a baseline: %w", d.err)
	}
	return base, d.b, nil
}

func (b *Baseline) decodeSeason(d *decoder, s *season) {
	var at [tags]int // index of a chunk's cell, plus one
	for range d.byte() {
		age := int64(d.byte())
		c := cell{chunk: int32(b.newest - age)}
		n := d.uint()
		c.n, c.mean, c.sq = uint32(n), d.float(), d.float()
		tag := c.chunk & (tags - 1)
		d.check(age <= b.reach && n > 0 && n <= math.MaxUint32 && c.sq >= 0 && at[tag] == 0)
		if d.err != nil {
			return
		}
		s.cells = append(s.cells, c)
		at[tag] = len(s.cells)
	}
	for range d.count((tags-1)*b.most, 8) {
		k := kept{math.Float32frombits(d.uint32()), d.uint32()}
		i := at[k.chunk()]
		d.check(i > 0 && !math.IsNaN(float64(k.v)) && !math.IsInf(float64(k.v), 0))
		if n := len(s.kept); n > 0 {
			d.check(s.kept[n-1].before(k) <= 0)
		}
		if d.err != nil {
			return
		}
		c := &s.cells[i-1]
		c.kept++
		c.limit = max(c.limit, k.tag)
		s.kept = append(s.kept, k)
	}
	for _, c := range s.cells {
		d.check(int(c.kept) == min(int(c.n), b.most))
	}
}
