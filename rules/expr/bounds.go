package expr

import "slices"

// Bounds are the numbers that an expression compares the slot with, ascending: while
// the slot's number is at none of them, and passes none, nothing that p comes to
// changes by it. It is false where p does anything else with the number.
func (p *Program) Bounds(slot int) ([]float64, bool) {
	b := &p.bounds[slot]
	return b.at, !b.open
}

// bounds is what is compared with one slot.
type bounds struct {
	at   []float64
	open bool // and what else is made of it nobody can say
}

// boundsOf finds the bounds of each slot. Only of ages anybody asks.
func (g *generator) boundsOf(root *node) []bounds {
	all := make([]bounds, len(g.refs))
	var visit func(n *node)
	visit = func(n *node) {
		direct := (n.op.compares() || n.op == in) && !slices.ContainsFunc(n.kids, func(k *node) bool {
			return k.op != literal && k.op != reference
		})
		refs := 0
		for _, k := range n.kids {
			if k.op == reference {
				refs++
			}
		}
		for _, k := range n.kids {
			if k.op != reference {
				visit(k)
				continue
			}
			b := &all[g.slot(k)]
			b.open = b.open || !direct || refs > 1
			for _, other := range n.kids {
				if other.op == literal {
					b.at = append(b.at, other.num)
				}
			}
		}
	}
	visit(&node{op: not, kids: []*node{root}})
	for i := range all {
		slices.Sort(all[i].at)
		all[i].at = slices.Compact(all[i].at)
	}
	return all
}
