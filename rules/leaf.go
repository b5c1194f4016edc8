package rules

import (
	"errors"
	"fmt"
	"math"
	"regexp"
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
	size, negative := strings.CutPrefix(s, "-")
	v, err := parseDuration(size)
	switch {
	case err == nil && !negative:
		return v, nil
	case err == nil || negative && errors.Is(err, errTooLong):
		return 0, fmt.Errorf("%q is negative, and a duration is not (%s)", s, durations)
	case errors.Is(err, errTooLong):
		return 0, fmt.Errorf("%q is too long (a duration of up to 290 years)", s)
	}
	return 0, fmt.Errorf("%q is no duration (%s)", s, durations)
}

// An Age is a duration that may be negative: -30s is half a minute ahead.
type Age time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Age) UnmarshalText(b []byte) error {
	size, negative := strings.CutPrefix(string(b), "-")
	v, err := ParseDuration(size)
	if *a = Age(v); negative {
		*a = -*a
	}
	return err
}

// durations is how durations are written.
const durations = `"90s", "10m", "1h30m" or "7d"`

var errTooLong = errors.New("too long")

// parseDuration reads a duration without a sign.
func parseDuration(s string) (time.Duration, error) {
	n, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		n, rest = "0", s
	}
	days, err := strconv.ParseUint(n, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, err
	}
	var v time.Duration
	if rest != "" || !hasDays {
		var short error
		if v, short = time.ParseDuration(rest); short != nil {
			// The library does not tell what is too long from what is none.
			numerals := regexp.MustCompile(`[0-9]+`)
			if _, again := time.ParseDuration(numerals.ReplaceAllString(rest, "1")); again == nil {
				return 0, errTooLong
			}
			return 0, short
		}
	}
	if v < 0 {
		return 0, errors.New("it has a sign within")
	}
	const day = 24 * time.Hour
	if err != nil || days > uint64((math.MaxInt64-v)/day) {
		return 0, errTooLong
	}
	return time.Duration(days)*day + v, nil
}

// A Quantity is a number with the unit it was written in, "" for the metric's
// own; or with Attr, written "@max_temp", an attribute of the device.
type Quantity struct {
	Value float64
	Unit  string
	Attr  string
}

// UnmarshalText implements encoding.TextUnmarshaler: "-15", "-15 °C", "60%", "@max_temp".
func (q *Quantity) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	if name, attr := strings.CutPrefix(s, "@"); attr && name != "" {
		*q = Quantity{Attr: name}
		return nil
	}
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
	if q.Attr != "" {
		return "@" + q.Attr
	}
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

// A Clear is what ends an alarm: a [Range], or the Text of an expression, which
// is then not Limits.
type Clear struct {
	Range
	Text   string // as written, if it was a string
	Limits bool   // Range says it
}

// UnmarshalTOML lets clear be a limit, a list of two, or an expression.
func (c *Clear) UnmarshalTOML(v any) error {
	text, isText := v.(string)
	if isText {
		c.Text = text
	}
	err := c.Range.UnmarshalTOML(v)
	c.Limits = err == nil
	if isText {
		return nil // an expression: the compiler knows where one may stand
	}
	return err
}

// Silent is "auto", which is the zero value, or a duration.
type Silent struct{ After Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Silent) UnmarshalText(b []byte) error {
	if string(b) == "auto" {
		*s = Silent{}
		return nil
	}
	if err := s.After.UnmarshalText(b); err != nil {
		return err
	}
	if s.After == 0 {
		return errors.New("silence of no time is always (write \"auto\", or a duration such as \"15m\")")
	}
	return nil
}

// Renotify are the waits before reminders; the last one repeats. Empty is never.
type Renotify []Duration

// UnmarshalTOML reads false, "7d" or ["1h", "4h"].
func (r *Renotify) UnmarshalTOML(v any) error {
	*r = Renotify{}
	var list []any
	switch v := v.(type) {
	case bool:
		if v {
			return errors.New("true is no wait (write false, \"4h\" or [\"1h\", \"4h\"])")
		}
	case []any:
		list = v
	default:
		list = []any{v}
	}
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return fmt.Errorf("holds a %T (durations only, such as \"4h\")", item)
		}
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil {
			return err
		}
		if d <= 0 {
			return errors.New("a reminder after no time would never end (write a wait of a second or more)")
		}
		*r = append(*r, d)
	}
	return nil
}

// A MaxRate bounds how many readings of a device are judged one by one: Count of
// them Per time. The zero value is no bound.
type MaxRate struct {
	Count float64
	Per   time.Duration
}

type rateUnit struct {
	name string
	per  time.Duration
}

// rateUnits are the times that a rate may be written in.
func rateUnits() []rateUnit {
	return []rateUnit{{"s", time.Second}, {"min", time.Minute}, {"h", time.Hour}}
}

// UnmarshalTOML reads false or "50/s".
func (r *MaxRate) UnmarshalTOML(v any) error {
	*r = MaxRate{}
	switch v := v.(type) {
	case bool:
		if v {
			return errors.New("true is no rate (write \"50/s\", or false for none)")
		}
		return nil
	case string:
		return r.parse(v)
	}
	return fmt.Errorf("is a %T (a rate such as \"50/s\", or false)", v)
}

func (r *MaxRate) parse(s string) error {
	number, unit, _ := strings.Cut(s, "/")
	count, ok := parseNumber(strings.TrimSpace(number))
	for _, u := range rateUnits() {
		if u.name == strings.TrimSpace(unit) {
			r.Per = u.per
		}
	}
	if !ok || r.Per == 0 {
		return fmt.Errorf("%q is no rate (a number of readings per s, min or h, such as \"50/s\")", s)
	}
	switch each := float64(r.Per) / count; {
	case !(count > 0) || each > float64(24*time.Hour):
		return fmt.Errorf("%q is less than one reading a day (write a higher rate, or false for none)", s)
	case each < float64(time.Microsecond):
		return fmt.Errorf("%q is more than a million readings a second (write false for none)", s)
	}
	r.Count = count
	return nil
}

func (r MaxRate) String() string {
	for _, u := range rateUnits() {
		if u.per == r.Per {
			return shown(r.Count) + "/" + u.name
		}
	}
	return "none"
}

// A ScheduleRef names a schedule, or with Not the time outside it. "always" is
// none at all.
type ScheduleRef struct {
	Name string
	Not  bool
}

// UnmarshalTOML reads "NAME" or { not = "NAME" }.
func (r *ScheduleRef) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case string:
		*r = ScheduleRef{Name: v}
		return nil
	case map[string]any:
		if name, ok := v["not"].(string); ok && len(v) == 1 {
			*r = ScheduleRef{Name: name, Not: true}
			return nil
		}
	}
	return errors.New(`is no schedule (write "NAME", "always" or { not = "NAME" })`)
}

// Texts is one text or a list of them.
type Texts []string

// UnmarshalTOML reads "x" or ["x", "y"].
func (t *Texts) UnmarshalTOML(v any) error { return (*Scope)(t).UnmarshalTOML(v) }

// UnmarshalTOML reads "-20x5 -14" or { temperature = "-20x5", door = "open" }.
func (t *Values) UnmarshalTOML(v any) error {
	*t = Values{}
	switch v := v.(type) {
	case string:
		(*t)[""] = v
		return nil
	case map[string]any:
		for metric, values := range v {
			text, ok := values.(string)
			if !ok {
				return fmt.Errorf("holds a %T for %s (a string, such as \"-20x5 -14x4\")", values, metric)
			}
			(*t)[metric] = text
		}
		return nil
	}
	return fmt.Errorf("is a %T (a string, such as \"-20x5 -14x4\", or a table of them by metric)", v)
}
