package expr

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A span is a stretch of the source, in bytes.
type span struct{ from, to int }

// A source is an expression in two spellings: as it was written, and as the
// parser reads it. The parser knows neither units nor metrics with a path for a
// name, so "5m" and metric("a.0.b") take their place. Everything that is told
// about an expression is told about what was written.
type source struct {
	text     string // as written
	read     string // as the parser reads it
	cuts     []cut  // where they differ, ascending
	runes    []int  // byte offset in read of each of its runes, and its length
	brackets []bracket
}

// A cut is text of the one spelling that stands for text of the other.
type cut struct {
	read, text span
	quantity   bool // a number, with or without a unit, written without quotes
}

// A bracket is a place in the read spelling from which on depth changes.
type bracket struct{ at, depth int }

const (
	mantissa = `(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)`
	exponent = `[eE][+-]?[0-9]+`
	numeral  = mantissa + `(?:` + exponent + `)?`
	unitWord = `°?[\pL°Ω℃℉]+[²³23]?`
	name     = `[\pL_$][\pL\p{Nd}_$]*`
	attrName = name + `(?:-` + name + `)*`
	duration = numeral + `(?:ms|d|h|m|s)(?:` + numeral + `(?:ms|h|m|s))+`
	unit     = `(?:%RH|%|` + unitWord + `)(?:/` + unitWord + `){0,2}`
	perTime  = numeral + `/(?:ms|s|min|h|d)`
)

// A grammar is what the words of an expression look like.
type grammar struct {
	// token is what the spelling of a source has to be changed for, or must not
	// be changed in. The first alternative that matches at a place counts.
	token  *regexp.Regexp
	groups []string // of token

	// What may be written without quotes.
	number, path, attr, id *regexp.Regexp
}

// words is the grammar: large, the same for every expression, and not made
// where there are none.
var words = sync.OnceValue(func() *grammar {
	whole := func(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)$`) }
	token := regexp.MustCompile(strings.Join([]string{
		`(?P<quoted>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|` + "`[^`]*`" + `)`,
		`(?P<comment>//[^\n]*|/\*(?s:.*?)\*/)`,
		"(?P<open>[\"'`])",
		`(?P<rule>(?:firing|share_firing|count_firing)\s*\(\s*)(?P<id>[^\s"'(),` + "`" + `][^"'(),` + "`" + `]*)`,
		`(?P<quantile>p[0-9]+\.[0-9]+)\s*\(`,
		`@(?P<attr>` + attrName + `)`,
		`(?P<name>` + name + `(?:[.\-][\pL\p{Nd}_$]+){0,16})`,
		`(?P<duration>` + duration + `)`,
		// The e of 1e300 begins no unit.
		`(?P<number>` + mantissa + exponent + `)(?:\s*(?P<unit>` + unit + `))?`,
		`(?P<plain>` + mantissa + `)\s*(?P<plainunit>` + unit + `)`,
		`(?P<rate>` + perTime + `)`,
		`(?P<numeral>` + mantissa + `)`,
	}, "|"))
	return &grammar{
		token: token, groups: token.SubexpNames(),
		number: whole(numeral + `(?:\s*` + unit + `)?|` + duration + `|` + perTime),
		path:   whole(name + `(?:\.[\pL\p{Nd}_$]+){0,16}`),
		attr:   whole(attrName),
		id:     whole(`[\w.\-]+`),
	}
})

// isWord tells the words of the language, which are neither metrics nor units.
func isWord(s string) bool {
	switch s {
	case "and", "or", "not", "in", "matches", "true", "false",
		"nil", "let", "if", "else", "contains", "startsWith", "endsWith":
		return true
	}
	return false
}

// A scanner makes the read spelling.
type scanner struct {
	*source
	scope  Scope
	out    strings.Builder
	at     int // in text: what precedes is in out
	depth  int
	report func(Problem)
}

// newSource respells text; false if it is beyond repair.
func newSource(text string, s Scope, report func(Problem)) (*source, bool) {
	c := scanner{source: &source{text: text}, scope: s, report: report}
	for c.at < len(text) {
		m := words().token.FindStringSubmatchIndex(text[c.at:])
		if m == nil {
			break
		}
		found := map[string]span{}
		for i, group := range words().groups {
			if group != "" && m[2*i] >= 0 {
				found[group] = span{c.at + m[2*i], c.at + m[2*i+1]}
			}
		}
		if !c.gap(c.at + m[0]) {
			return nil, false
		}
		c.token(found)
	}
	if !c.gap(len(text)) {
		return nil, false
	}
	c.read = c.out.String()
	for i := range c.read {
		c.runes = append(c.runes, i)
	}
	c.runes = append(c.runes, len(c.read))
	return c.source, true
}

// token respells one match.
func (c *scanner) token(found map[string]span) {
	for _, group := range []string{"quoted", "comment"} {
		if s, ok := found[group]; ok {
			c.copy(s.to)
			return
		}
	}
	if _, ok := found["open"]; ok {
		c.copy(len(c.text)) // the parser will say that it never ends
		return
	}
	if s, ok := found["rule"]; ok {
		c.copy(s.to)
		c.brackets = append(c.brackets, bracket{c.out.Len() - 1, c.depth + 1})
		c.depth++
		id := found["id"]
		c.cut(span{id.from, id.from + len(strings.TrimRightFunc(c.text[id.from:id.to], unicode.IsSpace))}, strconv.Quote, false)
		return
	}
	if s, ok := found["quantile"]; ok {
		c.cut(s, func(s string) string { return strings.ReplaceAll(s, ".", "_") }, false)
		return
	}
	if s, ok := found["numeral"]; ok {
		c.cut(s, strconv.Quote, true)
		return
	}
	if s, ok := found["attr"]; ok {
		c.cut(span{s.from - 1, s.to}, func(s string) string { return "attr(" + strconv.Quote(s[1:]) + ")" }, false)
		return
	}
	if s, ok := found["name"]; ok {
		c.name(s)
		return
	}
	for number, unit := range map[string]string{"number": "unit", "plain": "plainunit"} {
		if s, ok := found[number]; ok {
			c.quantity(s, found[unit])
			return
		}
	}
	s, ok := found["duration"]
	if !ok {
		s = found["rate"]
		if next, _ := utf8.DecodeRuneInString(c.text[s.to:]); c.calls(s.to) || unicode.IsLetter(next) || next == '_' {
			s.to = s.from + strings.IndexByte(c.text[s.from:], '/')
		}
	}
	c.cut(s, strconv.Quote, true)
}

// quantity respells a number that has a unit, unless what follows it is a word,
// a function or a metric, before which an operator is missing: 15 and, 5 min(x,
// 5m), 5 running.
func (c *scanner) quantity(number, unit span) {
	word, _, _ := strings.Cut(c.text[unit.from:unit.to], "/")
	apart := number.to < unit.from
	if word == "" || isWord(strings.ToLower(word)) || c.calls(unit.to) || apart && c.known(word) {
		unit.to = number.to
	}
	c.cut(span{number.from, unit.to}, strconv.Quote, true)
}

// name respells a metric whose name the parser would take for a difference or
// for a field. A name with a dash is one only if a metric is called that.
func (c *scanner) name(s span) {
	written := c.text[s.from:s.to]
	end := len(written)
	for end >= 0 {
		if c.known(written[:end]) {
			break
		}
		dash := strings.LastIndexByte(written[:end], '-')
		if dash < 0 {
			break
		}
		end = dash
	}
	one := written[:end]
	if !strings.ContainsAny(one, ".-") || c.calls(s.from+end) {
		c.copy(s.from + end)
	} else {
		c.cut(span{s.from, s.from + end}, func(s string) string { return "metric(" + strconv.Quote(s) + ")" }, false)
	}
	if end == len(written) || isWord(one) || c.calls(s.to) {
		return
	}
	next, _, _ := strings.Cut(written[end+1:], "-")
	if first, _ := utf8.DecodeRuneInString(next); !unicode.IsLetter(first) || c.known(one) && c.known(next) {
		return
	}
	c.report(Problem{
		Offset: s.from, Length: len(written), Warning: true,
		Fact:   fmt.Sprintf("%s is read as %s minus %s", written, one, written[end+1:]),
		Remedy: fmt.Sprintf("write metric(%q) for one metric, or spaces around the minus", written),
	})
}

func (c *scanner) known(name string) bool {
	if c.scope.Metric == nil {
		return false
	}
	_, known := c.scope.Metric(name)
	return known
}

// calls reports whether what ends there is called as a function.
func (c *scanner) calls(at int) bool {
	return strings.HasPrefix(strings.TrimLeftFunc(c.text[at:], unicode.IsSpace), "(")
}

// copy takes over the text up to end as it is.
func (c *scanner) copy(end int) {
	c.out.WriteString(c.text[c.at:end])
	c.at = end
}

// cut replaces a stretch of text.
func (c *scanner) cut(s span, spell func(string) string, quantity bool) {
	c.copy(s.from)
	from, read := c.out.Len(), spell(c.text[s.from:s.to])
	c.out.WriteString(read)
	if read[len(read)-1] == ')' { // of metric("a.b") and attr("a")
		c.brackets = append(c.brackets, bracket{from + strings.IndexByte(read, '('), c.depth + 1}, bracket{c.out.Len() - 1, c.depth})
	}
	c.cuts = append(c.cuts, cut{span{from, c.out.Len()}, s, quantity})
	c.at = s.to
}

// gap takes over the text between two tokens, and counts its brackets.
func (c *scanner) gap(end int) bool {
	base := c.out.Len() - c.at
	for i := c.at; i < end; i++ {
		switch c.text[i] {
		case '(', '[', '{':
			c.depth++
		case ')', ']', '}':
			c.depth--
		case ':':
			if strings.HasPrefix(c.text[i:], "::") {
				c.report(Problem{Offset: i, Length: 2, Fact: ":: has no meaning here", Remedy: "remove it"})
				return false
			}
			continue
		default:
			continue
		}
		if c.depth > maxDepth {
			c.report(Problem{Offset: i, Length: 1, Fact: fmt.Sprintf("the expression is nested more than %d deep", maxDepth), Remedy: "split it into several rules"})
			return false
		}
		c.brackets = append(c.brackets, bracket{base + i, c.depth})
	}
	c.copy(end)
	return true
}

// depthAt is how many brackets are open at a byte of the read spelling.
func (s *source) depthAt(at int) int {
	i := sort.Search(len(s.brackets), func(i int) bool { return s.brackets[i].at > at })
	if i == 0 {
		return 0
	}
	return s.brackets[i-1].depth
}

// enclosed is a stretch with the brackets around it that are open at no more
// than depth outside of them: x in (x) > 5 becomes (x).
func (s *source) enclosed(at span, depth int) span {
	if s.depthAt(at.from) <= depth {
		return at
	}
	before := 0
	out := at
	for _, b := range s.brackets {
		switch {
		case b.at < at.from && b.depth > depth && before <= depth:
			out.from = b.at
		case b.at >= at.to && b.depth <= depth:
			out.to = b.at + 1
			return out
		}
		before = b.depth
	}
	return out
}

// byteAt is where a rune of the read spelling begins.
func (s *source) byteAt(rune int) int {
	return s.runes[max(0, min(rune, len(s.runes)-1))]
}

// written is where in the text a stretch of the read spelling is.
func (s *source) written(read span) span {
	return span{s.back(read.from, false), max(s.back(read.from, false), s.back(read.to, true))}
}

func (s *source) back(at int, end bool) int {
	i := sort.Search(len(s.cuts), func(i int) bool {
		if end {
			return s.cuts[i].read.from >= at
		}
		return s.cuts[i].read.from > at
	})
	if i == 0 {
		return min(at, len(s.text))
	}
	c := s.cuts[i-1]
	switch {
	case at >= c.read.to:
		return min(c.text.to+at-c.read.to, len(s.text))
	case end:
		return c.text.to
	}
	return c.text.from
}

// isQuantity reports whether the string literal that begins there was written
// as a number, without quotes.
func (s *source) isQuantity(at int) bool {
	i := sort.Search(len(s.cuts), func(i int) bool { return s.cuts[i].read.from >= at })
	return i < len(s.cuts) && s.cuts[i].read.from == at && s.cuts[i].quantity
}
