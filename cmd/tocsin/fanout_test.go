package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// A moodyReceiver is dead in one way until it is revived, and then accepts.
type moodyReceiver struct {
	url  string
	mood string

	dead    atomic.Bool
	attempt atomic.Int64 // connections and requests while dead

	mu      sync.Mutex
	came    []time.Time // when each event was accepted, in the order of acceptance
	types   []string    // of those
	seen    map[string]bool
	revived chan struct{}
	begin   func()
}

// moods are ten ways to be dead.
var moods = []string{
	"refused", "black hole", "hang", "500", "503 with Retry-After", "429 with Retry-After", "404", "302", "reset", "garbage",
}

// startMoody starts a receiver; an empty mood is a receiver that is well.
func startMoody(t testing.TB, mood string) *moodyReceiver {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	m := &moodyReceiver{url: "http://" + addr + "/hook", mood: mood, seen: map[string]bool{}, revived: make(chan struct{})}
	m.dead.Store(mood != "")
	srv := &http.Server{Handler: m, ErrorLog: log.New(io.Discard, "", 0)}
	serve := func(ln net.Listener) { go func() { _ = srv.Serve(ln) }() }
	t.Cleanup(func() { _ = srv.Close() })
	switch mood {
	case "refused":
		ln.Close()
		m.begin = func() {
			ln, err := net.Listen("tcp", addr)
			if err != nil {
				t.Errorf("reviving on %s: %v", addr, err)
				return
			}
			serve(ln)
		}
	case "black hole", "reset", "garbage":
		serve(&rudeListener{Listener: ln, m: m})
	default:
		serve(ln)
	}
	return m
}

// revive ends what ails it.
func (m *moodyReceiver) revive() {
	m.dead.Store(false)
	close(m.revived)
	if m.begin != nil {
		m.begin()
	}
}

// A rudeListener treats connections badly below HTTP.
type rudeListener struct {
	net.Listener
	m *moodyReceiver
}

func (l *rudeListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || !l.m.dead.Load() {
			return conn, err
		}
		l.m.attempt.Add(1)
		switch l.m.mood {
		case "reset":
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		case "garbage":
			_, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
			conn.Close()
		default: // nothing is read or written until there is life
			go func() {
				<-l.m.revived
				conn.Close()
			}()
		}
	}
}

func (m *moodyReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	if m.dead.Load() {
		m.attempt.Add(1)
		code, after, _ := strings.Cut(m.mood, " ")
		switch {
		case m.mood == "hang":
			select {
			case <-r.Context().Done():
			case <-m.revived:
			}
			panic(http.ErrAbortHandler)
		case after != "":
			w.Header().Set("Retry-After", "1")
		case code == "302":
			w.Header().Set("Location", "/elsewhere")
		}
		var status int
		_, _ = fmt.Sscan(code, &status)
		w.WriteHeader(status)
		return
	}
	var event struct{ Type string }
	_ = json.Unmarshal(body, &event)
	m.mu.Lock()
	defer m.mu.Unlock()
	if id := r.Header.Get("webhook-id"); !m.seen[id] {
		m.seen[id] = true
		m.came, m.types = append(m.came, time.Now()), append(m.types, event.Type)
	}
}

func (m *moodyReceiver) accepted() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.came)
}

// cameSlowly checks that what was accepted after an outage came no faster than a
// slow start lets it: behind the probe 1 in the first second, 2 in the next, then
// 4 and so on, which makes 2ⁿ⁺¹ in all before second n is over. A receiver's
// seconds begin with the first it accepts, no later than the bridge's, so that
// what is late on the way does not count against it.
func (m *moodyReceiver) cameSlowly(t testing.TB) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var rate []int // per second
	for i, at := range m.came {
		second := int(at.Sub(m.came[0]) / time.Second)
		for len(rate) <= second {
			rate = append(rate, 0)
		}
		rate[second]++
		if second < 20 && i+1 > 2<<second {
			t.Errorf("%s: %d came within %d s, a slow start lets %d through (by the second: %v)", m.mood, i+1, second+1, 2<<second, rate)
			return
		}
	}
	t.Logf("%s: accepted by the second after the outage: %v", m.mood, rate)
}

// A fan is a bridge with an endpoint for each receiver and a device for each
// endpoint, whose alarms go there and nowhere else.
type fan struct {
	*process
	addr      string
	receivers []*moodyReceiver
	sent      [][]time.Time // when each crossing was published, by receiver
}

// startFan starts a bridge; more is added to the table of each endpoint.
func startFan(t testing.TB, receivers []*moodyReceiver, more string) *fan {
	t.Helper()
	f := &fan{addr: freeAddr(t), receivers: receivers, sent: make([][]time.Time, len(receivers))}
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString("schema = 1\nrules = [\"rules/*.toml\"]\n" + embedded(f.addr) + `
[source.plant]
topic   = "plant/{site}/{device}"
decoder = "json"
[store]
path    = "data"
history = { keep = "0s" }
[http]
listen = "127.0.0.1:0"
`)
	for i, m := range receivers {
		fmt.Fprintf(&text, `[endpoint.e%03d]
url    = "%s"
secret = { file = "secrets/ops" }
match  = { types = ["alarm.*"], labels = { site = "s%03d" } }
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8"] }
retry  = { schedule = ["0s", "100ms", "500ms", "1s"] }
limits = { timeout = "2s" }
%s
`, i, m.url, i, more)
	}
	writeFiles(t, dir, map[string]string{
		"tocsin.toml":     text.String(),
		"secrets/ops":     webhook.NewSecret().Reveal(),
		"rules/warm.toml": "schema = 1\n[metric.temperature]\nunit = \"°C\"\n[rule.warm]\nmetric = \"temperature\"\nabove = \"-15 °C\"\nclear = \"-17 °C\"\n",
	})
	f.process = startTocsin(t, dir)
	f.waitReady()
	return f
}

// publish crosses the limit once every interval on every device, each reading
// acknowledged before the next, until every device has crossed n more times.
func (f *fan) publish(t testing.TB, n int, every time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range f.receivers {
		conn := connectRaw(t, f.addr, fmt.Sprintf("fan-%d", i))
		defer conn.Close()
		wg.Go(func() {
			topic := fmt.Sprintf("plant/s%03d/d%03d", i, i)
			<-time.After(every * time.Duration(i) / time.Duration(len(f.receivers))) // spread over the interval
			tick := time.NewTicker(every)
			defer tick.Stop()
			for range n {
				if err := f.cross(conn, topic, i); err != nil {
					t.Errorf("%s: %v", topic, err)
					return
				}
				<-tick.C
			}
		})
	}
	wg.Wait()
}

func (f *fan) cross(conn net.Conn, topic string, i int) error {
	payload := fmt.Sprintf(`{"temperature":%d}`, []int{-12, -20}[len(f.sent[i])%2])
	packet := []byte{0x32, byte(2 + len(topic) + 2 + len(payload)), 0, byte(len(topic))}
	packet = append(append(append(packet, topic...), 0, 1), payload...)
	f.sent[i] = append(f.sent[i], time.Now())
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		return err
	}
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	var ack [4]byte
	_, err := io.ReadFull(conn, ack[:])
	return err
}

// settle waits until the receivers that are alive have been told of everything.
func (f *fan) settle(t testing.TB) {
	t.Helper()
	for i, m := range f.receivers {
		if !m.dead.Load() {
			eventually(t, fmt.Sprintf("endpoint %d (%s) was told of %d crossings", i, m.mood, len(f.sent[i])), func() bool {
				return m.accepted() >= len(f.sent[i])
			})
		}
	}
}

// wholeAndInOrder checks that a receiver was told of every crossing of its
// device, each once, fired and resolved in turn.
func (f *fan) wholeAndInOrder(t testing.TB, i int) {
	t.Helper()
	m := f.receivers[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.types) != len(f.sent[i]) {
		t.Errorf("endpoint %d (%s): told of %d crossings of %d", i, m.mood, len(m.types), len(f.sent[i]))
	}
	for k, typ := range m.types {
		if want := []string{"alarm.fired", "alarm.resolved"}[k%2]; typ != want {
			t.Errorf("endpoint %d (%s): event %d is %s, want %s", i, m.mood, k, typ, want)
			return
		}
	}
}

// latencies are the milliseconds from publishing to acceptance since crossing
// from of each device whose receiver was always well.
func (f *fan) latencies(from int) (ms []float64) {
	for i, m := range f.receivers {
		if m.mood != "" {
			continue
		}
		m.mu.Lock()
		for k := from; k < len(m.came); k++ {
			ms = append(ms, m.came[k].Sub(f.sent[i][k]).Seconds()*1e3)
		}
		m.mu.Unlock()
	}
	return ms
}

// impatient is a breaker that opens soon and for no longer than a test waits.
const impatient = `breaker = { failures = 3, open = "1s", max_open = "2s" }`

func TestTenKindsOfDeathHoldNobodyUpAndLoseNothing(t *testing.T) {
	var receivers []*moodyReceiver
	for _, mood := range moods {
		receivers = append(receivers, startMoody(t, mood), startMoody(t, ""))
	}
	f := startFan(t, receivers, impatient)
	f.publish(t, 20, 20*time.Millisecond)
	f.settle(t)
	for i, m := range receivers {
		if m.mood == "" {
			f.wholeAndInOrder(t, i)
			continue
		}
		if m.mood != "refused" && m.attempt.Load() == 0 {
			t.Errorf("endpoint %d (%s) was never tried", i, m.mood)
		}
		if m.accepted() > 0 {
			t.Errorf("endpoint %d (%s) accepted while it was dead", i, m.mood)
		}
	}
	for _, m := range receivers {
		if m.mood != "" {
			m.revive()
		}
	}
	f.settle(t)
	for i := range receivers {
		f.wholeAndInOrder(t, i)
	}
}

// BenchmarkNinetyBesideTenDead sends 1,000 events/s to 100 endpoints, ten each
// a second to every one, and measures from the publishing of a crossing to its
// webhook at the ninety that are well: beside ten that are well too, and beside
// ten that are dead in ten ways, in turns in the same run; the ratio is the median
// of the turns. Then the dead are revived, and everything they are owed must
// arrive, in order and in a slow start.
func BenchmarkNinetyBesideTenDead(b *testing.B) {
	const endpoints, crossings, every = 100, 50, 100 * time.Millisecond
	make100 := func(dead []string) *fan {
		var receivers []*moodyReceiver
		for i := range endpoints {
			mood := ""
			if i < len(dead) {
				mood = dead[i]
			}
			receivers = append(receivers, startMoody(b, mood))
		}
		return startFan(b, receivers, impatient)
	}
	alone, beside := make100(nil), make100(moods)
	took := map[*fan][]float64{}
	var ratios []float64 // of a turn's p99
	rounds := 0
	for b.Loop() {
		for range benchTurns {
			p99 := map[*fan]float64{}
			for _, f := range []*fan{alone, beside} {
				f.publish(b, crossings, every)
				f.settle(b)
				ms := f.latencies(rounds * crossings)
				if f == alone {
					ms = ms[len(ms)/endpoints*len(moods):] // the same ninety
				}
				took[f], p99[f] = append(took[f], ms...), quantile(ms, 0.99)
			}
			ratios = append(ratios, p99[beside]/p99[alone])
			rounds++
		}
	}
	for name, f := range map[string]*fan{"alone": alone, "beside": beside} {
		b.ReportMetric(residentMiB(b, f.cmd.Process.Pid), name+"-MiB")
	}
	begun := time.Now()
	for _, m := range beside.receivers {
		if m.mood != "" {
			m.revive()
		}
	}
	beside.settle(b)
	b.ReportMetric(time.Since(begun).Seconds(), "catch-up-s")
	for i, m := range beside.receivers {
		beside.wholeAndInOrder(b, i)
		if m.mood != "" {
			m.cameSlowly(b)
		}
	}
	for name, f := range map[string]*fan{"alone": alone, "beside": beside} {
		b.ReportMetric(quantile(took[f], 0.5), name+"-p50-ms")
		b.ReportMetric(quantile(took[f], 0.99), name+"-p99-ms")
	}
	b.ReportMetric(quantile(ratios, 0.5), "p99-ratio")
	b.ReportMetric(0, "ns/op")
}

// residentMiB is what a process keeps resident.
func residentMiB(t testing.TB, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "statm"))
	if err != nil {
		t.Skipf("no /proc on this system: %v", err)
	}
	var size, resident float64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * float64(os.Getpagesize()) / (1 << 20)
}
