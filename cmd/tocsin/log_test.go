package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bridge/trace"
	"tocsin/bridge/webhook"
)

// logLines are the lines of a log of JSON that have a value under a key.
func logLines(t *testing.T, log, key, value string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			continue // half a line, or what was said before there was a log
		}
		if l[key] == value {
			lines = append(lines, l)
		}
	}
	return lines
}

// From the message to the answer, the log says one id: the one that the receiver has.
func TestLogFollowsAnEventByOneID(t *testing.T) {
	var requests atomic.Int32
	var id atomic.Value
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id.Store(r.Header.Get("Webhook-Id"))
		if requests.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(hook.Close)
	dir := plant(t, embedded(freeAddr(t)), webhook.NewSecret(), hook.URL)
	addTo(t, dir, "[tracing]\notlp = \"http://"+freeAddr(t)+"\"\n[log]\nlevel = \"info\"\n")
	p := startTocsin(t, dir)
	p.waitReady()
	replaceIn(t, dir, `level = "info"`, `level = "debug"`) // read again as it is saved
	eventually(t, "the level changed", func() bool { return len(logLines(t, p.log(), "msg", "log level changed")) == 1 })
	publish(t, p, "d1", `{"temperature": -10}`)
	told := func() []map[string]any { s, _ := id.Load().(string); return logLines(t, p.log(), "event", s) }
	eventually(t, "it was accepted", func() bool {
		return slices.ContainsFunc(told(), func(l map[string]any) bool { return l["outcome"] == "delivered" })
	})

	var path []string
	for _, l := range told() {
		step, _ := l["msg"].(string)
		if outcome, ok := l["outcome"].(string); ok {
			step += ": " + outcome
		}
		path = append(path, step)
		if want := trace.Of(id.Load().(string)).Trace.String(); l["trace_id"] != want {
			t.Errorf("trace_id is not %s: %v", want, l)
		}
		for _, key := range []string{"after", "took"} {
			if v, there := l[key]; there {
				text, _ := v.(string)
				if d, err := time.ParseDuration(text); err != nil || d <= 0 {
					t.Errorf("%s is no duration: %v", key, l)
				}
			}
		}
	}
	if want := []string{
		"event stored", "attempt begins", "attempt ended: retry", "attempt begins", "attempt ended: retry", "attempt begins", "attempt ended: delivered",
	}; !slices.Equal(path, want) {
		t.Errorf("the log tells\n%s\nand not\n%s", strings.Join(path, "\n"), strings.Join(want, "\n"))
	}
	if first := told()[0]; first["source"] != "plant" || first["topic"] != "plant/d1/telemetry" || first["device"] != "d1" || first["rule"] != "warm" {
		t.Errorf("what decided it is not told: %v", first)
	}

	replaceIn(t, dir, `level = "debug"`, `level = "warn"`)
	eventually(t, "the level changed again", func() bool { return len(logLines(t, p.log(), "msg", "log level changed")) == 2 })
	if strings.Contains(p.log(), "takes effect at the next start") {
		t.Errorf("a level is said to need a restart:\n%s", p.log())
	}
}
