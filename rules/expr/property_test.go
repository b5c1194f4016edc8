package expr_test

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tocsin/rules/expr"
)

// A tree is an expression as the naive evaluator walks it.
type tree struct {
	op   string // an operator, or "literal", or "metric"
	text string // of a metric or a literal
	kids []*tree
}

// world is what n0 … n3, b0 … b3 and t0 … t3 are.
func world(t *rapid.T) map[string]expr.Value {
	w := map[string]expr.Value{}
	numbers := rapid.SampledFrom([]float64{-1, 0, 1, 2, 2.5, 1e300, math.NaN(), math.Inf(-1)})
	for i := range 4 {
		known := rapid.Bool()
		w[fmt.Sprint("n", i)] = expr.Value{Num: numbers.Draw(t, "number"), Known: known.Draw(t, "known")}
		w[fmt.Sprint("b", i)] = expr.Value{Num: float64(rapid.IntRange(0, 1).Draw(t, "bool")), Known: known.Draw(t, "known")}
		w[fmt.Sprint("t", i)] = expr.Value{Text: rapid.SampledFrom([]string{"", "a", "ab"}).Draw(t, "text"), Known: known.Draw(t, "known")}
	}
	return w
}

func draw(t *rapid.T, kind string, depth int) *tree {
	pick := func(list ...string) string { return rapid.SampledFrom(list).Draw(t, "op") }
	both := func(op, kind string) *tree {
		return &tree{op: op, kids: []*tree{draw(t, kind, depth-1), draw(t, kind, depth-1)}}
	}
	leaf := func(literals ...string) *tree {
		if rapid.IntRange(0, 2).Draw(t, "literal") == 0 {
			return &tree{op: "literal", text: pick(literals...)}
		}
		return &tree{op: "metric", text: kind + fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "metric"))}
	}
	switch kind {
	case "b":
		if depth == 0 {
			return leaf("true", "false")
		}
		switch op := pick("and", "or", "not", "??", "<", "<=", ">", ">=", "==", "!=", "matches", "in", "same", "=text"); op {
		case "and", "or", "??":
			return both(op, "b")
		case "not":
			return &tree{op: op, kids: []*tree{draw(t, "b", depth-1)}}
		case "matches":
			return &tree{op: op, kids: []*tree{draw(t, "t", depth-1), {op: "literal", text: pick(`"^a"`, `"b$"`)}}}
		case "in":
			return &tree{op: op, kids: []*tree{draw(t, "n", depth-1), {op: "literal", text: "1"}, {op: "literal", text: "-2.5"}}}
		case "same":
			return both(pick("==", "!="), "b")
		case "=text":
			return both("==", "t")
		default:
			return both(op, "n")
		}
	case "t":
		if depth == 0 || rapid.Bool().Draw(t, "leaf") {
			return leaf(`"a"`, `"ab"`)
		}
		return both("??", "t")
	}
	if depth == 0 {
		return leaf("0.5", "1", "-2.5")
	}
	switch op := pick("+", "-", "*", "/", "??", "-x", "abs", "round"); op {
	case "-x", "abs", "round":
		return &tree{op: op, kids: []*tree{draw(t, "n", depth-1)}}
	default:
		return both(op, "n")
	}
}

func (n *tree) String() string {
	switch n.op {
	case "literal", "metric":
		return n.text
	case "abs", "round":
		return n.op + "(" + n.kids[0].String() + ")"
	case "not":
		return "(not " + n.kids[0].String() + ")"
	case "-x":
		return "(- " + n.kids[0].String() + ")"
	case "in":
		return "(" + n.kids[0].String() + " in [" + n.kids[1].String() + ", " + n.kids[2].String() + "])"
	}
	return "((" + n.kids[0].String() + ") " + n.op + " (" + n.kids[1].String() + "))"
}

// walk is the naive evaluator: nil, a float64, a bool or a string.
func (n *tree) walk(w map[string]expr.Value) any {
	switch n.op {
	case "literal":
		if s, err := strconv.Unquote(n.text); err == nil {
			return s
		}
		if v, err := strconv.ParseFloat(n.text, 64); err == nil {
			return v
		}
		return n.text == "true"
	case "metric":
		v := w[n.text]
		switch {
		case !v.Known:
			return nil
		case n.text[0] == 'b':
			return v.Num == 1
		case n.text[0] == 't':
			return v.Text
		}
		return finite(v.Num)
	}
	var v []any
	for _, k := range n.kids {
		v = append(v, k.walk(w))
	}
	switch n.op {
	case "and", "or":
		decides := n.op == "or"
		if v[0] == decides || v[1] == decides {
			return decides
		}
	case "??":
		if v[0] != nil {
			return v[0]
		}
		return v[1]
	case "in":
		if v[0] == nil {
			return nil
		}
		return v[0] == v[1] || v[0] == v[2]
	}
	for _, x := range v {
		if x == nil {
			return nil
		}
	}
	switch n.op {
	case "and", "or":
		return n.op == "and"
	case "not":
		return !v[0].(bool)
	case "==":
		return v[0] == v[1]
	case "!=":
		return v[0] != v[1]
	case "matches":
		return regexp.MustCompile(v[1].(string)).MatchString(v[0].(string))
	}
	a := v[0].(float64)
	switch n.op {
	case "-x":
		return -a
	case "abs":
		return math.Abs(a)
	case "round":
		return math.Round(a)
	}
	b := v[1].(float64)
	switch n.op {
	case "+":
		return finite(a + b)
	case "-":
		return finite(a - b)
	case "*":
		return finite(a * b)
	case "/":
		return finite(a / b)
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	}
	return a >= b
}

func finite(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}

func letters(name string) (expr.Metric, bool) {
	switch name[0] {
	case 'b':
		return expr.Metric{Type: expr.Bool}, true
	case 't':
		return expr.Metric{Type: expr.Text}, true
	}
	return expr.Metric{}, true
}

func TestCompiledAgreesWithNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root := draw(t, "b", rapid.IntRange(0, 5).Draw(t, "depth"))
		src := root.String()
		p, problems := expr.Compile(src, expr.Scope{Metric: letters})
		if p == nil {
			for _, pr := range problems {
				if !pr.Warning && !strings.Contains(pr.Fact, "has no value") && !strings.Contains(pr.Fact, "more than") {
					t.Fatalf("%s: %+v", src, pr)
				}
			}
			return
		}
		again, problems := expr.Compile(p.String(), expr.Scope{Metric: letters})
		if again == nil {
			t.Fatalf("%s\nis %s: %+v", src, p, problems)
		}
		if again.String() != p.String() {
			t.Fatalf("%s\nis %s\nand again %s", src, p, again)
		}
		for range 3 {
			w := world(t)
			var want expr.Value
			if v, ok := root.walk(w).(bool); ok {
				want = truth(v)
			}
			for _, p := range []*expr.Program{p, again} {
				var slots []expr.Value
				for _, r := range p.Refs() {
					slots = append(slots, w[r.Metric])
				}
				if got := p.Eval(slots); got != want {
					t.Fatalf("%s\nas %s with %v\nis %+v, want %+v", src, p, w, got, want)
				}
			}
		}
	})
}

func FuzzCompile(f *testing.F) {
	for _, src := range []string{
		"p95(vibration_rms, 5m) > 7.1 and min(running, 5m)", "share_firing(device-silent) >= 50%",
		"battery < 15 and not (external_power ?? false)", "temperature > -15 °C or a.0.b-c < @max-x * 1e3 V",
		`mode matches "^(a|b)*$" and weekday in ["sat", "sun"] // so`, "rate(temperature, 1h30m) > 0.5 °C/min ?? -3 /* x */",
		"((((", "1 < x < 5", "x<(x<(x<(x<x)<x)<x)<x", "p99.9(x, 1d) in [5%, \"3\"]", "filter(x, # > 1) | y[0]?.z", "'\\", "`",
		"(temperature + outside) / 2 > 5 °F", "delta(outside, 5m) > @a - delta(temperature, 1m)",
	} {
		f.Add(src, 1.0, "a")
	}
	f.Fuzz(func(t *testing.T, src string, v float64, s string) {
		p, problems := expr.Compile(src, scope())
		for _, pr := range problems {
			if pr.Offset < 0 || pr.Length < 0 || pr.Offset+pr.Length > len(src) || pr.Fact == "" || pr.Remedy == "" {
				t.Fatalf("%q: %+v", src, pr)
			}
		}
		if p == nil {
			return
		}
		if n := len(p.Refs()); n > 32 || p.Cost() < 1 || p.Cost() > 256*(1+1000*1024) {
			t.Fatalf("%q asks for %d slots and costs %d", src, n, p.Cost())
		}
		again, problems := expr.Compile(p.String(), scope())
		if again == nil {
			t.Fatalf("%q is %s: %+v", src, p, problems)
		}
		if again.String() != p.String() {
			t.Fatalf("%q is %s, and again %s", src, p, again)
		}
		if diff := cmp.Diff(p.Refs(), again.Refs()); diff != "" {
			t.Fatalf("%q is %s, and asks again (-first +again)\n%s", src, p, diff)
		}
		for _, slots := range [][]expr.Value{nil, make([]expr.Value, len(p.Refs())), slotsOf(p, v, s)} {
			a, b := p.Eval(slots), again.Eval(slots)
			if a != b || a.Text != "" || a.Num != 0 && a.Num != 1 || !a.Known && a.Num != 0 {
				t.Fatalf("%q with %v is %v, and again %v", src, slots, a, b)
			}
		}
	})
}

// slotsOf fills every slot with something, whatever it wants.
func slotsOf(p *expr.Program, v float64, s string) []expr.Value {
	slots := make([]expr.Value, len(p.Refs()))
	for i := range slots {
		slots[i] = expr.Value{Num: v * float64(i+1), Text: s, Known: (len(s)+i)%3 != 0}
	}
	return slots
}
