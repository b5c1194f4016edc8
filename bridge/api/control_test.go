package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/bridge"
	"tocsin/bridge/store"
	"tocsin/broker"
	"tocsin/rules"
)

// quiet is a source from which nothing comes.
type quiet struct{}

func (quiet) Run(ctx context.Context, _ broker.Handler) error {
	<-ctx.Done()
	return nil
}

// controlled is a handler before a running bridge without rules.
func controlled(t *testing.T, o Options) http.Handler {
	t.Helper()
	var stop func()
	o.Bridge, stop = bridged(t, filepath.Join(t.TempDir(), "data"))
	t.Cleanup(stop)
	return newHandler(&o, true)
}

// bridged runs a bridge without rules on the store in dir until stop is called.
func bridged(t *testing.T, dir string) (b *bridge.Bridge, stop func()) {
	t.Helper()
	program, problems := rules.Compile(&rules.File{Schema: 1})
	if program == nil {
		t.Fatal(problems)
	}
	db, err := store.Open(t.Context(), store.Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	b, err = bridge.New(t.Context(), bridge.Options{Program: program, Source: quiet{}, Store: db})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	return b, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestControlRefusesWhatItCannotUse(t *testing.T) {
	h := controlled(t, Options{
		Reload: func(context.Context) (Reloaded, error) {
			return Reloaded{}, &Rejected{Problems: []Problem{{File: "a.toml", Line: 3, Fact: "wrong"}}}
		},
		Plan: func(context.Context, string) (Planned, error) { return Planned{}, ErrRequest },
	})
	f := func(method, path, kind, body string, status int, says string) {
		t.Helper()
		r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != status || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s %s: %d %s, want %d with %q", method, path, w.Code, w.Body, status, says)
		}
		checkProblem(t, w)
	}
	const ack, shelve, isJSON = "/api/v1/alarms/warm/x/ack", "/api/v1/alarms/warm/x/shelve", "application/json"
	f("PUT", ack, "", "", 405, "POST")
	f("POST", "/api/v1/alarms", "", "", 405, "GET")
	f("POST", "/api/v1/alarms/ack", "", "", 405, "GET")
	f("POST", "/api/v1/alarms/warm/x/", "", "", 404, "nothing")
	f("POST", "/api/v1/alarms/warm/x/delete", "", "", 405, "GET")
	f("POST", "/api/v1/", "", "", 404, "nothing")
	f("POST", ack, "text/plain", `{}`, 415, "Content-Type")
	f("POST", ack, isJSON, `{"who":"me"}`, 422, "who: ")
	f("POST", ack, isJSON, `{`, 400, "JSON")
	f("POST", ack, isJSON, `{}{}`, 400, "after top-level value")
	f("POST", ack, isJSON, `{"by":"`+strings.Repeat("x", maxBody)+`"}`, 413, "bytes")
	f("POST", ack, isJSON, `{"by":"`+strings.Repeat("x", 1001)+`"}`, 422, "by: expected length <= 1000")
	f("POST", ack, isJSON, `{"by":"ada"}`, 404, "warm/x")
	f("POST", "/api/v1/alarms/warm%2Fx/ack", isJSON, `{"by":"ada"}`, 404, "there is no alarm warm/x")
	f("POST", "/api/v1/alarms/warm%2Fx%2Fack/ack", isJSON, `{"by":"ada"}`, 404, "there is no alarm warm/x/ack")
	f("POST", "/api/v1/alarms/warm%2Fx%2F%2Fy/ack", isJSON, `{"by":"ada"}`, 404, "there is no alarm warm/x//y")
	f("POST", "/api/v1/endpoints/%2e%2e/test", "", "", 404, "there is no endpoint")
	f("POST", "/api/v1//alarms/x/ack", "", "", 404, "nothing")
	f("POST", "/api/v1/alarms/../reload", "", "", 404, "nothing")
	f("POST", ack, isJSON, `{"until":"2999-01-01T00:00:00Z"}`, 400, "until")
	f("POST", shelve, isJSON, `{}`, 400, "until")
	f("POST", shelve, isJSON, `{"until":"2001-01-01T00:00:00Z"}`, 400, "future")
	f("POST", "/api/v1/plan", isJSON, `{"config":7}`, 422, "config: ")
	f("POST", "/api/v1/plan", "", "", 400, "bad request")
	f("POST", "/api/v1/reload", "", "", 422, `"problems":[{"file":"a.toml","line":3`)
}

// A page somewhere on the web must not reload a bridge through the browser of
// somebody who can reach it.
func TestPagesOfOtherOriginsChangeNothing(t *testing.T) {
	reloads := 0
	h := controlled(t, Options{Reload: func(context.Context) (Reloaded, error) { reloads++; return Reloaded{}, nil }})
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		r := httptest.NewRequest("POST", "http://127.0.0.1:8080/api/v1/reload", nil)
		r.Header.Set(name, value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: %s is answered with %d", name, value, w.Code)
		}
		checkProblem(t, w)
	}
	if reloads != 0 {
		t.Errorf("%d reloads", reloads)
	}
}

// Nor must it leave streams and profiles open, which it cannot read: they would take
// the places of others. A link to a description is followed.
func TestPagesOfOtherOriginsOpenNothing(t *testing.T) {
	h := controlled(t, Options{})
	ask(t, h, "", "GET", "/api/v1/me", "") // which reads the tokens
	for _, c := range []struct {
		path, site, mode string
		status           int
	}{
		{"/api/v1/stream", "cross-site", "no-cors", 403},
		{"/api/v1/stream", "same-site", "cors", 403},
		{"/debug/pprof/heap", "cross-site", "no-cors", 403},
		{"/api/v1/me", "cross-site", "no-cors", 403},
		{"/openapi.yaml", "cross-site", "navigate", 200},
		{"/api/v1/me", "same-origin", "cors", 200},
		{"/api/v1/me", "none", "navigate", 200},
		{"/api/v1/me", "", "", 200},
	} {
		r := httptest.NewRequest("GET", "http://127.0.0.1:8080"+c.path, nil)
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
			r.Header.Set("Sec-Fetch-Mode", c.mode)
		}
		w := httptest.NewRecorder()
		gone, cancel := context.WithCancel(t.Context())
		cancel() // a stream has no end otherwise
		h.ServeHTTP(w, r.WithContext(gone))
		if w.Code != c.status {
			t.Errorf("%+v: answered %d", c, w.Code)
		}
	}
}

func TestControlAsksForTheToken(t *testing.T) {
	h := controlled(t, Options{Token: NewToken(secret), Reload: func(context.Context) (Reloaded, error) { return Reloaded{}, nil }})
	for token, status := range map[string]int{"": 401, "Bearer no": 401, "Bearer " + secret: 200} {
		r := httptest.NewRequest("POST", "http://127.0.0.1:8080/api/v1/reload", nil)
		r.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("%q: %d, want %d", token, w.Code, status)
		}
	}
}
