package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
)

// previewIn runs the command in this process.
func previewIn(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), env{
		Args:   append([]string{"preview", "-c", filepath.Join(dir, "tocsin.toml")}, args...),
		Stdout: &out, Stderr: &errs, Stdin: strings.NewReader(""), LookupEnv: os.LookupEnv,
	})
	return code, out.String(), errs.String()
}

// What is shown is what would be sent: a receiver takes it as it is.
func TestPreviewedRequestVerifies(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	dir := plant(t, embedded("127.0.0.1:1883"), secret, ops.url)
	const reading = `{"temperature": -12, "door": "it's"}`
	code, out, errs := previewIn(t, dir, "-t", "plant/freezer-1/telemetry", "-m", reading, "--json", "--reveal")
	var p previewed
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != 0 {
		t.Fatalf("%d %v %s%s", code, err, out, errs)
	}
	if len(p.Events) != 1 || len(p.Events[0].Requests) != 1 || p.Events[0].Type != "alarm.fired" {
		t.Fatalf("%+v", p.Events)
	}
	if ops.requests() != 0 {
		t.Error("a preview has sent something")
	}
	r := p.Events[0].Requests[0]
	req, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, strings.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := ops.unique(t); resp.StatusCode != 200 || len(got) != 1 || got[0].Type != "alarm.fired" {
		t.Errorf("answered %d, told %v", resp.StatusCode, got)
	}
}

// What a device says stays one word of the command, and no file is read for it.
func TestPreviewedCommandSendsWhatTheDeviceSaid(t *testing.T) {
	const said = "@/etc/passwd '$(id)' `id` \\\n--next"
	r := previewedRequest{"ops", bridge.Request{Method: "POST", URL: "https://example.com/'$(id)", Header: http.Header{"X-Said": {said}}, Body: said}}
	var script bytes.Buffer
	script.WriteString("curl() { printf '%s\\0' \"$@\"; }\n")
	r.write(&script)
	cmd := exec.CommandContext(t.Context(), "/bin/sh")
	cmd.Stdin = &script
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"-X", "POST", r.URL, "-H", "x-said: " + said, "--data-raw", said, ""}
	if got := strings.Split(string(out), "\x00"); !slices.Equal(got, want) {
		t.Errorf("curl is given %q", got)
	}
}

func TestPreviewHidesSecretsAndSaysWhyNobodyIsTold(t *testing.T) {
	dir := plant(t, embedded("127.0.0.1:1883"), webhook.NewSecret(), "http://127.0.0.1:9000/CANARY-PATH")
	writeFiles(t, dir, map[string]string{"more.toml": "schema = 1\n[rule.slow]\nmetric = \"temperature\"\nabove = \"0 °C\"\nfor = \"5m\"\n"})
	path := filepath.Join(dir, "tocsin.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(text), `["rules/*.toml"]`, `["rules/*.toml", "more.toml"]`, 1) + `
[endpoint.pager]
preset = "pagerduty"
with   = { routing_key = { file = "secrets/pager" } }
`
	writeFiles(t, dir, map[string]string{"tocsin.toml": more, "secrets/pager": "CANARY-KEY"})
	f := func(want string, args ...string) {
		t.Helper()
		code, out, errs := previewIn(t, dir, args...)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%v: %d %s%s, want %q", args, code, out, errs, want)
		}
		if strings.Contains(out, "CANARY") {
			t.Errorf("%v: a secret is shown:\n%s", args, out)
		}
	}
	const topic = "plant/freezer-1/telemetry"
	f("# to pager, request trigger", "-t", topic, "-m", `{"temperature": -12}`)
	f(`"routing_key":"<secret>"`, "-t", topic, "-m", `{"temperature": -12}`)
	f("nobody is told of anything", "-t", topic, "-m", `{"temperature": -20}`)
	f("waiting: slow", "-t", topic, "-m", `{"temperature": 5}`)
	f("alarm.fired after 5m0s", "-t", topic, "-m", `{"temperature": 5}`, "--hold", "6m")
	f("no source reads the topic x/y", "-t", "x/y", "-m", "3")
	f("not used: the JSON document ends too early", "-t", topic, "-m", "{")
	if code, _, errs := previewIn(t, dir, "-m", "{}"); code != 2 || !strings.Contains(errs, "there is no topic") {
		t.Errorf("%d %s", code, errs)
	}
}
