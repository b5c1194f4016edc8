package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// These helpers run the program as a user does: the binary that go build makes,
// in a folder with a tocsin.toml, beside real brokers, clients and receivers.

// deadline bounds everything a test waits for in a real process.
const deadline = 30 * time.Second

// builtBinary builds tocsin once for all tests; wasBuilt says whether it did.
var (
	builtBinary = sync.OnceValues(build)
	wasBuilt    atomic.Bool
)

func build() (string, error) {
	wasBuilt.Store(true)
	dir, err := os.MkdirTemp("", "tocsin-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tocsin")
	// Flags that matter to what is compiled come with the environment, as they
	// did for the test itself: only the linking is new.
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

func tocsinBinary(t testing.TB) string {
	t.Helper()
	path, err := builtBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// eventually polls until ok reports true. It fails the test at the deadline.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("still not so after %v: %s", deadline, what)
		}
		pause(10 * time.Millisecond)
	}
}

// pause yields between two looks at another process, whose progress no channel
// tells.
func pause(d time.Duration) { <-time.After(d) }

// lastPort is the last that freeAddr has tried.
var lastPort atomic.Uint32

// freeAddr is a loopback address that nobody listens on now. Its port is below those
// that systems give to whoever asks for any, so that nobody is given it meanwhile.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := 12_000 + (uint32(os.Getpid())*101+lastPort.Add(1))%20_000
		ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return ln.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
}

// A process is a running tocsin.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	mu     sync.Mutex
	stderr bytes.Buffer
	listen map[string]string // addresses by what is spoken there, once ready
	ready  chan struct{}
	exited chan struct{}
}

// startTocsin starts the binary with "run" in dir, under a wrapper such as
// strace if one is given.
func startTocsin(t testing.TB, dir string, wrapper ...string) *process {
	t.Helper()
	args := append(wrapper, tocsinBinary(t), "run", "-c", filepath.Join(dir, "tocsin.toml"))
	p := &process{t: t, cmd: exec.Command(args[0], args[1:]...), listen: map[string]string{}, ready: make(chan struct{}), exited: make(chan struct{})}
	p.cmd.Stderr = lockedWriter{&p.mu, &p.stderr}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			switch {
			case len(fields) == 3 && fields[0] == "listening":
				p.listen[fields[1]] = fields[2]
			case len(fields) == 1 && fields[0] == "ready":
				close(p.ready)
			}
		}
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// waitReady waits for the line "ready".
func (p *process) waitReady() {
	p.t.Helper()
	select {
	case <-p.ready:
	case <-p.exited:
		p.t.Fatalf("tocsin ended before it was ready (%v):\n%s", p.cmd.ProcessState, p.log())
	case <-time.After(deadline):
		p.t.Fatalf("tocsin is not ready after %v:\n%s", deadline, p.autopsy())
	}
}

// autopsy ends a process that hangs and returns its log, which then says where
// its goroutines were.
func (p *process) autopsy() string {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-p.exited:
	case <-time.After(deadline):
	}
	return p.log()
}

// kill ends the process at once, as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// terminate asks it to stop and returns its exit code.
func (p *process) terminate() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(deadline):
		p.t.Fatalf("tocsin does not stop:\n%s", p.autopsy())
	}
	return p.cmd.ProcessState.ExitCode()
}

// get reads a page of the bridge's HTTP server.
func (p *process) get(path string) (int, string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen["http"]+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// metric reads one sample of /metrics by its full name with labels.
func (p *process) metric(name string) string {
	p.t.Helper()
	_, page := p.get("/metrics")
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// A ledger is what a receiver accepted.
type ledger struct {
	url      string
	receiver *receiver

	mu     sync.Mutex
	came   int               // requests
	told   []record          // what was accepted, each id once, in the order of first arrival
	bodies map[string]string // by id
	wrong  []string          // what may never be
	record bytes.Buffer      // as tocsin listen --out writes it
}

type record struct {
	Type, Alarm, Episode string
	Seq                  int
}

// startReceiver serves the receiver of tocsin listen, with faults as it takes them.
func startReceiver(t testing.TB, secret webhook.Secret, faults string) *ledger {
	t.Helper()
	bad, err := parseFaults(faults)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{url: "http://" + ln.Addr().String() + "/hook", bodies: map[string]string{}}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	l.receiver = newReceiver(receiverOptions{
		Secrets: []webhook.Secret{secret}, Faults: bad, Record: lockedWriter{&l.mu, &l.record}, Observe: l.observe,
	})
	go func() { done <- l.receiver.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

// behave ends the receiver's faults.
func (l *ledger) behave() {
	l.receiver.mu.Lock()
	defer l.receiver.mu.Unlock()
	l.receiver.o.Faults = nil
}

// requests counts everything that came, faulty or not.
func (l *ledger) requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.came
}

func (l *ledger) observe(got reception) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.came++
	if got.Status != http.StatusOK {
		return
	}
	var body struct {
		Type string
		Data struct {
			Alarm struct {
				Key, Episode string
				Seq          int
			}
		}
	}
	_ = json.Unmarshal(got.Body, &body) // what it does not say stays empty and is missed
	first, seen := l.bodies[got.ID]
	switch {
	case !got.Verified:
		l.wrong = append(l.wrong, fmt.Sprintf("%s %s does not verify", body.Type, got.ID))
	case !seen:
		l.bodies[got.ID] = string(got.Body)
		l.told = append(l.told, record{
			Type: body.Type, Alarm: body.Data.Alarm.Key, Episode: body.Data.Alarm.Episode, Seq: body.Data.Alarm.Seq,
		})
	case first != string(got.Body):
		l.wrong = append(l.wrong, fmt.Sprintf("%s came with two bodies:\n%s\n%s", got.ID, first, got.Body))
	}
}

// unique returns what was accepted, each id once, in the order of first arrival.
func (l *ledger) unique(t testing.TB) []record {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.wrong {
		t.Error(s)
	}
	l.wrong = nil
	return l.told[:len(l.told):len(l.told)]
}

// of returns the types told of one alarm, in the order of first arrival.
func (l *ledger) of(t testing.TB, alarm string) []string {
	var types []string
	for _, r := range l.unique(t) {
		if r.Alarm == alarm {
			types = append(types, r.Type)
		}
	}
	return types
}

// writeFiles writes a configuration folder.
func writeFiles(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// plant is a configuration with one rule and one endpoint, "ops" at url.
func plant(t testing.TB, broker string, secret webhook.Secret, url string) string {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"secrets/ops": secret.Reveal(),
		"rules/cold.toml": `schema = 1
[metric.temperature]
unit  = "°C"
range = [-60.0, 60.0]
[rule.warm]
metric = "temperature"
above  = "-15 °C"
clear  = "-17 °C"
`,
		"tocsin.toml": `schema = 1
rules = ["rules/*.toml"]
` + broker + `
[source.plant]
topic   = "plant/{device}/telemetry"
decoder = "json"
time    = { path = "$.ts", format = "auto" }
[store]
path = "data"
[http]
listen = "127.0.0.1:0"
[endpoint.ops]
url    = "` + url + `"
secret = { file = "secrets/ops" }
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8"] }
retry  = { schedule = ["0s", "50ms", "200ms", "1s"] }
`,
	})
	return dir
}

func embedded(addr string) string {
	return "[broker.embedded]\nlisten = \"" + addr + "\"\n"
}

func external(addr, clientID string) string {
	return "[broker]\nmode = \"external\"\n[broker.external]\nurl = \"mqtt://" + addr + "\"\nclient_id = \"" + clientID + "\"\n"
}

// startMosquitto starts a Mosquitto on a free port and returns its address.
func startMosquitto(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/mosquitto")
	}
	if err != nil {
		t.Skip("no mosquitto on this machine (Debian package mosquitto): the external broker is not tested")
	}
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	text := "listener " + port + " 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nuser root\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(path, "-c", conf)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("mosquitto said:\n%s", out.String())
		}
	})
	eventually(t, "mosquitto accepts connections", func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return addr
}
