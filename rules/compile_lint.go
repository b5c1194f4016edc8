package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Only what is certain is warned of here: a reading that would have to be invalid
// is never judged.

// reachable warns of a limit that no valid reading can cross, and of one that
// none can come back from.
func (c *compiler) reachable(path []string, out *condition, m *metric) {
	if m == nil || !m.ranged || out.lo != out.lo || out.hi != out.hi {
		return
	}
	fires, clears := true, true // for some reading within the range
	switch out.op {
	case above:
		fires, clears = m.hi > out.lo, m.lo <= out.lo
	case atLeast:
		fires, clears = m.hi >= out.lo, m.lo < out.lo
	case below:
		fires, clears = m.lo < out.lo, m.hi >= out.lo
	case atMost:
		fires, clears = m.lo <= out.lo, m.hi > out.lo
	case outside:
		fires, clears = m.lo < out.lo || m.hi > out.hi, m.hi >= out.lo && m.lo <= out.hi
	case inside:
		fires, clears = m.hi >= out.lo && m.lo <= out.hi, m.lo < out.lo || m.hi > out.hi
	}
	remedy := "widen range in [metric." + m.name + "] or move the limit"
	switch {
	case !fires:
		c.warn(path, "can never fire: a reading "+out.text+" is outside the range of "+m.name+", and so invalid", remedy)
	case !clears:
		c.warn(path, "fires on every reading: one that is "+out.clearText+" is outside the range of "+m.name+", and so invalid", remedy)
	}
}

// endable warns of an alarm that no valid reading can end.
func (c *compiler) endable(path []string, out *condition, m *metric) {
	clears := true
	switch {
	case m == nil || !m.ranged || !out.hasClear || out.clearLo != out.clearLo || out.clearHi != out.clearHi:
	case out.op.upward():
		clears = m.lo <= out.clearLo
	case out.op.downward():
		clears = m.hi >= out.clearLo
	case out.op == outside:
		clears = m.hi >= out.clearLo && m.lo <= out.clearHi
	case out.op == inside:
		clears = m.lo <= out.clearLo || m.hi >= out.clearHi
	}
	if !clears {
		c.warn(path, "the alarm can never end: a reading "+out.clearText+" is outside the range of "+m.name+", and so invalid",
			"widen range in [metric."+m.name+"] or move clear")
	}
}

// possible warns of values that no valid reading has.
func (c *compiler) possible(path []string, out *condition, m *metric) {
	never := func(v value) bool {
		switch m.kind {
		case Number:
			return m.ranged && (v.num < m.lo || v.num > m.hi) || m.jump == 0 && slices.Contains(m.codes, v.num)
		case Text:
			return len(v.text) > maxText
		}
		return false
	}
	for _, v := range out.values {
		if out.op != isNot && never(v) {
			c.warn(path, "can never fire for "+m.show(v)+": such a reading of "+m.name+" is invalid, and not judged",
				"name another value, or change range and invalid in [metric."+m.name+"]")
		}
	}
}

// maxLinted bounds how many devices of a rule are looked at for a warning.
const maxLinted = 1000

// lintRule warns of what is written in one rule and does not do what it seems to.
func (c *compiler) lintRule(r *rule, def *RuleDef) {
	path := []string{"rule", r.id}
	var slowest *DeviceDef
	slow, matched := "", 0
	for id, d := range c.declared(r) {
		if matched++; matched > maxLinted {
			break
		}
		if d.Every != nil && (slowest == nil || *d.Every > *slowest.Every) {
			slowest, slow = d, id
		}
	}
	if matched == 0 {
		c.nobody(join(path, "devices"), def.Devices)
	}
	if slowest != nil {
		c.interval(path, r, slow, time.Duration(*slowest.Every))
	}
	if cal := r.calendar; cal != nil {
		if open, until := cal.open(0); !open && until == 0 {
			c.warn(join(path, "schedule"), "is never open, so that nobody is ever told", "give [schedule."+cal.name+"] other hours, or remove schedule")
		}
	}
	if r.latch && r.rungs[len(r.rungs)-1].severity == Info {
		c.warn(join(path, "latch"), "an alarm of severity info stays until somebody acknowledges it", "give the rule a higher severity, or remove latch", join(path, "severity"), []string{"defaults", "severity"})
	}
}

// nobody warns of a scope that selects no declared device, where that can be no
// intention: a glob or an id may be of devices that nobody declares.
func (c *compiler) nobody(at []string, s Scope) {
	if len(c.file.Device) == 0 {
		return
	}
	for _, pattern := range s {
		if _, group := strings.CutPrefix(pattern, "group:"); group {
			c.warn(at, strconv.Quote(pattern)+" selects no declared device", "declare one as [device.NAME], or correct match in the group", []string{"device"})
		}
	}
	if ids, ok := s.ids(); ok {
		for _, id := range ids {
			if n := c.devices.names.nearest(id); n != "" && c.scopeMeant(id) == "" {
				c.warn(at, "selects no declared device", "did you mean "+strconv.Quote(n)+"?", []string{"device", id})
			}
		}
	}
}

// interval warns of what goes by readings that a declared device does not send
// often enough.
func (c *compiler) interval(path []string, r *rule, id string, every time.Duration) {
	for i := range r.rungs {
		g := &r.rungs[i]
		at := path
		if _, level := r.def.Level[g.severity.String()]; level {
			at = join(path, "level", g.severity.String())
		}
		gauge := &r.gauges[g.gauge]
		reads := gauge.source <= deviation || gauge.source == expression
		if reads && g.hold > 0 && g.hold < every && g.samples == 1 && g.repeats == nil {
			c.warn(join(at, "for"), fmt.Sprintf("for (%s) is shorter than the interval of %s (%s), so that one reading decides", written(g.hold), id, written(every)),
				"write a longer for, or samples = 2 for that many readings in a row", []string{"device", id, "every"})
		}
		if gauge.minSamples > 1 && gauge.over > 0 && int(gauge.over/every)+1 < gauge.minSamples {
			c.warn(join(at, "min_samples"), fmt.Sprintf("a window of %s holds %d readings of %s (every %s), and min_samples is %d: it is never known", written(gauge.over), int(gauge.over/every)+1, id, written(every), gauge.minSamples),
				"write a longer over, or fewer min_samples", []string{"device", id, "every"})
		}
		if gauge.source == silence && gauge.silent > 0 && gauge.silent <= every {
			c.warn(join(at, "silent"), fmt.Sprintf("silent (%s) is no longer than the interval of %s (%s)", written(gauge.silent), id, written(every)),
				"write a longer one, or \"auto\" for three intervals", []string{"device", id, "every"})
		}
	}
	for _, k := range []struct {
		key   string
		value time.Duration
	}{{"stale_after", r.staleAfter}, {"fresh", r.fresh}} {
		if k.value > 0 && k.value < every {
			c.warn(join(path, k.key), fmt.Sprintf("%s (%s) is shorter than the interval of %s (%s), so that its readings are unknown in between", k.key, written(k.value), id, written(every)),
				"write a longer one", []string{"device", id, "every"})
		}
	}
}

// byLabel reports whether labels decide what the rule looks at: those of a device
// that is not declared come with its readings.
func (r *rule) byLabel() bool {
	return slices.ContainsFunc(r.devices.scope, func(pattern string) bool {
		kind, _, _ := strings.Cut(pattern, ":")
		return kind == "label" || kind == "group"
	})
}

// unused warns of an override that applies to nothing.
func (c *compiler) unused(r *rule, o *override) {
	at := []string{"rule", r.id, "override", o.key}
	if o.rank == len(ranks) {
		def := c.file.Device[o.key]
		switch n := c.devices.names.nearest(o.key); {
		case !r.applies(o.key, def) && (def != nil || !r.byLabel()):
			c.warn(at, "is never used: the rule does not look at "+o.key, "add it to devices, or remove the override", []string{"device", o.key})
		case def == nil && n != "":
			c.warn(at, "is of a device that is not declared", "did you mean "+strconv.Quote(n)+"?", []string{"device", o.key})
		}
		return
	}
	if len(c.file.Device) == 0 || ranks[o.rank] == "label" || !c.selects(o.key) {
		return // a topic may give a label; a type that nobody has, has been warned of
	}
	for id, def := range c.devices.candidates(o.matches) {
		if o.matches.matches(id, def) && r.applies(id, def) {
			return
		}
	}
	c.warn(at, "is never used: no declared device that the rule looks at is of it", "correct the key, or remove the override", []string{"device"})
}

// lint warns of two rules that ask the same.
func (c *compiler) lint(p *Program) {
	if c.errors > 0 {
		return
	}
	asked := map[string]string{}
	for _, r := range p.rules {
		if r.disabled || r.forward {
			continue
		}
		c.revise(r)
		if other, ok := asked[r.logic]; ok {
			c.warn([]string{"rule", r.id}, "asks the same of the same devices as rule "+strconv.Quote(other), "keep one of them; another severity is a level, and other receivers belong to its notify")
			continue
		}
		asked[r.logic] = r.id
	}
}
