package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

const maxExcerpt = 160 // characters of a line that are shown

// excerpt shows the line of a fault and the one before it, with carets below.
func (s *source) excerpt(at span) string {
	number, column := s.position(at.start)
	if s.lines == nil && !s.binary {
		s.lines = s.showable()
	}
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

// showable is the text by lines, cut to what fits on a screen, with asterisks,
// character for character, where a secret may stand: in the strings of the keys
// that hold one, and in what looks like one wherever it is, since a broken file
// does not tell its keys.
func (s *source) showable() []string {
	text := []byte(s.text)
	for key, p := range s.places {
		if secretPath(strings.Split(key, "\x00")) {
			mask(text, p.value.start, p.value.end)
		}
	}
	for _, re := range []string{
		`((?:whsec|whsk)_[A-Za-z0-9+/=_-]+)`,
		`//([^/\s"'@]+)@`,
		`(\$argon2[^\s"']+)`,
		`(?i)(?:secret|password|token)["']?[ \t]*=[ \t]*\[?[ \t]*(["'].*)`,
	} {
		for _, m := range regexp.MustCompile(re).FindAllSubmatchIndex(text, -1) {
			mask(text, m[2], m[3])
		}
	}
	lines := strings.Split(strings.ReplaceAll(string(text), "\x00", ""), "\n")
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		if runes := []rune(line); len(runes) > maxExcerpt {
			line = string(runes[:maxExcerpt]) + "…"
		}
		lines[i] = line
	}
	return lines
}

// secretPath reports whether the string at a path is a secret by its key.
func secretPath(path []string) bool {
	last := path[len(path)-1]
	if len(path) > 1 && strings.Trim(last, "0123456789") == "" {
		last = path[len(path)-2]
	}
	return last == "secret" || last == "password" || last == "token"
}

// mask overwrites a part of a text, quotes and line ends excepted. Of a longer
// character only the first byte becomes an asterisk, and the others become 0.
func mask(text []byte, start, end int) {
	if start < end && (text[start] == '{' || text[start] == '[') {
		return // a reference to a secret, or a list whose elements are masked
	}
	for i := start; i < end; i++ {
		switch c := text[i]; {
		case c == '"', c == '\'', c == '\n', c == '\r':
		case utf8.RuneStart(c):
			text[i] = '*'
		default:
			text[i] = 0
		}
	}
}
