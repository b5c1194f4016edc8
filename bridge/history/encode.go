package history

import (
	"encoding/binary"
	"maps"
	"math"
	"reflect"
	"slices"
	"time"

	"tocsin/rules"
)

const (
	blockBytes = 256 << 10                      // a block is closed once it has this many bytes, uncompressed
	inputBytes = 1 << 20                        // one input may have at most this many
	maxSeries  = 4096                           // a block is closed once it tells apart this many series,
	maxNames   = 8192                           // or has this many names
	maxRaw     = blockBytes + inputBytes + 4096 // of a block, compressed or not
)

// What a record in a block is.
const (
	recordSample = iota + 1
	recordBatch
	recordPresence
	recordLink
	recordCommand
	recordGap
	recordMissing // so many inputs before the next one were not recorded
)

// A series is all of a sample that seldom changes from one to the next.
type series struct {
	source, device, metric, unit, invalid string
	labels                                uintptr // of the map: like samples have the same
	kind                                  rules.Kind
	clock                                 rules.Clock
	flags                                 rules.Flags
	parts                                 parts
}

// parts says which fields of a sample follow its series.
type parts uint8

const (
	hasNum parts = 1 << iota
	hasText
	hasSeq    // Sample.HasSeq
	seqFollow // Sample.Seq is written
	allParts  = hasNum | hasText | hasSeq | seqFollow
)

// An encoder makes the payload of a block. Numbers are given to names and series
// in the order of their first use, where they are written out.
type encoder struct {
	buf    []byte
	blk    bounds
	now    int64 // Now of the record before
	series map[series]uint32
	known  []known
	last   uint32 // series of the sample before
	texts  map[string]uint32
	labels map[uintptr]uint32
	alive  []map[string]string // keeps the addresses in labels from being used again
}

// A known series has a number.
type known struct {
	series
	after uint32 // the series that came after it: it mostly does again
	thou  int64  // thousandths of its last number
}

// bounds are what can be known of a block without decoding it.
type bounds struct {
	count            uint32
	firstNow, endNow int64 // least and greatest Now, in nanoseconds since 1970
	firstAt, endAt   int64 // least and greatest At of a sample; firstAt > endAt without any
}

// noBounds are those of nothing, to be widened.
func noBounds() bounds {
	return bounds{firstNow: math.MaxInt64, endNow: math.MinInt64, firstAt: math.MaxInt64, endAt: math.MinInt64}
}

func (b *bounds) widen(by bounds) {
	b.count += by.count
	b.firstNow, b.endNow = min(b.firstNow, by.firstNow), max(b.endNow, by.endNow)
	b.firstAt, b.endAt = min(b.firstAt, by.firstAt), max(b.endAt, by.endAt)
}

func newEncoder() *encoder {
	e := new(encoder)
	e.tables()
	e.begin(nil)
	return e
}

func (e *encoder) tables() {
	e.series = make(map[series]uint32)
	e.texts = make(map[string]uint32)
	e.labels = make(map[uintptr]uint32)
	e.alive, e.known = nil, nil
}

// begin starts a block in the memory of buf.
func (e *encoder) begin(buf []byte) {
	e.buf = buf[:0]
	e.blk = noBounds()
	e.now = 0
	if len(e.texts) > 2*maxNames || len(e.known) > 2*maxSeries {
		e.tables() // a large batch: smaller ones need not pay for it
	}
	clear(e.series)
	clear(e.texts)
	clear(e.labels)
	clear(e.alive)
	clear(e.known)
	e.alive, e.known, e.last = e.alive[:0], e.known[:0], 0
}

// full reports whether the block should be closed.
func (e *encoder) full() bool {
	return len(e.buf) >= blockBytes || len(e.known) >= maxSeries || len(e.texts) >= maxNames
}

// add writes an input. When it is too large for a block it is not written, and
// nothing more may be added to this one: its tables hold what was taken back.
func (e *encoder) add(in *rules.Input) (fits bool) {
	mark, before := len(e.buf), e.blk
	switch {
	case in.Sample != nil:
		e.head(recordSample, in.Now)
		e.sample(in.Sample)
	case in.Batch != nil:
		e.head(recordBatch, in.Now)
		e.uvarint(uint64(len(in.Batch)))
		for i := range in.Batch {
			e.sample(&in.Batch[i])
			if len(e.buf)-mark > inputBytes {
				break
			}
		}
	case in.Presence != nil:
		p := in.Presence
		e.head(recordPresence, in.Now)
		e.name(p.Source)
		e.name(p.Device)
		e.buf = append(e.buf, byte(p.Status))
		e.name(p.Reason)
		e.time(p.At, e.now)
	case in.Link != nil:
		e.head(recordLink, in.Now)
		e.name(in.Link.Source)
		connected := byte(0)
		if in.Link.Connected {
			connected = 1
		}
		e.buf = append(e.buf, connected)
	case in.Command != nil:
		c := in.Command
		e.head(recordCommand, in.Now)
		e.name(string(c.Verb))
		e.name(c.Key)
		e.name(c.By)
		e.name(c.Reason)
		e.time(c.Until, e.now)
	case in.Gap != nil:
		e.head(recordGap, in.Now)
		e.time(in.Gap.From, e.now)
		e.time(in.Gap.To, e.now)
	default:
		return true // a tick
	}
	if len(e.buf)-mark > inputBytes {
		e.buf, e.blk = e.buf[:mark], before
		return false
	}
	e.blk.count++
	e.blk.firstNow, e.blk.endNow = min(e.blk.firstNow, e.now), max(e.blk.endNow, e.now)
	return true
}

// missing writes that inputs are missing here.
func (e *encoder) missing(n uint64) {
	e.buf = append(e.buf, recordMissing)
	e.uvarint(n)
}

func (e *encoder) head(record byte, now time.Time) {
	e.buf = append(e.buf, record)
	e.time(now, e.now)
	e.now = nanos(now)
}

func (e *encoder) sample(s *rules.Sample) {
	key := series{
		source: s.Source, device: s.Device, metric: s.Metric, unit: s.Unit, invalid: s.Invalid,
		kind: s.Kind, clock: s.Clock, flags: s.Flags,
	}
	if s.Labels != nil {
		key.labels = reflect.ValueOf(s.Labels).Pointer()
	}
	bits := math.Float64bits(s.Num)
	if s.Kind == rules.Number || bits != 0 {
		key.parts |= hasNum
	}
	if s.Text != "" {
		key.parts |= hasText
	}
	if s.HasSeq {
		key.parts |= hasSeq
	}
	if s.Seq != 0 {
		key.parts |= seqFollow
	}
	id := e.number(&key, s.Labels)
	e.time(s.Received, e.now)
	e.time(s.At, reference(s.Clock, nanos(s.Received)))
	at := nanos(s.At)
	e.blk.firstAt, e.blk.endAt = min(e.blk.firstAt, at), max(e.blk.endAt, at)
	if key.parts&hasNum != 0 {
		e.value(s.Num, &e.known[id].thou)
	}
	if key.parts&hasText != 0 {
		e.text(s.Text)
	}
	if key.parts&seqFollow != 0 {
		e.uvarint(s.Seq)
	}
}

// number writes which series comes next.
func (e *encoder) number(s *series, labels map[string]string) uint32 {
	if int(e.last) < len(e.known) {
		if id := e.known[e.last].after; e.known[id].series == *s {
			e.uvarint(uint64(id) + 1)
			e.last = id
			return id
		}
	}
	id, known := e.series[*s]
	if known {
		e.uvarint(uint64(id) + 1)
	} else {
		id = e.define(s, labels)
	}
	e.known[e.last].after = id
	e.last = id
	return id
}

// define writes a series out, and gives it the next number.
func (e *encoder) define(s *series, labels map[string]string) uint32 {
	e.buf = append(e.buf, 0)
	e.name(s.source)
	e.name(s.device)
	e.name(s.metric)
	e.name(s.unit)
	e.name(s.invalid)
	e.labelSet(s.labels, labels)
	e.buf = append(e.buf, byte(s.kind), byte(s.clock), byte(s.flags), byte(s.parts))
	id := uint32(len(e.known)) // #nosec G115 -- bounded by a block's size
	e.series[*s] = id
	e.known = append(e.known, known{series: *s})
	return id
}

func (e *encoder) labelSet(at uintptr, labels map[string]string) {
	if labels == nil {
		e.buf = append(e.buf, 0)
		return
	}
	if id, known := e.labels[at]; known {
		e.uvarint(uint64(id) + 2)
		return
	}
	e.labels[at] = uint32(len(e.alive)) // #nosec G115 -- as above
	e.alive = append(e.alive, labels)
	e.buf = append(e.buf, 1)
	e.uvarint(uint64(len(labels)))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		e.name(key)
		e.name(labels[key])
	}
}

// name writes a string that is likely to come again.
func (e *encoder) name(s string) {
	if id, known := e.texts[s]; known {
		e.uvarint(uint64(id) + 1)
		return
	}
	e.buf = append(e.buf, 0)
	e.text(s)
	e.texts[s] = uint32(len(e.texts)) // #nosec G115 -- as above
}

func (e *encoder) text(s string) {
	e.uvarint(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) uvarint(x uint64) { e.buf = binary.AppendUvarint(e.buf, x) }

// value writes a number by how far it is from the last one in thousandths, which
// is what most sensors report in, or else as it is.
func (e *encoder) value(v float64, last *int64) {
	const exact = 1 << 51
	if scaled := math.RoundToEven(v * 1000); scaled > -exact && scaled < exact {
		n := int64(scaled)
		if float64(n)/1000 == v && (n != 0 || !math.Signbit(v)) {
			e.uvarint(zigzag(n-*last) + 1)
			*last = n
			return
		}
	}
	e.buf = append(e.buf, 0)
	e.buf = binary.LittleEndian.AppendUint64(e.buf, math.Float64bits(v))
}

// time writes t by how far it is from another time: in whole milliseconds, in
// nanoseconds, or, where those do not reach, as it is. A difference that
// overflows does so again, the other way, when it is added.
func (e *encoder) time(t time.Time, from int64) {
	if inNanos(t) {
		d := t.UnixNano() - from
		if d%1e6 == 0 {
			e.uvarint(zigzag(d/1e6)<<1 + 1)
			return
		}
		if z := zigzag(d); z < 1<<62 {
			e.uvarint(z<<1 + 2)
			return
		}
	}
	e.buf = append(e.buf, 0)
	e.buf = binary.AppendVarint(e.buf, t.Unix())
	e.uvarint(uint64(t.Nanosecond())) // #nosec G115 -- never negative
}

// reference is the time by which a sample's own is written: the arrival, in the
// milliseconds that most other clocks are read in.
func reference(c rules.Clock, received int64) int64 {
	if c == rules.ClockArrival {
		return received
	}
	return received - received%1e6
}

// inNanos reports whether t can be told in nanoseconds since 1970.
func inNanos(t time.Time) bool {
	s := t.Unix()
	return s > math.MinInt64/1_000_000_000 && s < math.MaxInt64/1_000_000_000
}

// nanos is t in nanoseconds since 1970, or the nearest that there is.
func nanos(t time.Time) int64 {
	switch {
	case inNanos(t):
		return t.UnixNano()
	case t.Unix() < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}

func zigzag(x int64) uint64 { return uint64(x<<1) ^ uint64(x>>63) } // #nosec G115 -- bits, not a number

func unzigzag(x uint64) int64 { return int64(x>>1) ^ -int64(x&1) } // #nosec G115 -- as above
