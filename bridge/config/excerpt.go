package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const maxExcerpt = 160 // characters of a line that are shown

// excerpt shows the line of a fault and the one before it, with carets below.
func (s *source) excerpt(at span) string {
	number, column := s.position(at.start)
	s.show()
	if number > len(s.lines) || column > maxExcerpt {
		return ""
	}
	line := s.lines[number-1]
	if strings.TrimSpace(line) == "" {
		return ""
	}
	var b strings.Builder
	if number > 1 && strings.TrimSpace(s.lines[number-2]) != "" {
		fmt.Fprintf(&b, "%5d | %s\n", number-1, s.lines[number-2])
	}
	fmt.Fprintf(&b, "%5d | %s\n      | ", number, line)
	// Tabs stay tabs, so that the carets stand below whatever a tab's width.
	for i, r := range []rune(line) {
		if i >= column-1 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	carets := utf8.RuneCountInString(s.text[at.start:max(at.start, at.end)])
	b.WriteString(strings.Repeat("^", max(1, min(carets, utf8.RuneCountInString(line)-column+1))))
	return b.String()
}

// show makes the lines that may be shown, at the first fault.
func (s *source) show() {
	if s.lines == nil && !s.binary {
		s.lines = s.showable()
	}
}

// masked reports whether something is masked in the line of a fault.
func (s *source) masked(at span) bool {
	s.show()
	number, _ := s.position(at.start)
	return number <= len(s.lines) && strings.Count(s.lines[number-1], "*") > strings.Count(s.line(number), "*")
}

// line is a line as it is written.
func (s *source) line(number int) string {
	line, _, _ := strings.Cut(s.text[s.starts[number-1]:], "\n")
	return line
}
