package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

// A Token is a bearer token that cannot be printed: only its digest is kept,
// and that is not shown either.
type Token struct {
	digest [sha256.Size]byte
	set    bool
}

// NewToken returns the token of a secret; of "", the zero Token.
func NewToken(secret string) Token {
	if secret == "" {
		return Token{}
	}
	return Token{digest: sha256.Sum256([]byte(secret)), set: true}
}

const hidden = "[secret]"

// Format hides the token from every verb of package fmt.
func (Token) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(hidden)) }

// LogValue hides the token from package log/slog.
func (Token) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the token from every encoding.
func (Token) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// allows reports whether a request bears the token. Digests are compared, so
// that neither the time nor the length of a wrong one tells anything.
func (t *Token) allows(r *http.Request) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	digest := sha256.Sum256([]byte(strings.TrimSpace(given)))
	same := subtle.ConstantTimeCompare(digest[:], t.digest[:]) == 1
	return same && strings.EqualFold(scheme, "Bearer") && t.set
}
