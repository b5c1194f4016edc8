package rules

import (
	"regexp"
	"slices"
)

// truth is three-valued: what is unknown neither fires nor clears.
type truth uint8

const (
	unknown truth = iota
	no
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// A value is a judged reading: num for a number or (0 or 1) a boolean, text for
// a text. Which of them it is, is the metric's matter.
type value struct {
	num  float64
	text string
}

// asCame is the kind of a metric of which nothing says what it is: each reading is of
// the kind it came as. A boolean has boolMark for its text, and a number none.
const (
	asCame   = Text + 1
	boolMark = "\x00"
)

// of is the kind of a value of kind k.
func (k Kind) of(v value) Kind {
	switch {
	case k != asCame:
		return k
	case v.text == "":
		return Number
	case v.text == boolMark:
		return Bool
	}
	return Text
}

func (k Kind) String() string {
	switch k {
	case Bool:
		return "bool"
	case Text:
		return "text"
	}
	return "number"
}

// public is the value as events and stored states carry it.
func (k Kind) public(v value) any {
	switch k.of(v) {
	case Bool:
		return v.num != 0
	case Text:
		return v.text
	}
	return v.num
}

// private undoes public; false for something of another kind.
func (k Kind) private(v any) (value, bool) {
	switch v := v.(type) {
	case float64:
		return value{num: v}, k == Number || k == asCame
	case bool:
		out := value{}
		if v {
			out.num = 1
		}
		if k == asCame {
			out.text = boolMark
		}
		return out, k == Bool || k == asCame
	case string:
		return value{text: v}, k == Text || k == asCame && v != ""
	}
	return value{}, false
}

type operator uint8

const (
	above operator = iota
	atLeast
	below
	atMost
	outside
	inside
	is
	isNot
	oneOf
	matches
)

// keys are the operators as a rule file writes them.
var keys = [...]string{"above", "at_least", "below", "at_most", "outside", "inside", "is", "is_not", "in", "matches"}

// upward and downward say on which side of its limit an operator fires.
func (o operator) upward() bool   { return o == above || o == atLeast }
func (o operator) downward() bool { return o == below || o == atMost }

// isLimit tells the limit family from the value family.
func (o operator) isLimit() bool { return o <= inside }

// A condition is a compiled fire condition C with its clear condition R. They
// are never true together; where neither is, lies the deadband.
type condition struct {
	kind  Kind // of what is compared
	op    operator
	gauge int // index in rule.gauges of what is compared

	// Of an expression, the rung's own clear expression: index+1 in rule.gauges;
	// 0 for none, which is the opposite.
	clearGauge int

	lo, hi           float64 // the limit, in the metric's unit; hi for ranges only
	clearLo, clearHi float64
	hasClear         bool

	values  []value
	pattern *regexp.Regexp
	clearIs *value

	limit, clear     any    // as events show them
	text, clearText  string // "above -12 °C", "at or below -14 °C"
	threshold        string // "-12 °C"
	measured, metric string // the unit of what is compared, and the metric's name
}

// fires is C.
func (c *condition) fires(v value) truth {
	switch c.op {
	case above:
		return truthOf(v.num > c.lo)
	case atLeast:
		return truthOf(v.num >= c.lo)
	case below:
		return truthOf(v.num < c.lo)
	case atMost:
		return truthOf(v.num <= c.lo)
	case outside:
		return truthOf(v.num < c.lo || v.num > c.hi)
	case inside:
		return truthOf(v.num >= c.lo && v.num <= c.hi)
	case is, oneOf:
		return truthOf(slices.Contains(c.values, v))
	case isNot:
		return truthOf(!slices.Contains(c.values, v))
	case matches:
		return truthOf(c.pattern.MatchString(v.text))
	}
	return unknown
}

// clears is R. Without a clear key it is the opposite of C.
func (c *condition) clears(v value) truth {
	f := c.fires(v)
	switch {
	case f == unknown:
		return unknown
	case f == yes:
		return no
	case c.clearIs != nil:
		return truthOf(v == *c.clearIs)
	case !c.hasClear:
		return yes
	case c.op.upward():
		return truthOf(v.num <= c.clearLo)
	case c.op.downward():
		return truthOf(v.num >= c.clearLo)
	case c.op == outside:
		return truthOf(v.num >= c.clearLo && v.num <= c.clearHi)
	default: // inside
		return truthOf(v.num <= c.clearLo || v.num >= c.clearHi)
	}
}

// further reports whether a is further into the alarm than b, for the peak.
func (c *condition) further(a, b float64) bool {
	switch {
	case c.op.upward():
		return a > b
	case c.op.downward():
		return a < b
	case c.op == outside:
		return max(c.lo-a, a-c.hi) > max(c.lo-b, b-c.hi)
	}
	return false
}

// peaks reports whether the condition has a worst value.
func (c *condition) peaks() bool { return c.op.isLimit() && c.op != inside }
