package window

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// MaxMarks is the most that Marks remembers.
const MaxMarks = 1 << 16

// Marks are the times of the last so many occurrences of something, for "n of
// them within d". They take 8 bytes each, once they are there.
type Marks struct {
	size int
	at   []int64 // ascending
}

// NewMarks remembers the newest n times; n is at least 1 and at most [MaxMarks].
func NewMarks(n int) *Marks { return &Marks{size: min(max(1, n), MaxMarks)} }

// Add takes an occurrence in, wherever in time it belongs. When there are too
// many, the oldest is forgotten. Two of the same time are two.
func (m *Marks) Add(at int64) {
	i := len(m.at)
	for i > 0 && m.at[i-1] > at {
		i--
	}
	if len(m.at) < m.size {
		m.at = slices.Insert(m.at, i, at)
		return
	}
	if i > 0 {
		copy(m.at, m.at[1:i])
		m.at[i-1] = at
	}
}

// Within is how many occurrences are newer than d before now; those of after now
// count. It is at most the number that is remembered.
func (m *Marks) Within(now int64, d time.Duration) int {
	cut := now - int64(max(0, d))
	if cut > now {
		cut = math.MinInt64
	}
	n := 0
	for i := len(m.at); i > 0 && m.at[i-1] > cut; i-- {
		n++
	}
	return n
}

// Count is how many are remembered.
func (m *Marks) Count() int { return len(m.at) }

// Oldest is the time of the oldest that is remembered, 0 if there is none.
func (m *Marks) Oldest() int64 {
	if len(m.at) == 0 {
		return 0
	}
	return m.at[0]
}

// Newest is the time of the newest, 0 if there is none.
func (m *Marks) Newest() int64 {
	if len(m.at) == 0 {
		return 0
	}
	return m.at[len(m.at)-1]
}

// Reset forgets all of them.
func (m *Marks) Reset() { m.at = m.at[:0] }

// Resize remembers the newest n from now on.
func (m *Marks) Resize(n int) {
	m.size = NewMarks(n).size
	if over := len(m.at) - m.size; over > 0 {
		m.at = slices.Delete(m.at, 0, over)
	}
}

// AppendBinary appends the stored form.
func (m *Marks) AppendBinary(b []byte) []byte {
	b = append(b, marksForm)
	b = binary.AppendUvarint(b, uint64(m.size))
	b = binary.AppendUvarint(b, uint64(len(m.at)))
	last := int64(0)
	for _, at := range m.at {
		b = binary.AppendVarint(b, at-last)
		last = at
	}
	return b
}

// DecodeMarks reads marks from the beginning of b.
func DecodeMarks(b []byte) (m *Marks, rest []byte, err error) {
	d := &decoder{b: b}
	d.version(marksForm)
	size := d.uint()
	d.check(size > 0 && size <= MaxMarks)
	m = NewMarks(int(size & (2*MaxMarks - 1)))
	last := int64(0)
	for i := range d.count(m.size, 1) {
		at := last + d.int()
		d.check(i == 0 || at >= last)
		last = at
		m.at = append(m.at, at)
	}
	if d.err != nil {
		return nil, b, fmt.Errorf("reading marks: %w", d.err)
	}
	return m, d.b, nil
}
