// Package expr is the language of `when`: conditions over a device's readings.
//
// An expression is parsed by github.com/expr-lang/expr's parser, typed against
// what is known of the metrics, and compiled to closures over numbered slots.
// What it asks of the world is in [Program.Refs]; the caller fills a slot for
// each before it calls [Program.Eval]. Logic is Kleene's: what is unknown is
// neither true nor false, unless the rest decides.
//
// Quantities and durations are written between quotes or without, in any unit
// that converts: temperature > "-15 °C", p95(vibration, 5m) > 7.1, battery < 15%.
// They are converted when the expression is compiled, and so is what two metrics
// in two units are compared by. A literal without a unit is in the unit of what
// it is compared with; a rate is per second then. A plain number times or by a
// quantity keeps its unit, and any other product has none.
//
// A metric is named as it is, dots and all: switch.0.apower. A name with a dash
// is one name if a metric is declared as that, and a difference if not; any name
// can be written metric("soil-moisture"). @limit, or attr("limit"), is an
// attribute of the device, and its dashes belong to it. not binds less tightly
// than a comparison, and ?? wants parentheses beside another operator.
//
// It is not an engine: it keeps no reading, knows no clock, and evaluates
// nothing but what it is given.
//
// Concurrency: a [Program] is immutable and may be shared.
package expr

import "time"

// Type is what an expression, or a slot, holds.
type Type uint8

const (
	Number Type = iota
	Bool
	Text
)

// A Value is a number, a boolean (Num is 0 or 1) or a text, or is not Known.
type Value struct {
	Num   float64
	Text  string
	Known bool
	// Partial says of a count or a sum that Num is what it is at least: nobody has
	// watched the whole stretch. A comparison is unknown then, unless more readings
	// could not change it.
	Partial bool
}

// RefKind says what a slot is to be filled with.
type RefKind uint8

const (
	Last    RefKind = iota // the newest reading of Metric, in the metric's unit
	Prev                   // the reading before it
	Changed                // Bool: the newest reading differs from the one before
	Age                    // seconds since the newest reading of Metric
	Window                 // Func of Metric over Over
	Attr                   // the device's attribute Name, in Unit
	Firing                 // Bool: rule Name fires for the same device
	Share                  // percent of the group's members for which rule Name fires
	Count                  // how many members rule Name fires for
	Online                 // Bool: the device's presence
	Hour                   // 0 … 23, in the rule's zone
	Weekday                // 0 is Sunday
)

// A Ref is one thing that an expression asks for. Two equal ones share a slot.
type Ref struct {
	Kind     RefKind
	Type     Type          // of the slot
	Metric   string        // Last … Window
	Func     string        // Window: avg min max sum count first last median stddev spread rate delta quantile
	Quantile float64       // of Func quantile, 0 … 1
	Over     time.Duration // Window
	Name     string        // Attr: attribute; Firing, Share, Count: rule
	Unit     string        // of the slot's number, "" for none; that of an undeclared metric is taken from its use
	Role     Role          // Attr: how its number is converted to Unit
}

// A Role is what decides how a number is converted where zero is not zero in
// both units: 5 °C are 41 °F, and a difference of 5 °C is one of 9 °F.
type Role uint8

const (
	Absolute   Role = iota
	Difference      // of two readings, or a rate
	Either          // the expression does not tell: not converted
)

// A Metric is what is known of one.
type Metric struct {
	Type Type
	Unit string // "" where none is declared
}

// A Scope is what an expression may name.
type Scope struct {
	// Metric looks one up. Known is false for a metric that no file declares: it
	// takes its type from its use. Near is one of nearly that name, or "": it is
	// warned of, or refused where that one is sure to be meant.
	Metric func(name string) (m Metric, known bool)
	Near   func(name string) (near string, sure bool)
	// Rule looks the id of one up, for firing, share_firing and count_firing; near is
	// what a wrong one was probably meant to be, or "". Without it there are none.
	Rule func(id string) (near string, known bool)
	// Convert takes a number from one unit to another; false where the
	// dimensions differ. "" is any unit, and s, min and h are times. Without it
	// nothing is converted.
	Convert func(v float64, from, to string) (float64, bool)
	Group   bool // share_firing and count_firing have members to count
}

// A Problem is what is wrong with an expression, at Length bytes from Offset.
type Problem struct {
	Offset, Length int
	Fact, Remedy   string
	Warning        bool
}

// A Program is a compiled expression.
type Program struct {
	refs    []Ref
	bounds  []bounds // by slot
	stretch *stretch // nil if it asks for more than one number
	text    string
	cost    int
	run     func([]Value) truth
}
