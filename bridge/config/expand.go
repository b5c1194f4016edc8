package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// expand replaces ${NAME} by the variable NAME in every string of the tree, and
// $${ by ${. What a variable holds is not expanded again.
func (s *source) expand(getenv func(string) (string, bool)) {
	s.expandTable(nil, s.tree, getenv)
}

func (s *source) expandTable(path []string, table map[string]any, getenv func(string) (string, bool)) {
	var keys []string
	for key, value := range table {
		if text, ok := value.(string); !ok || strings.Contains(text, "${") { // most of a large file is plain
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		table[key] = s.expandValue(under(path, key), table[key], getenv)
	}
}

func (s *source) expandValue(path []string, value any, getenv func(string) (string, bool)) any {
	switch value := value.(type) {
	case string:
		text, err := expandString(value, getenv)
		if err != nil {
			s.leaf(path, err, "")
		}
		s.fromEnv[pathKey(path)] = text != value
		return text
	case map[string]any:
		s.expandTable(path, value, getenv)
	case []map[string]any:
		for i, table := range value {
			s.expandTable(under(path, strconv.Itoa(i)), table, getenv)
		}
	case []any:
		for i, e := range value {
			value[i] = s.expandValue(under(path, strconv.Itoa(i)), e, getenv)
		}
	}
	return value
}

func expandString(text string, getenv func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		at := strings.Index(text, "${")
		if at < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		if at > 0 && text[at-1] == '$' {
			b.WriteString(text[:at-1] + "${")
			text = text[at+2:]
			continue
		}
		name, rest, closed := strings.Cut(text[at+2:], "}")
		if !closed || !isVariable(name) {
			// What follows may be the rest of a password.
			return "", errors.New("a ${ has no name of a variable and } behind it (write ${NAME} with letters, digits and _, or $${ for a plain ${)")
		}
		value, ok := getenv(name)
		if !ok {
			if !isVariableName(name) {
				return "", errors.New("a variable is not set (set it in the environment, or write $${ for a plain ${)")
			}
			return "", fmt.Errorf("the variable %s is not set (set it in the environment, or write $${%s} for the plain text)", name, name)
		}
		if invalidByte(value) >= 0 {
			return "", fmt.Errorf("the variable %s is not text in UTF-8 (set it to one)", name)
		}
		b.WriteString(text[:at] + value)
		text = rest
	}
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
