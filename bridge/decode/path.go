package decode

import (
	"errors"
	"strconv"
	"strings"
)

// A path leads from the document or a record to a node. It is the part of
// JSONPath (RFC 9535) that names places, with laxer keys: everything up to the
// next dot or bracket.
type path struct {
	ofRecord bool // begins with @
	each     bool // has a [*]
	slot     slot
	steps    []step
}

// A slot is where a message's reading keeps what a path found.
type slot uint8

const (
	slotRecords slot = iota
	slotDevice
	slotMetric
	slotValue
	slotUnit
	slotTime
	slots
)

// A step goes into an object by key, or into an array by index.
type step struct {
	key   string
	index int // where there is no key
	kind  stepKind
}

type stepKind uint8

const (
	stepKey stepKind = iota
	stepIndex
	stepEach
)

func parsePath(src string) (*path, error) {
	p := &path{}
	switch src[0] {
	case '$':
	case '@':
		p.ofRecord = true
	default:
		return nil, errors.New("a path begins with $, the document, or @, the record")
	}
	for rest := src[1:]; rest != ""; {
		var s step
		var err error
		switch rest[0] {
		case '.':
			key := rest[1:]
			if i := strings.IndexAny(key, ".["); i >= 0 {
				key = key[:i]
			}
			s.key, rest = key, rest[1+len(key):]
			if key == "" {
				err = errors.New("a key is missing behind a dot")
			}
		case '[':
			s, rest, err = parseBracket(rest)
		default:
			err = errors.New("behind " + strconv.Quote(src[:len(src)-len(rest)]) + " there should be a dot or a bracket")
		}
		if err != nil {
			return nil, err
		}
		p.each = p.each || s.kind == stepEach
		p.steps = append(p.steps, s)
	}
	return p, nil
}

// parseBracket reads [*], [0], ['key'] or ["key"] at the beginning of src.
func parseBracket(src string) (s step, rest string, err error) {
	if len(src) > 1 && (src[1] == '\'' || src[1] == '"') {
		key, rest, ok := strings.Cut(src[2:], src[1:2]+"]")
		if !ok {
			return s, "", errors.New("a quoted key does not end")
		}
		return step{key: key}, rest, nil
	}
	inside, rest, ok := strings.Cut(src[1:], "]")
	if !ok {
		return s, "", errors.New("a bracket is not closed")
	}
	if inside == "*" {
		return step{kind: stepEach}, rest, nil
	}
	n, err := strconv.ParseUint(inside, 10, 31)
	if err != nil {
		return s, "", errors.New("a bracket holds a position, * or a quoted key")
	}
	return step{kind: stepIndex, index: int(n)}, rest, nil
}

// lastKey is the last key on the path, or otherwise.
func (p *path) lastKey(otherwise string) string {
	for i := len(p.steps) - 1; i >= 0; i-- {
		if p.steps[i].kind == stepKey && p.steps[i].key != "" {
			return p.steps[i].key
		}
	}
	return otherwise
}

// A place is what a path found in the document, for all of its records.
type place struct {
	node        int
	found, done bool
}

// find returns the node that a path leads to from the record or the document.
// The latter is looked for once: a document with many members and many records
// must not cost their product.
func (r *reading) find(p *path, doc *document, record int) (node int, ok bool) {
	if p.ofRecord {
		return doc.walk(record, p.steps)
	}
	at := &r.places[p.slot]
	if !at.done {
		at.node, at.found = doc.walk(0, p.steps)
		at.done = true
	}
	return at.node, at.found
}

// walk takes the steps from a node.
func (t *document) walk(at int, steps []step) (node int, ok bool) {
	for i := range steps {
		if at, ok = t.step(at, &steps[i]); !ok {
			return 0, false
		}
	}
	return at, true
}

// step returns the child of a node that one step leads to.
func (t *document) step(at int, s *step) (int, bool) {
	kind := byte('{')
	if s.kind == stepIndex {
		kind = '['
	}
	if t.nodes[at].kind != kind {
		return 0, false
	}
	i, end := at+1, t.nodes[at].next
	for n := 0; i < end; n++ {
		if s.kind == stepIndex && n == s.index || s.kind == stepKey && string(t.nodes[i].key) == s.key {
			return i, true
		}
		i = t.nodes[i].next
	}
	return 0, false
}

// findAll appends to the document's records the nodes that steps lead to. Where
// that is a list, each of its elements is one: "$.readings" means "$.readings[*]".
func (t *document) findAll(at int, steps []step) {
	for i := range steps {
		if steps[i].kind == stepEach {
			if t.nodes[at].kind == '[' {
				for c := at + 1; c < t.nodes[at].next; c = t.nodes[c].next {
					t.findAll(c, steps[i+1:])
				}
			}
			return
		}
		var ok bool
		if at, ok = t.step(at, &steps[i]); !ok {
			return
		}
	}
	if t.nodes[at].kind != '[' {
		t.records = append(t.records, at)
		return
	}
	for c := at + 1; c < t.nodes[at].next; c = t.nodes[c].next {
		t.records = append(t.records, c)
	}
}
