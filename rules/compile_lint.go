package rules

import "slices"

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

// lint warns of what is written and does not do what it seems to.
func (c *compiler) lint(p *Program) {}
