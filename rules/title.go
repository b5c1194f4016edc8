package rules

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// A title is a line of text with placeholders, parsed once.
type title []titlePart

// A titlePart is literal text, or with a name a placeholder.
type titlePart struct {
	text   string // of a placeholder, what it is about: the rule of {limit:RULE}
	name   string // device, value, limit, label.NAME, …
	plus   bool   // {value:+.1} writes the sign of a positive number too
	digits int    // decimals; -1 is as many as needed
}

// placeholders are the names a title may use, limit:RULE and label.NAME besides.
// {device} is the group of a rule with across; {eta} is how long it takes at the
// present rate until the limit of {limit:RULE} is reached.
var placeholders = [...]string{"device", "value", "unit", "threshold", "severity", "rule", "metric", "condition", "eta"}

// A titleProblem is what is wrong with a title, and what to do.
type titleProblem struct{ fact, remedy string }

// parseTitle reads a title: {name}, {value:.1}, {value:+.2}, {{ and }} for
// braces. It reports everything wrong with it; the title is nil if anything is.
func parseTitle(s string) (title, []titleProblem) {
	var t title
	var wrong []titleProblem
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			t = append(t, titlePart{text: literal.String()})
			literal.Reset()
		}
	}
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			literal.WriteString(s)
			break
		}
		literal.WriteString(s[:i])
		brace := s[i]
		s = s[i+1:]
		if s != "" && s[0] == brace {
			literal.WriteByte(brace)
			s = s[1:]
			continue
		}
		if brace == '}' {
			wrong = append(wrong, titleProblem{"has a } that closes nothing", "write }} for a brace"})
			continue
		}
		inside, rest, ok := strings.Cut(s, "}")
		if !ok {
			wrong = append(wrong, titleProblem{"has a { that is never closed", "write {{ for a brace"})
			break
		}
		part, err := parsePlaceholder(inside)
		if err != nil {
			wrong = append(wrong, *err)
		}
		flush()
		t, s = append(t, part), rest
	}
	if wrong != nil {
		return nil, wrong
	}
	flush()
	return t, nil
}

func parsePlaceholder(s string) (titlePart, *titleProblem) {
	name, format, formatted := strings.Cut(s, ":")
	if name == "limit" && format != "" {
		return titlePart{name: name, text: format, digits: -1}, nil
	}
	part := titlePart{name: name, digits: -1}
	known := strings.HasPrefix(name, "label.") && len(name) > len("label.")
	for _, p := range placeholders {
		known = known || p == name
	}
	if !known {
		remedy := "one of {" + strings.Join(placeholders[:], "}, {") + "}, {limit:RULE}, {label.NAME}"
		if n := nearest(name, placeholders[:]); n != "" {
			remedy = fmt.Sprintf("did you mean {%s}?", n)
		}
		return part, &titleProblem{fmt.Sprintf("has an unknown placeholder {%s}", name), remedy}
	}
	if !formatted {
		return part, nil
	}
	rest, plus := strings.CutPrefix(format, "+")
	digits, dot := strings.CutPrefix(rest, ".")
	n, err := strconv.ParseUint(digits, 10, 8)
	if name != "value" || !dot || err != nil || n > 9 {
		return part, &titleProblem{fmt.Sprintf("has a format that cannot be used: {%s}", s), "only {value} takes one: {value:.1} or {value:+.2}, with 0 to 9 decimals"}
	}
	part.plus, part.digits = plus, int(n)
	return part, nil
}

// formatted reports whether t asks for decimals of the value.
func (t title) formatted() bool {
	for _, p := range t {
		if p.name != "" && p.digits >= 0 {
			return true
		}
	}
	return false
}

// render fills the placeholders by fill. A placeholder that is empty takes the
// space before it along, so that "21 {unit}, limit" reads well without a unit.
func (t title) render(fill func(titlePart) string) string {
	var b []byte
	for _, p := range t {
		if p.name == "" {
			b = append(b, p.text...)
			continue
		}
		text := strings.Map(inLine, fill(p))
		if n := len(b); text == "" && n > 0 && b[n-1] == ' ' {
			b = b[:n-1]
		}
		b = append(b, text...)
	}
	return string(b)
}

// inLine keeps what a device says within its place in the line: nothing begins
// another line, or turns the rest of this one around. The reading has it as it was.
func inLine(r rune) rune {
	switch {
	case unicode.Is(unicode.Bidi_Control, r):
		return -1
	case unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp):
		return ' '
	}
	return r
}

// number writes v as the placeholder asks.
func (p titlePart) number(v float64) string {
	s := shown(v)
	if p.digits >= 0 {
		s = strconv.FormatFloat(v, 'f', p.digits, 64)
	}
	if strings.HasPrefix(s, "-") && strings.Trim(s, "-0.") == "" {
		s = s[1:] // -0.0
	}
	if p.plus && s[0] != '-' {
		s = "+" + s
	}
	return s
}
