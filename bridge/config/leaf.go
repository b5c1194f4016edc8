package config

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// The leaves check themselves while they are decoded, as those of package rules
// do. An error reads "fact (remedy)".

// A Size is a number of bytes, written 16384, "256KiB" or "2GB".
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(b []byte) error {
	number, unit := splitUnit(string(b))
	factor := sizeUnit(unit)
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || factor == 0 || v < 0 || v*factor >= math.MaxInt64 || math.IsNaN(v) {
		return fmt.Errorf("%q is no size (a number of bytes, or \"256KiB\", \"64MiB\", \"2GiB\")", b)
	}
	*s = Size(v * factor)
	return nil
}

func sizeUnit(unit string) float64 {
	switch unit {
	case "", "B":
		return 1
	case "kB", "KB":
		return 1e3
	case "MB":
		return 1e6
	case "GB":
		return 1e9
	case "TB":
		return 1e12
	case "KiB":
		return 1 << 10
	case "MiB":
		return 1 << 20
	case "GiB":
		return 1 << 30
	case "TiB":
		return 1 << 40
	}
	return 0
}

// splitUnit parts "2.5 GiB" into its number and its unit.
func splitUnit(s string) (number, unit string) {
	s = strings.TrimSpace(s)
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		return s, ""
	}
	return s[:end], strings.TrimSpace(s[end:])
}

// A Rate is a number per second, written "1000/s", "30/m" or "100/h".
type Rate float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(b []byte) error {
	number, per, ok := strings.Cut(strings.TrimSpace(string(b)), "/")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	seconds := rateUnit(strings.TrimSpace(per))
	if !ok || err != nil || seconds == 0 || !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is no rate (a number above 0 per second, minute or hour: \"1000/s\", \"30/m\", \"100/h\")", b)
	}
	*r = Rate(v / seconds)
	return nil
}

func rateUnit(unit string) float64 {
	switch unit {
	case "s":
		return 1
	case "m":
		return time.Minute.Seconds()
	case "h":
		return time.Hour.Seconds()
	}
	return 0
}

// OneOrMore is a list of strings that may be written as one string.
type OneOrMore []string

func (OneOrMore) acceptsOne() {}

// A Secret is text that must not be seen: nothing prints it.
type Secret struct {
	Env  string `toml:"env"`  // the variable it is in
	File string `toml:"file"` // the file it is in

	literal string // written into the configuration
	text    string // what it is
}

func (s *Secret) setText(text string) { s.literal = text }

// IsSet reports whether there is a secret.
func (s Secret) IsSet() bool { return s.text != "" }

// Reveal returns the secret itself. What calls it takes care of it.
func (s Secret) Reveal() string { return s.text }

const masked = "<secret>"

// Format implements fmt.Formatter: every verb prints the same.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// String says only whether there is a secret.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return masked
}

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// SecretList is one secret or several, the newest first.
type SecretList []Secret

func (SecretList) acceptsOne() {}
