package webhook

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Scheme is a way to sign a request. Several can be used at once, each in
// headers of its own.
type Scheme string

// The schemes. Each is signed with every key of its kind that has not expired,
// but for GitHub's header, which has room for one signature: the first key's.
const (
	Standard Scheme = "standard" // webhook-signature: v1, HMAC-SHA256 of id, time and body
	Ed25519  Scheme = "ed25519"  // webhook-signature: v1a, the same by ed25519
	GitHub   Scheme = "github"   // X-Hub-Signature-256: HMAC-SHA256 of the body, keyed by the secret's text
	Stripe   Scheme = "stripe"   // Stripe-Signature: HMAC-SHA256 of time and body, keyed by the secret's text
	RFC9421  Scheme = "rfc9421"  // Signature: method, URL, type, id and body, by each secret and each private key
)

// Schemes are all that there are.
func Schemes() []Scheme { return []Scheme{Standard, Ed25519, GitHub, Stripe, RFC9421} }

// signing is how the requests of one endpoint are signed.
type signing struct {
	schemes  []Scheme
	secrets  []Secret
	keys     []PrivateKey
	names    []string // of secrets, where a signature says which key made it
	keyNames []string // of keys
	webhook  bool     // Standard or Ed25519: there is a webhook-signature
	others   bool     // there is more than that
}

// newSigning checks that every scheme has something to sign with.
func newSigning(o *Options) (*signing, error) {
	g := &signing{schemes: slices.Clone(o.Sign), secrets: slices.Clone(o.Secrets), keys: slices.Clone(o.Keys)}
	if o.Unsigned && len(g.schemes)+len(g.secrets)+len(g.keys) == 0 {
		return g, nil
	}
	if slices.ContainsFunc(g.secrets, Secret.IsZero) || slices.ContainsFunc(g.keys, PrivateKey.IsZero) {
		return nil, errors.New("secret is missing, and nothing is sent unsigned (make one with: tocsin keygen)")
	}
	if len(g.schemes) == 0 {
		g.schemes = DefaultSchemes(len(g.secrets) > 0, len(g.keys) > 0)
	}
	for _, s := range g.schemes {
		if err := s.Check(g.secrets, g.keys); err != nil {
			return nil, err
		}
	}
	for _, s := range g.secrets {
		g.names = append(g.names, secretName(s))
	}
	for _, k := range g.keys {
		g.keyNames = append(g.keyNames, k.Public().ID())
	}
	isWebhook := func(s Scheme) bool { return s == Standard || s == Ed25519 }
	g.webhook = slices.ContainsFunc(g.schemes, isWebhook)
	g.others = slices.ContainsFunc(g.schemes, func(s Scheme) bool { return !isWebhook(s) })
	return g, nil
}

// DefaultSchemes are those of an endpoint that names none: Standard Webhooks, by
// what there is to sign with.
func DefaultSchemes(secrets, keys bool) []Scheme {
	switch {
	case secrets && keys:
		return []Scheme{Standard, Ed25519}
	case keys:
		return []Scheme{Ed25519}
	}
	return []Scheme{Standard}
}

// Check says what the scheme lacks to sign with.
func (s Scheme) Check(secrets []Secret, keys []PrivateKey) error {
	ours := slices.ContainsFunc(secrets, func(s Secret) bool { return !s.IsText() })
	switch {
	case !slices.Contains(Schemes(), s):
		return fmt.Errorf("%s is no way to sign", clip(string(s)))
	case s == Ed25519 && len(keys) == 0:
		return errors.New("ed25519 signs with a private key, and there is none (make one with: tocsin keygen --type ed25519, and name its file in key)")
	case s == RFC9421 && len(keys) == 0 && !ours, s == Standard && !ours, (s == GitHub || s == Stripe) && len(secrets) == 0:
		return fmt.Errorf("%s signs with a secret, and there is none; nothing is sent unsigned (make one with: tocsin keygen, and name its file in secret)", s)
	}
	return nil
}

// toSign is what one attempt is about to send.
type toSign struct {
	id, ts string // ts in whole seconds
	method string
	target string // the URL as the receiver sees it
	body   []byte
}

// errExpired is a message that nothing may sign any more.
var errExpired = errors.New("nothing was sent: every secret to sign with has expired (add a new one to the endpoint's list)")

// standard returns the value of webhook-signature.
func (g *signing) standard(m *toSign, now time.Time) (string, error) {
	sig := make([]byte, 0, 48*len(g.secrets)+96*len(g.keys))
	for _, s := range g.schemes {
		before := len(sig)
		switch s {
		case Standard:
			for _, secret := range g.secrets {
				if !secret.IsText() && signsAt(now, secret.notAfter) {
					sig = appendSignature(withSpace(sig), secret.bytes(), m.id, m.ts, m.body)
				}
			}
		case Ed25519:
			for _, key := range g.keys {
				if signsAt(now, key.notAfter) {
					sig = appendSignatureV1a(withSpace(sig), key.bytes(), m.id, m.ts, m.body)
				}
			}
		default:
			continue
		}
		if len(sig) == before {
			return "", errExpired
		}
	}
	return string(sig), nil
}

func withSpace(sig []byte) []byte {
	if len(sig) > 0 {
		sig = append(sig, ' ')
	}
	return sig
}

// other adds the headers of the other schemes.
func (g *signing) other(h http.Header, m *toSign, now time.Time) error {
	for _, s := range g.schemes {
		var ok bool
		switch s {
		case GitHub:
			ok = g.github(h, m, now)
		case Stripe:
			ok = g.stripe(h, m, now)
		case RFC9421:
			ok = g.rfc9421(h, m, now)
		default:
			continue
		}
		if !ok {
			return errExpired
		}
	}
	return nil
}

func (g *signing) github(h http.Header, m *toSign, now time.Time) bool {
	for _, secret := range g.secrets {
		if signsAt(now, secret.notAfter) {
			h[headerHub] = []string{hubSignature(secret, m.body)}
			h[headerHubDelivery] = []string{m.id}
			return true
		}
	}
	return false
}

func (g *signing) stripe(h http.Header, m *toSign, now time.Time) bool {
	value := append([]byte("t="), m.ts...)
	bare := len(value)
	for _, secret := range g.secrets {
		if signsAt(now, secret.notAfter) {
			value = appendStripe(value, secret, m.ts, m.body)
		}
	}
	h[headerStripe] = []string{string(value)}
	return len(value) > bare
}

// rfc9421 adds one signature for each secret and each key.
func (g *signing) rfc9421(h http.Header, m *toSign, now time.Time) bool {
	h[headerDigest] = []string{contentDigest(m.body)}
	r := Request{Method: m.method, URL: m.target, Header: h, Body: m.body}
	var inputs, signatures []string
	add := func(alg, name string, sign func(base []byte) []byte) {
		label := "sig" + strconv.Itoa(len(inputs)+1)
		params := signatureParams(m.ts, name, alg)
		base, err := signatureBase(covered(), r.component, params)
		if err != nil {
			return // every component that is covered is there
		}
		inputs = append(inputs, label+"="+params)
		signatures = append(signatures, label+"=:"+encode64(sign(base))+":")
	}
	for i, secret := range g.secrets {
		if !secret.IsText() && signsAt(now, secret.notAfter) {
			add(algHMAC, g.names[i], func(base []byte) []byte { return mac(nil, secret.bytes(), base, nil) })
		}
	}
	for i, key := range g.keys {
		if signsAt(now, key.notAfter) {
			add(algEd25519, g.keyNames[i], func(base []byte) []byte { return signEd25519(key, base) })
		}
	}
	h[headerInput] = []string{strings.Join(inputs, ", ")}
	h[headerMessage] = []string{strings.Join(signatures, ", ")}
	return len(inputs) > 0
}

// secretName tells a receiver that has several secrets which one signed, and
// nothing else of it.
func secretName(s Secret) string {
	return hex.EncodeToString(mac(nil, s.bytes(), []byte("keyid"), nil)[:8])
}
