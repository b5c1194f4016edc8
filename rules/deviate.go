package rules

import (
	"time"

	"tocsin/rules/window"
)

// deviate measures a reading by what is normal. The one before has become part of
// that by now, unless an alarm has begun with it or is under way: what is wrong
// for long must not become normal.
func (e *Engine) deviate(a *instance, g *gauge, m *gaugeMemory, v float64, at int64) {
	d := g.deviates
	if m.base == nil {
		m.base = window.NewBaseline(window.BaselineOptions{Span: d.baseline, Slots: d.slots(), MinHistory: d.minHistory})
	}
	if m.at != 0 && a.episode == nil {
		m.base.Add(m.at, d.slot(m.at), m.next)
	}
	m.at, m.next = at, v
	m.value, m.known = m.base.Score(at, d.slot(at), v, d.way())
}

func (d *deviates) way() window.Method {
	switch d.method {
	case "zscore":
		return window.ZScore
	case "baseline":
		return window.Relative
	}
	return window.Mad
}

func (d *deviates) slots() int {
	switch d.season {
	case "hour":
		return 24
	case "weekday":
		return 7
	case "hour_of_week":
		return 7 * 24
	}
	return 1
}

// slot is the season a time belongs to, in UTC.
func (d *deviates) slot(at int64) int {
	hours := at / int64(time.Hour)
	day := (hours/24 + 4) % 7 // 1970 began on a Thursday
	switch d.season {
	case "hour":
		return int(hours % 24)
	case "weekday":
		return int(day)
	case "hour_of_week":
		return int(day*24 + hours%24)
	}
	return 0
}
