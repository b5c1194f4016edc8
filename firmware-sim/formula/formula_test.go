package formula

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestFormulasMeanWhatArithmeticSays(t *testing.T) {
	f := func(text string, want float64) {
		t.Helper()
		parsed, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		values := make([]float64, len(parsed.Names))
		for i, name := range parsed.Names {
			values[i] = map[string]float64{"load": 3, "probe.t": 5, "temperature:0.tC": 7}[name]
		}
		if got := parsed.Eval(10, values); math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", text, got, want)
		}
	}
	f("1 + 2 * 3", 7)
	f("(1 + 2) * 3", 9)
	f("10 - 4 - 3", 3)
	f("24 / 4 / 2", 3)
	f("-2 * -3", 6)
	f("--2", 2)
	f("7 % 4", 3)
	f("2*t - load", 17)
	f("probe.t + 'temperature:0.tC' + load + load", 18)
	f("min(4, 2, 3) + max(1, load)", 5)
	f("sin(pi / 2) + abs(-1) + cos(0)", 3)
	f("sqrt(16) + pow(2, 3) + floor(1.9) + round(1.5) + exp(0) + log(1)", 16)
	f("1e3 + 2.5E-1 + .5", 1000.75)
	f(strings.Repeat("(", 40)+"t"+strings.Repeat(")", 40), 10)
}

func TestMistakesAreExplainedWithTheirPlace(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "(") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	f("", "at character 1: the end, where a number, a name or a ( should be")
	f("1 +", "at character 4: the end")
	f("1 2", `at character 3: "2", where an operator should be`)
	f("(1", "where a ) should be")
	f("sin(1", "where a , or a ) should be")
	f("foo(1)", `at character 1: there is no function "foo" (use abs, cos`)
	f("sin(1, 2)", "sin takes 1 to 1 numbers, not 2")
	f("1.2.3", `"1.2.3" is not a number`)
	f("'x", "the ' is not closed")
	f("a & b", `"& b"`)
	f(strings.Repeat("(", 60), "more than 50")
	f(strings.Repeat("1+", 600)+"1", "at most 1000 are read")
}

// Whatever is accepted can be evaluated, with as many values as it names.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"1+2*t", "min(a, 'b c')/0", "-(3%x.y)", "sin(", "'"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err != nil {
			return
		}
		if sorted := slices.Sorted(slices.Values(parsed.Names)); len(slices.Compact(sorted)) != len(parsed.Names) {
			t.Fatalf("%q names %q", text, parsed.Names)
		}
		parsed.Eval(1, make([]float64, len(parsed.Names)))
	})
}
