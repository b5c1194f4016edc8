package preset

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// put is the function that every action ends in. No author writes it.
const put = "_put"

// functions are what templates may call, beside and, or, not, eq, ne, lt, le, gt
// and ge. All of them take what may be missing.
func functions() template.FuncMap {
	return template.FuncMap{
		put:        (scope).put,
		"after":    after,
		"basic":    basic,
		"cat":      cat,
		"date":     date,
		"default":  func(otherwise, v any) any { return either(v, otherwise) },
		"get":      get,
		"has":      func(v any) bool { return v != nil && v != "" },
		"hash":     hash,
		"join":     join,
		"json":     asJSON,
		"labels":   labels,
		"line":     line,
		"lower":    func(v any) string { return strings.ToLower(text(v)) },
		"pick":     pick,
		"round":    round,
		"set":      set,
		"text":     text,
		"truncate": func(n int, v any) string { return truncate(text(v), n) },
		"unique":   unique,
		"unix":     func(v any) (any, error) { return stamp(v, time.Time.Unix) },
		"unixms":   func(v any) (any, error) { return stamp(v, time.Time.UnixMilli) },
		"upper":    func(v any) string { return strings.ToUpper(text(v)) },
	}
}

// allowed are the names of all functions that templates may call.
func allowed() []string {
	names := []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge"}
	for name := range maps.Keys(functions()) {
		if name != put {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func either(v, otherwise any) any {
	if v == nil || v == "" {
		return otherwise
	}
	return v
}

// basic is the credential of basic authentication.
func basic(user, password any) string {
	return base64.StdEncoding.EncodeToString([]byte(text(user) + ":" + text(password)))
}

// cat joins texts.
func cat(values ...any) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(text(v))
	}
	return b.String()
}

// get is a table's value under a name that a field cannot have, such as cost-center.
func get(table any, name string) any {
	t, _ := table.(map[string]any)
	return t[name]
}

// hash is 32 hexadecimal digits that stand for a text of any length and content.
func hash(v any) string {
	sum := sha256.Sum256([]byte(text(v)))
	return hex.EncodeToString(sum[:16])
}

// unique is a text of at most n characters that is another one for another text.
func unique(n int, v any) string {
	s := text(v)
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	tail := "~" + hash(s)
	return string([]rune(s)[:max(n-len(tail), 0)]) + tail
}

func join(separator string, v any) string {
	switch v := v.(type) {
	case []any:
		words := make([]string, len(v))
		for i, e := range v {
			words[i] = text(e)
		}
		return strings.Join(words, separator)
	case map[string]any:
		words := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			words = append(words, k+": "+text(v[k]))
		}
		return strings.Join(words, separator)
	}
	return text(v)
}

func asJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// pick is what stands behind the first case that v is equal to, and what stands
// last if v is equal to none: pick .severity "critical" 5 "major" 4 1.
func pick(v any, cases ...any) (any, error) {
	if len(cases)%2 == 0 {
		return nil, errors.New("pick wants pairs, and what to take otherwise behind them")
	}
	for i := 0; i+1 < len(cases); i += 2 {
		if text(cases[i]) == text(v) {
			return cases[i+1], nil
		}
	}
	return cases[len(cases)-1], nil
}

// round writes a number with n decimals; what is no number stays as it is.
func round(n int, v any) any {
	f, ok := v.(float64)
	if !ok || n < 0 || n > 9 {
		return v
	}
	s := strconv.FormatFloat(f, 'f', n, 64)
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-")
	}
	return json.RawMessage(s)
}

// moment reads a time of the event.
func moment(v any) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text(v))
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time", text(v))
	}
	return at, nil
}

// date writes a time by a layout of package time, in UTC or the zone that is
// named. What is missing stays missing.
func date(layout string, v any, zone ...string) (any, error) {
	if v == nil || v == "" {
		return v, nil
	}
	at, err := moment(v)
	if err != nil {
		return nil, err
	}
	where := time.UTC
	if len(zone) > 0 {
		if where, err = time.LoadLocation(zone[0]); err != nil {
			return nil, fmt.Errorf("%q is no time zone", zone[0])
		}
	}
	return at.In(where).Format(layout), nil
}

// after is a time later than another: after "24h" .at.
func after(d string, v any) (any, error) {
	if v == nil || v == "" {
		return v, nil
	}
	at, err := moment(v)
	if err != nil {
		return nil, err
	}
	later, err := time.ParseDuration(d)
	if err != nil {
		return nil, fmt.Errorf("%q is no duration", d)
	}
	return at.Add(later).UTC().Format(time.RFC3339Nano), nil
}

// labels is a table with names that every system takes: letters, digits and _.
func labels(v any) map[string]any {
	table, _ := v.(map[string]any)
	out := make(map[string]any, len(table))
	for _, name := range slices.Sorted(maps.Keys(table)) {
		word := strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
				return r
			}
			return '_'
		}, name)
		if word != "" && word[0] >= '0' && word[0] <= '9' {
			word = "_" + word
		}
		out[word] = text(table[name])
	}
	return out
}

// line is a text on one line.
func line(v any) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text(v)))
}

// set is a table with more in it: set .device.labels "rule" .rule.id. What is
// missing is left out.
func set(v any, pairs ...any) (map[string]any, error) {
	table, _ := v.(map[string]any)
	out := maps.Clone(table)
	if out == nil {
		out = map[string]any{}
	}
	if len(pairs)%2 != 0 {
		return nil, errors.New("set wants pairs of a name and a value")
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != nil {
			out[text(pairs[i])] = pairs[i+1]
		}
	}
	return out, nil
}

// stamp is a time as a number.
func stamp(v any, unit func(time.Time) int64) (any, error) {
	if v == nil || v == "" {
		return v, nil
	}
	at, err := moment(v)
	if err != nil {
		return nil, err
	}
	return unit(at), nil
}

// finite reports whether a number can be written as JSON.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
