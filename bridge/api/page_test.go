package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tocsin/bridge"
)

// A page has no data in it, so nobody is asked for a token; the name that it is asked
// for by is looked at all the same, and nothing but reading is answered.
func TestPageIsForEverybodyWithTheRightName(t *testing.T) {
	browser := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("page " + r.URL.Path)) })
	for _, token := range []string{"", secret} {
		h := newHandler(&Options{Token: NewToken(token), Page: browser}, true)
		for _, f := range []struct {
			method, host, path string
			status             int
		}{
			{"GET", "localhost", "/", 200},
			{"HEAD", "127.0.0.1:8080", "/", 200},
			{"GET", "localhost", "/page/x/app.js", 200},
			{"POST", "localhost", "/", 405},
			{"DELETE", "localhost", "/page/x/app.js", 405},
			{"GET", "evil.example", "/", 421},
			{"GET", "evil.example", "/page/x/app.js", 421},
		} {
			r := httptest.NewRequest(f.method, "http://"+f.host+f.path, nil)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != f.status || w.Code == 200 && f.method == "GET" && w.Body.String() != "page "+f.path {
				t.Errorf("%s %s%s: %d %s", f.method, f.host, f.path, w.Code, w.Body)
			}
		}
		for _, path := range []string{"/page", "/pages", "//", "/index.html"} { // not the page's
			w := ask(t, h, token, "GET", path, "")
			if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "nothing at") {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	}
}

func TestWhoAsksIsToldWhoTheyAre(t *testing.T) {
	h := everyRoute(t, Options{Version: "v1.2.3"})
	f := func(token, name string, scope bridge.Scope) {
		t.Helper()
		w := ask(t, h, token, "GET", "/api/v1/me", "")
		var me Me
		if err := json.Unmarshal(w.Body.Bytes(), &me); err != nil || me != (Me{name, scope, "v1.2.3"}) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	f(secret, "http.token", bridge.ScopeAdmin)
	f(makeToken(t, h, "night-shift", bridge.ScopeOps).Token, "night-shift", bridge.ScopeOps)
	w := ask(t, controlled(t, Options{}), "", "GET", "/api/v1/me", "")
	if !strings.Contains(w.Body.String(), `"name":"loopback","scope":"admin"`) || strings.Contains(w.Body.String(), "version") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
