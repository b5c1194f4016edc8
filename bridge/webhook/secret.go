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
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	secretPrefix = "whsec_"
	secretMin    = 24 // bytes after decoding, as Standard Webhooks has it
	secretMax    = 64
	newSecretLen = 32
)

const redacted = "<secret>"

// A Secret is what an endpoint and its receiver share to sign with. It prints as
// <secret> in every format, in logs and in JSON; [Secret.Reveal] is the only way
// to its text. The zero Secret is none.
type Secret struct {
	hidden
	// Two pointers, because fmt cannot call the methods of a secret that lies in
	// an unexported field. It would print bytes; it follows one pointer, when a
	// verb does not fit; and of two it prints an address.
	of       **material
	notAfter time.Time
}

// material is a secret in its two forms. Standard Webhooks and RFC 9421 sign with
// the decoded key, GitHub and Stripe with the text as it stands.
type material struct {
	key  []byte // nil: the text is not ours, and can sign only where text does
	text []byte
}

func secretFrom(m *material) Secret { return Secret{of: &m} }

func secretOf(key []byte) Secret {
	return secretFrom(&material{key, base64.StdEncoding.AppendEncode([]byte(secretPrefix), key)})
}

// hidden has what holds it print as <secret>.
type hidden struct{}

// String returns <secret>.
func (hidden) String() string { return redacted }

// Format prints <secret> for every verb and flag.
func (hidden) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue logs <secret>.
func (hidden) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes <secret>, so that JSON, TOML and XML do too.
func (hidden) MarshalText() ([]byte, error) { return []byte(redacted), nil }

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
		return errors.New("secret is an ed25519 key (whsk_ or whpk_), and a shared secret starts with whsec_ (a private key is written as key = …)")
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

// TextSecret takes a secret that was made elsewhere, as it is written there, for
// the schemes whose key is a text: GitHub and Stripe. One that begins with whsec_
// is read as [ParseSecret] does, and signs everywhere. No error contains any of
// the secret.
func TextSecret(s string) (Secret, error) {
	const least, most = 16, 512
	switch {
	case strings.HasPrefix(s, secretPrefix):
		return ParseSecret(s)
	case strings.TrimSpace(s) != s:
		return Secret{}, errors.New("secret has white space around it (remove it)")
	case strings.HasPrefix(s, privatePrefix), strings.HasPrefix(s, publicPrefix):
		return Secret{}, prefixError(s)
	case len(s) < least:
		return Secret{}, fmt.Errorf("secret is %d bytes long, and at least %d are needed (make one with: tocsin keygen)", len(s), least)
	case len(s) > most || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return Secret{}, fmt.Errorf("secret is not one line of text of at most %d bytes (make one with: tocsin keygen)", most)
	}
	return secretFrom(&material{text: []byte(s)}), nil
}

// Reveal returns the secret's text for the one moment in which it is shown to its
// owner.
func (s Secret) Reveal() string { return string(s.text()) }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.of == nil }

// IsText reports whether the secret was made elsewhere and signs only where the
// key is a text.
func (s Secret) IsText() bool { return s.of != nil && (*s.of).key == nil }

// Until returns the secret as one that signs nothing after t.
func (s Secret) Until(t time.Time) Secret {
	s.notAfter = t
	return s
}

// NotAfter is when the secret signs for the last time; the zero time is never.
func (s Secret) NotAfter() time.Time { return s.notAfter }

// Equal reports whether both are the same key, in constant time.
func (s Secret) Equal(other Secret) bool {
	return s.IsZero() == other.IsZero() && hmac.Equal(s.text(), other.text())
}

func (s Secret) bytes() []byte {
	if s.of == nil {
		return nil
	}
	return (*s.of).key
}

func (s Secret) text() []byte {
	if s.of == nil {
		return nil
	}
	return (*s.of).text
}

// signsAt reports whether what may sign until notAfter still does.
func signsAt(now, notAfter time.Time) bool { return notAfter.IsZero() || !now.After(notAfter) }
