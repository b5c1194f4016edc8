package expr

import "slices"

// A count, or a sum, of a stretch that nobody has watched from its beginning is
// what it is at least: see [Value.Partial]. A comparison of one is decided where
// no further reading could change it, and unknown otherwise, so that it neither
// fires nor clears before enough is known. Whether more readings make a number
// greater is read off the tree, when it is compiled.

// counting reports whether the number may be one of those.
func (n *node) counting() bool {
	found := false
	n.walk(func(k *node) {
		found = found || k.op == reference && k.ref.Kind == Window && (k.ref.Func == "count" || k.ref.Func == "sum")
	})
	return found
}

// grows reports whether n can but become greater with what it counts, or stay.
func (n *node) grows() bool {
	if !n.counting() {
		return true
	}
	switch n.op {
	case reference:
		return true
	case add, coalesce:
		return n.kids[0].grows() && n.kids[1].grows()
	case subtract:
		return n.kids[0].grows() && !n.kids[1].counting()
	case multiply:
		return n.kids[0].grows() && n.kids[1].positive() || n.kids[1].grows() && n.kids[0].positive()
	case divide:
		return n.kids[0].grows() && n.kids[1].positive()
	case round:
		return n.kids[0].grows()
	case scale:
		return n.way.apply(1) > n.way.apply(0) && n.kids[0].grows()
	}
	return false
}

func (n *node) positive() bool { return n.op == literal && n.num > 0 }

// partly makes a comparison heed which of the numbers that it counts are partial.
func (g *generator) partly(n *node, whole logic) logic {
	var counted []int
	n.walk(func(k *node) {
		if k.op == reference && k.counting() {
			counted = append(counted, g.slot(k))
		}
	})
	if len(counted) == 0 {
		return whole
	}
	partial := func(s []Value) bool {
		return slices.ContainsFunc(counted, func(i int) bool { return s[i].Partial })
	}
	decided := unknown // the answer that no further reading can change
	var bound logic
	if n.op != in {
		decided, bound = g.bounded(n)
	}
	return func(s []Value) truth {
		if !partial(s) {
			return whole(s)
		}
		if bound != nil && bound(s) == decided {
			return decided
		}
		return unknown
	}
}

// bounded is what is asked of a comparison whose number can only become greater,
// and the answer that stays; nil if there is none that does.
func (g *generator) bounded(n *node) (stays truth, ask logic) {
	left, right, o := n.kids[0], n.kids[1], n.op
	if right.counting() {
		left, right, o = right, left, o.flipped()
	}
	if right.counting() || !left.grows() {
		return unknown, nil
	}
	if o == equal || o == unequal { // what is greater already will not be equal again
		stays, o = truthOf(o == unequal), greater
		a, b := g.number(left), g.number(right)
		return stays, func(s []Value) truth {
			x, ok := a(s)
			y, also := b(s)
			if ok && also && x > y {
				return stays
			}
			return unknown
		}
	}
	return truthOf(o == greater || o == atLeast), g.compared(left, o, right)
}
