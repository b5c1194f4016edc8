package window

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	maxSkews    = 32
	fewestSkews = 4
)

// Skews are how far a device's clock is off: the times of receipt less those of
// the last 32 events. The zero Skews have seen nothing.
type Skews struct {
	ms   [maxSkews]int32 // a ring; more than 24 days are 24 days
	n    uint8
	next uint8
}

// Add takes in when an event was received, and when its device says it was.
func (s *Skews) Add(received, event int64) {
	ms := received/int64(time.Millisecond) - event/int64(time.Millisecond)
	s.ms[s.next] = int32(min(max(ms, math.MinInt32), math.MaxInt32))
	s.next = (s.next + 1) % maxSkews
	s.n = min(s.n+1, maxSkews)
}

// Count is how many are known, at most 32.
func (s *Skews) Count() int { return int(s.n) }

// Median is the middle of them: above zero, the device's clock is slow or its
// readings travel long. It is false as long as fewer than 4 are known.
func (s *Skews) Median() (time.Duration, bool) {
	if s.n < fewestSkews {
		return 0, false
	}
	sorted, n := s.ms, int(s.n)
	slices.Sort(sorted[:n])
	return time.Duration(int64(sorted[(n-1)/2])+int64(sorted[n/2])) * time.Millisecond / 2, true
}

// AppendBinary appends the stored form.
func (s *Skews) AppendBinary(b []byte) []byte {
	b = append(b, skewsForm, s.n)
	for i := range int(s.n) { // oldest first
		b = binary.AppendVarint(b, int64(s.ms[(int(s.next)+maxSkews-int(s.n)+i)%maxSkews]))
	}
	return b
}

// DecodeSkews reads skews from the beginning of b.
func DecodeSkews(b []byte) (s *Skews, rest []byte, err error) {
	d := &decoder{b: b}
	d.version(skewsForm)
	n := d.byte()
	d.check(n <= maxSkews)
	s = &Skews{}
	for i := range min(n, maxSkews) {
		ms := d.int()
		d.check(ms >= math.MinInt32 && ms <= math.MaxInt32)
		s.ms[i] = int32(ms)
	}
	if d.err != nil {
		return nil, b, fmt.Errorf("reading skews: %w", d.err)
	}
	s.n, s.next = n, n%maxSkews
	return s, d.b, nil
}
