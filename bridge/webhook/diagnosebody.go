package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// bodySlips are bodies that may have been signed, when body is what arrived.
func bodySlips(body []byte) []slip {
	const raw = "verify the bytes as they came, before anything reads, trims or parses them"
	out := []slip{{value: body}}
	seen := map[string]bool{string(body): true}
	add := func(mistake string, b []byte) {
		if !seen[string(b)] {
			seen[string(b)] = true
			out = append(out, slip{mistake, raw, b})
		}
	}
	for _, end := range []string{"\r\n", "\n"} {
		if b, ok := bytes.CutSuffix(body, []byte(end)); ok {
			add("the body has a line end at its end that was not signed", b)
		}
		add("the body has lost the line end at its end", append(bytes.Clone(body), end...))
	}
	add("the line ends of the body were turned into CRLF", bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")))
	add("the line ends of the body were turned into LF", bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n")))
	add("the body has white space around it that was not signed", bytes.TrimSpace(body))
	add("the body begins with a byte order mark that was not signed", bytes.TrimPrefix(body, []byte("\ufeff")))
	add("the body has lost its byte order mark", append([]byte("\ufeff"), body...))
	add("an empty body was signed", nil)
	add("the body was read as Latin-1 and written as UTF-8", fromLatin1(body))
	add("the body was turned from UTF-8 into Latin-1", toUTF8(body))
	for _, b := range jsonSpellings(body) {
		add("the JSON of the body was parsed and written again", b)
	}
	return out
}

// fromLatin1 undoes a needless encoding into UTF-8.
func fromLatin1(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for _, r := range string(body) {
		if r > 0xff {
			return body
		}
		out = append(out, byte(r&0xff))
	}
	return out
}

func toUTF8(body []byte) []byte {
	if utf8.Valid(body) {
		return body
	}
	out := make([]byte, 0, len(body)+8)
	for _, c := range body {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}

// jsonSpellings writes the body's JSON as the usual libraries do.
func jsonSpellings(body []byte) [][]byte {
	if !json.Valid(body) {
		return nil
	}
	var out [][]byte
	add := func(b []byte) {
		out = append(out, b, bytes.ReplaceAll(b, []byte("/"), []byte(`\/`)), asciiJSON(b), spaced(b))
		for _, indent := range []string{"  ", "    ", "\t"} {
			var w bytes.Buffer
			if json.Indent(&w, b, "", indent) == nil {
				out = append(out, w.Bytes())
			}
		}
	}
	var compact bytes.Buffer
	if json.Compact(&compact, body) == nil {
		add(compact.Bytes())
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return out
	}
	for _, html := range []bool{false, true} {
		var w bytes.Buffer
		e := json.NewEncoder(&w)
		e.SetEscapeHTML(html)
		if e.Encode(v) == nil {
			add(bytes.TrimSuffix(w.Bytes(), []byte("\n"))) // keys sorted
		}
	}
	return out
}

// spaced puts a space after each comma and colon, as Python's json does.
func spaced(compact []byte) []byte {
	out := make([]byte, 0, len(compact)+len(compact)/8)
	inString := false
	for i, c := range compact {
		out = append(out, c)
		switch {
		case c == '"' && !escaped(compact[:i]):
			inString = !inString
		case !inString && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}

// escaped reports whether a character after b would be escaped.
func escaped(b []byte) bool {
	n := len(b) - len(bytes.TrimRight(b, `\`))
	return n%2 == 1
}

// asciiJSON writes characters beyond ASCII as \u escapes.
func asciiJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, r := range string(b) {
		switch {
		case r < 0x80:
			out = utf8.AppendRune(out, r)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	return out
}

// loose reports whether a body is JSON with white space between its parts.
func loose(body []byte) bool {
	var compact bytes.Buffer
	return json.Compact(&compact, body) == nil && !bytes.Equal(compact.Bytes(), body)
}
