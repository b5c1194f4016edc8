package preset

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A jsonPath leads to a value of an answer: $.result[0].id;
// $.transitions[name=Done].id takes the first whose name is Done,
// $.transitions[to.statusCategory.key=done].id looks deeper, and
// $[tags=a&&status=2||3].id takes the first whose list of tags has a and whose
// status is 2 or 3.
type jsonPath []pathStep

type pathStep struct {
	key        string // of a table
	index      int
	conditions []condition // of the elements that are compared, all of them
	kind       byte        // '.' a key, '#' an index, '=' a comparison
}

// A condition of an element is that one of the values stands below the key.
type condition struct {
	key    string
	values []string
}

var errPath = errors.New("is no path")

func parsePath(s string) (jsonPath, error) {
	rest, ok := strings.CutPrefix(s, "$")
	if !ok {
		return nil, errPath
	}
	var p jsonPath
	for rest != "" {
		if key, ok := strings.CutPrefix(rest, "."); ok {
			end := strings.IndexAny(key, ".[")
			if end < 0 {
				end = len(key)
			}
			if end == 0 {
				return nil, errPath
			}
			p, rest = append(p, pathStep{kind: '.', key: key[:end]}), key[end:]
			continue
		}
		inside, after, closed := strings.Cut(strings.TrimPrefix(rest, "["), "]")
		if rest[0] != '[' || !closed {
			return nil, errPath
		}
		rest = after
		if strings.Contains(inside, "=") {
			step := pathStep{kind: '='}
			for part := range strings.SplitSeq(inside, "&&") {
				key, values, ok := strings.Cut(part, "=")
				if !ok {
					return nil, errPath
				}
				step.conditions = append(step.conditions, condition{key, strings.Split(values, "||")})
			}
			p = append(p, step)
			continue
		}
		n, err := strconv.ParseUint(inside, 10, 16)
		if err != nil {
			return nil, errPath
		}
		p = append(p, pathStep{kind: '#', index: int(n)})
	}
	return p, nil
}

// find returns what the path leads to, nil if there is nothing.
func (p jsonPath) find(v any) any {
	for _, s := range p {
		switch s.kind {
		case '.':
			table, _ := v.(map[string]any)
			v = table[s.key]
		case '#':
			list, _ := v.([]any)
			if s.index >= len(list) {
				return nil
			}
			v = list[s.index]
		default:
			list, _ := v.([]any)
			v = nil
			for _, e := range list {
				if s.fits(e) {
					v = e
					break
				}
			}
		}
	}
	return v
}

// fits reports whether an element of a list is the one that is looked for.
func (s *pathStep) fits(v any) bool {
	for _, c := range s.conditions {
		x := v
		for name := range strings.SplitSeq(c.key, ".") {
			table, _ := x.(map[string]any)
			x = table[name]
		}
		list, ok := x.([]any)
		if !ok && x != nil {
			list = []any{x}
		}
		if !slices.ContainsFunc(list, func(e any) bool { return slices.Contains(c.values, text(e)) }) {
			return false
		}
	}
	return true
}

// parseAnswer reads an answer as far as it goes: its end may be missing, and a
// number that is needed often stands before it.
func parseAnswer(body []byte) any {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	v, _ := partial(dec, 0)
	return v
}

const maxDepth = 64

func partial(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, io.ErrShortBuffer
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		table := map[string]any{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return table, err
			}
			name, _ := key.(string)
			v, err := partial(dec, depth+1)
			if v != nil || err == nil {
				table[name] = v
			}
			if err != nil {
				return table, err
			}
		}
		_, err := dec.Token()
		return table, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := partial(dec, depth+1)
			if v != nil || err == nil {
				list = append(list, v)
			}
			if err != nil {
				return list, err
			}
		}
		_, err := dec.Token()
		return list, err
	}
	if n, ok := t.(json.Number); ok {
		return number64(n), nil
	}
	return t, nil
}

// number64 keeps the digits of a number too long for a float: it may be an id.
func number64(n json.Number) any {
	if f, err := n.Float64(); err == nil && text(f) == n.String() {
		return f
	}
	return n.String()
}
