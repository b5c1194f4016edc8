package webhook

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// a receiver that answers the handshake with the given headers, and deliveries
// with 204.
func consenting(t *testing.T, status int, header map[string]string) (at string, asked, told *atomic.Int64, last *atomic.Pointer[http.Request]) {
	t.Helper()
	asked, told, last = new(atomic.Int64), new(atomic.Int64), new(atomic.Pointer[http.Request])
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		last.Store(r)
		if r.Method != http.MethodOptions {
			told.Add(1)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		asked.Add(1)
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/hook", asked, told, last
}

func TestOnlyTheHeadersAreConsent(t *testing.T) {
	f := func(what string, status int, header map[string]string, ask ConsentRequest, verdict Verdict, rate float64, parts ...string) {
		t.Helper()
		at, asked, _, last := consenting(t, status, header)
		ask.Origin = "tocsin.example.com"
		c := newTestSender(t, at, func(o *Options) { o.Auth = Bearer(NewCredential("token")) }).Consent(t.Context(), ask)
		if c.Verdict != verdict || c.Rate != rate || asked.Load() != 1 || (c.Err == nil) != (verdict == Accepted) {
			t.Errorf("%s: %+v after %d requests", what, c, asked.Load())
		}
		if verdict != Accepted {
			wantErr(t, c.Result, parts...)
		}
		r := last.Load()
		if r.Method != http.MethodOptions || r.Header.Get("WebHook-Request-Origin") != "tocsin.example.com" || r.Header.Get("Authorization") != "Bearer token" {
			t.Errorf("%s: asked with %s %v", what, r.Method, r.Header)
		}
	}
	const origin, allowed = "WebHook-Allowed-Origin", "WebHook-Allowed-Rate"
	asking := ConsentRequest{Rate: 120}
	f("our origin", 200, map[string]string{origin: "Tocsin.example.com", allowed: "60"}, asking, Accepted, 60)
	f("any origin, any rate", 204, map[string]string{origin: "*", allowed: "*"}, asking, Accepted, 0)
	f("no rate was asked", 200, map[string]string{origin: "*"}, ConsentRequest{}, Accepted, 0)
	f("a bare 200", 200, nil, asking, Retry, 0, "no consent", "WebHook-Allowed-Origin is missing")
	f("another's origin", 200, map[string]string{origin: "example.com", allowed: "*"}, asking, Retry, 0, `"example.com" and not tocsin`)
	f("no rate", 200, map[string]string{origin: "*"}, asking, Retry, 0, "WebHook-Allowed-Rate is missing")
	for _, rate := range []string{"0", "-1", "1e3", "many", "99999999999999999999"} {
		f("a rate of "+rate, 200, map[string]string{origin: "*", allowed: rate}, asking, Retry, 0, "neither * nor a number")
	}
	f("with the headers, but refused", 403, map[string]string{origin: "*", allowed: "*"}, asking, Retry, 0, "answered 403")
	f("with the headers, but elsewhere", 301, map[string]string{origin: "*", allowed: "*", "Location": "/else"}, asking, Retry, 0, "redirects are not followed")
	f("gone", 410, nil, asking, Gone, 0, "410")

	at, asked, _, last := consenting(t, 200, map[string]string{origin: "*", allowed: "*"})
	s := newTestSender(t, at, nil)
	s.Consent(t.Context(), ConsentRequest{Origin: "a.example.com", Rate: 120})
	if h := last.Load().Header; h.Get("WebHook-Request-Rate") != "120" {
		t.Errorf("asked with %v", h)
	}
	for _, ask := range []ConsentRequest{{}, {Origin: "a b"}, {Origin: "a\r\nX-Evil: 1"}, {Origin: "a", Rate: -1}} {
		if c := s.Consent(t.Context(), ask); c.Verdict != Refused || asked.Load() != 1 {
			t.Errorf("%+v: %+v", ask, c)
		}
		if _, err := New(Options{URL: "https://example.com", Secrets: []Secret{NewSecret()}, Consent: &ask}); err == nil {
			t.Errorf("%+v is accepted", ask)
		}
	}
}

func TestNothingIsDeliveredWithoutConsent(t *testing.T) {
	at, asked, told, _ := consenting(t, 200, nil)
	s := newTestSender(t, at, func(o *Options) { o.Consent = &ConsentRequest{Origin: "tocsin.example.com"} })
	for range 2 {
		if r := s.Send(t.Context(), message()); r.Verdict != Retry || r.Err == nil {
			t.Errorf("%+v", r)
		}
	}
	if asked.Load() != 2 || told.Load() != 0 {
		t.Errorf("asked %d times, told %d", asked.Load(), told.Load())
	}

	at, asked, told, last := consenting(t, 200, map[string]string{"WebHook-Allowed-Origin": "*"})
	s = newTestSender(t, at, func(o *Options) { o.Consent = &ConsentRequest{Origin: "tocsin.example.com"} })
	for range 3 {
		if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
			t.Errorf("%+v", r)
		}
		if got := last.Load().Header.Get("WebHook-Request-Origin"); got != "tocsin.example.com" {
			t.Errorf("the delivery's origin is %q", got)
		}
	}
	if asked.Load() != 1 || told.Load() != 3 {
		t.Errorf("asked %d times, told %d", asked.Load(), told.Load())
	}
}

func TestConsentedRateIsKept(t *testing.T) {
	at, _, told, _ := consenting(t, 200, map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "1"})
	s := newTestSender(t, at, func(o *Options) { o.Consent = &ConsentRequest{Origin: "tocsin.example.com", Rate: 600} })
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Fatalf("%+v", r)
	}
	r := s.Send(t.Context(), message()) // a minute is more than an attempt may take
	if r.Verdict != Retry || !r.Held || r.RetryAfter < 50*time.Second || r.RetryAfter > time.Minute || told.Load() != 1 {
		t.Errorf("%+v after %d deliveries", r, told.Load())
	}
	wantErr(t, r, "consented to")
}

func TestChallengeIsProvedByItsText(t *testing.T) {
	f := func(verdict Verdict, respond func(w http.ResponseWriter, challenge string)) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if _, err := Verify(Keys{Secrets: []Secret{mustSecret(t, vectorSecret)}}, Request{Header: r.Header, Body: body}, VerifyOptions{}); err != nil {
				t.Error(err)
			}
			var m struct {
				Type string
				Data struct{ Challenge string }
			}
			if err := json.Unmarshal(body, &m); err != nil || m.Type != "endpoint.verification" || len(m.Data.Challenge) < 20 {
				t.Errorf("the challenge is %s", body)
			}
			respond(w, m.Data.Challenge)
		}))
		defer srv.Close()
		if r := newTestSender(t, srv.URL, nil).Challenge(t.Context()); r.Verdict != verdict || (r.Err == nil) != (verdict == Accepted) {
			t.Errorf("%+v, want %s", r, verdict)
		}
	}
	f(Accepted, func(w http.ResponseWriter, c string) { _, _ = io.WriteString(w, c+"\n") })
	f(Accepted, func(w http.ResponseWriter, c string) {
		_ = json.NewEncoder(w).Encode(map[string]string{"challenge": c})
	})
	f(Retry, func(http.ResponseWriter, string) {})
	f(Retry, func(w http.ResponseWriter, c string) { _, _ = io.WriteString(w, strings.ToLower(c)) })
	f(Retry, func(w http.ResponseWriter, c string) { _, _ = io.WriteString(w, "x"+c) })
	f(Retry, func(w http.ResponseWriter, c string) { w.WriteHeader(403); _, _ = io.WriteString(w, c) })
	f(Gone, func(w http.ResponseWriter, c string) { w.WriteHeader(410); _, _ = io.WriteString(w, c) })
}
