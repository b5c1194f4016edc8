package webhook

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

// A Credential is what proves who we are: a password, a token, the value of a
// header. Like a [Secret] it prints as <secret> wherever it goes; the zero
// Credential is none.
type Credential struct {
	text **string // two pointers, for the reason that a Secret has two
}

// NewCredential hides a text. The empty text is no credential.
func NewCredential(text string) Credential {
	if text == "" {
		return Credential{}
	}
	p := &text
	return Credential{&p}
}

// Reveal returns the text, for the one request that carries it.
func (c Credential) Reveal() string {
	if c.text == nil {
		return ""
	}
	return **c.text
}

// IsZero reports whether there is no credential.
func (c Credential) IsZero() bool { return c.text == nil }

// String returns <secret>.
func (c Credential) String() string { return redacted }

// Format prints <secret> for every verb and flag.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue logs <secret>.
func (c Credential) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes <secret>, so that JSON, TOML and XML do too.
func (c Credential) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Auth says who sends, beside the signature. The zero Auth says nothing.
type Auth struct {
	Header string     // the header that carries Value; empty: Authorization
	Value  Credential // the header's whole value: "Bearer …", "Basic …", a key
	OAuth2 *OAuth2    // where Authorization comes from instead
}

// Basic is the authentication of RFC 7617.
func Basic(user string, password Credential) Auth {
	return Auth{Value: NewCredential("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password.Reveal())))}
}

// Bearer is the authentication of RFC 6750, with a token that does not change.
func Bearer(token Credential) Auth { return Auth{Value: NewCredential("Bearer " + token.Reveal())} }
