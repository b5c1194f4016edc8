package expr

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// functions are the names that can be called. pNN, metric and attr aside, they
// are what somebody may have meant who called another.
func functions() []string {
	return []string{
		"avg", "min", "max", "sum", "count", "first", "last", "median", "p95", "stddev", "spread", "rate", "delta",
		"prev", "changed", "age", "firing", "share_firing", "count_firing", "online", "hour", "weekday", "abs", "round",
	}
}

// A shape is how a function is called.
type shape uint8

const (
	noFunction shape = iota
	ofWindow         // avg(metric, 5m)
	ofMetric         // prev(metric)
	ofRule           // firing(rule)
	ofNothing        // online()
	ofNumber         // abs(number)
	ofText           // metric("name")
)

// example is a call of that shape.
func (s shape) example(name string) string {
	return name + [...]string{
		"", "(temperature, 5m)", "(temperature)", `("rule-id")`, "()", "(temperature)", `("name")`,
	}[s]
}

// lookup says how a function is called and what slot it asks for.
func lookup(name string) (shape, RefKind) {
	switch name {
	case "avg", "min", "max", "sum", "count", "first", "last", "median", "stddev", "spread", "rate", "delta":
		return ofWindow, Window
	case "prev":
		return ofMetric, Prev
	case "changed":
		return ofMetric, Changed
	case "age":
		return ofMetric, Age
	case "firing":
		return ofRule, Firing
	case "share_firing":
		return ofRule, Share
	case "count_firing":
		return ofRule, Count
	case "online":
		return ofNothing, Online
	case "hour":
		return ofNothing, Hour
	case "weekday":
		return ofNothing, Weekday
	case "abs", "round":
		return ofNumber, 0
	case "metric":
		return ofText, Last
	case "attr":
		return ofText, Attr
	}
	if digits, ok := strings.CutPrefix(name, "p"); ok && digits != "" && strings.Trim(digits, "0123456789_") == "" {
		return ofWindow, Window
	}
	return noFunction, 0
}

// identifier is a metric, or presence or the time without parentheses.
func (c *compiler) identifier(name string, at span) *node {
	if _, declared := c.metric(name); !declared {
		switch s, kind := lookup(name); s {
		case ofNothing:
			return &node{op: reference, at: at, ref: Ref{Kind: kind}}
		case ofWindow, ofMetric, ofRule, ofNumber:
			if !strings.HasPrefix(name, "p") || s != ofWindow {
				c.fail(at, name+" is a function, and is not called", "write "+s.example(name))
				return nil
			}
		}
	}
	return c.reading(Last, name, at)
}

func (c *compiler) metric(name string) (Metric, bool) {
	if c.scope.Metric == nil {
		return Metric{}, false
	}
	return c.scope.Metric(name)
}

// reading refers to a metric.
func (c *compiler) reading(kind RefKind, name string, at span) *node {
	s := c.subjects[name]
	if s == nil {
		m, declared := c.metric(name)
		s = &subject{name: name, declared: declared, typ: m.Type, typed: declared, unit: m.Unit, at: at, why: at}
		c.subjects[name] = s
		if !declared {
			c.undeclared(name, at)
		}
	}
	return &node{op: reference, at: at, ref: Ref{Kind: kind, Metric: name}, subject: s}
}

// undeclared says of a metric that no file declares what else may be meant.
func (c *compiler) undeclared(name string, at span) {
	fact := "no metric is declared as " + name
	if name == "device" {
		c.fail(at, fact+", and conditions do not ask which device it is", `write devices = "ID" beside when, or except; if it is a metric, declare [metric.device]`)
		return
	}
	if c.scope.Near == nil {
		return
	}
	switch near, sure := c.scope.Near(name); {
	case sure:
		c.fail(at, fact, fmt.Sprintf("did you mean %q? if not, declare %s", near, "[metric."+name+"]"))
	case near != "":
		c.warn(at, fact, fmt.Sprintf("did you mean %q?", near))
	}
}

func (c *compiler) call(n *ast.CallNode, depth int) *node {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		c.refuse(n.Callee, c.spot(n.Callee))
		return nil
	}
	at := c.spot(callee)
	form, kind := lookup(callee.Value)
	if form == noFunction {
		remedy := "the functions are " + strings.Join(functions(), " ")
		if here := elsewhere(callee.Value); here != "" {
			remedy = "write " + here
		} else if near := nearest(callee.Value, functions()); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		}
		c.fail(at, "there is no function "+callee.Value, remedy)
		return nil
	}
	if len(n.Arguments) > 0 && c.spot(n.Arguments[0]).from < at.from {
		c.fail(at, "a condition has no pipes", "write "+form.example(callee.Value))
		return nil
	}
	if !c.arity(form, c.says(at), n.Arguments, at) {
		return nil
	}
	whole := span{at.from, c.closing(at, n.Arguments)}
	switch form {
	case ofNothing:
		return &node{op: reference, at: whole, ref: Ref{Kind: kind}}
	case ofNumber:
		kid := c.build(n.Arguments[0], depth+1)
		if kid == nil {
			return nil
		}
		o := abs
		if callee.Value == "round" {
			o = round
		}
		return &node{op: o, at: whole, kids: []*node{kid}}
	case ofText:
		return c.named(kind, callee.Value, n.Arguments[0], whole)
	case ofRule:
		return c.rule(kind, callee.Value, n.Arguments[0], whole)
	}
	name, ok := c.metricName(c.says(at), form, n.Arguments[0])
	if !ok {
		return nil
	}
	out := c.reading(kind, name, whole)
	if form == ofWindow && !c.window(out, callee.Value, n.Arguments[1], at) {
		return nil
	}
	return out
}

// closing is the end of a call: the bracket after its last argument.
func (c *compiler) closing(callee span, args []ast.Node) int {
	end := callee.to
	for _, a := range args {
		ast.Find(a, func(n ast.Node) bool {
			end = max(end, c.spot(n).to)
			return false
		})
	}
	depth := c.depthAt(callee.from)
	for _, b := range c.brackets {
		if b.at >= end && b.depth <= depth {
			return b.at + 1
		}
	}
	return end
}

func (c *compiler) arity(form shape, name string, args []ast.Node, at span) bool {
	want := [...]int{ofWindow: 2, ofMetric: 1, ofRule: 1, ofNothing: 0, ofNumber: 1, ofText: 1}[form]
	if len(args) == want {
		return true
	}
	fact := fmt.Sprintf("%s has %d arguments and wants %d", name, len(args), want)
	if len(args) == 1 {
		fact = fmt.Sprintf("%s has 1 argument and wants %d", name, want)
		if form == ofWindow {
			fact = name + " says nothing of the time it looks back"
		}
	}
	c.fail(at, fact, "write "+form.example(name))
	return false
}

// metricName is the metric that a function is asked about.
func (c *compiler) metricName(function string, form shape, arg ast.Node) (string, bool) {
	switch a := arg.(type) {
	case *ast.IdentifierNode:
		return a.Value, true
	case *ast.CallNode:
		callee, ok := a.Callee.(*ast.IdentifierNode)
		if ok && callee.Value == "metric" && len(a.Arguments) == 1 {
			if name, ok := a.Arguments[0].(*ast.StringNode); ok {
				return name.Value, c.nameLength(name.Value, c.spot(name))
			}
		}
	case *ast.StringNode:
		if c.isQuantity(c.spot(arg).from) {
			break
		}
		c.fail(c.spot(arg), function+" wants a metric, and this is a text", fmt.Sprintf("write metric(%q)", a.Value))
		return "", false
	}
	c.fail(c.spot(arg), function+" looks at one metric, not at an expression", "write "+form.example(function))
	return "", false
}

func (c *compiler) nameLength(name string, at span) bool {
	if name != "" && len(name) <= maxName {
		return true
	}
	c.fail(at, fmt.Sprintf("a name has 1 to %d bytes, and this one has %d", maxName, len(name)), "write the name as the device sends it")
	return false
}

// named is metric("…") or an attribute.
func (c *compiler) named(kind RefKind, function string, arg ast.Node, at span) *node {
	name, ok := arg.(*ast.StringNode)
	if !ok || c.isQuantity(c.spot(arg).from) {
		c.fail(c.spot(arg), function+" wants a name between quotes", "write "+ofText.example(function))
		return nil
	}
	if !c.nameLength(name.Value, c.spot(arg)) {
		return nil
	}
	if kind == Last {
		return c.reading(Last, name.Value, at)
	}
	return &node{op: reference, at: at, ref: Ref{Kind: Attr, Name: name.Value}, subject: &subject{name: name.Value, attr: true, at: at, why: at}}
}

// rule is firing, share_firing or count_firing.
func (c *compiler) rule(kind RefKind, function string, arg ast.Node, at span) *node {
	id, ok := arg.(*ast.StringNode)
	if !ok {
		c.fail(c.spot(arg), function+" wants the id of a rule", "write "+ofRule.example(function))
		return nil
	}
	near, known := "", false
	if c.scope.Rule != nil {
		near, known = c.scope.Rule(id.Value)
	}
	switch {
	case !known:
		remedy := "write the id of a [rule.ID] table"
		if near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		}
		c.fail(c.spot(arg), fmt.Sprintf("there is no rule %q", id.Value), remedy)
		return nil
	case kind != Firing && !c.scope.Group:
		c.fail(at, function+" counts the members of a group, and this rule is about one device", fmt.Sprintf("give the rule across, or write firing(%q)", id.Value))
		return nil
	}
	return &node{op: reference, at: at, ref: Ref{Kind: kind, Name: id.Value}}
}

// window completes a reference to a window of a metric.
func (c *compiler) window(n *node, function string, arg ast.Node, callee span) bool {
	at := c.spot(arg)
	switch a := arg.(type) {
	case *ast.StringNode:
		d, ok := parseDuration(strings.TrimSpace(a.Value))
		if !ok && c.isQuantity(at.from) {
			c.fail(at, fmt.Sprintf("%s is no duration", a.Value), "write how far to look back with its unit: 90s, 10m, 1h30m or 7d")
			return false
		}
		if !ok {
			c.fail(at, fmt.Sprintf("%q is no duration", a.Value), "write how far to look back: 90s, 10m, 1h30m or 7d")
			return false
		}
		if d < time.Millisecond || d%time.Millisecond != 0 {
			c.fail(at, "a window is a whole number of milliseconds, and more than none", "write how far to look back: 90s, 10m, 1h30m or 7d")
			return false
		}
		n.ref.Over = d
	default:
		c.fail(at, "how far "+function+" looks back is no duration", "write 90s, 10m, 1h30m or 7d")
		return false
	}
	n.ref.Func = function
	if s, kind := lookup(function); s != ofWindow || kind != Window || function[0] != 'p' {
		return true
	}
	percent, err := strconv.ParseFloat(strings.Replace(function[1:], "_", ".", 1), 64)
	if err != nil || percent <= 0 || percent >= 100 || len(function) > len("p99_9999") {
		c.fail(callee, function+" is no quantile: it lies above 0 and below 100", "write p95 or p99.9, min for the least and max for the greatest")
		return false
	}
	n.ref.Func, n.ref.Quantile = "quantile", percent/100
	return true
}

// nearest is the candidate that s was probably meant to be, or "".
func nearest(s string, candidates []string) string {
	best, bestEdits := "", max(1, len(s)/3)+1
	for _, c := range candidates {
		if e := edits(s, c, bestEdits); e < bestEdits {
			best, bestEdits = c, e
		}
	}
	return best
}

// edits is the Levenshtein distance, or limit if it is not less.
func edits(a, b string, limit int) int {
	if len(a) > maxName || len(b) > maxName || len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
