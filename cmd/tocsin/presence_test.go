package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// A publisher is a mosquitto_pub that stays connected and publishes what is
// written to it.
type publisher struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines io.WriteCloser
	ended bool
}

func startPublisher(t *testing.T, addr, device string) *publisher {
	t.Helper()
	path, err := exec.LookPath("mosquitto_pub")
	if err != nil {
		t.Skip("no mosquitto_pub on this machine (Debian package mosquitto-clients)")
	}
	host, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(path, "-h", host, "-p", port, "-t", "plant/"+device+"/telemetry", "-i", device, "-q", "1", "-k", "30", "-l")
	lines, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &publisher{t: t, cmd: cmd, lines: lines}
	t.Cleanup(p.kill)
	return p
}

func (p *publisher) say() {
	p.t.Helper()
	if _, err := io.WriteString(p.lines, `{"temperature":-20}`+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends it without a word.
func (p *publisher) kill() {
	if !p.ended {
		p.ended = true
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// goodbye lets it disconnect as it should.
func (p *publisher) goodbye() {
	p.t.Helper()
	p.ended = true
	_ = p.lines.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Error(err)
	}
}

// A publisher that is killed is missed; one that returns in time, says goodbye, or
// only reports now and then is not.
func TestAKilledPublisherIsMissed(t *testing.T) {
	secret := webhook.NewSecret()
	l := startReceiver(t, secret, "")
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), secret, l.url)
	if err := os.WriteFile(filepath.Join(dir, "rules", "cold.toml"), []byte("schema = 1\n[rule.gone]\nsilent = \"1h\"\nfor = \"4s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startTocsin(t, dir)
	p.waitReady()

	steady := map[string]*publisher{}
	for _, name := range []string{"killed", "returns", "leaves", "stays"} {
		steady[name] = startPublisher(t, addr, name)
		steady[name].say()
	}
	mosquittoPub(t, addr, "plant/once/telemetry", []string{`{"temperature":-20}`}, "-i", "once")
	radio := startPublisher(t, addr, "radio")
	radio.say()
	eventually(t, "the first readings", func() bool { return p.metric(`tocsin_devices{presence="unknown"}`) == "6" })
	radio.kill() // heard once: it may be one that sleeps between its reports
	pause(1100 * time.Millisecond)
	for _, s := range steady {
		s.say()
	}
	mosquittoPub(t, addr, "plant/once/telemetry", []string{`{"temperature":-20}`}, "-i", "once")
	eventually(t, "four devices that are connected", func() bool { return p.metric(`tocsin_devices{presence="online"}`) == "4" })

	steady["leaves"].goodbye()
	steady["returns"].kill()
	eventually(t, "the drop", func() bool { return p.metric(`tocsin_devices{presence="lost"}`) == "1" })
	again := startPublisher(t, addr, "returns")
	eventually(t, "the return", func() bool {
		return p.metric(`tocsin_devices{presence="online"}`) == "3" && p.metric(`tocsin_devices{presence="lost"}`) == "0"
	})
	steady["killed"].kill()
	eventually(t, "the loss", func() bool { return len(l.unique(t)) > 0 })
	// Whoever else was taken for lost was so before.
	got := l.unique(t)
	if len(got) != 1 || got[0].Alarm != "gone/killed" || got[0].Type != "alarm.fired" {
		t.Errorf("told %+v, want the loss of the killed one", got)
	}
	l.mu.Lock()
	for _, body := range l.bodies {
		if !strings.Contains(body, "lost since") || !strings.Contains(body, ": connection dropped") {
			t.Errorf("the event does not say why: %s", body)
		}
	}
	l.mu.Unlock()
	again.say()
	startPublisher(t, addr, "killed") // connected, and nothing said yet
	eventually(t, "the end", func() bool {
		return slices.Equal(l.of(t, "gone/killed"), []string{"alarm.fired", "alarm.resolved"})
	})

	// That we stop says nothing about who is connected.
	if code := p.terminate(); code != 0 {
		t.Fatalf("exit %d: %s", code, p.log())
	}
	if n := len(l.unique(t)); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// Who goes while the bridge stands still is missed by silence, since who could not
// reach it goes as well.
func TestConnectionsThatEndWhileWeStandStillSayNothing(t *testing.T) {
	secret := webhook.NewSecret()
	l := startReceiver(t, secret, "")
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), secret, l.url)
	p := startTocsin(t, dir)
	p.waitReady()
	away, killed := startPublisher(t, addr, "away"), startPublisher(t, addr, "killed")
	away.say()
	killed.say()
	eventually(t, "the first readings", func() bool { return p.metric(`tocsin_devices{presence="unknown"}`) == "2" })
	pause(1100 * time.Millisecond)
	away.say()
	killed.say()
	eventually(t, "both connected", func() bool { return p.metric(`tocsin_devices{presence="online"}`) == "2" })
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pause(time.Second) // its threads stop one after the other
	away.kill()
	pause(6 * time.Second)
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one connection", func() bool { return p.metric("tocsin_broker_connections") == "1" })
	if n := p.metric(`tocsin_devices{presence="lost"}`); n != "0" {
		t.Errorf("%s lost, want none", n)
	}
	pause(5 * time.Second) // from then on an end says something again
	killed.kill()
	eventually(t, "the loss", func() bool { return p.metric(`tocsin_devices{presence="lost"}`) == "1" })
}
