package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"tocsin/bridge/webhook"
)

// A service stands for one that people are told through. It answers its first
// request with a failure.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []map[string]any // of what it accepted
	paths  []string
	signed bool // a request carried our signature
}

func startService(t *testing.T, failure int, answer string, status int) *service {
	s := &service{}
	first := true
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.signed = s.signed || r.Header.Get("Webhook-Signature") != ""
		if first {
			first = false
			http.Error(w, "not now", failure)
			return
		}
		text, _ := io.ReadAll(r.Body)
		body := map[string]any{}
		if err := json.Unmarshal(text, &body); err != nil {
			http.Error(w, "invalid_payload", http.StatusBadRequest)
			return
		}
		s.bodies, s.paths = append(s.bodies, body), append(s.paths, r.URL.Path)
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.bodies)
}

// An alarm reaches a chat and a pager in their own words, each of which fails
// once, and ends there too.
func TestAlarmIsToldAsEachServiceWantsIt(t *testing.T) {
	chat := startService(t, http.StatusTooManyRequests, "ok", http.StatusOK)
	pager := startService(t, http.StatusBadGateway, `{"status":"success"}`, http.StatusAccepted)
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), webhook.NewSecret(), "http://"+addr)
	file := filepath.Join(dir, "tocsin.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	common := `
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8"] }
retry  = { schedule = ["0s", "50ms", "200ms", "1s"] }
`
	whole, _, _ := strings.Cut(string(text), "[endpoint.ops]")
	writeFiles(t, dir, map[string]string{
		"secrets/pager": "0123456789abcdef0123456789abcdef",
		"tocsin.toml": whole + `[endpoint.chat]
preset = "slack"
url = "` + chat.URL + `/services/T/B/canary"` + common + `
[endpoint.pager]
preset = "pagerduty"
url = "` + pager.URL + `"
with = { routing_key = { file = "secrets/pager" } }` + common,
	})
	p := startTocsin(t, dir)
	p.waitReady()
	publish(t, p, "f1", `{"temperature":-10}`)
	eventually(t, "both are told that it fired", func() bool { return chat.count() == 1 && pager.count() == 1 })
	publish(t, p, "f1", `{"temperature":-20}`)
	eventually(t, "both are told that it ended", func() bool { return chat.count() == 2 && pager.count() == 2 })
	p.terminate()

	for i, action := range []string{"trigger", "resolve"} {
		got := pager.bodies[i]
		if got["event_action"] != action || got["dedup_key"] != "warm/f1" || got["routing_key"] != "0123456789abcdef0123456789abcdef" || pager.paths[i] != "/v2/enqueue" {
			t.Errorf("the pager got %v at %s", got, pager.paths[i])
		}
		said, _ := chat.bodies[i]["text"].(string)
		if word := []string{"Warning", "Resolved"}[i]; !strings.HasPrefix(said, word+": ") || chat.paths[i] != "/services/T/B/canary" {
			t.Errorf("the chat got %v at %s", chat.bodies[i], chat.paths[i])
		}
	}
	if chat.signed || pager.signed {
		t.Error("a request was signed although there is no secret")
	}
	if log := p.log(); strings.Contains(log, "canary") || strings.Contains(log, "0123456789abcdef") {
		t.Errorf("the log shows a credential:\n%s", log)
	}
}

// What a service answered is remembered over a crash: the message that was posted
// is the one that is edited.
func TestMessageIsEditedAfterACrash(t *testing.T) {
	var mu sync.Mutex
	var came []string
	chat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		came = append(came, r.Method+" "+r.URL.Path)
		fmt.Fprint(w, `{"id":"4711","channel_id":"9"}`)
	}))
	t.Cleanup(chat.Close)
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(came)
	}
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), webhook.NewSecret(), "http://"+addr)
	file := filepath.Join(dir, "tocsin.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	whole, _, _ := strings.Cut(string(text), "[endpoint.ops]")
	writeFiles(t, dir, map[string]string{"tocsin.toml": whole + `[endpoint.chat]
preset = "discord"
url = "` + chat.URL + `/api/webhooks/1/canary"
limits = { rate = "100/s" }
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8"] }
`})
	p := startTocsin(t, dir)
	p.waitReady()
	publish(t, p, "f1", `{"temperature":-10}`)
	eventually(t, "it is told that the alarm fired", func() bool {
		return count() == 1 && p.metric(`tocsin_deliveries_pending{endpoint="chat"}`) == "0"
	})
	// What was kept rides on the next commit: another alarm makes one.
	publish(t, p, "f2", `{"temperature":-10}`)
	eventually(t, "another alarm fired", func() bool { return count() == 2 })
	p.kill()

	p = startTocsin(t, dir)
	p.waitReady()
	publish(t, p, "f1", `{"temperature":-20}`)
	eventually(t, "it is told that the alarm ended", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Contains(came, "PATCH /api/webhooks/1/canary/messages/4711")
	})
}
