package rules

import (
	"encoding/binary"
	"math"
	"time"
)

// Readings of the past that wait to be judged are remembered, so that a restart
// between them makes no other story of what they tell together.

// appendLate writes those of a device, by metric.
func (d *device) appendLate(b []byte) []byte {
	n := 0
	for _, c := range d.channels {
		if c.late != nil {
			n++
		}
	}
	b = binary.AppendUvarint(b, uint64(n))
	for _, c := range d.channels {
		if c.late == nil {
			continue
		}
		b = appendText(b, c.metric.name)
		b = binary.AppendUvarint(b, uint64(len(c.late.samples)))
		for i := range c.late.samples {
			b = appendSample(b, &c.late.samples[i])
		}
	}
	return b
}

func appendSample(b []byte, s *Sample) []byte {
	b = append(b, byte(s.Kind), byte(s.Clock))
	b = appendValue(b, value{num: s.Num, text: s.Text})
	b = appendText(appendText(b, s.Unit), s.Source)
	b = binary.AppendVarint(binary.AppendVarint(b, s.At.UnixNano()), s.Received.UnixNano())
	b = binary.AppendUvarint(b, uint64(len(s.Labels)))
	for name, v := range sortedMap(s.Labels) {
		b = appendText(appendText(b, name), v)
	}
	return b
}

// sampleSize is the least that appendSample writes.
const sampleSize = 16

// recallLate takes the device's readings of the past back.
func (e *Engine) recallLate(d *device, r *reader) {
	if len(r.b) == 0 {
		return // written before they were
	}
	for range r.count(2) {
		name := r.text()
		late := new(backlog)
		for range r.count(sampleSize) {
			late.samples = append(late.samples, r.sample(d.id, name))
		}
		m := e.program.metrics[name]
		if m != nil && r.err == nil && len(late.samples) > 0 {
			e.bind(d, m, math.MaxInt).late = late
		}
	}
}

func (r *reader) sample(device, metric string) Sample {
	s := Sample{Device: device, Metric: metric, Kind: Kind(r.byte()), Clock: Clock(r.byte())}
	v := r.value()
	s.Num, s.Text, s.Unit, s.Source = v.num, v.text, r.text(), r.text()
	s.At, s.Received = time.Unix(0, r.int()), time.Unix(0, r.int())
	for range r.count(2) {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels[r.text()] = r.text()
	}
	return s
}
