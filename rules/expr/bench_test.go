package expr_test

import (
	"strings"
	"testing"

	exprlang "github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"tocsin/rules/expr"
)

func TestEvalAllocatesNothing(t *testing.T) {
	for _, src := range []string{
		"temperature > 5 and battery < 15 and voltage >= 3.3",
		"(temperature ?? 5) - prev(temperature) > delta(outside, 5m) and not (running ?? false)",
		`mode in ["a", "b"] or door matches "^(open|ajar)$" or door == mode`,
	} {
		p := compile(t, src)
		slots := make([]expr.Value, len(p.Refs()))
		for i := range slots {
			slots[i] = expr.Value{Num: 10, Text: "open", Known: i != 1}
		}
		if n := testing.AllocsPerRun(100, func() { p.Eval(slots) }); n != 0 {
			t.Errorf("%s: %v allocations", src, n)
		}
	}
}

// BenchmarkThreeComparisons sets a program beside the same written in Go, with
// the same three values, and beside expr-lang's own machine, which knows two.
func BenchmarkThreeComparisons(b *testing.B) {
	slots := []expr.Value{num(10), num(10), num(10)}
	b.Run("program", func(b *testing.B) {
		p, problems := expr.Compile("temperature > 5 and battery < 15 and voltage >= 3.3", scope())
		if p == nil {
			b.Fatal(problems)
		}
		b.ReportAllocs()
		for b.Loop() {
			if p.Eval(slots).Num != 1 {
				b.Fatal("not true")
			}
		}
	})
	b.Run("inline", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t, c, v := &slots[0], &slots[1], &slots[2]
			known := t.Known && c.Known && v.Known
			if !known || !(t.Num > 5 && c.Num < 15 && v.Num >= 3.3) {
				b.Fatal("not true")
			}
		}
	})
	b.Run("expr-lang", func(b *testing.B) {
		env := map[string]any{"temperature": 10.0, "battery": 10.0, "voltage": 10.0}
		program, err := exprlang.Compile("temperature > 5 and battery < 15 and voltage >= 3.3", exprlang.Env(env), exprlang.AsBool())
		if err != nil {
			b.Fatal(err)
		}
		var machine vm.VM
		b.ReportAllocs()
		for b.Loop() {
			out, err := machine.Run(program, env)
			if err != nil || out != true {
				b.Fatal(out, err)
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if p, problems := expr.Compile("p95(vibration_rms, 5m) > 7.1 and min(running, 5m)", scope()); p == nil {
			b.Fatal(problems)
		}
	}
}

func TestCostIsStepsAndPatternsAreDear(t *testing.T) {
	f := func(src string, atLeast, atMost int) {
		t.Helper()
		if got := compile(t, src).Cost(); got < atLeast || got > atMost {
			t.Errorf("%s costs %d, want %d to %d", src, got, atLeast, atMost)
		}
	}
	f("running", 1, 1)
	f("temperature > 5 and battery < 15", 7, 7)
	f("temperature in [1, 2, 3]", 5, 5)
	f(`mode matches "a"`, 1024, 16*1024)
	f(`mode matches "a{200}"`, 200*1024, 210*1024)
}

func TestHostileSourceIsRefused(t *testing.T) {
	many := func(n int, s, between string) string {
		return strings.TrimSuffix(strings.Repeat(s+between, n), between)
	}
	distinct := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString("m" + strings.Repeat("x", i) + " > 5 or ")
		}
		return b.String() + "running"
	}
	f := func(src, fact string) {
		t.Helper()
		p, problems := expr.Compile(src, scope())
		if p != nil {
			t.Errorf("%.40s… is accepted", src)
			return
		}
		for _, pr := range problems {
			if strings.Contains(pr.Fact, fact) {
				return
			}
		}
		t.Errorf("%.40s… has %+v, want %q", src, problems, fact)
	}
	f(strings.Repeat(" ", 4097), "longer than 4096 bytes")
	f("temperature > \xff", "not UTF-8")
	f(many(65, "(", "")+"running"+many(65, ")", ""), "nested more than 64 deep")
	f(many(70, "not ", "")+"running", "nested more than 64 deep")
	f(many(70, "-", " ")+"temperature > 5", "nested more than 64 deep")
	f(many(300, "running", " or "), "more than 256 parts")
	f("temperature in ["+many(300, "5", ",")+"]", "more than 256 parts")
	f("x<"+many(100, "(x<", "")+"x"+many(100, ")<x", ""), "nested more than 64 deep")
	f("x<"+many(20, "(x<", "")+"x"+many(20, ")<x", ""), "more than 256 parts")
	f(distinct(32), "33 different things")
	f(`mode matches "`+many(1025, "a", "")+`"`, "longer than 1024 bytes")
	f(`mode == "`+many(1025, "a", "")+`"`, "longer than 1024 bytes")
	f(`metric("`+many(257, "a", "")+`") > 5`, "1 to 256 bytes")
	for _, src := range []string{distinct(31), many(120, "running", " or ")} {
		if p, problems := expr.Compile(src, scope()); p == nil {
			t.Error(problems)
		}
	}
}
