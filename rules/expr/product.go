package expr

// multiply is the measure of a product or quotient. A plain number on one side
// keeps the unit, and so does a percentage, which is then a share.
func (c *compiler) multiply(n *node) (measure, bool) {
	a, ok := c.measure(n.kids[0])
	b, also := c.measure(n.kids[1])
	if !ok || !also {
		return measure{}, false
	}
	for i, k := range n.kids {
		if k.op == literal && [...]measure{a, b}[i].unit == "%" && (i == 1 || n.op == multiply) {
			k.num /= 100
			if i == 0 {
				a = measure{class: constant}
			} else {
				b = measure{class: constant}
			}
		}
	}
	a, b = a.again(), b.again()
	if m, ok, known := c.dimension(n, a, b); known {
		return m, ok
	}
	keep := measure{class: product}
	switch {
	case b.class == constant:
		keep = a
	case a.class == constant && n.op == multiply:
		keep = b
	}
	switch keep.class {
	case ratio:
		keep.class = product
	case plain:
		if keep.role == Absolute {
			keep.role = Either
		}
	}
	return keep.computed(), true
}

// dimension is the measure of a product or quotient whose unit has a name: what
// a rate comes to in a time, how long a rate takes, a share of a time, and how
// often one amount goes into another of its kind.
func (c *compiler) dimension(n *node, a, b measure) (m measure, ok, known bool) {
	left, right := n.kids[0], n.kids[1]
	switch {
	case n.op == multiply && a.perTime() && c.time(right, b):
		c.inUnit(n, 1, b, "s")
		return a.amount(), true, true
	case n.op == multiply && b.perTime() && c.time(left, a):
		c.inUnit(n, 0, a, "s")
		return b.amount(), true, true
	case n.op == multiply && (a.class == ratio || a.class == bare) && c.isTime(b):
		return b, true, true
	case n.op == multiply && (b.class == ratio || b.class == bare) && c.isTime(a):
		return a, true, true
	case n.op == divide && a.class == plain && b.class == plain && !a.rate:
		if way, same := c.mapping(b.unit, a.unit); same && a.unit != "" && b.unit != "" && !way.shifted || a.unit == b.unit && a.subject == b.subject && a.subject != nil {
			c.inUnit(n, 1, b, a.unit)
			if b.rate {
				return measure{unit: "s"}, true, true
			}
			return measure{class: product}, true, true
		}
	}
	for i, m := range []measure{a, b} {
		other := []measure{b, a}[i]
		if n.kids[i].op == literal && c.isTime(m) && other.class != constant {
			text := c.says(n.kids[i].at)
			c.fail(n.at, text+" stands for a number here, and nothing says whether that counts seconds or hours", "write a plain number instead, or rate(metric, 1h) for what changes in a time")
			return measure{}, false, true
		}
	}
	return measure{}, true, false
}

// perTime reports whether m is an amount per second.
func (m measure) perTime() bool { return m.class == plain && m.rate }

// amount is what a rate comes to in a time.
func (m measure) amount() measure {
	m.rate, m.role = false, Difference
	return m
}

// isTime reports whether m is in a unit of time.
func (c *compiler) isTime(m measure) bool {
	if m.class != plain || m.rate || m.unit == "" {
		return false
	}
	_, ok := c.seconds(m.unit)
	return ok
}

// time is isTime for what a rate is multiplied by: there 30m are minutes, and
// not metres.
func (c *compiler) time(n *node, m measure) bool {
	if n.op == literal {
		_, ok := parseDuration(n.text)
		return ok || c.isTime(m)
	}
	return c.isTime(m)
}

// inUnit has kid i of n in another unit of its kind.
func (c *compiler) inUnit(n *node, i int, m measure, unit string) {
	k := n.kids[i]
	if d, ok := parseDuration(k.text); k.op == literal && ok && unit == "s" {
		k.num = d.Seconds()
		return
	}
	way, ok := c.mapping(m.unit, unit)
	if seconds, known := c.seconds(m.unit); !ok && known && unit == "s" {
		way, ok = &mapping{mul: seconds, div: 1}, true
	}
	switch {
	case !ok || way.mul == way.div:
	case k.op == literal:
		k.num = way.difference().apply(k.num)
	default:
		n.kids[i] = &node{op: scale, at: k.at, kids: []*node{k}, typ: Number, way: way.difference()}
	}
}
