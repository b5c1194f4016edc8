package expr

// Metrics that no file declares, and attributes, take their type from their
// use. Use that leaves no doubt comes first: x > 5, not x, x matches "a". Then
// what is likely: x == "open" compares texts. What is left are numbers.

// infer gives every subject a type.
func (c *compiler) infer(root *node) {
	settle := func() {
		for certain(root) || take(root, Bool, root.at) {
		}
	}
	settle()
	root.walk(func(n *node) {
		if n.op == reference && n.ref.Kind == Window && !n.follows() && n.ref.Func != "count" {
			n.subject.take(Number, n.at)
		}
	})
	settle()
	root.walk(func(n *node) {
		switch n.op {
		case equal, unequal, in, coalesce:
			for i, k := range n.kids {
				if k.op == literal && !k.number {
					take(n.kids[0], Text, n.at)
					take(n.kids[(i+1)%len(n.kids)], Text, n.at)
				}
			}
		}
	})
	settle()
	root.walk(func(n *node) {
		if n.subject != nil {
			n.subject.take(Number, n.at)
		}
	})
}

// certain takes what n and all below it say about types, and reports whether
// that was news. The smallest expression comes first: it is told about when
// another disagrees.
func certain(n *node) bool {
	changed := false
	for _, k := range n.kids {
		changed = certain(k) || changed
	}
	all := func(t Type) {
		for _, k := range n.kids {
			changed = take(k, t, n.at) || changed
		}
	}
	switch n.op {
	case or, and, not:
		all(Bool)
	case less, atMost, greater, atLeast, add, subtract, multiply, divide, negate, abs, round:
		all(Number)
	case matches:
		all(Text)
	case equal, unequal, coalesce, in:
		for _, k := range n.kids {
			if t, ok := typeOf(k); ok {
				all(t)
				break
			}
		}
	}
	return changed
}

// follows reports whether a reference is of the type of its subject.
func (n *node) follows() bool {
	switch n.ref.Kind {
	case Last, Prev, Attr:
		return true
	case Window:
		switch n.ref.Func {
		case "min", "max", "first", "last":
			return true
		}
	}
	return false
}

// take makes the subject of n one of type t, if n is of its type and it has
// none yet. It reports whether that was news.
func take(n *node, t Type, why span) bool {
	switch {
	case n.op == coalesce:
		left := take(n.kids[0], t, why)
		return take(n.kids[1], t, why) || left
	case n.op == reference && n.subject != nil && n.follows():
		return n.subject.take(t, why)
	}
	return false
}

func (s *subject) take(t Type, why span) bool {
	if s.typed {
		return false
	}
	s.typ, s.typed, s.why = t, true, why
	return true
}

// typeOf is the type of n, as far as known. A quoted literal may be a text or a
// number.
func typeOf(n *node) (Type, bool) {
	switch n.op {
	case literal:
		return Number, n.number
	case boolean, or, and, not, equal, unequal, less, atMost, greater, atLeast, in, matches:
		return Bool, true
	case coalesce:
		if t, ok := typeOf(n.kids[0]); ok {
			return t, true
		}
		return typeOf(n.kids[1])
	case reference:
		if n.follows() {
			return n.subject.typ, n.subject.typed
		}
		switch n.ref.Kind {
		case Changed, Firing, Online:
			return Bool, true
		}
	}
	return Number, true
}
