package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
)

// key is equal for gauges that measure the same.
func (g *gauge) key() string {
	s := fmt.Sprintf("%d %d %s %v %d %v %v %d", g.source, g.over, g.fn, g.quantile, g.minSamples, g.per, g.within, g.silent)
	if g.metric != nil {
		s += fmt.Sprintf(" metric %q", g.metric.name)
	}
	if g.deviates != nil {
		s += fmt.Sprintf(" deviates %v", *g.deviates)
	}
	if ch := g.change; ch != nil {
		s += fmt.Sprintf(" change %v %v %v", ch.any, ch.by, ch.hold)
		if ch.moment != nil {
			s += fmt.Sprintf(" moment %q", ch.moment.text)
		}
		for _, v := range []*value{ch.from, ch.to} {
			if v == nil {
				s += " -"
			} else {
				s += fmt.Sprintf(" %v %q", v.num, v.text)
			}
		}
	}
	if g.count != nil {
		s += fmt.Sprintf(" count %v", *g.count)
	}
	if g.when != nil {
		s += fmt.Sprintf(" when %q", g.when.String())
	}
	return s
}

// revise names what the rule decides (logic), what it says of it and to whom
// (says), and the two under its id (revision): equal names mean that nothing
// changed. The line it is written on
// is no part of either, nor is the index it has among others.
func (c *compiler) revise(r *rule) {
	h := sha256.New()
	c.decides(h, r)
	r.logic = sum(h)
	h.Reset()
	fmt.Fprintf(h, "%v %q %q", r.title, r.runbook, fmt.Sprint(r.labels))
	for i := range r.rungs {
		g := &r.rungs[i]
		fmt.Fprintf(h, "\n%s %q %q %q %q", g.severity, g.notify, g.sentence, g.clearText, g.threshold)
	}
	for _, e := range r.escalation {
		fmt.Fprintf(h, "\nescalate %q %s %q", e.name, e.severity, e.notify)
	}
	for _, o := range r.overrides {
		fmt.Fprintf(h, "\noverride %q %s %q", o.key, o.def.Severity, o.def.Notify)
		for _, level := range slices.Sorted(maps.Keys(o.def.Level)) {
			fmt.Fprintf(h, " %s %q", level, o.def.Level[level].Notify)
		}
	}
	r.says = sum(h)
	h.Reset()
	fmt.Fprintf(h, "%q %s %s %s", r.id, r.variant, r.logic, r.says)
	r.revision = sum(h)
}

func sum(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)[:8]) }

func (c *compiler) decides(w io.Writer, r *rule) {
	for _, s := range []selector{r.devices, r.except} {
		fmt.Fprintf(w, "%q %v\n", s.scope, s.groups)
	}
	for i := range r.gauges {
		g := &r.gauges[i]
		fmt.Fprintf(w, "gauge %s\n", g.key())
		g.metric.describe(w)
		for _, ref := range g.refs {
			ref.metric.describe(w)
		}
	}
	for i := range r.rungs {
		g := &r.rungs[i]
		fmt.Fprintf(w, "rung %d %d %d %v %v %v %v %v %v %v", g.kind, g.op, g.gauge, g.clearGauge, g.lo, g.hi, g.hasClear, g.clearLo, g.clearHi, g.values)
		if g.clearIs != nil {
			fmt.Fprintf(w, " clear %v %q", g.clearIs.num, g.clearIs.text)
		}
		if g.pattern != nil {
			fmt.Fprintf(w, " matches %q", g.pattern)
		}
		fmt.Fprintf(w, " %d %v %d %d %d", g.hold, g.share, g.clearHold, g.samples, g.clearSamples)
		if g.repeats != nil {
			fmt.Fprintf(w, " repeats %v", *g.repeats)
		}
		fmt.Fprintln(w)
	}
	c.behaves(w, r)
	for _, o := range r.overrides {
		def := *o.def
		def.Severity, def.Notify, def.Level = Unset, nil, maps.Clone(def.Level)
		for name, level := range def.Level {
			silent := *level
			silent.Notify = nil
			def.Level[name] = &silent
		}
		b, _ := json.Marshal(def) // numbers have been checked, and nothing else can fail
		fmt.Fprintf(w, "override %q %v %s\n", o.key, o.matches.groups, b)
	}
}

func (c *compiler) behaves(w io.Writer, r *rule) {
	b := &r.behaviour
	fmt.Fprintf(w, "%d %v %d %d %v %q %d %v %d %v %v %v %v\n", b.cooldown, b.renotify, b.noData, b.staleAfter, b.latch, b.unless, b.unlessWhen, b.explained, b.retained, b.backfill, b.shadow, b.forward, b.disabled)
	for _, i := range b.suppressIf {
		fmt.Fprintf(w, "suppress_if %q\n", c.ids[i])
	}
	if cal := b.calendar; cal != nil {
		s, _ := json.Marshal(c.file.Schedule[cal.name])
		fmt.Fprintf(w, "schedule %q %v %v %s %s\n", cal.name, cal.not, cal.off, s, c.file.Defaults.Timezone)
	}
	for _, e := range b.escalation {
		fmt.Fprintf(w, "escalate %q %d %v\n", e.name, e.after, e.always)
	}
	if b.flap != nil {
		fmt.Fprintf(w, "flap %v\n", *b.flap)
	}
	fmt.Fprintf(w, "across %q %q %v %v %d\n", r.across, r.reduce, r.quorum, r.quorumShare, r.fresh)
}

// describe writes what decides how a reading is judged.
func (m *metric) describe(w io.Writer) {
	if m == nil {
		return
	}
	text := m.described
	if text == "" {
		text = m.description()
	}
	_, _ = io.WriteString(w, text) // a hash takes everything
}

func (m *metric) description() string {
	return fmt.Sprintf("metric %q %d %q %v %v %v %v %v %q %q %v %v\n", m.name, m.kind, m.unit, m.ranged, m.lo, m.hi, m.codes, m.jump, m.trueIs, m.notIs, m.event, m.counter)
}
