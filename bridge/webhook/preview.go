package webhook

import (
	"context"
	"net/http"
	"time"
)

// Preview is the request that Send would make of a message at a time, but for the
// credential that it would carry beside the signatures, and not compressed:
// nothing is sent, and nothing is looked up.
func (s *Sender) Preview(m Message, now time.Time) (*http.Request, error) {
	if err := s.checkMessage(m); err != nil {
		return nil, s.wrap(err)
	}
	return s.request(context.Background(), m, now)
}

// Veil takes out of a request's header what whoever looks at it must not have: signatures,
// by which others could send the message again, and what is known of credentials. It
// returns the URL without the latter.
func (s *Sender) Veil(h http.Header, url string) string {
	hide := func(text string) string { return string(s.hider.hide([]byte(text), false)) }
	for name, values := range h {
		switch name {
		case headerSignature, headerHub, headerStripe, headerMessage:
			h[name] = []string{"<signature>"}
			continue
		}
		shown := make([]string, len(values)) // values may be those of every request
		for i, v := range values {
			shown[i] = hide(v)
		}
		h[name] = shown
	}
	return hide(url)
}
