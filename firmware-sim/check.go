package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// A checker collects what is wrong with one profile.
type checker struct {
	file     string
	dir      string         // where the profile's recordings lie
	lines    map[string]int // by dotted path, see lines
	problems []problem
}

type problem struct {
	line int
	text string
}

// add reports a problem at a dotted path. If the path is not written in the
// file, the nearest table around it is where the user has to look.
func (c *checker) add(at, format string, args ...any) {
	line := 0
	for p := at; line == 0 && p != ""; {
		line = c.lines[p]
		p = p[:max(0, strings.LastIndexByte(p, '.'))]
	}
	c.problems = append(c.problems, problem{max(1, line), at + ": " + fmt.Sprintf(format, args...)})
}

func (c *checker) err() error {
	slices.SortStableFunc(c.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.text, b.text))
	})
	errs := make([]error, len(c.problems))
	for i, p := range c.problems {
		errs[i] = fmt.Errorf("%s:%d: %s", c.file, p.line, p.text)
	}
	return errors.Join(errs...)
}

// decodeError puts what the TOML library says into the form of every other
// problem. It ends at the first.
func (c *checker) decodeError(err error) error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		key, text := parse.LastKey, parse.Message
		if key != "" {
			key += ": "
		}
		if !strings.HasSuffix(text, ")") { // an UnmarshalText of ours has a remedy of its own
			text = strings.TrimSuffix(text, ".") + " (mend the TOML)"
		}
		return fmt.Errorf("%s:%d: %s%s", c.file, max(1, parse.Position.Line), key, text)
	}
	mismatch := regexp.MustCompile(`\(last key "(.+)"\): incompatible types: TOML value has type (.+); destination has type (.+)$`)
	if m := mismatch.FindStringSubmatch(err.Error()); m != nil {
		c.add(m[1], "is of type %s (write one of type %s)", m[2], m[3])
		return c.err()
	}
	return fmt.Errorf("%s:1: %w (mend the TOML)", c.file, err)
}

func (c *checker) unknown(meta toml.MetaData) {
	told := make(map[string]bool)
	for _, key := range meta.Undecoded() {
		key, known := firstUnknown(key)
		if at := key.String(); !told[at] { // inside an unknown table everything is
			told[at] = true
			c.add(at, "unknown key (known here: %s)", strings.Join(known, ", "))
		}
	}
}

// firstUnknown is the part of a key up to the first name that a profile does not
// have, and the names that it has there.
func firstUnknown(key toml.Key) (toml.Key, []string) {
	t := reflect.TypeFor[Profile]()
	for i, name := range key {
		switch t.Kind() {
		case reflect.Map:
			t = t.Elem()
		case reflect.Struct:
			var known []string
			var next reflect.Type
			for f := range t.Fields() {
				tag := f.Tag.Get("toml")
				if tag != "" && tag != "-" {
					known = append(known, tag)
				}
				if tag == name {
					next = f.Type
				}
			}
			if next == nil {
				return key[:i+1], known
			}
			t = next
		}
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	return key, nil
}

// sorted goes through a map by name, so that what is made of it is always the same.
func sorted[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

func names[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// lines finds the line of each key and table of a TOML text by its dotted path.
// It reads only what a profile is written with (bare and quoted keys, one a
// line, and inline tables, whose keys are on the line of their table), because
// the TOML library does not tell where an unknown key stands.
func lines(text []byte) map[string]int {
	at := make(map[string]int)
	table := ""
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			name, _, _ := strings.Cut(strings.TrimLeft(line, "["), "]")
			table = dotted(name)
			for prefix := table; prefix != ""; prefix = prefix[:max(0, strings.LastIndexByte(prefix, '.'))] {
				if at[prefix] == 0 {
					at[prefix] = i + 1
				}
			}
			continue
		}
		key, _, found := strings.Cut(line, "=")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		full := dotted(key)
		if table != "" {
			full = table + "." + full
		}
		if at[full] == 0 {
			at[full] = i + 1
		}
	}
	return at
}

func dotted(key string) string {
	parts := strings.Split(key, ".")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	return strings.Join(parts, ".")
}
