package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tocsin/bridge/webhook"
)

// A follower is a tail that runs in this process.
type follower struct {
	mu        sync.Mutex
	out, errs bytes.Buffer
	stop      context.CancelFunc
	exit      chan int
}

func startTail(t *testing.T, args ...string) *follower {
	t.Helper()
	f := &follower{exit: make(chan int, 1)}
	ctx, stop := context.WithCancel(t.Context())
	f.stop = stop
	go func() {
		f.exit <- run(ctx, env{
			Args: append([]string{"tail"}, args...), Stdin: strings.NewReader(""),
			Stdout: lockedWriter{&f.mu, &f.out}, Stderr: lockedWriter{&f.mu, &f.errs},
			LookupEnv: func(string) (string, bool) { return "", false },
		})
	}()
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Log(f.shown())
		}
	})
	return f
}

func (f *follower) shown() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.String() + f.errs.String()
}

// Whoever looks sees readings, events and deliveries, and sees on when the bridge is
// back after it was killed.
func TestTailShowsWhatHappensAndComesBack(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	dir := plant(t, embedded(freeAddr(t)), secret, ops.url)
	http := freeAddr(t)
	writeFiles(t, dir, map[string]string{"tocsin.toml": strings.Replace(read(t, filepath.Join(dir, "tocsin.toml")), "127.0.0.1:0", http, 1)})
	p := startTocsin(t, dir)
	p.waitReady()
	all := startTail(t, "--server", "http://"+http)
	one := startTail(t, "--server", "http://"+http, "--kinds", "event", "--device", "freezer-2", "--json")
	sees := func(f *follower, want string) {
		t.Helper()
		eventually(t, want, func() bool { return strings.Contains(f.shown(), want) })
	}
	eventually(t, "both watch", func() bool { return p.metric("tocsin_watches") == "2" })
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	publish(t, p, "freezer-2", `{"temperature":-12}`)
	sees(all, " reading  freezer-1 temperature=-12")
	sees(all, " event    alarm.fired freezer-1: temperature -12 °C")
	sees(all, " delivery alarm.fired warm/freezer-1 to ops: delivered, attempt 1, 200 in ")
	sees(one, `"kind":"event"`)

	p.kill()
	sees(all, "coming back")
	p = startTocsin(t, dir)
	p.waitReady()
	sees(all, "gap       what came after ")
	sees(one, `"kind":"gap"`)
	eventually(t, "both watch again", func() bool { return p.metric("tocsin_watches") == "2" })
	publish(t, p, "freezer-2", `{"temperature":-20}`)
	sees(all, " event    alarm.resolved ")
	sees(one, "alarm.resolved")
	for _, f := range []*follower{all, one} {
		f.stop()
		if code := <-f.exit; code != 0 {
			t.Errorf("exit %d: %s", code, f.shown())
		}
	}
	if strings.Contains(one.shown(), "freezer-1") {
		t.Errorf("shown of another device: %s", one.shown())
	}
	for line := range strings.Lines(one.out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestTailSaysWhyItCannotWatch(t *testing.T) {
	f := startTail(t, "--server", "http://127.0.0.1:9")
	if code := <-f.exit; code != 1 || !strings.Contains(f.shown(), "tail: http://127.0.0.1:9: ") || !strings.Contains(f.shown(), "--server says") {
		t.Errorf("exit %d: %s", code, f.shown())
	}
	secret := webhook.NewSecret()
	p := startTocsin(t, plant(t, embedded(freeAddr(t)), secret, startReceiver(t, secret, "").url))
	p.waitReady()
	f = startTail(t, "--server", "http://"+p.listen["http"], "--kinds", "gossip")
	if code := <-f.exit; code != 1 || !strings.Contains(f.shown(), "kinds") {
		t.Errorf("exit %d: %s", code, f.shown())
	}
}

// What devices and receivers say is text of others, and a terminal obeys escapes.
func TestTailedTextIsHarmless(t *testing.T) {
	var tl tailing
	for _, m := range []tailed{
		{Kind: "reading", Data: json.RawMessage(`{"device":"a\u001b[2Jb","metric":"\u202et","value":"\u001b]0;x\u0007"}`)},
		{Kind: "event", Data: json.RawMessage(`{"type":"alarm.fired","title":"\u001b[2J\nx","endpoint":{"name":"ops"}}`)},
		{Kind: "delivery", Data: json.RawMessage(`{"type":"alarm.fired","outcome":"retry","error":"\u001b[31m\r"}`)},
		{Kind: "gap", Data: json.RawMessage(`{"reason":"\u001b[2J"}`)},
	} {
		line, err := tl.line(&m)
		if err != nil || strings.ContainsAny(line, "\x1b\n\r\a\u202e") {
			t.Errorf("%s: %q, %v", m.Kind, line, err)
		}
	}
	if _, err := tl.line(&tailed{Kind: "reading", Data: json.RawMessage(`7`)}); err == nil {
		t.Error("a number is taken for a reading")
	}
}

// The pipe that tail writes to is closed by whoever has seen enough.
func TestTailEndsWhenNobodyReads(t *testing.T) {
	broken := errors.New("broken pipe")
	tl := tailing{out: failingWriter{broken}, asJSON: true}
	if err := tl.show(&tailed{Kind: "event", Data: json.RawMessage(`{}`)}); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failingWriter struct{ error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.error }
