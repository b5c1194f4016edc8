package preset

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A reader takes a table of TOML apart and notices what nobody asked for.
type reader struct {
	table map[string]any
	path  []string
	bad   *problems
	asked map[string]bool
	with  map[string]any // parameters that a path may name
}

func newReader(table map[string]any, path []string, bad *problems) *reader {
	return &reader{table: table, path: path, bad: bad, asked: map[string]bool{}}
}

func (r *reader) at(key string) []string { return under(r.path, key) }

// value returns what stands under a key, nil for nothing.
func (r *reader) value(key string) any {
	r.asked[key] = true
	return r.table[key]
}

func (r *reader) text(key string) string {
	v := r.value(key)
	s, ok := v.(string)
	if v != nil && !ok {
		r.bad.add(r.at(key), "must be a text", "put it in quotes")
	}
	return s
}

func (r *reader) flag(key string) bool {
	v := r.value(key)
	b, ok := v.(bool)
	if v != nil && !ok {
		r.bad.add(r.at(key), "must be true or false", "write it without quotes")
	}
	return b
}

func (r *reader) whole(key string) int {
	v := r.value(key)
	i, ok := v.(int64)
	if v != nil && (!ok || i < 0 || i > 1<<30) {
		r.bad.add(r.at(key), "must be a whole number", "write it without quotes")
		return 0
	}
	return int(i)
}

// texts returns a list of texts, which may be written as one.
func (r *reader) texts(key string) []string {
	switch v := r.value(key).(type) {
	case nil:
	case string:
		return []string{v}
	case []any:
		list := make([]string, 0, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				r.bad.add(under(r.at(key), strconv.Itoa(i)), "must be a text", "put it in quotes")
			}
			list = append(list, s)
		}
		return list
	default:
		r.bad.add(r.at(key), "must be a list of texts", `write it as in ["one", "two"]`)
	}
	return nil
}

func (r *reader) below(key string) *reader {
	v := r.value(key)
	t, ok := v.(map[string]any)
	if v != nil && !ok {
		r.bad.add(r.at(key), "must be a table", "write { name = … }")
	}
	return r.child(t, r.at(key))
}

func (r *reader) child(table map[string]any, path []string) *reader {
	c := newReader(table, path, r.bad)
	c.with = r.with
	return c
}

// each yields the tables of a list.
func (r *reader) each(key string) []*reader {
	var tables []map[string]any
	switch v := r.value(key).(type) {
	case nil:
	case []map[string]any:
		tables = v
	case []any:
		for _, e := range v {
			t, ok := e.(map[string]any)
			if !ok {
				r.bad.add(r.at(key), "must be a list of tables", "write [{ … }, { … }]")
				return nil
			}
			tables = append(tables, t)
		}
	default:
		r.bad.add(r.at(key), "must be a list of tables", "write [{ … }, { … }]")
	}
	list := make([]*reader, len(tables))
	for i, t := range tables {
		list[i] = r.child(t, under(r.at(key), strconv.Itoa(i)))
	}
	return list
}

func (r *reader) names() []string { return slices.Sorted(maps.Keys(r.table)) }

func (r *reader) duration(key string) time.Duration {
	s := r.text(key)
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		r.bad.add(r.at(key), fmt.Sprintf("%q is no duration", s), `write it as in "30s" or "1h"`)
	}
	return d
}

// jsonPath reads a path, which may name parameters.
func (r *reader) jsonPath(key string) jsonPath {
	s := r.text(key)
	if s == "" {
		return nil
	}
	if strings.Contains(s, "{{") {
		l, f := parseLeaf(s, &shape{fields: map[string]*shape{"with": {open: true}}})
		if f != nil {
			r.bad.unknown(r.at(key), f.fact, f.name, f.remedy, f.known)
			return nil
		}
		s, _ = l.string(scope{"with": r.with}) // what it names is there, or empty
	}
	p, err := parsePath(s)
	if err != nil {
		r.bad.add(r.at(key), fmt.Sprintf("%q is no path", s), `write it as in "$.result[0].id" or "$.list[name=Done].id"`)
	}
	return p
}

// oneOf checks that a word is one of several.
func (r *reader) oneOf(key, word string, words []string) bool {
	if slices.Contains(words, word) {
		return true
	}
	r.bad.unknown(r.at(key), fmt.Sprintf("%q is none of its values", word), word, "the values are ", words)
	return false
}

// finish reports the keys that nobody asked for.
func (r *reader) finish() {
	for _, key := range r.names() {
		if !r.asked[key] {
			r.bad.unknown(r.at(key), fmt.Sprintf("unknown key %q", key), key, "the keys are ", slices.Sorted(maps.Keys(r.asked)))
		}
	}
}

// statuses reads 403, [403, 429] or "5xx".
func (r *reader) statuses(key string) []int {
	var values []any
	switch v := r.value(key).(type) {
	case nil:
		return nil
	case []any:
		values = v
	default:
		values = []any{v}
	}
	var list []int
	for _, v := range values {
		n, ok := statusOf(text(v))
		if !ok {
			r.bad.add(r.at(key), fmt.Sprintf("%q is no status", text(v)), `write 403, "4xx" or a list of them`)
			continue
		}
		list = append(list, n)
	}
	return list
}

// statusOf reads 404, or 4xx as 4.
func statusOf(s string) (int, bool) {
	if hundreds, ok := strings.CutSuffix(s, "xx"); ok {
		n, err := strconv.Atoi(hundreds)
		return n, err == nil && n >= 2 && n <= 5
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 200 && n <= 599
}

func (r *reader) statusTable(key string, into statusTable) {
	t := r.below(key)
	for _, name := range t.names() {
		word := t.text(name)
		n, ok := statusOf(name)
		if !ok {
			t.bad.add(t.at(name), fmt.Sprintf("%q is no status", name), `write 404 = "disable" or 4xx = "retry"`)
		} else if t.oneOf(name, word, verdicts()) {
			into[n] = verdict(word)
		}
	}
}

func (r *reader) answer() answer {
	a := answer{
		status: r.statuses("status"), equals: r.text("equals"), contains: r.text("contains"), path: r.jsonPath("json"),
		is: r.value("is"), exists: r.flag("exists"), wait: r.duration("wait"), because: r.text("because"),
	}
	if word := r.text("then"); r.table["then"] != nil && r.oneOf("then", word, verdicts()) {
		a.then = verdict(word)
	}
	if a.path != nil && a.is == nil && !a.exists {
		r.bad.add(r.path, "does not say what json has to be", "add is = … or exists = true")
	}
	r.finish()
	return a
}

func (r *reader) answers(key string) []answer {
	var list []answer
	for _, t := range r.each(key) {
		a := t.answer()
		if a.then == "" {
			t.bad.add(t.path, "does not say what the answer means", `add then = "accepted", "retry", "refused", "disable" or "forget"`)
		}
		list = append(list, a)
	}
	return list
}
