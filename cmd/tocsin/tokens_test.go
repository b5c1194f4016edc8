package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// Somebody is given a token that may look, and no more; what was done, and what was
// refused, is in the audit log under the token's name.
func TestTokensAreMadeUsedAndRevoked(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	dir := plant(t, embedded(freeAddr(t)), secret, ops.url)
	const master = "CANARY-master-0123456789"
	writeFiles(t, dir, map[string]string{
		"secrets/token": master,
		"tocsin.toml":   strings.Replace(read(t, filepath.Join(dir, "tocsin.toml")), "[http]\n", "[http]\ntoken = { file = \"secrets/token\" }\n", 1),
	})
	p := startTocsin(t, dir)
	p.waitReady()
	with := func(name string) []string { return []string{"--token-file", filepath.Join(dir, name)} }
	says := func(want, token string, args ...string) string {
		t.Helper()
		code, out, errs := p.command(append(args, with(token)...)...)
		if code != 0 || !strings.Contains(out+errs, want) {
			t.Errorf("%v: %d %s%s, want %q", args, code, out, errs, want)
		}
		return out
	}
	refuses := func(want, token string, args ...string) {
		t.Helper()
		if code, _, errs := p.command(append(args, with(token)...)...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s, want %q", args, code, errs, want)
		}
	}
	if code, _, errs := p.command("alarms"); code == 0 || !strings.Contains(errs, "a token is needed (set TOCSIN_TOKEN") {
		t.Errorf("without a token: %d %s", code, errs)
	}
	says("there is no token beside", "secrets/token", "tokens")
	page := filepath.Join(dir, "page")
	says("wrote the token of page to "+page, "secrets/token", "tokens", "create", "page", "--scope", "read", "--out", page)
	if info, err := os.Stat(page); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	refuses("exists and may be in use", "secrets/token", "tokens", "create", "other", "--scope", "read", "--out", page)
	refuses("--scope is", "secrets/token", "tokens", "create", "other")
	refuses("there is a token page", "secrets/token", "tokens", "create", "page", "--scope", "ops")
	ada := strings.TrimSpace(says("tocsin_", "secrets/token", "tokens", "create", "ada", "--scope", "ops", "--for", "1h"))
	writeFiles(t, dir, map[string]string{"ada": ada})

	says("no alarm is under way", "page", "alarms")
	refuses("this needs a token of the scope ops", "page", "endpoints", "test", "ops")
	says("accepted", "ada", "endpoints", "test", "ops")
	refuses("this needs a token of the scope admin", "ada", "tokens")
	says("page  read   active", "secrets/token", "tokens")

	says("page is revoked", "secrets/token", "tokens", "revoke", "page")
	refuses("the token was revoked", "page", "alarms")
	refuses("there is no token", "secrets/token", "tokens", "revoke", "nobody")
	log := says("/api/v1/endpoints/ops/test", "secrets/token", "audit")
	for _, want := range []string{"403 Forbidden", "200 OK", "204 No Content", "name=page", "http.token  127.0.0.1:"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in the audit log:\n%s", want, log)
		}
	}
	if out := says(`"who": "ada"`, "secrets/token", "audit", "--json", "--who", "ada"); strings.Contains(out, "page") {
		t.Errorf("of ada: %s", out)
	}
	p.terminate()
	text := p.log() + log
	for _, leak := range []string{master, ada} {
		if strings.Contains(text, leak) {
			t.Errorf("%s is shown", leak)
		}
	}
}

// A list of many pages is asked for faster than anybody is answered.
func TestRequestThatComesTooSoonIsSentAgain(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = w.Write([]byte(`{}`))
	}))
	defer s.Close()
	c, err := newClient(env{LookupEnv: func(string) (string, bool) { return "", false }}, clientFlags{server: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := c.do(t.Context(), http.MethodGet, []string{"alarms"}, nil, nil); err != nil || string(answer) != `{}` || asked != 2 {
		t.Errorf("%q, %v, asked %d times", answer, err, asked)
	}
	for seconds, want := range map[string]time.Duration{"": 0, "0": 0, "-1": 0, "1": time.Second, "10": 10 * time.Second, "11": 0, "x": 0} {
		if got := tooSoon(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {seconds}}}); got != want {
			t.Errorf("Retry-After %q: %v", seconds, got)
		}
	}
	if got := tooSoon(&http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"1"}}}); got != 0 {
		t.Errorf("503: %v", got)
	}
}
