package webhook

import (
	"bytes"
	"net/url"
	"strings"
)

// diagnoseMessage looks for what keeps signatures of RFC 9421 from verifying:
// another URL in front of a proxy, a changed header, a key in another form.
func diagnoseMessage(k Keys, r *Request) Diagnosis {
	list, err := readMessage(r)
	for i := range list {
		if d, ok := list[i].diagnose(k, r); ok {
			return d
		}
	}
	if err != nil {
		return Diagnosis{Mistake: err.Error(), Remedy: "keep the signature, signature-input and content-digest headers exactly as they came"}
	}
	return suspect("signature", len(list), r.Body)
}

func (m *messageSignature) diagnose(k Keys, r *Request) (Diagnosis, bool) {
	for _, c := range requestSlips(r) {
		base, err := signatureBase(m.components, c.request.component, m.params)
		if err != nil {
			continue
		}
		wrong, ok := m.key(k, base)
		if !ok {
			continue
		}
		b := slip{}
		if err := checkDigest(r); err != nil {
			b = digestSlip(r)
		}
		return proved(c.slip, wrong, b), true
	}
	return Diagnosis{}, false
}

// key says how the key was wrong with which the base was signed.
func (m *messageSignature) key(k Keys, base []byte) (slip, bool) {
	if k.verifies(base, m.signature) {
		return slip{}, true
	}
	for _, secret := range k.Secrets {
		if secret.IsText() {
			continue
		}
		for _, key := range keySlips(secret) {
			sum := digest(key.value, base, nil)
			if bytes.Equal(sum[:], m.signature) {
				return key, true
			}
		}
	}
	return slip{}, false
}

// digestSlip is what became of a body whose digest is another.
func digestSlip(r *Request) slip {
	given := strings.Join(r.Header.Values(headerDigest), ", ")
	for _, b := range bodySlips(r.Body)[1:] {
		if strings.Contains(given, contentDigest(b.value)) {
			return b
		}
	}
	return slip{mistake: "the body is not the one that content-digest was made of", remedy: "verify the bytes as they came, before anything reads, trims or parses them"}
}

// A requestSlip is a request as the sender may have seen it.
type requestSlip struct {
	slip
	request Request
}

// requestSlips are requests that may have been signed, when r is what the
// receiver believes it got.
func requestSlips(r *Request) []requestSlip {
	const asSent = "verify with the URL as the sender was given it: scheme, host, path and query"
	out := []requestSlip{{request: *r}}
	at := func(mistake, to string) {
		if to != r.URL {
			c := *r
			c.URL = to
			out = append(out, requestSlip{slip{mistake: mistake, remedy: asSent}, c})
		}
	}
	for _, u := range urlsSeen(r) {
		plain, secure := *u, *u
		plain.Scheme, secure.Scheme = "http", "https"
		at("the URL that was signed begins with https: a proxy ends TLS in front of the receiver", targetURI(&secure))
		at("the URL that was signed begins with http", targetURI(&plain))
		for _, c := range []*url.URL{&secure, &plain} {
			bare := *c
			bare.RawQuery, bare.ForceQuery = "", false
			at("the URL was signed without its query", targetURI(&bare))
			at("only the host of the URL was signed, without its path", c.Scheme+"://"+hostHeader(c))
			at("the path was signed in place of the URL", c.RequestURI())
		}
	}
	for _, t := range []string{"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8", "application/json;charset=UTF-8"} {
		if t != r.Header.Get("Content-Type") {
			c := *r
			c.Header = r.Header.Clone()
			c.Header.Set("Content-Type", t)
			out = append(out, requestSlip{slip{mistake: "the content-type that was signed is " + t, remedy: keepHeaders}, c})
		}
	}
	return out
}

// urlsSeen are the URL that the receiver believes in and those that proxies say
// they were asked for.
func urlsSeen(r *Request) []*url.URL {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" {
		return nil
	}
	out := []*url.URL{u}
	if host := strings.TrimSpace(r.Header.Get("X-Forwarded-Host")); host != "" && host != u.Host {
		asked := *u
		asked.Host = host
		out = append(out, &asked)
	}
	return out
}
