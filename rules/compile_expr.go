package rules

import (
	"fmt"
	"strings"

	"tocsin/rules/expr"
)

// when compiles an expression and the one that ends it.
func (c *compiler) when(path []string, def *Condition, r *rule, out *condition) {
	g, ok := c.expression(join(path, "when"), *def.When, r)
	if !ok {
		return
	}
	if def.MinSamples != nil {
		g.minSamples = *def.MinSamples
	}
	text := g.when.String()
	r.truly(g, out, text, "not ("+text+")")
	r.looksAt(&g)
	if def.Clear == nil {
		return
	}
	at := join(path, "clear")
	if def.Clear.Limits {
		c.fail(at, "clear is a limit, and when is an expression", `write an expression too, such as "battery > 25"`)
		return
	}
	clear, ok := c.expression(at, def.Clear.Text, r)
	if !ok {
		return
	}
	clear.minSamples = g.minSamples
	if clear.key() == g.key() {
		c.fail(at, "clear is the same as when, so it never ends the alarm", "write the opposite, or leave clear out")
	} else if both, ok := g.when.Meet(clear.when); ok {
		c.fail(at, fmt.Sprintf("clear (%s) and when (%s) are both true where %s is %s", clear.when, g.when, both.Subject, shown(both.Value)),
			"write a clear that is false wherever when is true: what fires an alarm must not end it")
	}
	out.clearGauge = r.gauge(clear) + 1
	out.clearText = clear.when.String()
}

// looksAt makes the first metric that an expression names the one to be shown.
func (r *rule) looksAt(g *gauge) {
	for _, ref := range g.refs {
		if r.shows == nil && ref.metric != nil {
			r.shows = ref.metric
		}
	}
}

// expression compiles a text to a gauge.
func (c *compiler) expression(at []string, text string, r *rule) (gauge, bool) {
	program, problems := expr.Compile(text, expr.Scope{
		Metric:  c.known,
		Near:    c.nearMetric,
		Rule:    c.ruleID,
		Convert: convertValue,
		Group:   r.across != "",
	})
	failed := program == nil
	for _, p := range problems {
		c.problems = append(c.problems, Problem{Path: c.written(at), Fact: p.Fact, Remedy: p.Remedy, Warning: p.Warning, Offset: p.Offset, Length: p.Length})
		if !p.Warning {
			c.errors++
			failed = true
		}
	}
	if failed {
		return gauge{}, false
	}
	g := gauge{source: expression, when: program}
	for i, ref := range program.Refs() {
		o := operand{Ref: ref}
		if bounds, all := program.Bounds(i); ref.Kind == expr.Age && all {
			o.bounds = bounds
		}
		switch {
		case ref.Metric != "":
			if r.across != "" {
				c.fail(at, "asks for "+ref.Metric+", and a rule with across is about many devices", "ask for share_firing(rule) or count_firing(rule), of a rule about each device")
				return gauge{}, false
			}
			o.metric = c.mentioned(ref)
			if adds(ref.Func) {
				c.counts(at, o.metric)
			}
		case ref.Kind == expr.Firing || ref.Kind == expr.Share || ref.Kind == expr.Count:
			o.rule = c.index[ref.Name]
			if !c.countable(at, ref, r) {
				return gauge{}, false
			}
			if ref.Name == r.id {
				c.fail(at, "asks whether rule "+ref.Name+" itself fires", "ask for another rule; clear and clear_for keep an alarm as it is for a time")
			}
			c.ask(r, o.rule, at)
		}
		g.refs = append(g.refs, o)
	}
	return g, true
}

// countable refuses to ask a rule for an alarm that it has not: of one device,
// or of many.
func (c *compiler) countable(at []string, ref expr.Ref, r *rule) bool {
	across := c.file.Rule[ref.Name].Across
	switch {
	case ref.Kind == expr.Firing && across != r.def.Across && across == "":
		c.fail(at, "asks whether "+ref.Name+" fires, and a rule with across is about many devices", "write share_firing("+ref.Name+") or count_firing("+ref.Name+")")
	case ref.Kind == expr.Firing && across != r.def.Across:
		c.fail(at, ref.Name+" makes one alarm of many devices (across "+across+"), and this rule is about others", "ask for a rule about the same, or give both the same across")
	case ref.Kind != expr.Firing && across != "":
		c.fail(at, ref.Name+" makes one alarm of many devices, and here devices are counted", "ask for a rule about each device")
	default:
		return true
	}
	return false
}

// convertValue converts a number, or a rate, from one unit to another.
func convertValue(v float64, from, to string) (float64, bool) {
	if conv, ok := convert(from, to); ok {
		return conv.apply(v), true
	}
	of, per, ok := cutRate(from)
	toOf, toPer, toOK := cutRate(to)
	conv, same := convert(of, toOf)
	if !ok || !toOK || !same {
		return 0, false
	}
	seconds, _ := perTime(per)
	toSeconds, _ := perTime(toPer)
	return conv.difference().apply(v) * toSeconds / seconds, true
}

// known is what expressions may know of a metric.
func (c *compiler) known(name string) (expr.Metric, bool) {
	m := c.metrics[name]
	if m == nil || c.untyped[name] {
		return expr.Metric{}, false
	}
	return expr.Metric{Type: exprType(m.kind), Unit: m.unit}, true
}

func exprType(k Kind) expr.Type {
	switch k {
	case Bool:
		return expr.Bool
	case Text:
		return expr.Text
	}
	return expr.Number
}

// mentioned is the metric that an expression asks for. What no file declares
// takes its kind from its first use that needs one.
func (c *compiler) mentioned(ref expr.Ref) *metric {
	m := c.metrics[ref.Metric]
	if m == nil {
		m = &metric{name: strings.Clone(ref.Metric), kind: Text, trueIs: trueWords(), notIs: falseWords(), byDevice: map[string][]*rule{}}
		if !c.sealed {
			c.metrics[ref.Metric], c.untyped[ref.Metric] = m, true
		}
	}
	typed := ref.Kind == expr.Last || ref.Kind == expr.Prev || ref.Kind == expr.Window && ref.Func != "count"
	if c.untyped[ref.Metric] && typed {
		delete(c.untyped, ref.Metric)
		m.kind = [...]Kind{expr.Number: Number, expr.Bool: Bool, expr.Text: Text}[ref.Type]
		if ref.Kind == expr.Last && m.kind == Number {
			m.unit = first(m.unit, ref.Unit)
		}
	}
	return m
}
