package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// A Pin is the SHA-256 of a public key, in the form that certificates carry it
// in (SPKI). It survives the certificate's renewal as long as the key is kept.
type Pin [sha256.Size]byte

// PinOf returns the pin of a certificate's key.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// String is the pin as curl takes it: sha256//BASE64.
func (p Pin) String() string { return "sha256//" + base64.StdEncoding.EncodeToString(p[:]) }

// MarshalText implements encoding.TextMarshaler.
func (p Pin) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads 32 bytes in base64, with or without sha256// before them,
// or in hexadecimal, with or without colons.
func (p *Pin) UnmarshalText(b []byte) error {
	const form = `write it as "sha256//" and 44 characters of base64`
	text := strings.TrimPrefix(strings.TrimSpace(string(b)), "sha256//")
	raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(text)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%q is neither base64 nor hexadecimal (%s)", b, form)
	case len(raw) != len(p):
		return fmt.Errorf("%q is %d bytes long, and the SHA-256 of a public key is 32 (%s)", b, len(raw), form)
	}
	*p = Pin(raw)
	return nil
}

// expiry is when the endpoint's certificate ends, as the last handshake saw it:
// Unix seconds, 0 before the first.
type expiry struct{ at atomic.Int64 }

func (e *expiry) time() time.Time {
	if at := e.at.Load(); at != 0 {
		return time.Unix(at, 0)
	}
	return time.Time{}
}

// tlsConfig verifies the endpoint as ever, and then by its pins. There is no way
// to switch verification off: a receiver with a certificate of its own making is
// trusted by naming that certificate as its authority.
func tlsConfig(o *Options, seen *expiry, sessions int) *tls.Config {
	cfg := &tls.Config{
		MinVersion:         max(tls.VersionTLS12, o.MinTLS),
		RootCAs:            o.RootCAs,
		ClientSessionCache: tls.NewLRUClientSessionCache(sessions),
		VerifyConnection: func(cs tls.ConnectionState) error {
			seen.at.Store(chainEnds(&cs).Unix())
			return checkPins(o.Pins, &cs)
		},
	}
	if o.Certificate != nil {
		// Shown whatever authorities the receiver says it knows: its list is often
		// wrong, and its refusal says more than our silence would.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return o.Certificate, nil }
	}
	return cfg
}

// chainEnds is when the connection could no longer be verified: the first end
// within a chain, of the chain that lasts longest.
func chainEnds(cs *tls.ConnectionState) time.Time {
	var last time.Time
	for _, chain := range cs.VerifiedChains {
		end := chain[0].NotAfter
		for _, c := range chain[1:] {
			if c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if end.After(last) {
			last = end
		}
	}
	return last
}

// checkPins wants one of the pinned keys in a chain that was verified: the
// endpoint's own, or one of an authority above it.
func checkPins(pins []Pin, cs *tls.ConnectionState) error {
	if len(pins) == 0 {
		return nil
	}
	for _, chain := range cs.VerifiedChains {
		for _, c := range chain {
			have := PinOf(c)
			for i := range pins {
				if subtle.ConstantTimeCompare(have[:], pins[i][:]) == 1 {
					return nil
				}
			}
		}
	}
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the endpoint showed no certificate")
	}
	return &pinError{PinOf(cs.PeerCertificates[0])}
}

// A pinError is a certificate that is good and is not the one that was pinned.
type pinError struct{ have Pin }

func (e *pinError) Error() string {
	return fmt.Sprintf("the endpoint's certificate has none of the pinned keys; it has %s (add it to tls.pin_sha256 if the endpoint's owner confirms it)", e.have)
}
