package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	secretPrefix = "whsec_"
	secretMin    = 24 // bytes after decoding, as Standard Webhooks has it
	secretMax    = 64
	newSecretLen = 32
)

const redacted = "<secret>"

// A Secret is an endpoint's signing key. It prints as <secret> in every format,
// in logs and in JSON; [Secret.Reveal] is the only way to its text. The zero
// Secret is none.
type Secret struct {
	// Two pointers, because fmt cannot call the methods of a secret that lies in
	// an unexported field. It would print bytes; it follows one pointer, when a
	// verb does not fit; and of two it prints an address.
	key **[]byte
}

func secretOf(key []byte) Secret {
	p := &key
	return Secret{&p}
}

// ParseSecret reads a secret as Standard Webhooks writes it: whsec_ and the
// standard base64 of 24 to 64 bytes. No error contains any of the secret.
func ParseSecret(s string) (Secret, error) {
	rest, ok := strings.CutPrefix(s, secretPrefix)
	if !ok {
		return Secret{}, prefixError(s)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil || strings.ContainsAny(rest, "\r\n") {
		return Secret{}, base64Error(rest)
	}
	if len(key) < secretMin || len(key) > secretMax {
		return Secret{}, fmt.Errorf("secret is %d bytes long, and 24 to 64 are allowed (make one with: tocsin keygen)", len(key))
	}
	return secretOf(key), nil
}

func prefixError(s string) error {
	switch t := strings.Trim(s, " \t\r\n\"'"); {
	case t == "":
		return errors.New("secret is empty (make one with: tocsin keygen)")
	case t != s && strings.HasPrefix(t, secretPrefix):
		return errors.New("secret has quotes or white space before whsec_ (remove them)")
	case strings.HasPrefix(t, "whsk_"), strings.HasPrefix(t, "whpk_"):
		return errors.New("secret is an ed25519 key (whsk_ or whpk_), and a shared secret starts with whsec_")
	case strings.HasPrefix(strings.ToLower(t), secretPrefix):
		return errors.New("secret must start with whsec_ in lower case")
	}
	return errors.New("secret must start with whsec_, followed by base64 (a bare password is not a key; make one with: tocsin keygen)")
}

func base64Error(s string) error {
	switch {
	case strings.TrimRight(s, " \t\r\n\"'") != s:
		return errors.New("secret has quotes, white space or a line end after it (remove them)")
	case strings.HasPrefix(s, secretPrefix):
		return errors.New("secret has whsec_ twice (remove one)")
	case strings.ContainsAny(s, "-_"):
		return errors.New("secret is URL-safe base64 with - or _, and standard base64 with + and / is needed")
	case strings.ContainsAny(s, " \t\r\n"):
		return errors.New("secret has white space inside (it is one line)")
	}
	if _, err := base64.RawStdEncoding.DecodeString(s); err == nil {
		return errors.New("secret has lost its base64 padding (add = until the part after whsec_ is a multiple of 4 long)")
	}
	return errors.New("secret is not base64 after whsec_ (is it complete?)")
}

// NewSecret draws a secret of 32 random bytes.
func NewSecret() Secret {
	key := make([]byte, newSecretLen)
	_, _ = rand.Read(key) // documented never to fail: it ends the process instead
	return secretOf(key)
}

// Reveal returns the secret's text, whsec_ and base64, for the one moment in
// which it is shown to its owner.
func (s Secret) Reveal() string { return secretPrefix + base64.StdEncoding.EncodeToString(s.bytes()) }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.key == nil }

// Equal reports whether both are the same key, in constant time.
func (s Secret) Equal(other Secret) bool {
	return s.IsZero() == other.IsZero() && hmac.Equal(s.bytes(), other.bytes())
}

// String returns <secret>.
func (s Secret) String() string { return redacted }

// Format prints <secret> for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue logs <secret>.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes <secret>, so that JSON, TOML and XML do too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func (s Secret) bytes() []byte {
	if s.key == nil {
		return nil
	}
	return **s.key
}
