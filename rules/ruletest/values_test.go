package ruletest

import (
	"fmt"
	"strings"
	"testing"
)

// say writes readings one by one, so that a test reads as the notation does.
func say(list []reading) string {
	var words []string
	for _, r := range list {
		switch {
		case r.missing:
			words = append(words, "_")
		case r.invalid != "":
			words = append(words, "!"+r.invalid)
		case r.kind == 0:
			words = append(words, fmt.Sprint(r.num))
		case r.text == "":
			words = append(words, fmt.Sprint(r.num == 1))
		default:
			words = append(words, fmt.Sprintf("%q", r.text))
		}
	}
	return strings.Join(words, " ")
}

func TestValuesAreWhatTheNotationSays(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{" -20x2  -14.5\n1e3x2 ", "-20 -20 -14.5 1000 1000"},
		{"true open openx2 false", `true "open" "open" "open" false`},
		{"_ 1 _x3", "_ 1 _ _ _"},
		{"nan nullx2 err:timeout err:bus x2", `!nan !null !null !timeout !bus "x2"`},
		{`"a b"x2 'it"s' "linux2" "5" "\""`, `"a b" "a b" "it\"s" "linux2" "5" "\""`},
		{"1..5 5..3 -1..1", "1 2 3 4 5 5 4 3 -1 0 1"},
		{"1..2/0.5 0..0.3/0.1 2..1/0.5 1..1", "1 1.5 2 0 0.1 0.2 0.3 2 1.5 1 1"},
		{"1..2.4", "1 2"},
		{"-20+0.1x4 10-2.5x3 0+0x2", "-20 -19.9 -19.8 -19.7 10 7.5 5 0 0"},
		{"1e-3x2 1e2-1e1x2", "0.001 0.001 100 90"},
	} {
		list, err := parseValues(c.text)
		if got := say(list); err != nil || got != c.want {
			t.Errorf("%q is %s, %v; want %s", c.text, got, err, c.want)
		}
	}
}

func TestValuesProblemsSayWhereWhatAndWhatToWrite(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"-20x5 -14y4", "at byte 6 of the values: -14y4 is no value (a number"},
		{"1 -20x0", "at byte 2 of the values: -20x0 does not say how often"},
		{"1x99999999999999999999", "does not say how often"},
		{`1 "a b`, `at byte 2 of the values: "a b has no second quote (close it)`},
		{`"a"b`, `"a"b goes on after its quotes`},
		{"-20+0.1", "-20+0.1 does not say how many values (write -20+0.1x10 for ten)"},
		{"1..5x3", "a ramp cannot be repeated"},
		{"1..5/0", "a ramp in steps of 0 does not end"},
		{"0..1e9", "has more than 1000000 values"},
		{"1x1000000 1", "makes more than 1000000 values"},
		{"err:", "err: has no reason"},
		{"1e999", "is too large a number"},
		{"-20,-14", "-20,-14 is no value"},
	} {
		if _, err := parseValues(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, s := range []string{"-20x5 -14x4", `"a b"x2 _ 1..5/0.5`, "-20+0.1x10 nan err:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if list, err := parseValues(s); err == nil && len(list) > maxValues {
			t.Errorf("%d values", len(list))
		}
	})
}
