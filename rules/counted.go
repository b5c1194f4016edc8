package rules

import (
	"math"
	"slices"

	"tocsin/rules/window"
)

// counted turns what a rung's condition says now into what it says of a stretch
// of time: how often it came true, or for which share.
func (e *Engine) counted(a *instance, i int, j *judgement, fires, clears truth) (truth, truth) {
	g, m := &a.rule.rungs[i], &a.extra.rungs[i]
	if g.repeats != nil {
		if m.marks == nil {
			m.marks = window.NewMarks(g.repeats.count)
		}
		again := a.channel.metric != nil && a.channel.metric.event
		if a.rule.gauges[g.gauge].source == changed { // each change counts, and not how long it is held
			again = len(a.extra.gauges) > 0 && a.extra.gauges[g.gauge].at == j.at
		}
		if fires == yes && j.sample && (m.was != yes || again) {
			m.marks.Add(j.at)
		}
		if fires != unknown {
			m.was = fires
		}
		at := max(j.at-e.now+e.gone(), a.channel.last.at) // it may come true once more at this moment
		n := m.marks.Within(at, g.repeats.within)
		if n >= g.repeats.count {
			a.extra.wake = sooner(a.extra.wake, a.channel.ours(m.marks.Oldest()+int64(g.repeats.within)))
		}
		often := truthOf(n >= g.repeats.count)
		return often, truthOf(often == no)
	}
	if g.share > 0 {
		fires = e.shared(a, g, m, j, fires)
	}
	return fires, clears
}

// maxStretches bounds what is remembered of a condition that comes and goes.
const maxStretches = 256

// shared is whether a condition holds, and has held for its share of the time in
// for. What does not hold now starts no alarm, whatever it did before.
func (e *Engine) shared(a *instance, g *rung, m *rungMemory, j *judgement, fires truth) truth {
	begin := j.at - int64(g.hold)
	if n := len(m.share); n == 0 || m.share[n-1].held != fires {
		m.share = append(m.share, stretch{j.at, fires})
	}
	for len(m.share) > 1 && (m.share[1].at <= begin || len(m.share) > maxStretches) {
		m.share = slices.Delete(m.share, 0, 1)
	}
	if len(m.share) == 1 && m.share[0].held != yes {
		return truthOf(false)
	}
	held, seen := int64(0), int64(0)
	for k, s := range m.share {
		from, to := max(s.at, begin), j.at
		if k+1 < len(m.share) {
			to = m.share[k+1].at
		}
		seen += max(0, to-from)
		if s.held == yes {
			held += max(0, to-from)
		}
	}
	if fires != yes { // or an alarm that has cleared would be back at once
		return fires
	}
	if due := m.shareDue(g); due > j.at {
		a.extra.wake = sooner(a.extra.wake, e.now+due-j.at)
	}
	return truthOf(seen >= int64(g.hold) && float64(held) >= g.share*float64(g.hold))
}

// shareDue is when a condition that goes on to hold will have held for its share
// of the time, in event time.
func (m *rungMemory) shareDue(g *rung) int64 {
	hold := int64(g.hold)
	spare := hold - int64(math.Ceil(g.share*float64(hold))) // for which it may not have held
	for k := len(m.share) - 2; k >= 0; k-- {
		if m.share[k].held == yes {
			continue
		}
		end := m.share[k+1].at
		if spent := end - m.share[k].at; spent > spare {
			return end - spare + hold
		} else {
			spare -= spent
		}
	}
	return m.share[0].at + hold
}

// A rungMemory is what a rung remembers from look to look.
type rungMemory struct {
	marks *window.Marks // repeats: when the condition came true, in event time
	was   truth
	share []stretch // for_share: how the condition stood, in event time
}

// A stretch is a stretch of time that begins at at and ends where the next begins.
type stretch struct {
	at   int64
	held truth
}
