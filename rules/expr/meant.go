package expr

import (
	"fmt"
	"strings"
	"unicode"
)

// meant guesses what somebody who knows another language wanted to write, where a word
// or sign stands between what comes before and after.
func meant(token, before, after string) string {
	last := ""
	if words := strings.Fields(before); len(words) > 0 {
		last = words[len(words)-1]
	}
	switch first, _, _ := strings.Cut(strings.TrimSpace(before), " "); {
	case strings.EqualFold(first, "select"):
		return "a rule is no query: write only what stands behind WHERE"
	case strings.EqualFold(first, "case"):
		return "write (a and b) or (not a and c)"
	case token == ":" && strings.EqualFold(first, "lambda"):
		return "leave lambda: out, and the quotes around the names of metrics"
	}
	switch strings.ToLower(last) {
	case "for":
		return fmt.Sprintf("how long it must be so is a key of its own: for = %q", token)
	case "unless":
		return `write and not (…), or a key of its own: unless = "…"`
	}
	switch next := strings.ToLower(firstWord(after)); strings.ToLower(token) {
	case "=":
		switch {
		case strings.HasPrefix(after, ">"):
			return "write >="
		case strings.HasPrefix(after, "<"):
			return "write <="
		case strings.HasPrefix(after, "~"):
			return `write x matches "…"`
		}
		return "write == to compare"
	case "is":
		if next == "null" || next == "not" {
			return "write age(x) < 10m for a reading that is there, and x != 3 for another value"
		}
		return "write =="
	case "equals", "eq":
		return "write =="
	case "above", "over", "gt":
		return "write >"
	case "below", "under", "lt":
		return "write <"
	case "between":
		return "write x >= 2 and x <= 8"
	case "like", "ilike", "regexp", "rlike", "contains", "startswith", "endswith":
		return `write x matches "^a"`
	case "offset":
		return "a condition looks back by functions: prev(x), delta(x, 1h) or avg(x, 1h)"
	case "by", "without", "group":
		return `what is taken together is a key of its own: across = "label:site"`
	case "&":
		return "write and"
	case "|":
		return "write or"
	case "and", "or", "not", "in", "matches":
		return "write " + strings.ToLower(token)
	case "<>", "=!":
		return "write !="
	case ":":
		return "the time of day is hour, as in hour >= 22; hours and days in which nobody is told are a schedule"
	case "{":
		if strings.TrimSpace(before) != "" {
			return `which devices are looked at is a key of its own: devices = ["label:site=lyon"]`
		}
		return "remove the braces"
	case "#":
		return "a condition looks at metrics by their names, and has neither lists of readings nor functions of its own"
	}
	return "write an operator (and, or, ==, <, +) between two values, and a metric, a number or a function on each side of one"
}

// isName reports whether a text looks like the name of a metric.
func isName(s string) bool {
	return s != "" && !isNumber(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' })
}

func firstWord(s string) string {
	if words := strings.Fields(s); len(words) > 0 {
		return words[0]
	}
	return ""
}
