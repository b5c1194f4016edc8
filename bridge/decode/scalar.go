package decode

import (
	"bytes"
	"strconv"
	"unicode"
	"unicode/utf8"

	"tocsin/rules"
)

// scalar reads a payload that is nothing but a value.
func (r *reading) scalar(payload []byte) *Rejection {
	if !utf8.Valid(payload) {
		return rejectf(ReasonUTF8, "the payload is not UTF-8, so it is not a plain value (is it a binary format?)")
	}
	r.device = r.topicDevice
	metric := r.topicMetric
	if metric == "" {
		metric = r.d.valueName
	}
	s, rej := r.add(metric)
	if rej != nil {
		return rej
	}
	text := bytes.TrimSpace(payload)
	switch string(text) {
	case "true":
		s.Kind, s.Num = rules.Bool, 1
		return nil
	case "false":
		s.Kind = rules.Bool
		return nil
	}
	if n := numberLen(text); n > 0 {
		rest := bytes.TrimSpace(text[n:])
		if len(rest) == 0 || isUnit(rest, len(rest) < len(text)-n) {
			setNumber(s, text[:n])
			if len(rest) > 0 {
				s.Unit, _ = r.d.texts.bytes(rest)
			}
			return nil
		}
	}
	r.setText(s, text)
	return nil
}

// isUnit reports whether what follows a number can be its unit. Digits are
// allowed behind a space only: 12 m3/h has a unit, 0x10 and 1h30m have none. An x
// needs a space too, for 0xFF is a number that nobody here reads.
func isUnit(b []byte, spaced bool) bool {
	if len(b) > 16 {
		return false
	}
	for i, c := range string(b) {
		switch {
		case i == 0 && !spaced && (c == 'x' || c == 'X'):
			return false
		case unicode.IsLetter(c):
		case c == '%', c == '°', c == '℃', c == '℉':
		case i > 0 && (c == '/' || c == '²' || c == '³' || c == '·' || c == '^' || c == '*'):
		case i > 0 && spaced && (unicode.IsDigit(c) || c == '-'):
		default:
			return false
		}
	}
	return true
}

// numberLen returns the length of the decimal number that b begins with, 0 if
// with none. Hexadecimal numbers, underscores, commas and the words for what is
// not a number, all of which strconv would read, are none.
func numberLen(b []byte) int {
	i := 0
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		i++
	}
	whole := digits(b[i:])
	i += whole
	fraction := 0
	if i < len(b) && b[i] == '.' {
		fraction = digits(b[i+1:])
		if whole+fraction > 0 {
			i += 1 + fraction
		}
	}
	if whole+fraction == 0 {
		return 0
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		j := i + 1
		if j < len(b) && (b[j] == '-' || b[j] == '+') {
			j++
		}
		if n := digits(b[j:]); n > 0 {
			i = j + n
		}
	}
	return i
}

func digits(b []byte) int {
	i := 0
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

// setNumber reads a decimal number.
func setNumber(s *rules.Sample, text []byte) {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		// The grammar was checked: it is out of range.
		invalidate(s, "range", text)
		return
	}
	s.Kind, s.Num = rules.Number, f
}

const (
	maxText   = 1024 // bytes of a text value
	maxTokens = 32   // bytes of a text that may be one of a few, and is worth keeping
)

// setText takes a string for what it is, or for the absence of a value.
func (r *reading) setText(s *rules.Sample, text []byte) {
	if reason := absent(text); reason != "" {
		invalidate(s, reason, text)
		return
	}
	if len(text) > maxText {
		invalidate(s, "size", text)
		return
	}
	s.Kind = rules.Text
	if len(text) <= maxTokens {
		s.Text, _ = r.d.texts.bytes(text)
	} else {
		s.Text = string(text)
	}
}

// invalidate makes s a sample that is never judged, and keeps what was sent,
// shortened, to be shown.
func invalidate(s *rules.Sample, reason string, sent []byte) {
	s.Kind, s.Num, s.Text, s.Invalid = rules.Text, 0, shorten(sent), reason
}

// absent says why a text that devices and home automation send in place of a
// value is none; "" if it is one.
func absent(text []byte) (reason string) {
	if len(text) > len("unavailable") {
		return ""
	}
	switch string(text) {
	case "":
		return "empty"
	case "None", "null":
		return "null"
	case "unknown":
		return "unknown"
	case "unavailable":
		return "unavailable"
	}
	return notFinite(text)
}

// notFinite returns nan or inf where text is a spelling of it, else "".
func notFinite(text []byte) string {
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		text = text[1:]
	}
	switch {
	case bytes.EqualFold(text, []byte("nan")):
		return "nan"
	case bytes.EqualFold(text, []byte("inf")), bytes.EqualFold(text, []byte("infinity")):
		return "inf"
	}
	return ""
}
