package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
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

// is reports whether a digest is the token's.
func (t *Token) is(digest [sha256.Size]byte) bool {
	return subtle.ConstantTimeCompare(digest[:], t.digest[:]) == 1 && t.set
}
