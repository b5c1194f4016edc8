package rules

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// A metric is what the program knows of one kind of reading.
type metric struct {
	name          string
	kind          Kind
	unit          string
	ranged        bool
	lo, hi        float64
	codes         []float64 // error codes of the sensor
	jump          float64   // a code this near to the last good value is a value
	trueIs, notIs []string
	event         bool // momentary: no last value, nothing goes stale
	counter       bool // a decrease is a reset
	described     string

	// Rules on this metric: those that name their devices one by one are found
	// by device, so that a rule for each of 10,000 devices costs nobody a search.
	byDevice map[string][]*rule
	general  []*rule
}

// maxText bounds a text that is judged, because alarms remember what they saw.
const maxText = 1024

// trueWords and falseWords are what a boolean looks like unless [metric] says.
func trueWords() []string  { return []string{"true", "on", "open", "1", "yes"} }
func falseWords() []string { return []string{"false", "off", "closed", "0", "no"} }

// show writes a value for people.
func (m *metric) show(v value) string {
	switch m.kind.of(v) {
	case Bool:
		return strconv.FormatBool(v.num != 0)
	case Text:
		return strconv.Quote(v.text)
	}
	return withUnit(shown(v.num), m.unit)
}

// boolean reads a word; false for a word that is neither true nor false.
func (m *metric) boolean(word string) (value, bool) {
	same := func(w string) bool { return strings.EqualFold(w, word) }
	switch {
	case slices.ContainsFunc(m.trueIs, same):
		return value{num: 1}, true
	case slices.ContainsFunc(m.notIs, same):
		return value{}, true
	}
	return value{}, false
}

// takes reports whether a sample's number is the value to judge, as it is: that of
// nearly every sample is.
func (m *metric) takes(s *Sample) bool {
	return m.kind == Number && s.Kind == Number && s.Invalid == "" && (s.Unit == "" || s.Unit == m.unit) && s.Num-s.Num == 0 &&
		(!m.ranged || s.Num >= m.lo && s.Num <= m.hi) && len(m.codes) == 0
}

// read makes a value of a sample, or says in a word why it cannot be judged.
// The conversion is from the sample's unit, nil for none; last is the last good value.
func (m *metric) read(s *Sample, conv *conversion, last *value) (value, string) {
	switch m.kind {
	case Bool:
		word := s.Text
		switch s.Kind {
		case Bool:
			if s.Num != 0 {
				return value{num: 1}, ""
			}
			return value{}, ""
		case Number:
			word = exact(s.Num)
		}
		if v, ok := m.boolean(strings.TrimSpace(word)); ok {
			return v, ""
		}
		return value{}, "type"
	case Text:
		switch s.Kind {
		case Bool:
			return value{text: strconv.FormatBool(s.Num != 0)}, ""
		case Number:
			return value{text: exact(s.Num)}, ""
		}
		if len(s.Text) > maxText {
			return value{}, "size"
		}
		return value{text: s.Text}, ""
	}
	if m.kind == asCame && s.Kind != Number {
		switch {
		case s.Kind == Bool:
			return value{num: s.Num, text: boolMark}, ""
		case s.Text == "" || s.Text == boolMark:
			return value{}, "type"
		case len(s.Text) > maxText:
			return value{}, "size"
		}
		return value{text: s.Text}, ""
	}
	v := s.Num
	if s.Kind != Number {
		parsed, ok := parseNumber(strings.TrimSpace(s.Text))
		if !ok || s.Kind == Bool {
			return value{}, "type"
		}
		v = parsed
	}
	if v != v || v-v != 0 {
		return value{}, "nan"
	}
	if conv != nil {
		v = conv.apply(v)
	}
	if m.ranged && (v < m.lo || v > m.hi) {
		return value{}, "range"
	}
	for _, code := range m.codes {
		if v == code && (m.jump == 0 || last == nil || math.Abs(v-last.num) > m.jump) {
			return value{}, "code"
		}
	}
	return value{num: v}, ""
}

// parseNumber reads a finite decimal number, which may have an exponent. What
// strconv reads besides (1_000, 0x1p4, inf) is program text: a device that sends
// it means something else, such as two numbers.
func parseNumber(s string) (float64, bool) {
	if strings.ContainsFunc(s, func(c rune) bool { return !strings.ContainsRune("0123456789+-.eE", c) }) {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}

// metric checks a [metric.NAME] table and what the rules ask of the metric. A
// metric that says nothing of its type or unit takes them from the rules.
func (c *compiler) metric(name string, def *MetricDef, uses []*Condition) *metric {
	path := []string{"metric", name}
	m := &metric{name: name, trueIs: trueWords(), notIs: falseWords(), byDevice: map[string][]*rule{}}
	declared := def != nil
	if !declared {
		def = &MetricDef{}
	}
	kind, certain := c.kind(path, def, uses)
	if m.kind = kind; !certain {
		c.untyped[name] = true
	}
	switch m.event, m.counter = def.Kind == "event", def.Kind == "counter"; {
	case def.Kind != "" && def.Kind != "level" && !m.event && !m.counter:
		c.fail(join(path, "kind"), "kind "+strconv.Quote(def.Kind)+" is unknown", didYouMean(def.Kind, []string{"level", "event", "counter"}))
	case m.counter && m.kind != Number:
		c.fail(join(path, "kind"), "a counter counts, and "+name+" is a "+m.kind.String(), `write type = "number", or remove kind`)
	}
	m.unit = def.Unit
	if u, known := findUnit(m.unit); known {
		m.unit = u.name
	} else if i := slices.IndexFunc(units[:], func(u unit) bool { return strings.EqualFold(u.name, def.Unit) }); i >= 0 {
		c.warn(join(path, "unit"), "unit "+strconv.Quote(def.Unit)+" cannot be converted to or from any other", "did you mean "+strconv.Quote(units[i].name)+"?")
	}
	if m.unit == "" {
		m.unit = c.commonUnit(name, uses)
	}
	c.words(path, def, m)
	c.plausible(path, def, m)
	return m
}

// kind settles as what a metric is judged, and reports whether anything says so.
func (c *compiler) kind(path []string, def *MetricDef, uses []*Condition) (Kind, bool) {
	switch def.Type {
	case "number":
		return Number, true
	case "bool":
		return Bool, true
	case "text":
		return Text, true
	case "":
	default:
		c.fail(join(path, "type"), "type "+strconv.Quote(def.Type)+" is unknown", didYouMean(def.Type, []string{"number", "bool", "text"}))
	}
	switch {
	case def.Unit != "" || def.Range != nil || def.Invalid != nil:
		return Number, true
	case def.TrueIs != nil || def.FalseIs != nil:
		return Bool, true
	}
	numbers, booleans, asked, changes := true, true, false, false
	for _, use := range uses {
		changes = changes || use.Changed != nil
		if use.numeric() {
			return Number, true
		}
		if use.Matches != nil {
			return Text, true
		}
		for _, s := range use.scalars() {
			asked = true
			_, number := parseNumber(string(s))
			numbers = numbers && number
			booleans = booleans && (s == "true" || s == "false")
		}
	}
	switch {
	case !asked && (changes || c.passes(path[1])):
		return asCame, false
	case numbers:
		return Number, asked
	case booleans:
		return Bool, true
	}
	return Text, true
}

// passes reports whether a rule forwards whatever comes of a metric.
func (c *compiler) passes(name string) bool {
	for _, def := range c.file.Rule {
		if def.Metric == name && len(def.fire()) == 0 {
			return true
		}
	}
	return false
}

// commonUnit is the unit in which the rules write the limits of a metric that
// has none declared.
func (c *compiler) commonUnit(name string, uses []*Condition) string {
	first := ""
	for _, use := range uses {
		for _, written := range use.units(c.attrUnits) {
			u, _ := findUnit(written)
			switch {
			case u.name == "" || u.name == first:
			case first == "":
				first = u.name
			default:
				c.fail([]string{"metric", name, "unit"}, "the rules compare "+name+" with "+first+" and with "+u.name+", and nothing says in which of them it is measured", `write unit = "`+first+`" or unit = "`+u.name+`" in [metric.`+name+`]`)
				return first
			}
		}
	}
	return first
}

func (c *compiler) words(path []string, def *MetricDef, m *metric) {
	if def.TrueIs == nil && def.FalseIs == nil {
		return
	}
	if m.kind != Bool {
		c.fail(path, "true_is and false_is are for booleans, and "+m.name+" is a "+m.kind.String(), `write type = "bool", or remove them`)
		return
	}
	if def.TrueIs != nil {
		m.trueIs = slices.Clone(def.TrueIs)
	}
	if def.FalseIs != nil {
		m.notIs = slices.Clone(def.FalseIs)
	}
	for _, w := range m.trueIs {
		i := slices.IndexFunc(m.notIs, func(f string) bool { return strings.EqualFold(f, w) })
		switch {
		case i < 0:
		case def.TrueIs != nil && def.FalseIs != nil:
			c.fail(join(path, "false_is"), strconv.Quote(w)+" is in true_is and in false_is", "keep it in one of them")
		case def.TrueIs != nil: // what the file says beats what is usual
			m.notIs = slices.Delete(slices.Clone(m.notIs), i, i+1)
		}
	}
	if def.TrueIs == nil {
		m.trueIs = slices.DeleteFunc(m.trueIs, func(w string) bool {
			return slices.ContainsFunc(m.notIs, func(f string) bool { return strings.EqualFold(f, w) })
		})
	}
}

// plausible reads the range and the error codes.
func (c *compiler) plausible(path []string, def *MetricDef, m *metric) {
	if m.kind != Number {
		if def.Unit != "" || def.Range != nil || def.Invalid != nil {
			c.fail(path, "unit, range and invalid are for numbers, and "+m.name+" is a "+m.kind.String(), "remove them, or the type")
		}
		return
	}
	if r := def.Range; r != nil && (r.Low.Attr != "" || r.High != nil && r.High.Attr != "") {
		c.fail(join(path, "range"), "asks for an attribute of a device, and a metric's range is that of every device", "write numbers")
	} else if r != nil {
		m.lo, m.hi, m.ranged = c.bounds(join(path, "range"), def.Range, m.scale())
	}
	m.codes, m.jump = slices.Clone(def.Invalid), def.InvalidJump
	for _, code := range m.codes {
		if code != code || code-code != 0 {
			c.fail(join(path, "invalid"), "holds what is no number", "NaN and infinities are always invalid: remove it")
		}
	}
	switch {
	case !(m.jump >= 0) || m.jump-m.jump != 0:
		c.fail(join(path, "invalid_jump"), "is not a distance", "write a number that is not negative")
	case m.jump > 0 && len(m.codes) == 0:
		c.warn(join(path, "invalid_jump"), "has no effect without invalid", "list the sensor's error codes in invalid, or remove it")
	}
}

// scalar reads a value to compare with, as a value of m.
func (c *compiler) scalar(path []string, key string, s Scalar, m *metric) (value, bool) {
	switch m.kind {
	case Bool:
		if v, ok := m.boolean(string(s)); ok {
			return v, true
		}
		switch s { // true_is may list other words alone
		case "true":
			return value{num: 1}, true
		case "false":
			return value{}, true
		}
		c.fail(path, key+" ("+strconv.Quote(string(s))+") is not a value of "+m.name+", which is a bool", "true is "+strings.Join(m.trueIs, ", ")+"; false is "+strings.Join(m.notIs, ", "))
		return value{}, false
	case Text:
		return value{text: string(s)}, true
	}
	v, ok := parseNumber(string(s))
	if !ok {
		c.fail(path, key+" ("+strconv.Quote(string(s))+") is no number, and "+m.name+" is judged as a number", `compare it with a number, or give [metric.`+m.name+`] type = "text" or "bool"`)
		return value{}, false
	}
	return value{num: v}, true
}
