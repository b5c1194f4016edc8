package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"tocsin/bridge/webhook"
)

// A receiver writes titles, moves cursors and turns the direction of text with
// what it answers, and a device with its name. Whatever command shows them, a
// terminal sees text.
func TestNothingThatOthersSayControlsATerminal(t *testing.T) {
	const hostile = "\x1b]0;owned\x07\u202egnirts\u2066\x1b[2J<script>alert(1)</script>\x9b31m\r"
	var heard atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, hostile)
	}))
	t.Cleanup(receiver.Close)
	addr, dir := freeAddr(t), t.TempDir()
	writeFiles(t, dir, map[string]string{
		"secrets/ops":     webhook.NewSecret().Reveal(),
		"rules/warm.toml": "schema = 1\n[metric.temperature]\nunit = \"°C\"\n[rule.warm]\nmetric = \"temperature\"\nabove = \"-15 °C\"\nclear = \"-17 °C\"\n",
		"tocsin.toml": "schema = 1\nrules = [\"rules/*.toml\"]\n" + embedded(addr) + fmt.Sprintf(`
[source.plant]
topic   = "plant/+/telemetry"
decoder = "json"
device  = "$.id"
[store]
path = "data"
[http]
listen = "127.0.0.1:0"
[endpoint.ops]
url    = "%s"
secret = { file = "secrets/ops" }
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8"] }
retry  = { schedule = ["0s", "100ms", "1h"], jitter = "none" }
`, receiver.URL),
	})
	p := startTocsin(t, dir)
	p.waitReady()
	payload := `{"temperature":-12,"id":"freezer"}`
	for _, p := range []string{`{"temperature":-12,"id":"\u001b]0;owned\u0007\u202e7"}`, `{"temperature":-12,"id":"\u202e7"}`, payload} {
		if err := publishAs(addr, "", "", p); err != nil { // some are no names
			t.Fatal(err)
		}
	}
	eventually(t, "the alarm was told twice", func() bool { return heard.Load() >= 2 })
	server := "http://" + p.listen["http"]
	_, list := p.get("/api/v1/deliveries")
	ids := deliveryIDs(t, []byte(list))
	if len(ids) == 0 {
		t.Fatalf("there are no deliveries: %s\n%s", list, p.log())
	}
	config := filepath.Join(dir, "tocsin.toml")
	for _, args := range [][]string{
		{"alarms", "--server", server}, {"devices", "--server", server}, {"rules", "--server", server},
		{"endpoints", "--server", server}, {"endpoints", "test", "ops", "--server", server},
		{"deliveries", "--server", server}, {"deliveries", "show", ids[0], "--server", server},
		{"replay", "--endpoint", "ops", "--server", server},
		{"preview", "-c", config, "-t", "plant/x/telemetry", "-m", payload},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		said, _ := exec.CommandContext(ctx, tocsinBinary(t), args...).CombinedOutput() // some tell of a failure
		cancel()
		if shown := strings.Contains(string(said), "<script>"); args[0] == "deliveries" && args[1] == "show" && !shown {
			t.Errorf("%v: what the receiver answered is not shown: %q", args, said)
		}
		if len(said) == 0 || strings.Contains(string(said), "unknown flag") {
			t.Errorf("%v: says %q", args, said)
		}
		if i := strings.IndexAny(string(said), "\x1b\x07\u202e\u2066\u009b\r"); i >= 0 {
			t.Errorf("%v: %q", args, said[max(0, i-40):min(len(said), i+40)])
		}
	}
	if code := p.terminate(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if i := strings.IndexAny(p.log(), "\x1b\x07\u202e\u2066"); i >= 0 {
		t.Errorf("the log: %q", p.log()[max(0, i-80):min(len(p.log()), i+40)])
	}
}
