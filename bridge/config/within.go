package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// An expression is a text in a text: its compiler counts in what the value says,
// and the reader in what the file says. The two differ by quotes and escapes.

// part is where a part of the text at path is written, in bytes of the value. It
// is the whole value where the two cannot be brought together.
func (s *source) part(path []string, offset, length int) span {
	whole, value := s.find(path).value, s.valueAt(path)
	text, ok := value.(string)
	if !ok || length <= 0 || offset < 0 || offset+length > len(text)+1 || offset > len(text) {
		return whole
	}
	written, at := readString(s.text[whole.start:whole.end])
	if written != text {
		return whole // a variable was expanded, or the value is another's
	}
	start, end := at[offset], at[min(offset+length, len(text))]
	if offset == len(text) {
		end = start + 1 // something is missing at the end
	}
	return span{whole.start + start, whole.start + end}
}

// element is the path of the one element that a fact quotes of the list at path, or
// the path itself.
func (s *source) element(path []string, fact string) []string {
	list, _ := s.valueAt(path).([]any)
	found := path
	for i, e := range list {
		if text, ok := e.(string); ok && strings.Contains(fact, strconv.Quote(text)) {
			if len(found) > len(path) {
				return path
			}
			found = under(path, strconv.Itoa(i))
		}
	}
	return found
}

// valueAt returns the value of a path, or of as much of it as is written.
func (s *source) valueAt(path []string) any {
	var value any = s.tree
	for _, key := range path {
		var next any
		switch value := value.(type) {
		case map[string]any:
			next = value[key]
		case []any:
			if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(value) {
				next = value[i]
			}
		case []map[string]any:
			if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(value) {
				next = value[i]
			}
		}
		if next == nil {
			return value
		}
		value = next
	}
	return value
}

// readString reads a string as TOML has it. at holds, for every byte of the text
// and for its end, where it is written. What is no string gives "", nil.
func readString(raw string) (text string, at []int) {
	if len(raw) < 2 || raw[0] != '"' && raw[0] != '\'' {
		return "", nil
	}
	basic, start, end := raw[0] == '"', 1, len(raw)-1
	long := len(raw) >= 6 && strings.HasPrefix(raw, strings.Repeat(raw[:1], 3))
	if long {
		start, end = 3, len(raw)-3
		start += newline(raw[start:end])
	}
	var b strings.Builder
	for i := start; i < end; {
		n, decoded := 1, raw[i:i+1]
		if basic && raw[i] == '\\' {
			n, decoded = escape(raw[i:end])
		}
		b.WriteString(decoded)
		for range len(decoded) {
			at = append(at, i)
		}
		i += n
	}
	return b.String(), append(at, end)
}

// newline is the length of the line's end that a text begins with.
func newline(text string) int {
	switch {
	case strings.HasPrefix(text, "\n"):
		return 1
	case strings.HasPrefix(text, "\r\n"):
		return 2
	}
	return 0
}

// escape reads the escape that a text begins with: how long it is, and what it
// stands for.
func escape(text string) (n int, decoded string) {
	rest := text[1:]
	if blank := len(rest) - len(strings.TrimLeft(rest, " \t\r\n")); strings.Contains(rest[:blank], "\n") {
		return 1 + blank, "" // a line's end that is not part of the text
	}
	digits := 0
	switch {
	case strings.HasPrefix(rest, "x"):
		digits = 2
	case strings.HasPrefix(rest, "u"):
		digits = 4
	case strings.HasPrefix(rest, "U"):
		digits = 8
	case strings.HasPrefix(rest, "e"):
		return 2, "\x1b"
	default:
		plain, _, tail, err := strconv.UnquoteChar(text, '"')
		if err != nil {
			return 1, text[:1]
		}
		return len(text) - len(tail), string(plain)
	}
	if len(rest) <= digits {
		return 1, text[:1]
	}
	code, err := strconv.ParseUint(rest[1:1+digits], 16, 32)
	if err != nil || code > utf8.MaxRune {
		return 1, text[:1]
	}
	return 2 + digits, string(rune(code))
}
