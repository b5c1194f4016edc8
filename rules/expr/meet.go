package expr

import (
	"math"
	"slices"
)

// A stretch is what an expression asks of one number: whether it lies on this or that
// side of some bounds.
type stretch struct {
	subject string // as it is spelt
	bounds  []float64
	lo, hi  float64 // where the number can lie
	whole   bool    // it is an integer
}

// stretch is nil for an expression that asks anything else.
func (n *node) stretch() *stretch {
	s := &stretch{lo: math.Inf(-1), hi: math.Inf(1)}
	if !n.bounds(s) || len(s.bounds) == 0 {
		return nil
	}
	slices.Sort(s.bounds)
	s.bounds = slices.Compact(s.bounds)
	return s
}

// bounds collects what n compares its number with; false where it does something else.
func (n *node) bounds(s *stretch) bool {
	switch {
	case n.op == and || n.op == or || n.op == not:
		return !slices.ContainsFunc(n.kids, func(k *node) bool { return !k.bounds(s) })
	case !n.op.compares() && n.op != in:
		return false
	}
	for _, k := range n.kids {
		switch {
		case k.typ != Number:
			return false
		case k.op == literal:
			s.bounds = append(s.bounds, k.num)
		case k.op == reference && k.ref.Kind != Attr:
			s.subject = spell(k, 0)
			if lo, hi, ok := k.domain(); ok {
				s.lo, s.hi = lo, hi
			}
			switch k.ref.Kind {
			case Count, Hour, Weekday:
				s.whole = true
			case Window:
				s.whole = k.ref.Func == "count"
			}
		default:
			return false
		}
	}
	return true
}

// A Meeting is a number for which two expressions are both true.
type Meeting struct {
	Subject string // what is Value
	Value   float64
}

// Meet finds a stretch of numbers for which p and q are both true, where both ask for
// one and the same number and nothing else; false where there is none, or where it is
// not known. That they meet in a single number counts as none: x <= 5 and x >= 5.
func (p *Program) Meet(q *Program) (Meeting, bool) {
	a, b := p.stretch, q.stretch
	if a == nil || b == nil || len(p.refs) != 1 || !slices.Equal(p.refs, q.refs) {
		return Meeting{}, false
	}
	bounds := slices.Concat(a.bounds, b.bounds)
	slices.Sort(bounds)
	inside := []float64{bounds[0] - 1, bounds[len(bounds)-1] + 1}
	for i, v := range bounds[1:] {
		middle := bounds[i] + (v-bounds[i])/2
		if a.whole {
			middle = math.Floor(middle)
		}
		if bounds[i] < middle && middle < v {
			inside = append(inside, middle)
		}
	}
	slices.Reverse(inside) // those between bounds say more
	for _, v := range inside {
		slot := []Value{{Num: v, Known: true}}
		if v >= a.lo && v <= a.hi && p.run(slot) == yes && q.run(slot) == yes {
			return Meeting{a.subject, v}, true
		}
	}
	return Meeting{}, false
}
