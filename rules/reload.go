package rules

import (
	"iter"
	"maps"
	"slices"
	"time"
)

// Reload makes the engine judge by another program from now on. What has not
// changed goes on untouched; what the change decides at once is in out. Two
// programs of the same files change nothing and say nothing.
//
// It is a restart that takes no time: everything the engine knows is written
// down, and taken back by an engine of the new program. What windows lack that were
// not there before is taken from past; nil leaves them to grow.
func (e *Engine) Reload(p *Program, now time.Time, past *Past, out *Output) {
	e.Step(Input{Now: now}, out) // what is due is due by the old rules
	fresh := NewEngine(p, e.options)
	fresh.now, fresh.deaf, fresh.gaps = e.now, e.deaf, slices.Clone(e.gaps)
	fresh.links, fresh.away = e.links, e.away
	for _, d := range e.devices {
		for _, c := range d.all() {
			fresh.mark = max(fresh.mark, c.mark)
		}
	}
	fresh.mark = max(fresh.mark, e.mark)
	var broken int
	for record := range e.Memory() {
		if err := fresh.Recall(record); err != nil {
			broken++ // written a moment ago: it cannot be
		}
	}
	if broken > 0 {
		out.Problems = append(out.Problems, "memory")
	}
	fresh.Fill(past)
	for s := range e.States() {
		fresh.Restore(s)
	}
	for s := range e.Orphans() {
		if fresh.program.byID[s.Rule] != nil || len(s.Told) == 0 {
			fresh.Restore(s)
		}
	}
	fresh.recheckChanged(e.program)
	fresh.markAll()
	*e = *fresh
	e.Step(Input{Now: now}, out)
}

// recheckChanged has the alarms judged that have only rested, and whose rule is not
// what it was: what holds now may be true of the newest reading. The others are where
// Restore put them.
func (e *Engine) recheckChanged(old *Program) {
	for _, d := range e.sortedDevices() {
		for _, c := range d.all() {
			for _, a := range c.alarms {
				was := old.byID[a.rule.id]
				if !a.stored && (was == nil || was.revision != e.program.rules[a.rule.index].revision) {
					e.recheck = append(e.recheck, a)
				}
			}
		}
	}
}

// markAll gives every channel the engine's mark.
func (e *Engine) markAll() {
	for _, d := range e.sortedDevices() {
		for _, c := range d.all() {
			c.mark = max(c.mark, e.mark)
		}
	}
}

// sortedMap yields a map's pairs by ascending key.
func sortedMap[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
