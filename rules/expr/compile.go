package expr

// Compile reads a condition: an expression that is true, false or unknown. The
// program is nil if a problem is not a warning. Problems come in the order of
// the source.
func Compile(src string, s Scope) (*Program, []Problem) {
	return nil, []Problem{{Length: len(src), Fact: "expressions are not compiled yet", Remedy: "write a structured condition"}}
}

// Refs lists what p asks for, slot by slot. The caller must not change it.
func (p *Program) Refs() []Ref { return nil }

// Eval is what p comes to with these slots: a boolean, or not Known. It
// allocates nothing, and takes at most [Program.Cost] steps.
func (p *Program) Eval(slots []Value) Value { return Value{} }

// String is p in one spelling, whatever the spelling of its source.
func (p *Program) String() string { return "" }

// Cost bounds the steps of one Eval.
func (p *Program) Cost() int { return 0 }
