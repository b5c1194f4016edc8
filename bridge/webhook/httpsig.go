package webhook

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// HTTP message signatures, RFC 9421, as far as both sides need them: what is
// signed is built by the same code when signing and when verifying.

// The algorithms of RFC 9421 that are used.
const (
	algHMAC    = "hmac-sha256"
	algEd25519 = "ed25519"
)

// covered are the components that a signature covers. The method and the URL keep
// a message from being replayed at another of the receiver's addresses.
func covered() []string {
	return []string{"@method", "@target-uri", "content-type", "content-digest", "webhook-id"}
}

// A Request is a request as the receiver sees it.
type Request struct {
	Method string      // empty: POST
	URL    string      // absolute, as the sender was given it; needed for RFC 9421 alone
	Header http.Header // as it came
	Body   []byte      // to the byte, before anything reads, trims or parses it
}

// component is the value of a component of RFC 9421.
func (r *Request) component(name string) (string, error) {
	if !strings.HasPrefix(name, "@") {
		values := r.Header.Values(name)
		if len(values) == 0 {
			return "", fmt.Errorf("%w: %s is signed and is missing", ErrHeader, clip(name))
		}
		trimmed := make([]string, len(values))
		for i, v := range values {
			trimmed[i] = strings.Trim(v, " \t")
		}
		return strings.Join(trimmed, ", "), nil
	}
	switch name {
	case "@method":
		if r.Method == "" {
			return http.MethodPost, nil
		}
		return r.Method, nil
	case "@target-uri":
		if r.URL == "" {
			return "", fmt.Errorf("%w: the URL is signed and is not known", ErrHeader)
		}
		return r.URL, nil
	}
	return "", fmt.Errorf("%w: the component %s is signed, and is not understood", ErrHeader, clip(name))
}

// signatureParams says what is signed, when, and with which key.
func signatureParams(created, keyID, alg string) string {
	return `("` + strings.Join(covered(), `" "`) + `");created=` + created + `;keyid="` + keyID + `";alg="` + alg + `"`
}

// signatureBase is the text that is signed.
func signatureBase(components []string, value func(name string) (string, error), params string) ([]byte, error) {
	var b []byte
	for _, name := range components {
		v, err := value(name)
		if err != nil {
			return nil, err
		}
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, `": `...)
		b = append(b, v...)
		b = append(b, '\n')
	}
	b = append(b, `"@signature-params": `...)
	return append(b, params...), nil
}

// contentDigest is the header of RFC 9530, of the body as it is sent.
func contentDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + encode64(sum[:]) + ":"
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func signEd25519(key PrivateKey, message []byte) []byte { return ed25519.Sign(key.bytes(), message) }

// targetURI is a URL in the form that a receiver makes of what it sees: without
// the port that goes without saying.
func targetURI(u *url.URL) string { return u.Scheme + "://" + hostHeader(u) + u.RequestURI() }

// hostHeader is the Host header of requests to u.
func hostHeader(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch {
	case u.Scheme == "https":
		return strings.TrimSuffix(host, ":443")
	case u.Scheme == "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}
