package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A name that is listed is answered to; one that is not is not, wherever it listens.
// Addresses are answered to off loopback: nobody can point one elsewhere.
func TestListedNamesAreAnsweredTo(t *testing.T) {
	for host, want := range map[string][3]int{ // on loopback; off it, with a list and without
		"tocsin.example.com":      {200, 200, 200},
		"TOCSIN.example.com:8443": {200, 200, 200},
		"localhost":               {200, 200, 200},
		"evil.example.com":        {421, 421, 200},
		"192.0.2.7:8080":          {421, 200, 200},
		"[2001:db8::1]:8080":      {421, 200, 200},
		"":                        {421, 421, 200},
	} {
		names := []string{"tocsin.example.com"}
		for i, h := range []http.Handler{
			newHandler(&Options{Hosts: names}, true), newHandler(&Options{Hosts: names}, false), newHandler(&Options{}, false),
		} {
			r := httptest.NewRequest(http.MethodGet, "http://x/readyz", nil)
			r.Host = host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want[i] {
				t.Errorf("%q, listener %d: %d, want %d", host, i, w.Code, want[i])
			}
		}
	}
}

// What is answered can be framed by nobody, loads nothing and is kept by nobody.
func TestAnswersAreOfNoUseToOtherPages(t *testing.T) {
	h := controlled(t, Options{Token: NewToken(secret), Gatherer: registry(t)})
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/debug/pprof/", "/openapi.yaml", "/api/v1/alarms", "/api/v1/nothing"} {
		for _, token := range []string{"", secret} {
			header := ask(t, h, token, "GET", path, "").Header()
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
				"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
				"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			} {
				if got := header.Get(name); got != want {
					t.Errorf("%s: %s: %q", path, name, got)
				}
			}
			for _, name := range []string{"Access-Control-Allow-Origin", "Set-Cookie", "Server", "Link"} {
				if header.Get(name) != "" {
					t.Errorf("%s: has %s", path, name)
				}
			}
		}
	}
}
