package config

import (
	"strconv"
	"strings"
)

// A span is a part of a text, in bytes.
type span struct{ start, end int }

// A place is where a key and its value are written. A table's value is its
// header; so is a table's that exists only because a longer header names it.
type place struct {
	key, value span
	implied    bool
}

// twice is a key that is written twice.
type twice struct{ first, second span }

const (
	maxDepth    = 32   // of tables and arrays in each other, and of dotted keys
	maxElements = 1000 // of an array whose places are kept; beyond, the array's own serves
)

// A scanner finds out where in a TOML text every key and every array element
// stands: the library does not tell. It judges nothing; at the first thing it
// does not understand it stops, because the library will have stopped there
// too and reported it.
type scanner struct {
	text   string
	pos    int
	places map[string]place
	again  map[int]twice  // by the offset of a key that is written a second time
	arrays map[string]int // path of an array of tables → index of the last
	deep   int            // offset where the nesting went too deep, or -1
	mute   bool           // nothing is noted: beyond the elements that are

	// seen, unless nil, is told of every value that is no table or list, and of
	// whatever the scanner stopped in, which then reaches to the end of the text.
	// It is told of those, too, that have no place: written twice, or too many.
	seen func(path []string, at span)
}

// scan reads a text as far as it can be read.
func scan(text string) *scanner { return watch(text, nil) }

// watch is scan that tells of the values it reads.
func watch(text string, seen func(path []string, at span)) *scanner {
	s := &scanner{
		text:   text,
		seen:   seen,
		places: make(map[string]place),
		again:  make(map[int]twice),
		arrays: make(map[string]int),
		deep:   -1,
	}
	var table []string
	ok := true
	for ok {
		s.space(true)
		switch {
		case s.pos >= len(s.text):
			return s
		case s.text[s.pos] == '[':
			table, ok = s.header()
		default:
			ok = s.pair(table)
		}
	}
	return s
}

// pathKey is a path as a key of the places: the joint cannot be in a TOML key
// without being escaped, and if it is, a place is imprecise.
func pathKey(path []string) string { return strings.Join(path, "\x00") }

// put notes where a path is written.
func (s *scanner) put(path []string, p place) {
	if s.mute {
		return
	}
	for i := 1; i < len(path); i++ {
		if k := pathKey(path[:i]); s.places[k] == (place{}) {
			s.places[k] = place{key: p.key, value: p.key, implied: true}
		}
	}
	k := pathKey(path)
	if old, ok := s.places[k]; ok && !old.implied {
		s.again[p.key.start] = twice{first: old.key, second: p.key}
		return
	}
	s.places[k] = p
}

func (s *scanner) tell(path []string, at span) {
	if s.seen != nil {
		s.seen(path, at)
	}
}

// header reads [a.b] or [[a.b]] and returns the path of the table.
func (s *scanner) header() ([]string, bool) {
	start := s.pos
	s.pos++
	list := s.peek('[')
	if list {
		s.pos++
	}
	keys, at, ok := s.keys()
	if !ok || !s.peek(']') {
		return nil, false
	}
	s.pos++
	if list {
		if !s.peek(']') {
			return nil, false
		}
		s.pos++
	}
	path := make([]string, 0, len(keys)+1)
	for i, key := range keys {
		path = append(path, key)
		k := pathKey(path)
		last, isArray := s.arrays[k]
		if list && i == len(keys)-1 {
			last++
			if !isArray {
				last = 0
				s.put(path, place{key: at, value: span{start, s.pos}})
			}
			s.arrays[k] = last
			isArray = true
		}
		if isArray {
			path = append(path, strconv.Itoa(last))
		}
	}
	s.put(path, place{key: at, value: span{start, s.pos}})
	return path, true
}

// pair reads key = value below a table.
func (s *scanner) pair(table []string) bool {
	keys, at, ok := s.keys()
	path := under(table, keys...)
	if !ok || !s.peek('=') {
		s.tell(path, span{at.start, len(s.text)})
		return false
	}
	s.pos++
	s.space(false)
	start := s.pos
	if !s.value(path, at) {
		s.tell(path, span{start, len(s.text)})
		return false
	}
	return true
}

// keys reads a.b."c d" and the space behind it.
func (s *scanner) keys() (keys []string, at span, ok bool) {
	s.space(false)
	at.start = s.pos
	for {
		key, ok := s.key()
		if !ok {
			return keys, at, false
		}
		keys = append(keys, key)
		at.end = s.pos
		if len(keys) > maxDepth {
			s.deep = at.start
			return nil, at, false
		}
		s.space(false)
		if !s.peek('.') {
			return keys, at, true
		}
		s.pos++
		s.space(false)
	}
}

func (s *scanner) key() (string, bool) {
	start := s.pos
	if s.peek('"') || s.peek('\'') {
		quote := s.text[s.pos]
		if !s.line(quote) {
			return "", false
		}
		text := s.text[start+1 : s.pos-1]
		if quote == '"' {
			text = unescape(text)
		}
		return text, true
	}
	for s.pos < len(s.text) && isBare(s.text[s.pos]) {
		s.pos++
	}
	return s.text[start:s.pos], s.pos > start
}

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// value reads a value and notes it, with all that is in it.
func (s *scanner) value(path []string, key span) bool {
	start := s.pos
	if len(path) > maxDepth {
		s.deep = start
		return false
	}
	var inner func() bool // reads what is inside, once the value itself has been noted
	switch {
	case s.pos >= len(s.text):
		return false
	case s.peek('"'), s.peek('\''):
		if !s.string() {
			return false
		}
	case s.peek('['):
		inner = func() bool { return s.list(path) }
	case s.peek('{'):
		inner = func() bool { return s.table(path) }
	default:
		s.bare()
		if s.pos == start {
			return false
		}
	}
	if inner == nil {
		s.tell(path, span{start, s.pos})
		s.put(path, place{key: key, value: span{start, s.pos}})
		return true
	}
	s.put(path, place{key: key, value: span{start, start + 1}})
	if !inner() {
		return false
	}
	if k := pathKey(path); !s.mute && s.places[k].key == key {
		s.places[k] = place{key: key, value: span{start, s.pos}}
	}
	return true
}

// bare reads a number, a boolean or a date.
func (s *scanner) bare() {
	start := s.pos
	n := strings.IndexAny(s.text[start:], ",]}#\r\n")
	if n < 0 {
		n = len(s.text) - start
	}
	s.pos = start + len(strings.TrimRight(s.text[start:start+n], " \t"))
}

// list reads [ … ].
func (s *scanner) list(path []string) bool {
	s.pos++
	defer func(mute bool) { s.mute = mute }(s.mute)
	for i := 0; ; i++ {
		s.space(true)
		if s.peek(']') {
			s.pos++
			return true
		}
		s.mute = s.mute || i == maxElements
		element := under(path, strconv.Itoa(i))
		if !s.value(element, span{s.pos, s.pos}) {
			return false
		}
		s.space(true)
		if s.peek(',') {
			s.pos++
		} else if !s.peek(']') {
			return false
		}
	}
}

// table reads { … }.
func (s *scanner) table(path []string) bool {
	s.pos++
	for {
		s.space(true)
		if s.peek('}') {
			s.pos++
			return true
		}
		if !s.pair(path) {
			return false
		}
		s.space(true)
		if s.peek(',') {
			s.pos++
		} else if !s.peek('}') {
			return false
		}
	}
}

// string reads a string of any of the four kinds.
func (s *scanner) string() bool {
	quote := s.text[s.pos]
	long := strings.Repeat(string(quote), 3)
	if !strings.HasPrefix(s.text[s.pos:], long) {
		return s.line(quote)
	}
	for s.pos += 3; s.pos < len(s.text); s.pos++ {
		switch {
		case quote == '"' && s.text[s.pos] == '\\':
			s.pos++
		case strings.HasPrefix(s.text[s.pos:], long):
			s.pos += 3
			for extra := 0; extra < 2 && s.peek(quote); extra++ {
				s.pos++
			}
			return true
		}
	}
	return false
}

// line reads a string that ends on its line.
func (s *scanner) line(quote byte) bool {
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '\n':
			return false
		case quote == '"' && c == '\\':
			s.pos++
		case c == quote:
			s.pos++
			return true
		}
	}
	return false
}

// space skips spaces and tabs; with lines, newlines and comments as well.
func (s *scanner) space(lines bool) {
	for ; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == ' ', c == '\t':
		case lines && (c == '\n' || c == '\r'):
		case lines && c == '#':
			n := strings.IndexByte(s.text[s.pos:], '\n')
			if n < 0 {
				n = len(s.text) - s.pos
			}
			s.pos += n - 1
		default:
			return
		}
	}
}

func (s *scanner) peek(c byte) bool { return s.pos < len(s.text) && s.text[s.pos] == c }

// unescape resolves the escapes of a quoted key.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	// Go knows all escapes of TOML but \e, and \x of one character.
	text = strings.NewReplacer(`\\`, `\\`, `\e`, `\x1b`, `\x`, `\u00`).Replace(text)
	if plain, err := strconv.Unquote(`"` + text + `"`); err == nil {
		return plain
	}
	return text
}
