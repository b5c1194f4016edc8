package decode

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// A document is a parsed payload: its nodes in the order in which they are
// written, so that a subtree is a range. Its memory is used again.
type document struct {
	nodes   []node
	records []int  // nodes that are records
	metric  []byte // the name of the metric being read

	open     []int // containers that have not ended
	unquoted []byte
	repaired []byte
	src      bytes.Buffer
	dec      *jsontext.Decoder
}

type node struct {
	kind  byte   // one of { [ " 0 t f n
	taken bool   // it says the device or the time: not a metric
	next  int    // the node behind this one and all that it contains
	key   []byte // unquoted; nil outside objects
	text  []byte // a string unquoted, a number or a literal as written
}

// parse reads exactly one JSON document. Where it is not JSON and bare nan or
// inf tokens are a reason, it is read again with those as strings.
func (t *document) parse(payload []byte, maxDepth, maxNodes int) *Rejection {
	err := t.read(payload, maxDepth, maxNodes)
	if err == nil {
		return nil
	}
	if _, limit := errors.AsType[*Rejection](err); !limit && t.repair(payload) {
		if t.read(t.repaired, maxDepth, maxNodes) == nil {
			return nil
		}
	}
	return explain(payload, err)
}

var errTwo = errors.New("something follows the document")

func (t *document) read(payload []byte, maxDepth, maxNodes int) error {
	t.nodes, t.open, t.unquoted = t.nodes[:0], t.open[:0], t.unquoted[:0]
	t.src = *bytes.NewBuffer(payload)
	if t.dec == nil {
		t.dec = jsontext.NewDecoder(&t.src)
	} else {
		t.dec.Reset(&t.src)
	}
	var key []byte
	inObject, wantKey := false, false // of the innermost open container
	for end := 0; ; {
		token, err := t.dec.ReadToken()
		if err == io.EOF && len(t.nodes) > 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if len(t.open) == 0 && len(t.nodes) > 0 {
			return errTwo
		}
		start := end
		for isBetween(payload[start]) {
			start++
		}
		end = int(t.dec.InputOffset())
		kind := byte(token.Kind())
		switch kind {
		case '}', ']':
			last := len(t.open) - 1
			t.nodes[t.open[last]].next = len(t.nodes)
			t.open = t.open[:last]
			inObject = last > 0 && t.nodes[t.open[last-1]].kind == '{'
			wantKey = inObject
			continue
		case '"':
			if wantKey {
				key, wantKey = t.unquote(payload[start:end]), false
				continue
			}
		}
		if len(t.nodes) >= maxNodes {
			return rejectf(ReasonMetrics, "the document has more than %d parts (send smaller batches)", maxNodes)
		}
		n := node{kind: kind, key: key, next: len(t.nodes) + 1}
		key, wantKey = nil, inObject
		switch kind {
		case '{', '[':
			if len(t.open) >= maxDepth {
				return rejectf(ReasonDepth, "the document is nested deeper than %d", maxDepth)
			}
			t.open = append(t.open, len(t.nodes))
			inObject = kind == '{'
			wantKey = inObject
		case '"':
			n.text = t.unquote(payload[start:end])
		default:
			n.text = payload[start:end]
		}
		t.nodes = append(t.nodes, n)
	}
}

// isBetween reports whether c stands between tokens.
func isBetween(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', ',', ':':
		return true
	}
	return false
}

// unquote returns what a valid JSON string says: a part of it where it can.
func (t *document) unquote(quoted []byte) []byte {
	inside := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	from := len(t.unquoted)
	// The text is valid, or the decoder would have refused it. Where this
	// outgrows its memory, earlier strings keep the old.
	t.unquoted, _ = jsontext.AppendUnquote(t.unquoted, quoted)
	return t.unquoted[from:len(t.unquoted):len(t.unquoted)]
}

// repair makes strings of the bare nan and inf that stand where a value can,
// and reports whether there were any. What is inside a string is not touched.
func (t *document) repair(payload []byte) bool {
	t.repaired = t.repaired[:0]
	copied := 0
	previous := byte('[') // the last byte that is not white space
	for i := 0; i < len(payload); {
		switch c := payload[i]; {
		case c == '"':
			i = stringEnd(payload, i)
			previous = c
		case isWord(c):
			end := i
			for end < len(payload) && isWord(payload[end]) {
				end++
			}
			if word := payload[i:end]; (previous == ':' || previous == '[' || previous == ',') && notFinite(word) != "" && endsValue(payload[end:]) {
				t.repaired = append(t.repaired, payload[copied:i]...)
				t.repaired = append(t.repaired, '"')
				t.repaired = append(t.repaired, word...)
				t.repaired = append(t.repaired, '"')
				copied = end
			}
			i, previous = end, c
		default:
			if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				previous = c
			}
			i++
		}
	}
	t.repaired = append(t.repaired, payload[copied:]...)
	return copied > 0
}

// stringEnd returns the place behind the string that begins at i.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.' || c == '_'
}

// endsValue reports whether what follows a value is what can.
func endsValue(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) == 0 || rest[0] == ',' || rest[0] == ']' || rest[0] == '}'
}

// explain says in words why a payload is not JSON.
func explain(payload []byte, err error) *Rejection {
	if r, ok := errors.AsType[*Rejection](err); ok {
		return r
	}
	magic := func(s string) bool { return bytes.HasPrefix(payload, []byte(s)) }
	switch {
	case magic("\xef\xbb\xbf"):
		return rejectf(ReasonJSON, "the payload begins with a byte order mark (send JSON without one)")
	case magic("\xfe\xff"), magic("\xff\xfe"), len(payload) > 1 && slices.Contains(payload[:2], 0):
		return rejectf(ReasonUTF8, "the payload looks like UTF-16 (send JSON as UTF-8)")
	case magic("\x1f\x8b"):
		return rejectf(ReasonJSON, "the payload is compressed with gzip (send plain JSON)")
	case !utf8.Valid(payload):
		return rejectf(ReasonUTF8, "the payload is not UTF-8, so it is not JSON (is it a binary format?)")
	case err == io.EOF:
		return rejectf(ReasonJSON, "the payload is white space")
	case err == errTwo:
		return rejectf(ReasonJSON, "the payload goes on behind its JSON document (send one document a message)")
	}
	s, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok:
		return rejectf(ReasonJSON, "the payload is not JSON: %v", err)
	case errors.Is(err, jsontext.ErrDuplicateName):
		return rejectf(ReasonDuplicate, "the key %s is there twice in one object, at byte %d: neither value can be trusted", quote(s.JSONPointer.LastToken()), s.ByteOffset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return rejectf(ReasonJSON, "the JSON document ends too early, after %d bytes (was the message cut?)", len(payload))
	}
	return rejectf(ReasonJSON, "the payload is not JSON: %v at byte %d (is another decoder meant?)", s.Err, s.ByteOffset)
}
