package expr

import (
	"fmt"
	"strconv"
	"strings"
)

// binding is how tightly an operator binds.
func (o op) binding() int {
	switch o {
	case or:
		return 2
	case and:
		return 3
	case not:
		return 4
	case equal, unequal, less, atMost, greater, atLeast, in, matches:
		return 5
	case add, subtract:
		return 6
	case multiply, divide:
		return 7
	case negate:
		return 8
	case coalesce:
		return 9
	}
	return 10
}

// spell writes a tree in one spelling: in parentheses, unless it binds more
// tightly than outer.
func spell(n *node, outer int) string {
	own := n.op.binding()
	out := ""
	switch n.op {
	case scale:
		return spell(n.kids[0], outer)
	case literal:
		out = n.spellLiteral()
		if outer >= coalesce.binding() && out[0] == '-' {
			return "(" + out + ")"
		}
		return out
	case boolean:
		return fmt.Sprint(n.num != 0)
	case reference:
		return n.spellReference()
	case abs, round:
		return symbols[n.op] + "(" + spell(n.kids[0], 0) + ")"
	case not:
		out = "not " + spell(n.kids[0], coalesce.binding())
	case negate:
		out = "-" + spell(n.kids[0], own)
	case in:
		var list []string
		for _, k := range n.kids[1:] {
			list = append(list, spell(k, 0))
		}
		out = spell(n.kids[0], own) + " in [" + strings.Join(list, ", ") + "]"
	case or, and, add, subtract, multiply, divide:
		out = spell(n.kids[0], own-1) + " " + symbols[n.op] + " " + spell(n.kids[1], own)
	default:
		out = spell(n.kids[0], own) + " " + symbols[n.op] + " " + spell(n.kids[1], own)
	}
	// The parser wants a default in parentheses wherever something follows it.
	if own <= outer || n.op == coalesce && outer > 0 {
		return "(" + out + ")"
	}
	return out
}

func (n *node) spellLiteral() string {
	if n.typ == Text || n.shown[0] == '"' {
		return n.shown
	}
	positive := strings.TrimPrefix(n.shown, "-")
	word := strings.TrimLeft(positive, "0123456789.eE+- ")
	word, _, _ = strings.Cut(word, "/")
	if words().number.MatchString(positive) && !isWord(strings.ToLower(word)) {
		return n.shown
	}
	return strconv.Quote(n.shown)
}

func (n *node) spellReference() string { return n.ref.spell(n.spellMetric()) }

// String is r as people read it: a metric is named as it comes.
func (r Ref) String() string { return strings.TrimSuffix(r.spell(r.Metric), "()") }

// spell writes r in one spelling, with its metric written already.
func (r Ref) spell(metric string) string {
	switch r.Kind {
	case Last:
		return metric
	case Prev:
		return "prev(" + metric + ")"
	case Changed:
		return "changed(" + metric + ")"
	case Age:
		return "age(" + metric + ")"
	case Window:
		function := r.Func
		if function == "quantile" {
			function = "p" + strconv.FormatFloat(r.Quantile*100, 'g', 10, 64)
		}
		return function + "(" + metric + ", " + spellDuration(r.Over) + ")"
	case Attr:
		if words().attr.MatchString(r.Name) {
			return "@" + r.Name
		}
		return "attr(" + strconv.Quote(r.Name) + ")"
	case Firing:
		return "firing(" + spellRule(r.Name) + ")"
	case Share:
		return "share_firing(" + spellRule(r.Name) + ")"
	case Count:
		return "count_firing(" + spellRule(r.Name) + ")"
	case Online:
		return "online()"
	case Hour:
		return "hour()"
	}
	return "weekday()"
}

func (n *node) spellMetric() string {
	metric := n.ref.Metric
	if metric == "" {
		return ""
	}
	form, _ := lookup(metric)
	taken := form != noFunction && !n.subject.declared || isWord(metric)
	if !taken && words().path.MatchString(metric) {
		return metric
	}
	return "metric(" + strconv.Quote(metric) + ")"
}

func spellRule(id string) string {
	if words().id.MatchString(id) {
		return id
	}
	return strconv.Quote(id)
}
