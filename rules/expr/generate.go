package expr

import (
	"fmt"
	"math"
	"slices"
)

// truth is three-valued; and is the least of two, or the greatest.
type truth uint8

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// What a node is compiled to, by its type. A number that is ok is neither NaN
// nor infinite.
type (
	logic   = func([]Value) truth
	reckon  = func([]Value) (v float64, ok bool)
	reading = func([]Value) (text string, ok bool)
)

// A generator makes functions of a checked tree.
type generator struct {
	*compiler
	refs []Ref
}

func (c *compiler) generator() *generator { return &generator{compiler: c} }

// slots numbers what the tree asks for.
func (g *generator) slots(root *node) bool {
	root.walk(func(n *node) {
		if n.op != reference {
			return
		}
		n.ref = n.complete()
		if !slices.Contains(g.refs, n.ref) {
			g.refs = append(g.refs, n.ref)
		}
	})
	if len(g.refs) > maxSlots {
		g.fail(root.at, fmt.Sprintf("the expression asks for %d different things, and %d are allowed", len(g.refs), maxSlots), "split it into several rules")
		return false
	}
	return true
}

// complete is the reference with its type and unit.
func (n *node) complete() Ref {
	r := n.ref
	r.Type = n.typ
	if n.typ != Number {
		return r
	}
	m := n.measure().again()
	switch {
	case r.Kind == Attr:
		r.Unit, r.Role = m.name(), m.role
	case m.class == plain:
		r.Unit = m.name()
	}
	return r
}

func (g *generator) slot(n *node) int { return slices.Index(g.refs, n.ref) }

// known reports whether a slot holds a number to reckon with.
func (v *Value) known() bool { return v.Known && v.Num-v.Num == 0 }

func (g *generator) boolean(n *node) logic {
	switch n.op {
	case boolean:
		t := truthOf(n.num != 0)
		return func([]Value) truth { return t }
	case reference:
		i := g.slot(n)
		return func(s []Value) truth {
			if v := &s[i]; v.known() {
				return truthOf(v.Num != 0)
			}
			return unknown
		}
	case not:
		a := g.boolean(n.kids[0])
		return func(s []Value) truth { return yes - a(s) }
	case and:
		a, b := g.boolean(n.kids[0]), g.boolean(n.kids[1])
		return func(s []Value) truth {
			t := a(s)
			if t == no {
				return no
			}
			return min(t, b(s))
		}
	case or:
		a, b := g.boolean(n.kids[0]), g.boolean(n.kids[1])
		return func(s []Value) truth {
			t := a(s)
			if t == yes {
				return yes
			}
			return max(t, b(s))
		}
	case coalesce:
		a, b := g.boolean(n.kids[0]), g.boolean(n.kids[1])
		return func(s []Value) truth {
			if t := a(s); t != unknown {
				return t
			}
			return b(s)
		}
	case matches:
		a, pattern := g.text(n.kids[0]), n.pattern
		return func(s []Value) truth {
			if v, ok := a(s); ok {
				return truthOf(pattern.MatchString(v))
			}
			return unknown
		}
	case in:
		return g.partly(n, g.among(n))
	}
	switch n.kids[0].typ {
	case Bool:
		return g.same(n)
	case Text:
		return g.sameText(n)
	}
	return g.partly(n, g.comparison(n))
}

// same compares two booleans.
func (g *generator) same(n *node) logic {
	a, b, want := g.boolean(n.kids[0]), g.boolean(n.kids[1]), n.op == equal
	return func(s []Value) truth {
		x, y := a(s), b(s)
		if x == unknown || y == unknown {
			return unknown
		}
		return truthOf((x == y) == want)
	}
}

func (g *generator) sameText(n *node) logic {
	a, b, want := g.text(n.kids[0]), g.text(n.kids[1]), n.op == equal
	return func(s []Value) truth {
		x, ok := a(s)
		y, also := b(s)
		if !ok || !also {
			return unknown
		}
		return truthOf((x == y) == want)
	}
}

// among is x in [...].
func (g *generator) among(n *node) logic {
	if n.kids[0].typ == Text {
		var list []string
		for _, k := range n.kids[1:] {
			list = append(list, k.text)
		}
		a := g.text(n.kids[0])
		return func(s []Value) truth {
			if v, ok := a(s); ok {
				return truthOf(slices.Contains(list, v))
			}
			return unknown
		}
	}
	var list []float64
	for _, k := range n.kids[1:] {
		list = append(list, k.num)
	}
	a := g.number(n.kids[0])
	return func(s []Value) truth {
		if v, ok := a(s); ok {
			return truthOf(slices.Contains(list, v))
		}
		return unknown
	}
}

// flipped is the operator that says the same with its operands exchanged.
func (o op) flipped() op {
	switch o {
	case less:
		return greater
	case atMost:
		return atLeast
	case greater:
		return less
	case atLeast:
		return atMost
	}
	return o
}

func (o op) holds(a, b float64) bool {
	switch o {
	case less:
		return a < b
	case atMost:
		return a <= b
	case greater:
		return a > b
	case atLeast:
		return a >= b
	case unequal:
		return a != b
	}
	return a == b
}

// comparison compares two numbers. Most conditions compare a slot with a
// constant, and that is worth a way of its own.
func (g *generator) comparison(n *node) logic {
	left, right, o := n.kids[0], n.kids[1], n.op
	if !left.asks() {
		left, right, o = right, left, o.flipped()
	}
	if left.op == reference && !right.asks() {
		if c, ok := g.number(right)(nil); ok {
			return against(g.slot(left), o, c)
		}
	}
	return g.compared(left, o, right)
}

func (g *generator) compared(left *node, o op, right *node) logic {
	a, b := g.number(left), g.number(right)
	return func(s []Value) truth {
		x, ok := a(s)
		y, also := b(s)
		if !ok || !also {
			return unknown
		}
		return truthOf(o.holds(x, y))
	}
}

// against compares a slot with a constant.
func against(i int, o op, c float64) logic {
	switch o {
	case less:
		return func(s []Value) truth {
			if v := &s[i]; v.known() {
				return truthOf(v.Num < c)
			}
			return unknown
		}
	case atMost:
		return func(s []Value) truth {
			if v := &s[i]; v.known() {
				return truthOf(v.Num <= c)
			}
			return unknown
		}
	case greater:
		return func(s []Value) truth {
			if v := &s[i]; v.known() {
				return truthOf(v.Num > c)
			}
			return unknown
		}
	case atLeast:
		return func(s []Value) truth {
			if v := &s[i]; v.known() {
				return truthOf(v.Num >= c)
			}
			return unknown
		}
	}
	want := o == equal
	return func(s []Value) truth {
		if v := &s[i]; v.known() {
			return truthOf((v.Num == c) == want)
		}
		return unknown
	}
}

func (g *generator) text(n *node) reading {
	switch n.op {
	case literal:
		text := n.text
		return func([]Value) (string, bool) { return text, true }
	case coalesce:
		a, b := g.text(n.kids[0]), g.text(n.kids[1])
		return func(s []Value) (string, bool) {
			if v, ok := a(s); ok {
				return v, true
			}
			return b(s)
		}
	}
	i := g.slot(n)
	return func(s []Value) (string, bool) {
		v := &s[i]
		return v.Text, v.Known && len(v.Text) <= maxText
	}
}

// number makes what gives a number. What asks for nothing is reckoned here.
func (g *generator) number(n *node) reckon {
	if n.op == literal {
		v := n.num
		return func([]Value) (float64, bool) { return v, true }
	}
	if n.op == reference {
		i := g.slot(n)
		return func(s []Value) (float64, bool) {
			v := &s[i]
			return v.Num, v.known()
		}
	}
	run := g.arithmetic(n)
	if n.asks() {
		return run
	}
	v, ok := run(nil)
	if !ok {
		g.fail(n.at, g.says(n.at)+" has no value", "divide by something other than 0, and stay below 1e308")
	}
	return func([]Value) (float64, bool) { return v, ok }
}

func (g *generator) arithmetic(n *node) reckon {
	a := g.number(n.kids[0])
	one := func(f func(float64) float64) reckon {
		return func(s []Value) (float64, bool) {
			v, ok := a(s)
			v = f(v)
			return v, ok && v-v == 0
		}
	}
	switch n.op {
	case negate:
		return one(func(v float64) float64 { return -v })
	case abs:
		return one(math.Abs)
	case round:
		return one(math.Round)
	case scale:
		return one(n.way.apply)
	}
	b := g.number(n.kids[1])
	two := func(f func(x, y float64) float64) reckon {
		return func(s []Value) (float64, bool) {
			x, ok := a(s)
			y, also := b(s)
			v := f(x, y)
			return v, ok && also && v-v == 0
		}
	}
	switch n.op {
	case add:
		return two(func(x, y float64) float64 { return x + y })
	case subtract:
		return two(func(x, y float64) float64 { return x - y })
	case multiply:
		return two(func(x, y float64) float64 { return x * y })
	case divide:
		return two(func(x, y float64) float64 { return x / y })
	}
	return func(s []Value) (float64, bool) { // coalesce
		if v, ok := a(s); ok {
			return v, true
		}
		return b(s)
	}
}
