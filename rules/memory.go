package rules

import (
	"encoding/binary"
	"errors"
	"iter"
	"maps"
	"slices"
)

// What the engine knows beside the states of alarms is written as records, one
// for itself and one for each device and rule. They are its own affair: another
// version may drop what it does not understand, and learn it again.

const memoryVersion = 2

// Records begin with what they are of.
const (
	ofEngine byte = 'e'
	ofOne    byte = 'd'
	ofGroups byte = 'g'
	ofHealth byte = 'h'
)

// Memory yields what the engine knows beside the states of alarms: devices with
// their newest readings, windows, learned intervals and presence, and how rules
// fared. Each record stands for itself; together they restore an engine to the byte.
func (e *Engine) Memory() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !yield(e.appendMemory(nil)) {
			return
		}
		for _, d := range e.sortedDevices() {
			b := d.appendMemory
			if d.group {
				b = d.appendGroup
			}
			if !yield(b(nil)) {
				return
			}
		}
		for i, r := range e.program.rules {
			if !yield(e.counts[i].health.appendMemory(nil, r)) {
				return
			}
		}
	}
}

func (e *Engine) appendMemory(b []byte) []byte {
	b = append(b, ofEngine, memoryVersion)
	b = binary.AppendVarint(b, e.now)
	b = binary.AppendVarint(b, e.deaf)
	b = appendBool(b, e.flood.on)
	b = binary.AppendVarint(b, e.flood.begun)
	b = binary.AppendVarint(b, e.flood.due)
	b = binary.AppendVarint(b, int64(e.flood.held))
	b = appendTimes(b, e.flood.recent)
	b = appendGaps(b, e.gaps)
	b = binary.AppendUvarint(b, uint64(len(e.links)))
	for _, name := range slices.Sorted(maps.Keys(e.links)) {
		l := e.links[name]
		b = appendBool(appendText(b, name), l.told)
		b = binary.AppendVarint(binary.AppendVarint(b, l.since), l.down)
	}
	b = appendBool(b, e.flood.told)
	b = binary.AppendUvarint(b, uint64(len(e.flood.to)))
	for _, name := range e.flood.to {
		b = appendText(b, name)
	}
	b = appendGaps(binary.AppendVarint(b, e.begun), e.absent)
	for _, l := range sortedMap(e.links) {
		b = appendGaps(b, l.gaps)
	}
	b = appendBool(b, e.crowded)
	b = binary.AppendVarint(binary.AppendVarint(b, e.warm.born), e.warm.from)
	return appendBool(b, e.warm.over)
}

func (d *device) appendMemory(b []byte) []byte {
	b = append(b, ofOne, memoryVersion)
	b = appendText(b, d.id)
	b = binary.AppendUvarint(b, uint64(len(d.learnt)))
	for name, v := range sortedMap(d.learnt) {
		b = appendText(appendText(b, name), v)
	}
	link := ""
	if d.link != nil {
		link = d.link.name
	}
	b = appendText(b, link)
	for _, at := range [...]int64{d.contact, d.newest, d.listening, int64(d.presence), d.presenceAt, d.taught} {
		b = binary.AppendVarint(b, at)
	}
	b = appendText(b, d.why)
	b = appendBool(b, d.gaps != nil)
	if d.gaps != nil {
		b = d.gaps.AppendBinary(append(b, d.lessons))
		b = binary.AppendVarint(b, d.learned)
	}
	b = appendBool(b, d.skews != nil)
	if d.skews != nil {
		b = d.skews.AppendBinary(b)
	}
	b = binary.AppendUvarint(b, uint64(len(d.channels)))
	for _, c := range d.channels {
		b = c.appendMemory(b)
	}
	return d.appendUsed(d.appendExcess(d.appendLate(d.appendSelf(b))))
}

// appendSelf writes what the alarms about the device itself remember.
func (d *device) appendSelf(b []byte) []byte {
	if d.self == nil {
		return binary.AppendUvarint(b, 0)
	}
	return d.self.appendAlarms(b)
}

// appendGroup writes what the alarms of a group remember.
func (d *device) appendGroup(b []byte) []byte {
	b = append(b, ofGroups, memoryVersion)
	return d.appendSelf(appendText(appendText(b, d.across), d.id))
}

func (c *channel) appendMemory(b []byte) []byte {
	b = appendText(b, c.metric.name)
	b = append(b, byte(c.metric.kind), byte(c.clock))
	b = appendBool(b, c.primed)
	for _, p := range [...]point{c.last, c.prev} {
		b = binary.AppendVarint(b, p.at)
		b = appendValue(b, p.value)
	}
	b = binary.AppendVarint(b, c.judged)
	b = binary.AppendVarint(b, c.at)
	b = binary.AppendVarint(binary.AppendVarint(b, c.patience), c.patientAt)
	b = appendFloat(b, c.carried)
	unit := ""
	if c.foreign != nil {
		unit = c.foreign.unit
	}
	b = appendText(b, unit)
	b = binary.AppendUvarint(b, uint64(len(c.holes)))
	for i := range c.holes {
		b = c.holes[i].append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(c.windows)))
	for _, w := range c.windows {
		b = binary.AppendVarint(b, w.over)
		b = appendBlob(appendMarks(b, w.left), w.AppendBinary(nil))
	}
	return c.appendAlarms(b)
}

func (c *channel) appendAlarms(b []byte) []byte {
	n := 0
	for _, a := range c.alarms {
		if a.remembers() {
			n++
		}
	}
	b = binary.AppendUvarint(b, uint64(n))
	for _, a := range c.alarms {
		if a.remembers() {
			b = appendText(b, a.rule.id)
			b = appendText(b, a.rule.revision)
			b = appendBlob(b, a.extra.append(nil))
		}
	}
	return b
}

func (a *instance) remembers() bool { return a.extra != nil && !a.rule.plain }

func (x *extra) append(b []byte) []byte {
	b = binary.AppendVarint(b, x.wake)
	b = binary.AppendUvarint(b, uint64(len(x.gauges)))
	for i := range x.gauges {
		m := &x.gauges[i]
		b = binary.AppendVarint(b, m.run.From)
		b = appendFloat(appendFloat(appendFloat(appendFloat(b, m.run.Low), m.run.High), m.value), m.next)
		b = appendBool(b, m.known)
		b = binary.AppendVarint(b, m.at)
		b = appendBool(b, m.marks != nil)
		if m.marks != nil {
			b = m.marks.AppendBinary(b)
		}
		b = appendBool(b, m.base != nil)
		if m.base != nil {
			b = m.base.AppendBinary(b)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(x.rungs)))
	for i := range x.rungs {
		m := &x.rungs[i]
		b = append(b, byte(m.was))
		b = appendBool(b, m.marks != nil)
		if m.marks != nil {
			b = m.marks.AppendBinary(b)
		}
		b = binary.AppendUvarint(b, uint64(len(m.share)))
		for _, s := range m.share {
			b = append(binary.AppendVarint(b, s.at), byte(s.held))
		}
	}
	return appendBool(b, x.seen)
}

var errShort = errors.New("it ends too early")
