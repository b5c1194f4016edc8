package preset

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// However a service says when to come back, nothing absurd comes of it.
func TestHintOfAnAbsurdWaitIsBounded(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f := func(said string, unix bool, want time.Duration) {
		t.Helper()
		h := hint{header: "X-Wait", unix: unix}
		r := &received{Result: webhook.Result{Header: http.Header{"X-Wait": {said}}}}
		if got := h.read(r, now); got != want {
			t.Errorf("%q: %s, expected %s", said, got, want)
		}
	}
	const year = 365 * 24 * time.Hour
	f("7", false, 7*time.Second)
	f(" 0.5 ", false, 500*time.Millisecond)
	f("", false, 0)
	f("soon", false, 0)
	f("-1", false, 0)
	f("NaN", false, 0)
	f("1e309", false, year)
	f("Infinity", false, year)
	f("99999999999", false, year)
	f("1795348830", true, 30*time.Second) // 12:00:30
	f("1", true, 0)
	f("253402300799", true, year) // the year 9999
}

// What is read of an answer is bounded by the endpoint's longest wait.
func TestHintIsBoundedByTheLongestWait(t *testing.T) {
	d := mustNew(t, Options{Preset: "discord", URL: "https://discord.com/api/webhooks/1/x", RetryAfterMax: time.Minute})
	r := &received{Result: webhook.Result{Status: 429, Body: []byte(`{"retry_after": 1e300}`)}}
	if v := d.judge(d.requests["post"], r); v != retry || r.RetryAfter != time.Minute {
		t.Errorf("%s after %s", v, r.RetryAfter)
	}
}

// The end of an answer may be missing: what stands before it is read.
func TestValueIsReadFromTheBeginningOfAnAnswer(t *testing.T) {
	f := func(body, path, want string) {
		t.Helper()
		p, err := parsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(p.find(parseAnswer([]byte(body)))); got != want {
			t.Errorf("%s of %s is %q, expected %q", path, body, got, want)
		}
	}
	f(`{"ticket":{"id":35,"subject":"a very long one that ends he`, "$.ticket.id", "35")
	f(`{"ticket":{"subject":"x"},"id":`, "$.id", "")
	f(`{"a":[{"name":"To Do","id":"11"},{"name":"Done","id":"31"}]}`, "$.a[name=Done].id", "31")
	f(`{"a":[{"name":"To Do","id":"11"}]}`, "$.a[name=Done].id", "")
	f(`[{"errorCode":"X"}]`, "$[0].errorCode", "X")
	f(`[]`, "$[0].errorCode", "")
	f(`{"id":-1001234567890123456}`, "$.id", "-1001234567890123456") // more than a float holds
	f(`not JSON`, "$.id", "")
	f(``, "$", "")
	f(`{"a":null}`, "$.a.b.c", "")
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":null}]}`, `[[[[`, `{"a"`, `{"a":1e999}`, `"\ud800"`, `{"a":1}{"a":2}`} {
		f.Add([]byte(s))
	}
	path, err := parsePath("$.a[0].b[name=x].c")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v := parseAnswer(body)
		_ = text(path.find(v))
		var whole any
		if json.Unmarshal(body, &whole) == nil && (v == nil) != (whole == nil) {
			t.Errorf("%q is read as %v", body, v)
		}
	})
}

// Requests that follow one another begin where they broke off.
func TestSequenceThatBrokeOffMakesNoSecondTicket(t *testing.T) {
	created := 0
	s := serve(t, func(w http.ResponseWriter, c call) {
		switch c.path {
		case "/tickets":
			created++
			reply(w, 201, `{"id":"7"}`)
		case "/tickets/7/tags":
			reply(w, 503, "")
		}
	})
	o := Options{Name: "desk", Override: map[string]any{
		"on": map[string]any{"raise": []any{"create", "tag"}},
		"request": map[string]any{
			"create": map[string]any{"path": "tickets", "unless": "ticket", "keep": map[string]any{"ticket": "$.id"}, "body": map[string]any{"title": "{{ .title }}"}},
			"tag":    map[string]any{"path": "tickets/{{ .kept.ticket }}/tags", "needs": "ticket", "body": []any{"iot"}},
		},
	}}
	r := connect(t, s, o)
	for range 3 {
		r.verdict(webhook.Retry, rules.AlarmFired)
	}
	if created != 1 || r.kept["ticket"] != "7" {
		t.Errorf("%d tickets, %v is kept", created, r.kept)
	}
}
