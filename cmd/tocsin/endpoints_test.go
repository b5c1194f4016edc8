package main

import (
	"path/filepath"
	"strings"
	"testing"

	"tocsin/bridge/webhook"
)

// An operator tries an endpoint, switches it off and on again, and decides what
// it is told of what it has missed.
func TestEndpointIsTestedPausedAndEnabled(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	addr := freeAddr(t)
	p := startTocsin(t, plant(t, embedded(addr), secret, ops.url))
	p.waitReady()
	f := func(code int, want string, args ...string) {
		t.Helper()
		got, out, errs := p.command(append([]string{"endpoints"}, args...)...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%v: %d %s%s, want %d and %q", args, got, out, errs, code, want)
		}
	}
	f(0, "accepted", "test", "ops")
	f(0, `"accepted": true`, "test", "ops", "--json")
	if got := ops.unique(t); len(got) != 2 || got[0].Type != "test.ping" {
		t.Errorf("a test told %v", got)
	}
	f(1, "there is no endpoint", "test", "nobody")
	f(2, "takes the name of one endpoint", "test")

	f(0, "ops is paused", "disable", "ops", "--reason", "they are moving house")
	f(0, "paused", "--json")
	f(0, "they are moving house, by ")
	f(0, "ops is paused and sent no events: they are moving house, by ", "test", "ops")
	if _, _, errs := p.command("deliveries"); !strings.Contains(errs, "(tocsin endpoints enable ops)") {
		t.Errorf("deliveries says %q of an endpoint that is paused", errs)
	}
	publishCrossings(t, addr, "freezer-1", 4)
	eventually(t, "four are owed", func() bool {
		return p.metric(`tocsin_deliveries_pending{endpoint="ops"}`) == "4"
	})
	if got := len(ops.unique(t)); got != 3 { // a test of it is no event
		t.Errorf("a paused endpoint was told %d", got-3)
	}
	f(2, "no terminal to ask", "enable", "ops", "--send", "latest")
	f(0, "3 deliveries discarded", "enable", "ops", "--send", "latest", "--yes")
	eventually(t, "the newest state was told", func() bool { return len(ops.of(t, "warm/freezer-1")) == 1 })
	if got := ops.of(t, "warm/freezer-1"); got[0] != "alarm.resolved" {
		t.Errorf("told %v", got)
	}
	f(0, "0 deliveries discarded", "resume", "ops")

	f(0, "ops is paused; what it is owed is kept, and sent after tocsin endpoints enable ops", "pause", "ops", "--by", "ada")
	f(0, "switched off by an operator, by ada")
	publishCrossings(t, addr, "freezer-2", 2)
	eventually(t, "two are owed", func() bool {
		return p.metric(`tocsin_deliveries_pending{endpoint="ops"}`) == "2"
	})
	f(2, "no terminal to ask", "discard", "ops")
	f(0, "0 deliveries discarded", "discard", "ops", "--alarm", "warm/freezer-9")
	f(0, "1 delivery discarded", "discard", "ops", "--latest", "--yes")
	f(0, `"deliveries": 1`, "discard", "ops", "--yes", "--json")
	f(1, "there is no endpoint", "discard", "nobody")
	f(0, "is enabled", "enable", "ops")
	f(1, "send", "enable", "ops", "--send", "some")
}

func TestEndpointThatIsLeftAloneSaysWhy(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "503:1")
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), secret, ops.url)
	path := filepath.Join(dir, "tocsin.toml")
	save(t, path, read(t, path)+`[endpoint.ops.breaker]
failures = 1
open = "1h"
max_open = "1h"
`)
	p := startTocsin(t, dir)
	p.waitReady()
	publishCrossings(t, addr, "freezer-1", 1)
	says := func() {
		t.Helper()
		var out string
		eventually(t, "it is left alone", func() bool {
			_, out, _ = p.command("endpoints")
			return strings.Contains(out, "ops       open ")
		})
		if !strings.Contains(out, "answered 503 Service Unavailable") || !strings.Contains(out, "waits until") {
			t.Errorf("nothing says why:\n%s", out)
		}
	}
	says()
	p.kill()
	p = startTocsin(t, dir)
	p.waitReady()
	says()
}
