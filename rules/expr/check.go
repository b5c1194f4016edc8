package expr

import (
	"fmt"
	"slices"
	"strings"
)

// article names a type as a sentence does.
func (t Type) article() string {
	return [...]string{"a number", "true or false", "a text"}[t]
}

// check gives n its type, which must be want; asker is what wants it. It
// reports what is wrong below n once.
func (c *compiler) check(n *node, want Type, asker string) bool {
	if n.op == literal {
		return c.checkLiteral(n, want, asker)
	}
	got, ok := c.own(n)
	if !ok {
		return false
	}
	n.typ = got
	if got == want {
		return true
	}
	c.mismatch(n, want, asker)
	return false
}

func (c *compiler) checkLiteral(n *node, want Type, asker string) bool {
	switch {
	case want == Number && (n.number || isNumber(n.text)):
		n.typ = Number
		return true
	case want == Text && !n.number:
		n.typ, n.shown = Text, fmt.Sprintf("%q", n.text)
		return true
	}
	got := Text
	if n.number {
		got = Number
	}
	if near := nearDay(n.text); want == Number && near != "" {
		c.fail(n.at, c.says(n.at)+" is no day of the week", fmt.Sprintf("did you mean %q?", near))
		return false
	}
	number := "write a number, with its unit if it has one"
	if got == Text && isName(n.text) {
		number = "leave the quotes out if it is the name of a metric; a number is written with its unit, if it has one"
	}
	c.fail(n.at, fmt.Sprintf("%s is %s, and %s", c.says(n.at), got.article(), asker), [...]string{
		number, "write true or false", `put it in quotes: "` + n.text + `"`,
	}[want])
	return false
}

// mismatch reports that n is not of the type that is wanted.
func (c *compiler) mismatch(n *node, want Type, asker string) {
	said := c.says(n.at)
	if s := n.subject; s != nil && !s.declared && n.follows() {
		c.fail(n.at, fmt.Sprintf("%s is used as %s here, and as %s in %q", s, want.article(), s.typ.article(), c.says(s.why)), "a metric is of one type: compare it in one way")
		return
	}
	remedy := ""
	if n.op == coalesce {
		said = "(" + said + ")"
	}
	switch {
	case want == Bool && n.typ == Number:
		remedy = "compare it: " + said + " > 5"
	case want == Bool:
		remedy = "compare it: " + said + ` == "open"`
	case n.typ == Bool && n.op == reference:
		remedy = "use it as it stands, as in: " + said + " and …"
	case n.typ == Text:
		remedy = "compare texts with ==, !=, in or matches"
	case n.typ == Number:
		remedy = "compare numbers with <, <=, >, >=, ==, != or in"
	case n.op == boolean:
		remedy = [...]string{"write a number", "", "put it in quotes: \"" + said + "\""}[want]
	default:
		remedy = "put parentheses around what belongs together"
	}
	c.fail(n.at, fmt.Sprintf("%s is %s, and %s", said, n.typ.article(), asker), remedy)
}

// own is the type that n has by itself.
func (c *compiler) own(n *node) (Type, bool) {
	switch n.op {
	case boolean:
		return Bool, true
	case reference:
		return c.refType(n)
	case or, and, not:
		return Bool, c.each(n, Bool, fmt.Sprintf("%q wants true or false", symbols[n.op]))
	case less, atMost, greater, atLeast:
		n.days()
		return Bool, c.each(n, Number, symbols[n.op]+" compares numbers") && c.numeric(n)
	case equal, unequal:
		n.days()
		c.unquoted(n)
		t := c.common(n)
		return Bool, c.each(n, t, "it is compared with "+t.article()) && (t != Number || c.numeric(n))
	case in:
		return Bool, c.checkIn(n)
	case matches:
		return Bool, c.checkMatches(n)
	case coalesce:
		t := c.common(n)
		return t, c.each(n, t, "what stands beside ?? is "+t.article()) && (t != Number || c.numeric(n))
	}
	return Number, c.each(n, Number, fmt.Sprintf("%q wants numbers", symbols[n.op])) && c.numeric(n)
}

// nearDay is the day of the week that a longer name means, or "".
func nearDay(text string) string {
	i := slices.IndexFunc(weekdays(), func(day string) bool {
		return strings.HasPrefix(strings.ToLower(text), day) && strings.HasSuffix(text, "day")
	})
	if i < 0 {
		return ""
	}
	return weekdays()[i]
}

// days makes numbers of "sun" to "sat" beside weekday().
func (n *node) days() {
	if !slices.ContainsFunc(n.kids, func(k *node) bool { return k.op == reference && k.ref.Kind == Weekday }) {
		return
	}
	for _, k := range n.kids {
		k.number = k.number || k.op == literal && slices.Contains(weekdays(), strings.ToLower(k.text))
	}
}

// unquoted warns of door == open, which compares two metrics.
func (c *compiler) unquoted(n *node) {
	for i, k := range n.kids {
		other := n.kids[1-i]
		if k.op == reference && k.ref.Kind == Last && !k.subject.declared && k.subject.typ == Text && other.op == reference {
			c.warn(k.at, fmt.Sprintf("%s is read as a metric, and none is declared as that", k.subject), fmt.Sprintf("write %q for the text", k.subject.name))
		}
	}
}

func (c *compiler) each(n *node, want Type, asker string) bool {
	ok := true
	for _, k := range n.kids {
		ok = c.check(k, want, asker) && ok
	}
	return ok
}

// numeric checks the units of n, unless something that holds n will.
func (c *compiler) numeric(n *node) bool {
	if n.op.compares() || n.op == in {
		_, ok := c.measure(n)
		return ok
	}
	return true
}

// common is the type in which the kids of n can be compared.
func (c *compiler) common(n *node) Type {
	for _, k := range n.kids {
		if t, ok := typeOf(k); ok {
			return t
		}
	}
	return Text // two quoted literals
}

// refType is the type of a reference's slot.
func (c *compiler) refType(n *node) (Type, bool) {
	if n.ref.Kind != Window || n.follows() && n.subject.typ == Number {
		t, _ := typeOf(n)
		return t, true
	}
	switch f := n.ref.Func; {
	case f == "count", f == "first", f == "last":
		t, _ := typeOf(n)
		return t, true
	case n.subject.typ == Text:
		c.fail(n.at, fmt.Sprintf("%s is a text, and %s wants numbers", n.subject, f), "of a text there are count, first, last, prev and changed")
		return Number, false
	case n.subject.typ == Bool && (f == "rate" || f == "delta"):
		c.fail(n.at, fmt.Sprintf("%s is true or false, and %s wants numbers", n.subject, f), fmt.Sprintf("write avg(%s, 5m) for how much of the time it is true", n.subject))
		return Number, false
	}
	t, _ := typeOf(n)
	return t, true
}

func (c *compiler) checkIn(n *node) bool {
	n.days()
	t, ok := typeOf(n.kids[0])
	if !ok {
		t = Text
	}
	if t == Bool {
		c.check(n.kids[0], Number, "a list holds numbers or texts")
		return false
	}
	return c.each(n, t, "the values before and after in are of one type") && (t != Number || c.numeric(n))
}

func (c *compiler) checkMatches(n *node) bool {
	if !c.check(n.kids[0], Text, "matches looks at texts") {
		return false
	}
	p := n.kids[1]
	if p.op != literal || p.number {
		c.fail(p.at, "matches wants a pattern between quotes", `write x matches "^err"`)
		return false
	}
	p.typ, p.shown = Text, fmt.Sprintf("%q", p.text)
	re, steps, fact, remedy := Pattern(p.text)
	if re == nil {
		c.fail(p.at, "the pattern "+fact, remedy)
		return false
	}
	n.pattern, n.cost = re, steps*maxText
	return true
}

// constants warns of what is always true, or never.
func (c *compiler) constants(n *node) {
	if n.typ != Bool {
		return
	}
	if !n.asks() {
		switch c.generator().boolean(n)(nil) {
		case yes:
			c.warn(n.at, c.says(n.at)+" is always true", "remove it, or compare a metric")
		case no:
			c.warn(n.at, c.says(n.at)+" is never true", "remove it, or compare a metric")
		}
		return
	}
	switch n.op {
	case or, and, not:
		for _, k := range n.kids {
			c.constants(k)
		}
	}
	if n.op.compares() && n.kids[0].typ == Number {
		c.beyond(n)
	}
}

// beyond warns of a comparison with what a function can never give.
func (c *compiler) beyond(n *node) {
	ref, limit, o := n.kids[0], n.kids[1], n.op
	if ref.op == literal {
		ref, limit, o = limit, ref, o.flipped()
	}
	if ref.op != reference || limit.op != literal {
		return
	}
	lo, hi, ok := ref.domain()
	if !ok {
		return
	}
	if ref.ref.Kind == Share && !strings.Contains(limit.text, "%") && limit.num > 0 && limit.num < 1 {
		c.warn(limit.at, fmt.Sprintf("%s is less than one percent", c.says(limit.at)), fmt.Sprintf("did you mean %s%%?", spellNumber(limit.num*100)))
	}
	below, above := truthOf(o.holds(lo, limit.num)), truthOf(o.holds(hi, limit.num))
	if o == equal || o == unequal {
		if limit.num >= lo && limit.num <= hi {
			return
		}
		above = below
	}
	if below != above {
		return
	}
	fact := " is never true"
	if below == yes {
		fact = " is always true"
	}
	c.warn(n.at, c.says(n.at)+fact, fmt.Sprintf("%s lies between %s and %s", c.says(ref.at), spellNumber(lo), spellNumber(hi)))
}
