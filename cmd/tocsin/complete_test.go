package main

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// completed is what a shell is offered after args, without what is said of it.
func completed(t *testing.T, server string, args ...string) []string {
	t.Helper()
	code, out, errs := runHere(t.Context(), "", map[string]string{"TOCSIN_SERVER": server}, append([]string{"__complete"}, args...)...)
	if code != 0 || strings.Contains(errs, "tocsin:") {
		t.Errorf("%v: exit %d, %s", args, code, errs)
	}
	var offered []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" && line[0] != ':' {
			name, _, _ := strings.Cut(line, "\t")
			offered = append(offered, name)
		}
	}
	return offered
}

func TestShellsCompleteWhatTheBridgeKnows(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	addr := freeAddr(t)
	p := startTocsin(t, plant(t, embedded(addr), secret, ops.url))
	p.waitReady()
	tell(t, addr, "plant/freezer-1/telemetry", `{"temperature":-12}`, false)
	eventually(t, "fired", func() bool { return ops.requests() > 0 })
	server := "http://" + p.listen["http"]
	f := func(want string, args ...string) {
		t.Helper()
		if got := completed(t, server, args...); !slices.Contains(got, want) {
			t.Errorf("%v offers %q, want %q", args, got, want)
		}
	}
	f("warm/freezer-1", "alarms", "ack", "")
	f("warm/freezer-1", "alarms", "ack", "warm/f")
	f("freezer-1", "devices", "fr")
	f("freezer-1", "explain", "")
	f("warm", "explain", "freezer-1", "")
	f("ops", "endpoints", "disable", "o")
	f("ops", "replay", "--endpoint", "")
	f("freezer-1", "tail", "--device", "")
	f("critical", "alarms", "--severity", "")
	f("read", "tokens", "create", "x", "--scope", "")
	if got := completed(t, server, "alarms", "ack", "cold"); len(got) != 0 {
		t.Errorf("what begins otherwise is offered: %q", got)
	}
	if got := completed(t, server, "alarms", "ack", "warm/freezer-1", ""); len(got) != 0 {
		t.Errorf("a second key is offered: %q", got)
	}
}

// A bridge that is not there, or hangs, is not noticed.
func TestCompletionIsQuietWithoutABridge(t *testing.T) {
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	for _, server := range []string{"http://" + freeAddr(t), "http://" + hangs.Addr().String(), "nowhere"} {
		done := make(chan []string, 1)
		go func() { done <- completed(t, server, "alarms", "ack", "") }()
		select {
		case got := <-done:
			if len(got) != 0 {
				t.Errorf("%s: offered %q", server, got)
			}
		case <-time.After(deadline):
			t.Fatalf("%s: still waiting", server)
		}
	}
}

func TestCompletionScriptsAreThereForEachShell(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, out, errs := runHere(t.Context(), "", nil, "completion", shell)
		if code != 0 || !strings.Contains(out, "tocsin") {
			t.Errorf("%s: exit %d, %s", shell, code, errs)
		}
	}
}
