package rules

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
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

// append writes what is known of a hole, and of the time around it.
func (h *hole) append(b []byte) []byte {
	b = appendValue(binary.AppendVarint(binary.AppendVarint(b, h.from), h.to), h.end)
	b = appendBool(b, h.cut)
	b = appendBool(b, h.before != nil)
	if h.before != nil {
		b = h.before.append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(h.past)))
	for _, p := range h.past {
		b = append(appendPoint(b, p.point), byte(p.clock))
	}
	b = binary.AppendUvarint(b, uint64(len(h.tail)))
	for _, p := range h.tail {
		b = appendPoint(b, p)
	}
	b = binary.AppendUvarint(b, uint64(len(h.told)))
	for _, t := range h.told {
		b = appendBool(binary.AppendVarint(binary.AppendVarint(appendText(b, t.rule), t.began), t.end), t.past)
	}
	return b
}

func (k *before) append(b []byte) []byte {
	b = append(appendPoint(appendPoint(b, k.last), k.prev), byte(k.clock))
	b = appendFloat(binary.AppendVarint(b, k.at), k.carried)
	b = binary.AppendVarint(b, k.over)
	b = appendMarks(b, k.windowed)
	b = binary.AppendUvarint(b, uint64(len(k.alarms)))
	for i := range k.alarms {
		text, err := json.Marshal(&k.alarms[i])
		if err != nil {
			text = nil // it has no numbers that are none
		}
		b = appendBlob(b, text)
	}
	return b
}

func appendMarks(b []byte, list []mark) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, m := range list {
		b = appendFloat(binary.AppendVarint(b, m.at), m.v)
	}
	return b
}

func appendPoint(b []byte, p point) []byte {
	return appendValue(binary.AppendVarint(b, p.at), p.value)
}

func (r *reader) hole() hole {
	h := hole{gap: gap{r.int(), r.int()}, end: r.value(), cut: r.bool()}
	if r.bool() {
		h.before = r.before()
	}
	for range r.count(11) {
		h.past = append(h.past, dated{r.point(), Clock(r.byte())})
	}
	for range r.count(10) {
		h.tail = append(h.tail, r.point())
	}
	for range r.count(4) {
		h.told = append(h.told, tale{r.text(), r.int(), r.int(), r.bool()})
	}
	return h
}

func (r *reader) before() *before {
	k := &before{last: r.point(), prev: r.point(), clock: Clock(r.byte()), at: r.int(), carried: r.float(), over: r.int()}
	k.windowed = r.marks()
	for range r.count(1) {
		var s State
		if err := json.Unmarshal(r.blob(), &s); err != nil && r.err == nil {
			r.err = fmt.Errorf("reading an alarm of before a hole: %w", err)
		}
		k.alarms = append(k.alarms, s)
	}
	return k
}

func (r *reader) marks() []mark {
	var list []mark
	for range r.count(9) {
		list = append(list, mark{r.int(), r.float()})
	}
	return list
}

func (r *reader) point() point { return point{r.int(), r.value()} }
