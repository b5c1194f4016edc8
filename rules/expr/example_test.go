package expr_test

import (
	"fmt"

	"tocsin/rules/expr"
)

func ExampleCompile() {
	p, problems := expr.Compile("battery < 15% and not (external_power ?? false)", expr.Scope{})
	if p == nil {
		fmt.Println(problems)
		return
	}
	for i, r := range p.Refs() {
		fmt.Println(i, r.Metric)
	}
	fmt.Println(p)
	v := p.Eval([]expr.Value{{Num: 12, Known: true}, {}})
	fmt.Println(v.Num, v.Known)
	// Output:
	// 0 battery
	// 1 external_power
	// battery < 15% and not (external_power ?? false)
	// 1 true
}

func ExampleProblem() {
	const src = "temperature > 5 %"
	_, problems := expr.Compile(src, scope())
	for _, p := range problems {
		fmt.Printf("%q: %s (%s)\n", src[p.Offset:p.Offset+p.Length], p.Fact, p.Remedy)
	}
	// Output:
	// "5 %": 5 % does not fit temperature, which is in °C (write it in °C)
}
