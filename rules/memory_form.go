package rules

import (
	"encoding/binary"
	"errors"
	"math"
)

// A reader takes a record apart. After the first error it reads nothing but zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(why string) {
	if r.err == nil {
		r.err = errors.New(why)
	}
	r.b = nil
}

func (r *reader) after(rest []byte, err error) {
	r.b = rest
	if err != nil && r.err == nil {
		r.err, r.b = err, nil
	}
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.after(nil, errShort)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bool() bool { return r.byte() != 0 }

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.after(nil, errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many things follow, of at least size bytes each.
func (r *reader) count(size int) int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > uint64(len(r.b)/size) {
		r.after(nil, errShort)
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *reader) blob() []byte {
	n := r.count(1)
	if n > len(r.b) {
		r.after(nil, errShort)
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string { return string(r.blob()) }

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.after(nil, errShort)
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	return v
}

func (r *reader) value() value { return value{num: r.float(), text: r.text()} }

func (r *reader) gaps() []gap {
	var list []gap
	for range r.count(2) {
		list = append(list, gap{r.int(), r.int()})
	}
	return list
}

func (r *reader) times() []int64 {
	var list []int64
	for range r.count(1) {
		list = append(list, r.int())
	}
	return list
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBlob(b, blob []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(blob))), blob...)
}

func appendValue(b []byte, v value) []byte { return appendText(appendFloat(b, v.num), v.text) }

func appendGaps(b []byte, list []gap) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, g := range list {
		b = binary.AppendVarint(binary.AppendVarint(b, g.from), g.to)
	}
	return b
}

func appendTimes(b []byte, list []int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, at := range list {
		b = binary.AppendVarint(b, at)
	}
	return b
}
