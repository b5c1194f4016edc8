package sim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/firmware-sim/formula"
)

// A plan is what all devices of a model have in common: which signal is taken
// before which.
type plan struct {
	names  []string // of the signals, sorted
	order  []int
	follow []int   // the signal that each follows; -1: none
	like   []int   // whose noise each shares; -1: none
	inputs [][]int // of each one's formula
}

// newPlan reads formulas and orders signals; wrong tells of a mistake under a key
// of a signal.
func newPlan(m *Model, wrong func(signal, key, format string, args ...any)) *plan {
	p := &plan{names: slices.Sorted(maps.Keys(m.Signals))}
	find := func(signal, key, other string) int {
		i := slices.Index(p.names, other)
		if i < 0 || other == signal {
			wrong(signal, key, "there is no other signal %q (of this model: %s)", other, strings.Join(p.names, ", "))
			return -1
		}
		return i
	}
	for _, name := range p.names {
		s := m.Signals[name]
		follow, like, inputs := -1, -1, []int(nil)
		if s.Follow != nil {
			follow = find(name, "follow", s.Follow.Signal)
		}
		if s.Like != nil {
			like = find(name, "like", s.Like.Signal)
		}
		if s.Formula != "" {
			parsed, err := formula.Parse(s.Formula)
			if err != nil {
				wrong(name, "formula", "%v", err)
			} else {
				s.arithmetic = parsed
				for _, other := range parsed.Names {
					inputs = append(inputs, find(name, "formula", other))
				}
			}
		}
		p.follow, p.like, p.inputs = append(p.follow, follow), append(p.like, like), append(p.inputs, inputs)
	}
	p.sort(wrong)
	return p
}

// sort puts each signal behind those that it takes something from.
func (p *plan) sort(wrong func(signal, key, format string, args ...any)) {
	const unseen, open, done = 0, 1, 2
	state := make([]int, len(p.names))
	var visit func(i int, path []string)
	visit = func(i int, path []string) {
		if i < 0 || state[i] == done {
			return
		}
		path = append(slices.Clone(path), p.names[i])
		if state[i] == open {
			wrong(p.names[i], "", "signals go round in a circle: %s (let one of them stand alone)", strings.Join(path, ", "))
			return
		}
		state[i] = open
		for _, other := range append([]int{p.follow[i], p.like[i]}, p.inputs[i]...) {
			visit(other, path)
		}
		state[i] = done
		p.order = append(p.order, i)
	}
	for i := range p.names {
		if state[i] == unseen {
			visit(i, nil)
		}
	}
}

// read sets what is there, in the order of the plan.
func (d *device) read(t time.Duration) {
	p := d.model.plan
	drain := d.drained(t)
	for _, i := range p.order {
		b := beside{drain: drain}
		if f := p.follow[i]; f >= 0 {
			b.leader = d.values[f]
		}
		if l := p.like[i]; l >= 0 {
			b.drawn = d.sources[l].drawn
		}
		if inputs := p.inputs[i]; len(inputs) > 0 {
			b.inputs = make([]float64, len(inputs))
			for k, other := range inputs {
				b.inputs[k] = d.values[other]
			}
		}
		d.values[i] = d.sources[i].at(t, d.every, b)
	}
}

// drained is how much older than its time the battery is.
func (d *device) drained(t time.Duration) time.Duration {
	more := 0.0
	for _, f := range d.faults {
		if f.Kind == "drain" {
			more += (f.Factor - 1) * float64(f.lasted(t))
		}
	}
	return time.Duration(more)
}
