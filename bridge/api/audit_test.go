package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"tocsin/bridge"
)

// audited reads the audit log, a page of n at a time, the newest first.
func audited(t *testing.T, h http.Handler, n int, query string) (all []AuditView) {
	t.Helper()
	for cursor := ""; ; {
		var page struct {
			Audit []AuditView
			Next  string
		}
		w := ask(t, h, secret, "GET", fmt.Sprintf("/api/v1/audit?limit=%d&cursor=%s&%s", n, cursor, query), "")
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		all = append(all, page.Audit...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// lines are entries as "who method path status" with what was refused, said or failed.
func lines(entries []AuditView) (list []string) {
	for _, e := range entries {
		line := fmt.Sprint(e.Who, " ", e.Method, " ", strings.TrimPrefix(e.Path, prefix), " ", e.Status)
		if e.Refused {
			line += " refused"
		}
		if e.Error != "" {
			line += " error"
		}
		for _, name := range []string{"by", "reason", "scope", "endpoint", "deliveries"} {
			if e.Said[name] != "" {
				line += " " + name + "=" + e.Said[name]
			}
		}
		list = append(list, line)
	}
	return list
}

// What is no text is read as it was written in the request.
func TestOddBytesOfAPathAreAuditedEscaped(t *testing.T) {
	h := everyRoute(t, Options{})
	for _, path := range []string{"/api/v1/alarms/warm%2Fa%FF%1B%5B2J/ack", "/api/v1/alarms/warm%2Fpumpe-ä/ack"} {
		ask(t, h, secret, "POST", path, "{}")
	}
	if all := audited(t, h, 10, ""); len(all) != 2 || all[1].Path != "/api/v1/alarms/warm%2Fa%FF%1B%5B2J/ack" || all[0].Path != "/api/v1/alarms/warm/pumpe-ä/ack" {
		t.Errorf("%+v", all)
	}
	if w := ask(t, h, secret, "GET", "/api/v1/", ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "/openapi.yaml says what there is") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWhatChangesSomethingIsAudited(t *testing.T) {
	fail := false
	h := everyRoute(t, Options{
		Reload: func(context.Context) (Reloaded, error) {
			if fail {
				return Reloaded{}, errors.New("the file is gone")
			}
			return Reloaded{}, nil
		},
		Plan: func(context.Context, string) (Planned, error) { return Planned{}, nil },
	})
	reader, operator := makeToken(t, h, "page", bridge.ScopeRead).Token, makeToken(t, h, "ada", bridge.ScopeOps).Token
	ask(t, h, operator, "POST", "/api/v1/alarms/warm%2Fx/ack", `{"by":"ada","reason":"on it"}`)
	ask(t, h, operator, "POST", "/api/v1/alarms/warm%2Fx/ack", `{"by":7}`)
	ask(t, h, operator, "POST", "/api/v1/alarms/warm%2Fx/unack", "")
	ask(t, h, operator, "POST", "/api/v1/endpoints/ops/discard", `{"reason":"old"}`)
	ask(t, h, reader, "POST", "/api/v1/endpoints/ops/discard", `{"reason":"old"}`)
	ask(t, h, "", "DELETE", "/api/v1/tokens/page", "")
	ask(t, h, "wrong", "POST", "/api/v1/nothing/here", "")
	ask(t, h, secret, "POST", "/api/v1/reload", "")
	fail = true
	ask(t, h, secret, "POST", "/api/v1/reload", "")
	r := httptest.NewRequest("POST", "http://localhost/api/v1/reload", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	h.ServeHTTP(httptest.NewRecorder(), r)

	// None of these changes anything, or could have.
	ask(t, h, operator, "GET", "/api/v1/alarms", "")
	ask(t, h, "", "GET", "/api/v1/alarms", "")
	ask(t, h, reader, "GET", "/api/v1/audit", "")
	ask(t, h, secret, "POST", "/api/v1/plan", "")
	ask(t, h, secret, "POST", "/api/v1/nothing", "")
	ask(t, h, operator, "POST", "/api/v1/endpoints/ops/discard", `{"dry_run":true}`)
	ask(t, h, operator, "POST", "/api/v1/endpoints/ops/enable", `{"dry_run":true,"send":"latest"}`)
	ask(t, h, operator, "POST", "/api/v1/replay", `{"endpoint":"ops","dry_run":true}`)

	want := []string{
		"http.token POST reload 403 refused",
		"http.token POST reload 503 error",
		"http.token POST reload 200",
		"- POST nothing/here 401 refused",
		"- DELETE tokens/page 401 refused",
		"page POST endpoints/ops/discard 403 refused",
		"ada POST endpoints/ops/discard 404 error reason=old deliveries=0",
		"ada POST alarms/warm/x/unack 404 error by=ada", // the token says who it is
		"ada POST alarms/warm/x/ack 422",
		"ada POST alarms/warm/x/ack 404 error by=ada reason=on it",
		"http.token POST tokens 201 scope=ops",
		"http.token POST tokens 201 scope=read",
	}
	for _, n := range []int{1, 3, 1000} {
		if got := lines(audited(t, h, n, "")); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("by %d:\n%s\nwant\n%s", n, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	all := audited(t, h, 1000, "")
	for _, e := range all {
		if e.At.IsZero() || e.From == "" || (e.Token != "") != (e.Who == "page" || e.Who == "ada") {
			t.Errorf("entry %+v", e)
		}
	}
	if got := lines(audited(t, h, 2, "who=ada")); len(got) != 4 || !strings.HasPrefix(got[0], "ada POST endpoints") {
		t.Errorf("of ada: %q", got)
	}
	since := url.Values{"since": {all[1].At.Format("2006-01-02T15:04:05.999999999Z07:00")}}
	if got := audited(t, h, 2, since.Encode()); len(got) != 2 {
		t.Errorf("since the one before the newest: %q", lines(got))
	}
	if w := ask(t, h, secret, "GET", "/api/v1/audit?cursor=x", ""); w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Text that comes from outside is bounded in the log, and never a token.
func TestAuditedTextIsBoundedAndNoToken(t *testing.T) {
	token := tokenBegin + strings.Repeat("A", 26)
	for in, want := range map[string]string{
		"":                             "",
		"plain":                        "plain",
		token:                          hidden,
		"a/" + token + "/b":            "a/" + hidden + "/b",
		token + token:                  hidden + hidden,
		strings.Repeat("é", 300):       strings.Repeat("é", 250) + "…",
		"x" + strings.Repeat("é", 300): "x" + strings.Repeat("é", 249) + "…",
	} {
		if got := clip(in, maxSaid); got != want {
			t.Errorf("clip(%.40q) = %q", in, got)
		}
	}
}

// Who has no right to anything can neither push out of the log what was done, nor
// keep the disk busy by being refused.
func TestRefusalsTakeLittleOfTheAuditLog(t *testing.T) {
	b, stop := bridged(t, t.TempDir())
	defer stop()
	foreign := func(o Options, n int) http.Handler {
		o.Bridge, o.Token = b, NewToken(secret)
		h := newHandler(&o, true)
		for range n {
			r := httptest.NewRequest("POST", "http://localhost/api/v1/replay", nil)
			r.Header.Set("Authorization", "Bearer "+secret)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		return h
	}
	h := foreign(Options{Rates: Rates{Refused: Rate{1e-9, 3}}}, 100)
	if n := len(audited(t, h, 1000, "")); n != 3 {
		t.Errorf("%d entries of 100 refused in a row", n)
	}
	makeToken(t, h, "page", bridge.ScopeRead)
	if testing.Short() {
		t.Skip("SKIP: filling the log takes seconds (run without -short)")
	}
	all := audited(t, foreign(Options{Rates: unlimited}, keepRefused+10), 1000, "")
	if n := len(all); n != keepRefused+1 || all[n-1].Path != "/api/v1/tokens" {
		t.Errorf("%d entries, the last %+v", n, all[n-1])
	}
}
