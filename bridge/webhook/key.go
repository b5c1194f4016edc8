package webhook

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	privatePrefix = "whsk_" // #nosec G101 -- says what follows, and is none itself
	publicPrefix  = "whpk_"
)

// A PrivateKey is an endpoint's ed25519 key. What it signs can be verified by
// whoever has the [PublicKey], and forged by nobody. It prints as <secret>, like
// a [Secret]. The zero PrivateKey is none.
type PrivateKey struct {
	hidden
	of       **ed25519.PrivateKey
	notAfter time.Time
}

func privateOf(key ed25519.PrivateKey) PrivateKey {
	p := &key
	return PrivateKey{of: &p}
}

// ParsePrivateKey reads whsk_ and the standard base64 of a seed of 32 bytes, or of
// the 64 bytes of seed and public key. No error contains any of the key.
func ParsePrivateKey(s string) (PrivateKey, error) {
	raw, err := decodeKey(s, privatePrefix, "private")
	if err != nil {
		return PrivateKey{}, err
	}
	switch len(raw) {
	case ed25519.SeedSize:
		return privateOf(ed25519.NewKeyFromSeed(raw)), nil
	case ed25519.PrivateKeySize:
		key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		// Signing with a public half that is not the seed's gives the seed away.
		if !key.Equal(ed25519.PrivateKey(raw)) {
			return PrivateKey{}, errors.New("private key is damaged: its second half is not the public key of its first (make one with: tocsin keygen --type ed25519)")
		}
		return privateOf(key), nil
	}
	return PrivateKey{}, fmt.Errorf("private key is %d bytes long, and 32 or 64 are needed (make one with: tocsin keygen --type ed25519)", len(raw))
}

// NewPrivateKey draws a key.
func NewPrivateKey() PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // documented never to fail: it ends the process instead
	return privateOf(ed25519.NewKeyFromSeed(seed))
}

// Reveal returns the key's text, whsk_ and the base64 of 64 bytes, for the one
// moment in which it is shown to its owner.
func (k PrivateKey) Reveal() string {
	return privatePrefix + base64.StdEncoding.EncodeToString(k.bytes())
}

// IsZero reports whether there is no key.
func (k PrivateKey) IsZero() bool { return k.of == nil }

// Until returns the key as one that signs nothing after t.
func (k PrivateKey) Until(t time.Time) PrivateKey {
	k.notAfter = t
	return k
}

// NotAfter is when the key signs for the last time; the zero time is never.
func (k PrivateKey) NotAfter() time.Time { return k.notAfter }

// Equal reports whether both are the same key.
func (k PrivateKey) Equal(other PrivateKey) bool {
	return k.IsZero() == other.IsZero() && (k.IsZero() || k.bytes().Equal(other.bytes()))
}

// Public is the half that verifies. The zero key has none.
func (k PrivateKey) Public() PublicKey {
	if k.of == nil {
		return PublicKey{}
	}
	return PublicKey{[ed25519.PublicKeySize]byte(k.bytes()[ed25519.SeedSize:])}
}

func (k PrivateKey) bytes() ed25519.PrivateKey {
	if k.of == nil {
		return nil
	}
	return **k.of
}

// A PublicKey verifies what its [PrivateKey] signed. It is no secret. The zero
// PublicKey is none.
type PublicKey struct{ key [ed25519.PublicKeySize]byte }

// ParsePublicKey reads whpk_ and the standard base64 of 32 bytes.
func ParsePublicKey(s string) (PublicKey, error) {
	raw, err := decodeKey(s, publicPrefix, "public")
	if err != nil {
		return PublicKey{}, err
	}
	if len(raw) != ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("public key is %d bytes long, and 32 are needed", len(raw))
	}
	return PublicKey{[ed25519.PublicKeySize]byte(raw)}, nil
}

// String is whpk_ and base64.
func (k PublicKey) String() string {
	return publicPrefix + base64.StdEncoding.EncodeToString(k.key[:])
}

// IsZero reports whether there is no key.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// ID names the key: the base64url of the SHA-256 thumbprint of RFC 7638.
func (k PublicKey) ID() string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + k.x() + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (k PublicKey) x() string { return base64.RawURLEncoding.EncodeToString(k.key[:]) }

func (k PublicKey) verifies(message, signature []byte) bool {
	return len(signature) == ed25519.SignatureSize && ed25519.Verify(k.key[:], message, signature)
}

// MarshalJSON writes the key as a JSON Web Key (RFC 8037), and beside it in the
// form that libraries for Standard Webhooks read.
func (k PublicKey) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type  string `json:"kty"`
		Curve string `json:"crv"`
		X     string `json:"x"`
		ID    string `json:"kid"`
		Use   string `json:"use"`
		Alg   string `json:"alg"`
		Text  string `json:"whpk"`
	}{"OKP", "Ed25519", k.x(), k.ID(), "sig", "EdDSA", k.String()})
}

// decodeKey reads a prefix and standard base64. kind is for errors.
func decodeKey(s, prefix, kind string) ([]byte, error) {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return nil, keyPrefixError(s, prefix, kind)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil || strings.ContainsAny(rest, "\r\n") {
		return nil, fmt.Errorf("%s key is not standard base64 after %s (is it complete, on one line, with its padding?)", kind, prefix)
	}
	return raw, nil
}

func keyPrefixError(s, prefix, kind string) error {
	trimmed := strings.Trim(s, " \t\r\n\"'")
	switch {
	case trimmed == "":
		return fmt.Errorf("%s key is empty (make one with: tocsin keygen --type ed25519)", kind)
	case strings.HasPrefix(trimmed, secretPrefix):
		return fmt.Errorf("%s key is a shared secret, and an ed25519 key starts with %s (a shared secret is written as secret = …)", kind, prefix)
	case kind == "private" && strings.HasPrefix(trimmed, publicPrefix):
		return errors.New("private key is a public one (whpk_), which cannot sign (take the other half, whsk_)")
	case kind == "public" && strings.HasPrefix(trimmed, privatePrefix):
		return errors.New("public key is a private one (whsk_), which only the sender may have (take the other half, whpk_)")
	case strings.Contains(trimmed, "-----BEGIN"):
		return fmt.Errorf("%s key is PEM, and %s with base64 is needed (make one with: tocsin keygen --type ed25519)", kind, prefix)
	}
	return fmt.Errorf("%s key must start with %s, followed by base64 (make one with: tocsin keygen --type ed25519)", kind, prefix)
}
