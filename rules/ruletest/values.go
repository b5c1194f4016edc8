package ruletest

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tocsin/rules"
)

// maxValues bounds one series: a typing error must not take all memory.
const maxValues = 1_000_000

// A reading is one value of a series, as a payload would carry it.
type reading struct {
	missing bool // nothing is sent
	kind    rules.Kind
	num     float64
	text    string
	invalid string // why it is unusable, in a word
}

// parseValues reads the notation of series: entries with spaces between them.
//
//	-14.5         a number
//	true false    a boolean
//	open "a b"    a text; in quotes where it has spaces or could be read otherwise
//	_             nothing is sent
//	nan null      an unusable reading
//	err:timeout   an unusable reading, with its reason
//	1..5 1..5/0.5 a ramp to the second number, in steps of 1 or as written
//	-20+0.1x10    ten values, each 0.1 above the one before
//	-14x4         any entry but a ramp: four times
func parseValues(text string) ([]reading, error) {
	number := `[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?`
	numeric := regexp.MustCompile(`^(` + number + `)(?:\.\.(` + number + `)(?:/(` + number + `))?|([-+]` + number[len(`[-+]?`):] + `))?$`)
	var out []reading
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		if unicode.IsSpace(r) {
			at += size
			continue
		}
		entry, quoted, err := nextEntry(text[at:])
		if err != nil {
			return nil, fmt.Errorf("at byte %d of the values: %w", at, err)
		}
		base, count, err := split(entry, quoted)
		if err != nil {
			return nil, fmt.Errorf("at byte %d of the values: %w", at, err)
		}
		counted := base != entry
		var list []reading
		m := numeric.FindStringSubmatch(base)
		switch {
		case quoted != "":
			list, err = unquote(base)
		case m != nil:
			list, err = numbers(m[1:], count, counted)
			if m[4] != "" {
				count = 1
			}
		default:
			list, err = word(base)
		}
		if err == nil && len(list)*count > maxValues-len(out) {
			err = fmt.Errorf("%s makes more than %d values (write fewer)", entry, maxValues)
		}
		if err != nil {
			return nil, fmt.Errorf("at byte %d of the values: %w", at, err)
		}
		for range count {
			out = append(out, list...)
		}
		at += len(entry)
	}
	return out, nil
}

// nextEntry cuts the first entry off; quoted is its text with its quotes, "" if
// it has none.
func nextEntry(s string) (entry, quoted string, err error) {
	if s[0] == '"' || s[0] == '\'' {
		end := 1
		for end < len(s) && s[end] != s[0] {
			if s[end] == '\\' && s[0] == '"' {
				end++
			}
			end++
		}
		if end >= len(s) {
			return "", "", fmt.Errorf("%s has no second quote (close it)", s)
		}
		quoted = s[:end+1]
	}
	end := strings.IndexFunc(s[len(quoted):], unicode.IsSpace)
	if end < 0 {
		return s, quoted, nil
	}
	return s[:len(quoted)+end], quoted, nil
}

// split takes "x4" off an entry.
func split(entry, quoted string) (base string, count int, err error) {
	m := regexp.MustCompile(`^(.*)x(\d+)$`).FindStringSubmatch(entry[len(quoted):])
	switch {
	case quoted == entry || quoted == "" && (m == nil || m[1] == ""):
		return entry, 1, nil
	case m == nil || quoted != "" && m[1] != "":
		return "", 0, fmt.Errorf("%s goes on after its quotes (put a space, or x4 for four times, behind them)", entry)
	}
	if count, err = strconv.Atoi(m[2]); err != nil || count < 1 || count > maxValues {
		return "", 0, fmt.Errorf("%s does not say how often (write x1 to x%d after a value)", entry, maxValues)
	}
	return quoted + m[1], count, nil
}

func unquote(quoted string) ([]reading, error) {
	text := quoted[1 : len(quoted)-1]
	if quoted[0] == '"' {
		var err error
		if text, err = strconv.Unquote(quoted); err != nil {
			return nil, fmt.Errorf("%s is no quoted text (write \\\\ for a backslash, or use single quotes)", quoted)
		}
	}
	return []reading{{kind: rules.Text, text: text}}, nil
}

// numbers makes the values of "first", "first..last/step" or "first+step".
func numbers(part []string, count int, counted bool) ([]reading, error) {
	var value [4]float64
	for i, s := range part {
		if s == "" {
			continue
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("%s is too large a number (write a smaller one)", s)
		}
		value[i] = v
	}
	first, last, step := value[0], value[1], value[2]
	switch {
	case part[3] != "":
		if !counted {
			return nil, fmt.Errorf("%s%s does not say how many values (write %s%sx10 for ten)", part[0], part[3], part[0], part[3])
		}
		return series(first, value[3], count), nil
	case part[1] == "":
		return series(first, 0, 1), nil
	case counted:
		return nil, fmt.Errorf("a ramp cannot be repeated (write it again, or %s+STEPxN)", part[0])
	}
	if part[2] == "" {
		step = 1
	}
	step = math.Abs(step)
	if last < first {
		step = -step
	}
	if step == 0 {
		return nil, fmt.Errorf("a ramp in steps of 0 does not end (write a step such as /0.5)")
	}
	steps := math.Floor((last-first)/step + 1e-9)
	if steps >= maxValues {
		return nil, fmt.Errorf("the ramp from %s to %s has more than %d values (write a larger step)", part[0], part[1], maxValues)
	}
	return series(first, step, int(steps)+1), nil
}

// series is count numbers from first on. They are rounded to what people would
// have written: a ramp by 0.1 reaches 0.3, not 0.30000000000000004.
func series(first, step float64, count int) []reading {
	list := make([]reading, count)
	for i := range list {
		v := first + float64(i)*step
		if rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64); err == nil && step != 0 {
			v = rounded
		}
		list[i] = reading{num: v}
	}
	return list
}

func word(s string) ([]reading, error) {
	reason, isErr := strings.CutPrefix(s, "err:")
	switch {
	case s == "_":
		return []reading{{missing: true}}, nil
	case s == "true", s == "false":
		r := reading{kind: rules.Bool}
		if s == "true" {
			r.num = 1
		}
		return []reading{r}, nil
	case s == "nan", s == "null":
		return []reading{{invalid: s}}, nil
	case isErr && reason == "":
		return nil, fmt.Errorf("err: has no reason (write one after it, such as err:timeout)")
	case isErr:
		return []reading{{invalid: reason}}, nil
	}
	if r, _ := utf8.DecodeRuneInString(s); !unicode.IsLetter(r) || strings.ContainsAny(s, `"',;=`) {
		return nil, fmt.Errorf("%s is no value (a number such as -14.5, true, a word, \"a text\", _ for none, nan, null or err:reason; each may have x4 after it)", s)
	}
	return []reading{{kind: rules.Text, text: s}}, nil
}
