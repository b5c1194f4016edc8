package rules

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"tocsin/rules/window"
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
		every, _ := d.interval()
		b = binary.AppendVarint(b, int64(every))
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

// Recall takes a record of Memory back, before the first Step and before
// [Engine.Restore]. A part of it that the program does not ask about any more is
// dropped.
func (e *Engine) Recall(record []byte) error {
	e.recalling = true
	defer func() { e.recalling = false }()
	r := &reader{b: record}
	kind, version := r.byte(), r.byte()
	switch {
	case r.err == nil && version != memoryVersion:
		return fmt.Errorf("recalling a record of version %d (this is version %d)", version, memoryVersion)
	case kind == ofEngine:
		e.recallEngine(r)
	case kind == ofOne:
		e.recallDevice(r)
	case kind == ofGroups:
		e.recallGroup(r.text(), r.text(), r)
	case kind == ofHealth:
		e.recallHealth(r)
	default:
		r.fail("a record of another kind")
	}
	if r.err != nil {
		return fmt.Errorf("recalling what was known: %w", r.err)
	}
	return nil
}

func (e *Engine) recallEngine(r *reader) {
	e.now = max(e.now, r.int())
	e.deaf = max(e.deaf, r.int())
	f := flood{on: r.bool(), begun: r.int(), due: r.int(), held: int(r.int()), recent: r.times()}
	if gaps := r.gaps(); len(e.gaps) == 0 {
		e.gaps = gaps[:min(len(gaps), maxGaps)]
	}
	if e.program.flood != nil && r.err == nil {
		f.alarms = e.flood.alarms
		e.flood = f
	}
	if len(r.b) == 0 {
		return // written before links were
	}
	var links []*link
	for range r.count(4) {
		l := e.link(r.text())
		l.told, l.since, l.down = r.bool(), r.int(), r.int()
		links = append(links, l)
	}
	e.away = 0
	for _, l := range e.links {
		if l.down != 0 {
			e.away++
		}
	}
	told := r.bool()
	var to []string
	for range r.count(1) {
		to = append(to, r.text())
	}
	if e.flood.on {
		e.flood.told, e.flood.to = told, to
	}
	e.chores = e.now
	if len(r.b) == 0 {
		return // written before this was
	}
	e.begun, e.absent = r.int(), r.gaps()
	for _, l := range links {
		l.gaps = r.gaps()
	}
	if len(r.b) > 0 { // the same
		e.crowded = r.bool()
	}
	if len(r.b) > 0 { // the same
		w := warmth{born: r.int(), from: r.int(), over: r.bool(), kept: true}
		if w.born != 0 && w.born == e.warm.born {
			e.warm = w // that of another store is of no use
		}
	}
}

func (e *Engine) recallDevice(r *reader) {
	id := r.text()
	labels := map[string]string{}
	for range r.count(2) {
		labels[r.text()] = r.text()
	}
	if r.err != nil || e.program.declared && e.program.devices[id] == nil {
		return
	}
	d := e.device(id)
	if len(labels) > 0 {
		e.label(d, labels, false)
	}
	if name := r.text(); name != "" {
		d.link = e.link(name)
	}
	d.contact, d.newest, d.listening = r.int(), r.int(), r.int()
	e.noteStatus(d, min(Status(r.int()), Sleeping))
	d.presenceAt, d.taught, d.why = r.int(), r.int(), r.text()
	if r.bool() && r.err == nil {
		d.lessons = r.byte()
		g, rest, err := window.DecodeGaps(r.b)
		r.after(rest, err)
		d.gaps, d.learned = &g, r.int()
	}
	if r.bool() && r.err == nil {
		s, rest, err := window.DecodeSkews(r.b)
		r.after(rest, err)
		d.skews = s
	}
	for range r.count(8) {
		e.recallChannel(d, r)
	}
	e.recallAlarms(d.self, r)
	e.recallLate(d, r)
	e.recallExcess(d, r)
	e.recallUsed(d, r)
}

func (e *Engine) recallChannel(d *device, r *reader) {
	name := r.text()
	kind, stamped := Kind(r.byte()), Clock(r.byte())
	kept := channel{device: d, clock: stamped, primed: r.bool()}
	for _, p := range [...]*point{&kept.last, &kept.prev} {
		p.at, p.value = r.int(), r.value()
	}
	kept.judged, kept.at = r.int(), r.int()
	kept.patience, kept.patientAt = r.int(), r.int()
	kept.seen = kept.at != 0 && kept.at >= e.warm.from
	kept.carried = r.float()
	unit := r.text()
	for range r.count(16) {
		kept.holes = append(kept.holes, r.hole())
	}
	m := e.program.metrics[name]
	var c *channel
	if m != nil && m.kind == kind && r.err == nil {
		c = e.bind(d, m, math.MaxInt)
		c.last, c.prev, c.clock, c.primed = kept.last, kept.prev, kept.clock, kept.primed
		c.judged, c.at, c.carried, c.holes = kept.judged, kept.at, kept.carried, kept.holes
		c.patience, c.patientAt, c.seen = kept.patience, kept.patientAt, kept.seen
		if unit != "" {
			conv, ok := convert(unit, m.unit)
			c.foreign = &foreignUnit{unit, conv, ok}
		}
	}
	stored, left := map[int64][]byte{}, map[int64][]mark{}
	for range r.count(3) {
		over := r.int()
		left[over], stored[over] = r.marks(), r.blob()
	}
	if c != nil && r.err == nil {
		for _, s := range c.windows {
			s.left = left[s.over]
			if len(stored) == 0 && c.last.at != 0 && c.metric.kind != Text {
				s.since(c)
			}
			if err := s.recall(stored); err != nil {
				r.err = err
				return
			}
		}
	}
	e.recallAlarms(c, r)
}

// recall takes back what the window held, or else what the next longer one did,
// or the longest there was.
func (s *span) recall(stored map[int64][]byte) error {
	var blob []byte
	for _, over := range slices.Sorted(maps.Keys(stored)) {
		if blob = stored[over]; over >= s.over {
			break
		}
	}
	if blob == nil {
		return nil
	}
	w, _, err := window.Decode(blob)
	if err != nil {
		return err
	}
	w.Need(s.needs)
	if int64(w.Over()) != s.over {
		w.Resize(time.Duration(s.over))
	}
	s.Window = w
	return nil
}

func (e *Engine) recallAlarms(c *channel, r *reader) {
	e.recallEach(r, func(rule *rule) *instance {
		if c == nil {
			return nil
		}
		return c.alarm(rule)
	})
}

// recallGroup takes the alarms of a group back, which may have lost its members.
func (e *Engine) recallGroup(across, value string, r *reader) {
	e.recallEach(r, func(rule *rule) *instance {
		if rule.subject != ofGroup || rule.across != across || rule.disabled {
			return nil
		}
		return e.groupAlarm(rule, value)
	})
}

func (e *Engine) recallEach(r *reader, find func(*rule) *instance) {
	for range r.count(3) {
		id, revision, blob := r.text(), r.text(), r.blob()
		rule := e.program.byID[id]
		if rule == nil {
			rule = e.program.formerly[id]
		}
		if rule == nil || r.err != nil {
			continue
		}
		a := find(rule)
		if a == nil || a.extra == nil {
			continue
		}
		x := &reader{b: blob}
		a.recall(x)
		a.extra.seen = e.warm.kept && len(x.b) > 0 && x.bool()
		if a.rule.revision == revision {
			a.extra.queued = false // it has been looked at
			e.schedule(a)
		}
		if x.err != nil {
			r.err = x.err
		}
	}
}

func (a *instance) recall(r *reader) {
	wake := r.int()
	gauges := make([]gaugeMemory, r.count(8))
	for i := range gauges {
		m := &gauges[i]
		m.run = window.Run{From: r.int(), Low: r.float(), High: r.float()}
		m.value, m.next, m.known, m.at = r.float(), r.float(), r.bool(), r.int()
		if r.bool() && r.err == nil {
			marks, rest, err := window.DecodeMarks(r.b)
			r.after(rest, err)
			m.marks = marks
		}
		if r.bool() && r.err == nil {
			base, rest, err := window.DecodeBaseline(r.b)
			r.after(rest, err)
			m.base = base
		}
	}
	rungs := make([]rungMemory, r.count(2))
	for i := range rungs {
		m := &rungs[i]
		m.was = truth(r.byte())
		if r.bool() && r.err == nil {
			marks, rest, err := window.DecodeMarks(r.b)
			r.after(rest, err)
			m.marks = marks
		}
		for range r.count(2) {
			m.share = append(m.share, stretch{r.int(), truth(r.byte())})
		}
	}
	if r.err != nil || a.extra == nil {
		return
	}
	a.extra.wake = wake
	if len(gauges) == len(a.extra.gauges) {
		for i := range gauges {
			g := &a.rule.gauges[i]
			if gauges[i].marks != nil && g.count != nil {
				gauges[i].marks.Resize(g.count.count)
			}
		}
		a.extra.gauges = gauges
	}
	if len(rungs) == len(a.extra.rungs) {
		for i := range rungs {
			if n := a.rule.rungs[i].repeats; n != nil && rungs[i].marks != nil {
				rungs[i].marks.Resize(n.count)
			}
		}
		a.extra.rungs = rungs
	}
}

// A reader takes a record apart. After the first error it reads nothing but zeros.
type reader struct {
	b   []byte
	err error
}

var errShort = errors.New("it ends too early")

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
