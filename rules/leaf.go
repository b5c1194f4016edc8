package rules

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The leaves of a rule file check themselves while they are decoded, so that an
// error points at the value itself.

// severityNames are the names of the severities, by their number.
var severityNames = [...]string{"", "info", "warning", "major", "critical"}

func (s Severity) String() string { return severityNames[min(s, Critical)] }

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(b []byte) error {
	for i, name := range severityNames {
		if i > 0 && name == string(b) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no severity (info, warning, major or critical)", b)
}

// A Duration is written "90s", "10m", "1h30m" or "7d"; never negative.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// ParseDuration reads a duration as time.ParseDuration does, and days ("7d",
// "1d12h") before it.
func ParseDuration(s string) (time.Duration, error) {
	rest, days := s, time.Duration(0)
	if n, after, ok := strings.Cut(s, "d"); ok {
		v, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return 0, durationError(s)
		}
		days, rest = time.Duration(v)*24*time.Hour, after
		if rest == "" {
			return days, nil
		}
	}
	v, err := time.ParseDuration(rest)
	if err != nil || v < 0 || days+v < 0 {
		return 0, durationError(s)
	}
	return days + v, nil
}

func durationError(s string) error {
	return fmt.Errorf("%q is no duration (\"90s\", \"10m\", \"1h30m\" or \"7d\")", s)
}

// A Quantity is a number with the unit it was written in, "" for the metric's own.
type Quantity struct {
	Value float64
	Unit  string
}

// UnmarshalText implements encoding.TextUnmarshaler: "-15", "-15 °C", "60%".
func (q *Quantity) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	end := strings.IndexFunc(s, func(r rune) bool {
		return !unicode.IsDigit(r) && !strings.ContainsRune("+-.eE", r)
	})
	number, unit := s, ""
	if end >= 0 {
		number, unit = strings.TrimSpace(s[:end]), strings.TrimSpace(s[end:])
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v != v || v-v != 0 {
		return fmt.Errorf("%q is no quantity (a number, or a number and a unit such as \"-15 °C\")", s)
	}
	*q = Quantity{Value: v, Unit: unit}
	return nil
}

func (q Quantity) String() string {
	s := strconv.FormatFloat(q.Value, 'g', -1, 64)
	switch q.Unit {
	case "":
		return s
	case "%":
		return s + "%"
	}
	return s + " " + q.Unit
}

// A Range is [low, high] where a key wants two, or one quantity (High nil).
type Range struct {
	Low  Quantity
	High *Quantity
}

// UnmarshalTOML lets a range be a quantity or a list of two.
func (r *Range) UnmarshalTOML(v any) error {
	list, ok := v.([]any)
	if !ok {
		return r.Low.UnmarshalText(fmt.Append(nil, v))
	}
	if len(list) != 2 {
		return fmt.Errorf("has %d values (a range has two: [low, high])", len(list))
	}
	r.High = new(Quantity)
	if err := r.Low.UnmarshalText(fmt.Append(nil, list[0])); err != nil {
		return err
	}
	return r.High.UnmarshalText(fmt.Append(nil, list[1]))
}

// A Scalar is a value to compare with, as written: true, "open", 3.
type Scalar string

// UnmarshalTOML keeps a boolean, a number or a string as its text.
func (s *Scalar) UnmarshalTOML(v any) error {
	switch v.(type) {
	case string, bool, int64, float64:
		*s = Scalar(fmt.Sprint(v))
		return nil
	}
	return fmt.Errorf("is a %T (a string, a number, true or false)", v)
}

// A Scope selects devices: "*", an id, a glob, "type:pump", "label:site=lyon",
// or a list of those. Empty is every device.
type Scope []string

// UnmarshalTOML lets a scope be one string or a list.
func (s *Scope) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case string:
		*s = Scope{v}
		return nil
	case []any:
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				return fmt.Errorf("holds a %T (strings only)", item)
			}
			*s = append(*s, text)
		}
		return nil
	}
	return fmt.Errorf("is a %T (a string or a list of strings)", v)
}
