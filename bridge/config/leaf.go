package config

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
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

// A prefix is a block of addresses, or one: "10.0.0.0/8", "192.168.1.7".
type prefix netip.Prefix

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *prefix) UnmarshalText(b []byte) error {
	if addr, err := netip.ParseAddr(string(b)); err == nil && addr.Zone() == "" && !addr.Is4In6() {
		*p = prefix(netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	v, err := netip.ParsePrefix(string(b))
	if err != nil {
		return fmt.Errorf("%q is no block of addresses (one as in \"10.0.0.0/8\" or \"192.168.1.7\")", b)
	}
	if v.Addr().Is4In6() {
		return fmt.Errorf("%q is a block of IPv4 addresses written as IPv6 (one as in \"10.0.0.0/8\")", b)
	}
	if v != v.Masked() {
		return fmt.Errorf("%q has bits behind its length (did you mean \"%v\"?)", b, v.Masked())
	}
	*p = prefix(v)
	return nil
}

// OneOrMore is a list of strings that may be written as one string.
type OneOrMore []string

func (OneOrMore) acceptsOne() {}

// A Secret is text that must not be seen: nothing prints it.
type Secret struct {
	Env  string `toml:"env"`  // the variable it is in
	File string `toml:"file"` // the file it is in

	// Pointers, because fmt cannot call the methods of a secret that lies in an
	// unexported field: it would print the text, and prints an address instead.
	literal *string // written into the configuration
	text    *string // what it is
	path    string  // of the file it was read from
}

func (s *Secret) setText(text string) { s.literal = &text }

// IsSet reports whether there is a secret.
func (s Secret) IsSet() bool { return s.text != nil }

// Reveal returns the secret itself. What calls it takes care of it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// written reports whether the configuration says anything of the secret.
func (s Secret) written() bool { return s.Env != "" || s.File != "" || s.literal != nil }

// String says only whether there is a secret.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return "<secret>"
}

// Format implements fmt.Formatter: every verb prints the same.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
