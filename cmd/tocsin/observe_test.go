package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// A spoken is what a command has written so far.
type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *spoken) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(b)
}

func (h *spoken) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// An observing is an init that looks at traffic.
type observing struct {
	code      chan int
	out, errs spoken
	stop      context.CancelFunc
}

func observeHere(t *testing.T, args ...string) *observing {
	ctx, cancel := context.WithCancel(t.Context())
	o := &observing{code: make(chan int, 1), stop: cancel}
	go func() {
		o.code <- run(ctx, env{Args: append([]string{"init", "--observe", "1m"}, args...), Stdin: strings.NewReader(""), Stdout: &o.out, Stderr: &o.errs,
			LookupEnv: func(string) (string, bool) { return "", false }})
	}()
	return o
}

// tell publishes one message at QoS 1, as a device does that comes for it alone.
func tell(t *testing.T, addr, topic, payload string, retained bool) {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("dev").SetAutoReconnect(false))
	for _, token := range []func() mqtt.Token{c.Connect, func() mqtt.Token { return c.Publish(topic, 1, retained, payload) }} {
		if tok := token(); !tok.WaitTimeout(deadline) || tok.Error() != nil {
			t.Fatalf("publishing to %s: %v", addr, tok.Error())
		}
	}
	c.Disconnect(100)
}

// What devices send to a machine without a broker becomes a configuration that is
// right, runs, and understands them.
func TestInitProposesWhatDevicesSend(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fleet")
	addr := freeAddr(t)
	o := observeHere(t, dir, "--listen", addr)
	eventually(t, "listening", func() bool { return strings.Contains(o.errs.String(), "listening for devices on "+addr) })
	for _, payload := range []string{`{"temperature":-20.5,"door":"closed"}`, `{"temperature":-19}`} {
		for _, topic := range []string{"shop/lyon/freezer-1/telemetry", "shop/paris/freezer-2/telemetry"} {
			tell(t, addr, topic, payload, false)
		}
	}
	o.stop() // as Ctrl-C does
	if code := <-o.code; code != 0 {
		t.Fatalf("exit code %d: %s%s", code, o.out.String(), o.errs.String())
	}
	if out := o.out.String(); !strings.Contains(out, "4 messages in 2 topics") || !strings.Contains(out, "shop/{site}/{device}/telemetry") {
		t.Errorf("it says %s", out)
	}
	file := filepath.Join(dir, "tocsin.toml")
	if code, out, errs := runHere(t.Context(), "", nil, "check", "-c", file); code != 0 || !strings.Contains(out, "0 errors, 0 warnings") {
		t.Errorf("check: %d %s%s", code, out, errs)
	}
	if code, out, errs := runHere(t.Context(), "", nil, "test", "-c", file); code != 0 || !strings.Contains(out, "1 passed, 0 failed") {
		t.Errorf("test: %d %s%s", code, out, errs)
	}
	code, out, errs := runHere(t.Context(), "", nil, "preview", "-c", file, "-t", "shop/nice/freezer-9/telemetry", "-m", `{"temperature":-18}`)
	if code != 0 || !strings.Contains(out, "freezer-9") {
		t.Errorf("preview: %d %s%s", code, out, errs)
	}
	if code, out := taplo(t, file, filepath.Join(dir, "rules", "observed.toml")); code != 0 {
		t.Errorf("taplo: %d %s", code, out)
	}
}

// A broker that exists is looked at, and its password is written where only we can
// read it.
func TestInitLooksAtTheBrokerThatIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fleet")
	o := observeHere(t, dir, "--url", "mqtt://me:hidden@"+freeAddr(t))
	if code := <-o.code; code != exitFailed || !strings.Contains(o.errs.String(), "connection refused") || strings.Contains(o.errs.String(), "hidden") {
		t.Errorf("exit code %d: %s%s", code, o.out.String(), o.errs.String())
	}

	m := startMosquitto(t)
	tell(t, m, "shop/lyon/freezer-1/telemetry", `{"temperature":-20.5}`, true) // who comes later sees it
	o = observeHere(t, dir, "--observe", "3s", "--url", "mqtt://me:hidden@"+m, "-t", "shop/#", "--json")
	if code := <-o.code; code != 0 {
		t.Fatalf("exit code %d: %s%s", code, o.out.String(), o.errs.String())
	}
	var got observed
	if err := json.Unmarshal([]byte(o.out.String()), &got); err != nil || len(got.Sources) != 1 || got.Messages == 0 || got.Sources[0].Topic != "shop/lyon/{device}/telemetry" {
		t.Errorf("%v: %s", err, o.out.String())
	}
	info, err := os.Stat(filepath.Join(dir, "secrets", "mqtt"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password's file: %v, %v", info, err)
	}
	main := read(t, filepath.Join(dir, "tocsin.toml"))
	if strings.Contains(main, "hidden") || !strings.Contains(main, `url       = "mqtt://`+m+`"`) {
		t.Errorf("the configuration says\n%s", main)
	}
	if code, out, errs := runHere(t.Context(), "", nil, "check", "-c", filepath.Join(dir, "tocsin.toml")); code != 0 || !strings.Contains(out, "0 errors, 0 warnings") {
		t.Errorf("check: %d %s%s", code, out, errs)
	}
}

// Nothing seen is nothing written, and what to try is said.
func TestInitSaysWhatToTryWhenNothingComes(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "fleet")
		code, out, errs := runHere(t.Context(), "", nil, append([]string{"init", dir, "--observe", "2s"}, args...)...)
		if _, err := os.Stat(dir); err == nil || code != exitFailed || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s%s, want %q", args, code, out, errs, want)
		}
	}
	f("let devices send there", "--listen", "127.0.0.1:0")
	f("connection refused", "--url", "mqtt://"+freeAddr(t))
	f("connection refused", "--host", "127.0.0.1", "-p", strings.TrimPrefix(freeAddr(t), "127.0.0.1:"))
	f("do devices send there, to that topic?", "--url", "mqtt://"+startMosquitto(t))

	g := func(want string, args ...string) {
		t.Helper()
		code, out, errs := runHere(t.Context(), "", nil, append([]string{"init", t.TempDir()}, args...)...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s%s, want %q", args, code, out, errs, want)
		}
	}
	g("--url is of --observe", "--url", "mqtt://x")
	g("name two brokers", "--observe", "1s", "--url", "mqtt://x", "--host", "x")
	g("there is no broker to look at", "--observe", "1s", "-u", "me")
	g("is no time to look for", "--observe", "-1s")
}
