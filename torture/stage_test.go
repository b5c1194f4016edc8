//go:build linux

package torture

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	sim "tocsin/firmware-sim"
)

// What is secret, and must be seen nowhere.
const (
	token    = "CANARY-http-token-5e1f"
	password = "CANARY-mqtt-password-77aa"
	inURL    = "CANARY-in-a-url-91c3"
	inHeader = "CANARY-in-a-header-02d8"
)

// A stage is one bridge with everything around it, in a folder of its own.
type stage struct {
	*testing.T
	scene *scene
	seed  uint64
	draw  *rand.Rand
	dir   string
	mqtt  string // where devices connect

	upstream string // where the bridge finds Mosquitto; "": where devices do
	http     string // where its own server listens; "": on loopback

	broker *mosquitto // nil: the bridge's own
	ops    *receiver  // is told of everything, and misbehaves where a case wants it
	canary *receiver  // is told of everything, and is well
	b      *bridge
	fleet  *fleet

	onOps  string      // is added to what the endpoint ops is
	front  *front      // nil: no receiver speaks TLS
	names  *nameserver // nil: nobody is asked for names
	island *island     // nil: everything is in one network
	way    *proxy      // nil: nothing is between those that talk
	other  *exec.Cmd   // nil: no program but the bridge and a broker plays a part

	logs   []string // of bridges that have ended
	before footprint
	silent time.Duration // how long a device may be
	rest   []string      // more secrets
}

// profile is what the fleet plays: devices whose every reading crosses the limit, so
// that no later reading makes up for one that was lost; some that linger; and a canary.
const profile = `summary = "crosses limits all the time"
topic = "plant/{device}/telemetry"
[model.crossing]
every = "100ms"
[model.crossing.signal.temperature]
formula = "-16 + 6 * cos(t * 10 * pi)"
[model.lingering]
every = "70ms"
[model.lingering.signal.temperature]
base  = -16.0
sine  = { amplitude = 4.0, period = "3s" }
noise = 0.8
[fleet.crossing]
model  = "crossing"
count  = 6
id     = "freezer-%02d"
[fleet.lingering]
model  = "lingering"
count  = 6
id     = "cabinet-%02d"
spread = "70ms"
[fleet.canary]
model  = "crossing"
count  = 1
id     = "canary-%d"
[expect.warm]
metric = "temperature"
above  = -15.0
clear  = -17.0
[expect.hot]
metric = "temperature"
above  = -12.0
clear  = -13.0
`

// rules are what the profile expects, and one that nothing calls for: no fault makes
// a device silent for so long.
const rules = `schema = 1
[metric.temperature]
unit  = "°C"
range = [-60.0, 60.0]
[rule.warm]
metric = "temperature"
above  = "-15 °C"
clear  = "-17 °C"
[rule.hot]
metric = "temperature"
above  = "-12 °C"
clear  = "-13 °C"
[rule.quiet]
silent   = "20s"
`

// impatient is a breaker that gives an endpoint that fails another chance soon.
const impatient = "breaker = { open = \"1s\", max_open = \"2s\" }\n"

// configuration is what the bridge is given; a case may add to it.
func (s *stage) configuration() string {
	broker := fmt.Sprintf("[broker.embedded]\nlisten = %q\n[broker.embedded.user.sensors]\npassword = { file = \"secrets/mqtt\" }\npublish = [\"plant/#\"]\n", s.mqtt)
	if s.broker != nil {
		broker = fmt.Sprintf("[broker]\nmode = \"external\"\n[broker.external]\nurl = \"mqtt://%s\"\nclient_id = \"tocsin-torture\"\nusername = \"bridge\"\npassword = { file = \"secrets/plain\" }\n", cmp.Or(s.upstream, s.mqtt))
	}
	endpoint := func(name string, r *receiver) string {
		return fmt.Sprintf(`[endpoint.%s]
url    = "%s/%s?key=%s"
secret = { file = "secrets/signing" }
auth   = { bearer = { file = "secrets/bearer" } }
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8", "10.77.0.0/16"] }
retry  = { schedule = ["0s", "50ms", "200ms", "1s"], retry_after_max = "3s" }
limits = { timeout = "1s" }
`, name, r.url, name, inURL)
	}
	return "schema = 1\nrules = [\"rules/*.toml\"]\n" + broker + `[source.plant]
topic   = "plant/{device}/telemetry"
decoder = "json"
time    = { path = "$.ts", format = "auto" }
[store]
path = "data"
[http]
listen = "` + cmp.Or(s.http, "127.0.0.1:0") + `"
token  = { file = "secrets/token" }
` + endpoint("ops", s.ops) + s.onOps + endpoint("canary", s.canary) + impatient + s.scene.config
}

// set builds a stage. Nothing runs yet but what the bridge talks to.
func set(t *testing.T, sc *scene, seed uint64) *stage {
	t.Helper()
	s := &stage{T: t, scene: sc, seed: seed, draw: rand.New(rand.NewPCG(seed, 1)), dir: folder(t), mqtt: freeAddress(t), onOps: impatient, silent: 20 * time.Second}
	bearer := inHeader + crand.Text()
	s.ops, s.canary = startReceiver(t, s.path("ops.jsonl"), bearer), startReceiver(t, s.path("canary.jsonl"), bearer)
	if sc.mosquitto {
		s.broker = startMosquitto(t, s.dir, s.mqtt)
	}
	hash := s.hash(password)
	s.rest = append(s.rest, strings.TrimSpace(hash), strings.TrimPrefix(secret, "whsec_"))
	s.write("secrets/signing", secret)
	s.write("secrets/token", token)
	s.write("secrets/bearer", bearer)
	s.write("secrets/mqtt", hash)
	s.write("secrets/plain", password)
	s.write("rules/rules.toml", rules)
	s.write("tocsin.toml", s.configuration())
	return s
}

// folder is one that stays when a case has failed and TOCSIN_KEEP is set.
func folder(t *testing.T) string {
	if os.Getenv("TOCSIN_KEEP") == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("", "tocsin-torture-kept-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
			return
		}
		t.Logf("everything of it is in %s", dir)
	})
	return dir
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) write(name, text string) {
	s.Helper()
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) read(name string) string {
	s.Helper()
	text, err := os.ReadFile(s.path(name))
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

func (s *stage) hash(password string) string {
	s.Helper()
	cmd := exec.Command(bridgeBinary(s), "hash-password")
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.Output()
	if err != nil {
		s.Fatal(err)
	}
	return string(out)
}

// start starts the bridge, or starts it again.
func (s *stage) start(wrapper ...string) {
	s.Helper()
	if s.b != nil {
		s.logs = append(s.logs, s.b.said())
	}
	s.b = startBridge(s, s.path("tocsin.toml"), s.scene.env, wrapper...)
}

// startReady starts the bridge and waits until it is ready.
func (s *stage) startReady(wrapper ...string) {
	s.Helper()
	s.start(wrapper...)
	select {
	case <-s.b.ready:
	case <-s.b.exited:
		s.Fatalf("tocsin ended before it was ready (%v):\n%s", s.b.cmd.ProcessState, s.b.said())
	case <-time.After(deadline):
		s.b.signal(syscall.SIGQUIT)
		s.b.kill()
		s.Fatalf("tocsin is not ready after %v:\n%s", deadline, s.b.said())
	}
}

// isReady reports whether /readyz says so.
func (s *stage) isReady() bool {
	status, _ := s.b.get("/readyz")
	return status == 200
}

// eventually polls until ok, and fails the case at the deadline.
func (s *stage) eventually(what string, ok func() bool) {
	s.Helper()
	if !within(deadline, ok) {
		s.Fatalf("still not so after %v: %s\n%s", deadline, what, s.tail())
	}
}

// within polls until ok, or for as long as that.
func within(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(d); ; pause(20 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// pause yields between two looks at other processes, whose progress no channel tells,
// and is how long a fault lasts.
func pause(d time.Duration) { <-time.After(d) }

// goOn has the stage play for about so long, a little more or less by the seed.
func (s *stage) goOn(d time.Duration) { pause(d/2 + time.Duration(s.draw.Int64N(int64(d)))) }

// tail is the end of what the bridge said.
func (s *stage) tail() string {
	said := s.b.said()
	return said[max(0, len(said)-3000):]
}

// freeAddress is an address that nobody listens on, nor will: whoever is killed finds
// it free again, as no connection of others leaves from there.
func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", ownHost()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// ownHost is an address of loopback that is most likely nobody else's.
func ownHost() string {
	return fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250)) // #nosec G404 -- hides nothing
}

// A fleet is a run of the simulator with a ledger.
type fleet struct {
	ledger string
	file   *os.File
	cancel context.CancelFunc
	done   chan error
}

// play starts the fleet.
func (s *stage) play() {
	s.Helper()
	p, err := sim.Parse([]byte(profile), "torture.toml")
	if err != nil {
		s.Fatal(err)
	}
	f := &fleet{ledger: s.path("fleet.jsonl"), done: make(chan error, 1)}
	if f.file, err = os.Create(f.ledger); err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	f.cancel = cancel
	o := sim.Options{Broker: "mqtt://" + s.mqtt, QoS: 1, Seed: s.seed, Ledger: f.file, Username: "sensors", Password: password}
	go func() {
		_, err := sim.Run(ctx, p, o)
		f.done <- err
	}()
	s.fleet = f
	s.Cleanup(func() { f.cancel(); f.file.Close() })
}

// end stops the fleet. What it has sent is acknowledged then, or may have been heard.
func (f *fleet) end(t testing.TB) {
	t.Helper()
	f.cancel()
	select {
	case err := <-f.done:
		if err != nil && err != context.Canceled {
			t.Fatalf("firmware-sim: %v", err)
		}
	case <-time.After(deadline):
		t.Fatal("firmware-sim does not end")
	}
}

// acked counts what was acknowledged until now.
func (f *fleet) acked(t testing.TB) (n int) {
	t.Helper()
	for _, of := range f.ackedOf(t) {
		n += of
	}
	return n
}

// ackedOf counts it for each device.
func (f *fleet) ackedOf(t testing.TB) map[string]int {
	t.Helper()
	of := map[string]int{}
	entries(t, f.ledger, func(e *sim.Entry) {
		if e.Line == "acked" {
			of[e.Device]++
		}
	})
	return of
}

// entries reads a ledger that may still be written.
func entries(t testing.TB, path string, see func(*sim.Entry)) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e sim.Entry
		if !strings.HasSuffix(line, "\n") {
			return
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		see(&e)
	}
}

// A mosquitto is a broker of somebody else's.
type mosquitto struct {
	t      testing.TB
	args   []string
	cmd    *exec.Cmd
	exited chan struct{}
}

const mosquittoPath = "/usr/sbin/mosquitto"

// startMosquitto starts one that keeps on disk what it has acknowledged, as far as it
// can: at a kill -9 it still loses what came since the last save.
func startMosquitto(t testing.TB, dir, addr string) *mosquitto {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s %s\nallow_anonymous true\npersistence true\npersistence_location %s/\nautosave_interval 1\nautosave_on_changes true\nmax_queued_messages 0\nmax_inflight_messages 0\nuser root\n", port, host, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &mosquitto{t: t, args: []string{mosquittoPath, "-c", conf}}
	m.start()
	t.Cleanup(m.kill)
	return m
}

func (m *mosquitto) start() {
	m.t.Helper()
	m.cmd, m.exited = exec.Command(m.args[0], m.args[1:]...), make(chan struct{})
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, exited chan struct{}) { _ = cmd.Wait(); close(exited) }(m.cmd, m.exited)
}

func (m *mosquitto) end(how syscall.Signal) {
	_ = m.cmd.Process.Signal(how)
	<-m.exited
}

func (m *mosquitto) kill() { m.end(syscall.SIGKILL) }

// drain waits until the bridge has decided all that a broker of somebody else's has
// acknowledged and still holds. What never comes is for the judge to tell.
func (s *stage) drain() {
	within(deadline, func() bool {
		v := &verdict{}
		v.stored(s.fleet.ledger, s.path("data/tocsin.db"))
		return len(v.complaints) == 0
	})
}
