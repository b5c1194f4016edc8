package preset

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "<secret>"

// A Value is a parameter of a destination: text, a number, true or false; or a
// secret, which prints as <secret> in every format.
type Value struct {
	plain any
	// Two pointers, because fmt cannot call the methods of a value that lies in an
	// unexported field: it follows one pointer, and of two it prints an address.
	secret **string
}

// Plain is a parameter that may be seen: a string, bool, int64 or float64.
func Plain(v any) Value { return Value{plain: v} }

// Hidden is a parameter that may not be seen.
func Hidden(text string) Value {
	p := &text
	return Value{secret: &p}
}

// IsZero reports whether there is no value.
func (v Value) IsZero() bool { return v.plain == nil && v.secret == nil }

// reveal is the value itself, for the request that it goes into.
func (v Value) reveal() any {
	if v.secret != nil {
		return **v.secret
	}
	return v.plain
}

// shown is the value as it may be seen.
func (v Value) shown() any {
	if v.secret != nil {
		return redacted
	}
	return v.plain
}

// String returns the value as it may be seen.
func (v Value) String() string { return text(v.shown()) }

// Format prints what String returns, for every verb and flag.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.String()) }

// LogValue logs what String returns.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText writes what String returns, and with it JSON does.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
