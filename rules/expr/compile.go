package expr

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// What an expression may cost, so that one that somebody wrote to do harm does
// none.
const (
	maxSource   = 4 << 10 // bytes
	maxNodes    = 256
	maxDepth    = 64
	maxSlots    = 32
	maxText     = 1 << 10 // bytes of a text that is compared
	maxName     = 256     // bytes of a metric's or an attribute's
	maxUnit     = 32      // bytes
	maxWarnings = 20
)

// Compile reads a condition: an expression that is true, false or unknown. The
// program is nil if a problem is not a warning. Problems are in the order of
// the source.
func Compile(src string, s Scope) (*Program, []Problem) {
	c := compiler{scope: s, subjects: map[string]*subject{}}
	p := c.compile(src)
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return cmp.Compare(a.Offset, b.Offset) })
	if c.failed {
		return nil, c.problems
	}
	return p, c.problems
}

// Refs lists what p asks for, slot by slot. The caller must not change it.
func (p *Program) Refs() []Ref { return p.refs }

// Eval is what p comes to with these slots: a boolean, or not Known. It
// allocates nothing, and takes at most [Program.Cost] steps. Too few slots, and
// numbers that are none, are unknown.
func (p *Program) Eval(slots []Value) Value {
	if len(slots) < len(p.refs) {
		return Value{}
	}
	switch p.run(slots) {
	case yes:
		return Value{Num: 1, Known: true}
	case no:
		return Value{Known: true}
	}
	return Value{}
}

// String is p in one spelling, whatever the spelling of its source. Compiled
// again, it is the same.
func (p *Program) String() string { return p.text }

// Cost bounds the steps of one Eval. A step is an operation, or an instruction
// of a regular expression on one byte.
func (p *Program) Cost() int { return p.cost }

// Convert takes an attribute's number from the unit it was given in to the one
// that r wants; false if it cannot. What converts readings is a [Scope]'s.
func (r Ref) Convert(v float64, unit string, convert func(v float64, from, to string) (float64, bool)) (float64, bool) {
	c := compiler{scope: Scope{Convert: convert}}
	if unit == "" || r.Unit == "" || unit == r.Unit {
		return v, true
	}
	if r.Role == Absolute {
		return c.convert(v, unit, r.Unit)
	}
	seconds := 1.0
	of, per, rate := cutLast(unit, "/")
	if to, ok := strings.CutSuffix(r.Unit, "/s"); ok && rate && r.Role == Difference {
		if way, ok := c.mapping(unit, r.Unit); ok {
			return way.apply(v), true // a speed, and no rate
		}
		if seconds, ok = c.seconds(per); !ok {
			return 0, false
		}
		unit, r.Unit = of, to
	}
	way, ok := c.mapping(unit, r.Unit)
	if !ok || way.shifted && r.Role == Either {
		return 0, false
	}
	return way.difference().apply(v) / seconds, true
}

// cutLast cuts s around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// A compiler compiles one expression.
type compiler struct {
	*source
	scope    Scope
	subjects map[string]*subject // metrics by name
	nodes    int
	problems []Problem
	failed   bool
}

func (c *compiler) compile(src string) *Program {
	whole := Problem{Length: len(src)}
	switch {
	case len(src) > maxSource:
		whole.Fact, whole.Remedy = fmt.Sprintf("the expression is longer than %d bytes", maxSource), "split it into several rules"
	case !utf8.ValidString(src):
		whole.Fact, whole.Remedy = "the expression is not UTF-8", "save the file as UTF-8"
	case strings.TrimSpace(src) == "":
		whole.Fact, whole.Remedy = "the expression is empty", "write a condition, such as temperature > 5"
	}
	if whole.Fact != "" {
		c.report(whole)
		return nil
	}
	var ok bool
	if c.source, ok = newSource(src, c.scope, c.report); !ok {
		return nil
	}
	root := c.parse()
	if root == nil {
		return nil
	}
	c.infer(root)
	if !c.check(root, Bool, "a condition is true or false") {
		return nil
	}
	g := c.generator()
	if !g.slots(root) {
		return nil
	}
	p := &Program{run: g.boolean(root), refs: g.refs, text: spell(root, 0), stretch: root.stretch(), bounds: g.boundsOf(root)}
	root.walk(func(n *node) { p.cost += 1 + n.cost })
	c.constants(root)
	return p
}

func (c *compiler) report(p Problem) {
	c.failed = c.failed || !p.Warning
	if !slices.Contains(c.problems, p) && (!p.Warning || len(c.problems) < maxWarnings) {
		c.problems = append(c.problems, p)
	}
}

func (c *compiler) fail(at span, fact, remedy string) { c.problem(at, fact, remedy, false) }
func (c *compiler) warn(at span, fact, remedy string) { c.problem(at, fact, remedy, true) }

func (c *compiler) problem(at span, fact, remedy string, warning bool) {
	w := c.written(at)
	c.report(Problem{Offset: w.from, Length: w.to - w.from, Fact: fact, Remedy: remedy, Warning: warning})
}

// says is the source there, as a sentence quotes it.
func (c *compiler) says(at span) string {
	const most = 60
	w := c.written(at)
	text := strings.Join(strings.Fields(c.text[w.from:w.to]), " ")
	if len(text) <= most {
		return text
	}
	end := most
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
