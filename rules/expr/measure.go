package expr

import (
	"fmt"
	"math"
)

// A measure is what a number measures.
type measure struct {
	class   class
	unit    string // of class plain; "" is whatever it is compared with
	rate    bool   // it is per second
	role    Role
	subject *subject // that takes its unit from what it is compared with
}

type class uint8

const (
	plain    class = iota
	constant       // a number without a unit, as written
	bare           // a count or an hour, which no unit fits
	ratio          // 0 to 1 of a metric that is true or false
	product        // a unit that has no name, such as V times A
	weekday        // 0 to 6, or "sun" to "sat"
)

// name is the unit as texts show it.
func (m measure) name() string {
	switch {
	case m.class == ratio:
		return "%"
	case m.rate:
		return m.unit + "/s"
	}
	return m.unit
}

// measured describes m in a sentence.
func (m measure) measured() string {
	switch {
	case m.class == plain && m.name() != "":
		return "is in " + m.name()
	case m.class == ratio:
		return "is a share between 0 and 1"
	}
	return "has no unit"
}

// A mapping takes a number to another unit. Shifted says that zero is not zero
// in both, as with °C and °F.
type mapping struct {
	mul, div, shift float64
	shifted         bool
}

func (m *mapping) apply(v float64) float64 {
	v = v*m.mul/m.div + m.shift
	if m.shifted {
		return tidy(v)
	}
	return v
}

// difference is m for the difference of two numbers.
func (m *mapping) difference() *mapping {
	return &mapping{mul: m.mul, div: m.div, shifted: m.shifted}
}

// tidy removes the dust that shifting by 273.15 leaves in the last digits:
// dust must not decide on which side of a limit a reading lies.
func tidy(v float64) float64 {
	if r := math.Round(v*1e9) / 1e9; r-r == 0 {
		return r
	}
	return v
}

func (c *compiler) convert(v float64, from, to string) (float64, bool) {
	if from == to || from == "" || to == "" {
		return v, true
	}
	if c.scope.Convert == nil {
		return 0, false
	}
	out, ok := c.scope.Convert(v, from, to)
	return out, ok && out-out == 0
}

// mapping is the way from one unit to another.
func (c *compiler) mapping(from, to string) (*mapping, bool) {
	same := &mapping{mul: 1, div: 1}
	if from == to || from == "" || to == "" {
		return same, true
	}
	zero, ok := c.convert(0, from, to)
	if !ok {
		return nil, false
	}
	one, _ := c.convert(1, from, to)
	back, ok := c.convert(1, to, from)
	if !ok {
		return nil, false
	}
	if zero == 0 {
		if one >= 1 || back == 0 {
			return &mapping{mul: one, div: 1}, true
		}
		return &mapping{mul: 1, div: back}, true // 1/1000 is not exact, 1000 is
	}
	// From far away, so that the rounding of a shift weighs nothing.
	const far = 1e6
	there, _ := c.convert(far, from, to)
	return &mapping{mul: there - zero, div: far, shift: zero, shifted: true}, true
}

// measure finds what the number n measures, converts what is below it to one
// unit, and reports what cannot be.
func (c *compiler) measure(n *node) (measure, bool) {
	switch n.op {
	case literal:
		return c.literal(n)
	case reference:
		return n.measure(), true
	case negate, abs, round:
		m, ok := c.measure(n.kids[0])
		if n.op != round && m.role == Absolute {
			m.role = Either
		}
		return m.computed(), ok
	case multiply, divide:
		return c.multiply(n)
	case in:
		m, ok := c.measure(n.kids[0])
		for _, k := range n.kids[1:] {
			ok = ok && c.adapt(k, n.kids[0], m, m.role)
		}
		return measure{}, ok
	}
	a, ok := c.measure(n.kids[0])
	b, also := c.measure(n.kids[1])
	if !ok || !also {
		return measure{}, false
	}
	return c.meet(n, a, b)
}

// computed is m of something that has been reckoned with.
func (m measure) computed() measure {
	if m.class == weekday {
		m.class = bare
	}
	return m
}

// measure is what a reference's slot measures.
func (n *node) measure() measure {
	switch n.ref.Kind {
	case Age:
		return measure{unit: "s"}
	case Share:
		return measure{unit: "%"}
	case Count, Hour:
		return measure{class: bare}
	case Weekday:
		return measure{class: weekday}
	case Attr:
		s := n.subject
		return measure{unit: s.unit, rate: s.rate, role: s.role, subject: s}
	case Window:
		switch n.ref.Func {
		case "count":
			return measure{class: bare}
		case "stddev", "spread", "delta", "rate":
			if n.subject.typ != Bool {
				return measure{unit: n.subject.unit, rate: n.ref.Func == "rate", role: Difference, subject: n.subject}
			}
		case "sum":
			if n.subject.typ == Bool {
				return measure{class: bare}
			}
		}
		if n.subject.typ == Bool {
			return measure{class: ratio}
		}
	}
	return measure{unit: n.subject.unit, subject: n.subject}
}

// meet brings two operands of n to one unit.
func (c *compiler) meet(n *node, a, b measure) (measure, bool) {
	left, right := n.kids[0], n.kids[1]
	sum := n.op == add || n.op == subtract
	as := func(m measure) Role {
		if sum && m.role == Absolute {
			return Either // temperature - 5 °F: to five degrees, or by five degrees?
		}
		return m.role
	}
	ok, m := true, a
	switch {
	case right.op == literal && (left.op != literal || a.class != constant):
		ok = c.adapt(right, left, a, as(a))
		b.role = Either
	case left.op == literal:
		ok = c.adapt(left, right, b, as(b))
		m, a.role = b, Either
	default:
		m, ok = c.align(n, a, b)
	}
	m = m.again()
	if sum {
		m.role = combined(n.op, a, b)
	}
	return m.computed(), ok
}

// combined is what the sum or difference of two numbers is.
func combined(o op, a, b measure) Role {
	switch {
	case a.role == Either || b.role == Either || a.class != plain || b.class != plain:
		return Either
	case a.role == Difference && b.role == Difference:
		return Difference
	case o == subtract && a.role == Absolute && b.role == Absolute:
		return Difference
	case b.role == Difference || o == add && a.role == Difference:
		return Absolute
	}
	return Either
}

// align brings two operands that are no literals to the unit of the first.
func (c *compiler) align(n *node, a, b measure) (measure, bool) {
	left, right := n.kids[0], n.kids[1]
	if b.wants() && !a.wants() {
		b.adopt(a)
	} else if a.wants() {
		a.adopt(b)
	}
	a, b = a.again(), b.again()
	switch {
	case a.class == constant:
		return b, true
	case b.class == constant, a.class == product || b.class == product:
		return a, true
	case a.class == ratio && b.class == plain && b.unit != "":
		return a, c.percent(n, 1, b)
	case b.class == ratio && a.class == plain && a.unit != "":
		return b, c.percent(n, 0, a)
	}
	if a.class == plain && b.class == plain && a.rate == b.rate {
		way, ok := c.mapping(b.unit, a.unit)
		switch {
		case !ok:
		case way.mul == way.div && !way.shifted:
			return a, true
		case way.shifted && (a.role != b.role || a.role == Either):
			c.ambiguous(n.at, a.unit, b.unit)
			return a, false
		default:
			if a.role == Difference {
				way = way.difference()
			}
			n.kids[1] = &node{op: scale, at: right.at, kids: []*node{right}, typ: Number, way: way}
			return a, true
		}
	} else if a.unit == "" && b.unit == "" && !a.rate && !b.rate {
		return a, true
	}
	c.fail(n.at, fmt.Sprintf("%s %s, and %s %s", c.says(left.at), a.measured(), c.says(right.at), b.measured()), "compare what is measured in the same units")
	return a, false
}

// wants reports whether m takes the unit of what it is compared with.
func (m measure) wants() bool {
	return m.class == plain && m.unit == "" && m.subject != nil && (m.subject.attr || !m.rate)
}

// adopt gives the subject of m the unit of another number.
func (m measure) adopt(other measure) {
	s := m.subject
	switch {
	case s.attr:
		s.unit, s.role, s.rate = other.unit, other.role, other.rate
		if other.class == ratio {
			s.unit = "%"
		}
		if m.role == Either {
			s.role = Either
		}
	case other.class == plain && !other.rate:
		s.unit = other.unit
	}
}

// again is m after its subject may have adopted a unit.
func (m measure) again() measure {
	if s := m.subject; s != nil && m.unit == "" {
		m.unit = s.unit
		if s.attr {
			m.rate, m.role = s.rate, s.role
		}
	}
	return m
}

// percent converts a kid of n that is in percent to a share between 0 and 1.
func (c *compiler) percent(n *node, i int, m measure) bool {
	k := n.kids[i]
	if _, ok := c.convert(1, m.unit, "%"); !ok || m.rate {
		c.fail(n.at, fmt.Sprintf("%s %s, and a share of true and false is not", c.says(k.at), m.measured()), "compare it with 50 % or 0.5")
		return false
	}
	n.kids[i] = &node{op: scale, at: k.at, kids: []*node{k}, typ: Number, way: &mapping{mul: 1, div: 100}}
	return true
}

func (c *compiler) ambiguous(at span, unit, other string) {
	c.fail(at, fmt.Sprintf("it is not clear whether %s is a value or a difference, and from %s to %s they are not converted alike", other, other, unit), "write all of it in "+unit)
}

// domain is where the number of a reference lies, if that is known.
func (n *node) domain() (lo, hi float64, ok bool) {
	switch n.ref.Kind {
	case Share:
		return 0, 100, true
	case Hour:
		return 0, 23, true
	case Weekday:
		return 0, 6, true
	case Age, Count:
		return 0, math.Inf(1), true
	case Window:
		switch {
		case n.ref.Func == "count", n.ref.Func == "stddev", n.ref.Func == "spread":
			return 0, math.Inf(1), true
		case n.measure().class == ratio:
			return 0, 1, true
		}
	}
	return 0, 0, false
}
