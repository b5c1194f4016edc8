package webhook

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Why a message does not verify. [Verify] wraps one of these with the details.
var (
	ErrNoSecret  = errors.New("no secret to verify with")
	ErrHeader    = errors.New("header missing or malformed")
	ErrTooOld    = errors.New("timestamp is too old")
	ErrTooNew    = errors.New("timestamp is in the future")
	ErrSignature = errors.New("no signature matches")
)

const defaultTolerance = 5 * time.Minute

// VerifyOptions are what [Verify] measures a timestamp with.
type VerifyOptions struct {
	Now       time.Time     // zero: the present
	Tolerance time.Duration // how far the timestamp may be off in either direction; 0: 5 minutes
}

// Verify reports whether one of the secrets signed this message, as a receiver
// must: on the body's bytes as they came, before anything parses them. The error
// is one of ErrNoSecret, ErrHeader, ErrTooOld, ErrTooNew and ErrSignature with
// the details. The signature is judged before the timestamp, so that a message
// reported as old was signed by us.
func Verify(secrets []Secret, header http.Header, body []byte, o VerifyOptions) error {
	secrets = slices.DeleteFunc(slices.Clone(secrets), Secret.IsZero)
	if len(secrets) == 0 {
		return ErrNoSecret
	}
	s, err := readSigned(header)
	if err != nil {
		return err
	}
	if !s.signedBy(secrets, body) {
		return fmt.Errorf("%w: %s", ErrSignature, s.tried(len(secrets)))
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Tolerance <= 0 {
		o.Tolerance = defaultTolerance
	}
	switch age := o.Now.Sub(s.time); {
	case age > o.Tolerance:
		return fmt.Errorf("%w: sent %s ago, and %s are allowed (is this an old capture, a replay, or a clock that is wrong?)",
			ErrTooOld, age.Round(time.Second), o.Tolerance)
	case age < -o.Tolerance:
		return fmt.Errorf("%w: %s ahead, and %s are allowed (set the clocks of both machines)",
			ErrTooNew, (-age).Round(time.Second), o.Tolerance)
	}
	return nil
}

// signed is what the three headers say.
type signed struct {
	id, timestamp string
	time          time.Time
	signatures    []string // whole entries, version included
}

// maxSignatures bounds the work that a header can cause.
const maxSignatures = 64

func readSigned(header http.Header) (signed, error) {
	var s signed
	for _, h := range []struct {
		name string
		to   *string
	}{{headerID, &s.id}, {headerTimestamp, &s.timestamp}} {
		switch v := header.Values(h.name); {
		case len(v) == 0 || v[0] == "":
			return s, fmt.Errorf("%w: %s is missing", ErrHeader, strings.ToLower(h.name))
		case len(v) > 1:
			return s, fmt.Errorf("%w: %s is there %d times", ErrHeader, strings.ToLower(h.name), len(v))
		default:
			*h.to = v[0]
		}
	}
	sec, err := strconv.ParseInt(s.timestamp, 10, 64)
	if err != nil || strconv.FormatInt(sec, 10) != s.timestamp {
		return s, fmt.Errorf("%w: webhook-timestamp %s is not a whole number of seconds since 1970", ErrHeader, clip(s.timestamp))
	}
	s.time = time.Unix(sec, 0)
	s.signatures = parseSignatures(header.Values(headerSignature))
	if len(s.signatures) == 0 {
		return s, fmt.Errorf("%w: webhook-signature is missing", ErrHeader)
	}
	if len(s.signatures) > maxSignatures {
		return s, fmt.Errorf("%w: webhook-signature has more than %d signatures", ErrHeader, maxSignatures)
	}
	return s, nil
}

// parseSignatures splits the header's values into entries like v1,BASE64=.
func parseSignatures(values []string) []string {
	var out []string
	for _, v := range values {
		for entry := range strings.SplitSeq(v, " ") {
			if entry != "" {
				out = append(out, entry)
			}
			if len(out) > maxSignatures {
				return out
			}
		}
	}
	return out
}

// signedBy compares text, not decoded bytes: base64 can be spelled in several
// ways that decode alike, and only one of them was sent.
func (s signed) signedBy(secrets []Secret, body []byte) bool {
	var buf []byte
	ok := false
	for _, secret := range secrets {
		buf = appendSignature(buf[:0], secret.bytes(), s.id, s.timestamp, body)
		for _, entry := range s.signatures {
			ok = hmac.Equal([]byte(entry), buf) || ok
		}
	}
	return ok
}

func (s signed) tried(secrets int) string {
	n := 0
	for _, e := range s.signatures {
		if strings.HasPrefix(e, scheme) {
			n++
		}
	}
	if n == 0 {
		return "webhook-signature has no v1 entry"
	}
	return fmt.Sprintf("%d v1 signature(s) against %d secret(s)", n, secrets)
}

// clip quotes text that others wrote, at a length fit for one line.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
