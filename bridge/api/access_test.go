package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tocsin/bridge"
)

// ask sends a request to the routes of a bridge and returns the answer.
func ask(t *testing.T, h http.Handler, token, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	if path == prefix+"stream" { // which has no end
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		r = r.WithContext(gone)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code >= 400 {
		checkProblem(t, w)
	}
	return w
}

// makeToken makes a token over the API.
func makeToken(t *testing.T, h http.Handler, name string, scope bridge.Scope) TokenMade {
	t.Helper()
	w := ask(t, h, secret, "POST", "/api/v1/tokens", fmt.Sprintf(`{"name":%q,"scope":%q}`, name, scope))
	var made TokenMade
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != http.StatusCreated {
		t.Fatalf("making token %s: %d %s", name, w.Code, w.Body)
	}
	return made
}

// bearers are tokens of every kind there is, by name.
func bearers(t *testing.T, h http.Handler) map[string]string {
	t.Helper()
	texts := map[string]string{"nobody": "", "stranger": "tocsin_NOBODYHASMADETHISONEYET00"}
	for _, scope := range bridge.Scopes() {
		texts[string(scope)] = makeToken(t, h, string(scope), scope).Token
	}
	texts["revoked"] = makeToken(t, h, "revoked", bridge.ScopeAdmin).Token
	if w := ask(t, h, secret, "DELETE", "/api/v1/tokens/revoked", ""); w.Code != http.StatusNoContent {
		t.Fatalf("revoking: %d %s", w.Code, w.Body)
	}
	texts["ended"] = makeToken(t, h, "ended", bridge.ScopeAdmin).Token
	end(h, "ended")
	return texts
}

// end has a token's time be over, which nobody can ask for.
func end(h http.Handler, name string) {
	g := h.(*handler).gate
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.tokens {
		if g.tokens[i].Name == name {
			g.tokens[i].Ends = time.Now().Add(-time.Second)
		}
	}
}

// A described is a route as the description of the routes has it.
type described struct {
	method, path string
	Security     []map[string][]string
	Parameters   []struct{ Name, Description string }
	Responses    map[string]struct{ Content map[string]any }
}

// withEveryRoute has the routes that a bridge has only with a configuration as well.
func withEveryRoute(o Options) Options {
	o.Reload = func(context.Context) (Reloaded, error) { return Reloaded{}, nil }
	o.Plan = func(context.Context, string) (Planned, error) { return Planned{}, nil }
	none := &Declined{Status: http.StatusNotFound, Text: "there is none"}
	o.Registrar = Registrar{
		Register: func(context.Context, string, *Registering) (Registered, error) { return Registered{}, none },
		Change: func(context.Context, string, string, string, *Changing) (Registered, error) {
			return Registered{}, none
		},
		Rotate: func(context.Context, string, string, *Rotating) (Registered, error) { return Registered{}, none },
		Remove: func(context.Context, string, bool) (Removed, error) { return Removed{}, none },
	}
	return o
}

// describedRoutes reads the description of the routes.
func describedRoutes(t *testing.T, h http.Handler) (list []described) {
	t.Helper()
	text, err := h.(*handler).control.api.OpenAPI().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	for path, methods := range document.Paths {
		for method, text := range methods {
			d := described{method: strings.ToUpper(method), path: path}
			if err := json.Unmarshal(text, &d); err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			list = append(list, d)
		}
	}
	if len(list) < 20 {
		t.Fatalf("%d routes are described", len(list))
	}
	return list
}

func everyRoute(t *testing.T, o Options) http.Handler {
	t.Helper()
	o.Token, o.Rates = NewToken(secret), unlimited
	return controlled(t, o)
}

// Every route that is described says whom it is for, and is for nobody else. A new
// route without a scope, or with one that it does not keep to, fails here.
func TestEveryDescribedRouteIsForItsScopeAlone(t *testing.T) {
	h := everyRoute(t, withEveryRoute(Options{}))
	texts := bearers(t, h)
	for _, d := range describedRoutes(t, h) {
		if len(d.Security) != 1 || len(d.Security[0]) != 1 || len(d.Security[0][bearerScheme]) != 1 {
			t.Errorf("%s %s: does not say what it needs: %v", d.method, d.path, d.Security)
			continue
		}
		for _, p := range d.Parameters { // the linters say it too, where they are installed
			if p.Description == "" {
				t.Errorf("%s %s: %s is not described", d.method, d.path, p.Name)
			}
		}
		needed := bridge.Scope(d.Security[0][bearerScheme][0])
		changes := d.method != http.MethodGet
		if changes && needed == bridge.ScopeRead && d.path != prefix+"try" { // which changes nothing
			t.Errorf("%s %s: is for readers", d.method, d.path)
		}
		path := strings.NewReplacer("{key}", "no%2Fone", "{id}", "no-one", "{name}", "no-one").Replace(d.path)
		for name, text := range texts {
			w := ask(t, h, text, d.method, path, "")
			challenge := w.Header().Get("WWW-Authenticate")
			scope := bridge.Scope(name)
			switch known := scope.Allows(bridge.ScopeRead); {
			case !known && (w.Code != http.StatusUnauthorized || !strings.HasPrefix(challenge, `Bearer realm="tocsin"`)):
				t.Errorf("%s %s as %s: %d %q", d.method, d.path, name, w.Code, challenge)
			case known && !scope.Allows(needed) && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "scope "+string(needed)) || !strings.Contains(challenge, `scope="`+string(needed)+`"`)):
				t.Errorf("%s %s as %s: %d %q %s", d.method, d.path, name, w.Code, challenge, w.Body)
			case scope.Allows(needed) && (w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden || w.Code >= 500):
				t.Errorf("%s %s as %s: %d %s", d.method, d.path, name, w.Code, w.Body)
			case d.Responses[fmt.Sprint(w.Code)].Content == nil && w.Code != http.StatusNoContent:
				t.Errorf("%s %s as %s: %d is not described", d.method, d.path, name, w.Code)
			}
		}
	}
}

// The list is here and in the routes: whoever moves a route to another scope has to
// say so twice.
func TestScopesAreAsDecided(t *testing.T) {
	h := everyRoute(t, withEveryRoute(Options{}))
	for _, d := range describedRoutes(t, h) {
		want := "read"
		_, below, _ := strings.Cut(d.path, prefix)
		kind, _, _ := strings.Cut(below, "/")
		switch {
		case kind == "tokens" || kind == "audit" || kind == "reload" || kind == "plan":
			want = "admin"
		case kind == "try":
		case kind == "endpoints" && (d.method == "PATCH" || d.method == "DELETE" || below == "endpoints" && d.method == "POST" || strings.HasSuffix(below, "/rotate")):
			want = "admin" // who may register has us connect to where they say
		case d.method != "GET":
			want = "ops"
		}
		if got := d.Security[0][bearerScheme][0]; got != want {
			t.Errorf("%s %s needs %s, want %s", d.method, d.path, got, want)
		}
	}
}

func TestOtherRoutesAreForTheirScopeAlone(t *testing.T) {
	h := everyRoute(t, Options{Gatherer: registry(t)})
	texts := bearers(t, h)
	for path, needed := range map[string]bridge.Scope{
		"/metrics": bridge.ScopeRead, "/openapi.yaml": bridge.ScopeRead, "/debug/pprof/": bridge.ScopeAdmin, "/debug/pprof/heap": bridge.ScopeAdmin,
		"/debug/pprof/cmdline": bridge.ScopeAdmin,
	} {
		for name, text := range texts {
			want := http.StatusOK
			switch scope := bridge.Scope(name); {
			case !scope.Allows(bridge.ScopeRead):
				want = http.StatusUnauthorized
			case !scope.Allows(needed):
				want = http.StatusForbidden
			}
			if w := ask(t, h, text, "GET", path, ""); w.Code != want {
				t.Errorf("%s as %s: %d, want %d", path, name, w.Code, want)
			}
		}
	}
}

func TestTokenInTheAddressIsNoToken(t *testing.T) {
	h := everyRoute(t, Options{})
	if w := ask(t, h, "", "GET", "/api/v1/alarms?access_token="+secret+"&token="+secret, ""); w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTokenIsShownOnceAndKeptNowhere(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	b, stop := bridged(t, dir)
	h := newHandler(&Options{Bridge: b, Token: NewToken(secret), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, true)
	made := makeToken(t, h, "page", bridge.ScopeRead)
	if !strings.HasPrefix(made.Token, tokenBegin) || len(made.Token) < 30 || made.State != "active" || made.Created.IsZero() {
		t.Errorf("made %+v", made)
	}
	ask(t, h, made.Token, "POST", "/api/v1/endpoints/"+made.Token+"/test?t="+made.Token, `{"x":"`+made.Token+`"}`) // refused
	var shown strings.Builder
	for _, path := range []string{"/api/v1/tokens", "/openapi.yaml"} {
		shown.WriteString(ask(t, h, secret, "GET", path, "").Body.String())
	}
	shown.WriteString(log.String())
	stop()
	file, err := os.ReadFile(filepath.Join(dir, "tocsin.db"))
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(file)
	if strings.Count(shown.String(), made.ID) < 3 {
		t.Error("the search does not find what is there")
	}
	for _, leak := range []string{made.Token, strings.TrimPrefix(made.Token, tokenBegin), secret} {
		if strings.Contains(shown.String(), leak) {
			t.Errorf("%s is in what is shown or kept", leak)
		}
	}
}

// tokens are the lines of the list of tokens.
func tokens(t *testing.T, h http.Handler) (list []TokenView) {
	t.Helper()
	var answer struct{ Tokens []TokenView }
	w := ask(t, h, secret, "GET", "/api/v1/tokens", "")
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return answer.Tokens
}

func TestTokensSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	b, stop := bridged(t, dir)
	s := start(t, Options{Bridge: b, Token: NewToken(secret)})
	h := s.http.Handler
	live, revoked := makeToken(t, h, "live", bridge.ScopeRead), makeToken(t, h, "revoked", bridge.ScopeRead)
	ask(t, h, live.Token, "GET", "/api/v1/alarms", "")
	ask(t, h, secret, "DELETE", "/api/v1/tokens/"+revoked.ID, "")
	before := tokens(t, h)
	if len(before) != 2 || before[0].Used.IsZero() || before[0].State != "active" || !before[1].Used.IsZero() || before[1].State != "revoked" {
		t.Fatalf("%+v", before)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	s.gate.writeUsed(cancelled) // what could not be written is written the next time
	s.gate.writeUsed(t.Context())
	stop()
	b, stop = bridged(t, dir)
	defer stop()
	h = newHandler(&Options{Bridge: b, Token: NewToken(secret)}, true)
	if after := tokens(t, h); !reflect.DeepEqual(before, after) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
	for text, want := range map[string]int{live.Token: 200, revoked.Token: 401} {
		if w := ask(t, h, text, "GET", "/api/v1/alarms", ""); w.Code != want {
			t.Errorf("%d %s, want %d", w.Code, w.Body, want)
		}
	}
}

// When a token was last used is written by the running server, also at its end.
func TestLastUseIsWritten(t *testing.T) {
	b, stop := bridged(t, t.TempDir())
	defer stop()
	s, err := New(Options{Bridge: b, Token: NewToken(secret)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	made := makeToken(t, s.http.Handler, "page", bridge.ScopeRead)
	ask(t, s.http.Handler, made.Token, "GET", "/api/v1/alarms", "")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	kept, err := b.Access().Tokens(t.Context())
	if err != nil || len(kept) != 1 || kept[0].Used.IsZero() {
		t.Errorf("%+v, %v", kept, err)
	}
}

func TestTokenIsRefusedWithItsReason(t *testing.T) {
	h := everyRoute(t, Options{})
	f := func(method, path, body string, status int, says string) {
		t.Helper()
		if w := ask(t, h, secret, method, path, body); w.Code != status || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", method, path, body, w.Code, w.Body, status, says)
		}
	}
	makeToken(t, h, "page", bridge.ScopeRead)
	const path = "/api/v1/tokens"
	f("POST", path, `{"name":"page","scope":"ops"}`, 409, "there is a token page")
	f("POST", path, `{"name":"http.token","scope":"ops"}`, 409, "somebody else")
	f("POST", path, `{"name":"loopback","scope":"ops"}`, 409, "somebody else")
	f("POST", path, `{"name":"-","scope":"ops"}`, 422, "name: ")
	f("POST", path, `{"name":"two words","scope":"ops"}`, 422, "name: ")
	f("POST", path, `{"name":"new","scope":"root"}`, 422, "scope: ")
	f("POST", path, `{"name":"new"}`, 422, "scope")
	f("POST", path, `{"name":"new","scope":"ops","ends":"2001-01-01T00:00:00Z"}`, 400, "is over")
	f("DELETE", path+"/nobody", "", 404, `no token \"nobody\"`)
	f("DELETE", path+"/page", "", 204, "")
	f("DELETE", path+"/page", "", 409, "was revoked")
	makeToken(t, h, "page", bridge.ScopeOps) // the name is free again
	f("DELETE", path+"/page", "", 204, "")
	f("GET", path+"?limit=x", "", 422, "unknown query parameter")
}

func TestTokensAreBounded(t *testing.T) {
	h := everyRoute(t, Options{})
	makeToken(t, h, "old", bridge.ScopeRead)
	ask(t, h, secret, "DELETE", "/api/v1/tokens/old", "")
	g := h.(*handler).gate
	g.mu.Lock()
	for i := len(g.tokens); i < maxTokens; i++ {
		g.tokens = append(g.tokens, bridge.AccessToken{ID: fmt.Sprint(i), Name: fmt.Sprint(i), Scope: bridge.ScopeRead})
	}
	g.mu.Unlock()
	makeToken(t, h, "new", bridge.ScopeRead) // in the place of the one that was revoked
	if list := tokens(t, h); len(list) != maxTokens || list[maxTokens-1].Name != "new" || list[0].Name == "old" {
		t.Errorf("%d tokens, the first %s", len(list), list[0].Name)
	}
	if w := ask(t, h, secret, "POST", "/api/v1/tokens", `{"name":"more","scope":"ops"}`); w.Code != http.StatusConflict {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Where nobody is asked for a token, one would keep nobody out. What was made when
// there was http.token goes on meaning what it did.
func TestTokenGuardsNothingWhereNoneIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	b, stop := bridged(t, dir)
	defer stop()
	guarded := newHandler(&Options{Bridge: b, Token: NewToken(secret)}, true)
	texts := bearers(t, guarded)
	open := newHandler(&Options{Bridge: b}, true)
	if w := ask(t, open, "", "POST", "/api/v1/tokens", `{"name":"a","scope":"read"}`); w.Code != 409 || !strings.Contains(w.Body.String(), "set http.token") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, want := range map[string]int{"nobody": 404, "stranger": 404, "read": 403, "ops": 404, "admin": 404, "revoked": 401} {
		if w := ask(t, open, texts[name], "POST", "/api/v1/endpoints/x/test", ""); w.Code != want {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, want)
		}
	}
}

func TestScopesIncludeTheOnesBefore(t *testing.T) {
	scopes := append(bridge.Scopes(), "", "root")
	for i, has := range scopes {
		for j, needs := range scopes {
			if got, want := has.Allows(needs), i < 3 && j <= i; got != want {
				t.Errorf("%q allows %q: %v", has, needs, got)
			}
		}
	}
}
