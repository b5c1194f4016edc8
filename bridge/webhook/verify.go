package webhook

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
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

// Keys are what a receiver verifies with. Any of them may have signed.
type Keys struct {
	Secrets []Secret
	Public  []PublicKey
}

// VerifyOptions are what [Verify] judges by.
type VerifyOptions struct {
	Now       time.Time     // zero: the present
	Tolerance time.Duration // how far a timestamp may be off in either direction; 0: 5 minutes
	Schemes   []Scheme      // all of these have to verify; none: any one of those that the request carries
}

// age judges a timestamp.
func (o VerifyOptions) age(sent time.Time) error {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Tolerance <= 0 {
		o.Tolerance = defaultTolerance
	}
	switch age := o.Now.Sub(sent); {
	case age > o.Tolerance:
		return fmt.Errorf("%w: sent %s ago, and %s are allowed (is this an old capture, a replay, or a clock that is wrong?)",
			ErrTooOld, age.Round(time.Second), o.Tolerance)
	case age < -o.Tolerance:
		return fmt.Errorf("%w: %s ahead, and %s are allowed (set the clocks of both machines)",
			ErrTooNew, (-age).Round(time.Second), o.Tolerance)
	}
	return nil
}

// A Finding is what became of one scheme in a request.
type Finding struct {
	Scheme Scheme
	Err    error // nil: it verifies
}

// Verify looks for every way to sign in a request, and reports whether our keys
// signed it, as a receiver must. The findings are in the order of [Schemes], of
// those that the request carries or that were asked for. The error, and that of a
// finding, is one of ErrNoSecret, ErrHeader, ErrTooOld, ErrTooNew and ErrSignature
// with the details. A signature is judged before its timestamp, so that a message
// reported as old was signed by us.
func Verify(k Keys, r Request, o VerifyOptions) ([]Finding, error) {
	k.Secrets = slices.DeleteFunc(slices.Clone(k.Secrets), Secret.IsZero)
	schemes := slices.DeleteFunc(Schemes(), func(s Scheme) bool {
		return !s.in(r.Header) && !slices.Contains(o.Schemes, s)
	})
	if len(schemes) == 0 {
		schemes = []Scheme{Standard}
	}
	found := make([]Finding, len(schemes))
	for i, s := range schemes {
		found[i] = Finding{s, s.verify(k, &r, o)}
	}
	return found, judge(found, o.Schemes)
}

// judge makes one verdict of several findings.
func judge(found []Finding, wanted []Scheme) error {
	var verdict error
	for _, f := range found {
		switch {
		case len(wanted) > 0 && !slices.Contains(wanted, f.Scheme):
		case f.Err == nil && len(wanted) == 0:
			return nil
		case f.Err != nil && len(wanted) > 0:
			return fmt.Errorf("%s: %w", f.Scheme, f.Err)
		case verdict == nil, errors.Is(verdict, ErrNoSecret): // that nobody could look says least
			verdict = f.Err
		}
	}
	return verdict
}

// in reports whether a request carries the scheme.
func (s Scheme) in(h http.Header) bool {
	switch s {
	case Standard:
		entries := parseSignatures(h.Values(headerSignature))
		return slices.ContainsFunc(entries, func(e string) bool { return !strings.HasPrefix(e, versionEd25519) })
	case Ed25519:
		entries := parseSignatures(h.Values(headerSignature))
		return slices.ContainsFunc(entries, func(e string) bool { return strings.HasPrefix(e, versionEd25519) })
	case GitHub:
		return len(h.Values(headerHub)) > 0
	case Stripe:
		return len(h.Values(headerStripe)) > 0
	case RFC9421:
		return len(h.Values(headerInput)) > 0
	}
	return false
}

func (s Scheme) verify(k Keys, r *Request, o VerifyOptions) error {
	if err := s.verifiable(k); err != nil {
		return err
	}
	switch s {
	case Standard:
		return verifyStandard(k.Secrets, r.Header, r.Body, o)
	case Ed25519:
		return verifyEd25519(k.Public, r, o)
	case GitHub:
		return verifyGitHub(k.Secrets, r)
	case Stripe:
		return verifyStripe(k.Secrets, r, o)
	case RFC9421:
		return verifyMessage(k, r, o)
	}
	return fmt.Errorf("%w: %s is no way to sign", ErrHeader, clip(string(s)))
}

// verifiable says which key is missing to look at all.
func (s Scheme) verifiable(k Keys) error {
	switch {
	case s == Ed25519 && len(k.Public) == 0:
		return fmt.Errorf("%w: v1a is verified with a public key (whpk_)", ErrNoSecret)
	case s == RFC9421 && len(k.Public) > 0, s == Ed25519, len(k.Secrets) > 0:
		return nil
	}
	return ErrNoSecret
}

func verifyStandard(secrets []Secret, header http.Header, body []byte, o VerifyOptions) error {
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(s Secret) bool { return s.bytes() == nil })
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
	return o.age(s.time)
}

func verifyEd25519(keys []PublicKey, r *Request, o VerifyOptions) error {
	s, err := readSigned(r.Header)
	if err != nil {
		return err
	}
	message := append(standardHead(nil, s.id, s.timestamp), r.Body...)
	n := 0
	for _, entry := range s.signatures {
		text, ok := strings.CutPrefix(entry, versionEd25519)
		if !ok {
			continue
		}
		n++
		if sig, err := base64.StdEncoding.Strict().DecodeString(text); err == nil {
			for _, k := range keys {
				if k.verifies(message, sig) {
					return o.age(s.time)
				}
			}
		}
	}
	return fmt.Errorf("%w: %d v1a signature(s) against %d public key(s)", ErrSignature, n, len(keys))
}

func verifyGitHub(secrets []Secret, r *Request) error {
	given, err := single(r.Header, headerHub)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(given, "sha256=") {
		return fmt.Errorf("%w: x-hub-signature-256 %s does not begin with sha256=", ErrHeader, clip(given))
	}
	ok := false
	for _, s := range secrets {
		ok = hmac.Equal([]byte(given), []byte(hubSignature(s, r.Body))) || ok
	}
	if !ok {
		return fmt.Errorf("%w: x-hub-signature-256 against %d secret(s)", ErrSignature, len(secrets))
	}
	return nil // it carries no time
}

// stripeSigned is what Stripe's header says.
type stripeSigned struct {
	timestamp  string
	time       time.Time
	signatures []string // hex, as written
}

func readStripe(header http.Header) (stripeSigned, error) {
	var s stripeSigned
	given, err := single(header, headerStripe)
	if err != nil {
		return s, err
	}
	for entry := range strings.SplitSeq(given, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(entry), "=")
		switch {
		case !ok:
			return s, fmt.Errorf("%w: stripe-signature has %s, and not name=value", ErrHeader, clip(entry))
		case key == "t" && s.timestamp != "":
			return s, fmt.Errorf("%w: stripe-signature has t= twice", ErrHeader)
		case key == "t":
			s.timestamp = value
		case key == "v1":
			s.signatures = append(s.signatures, value)
		}
	}
	switch {
	case s.timestamp == "":
		return s, fmt.Errorf("%w: stripe-signature has no t=", ErrHeader)
	case len(s.signatures) == 0:
		return s, fmt.Errorf("%w: stripe-signature has no v1=", ErrHeader)
	case len(s.signatures) > maxSignatures:
		return s, fmt.Errorf("%w: stripe-signature has more than %d signatures", ErrHeader, maxSignatures)
	}
	s.time, err = readSeconds("t= of stripe-signature", s.timestamp)
	return s, err
}

func verifyStripe(secrets []Secret, r *Request, o VerifyOptions) error {
	s, err := readStripe(r.Header)
	if err != nil {
		return err
	}
	ok := false
	for _, secret := range secrets {
		want := []byte(hex.EncodeToString(mac(nil, secret.text(), []byte(s.timestamp+"."), r.Body)))
		for _, given := range s.signatures {
			ok = hmac.Equal([]byte(given), want) || ok
		}
	}
	if !ok {
		return fmt.Errorf("%w: %d v1 signature(s) of stripe-signature against %d secret(s)", ErrSignature, len(s.signatures), len(secrets))
	}
	return o.age(s.time)
}

// single returns a header that must be there once.
func single(header http.Header, name string) (string, error) {
	switch v := header.Values(name); {
	case len(v) == 0 || v[0] == "":
		return "", fmt.Errorf("%w: %s is missing", ErrHeader, strings.ToLower(name))
	case len(v) > 1:
		return "", fmt.Errorf("%w: %s is there %d times", ErrHeader, strings.ToLower(name), len(v))
	default:
		return v[0], nil
	}
}

func readSeconds(what, s string) (time.Time, error) {
	sec, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(sec, 10) != s {
		return time.Time{}, fmt.Errorf("%w: %s %s is not a whole number of seconds since 1970", ErrHeader, what, clip(s))
	}
	return time.Unix(sec, 0), nil
}

// signed is what the three headers of Standard Webhooks say.
type signed struct {
	id, timestamp string
	time          time.Time
	signatures    []string // whole entries, version included
}

// maxSignatures bounds the work that a header can cause.
const maxSignatures = 64

func readSigned(header http.Header) (s signed, err error) {
	if s.id, err = single(header, headerID); err != nil {
		return s, err
	}
	if s.timestamp, err = single(header, headerTimestamp); err != nil {
		return s, err
	}
	if s.time, err = readSeconds("webhook-timestamp", s.timestamp); err != nil {
		return s, err
	}
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
		if strings.HasPrefix(e, versionHMAC) {
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
