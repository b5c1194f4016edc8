package expr

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// An op is what a node does with its kids.
type op uint8

const (
	literal op = iota // a number, or a text: see node.number
	boolean
	reference
	or
	and
	not
	equal
	unequal
	less
	atMost
	greater
	atLeast
	in // kids[0] in the rest
	matches
	add
	subtract
	multiply
	divide
	negate
	coalesce
	abs
	round
	scale // a number in another unit
)

// symbols are the operators as they are written.
var symbols = [...]string{
	or: "or", and: "and", not: "not", equal: "==", unequal: "!=", less: "<", atMost: "<=", greater: ">", atLeast: ">=",
	in: "in", matches: "matches", add: "+", subtract: "-", multiply: "*", divide: "/", negate: "-", coalesce: "??",
	abs: "abs", round: "round", scale: "",
}

// compares reports whether o compares two values.
func (o op) compares() bool { return o >= equal && o <= atLeast }

// A node is a piece of an expression.
type node struct {
	op   op
	at   span // in the read spelling
	kids []*node

	text   string // literal: as written, "-15 °C"; matches: the pattern
	number bool   // literal: it cannot be a text
	num    float64
	shown  string // literal: its canonical spelling, once its meaning is known

	ref     Ref
	subject *subject // reference to a metric or attribute

	typ     Type           // once checked
	way     *mapping       // scale
	pattern *regexp.Regexp // matches
	cost    int            // matches: steps beside its own
}

// walk visits n and all below it.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, k := range n.kids {
		k.walk(visit)
	}
}

// asks reports whether n depends on anything.
func (n *node) asks() bool {
	found := false
	n.walk(func(k *node) { found = found || k.op == reference })
	return found
}

// A subject is a metric or an attribute: what all references to it agree on.
type subject struct {
	name     string
	attr     bool
	declared bool
	typ      Type
	typed    bool // typ is known
	unit     string
	at       span // where it was first used
	why      span // what its type is taken from
	role     Role // attribute
	rate     bool // attribute
}

func (s *subject) String() string {
	if s.attr {
		return "@" + s.name
	}
	return s.name
}

// parse makes a tree of the source; nil if there is none.
func (c *compiler) parse() *node {
	names := conf.FunctionsTable{}
	for name := range builtin.Index {
		names[name] = nil // ours or unknown: never the library's
	}
	tree, err := parser.ParseWithConfig(c.read, &conf.Config{MaxNodes: 2 * maxNodes, Functions: names})
	if err != nil {
		c.syntax(err)
		return nil
	}
	return c.build(tree.Node, 0)
}

// syntax reports what the parser could not read.
func (c *compiler) syntax(err error) {
	var e *file.Error
	if !errors.As(err, &e) {
		c.fail(span{0, len(c.read)}, "the expression cannot be read: "+err.Error(), "")
		return
	}
	at := span{c.byteAt(e.From), c.byteAt(e.To)}
	written := c.written(at)
	token := c.text[written.from:written.to]
	switch {
	case strings.Contains(e.Message, "maximum allowed nodes"):
		c.tooLarge()
	case strings.Contains(e.Message, "coalesce"):
		c.fail(at, "?? beside "+token+" leaves open what belongs together", "put the value and its default in parentheses: (x ?? 0)")
	case strings.Contains(e.Message, "not terminated"):
		c.fail(at, "a quote is opened and never closed", `write the text between two quotes: "open"`)
	case strings.Contains(e.Message, "unclosed comment"):
		c.fail(at, "a comment is opened and never closed", "close it with */")
	case strings.Contains(e.Message, "escape"):
		c.fail(at, "a backslash is followed by what it cannot stand before", `write \\ for a backslash`)
	case strings.Contains(e.Message, "token EOF"):
		c.fail(at, "the expression ends before it is complete", "finish it, or close what is open")
	default:
		c.fail(at, fmt.Sprintf("%q is not expected here", token), meant(token, c.text[:written.from], c.text[written.to:]))
	}
}

func (c *compiler) tooLarge() {
	c.fail(span{0, len(c.read)}, fmt.Sprintf("the expression has more than %d parts", maxNodes), "split it into several rules")
}

// spot is where a node of the library begins and ends.
func (c *compiler) spot(n ast.Node) span {
	at := n.Location()
	return span{c.byteAt(at.From), c.byteAt(at.To)}
}

// build makes our tree of the library's; nil once something is refused.
func (c *compiler) build(tree ast.Node, depth int) *node {
	c.nodes++
	at := c.spot(tree)
	switch {
	case c.nodes > maxNodes:
		c.tooLarge()
		return nil
	case depth > maxDepth:
		c.fail(at, fmt.Sprintf("the expression is nested more than %d deep", maxDepth), "split it into several rules")
		return nil
	}
	switch n := tree.(type) {
	case *ast.BoolNode:
		out := &node{op: boolean, at: at, typ: Bool}
		if n.Value {
			out.num = 1
		}
		return out
	case *ast.StringNode:
		if len(n.Value) > maxText {
			c.fail(at, fmt.Sprintf("the text is longer than %d bytes", maxText), "compare with a shorter one")
			return nil
		}
		if number := c.isQuantity(at.from); number && !isNumber(n.Value) {
			c.fail(at, "this number cannot be read", "write it as 12, -0.5 or 1e6, and a unit after it")
			return nil
		}
		return &node{op: literal, at: at, text: n.Value, number: c.isQuantity(at.from)}
	case *ast.IdentifierNode:
		return c.identifier(n.Value, at)
	case *ast.UnaryNode:
		return c.unary(n, at, depth)
	case *ast.BinaryNode:
		return c.binary(n, depth)
	case *ast.CallNode:
		return c.call(n, depth)
	}
	c.refuse(tree, at)
	return nil
}

// refuse says of what the library reads, and we do not, what to do instead.
func (c *compiler) refuse(tree ast.Node, at span) {
	fact, remedy := "this has no meaning in a condition", "use metrics, numbers, functions, and, or, not"
	switch tree.(type) {
	case *ast.NilNode:
		fact, remedy = "nil is no value", "write x ?? 0 for a default, or age(x) > 10m for a reading that is missing"
	case *ast.ConditionalNode:
		fact, remedy = "a condition does not choose between two others", "write (a and b) or (not a and c)"
	case *ast.MemberNode, *ast.SliceNode, *ast.ChainNode:
		fact, remedy = "a reading has no parts to pick", `write metric("a.b") for a metric whose name is not a plain word`
	case *ast.ArrayNode:
		fact, remedy = "a list stands on the right of in only", `write x in ["a", "b"]`
	case *ast.MapNode, *ast.PairNode:
		fact, remedy = "a condition has no tables", "remove the braces"
	case *ast.SequenceNode, *ast.VariableDeclaratorNode:
		fact, remedy = "a condition is one expression, and names nothing", "write the whole in one expression, or as two rules"
	case *ast.BytesNode:
		fact, remedy = "a condition compares texts, not bytes", "remove the b before the quote"
	}
	if choice, ok := tree.(*ast.ConditionalNode); ok { // the library names its end
		at = span{min(at.from, c.spot(choice.Cond).from), max(at.to, c.spot(choice.Exp2).to)}
	}
	c.fail(at, fact, remedy)
}

func (c *compiler) unary(n *ast.UnaryNode, at span, depth int) *node {
	if n.Operator == "+" {
		c.fail(at, "a plus before a value does nothing", "remove it")
		return nil
	}
	kid := c.build(n.Node, depth+1)
	if kid == nil {
		return nil
	}
	whole := span{at.from, max(at.to, kid.at.to)}
	if n.Operator == "-" {
		if kid.op == literal && (kid.number || isNumber(kid.text)) {
			// The sign belongs to the number, since -15 °F is no negative of 15 °F.
			text, negative := strings.CutPrefix(kid.text, "-")
			if !negative {
				text = "-" + text
			}
			return &node{op: literal, at: whole, text: text, number: true}
		}
		return &node{op: negate, at: whole, kids: []*node{kid}}
	}
	return &node{op: not, at: whole, kids: []*node{kid}}
}

func binaryOp(symbol string) (op, bool) {
	switch symbol {
	case "&&":
		return and, true
	case "||":
		return or, true
	}
	for o := or; o <= coalesce; o++ {
		if symbols[o] == symbol && o != not && o != negate {
			return o, true
		}
	}
	return 0, false
}

func (c *compiler) binary(n *ast.BinaryNode, depth int) *node {
	at := c.spot(n)
	o, ok := binaryOp(n.Operator)
	if !ok {
		c.noOperator(n.Operator, at)
		return nil
	}
	left := c.build(n.Left, depth) // a or b or c is long, and not deep
	if left == nil {
		return nil
	}
	outside := c.depthAt(at.from)
	out := &node{op: o, kids: []*node{left}, at: span{c.enclosed(left.at, outside).from, at.to}}
	switch o {
	case in:
		list, isList := n.Right.(*ast.ArrayNode)
		if !isList || len(list.Nodes) == 0 {
			c.fail(c.spot(n.Right), "in wants a list of values", `write x in ["a", "b"]`)
			return nil
		}
		for _, item := range list.Nodes {
			kid := c.build(item, depth+1)
			if kid == nil {
				return nil
			}
			if kid.op != literal {
				c.fail(kid.at, "a list holds numbers and texts only", "compare with == and or instead")
				return nil
			}
			out.kids = append(out.kids, kid)
			out.at.to = kid.at.to
		}
	default:
		right := c.build(n.Right, depth+1)
		if right == nil {
			return nil
		}
		out.kids = append(out.kids, right)
		out.at.to = c.enclosed(right.at, outside).to
	}
	return c.hoist(out, at)
}

// hoist moves a not at the beginning of a comparison in front of it: to the
// library not a > b is (not a) > b, and to everybody else not (a > b).
func (c *compiler) hoist(n *node, operator span) *node {
	if n.op == or || n.op == and || n.op == coalesce {
		return n
	}
	left := n.kids[0]
	if left.op != not || c.depthAt(left.at.from) > c.depthAt(operator.from) {
		return n
	}
	n.kids[0] = left.kids[0]
	left.kids[0], left.at.to = n, n.at.to
	n.at.from = c.enclosed(n.kids[0].at, c.depthAt(operator.from)).from
	return left
}

func (c *compiler) noOperator(symbol string, at span) {
	remedy := "use + - * /, and compare the result"
	switch symbol {
	case "contains":
		remedy = `write x matches "part"`
	case "startsWith":
		remedy = `write x matches "^part"`
	case "endsWith":
		remedy = `write x matches "part$"`
	case "..":
		remedy = "write x >= 1 and x <= 5"
	case "%":
		remedy = "write a percentage as 50 %, with nothing after it"
	}
	c.fail(at, symbol+" is no operator of this language", remedy)
}
