package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/rules/expr"
)

// condition compiles what a rule or level asks. The first return is of use only
// if the second is true; problems say why it is not.
func (c *compiler) condition(path []string, def *Condition, r *rule) (condition, bool) {
	fire := def.fire()
	if len(fire) == 0 {
		if r.forward && r.metric != nil {
			return c.anything(path, def, r), true
		}
		c.fail(path, "has no condition", "give it one, such as above, outside, is, changed, rate_above, deviates, silent, flat, invalid or when", firePaths(path)...)
		return condition{}, false
	}
	if !c.oneQuestion(path, fire) {
		return condition{}, false
	}
	key, before := fire[0], c.errors
	c.strays(path, def, key.family, r)
	out := condition{op: key.op}
	if !key.family.ofDevice() {
		if r.metric == nil {
			return out, false // which has been said
		}
		out.metric = r.metric.name
	}
	switch key.family {
	case limitFamily:
		c.limitOf(path, def, r, &out)
	case valueFamily:
		out.kind, out.measured = r.metric.kind, r.metric.unit
		out.gauge = r.gauge(gauge{source: newest, metric: r.metric})
		c.value(path, def, r.metric, &out)
	case changeFamily:
		c.change(path, def, r, &out)
	case trendFamily:
		c.trend(path, key, def, r, &out)
	case deviationFamily:
		c.deviation(path, def, r, &out)
	case silenceFamily:
		c.silence(path, def, r, &out)
	case flatFamily:
		c.flat(path, def, r, &out)
	case invalidFamily:
		c.invalidity(path, def, r, &out)
	case skewFamily:
		c.skew(path, def, r, &out)
	case expressionFamily:
		c.when(path, def, r, &out)
	}
	if def.Hold != nil && momentary(key.family, r) && c.errors == before {
		c.moment(path, def, r, &out)
	}
	return out, c.errors == before
}

// momentary reports whether a condition of a family is over as soon as it is true.
func momentary(f family, r *rule) bool {
	return (f == limitFamily || f == valueFamily) && r.metric != nil && r.metric.event
}

// moment makes an alarm of each reading of a momentary metric that fires, for as
// long as hold says.
func (c *compiler) moment(path []string, def *Condition, r *rule, out *condition) {
	if !c.span(join(path, "hold"), *def.Hold, longestWindow) {
		return
	}
	inner := *out
	ch := &change{moment: &inner, hold: time.Duration(*def.Hold)}
	r.truly(gauge{source: changed, metric: r.metric, change: ch}, out, inner.text, "not "+inner.text+" within "+written(ch.hold))
}

// anything is the condition of a rule that forwards every reading.
func (c *compiler) anything(path []string, def *Condition, r *rule) condition {
	c.strays(path, def, valueFamily, r)
	if def.Clear != nil || def.ClearIs != nil {
		c.fail(path, "ends an alarm that it has not", "a rule that forwards every reading has no alarm: remove clear")
	}
	return condition{
		kind: r.metric.kind, op: isNot, gauge: r.gauge(gauge{source: newest, metric: r.metric}),
		text: "any reading", clearText: "no reading", measured: r.metric.unit, metric: r.metric.name,
	}
}

// oneQuestion refuses two fire keys, but for a change from one value to another.
func (c *compiler) oneQuestion(path []string, fire []fireKey) bool {
	if len(fire) == 1 || len(fire) == 2 && fire[0].name == "from" && fire[1].name == "to" {
		return true
	}
	a, b := fire[0], fire[1]
	at := join(path, b.name)
	switch {
	case a.family != b.family:
		c.fail(at, b.name+" and "+a.name+" belong to two families of conditions", "a rule asks one question: keep one of them, and make a second rule of the other")
	case a.family == limitFamily && a.op.upward() && b.op.downward():
		c.fail(at, a.name+" and "+b.name+" contradict each other", "write outside = [low, high] to fire beyond both, or inside = [low, high] to fire between them")
	case a.family == trendFamily:
		c.fail(at, "has both "+a.name+" and "+b.name, "keep one of them, and make a second rule of the other")
	default:
		c.fail(at, "has both "+a.name+" and "+b.name, "keep one of them")
	}
	return false
}

// strays refuses keys that have no effect in a family and would mislead.
func (c *compiler) strays(path []string, def *Condition, f family, r *rule) {
	windowed := def.Agg != "" || f == trendFamily
	switch {
	case def.Agg != "" && f != limitFamily:
		c.fail(join(path, "agg"), "agg has no effect here", "compare it with above, at_least, below, at_most, outside or inside, or remove it")
	case def.Over != nil && !windowed:
		c.fail(join(path, "over"), "over has no effect without agg, rate_above, rate_below, delta_above or delta_below", `write agg = "avg" too, or write for instead of over if the condition must hold that long`,
			join(path, "agg"), join(path, "rate_above"), join(path, "rate_below"), join(path, "delta_above"), join(path, "delta_below"))
	case def.MinSamples != nil && !windowed && f != expressionFamily:
		c.fail(join(path, "min_samples"), "min_samples has no effect without a window", "write agg and over too, or write samples instead for that many readings in a row", join(path, "agg"))
	}
	if def.Hold != nil && f != changeFamily && !momentary(f, r) {
		c.fail(join(path, "hold"), "hold has no effect without changed, from, to, increased_by or decreased_by", "write clear_for to keep the alarm for a time after its condition, or remove hold")
	}
	if def.ClearIs != nil && f != valueFamily {
		name := def.fire()[0].name
		remedy := "write clear = a number"
		if f != limitFamily && f != trendFamily && f != deviationFamily {
			remedy = "remove clear_is"
		}
		c.fail(join(path, "clear_is"), "clear_is goes with is, is_not, in and matches, not with "+name, remedy)
	}
	if def.Clear != nil && (f == changeFamily || f == silenceFamily || f == flatFamily || f == invalidFamily || f == skewFamily) {
		remedy := "remove it: the alarm ends when the condition does, after clear_for"
		if f == changeFamily {
			remedy = "remove it: the alarm ends hold after the change"
		}
		c.fail(join(path, "clear"), "clear has no effect with "+def.fire()[0].name, remedy)
	}
	if n := def.MinSamples; n != nil && (*n < 1 || *n > maxCount) {
		c.fail(join(path, "min_samples"), "min_samples is "+strconv.Itoa(*n), "write how many readings a window must hold: 1 to 10000")
	}
}

// limitOf compiles a limit on the newest reading, or on an aggregate of a window.
func (c *compiler) limitOf(path []string, def *Condition, r *rule, out *condition) {
	m := r.metric
	key := def.fire()[0].name
	if m.kind != Number && def.Agg != "count" {
		c.fail(join(path, key), key+" wants a number, and "+m.name+" is a "+m.kind.String(), `compare it with is, is_not, in or matches, or give [metric.`+m.name+`] type = "number"`)
		return
	}
	if def.Agg == "" {
		g := gauge{source: newest, metric: m}
		c.compare(path, key, def, r, g, m.scale(), out)
		return
	}
	g := gauge{source: aggregate, metric: m, minSamples: 1}
	s := m.scale()
	c.aggregate(path, def, &g, s)
	c.window(path, def, &g)
	c.compare(path, key, def, r, g, s, out)
}

// limits are the quantity and the range that a fire key holds; one is nil.
func (c *Condition) limits(key string) (*Quantity, *Range) {
	switch key {
	case "above":
		return c.Above, nil
	case "at_least":
		return c.AtLeast, nil
	case "below":
		return c.Below, nil
	case "at_most":
		return c.AtMost, nil
	case "outside":
		return nil, c.Outside
	case "inside":
		return nil, c.Inside
	case "rate_above":
		return c.RateAbove, nil
	case "rate_below":
		return c.RateBelow, nil
	case "delta_above":
		return c.DeltaAbove, nil
	case "delta_below":
		return c.DeltaBelow, nil
	}
	return nil, nil
}

// compare compares what a gauge measures, in the unit of s, with the limit of a
// key. What many devices make of it comes in between.
func (c *compiler) compare(path []string, key string, def *Condition, r *rule, g gauge, s *scale, out *condition) {
	out.kind, out.gauge = Number, r.gauge(g)
	r.reduced(s)
	out.measured = s.shown()
	q, span := def.limits(key)
	if span != nil {
		c.limitRange(path, key, span, def, s, out)
	} else {
		c.limit(path, key, *q, def, s, out)
	}
	out.tell(r.words(&g))
}

// tell puts what is measured before what is asked of it.
func (c *condition) tell(words string) {
	if words != "" {
		c.text, c.clearText = words+" "+c.text, words+" "+c.clearText
	}
}

// limit compiles a limit and its clear.
func (c *compiler) limit(path []string, key string, q Quantity, def *Condition, s *scale, out *condition) {
	at := join(path, key)
	limit, ok := c.quantity(at, q, s)
	if !ok {
		return
	}
	out.lo, out.limit, out.threshold = limit, s.public(q, limit), s.write(q, limit)
	out.text = [...]string{"above ", "at least ", "below ", "at most "}[out.op] + out.threshold
	out.clearText = [...]string{"at or below ", "below ", "at or above ", "above "}[out.op] + out.threshold
	c.reachable(at, out, s.metric)
	if def.Clear == nil {
		out.clear = out.limit
		return
	}
	at = join(path, "clear")
	if !c.clearable(at, def.Clear) {
		return
	}
	if def.Clear.High != nil {
		c.fail(at, "clear has two limits, and "+key+" has one", "write one number")
		return
	}
	clear, ok := c.quantity(at, def.Clear.Low, s)
	if !ok {
		return
	}
	if out.op.upward() && clear > limit || out.op.downward() && clear < limit {
		c.wrongSide(at, clear, s, out)
	}
	out.clear = s.public(def.Clear.Low, clear)
	if clear != limit {
		out.clearLo, out.hasClear = clear, true
		out.clearText = "at or below " + s.write(def.Clear.Low, clear)
		if out.op.downward() {
			out.clearText = "at or above " + s.write(def.Clear.Low, clear)
		}
	}
	c.endable(at, out, s.metric)
}

// clearable refuses an expression that ends a limit.
func (c *compiler) clearable(at []string, clear *Clear) bool {
	if clear.Limits {
		return true
	}
	c.fail(at, "clear ("+strconv.Quote(clear.Text)+") is no limit", `write a number, or a number and a unit such as "-15 °C"; an expression goes with when`)
	return false
}

func (c *compiler) wrongSide(path []string, clear float64, s *scale, out *condition) {
	side, fires := "below", "ABOVE"
	if out.op.downward() {
		side, fires = "above", "BELOW"
	}
	better := shown(out.lo - (clear - out.lo))
	c.fail(path, "clear ("+withUnit(exact(clear), s.shown())+") must be "+side+" the limit ("+out.threshold+") because the rule fires "+fires+" it",
		"did you mean "+strconv.Quote(withUnit(better, s.shown()))+"? a value of "+shown((clear+out.lo)/2)+" would fire and clear on every sample")
}

func (c *compiler) limitRange(path []string, key string, r *Range, def *Condition, s *scale, out *condition) {
	at := join(path, key)
	var ok bool
	if out.lo, out.hi, ok = c.bounds(at, r, s); !ok {
		return
	}
	out.limit = []any{s.public(r.Low, out.lo), s.public(*r.High, out.hi)}
	out.threshold = s.write(r.Low, out.lo) + " to " + s.write(*r.High, out.hi)
	out.text, out.clearText = "outside "+out.threshold, "inside "+out.threshold
	if out.op == inside {
		out.text, out.clearText = out.clearText, out.text
	}
	c.reachable(at, out, s.metric)
	out.clear = out.limit
	if def.Clear == nil {
		return
	}
	at = join(path, "clear")
	if !c.clearable(at, def.Clear) {
		return
	}
	if out.clearLo, out.clearHi, ok = c.bounds(at, &def.Clear.Range, s); !ok {
		return
	}
	span := s.write(def.Clear.Low, out.clearLo) + " to " + s.write(*def.Clear.High, out.clearHi)
	if out.op == outside && (out.clearLo < out.lo || out.clearHi > out.hi) {
		c.fail(at, "clear ("+span+") must lie inside the limits ("+out.threshold+") because the rule fires OUTSIDE them", "narrow clear, so that a reading cannot fire and clear at once")
	}
	if out.op == inside && (out.clearLo > out.lo || out.clearHi < out.hi) {
		c.fail(at, "clear ("+span+") must enclose the limits ("+out.threshold+") because the rule fires INSIDE them", "widen clear, so that a reading cannot fire and clear at once")
	}
	out.hasClear = true
	out.clear = []any{s.public(def.Clear.Low, out.clearLo), s.public(*def.Clear.High, out.clearHi)}
	out.clearText = "within " + span
	if out.op == inside {
		out.clearText = "beyond " + span
	}
	c.endable(at, out, s.metric)
}

// value compiles the value family.
func (c *compiler) value(path []string, def *Condition, m *metric, out *condition) {
	key := keys[out.op]
	if def.Clear != nil {
		c.fail(join(path, "clear"), "clear goes with a limit such as above, not with "+key, "write clear_is = the value that ends the alarm, or leave it out")
	}
	var list []Scalar
	switch out.op {
	case is:
		list = []Scalar{*def.Is}
	case isNot:
		list = []Scalar{*def.IsNot}
	case oneOf:
		list = def.In
	default:
		c.pattern(path, *def.Matches, m, out)
	}
	if out.op == oneOf && len(list) == 0 {
		c.fail(join(path, "in"), "in is empty", "list the values that fire, or remove the rule")
	}
	var names []string
	var shownValues []any
	for _, s := range list {
		v, ok := c.scalar(join(path, key), key, s, m)
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
	c.possible(join(path, key), out, m)
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
	re, _, fact, remedy := expr.Pattern(s)
	if re == nil {
		c.fail(at, fact, remedy)
		return
	}
	out.pattern, out.limit, out.threshold = re, s, strconv.Quote(s)
}

// gauge gives the rule a gauge, and names it by its index.
func (r *rule) gauge(g gauge) int {
	key := g.key()
	i := slices.IndexFunc(r.gauges, func(have gauge) bool { return have.key() == key })
	if i < 0 {
		i = len(r.gauges)
		r.gauges = append(r.gauges, g)
	}
	return i
}
