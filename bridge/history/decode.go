package history

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"tocsin/rules"
)

var errPayload = errors.New("the payload of a block makes no sense")

// A decoder reads the payload of a block. The input it yields, and what that
// points to, is good until the next.
type decoder struct {
	buf    []byte
	failed bool
	now    int64
	series []defined
	texts  []string
	labels []map[string]string

	sample   rules.Sample
	batch    []rules.Sample
	presence rules.Presence
	link     rules.Link
	command  rules.Command
	gap      rules.Gap
}

// A defined series is a sample to be filled in.
type defined struct {
	sample rules.Sample
	parts  parts
	thou   int64
}

func (d *decoder) begin(payload []byte) {
	d.buf, d.failed, d.now = payload, false, 0
	clear(d.series)
	clear(d.texts)
	clear(d.labels)
	d.series, d.texts, d.labels = d.series[:0], d.texts[:0], d.labels[:0]
}

// next reads a record: an input, or how many are missing. False is the end of
// the payload, or with an error a payload that an encoder did not write.
func (d *decoder) next() (in rules.Input, missing uint64, ok bool, err error) {
	if len(d.buf) == 0 {
		return in, 0, false, nil
	}
	record := d.byte()
	if record == recordMissing {
		missing = d.uvarint()
	} else {
		in = d.input(record)
	}
	if d.failed {
		return rules.Input{}, 0, false, errPayload
	}
	return in, missing, true, nil
}

func (d *decoder) input(record byte) (in rules.Input) {
	in.Now = d.time(d.now)
	d.now = nanos(in.Now)
	switch record {
	case recordSample:
		d.readSample(&d.sample)
		in.Sample = &d.sample
	case recordBatch:
		n := d.count(4)
		if d.batch == nil || cap(d.batch) > 1<<12 && n <= 1<<12 {
			d.batch = make([]rules.Sample, 0, min(n, 1<<12))
		}
		d.batch = d.batch[:0]
		for range n {
			d.batch = append(d.batch, rules.Sample{})
			d.readSample(&d.batch[len(d.batch)-1])
			if d.failed {
				break
			}
		}
		in.Batch = d.batch
	case recordPresence:
		d.presence = rules.Presence{Source: d.name(), Device: d.name(), Status: rules.Status(d.byte()), Reason: d.name(), At: d.time(d.now)}
		in.Presence = &d.presence
	case recordLink:
		d.link = rules.Link{Source: d.name(), Connected: d.byte() == 1}
		in.Link = &d.link
	case recordCommand:
		d.command = rules.Command{Verb: rules.Verb(d.name()), Key: d.name(), By: d.name(), Reason: d.name(), Until: d.time(d.now)}
		in.Command = &d.command
	case recordGap:
		d.gap = rules.Gap{From: d.time(d.now), To: d.time(d.now)}
		in.Gap = &d.gap
	default:
		d.failed = true
	}
	return in
}

func (d *decoder) readSample(s *rules.Sample) {
	id := d.uvarint()
	if id == 0 {
		d.define()
		id = uint64(len(d.series))
	}
	if d.failed || id > uint64(len(d.series)) {
		d.failed = true
		return
	}
	known := &d.series[id-1]
	*s = known.sample
	s.Received = d.time(d.now)
	s.At = d.time(reference(s.Clock, nanos(s.Received)))
	if known.parts&hasNum != 0 {
		s.Num = d.number(&known.thou)
	}
	if known.parts&hasText != 0 {
		s.Text = d.text()
	}
	if known.parts&seqFollow != 0 {
		s.Seq = d.uvarint()
	}
}

func (d *decoder) define() {
	s := defined{sample: rules.Sample{Source: d.name(), Device: d.name(), Metric: d.name(), Unit: d.name(), Invalid: d.name(), Labels: d.labelSet()}}
	s.sample.Kind, s.sample.Clock, s.sample.Flags = rules.Kind(d.byte()), rules.Clock(d.byte()), rules.Flags(d.byte())
	s.parts = parts(d.byte())
	s.sample.HasSeq = s.parts&hasSeq != 0
	if s.parts&^allParts != 0 {
		d.failed = true
	}
	d.series = append(d.series, s)
}

func (d *decoder) labelSet() map[string]string {
	switch id := d.uvarint(); {
	case id == 0:
		return nil
	case id > 1:
		if id-2 >= uint64(len(d.labels)) {
			d.failed = true
			return nil
		}
		return d.labels[id-2]
	}
	n := d.count(2)
	set := make(map[string]string, min(n, 64))
	for range n {
		key := d.name()
		set[key] = d.name()
		if d.failed {
			return nil
		}
	}
	d.labels = append(d.labels, set)
	return set
}

func (d *decoder) name() string {
	id := d.uvarint()
	if id == 0 {
		d.texts = append(d.texts, d.text())
		id = uint64(len(d.texts))
	}
	if id > uint64(len(d.texts)) {
		d.failed = true
		return ""
	}
	return d.texts[id-1]
}

func (d *decoder) text() string {
	n := d.count(1)
	s := string(d.buf[:n])
	d.buf = d.buf[n:]
	return s
}

// count reads how many follow, each of at least so many bytes.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.buf)/size) {
		d.failed = true
		return 0
	}
	return int(n) // #nosec G115 -- just checked
}

func (d *decoder) byte() byte {
	if len(d.buf) == 0 {
		d.failed = true
		return 0
	}
	b := d.buf[0]
	d.buf = d.buf[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	x, n := binary.Uvarint(d.buf)
	if n <= 0 {
		d.failed = true
		return 0
	}
	d.buf = d.buf[n:]
	return x
}

func (d *decoder) number(last *int64) float64 {
	if z := d.uvarint(); z != 0 {
		*last += unzigzag(z - 1)
		return float64(*last) / 1000
	}
	if len(d.buf) < 8 {
		d.failed = true
		return 0
	}
	bits := binary.LittleEndian.Uint64(d.buf)
	d.buf = d.buf[8:]
	return math.Float64frombits(bits)
}

func (d *decoder) time(from int64) time.Time {
	switch z := d.uvarint(); {
	case z == 0:
		sec, n := binary.Varint(d.buf)
		if n <= 0 {
			d.failed = true
			return time.Time{}
		}
		d.buf = d.buf[n:]
		nsec := d.uvarint()
		if nsec > 999_999_999 {
			d.failed = true
			return time.Time{}
		}
		return time.Unix(sec, int64(nsec)).UTC() // #nosec G115 -- just checked
	case z&1 == 1:
		return time.Unix(0, from+unzigzag(z>>1)*1e6).UTC()
	default:
		return time.Unix(0, from+unzigzag(z>>1-1)).UTC()
	}
}
