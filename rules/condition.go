package rules

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	switch k {
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
		return value{num: v}, k == Number
	case bool:
		if v {
			return value{num: 1}, k == Bool
		}
		return value{}, k == Bool
	case string:
		return value{text: v}, k == Text
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
	measured, metric string // the metric's unit and name
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

// written lists the keys of c that are in the file, fire keys apart from others.
func (c *Condition) written() (fire []operator, others []string) {
	for o, present := range [...]bool{
		c.Above != nil, c.AtLeast != nil, c.Below != nil, c.AtMost != nil, c.Outside != nil, c.Inside != nil,
		c.Is != nil, c.IsNot != nil, c.In != nil, c.Matches != nil,
	} {
		if present {
			fire = append(fire, operator(o))
		}
	}
	if c.Clear != nil {
		others = append(others, "clear")
	}
	if c.ClearIs != nil {
		others = append(others, "clear_is")
	}
	return fire, others
}

// scalars lists what the value family compares with.
func (c *Condition) scalars() []Scalar {
	list := slices.Clone(c.In)
	for _, s := range []*Scalar{c.Is, c.IsNot, c.ClearIs} {
		if s != nil {
			list = append(list, *s)
		}
	}
	return list
}

// quantities lists every number with a unit that c compares with.
func (c *Condition) quantities() []Quantity {
	var list []Quantity
	for _, q := range []*Quantity{c.Above, c.AtLeast, c.Below, c.AtMost} {
		if q != nil {
			list = append(list, *q)
		}
	}
	ranges := []*Range{c.Outside, c.Inside}
	if c.Clear != nil && c.Clear.Limits {
		ranges = append(ranges, &c.Clear.Range)
	}
	for _, r := range ranges {
		if r != nil {
			list = append(list, r.Low)
			if r.High != nil {
				list = append(list, *r.High)
			}
		}
	}
	return list
}

// fireKeys are the paths of all fire keys of a table.
func fireKeys(table []string) [][]string {
	var paths [][]string
	for _, key := range keys {
		paths = append(paths, join(table, key))
	}
	return paths
}

// condition checks what a rule or level asks of metric m, nil if none is
// named. The first
// return is meaningless when the second is false; problems say why.
func (c *compiler) condition(path []string, def *Condition, m *metric) (condition, bool) {
	fire, _ := def.written()
	switch len(fire) {
	case 0:
		c.fail(path, "has no condition", "give it one of "+strings.Join(keys[:], ", "), fireKeys(path)...)
		return condition{}, false
	case 1:
	default:
		c.twoConditions(path, fire)
		return condition{}, false
	}
	if m == nil {
		return condition{op: fire[0]}, false
	}
	out := condition{kind: m.kind, op: fire[0], measured: m.unit, metric: m.name}
	before := c.errors
	if out.op.isLimit() {
		c.limit(path, def, m, &out)
	} else {
		c.value(path, def, m, &out)
	}
	return out, c.errors == before
}

func (c *compiler) twoConditions(path []string, fire []operator) {
	a, b := fire[0], fire[1]
	at := join(path, keys[b])
	switch {
	case a.isLimit() != b.isLimit():
		c.fail(at, keys[b]+" and "+keys[a]+" belong to two families of conditions", "a rule asks one question: keep one of them, and make a second rule of the other")
	case a.upward() && b.downward():
		c.fail(at, keys[a]+" and "+keys[b]+" contradict each other", "write outside = [low, high] to fire beyond both, or inside = [low, high] to fire between them")
	default:
		c.fail(at, "has both "+keys[a]+" and "+keys[b], "keep one of them")
	}
}

// limit compiles the limit family.
func (c *compiler) limit(path []string, def *Condition, m *metric, out *condition) {
	at := join(path, keys[out.op])
	if m.kind != Number {
		c.fail(at, keys[out.op]+" wants a number, and "+m.name+" is a "+m.kind.String(), `compare it with is, is_not, in or matches, or give [metric.`+m.name+`] type = "number"`)
		return
	}
	if def.ClearIs != nil {
		c.fail(join(path, "clear_is"), "clear_is goes with is, is_not, in and matches, not with "+keys[out.op], "write clear = a number")
	}
	if out.op == outside || out.op == inside {
		c.limitRange(path, def, m, out)
		return
	}
	q := *[...]*Quantity{def.Above, def.AtLeast, def.Below, def.AtMost}[out.op]
	limit, ok := c.quantity(at, q, m)
	if !ok {
		return
	}
	out.lo, out.limit, out.threshold = limit, limit, withUnit(exact(limit), m.unit)
	out.text = [...]string{"above ", "at least ", "below ", "at most "}[out.op] + out.threshold
	out.clearText = [...]string{"at or below ", "below ", "at or above ", "above "}[out.op] + out.threshold
	c.reachable(at, out, m)
	if def.Clear == nil {
		out.clear = limit
		return
	}
	at = join(path, "clear")
	if def.Clear.High != nil {
		c.fail(at, "clear has two limits, and "+keys[out.op]+" has one", "write one number")
		return
	}
	clear, ok := c.quantity(at, def.Clear.Low, m)
	if !ok {
		return
	}
	if out.op.upward() && clear > limit || out.op.downward() && clear < limit {
		c.wrongSide(at, clear, out)
	}
	out.clear = clear
	if clear != limit {
		out.clearLo, out.hasClear = clear, true
		out.clearText = "at or below " + withUnit(exact(clear), m.unit)
		if out.op.downward() {
			out.clearText = "at or above " + withUnit(exact(clear), m.unit)
		}
	}
	c.clearable(at, out, m)
}

func (c *compiler) wrongSide(path []string, clear float64, out *condition) {
	side, fires := "below", "ABOVE"
	if out.op.downward() {
		side, fires = "above", "BELOW"
	}
	better := shown(out.lo - (clear - out.lo))
	c.fail(path, "clear ("+withUnit(exact(clear), out.measured)+") must be "+side+" the limit ("+out.threshold+") because the rule fires "+fires+" it",
		"did you mean "+strconv.Quote(withUnit(better, out.measured))+"? a value of "+shown((clear+out.lo)/2)+" would fire and clear on every sample")
}

func (c *compiler) limitRange(path []string, def *Condition, m *metric, out *condition) {
	at := join(path, keys[out.op])
	r := def.Outside
	if out.op == inside {
		r = def.Inside
	}
	var ok bool
	if out.lo, out.hi, ok = c.bounds(at, r, m); !ok {
		return
	}
	out.limit = []float64{out.lo, out.hi}
	out.threshold = withUnit(exact(out.lo), m.unit) + " to " + withUnit(exact(out.hi), m.unit)
	out.text, out.clearText = "outside "+out.threshold, "inside "+out.threshold
	if out.op == inside {
		out.text, out.clearText = out.clearText, out.text
	}
	c.reachable(at, out, m)
	out.clear = out.limit
	if def.Clear == nil {
		return
	}
	at = join(path, "clear")
	if out.clearLo, out.clearHi, ok = c.bounds(at, &def.Clear.Range, m); !ok {
		return
	}
	span := withUnit(exact(out.clearLo), m.unit) + " to " + withUnit(exact(out.clearHi), m.unit)
	if out.op == outside && (out.clearLo < out.lo || out.clearHi > out.hi) {
		c.fail(at, "clear ("+span+") must lie inside the limits ("+out.threshold+") because the rule fires OUTSIDE them", "narrow clear, so that a reading cannot fire and clear at once")
	}
	if out.op == inside && (out.clearLo > out.lo || out.clearHi < out.hi) {
		c.fail(at, "clear ("+span+") must enclose the limits ("+out.threshold+") because the rule fires INSIDE them", "widen clear, so that a reading cannot fire and clear at once")
	}
	out.hasClear, out.clear = true, []float64{out.clearLo, out.clearHi}
	out.clearText = "within " + span
	if out.op == inside {
		out.clearText = "beyond " + span
	}
	c.clearable(at, out, m)
}

// value compiles the value family.
func (c *compiler) value(path []string, def *Condition, m *metric, out *condition) {
	if def.Clear != nil {
		c.fail(join(path, "clear"), "clear goes with a limit such as above, not with "+keys[out.op], "write clear_is = the value that ends the alarm, or leave it out")
	}
	var written []Scalar
	switch out.op {
	case is:
		written = []Scalar{*def.Is}
	case isNot:
		written = []Scalar{*def.IsNot}
	case oneOf:
		written = def.In
	default:
		c.pattern(path, *def.Matches, m, out)
	}
	if out.op == oneOf && len(written) == 0 {
		c.fail(join(path, "in"), "in is empty", "list the values that fire, or remove the rule")
	}
	var names []string
	var shownValues []any
	for _, s := range written {
		v, ok := c.scalar(join(path, keys[out.op]), keys[out.op], s, m)
		if !ok {
			return
		}
		out.values = append(out.values, v)
		names = append(names, m.show(v))
		shownValues = append(shownValues, m.kind.public(v))
	}
	switch out.op {
	case is, isNot:
		out.limit, out.threshold = shownValues[0], names[0]
	case oneOf:
		out.limit, out.threshold = shownValues, strings.Join(names, ", ")
	}
	c.possible(join(path, keys[out.op]), out, m)
	words := [...]string{"is ", "is not ", "in ", "matches "}
	opposites := [...]string{"is not ", "is ", "not in ", "does not match "}
	out.text = words[out.op-is] + out.threshold
	out.clearText = opposites[out.op-is] + out.threshold
	if def.ClearIs == nil {
		return
	}
	v, ok := c.scalar(join(path, "clear_is"), "clear_is", *def.ClearIs, m)
	if !ok || out.op == matches && out.pattern == nil {
		return
	}
	if out.fires(v) == yes {
		c.fail(join(path, "clear_is"), "clear_is ("+m.show(v)+") is a value that fires", "name a value that ends the alarm, or leave it out to clear on any other")
	}
	out.clearIs, out.clear, out.clearText = &v, m.kind.public(v), "is "+m.show(v)
}

func (c *compiler) pattern(path []string, s string, m *metric, out *condition) {
	at := join(path, "matches")
	if m.kind != Text {
		c.fail(at, "matches wants a text, and "+m.name+" is a "+m.kind.String(), `give [metric.`+m.name+`] type = "text"`)
		return
	}
	re, err := regexp.Compile(s)
	if err != nil {
		c.fail(at, "is no regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "use the syntax of RE2; in TOML a 'single-quoted' string keeps its backslashes")
		return
	}
	out.pattern, out.limit, out.threshold = re, s, strconv.Quote(s)
}
