package rules

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"tocsin/rules/window"
)

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
	if d.self == nil {
		d.self = &channel{device: d}
	}
	e.recallAlarms(d.self, r)
	if len(d.self.alarms) == 0 {
		d.self = nil
	}
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
		c.trailing = c.trails()
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
		for _, over := range slices.Sorted(maps.Keys(stored)) { // labels may select a rule again that asks for it
			if n, asked := e.program.windows[m.name][over]; asked {
				c.need(over, n)
			}
		}
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
	e.recallEach(r, func(rule *rule, revision string) *instance {
		if c == nil {
			return nil
		}
		a := c.alarm(rule)
		if mine := rule.subject == ofMetric && rule.metric == c.metric || rule.subject == ofDevice && c.metric == nil; a != nil || !mine {
			return a
		}
		d := c.device
		if v := e.variant(rule, d); v.revision == revision && rule.mayApply(d.id, e.program.devices[d.id]) { // labels that it had have selected it
			return e.keepAlarm(c, rule, v)
		}
		return nil
	})
}

// recallGroup takes the alarms of a group back, which may have lost its members.
func (e *Engine) recallGroup(across, value string, r *reader) {
	e.recallEach(r, func(rule *rule, _ string) *instance {
		if rule.subject != ofGroup || rule.across != across || rule.disabled {
			return nil
		}
		return e.groupAlarm(rule, value)
	})
}

func (e *Engine) recallEach(r *reader, find func(r *rule, revision string) *instance) {
	for range r.count(3) {
		id, revision, blob := r.text(), r.text(), r.blob()
		rule := e.program.byID[id]
		if rule == nil {
			rule = e.program.formerly[id]
		}
		if rule == nil || r.err != nil {
			continue
		}
		a := find(rule, revision)
		if a == nil || a.extra == nil {
			continue
		}
		x := &reader{b: blob}
		a.recall(x)
		a.extra.seen = e.warm.kept && len(x.b) > 0 && x.bool()
		if a.rule.revision == revision {
			a.extra.queued, a.extra.sampled, a.extra.nudged = false, false, false // it has been looked at
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
