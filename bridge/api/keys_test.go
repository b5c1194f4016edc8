package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPublicKeysAreForEverybody(t *testing.T) {
	h := newHandler(&Options{Token: NewToken("0123456789abcdef"), Keys: func() any { return []string{"whpk_x"} }}, true)
	f := func(method, path, host string, want int) *httptest.ResponseRecorder {
		t.Helper()
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "http://"+host+path, nil)
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s %s of %s is answered %d, want %d", method, path, host, w.Code, want)
		}
		return w
	}
	w := f(http.MethodGet, "/.well-known/tocsin-keys.json", "alerts.example.com", 200)
	if got := strings.TrimSpace(w.Body.String()); got != `["whpk_x"]` || w.Header().Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("answered %q, %v", got, w.Header())
	}
	f(http.MethodPost, "/.well-known/tocsin-keys.json", "127.0.0.1", 405)
	f(http.MethodGet, "/.well-known/", "127.0.0.1", 401)
	f(http.MethodGet, "/readyz", "alerts.example.com", 421)
	h = newHandler(&Options{}, true)
	f(http.MethodGet, "/.well-known/tocsin-keys.json", "127.0.0.1", 404)
}
