package window

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	maxGaps     = 16
	fewestGaps  = 4
	tellingGaps = 8
	burst       = int64(time.Second) // contacts closer than this are one
)

// Gaps learn how often a device reports: from the last 16 times between contacts.
// The zero Gaps have seen nothing. They take 80 bytes.
//
// The caller leaves out what is no sign of the device's own rhythm: backfill,
// retained and repeated messages, and the time when nobody listened ([Gaps.Skip]).
type Gaps struct {
	last int64           // the contact before, 0 for none
	ms   [maxGaps]uint32 // a ring; a gap of more than 49 days is 49 days
	n    uint8
	next uint8
}

// Add takes a contact in. One less than a second after the last is part of it,
// and an older one is ignored.
func (g *Gaps) Add(at int64) {
	if g.last != 0 {
		gap := at - g.last
		if gap < burst {
			return
		}
		g.ms[g.next] = uint32(min(gap/int64(time.Millisecond), math.MaxUint32))
		g.next = (g.next + 1) % maxGaps
		g.n = min(g.n+1, maxGaps)
	}
	g.last = at
}

// Skip leaves out the gap that is under way, because somebody else made it: the
// next contact only begins a new one.
func (g *Gaps) Skip() { g.last = 0 }

// Count is how many gaps are known, at most 16.
func (g *Gaps) Count() int { return int(g.n) }

// Interval is the median gap; false as long as fewer than 4 are known.
func (g *Gaps) Interval() (time.Duration, bool) {
	if g.n < fewestGaps {
		return 0, false
	}
	sorted, n := g.sorted()
	return time.Duration(uint64(sorted[(n-1)/2])+uint64(sorted[n/2])) * time.Millisecond / 2, true
}

// Irregular reports whether the device has no interval worth the name, such as
// one that reports by exception: its gaps deviate by more than their mean. The
// longest gap is left out, for a device that was down once is not irregular.
// It is false as long as fewer than 8 gaps are known.
func (g *Gaps) Irregular() bool {
	if g.n < tellingGaps {
		return false
	}
	sorted, n := g.sorted()
	var m moments
	for _, ms := range sorted[:n-1] {
		m.add(0, float64(ms))
	}
	return m.deviation() > m.mean()
}

func (g *Gaps) sorted() ([maxGaps]uint32, int) {
	sorted, n := g.ms, int(g.n)
	slices.Sort(sorted[:n]) // a ring that is not full begins at 0
	return sorted, n
}

// AppendBinary appends the stored form.
func (g *Gaps) AppendBinary(b []byte) []byte {
	b = append(b, gapsForm, g.n)
	b = binary.AppendVarint(b, g.last)
	for i := range int(g.n) { // oldest first
		b = binary.AppendUvarint(b, uint64(g.ms[(int(g.next)+maxGaps-int(g.n)+i)%maxGaps]))
	}
	return b
}

// DecodeGaps reads gaps from the beginning of b.
func DecodeGaps(b []byte) (g Gaps, rest []byte, err error) {
	d := &decoder{b: b}
	d.version(gapsForm)
	n := d.byte()
	d.check(n <= maxGaps)
	g.last = d.int()
	for i := range min(n, maxGaps) {
		ms := d.uint()
		d.check(ms <= math.MaxUint32)
		g.ms[i] = uint32(ms)
	}
	if d.err != nil {
		return Gaps{}, b, fmt.Errorf("reading gaps: %w", d.err)
	}
	g.n, g.next = n, n%maxGaps
	return g, d.b, nil
}
