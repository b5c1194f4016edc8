package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

const (
	benchConns = 1000
	benchRound = 3 * time.Second
	benchTurns = 3
)

// BenchmarkWholeJob sends QoS 1 readings from 1,000 connections, one message in
// flight each and one reading in a hundred a crossing, through the real binary:
// judged, stored with fsync before the acknowledgement, signed and delivered to
// a receiver. Beside it, in turns in the same run, the same load goes to
// testdata/bareloop, which only parses and acknowledges. Both share the machine
// with the generator and the receiver.
func BenchmarkWholeJob(b *testing.B) {
	var received atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		received.Add(1)
	}))
	defer receiver.Close()
	addr := freeAddr(b)
	p := startTocsin(b, plant(b, embedded(addr), webhook.NewSecret(), receiver.URL))
	p.waitReady()
	bareAddr, bare := startBareLoop(b)

	for b.Loop() {
		var ours, reference []float64
		var oursCPU, referenceCPU []float64
		for range benchTurns {
			rate, cpu := load(b, bareAddr, bare)
			reference, referenceCPU = append(reference, rate), append(referenceCPU, cpu)
			rate, cpu = load(b, addr, p.cmd.Process.Pid)
			ours, oursCPU = append(ours, rate), append(oursCPU, cpu)
		}
		b.ReportMetric(median(ours), "msgs/s")
		b.ReportMetric(median(oursCPU), "cpu-µs/msg")
		b.ReportMetric(median(reference), "bare-msgs/s")
		b.ReportMetric(median(referenceCPU), "bare-cpu-µs/msg")
		b.ReportMetric(median(ours)/median(reference), "of-bare")
	}
	eventually(b, "everything owed was received", func() bool {
		return p.metric(`tocsin_deliveries_pending{endpoint="ops"}`) == "0"
	})
	b.ReportMetric(float64(received.Load()), "events")
	b.ReportMetric(0, "ns/op") // the length of a round says nothing
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func startBareLoop(b *testing.B) (addr string, pid int) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bareloop")
	if out, err := exec.Command("go", "build", "-o", path, "./testdata/bareloop").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid
}

// load publishes for a round and returns messages a second and the CPU
// microseconds that process pid spent on each.
func load(b *testing.B, addr string, pid int) (rate, cpu float64) {
	b.Helper()
	conns := make([]net.Conn, benchConns)
	for i := range conns {
		conns[i] = connectRaw(b, addr, fmt.Sprintf("bench-%d", i))
		defer conns[i].Close()
	}
	var total atomic.Int64
	var wg sync.WaitGroup
	before, begun := cpuTime(b, pid), time.Now()
	until := begun.Add(benchRound)
	for i, conn := range conns {
		wg.Go(func() {
			n, err := publishRaw(conn, fmt.Sprintf("plant/bench-%d/telemetry", i), i, until)
			if err != nil {
				b.Errorf("connection %d: %v", i, err)
			}
			total.Add(int64(n))
		})
	}
	wg.Wait()
	n := float64(total.Load())
	return n / time.Since(begun).Seconds(), (cpuTime(b, pid) - before).Seconds() * 1e6 / n
}

// connectRaw opens an MQTT 3.1.1 connection.
func connectRaw(b testing.TB, addr, id string) net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	packet := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(id))}, id...)
	var ack [4]byte
	if _, err := conn.Write(packet); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(conn, ack[:]); err != nil || ack[3] != 0 {
		b.Fatalf("CONNACK % x, %v", ack, err)
	}
	return conn
}

// publishRaw publishes one reading after the other, each when the one before is
// acknowledged; every hundredth crosses the limit.
func publishRaw(conn net.Conn, topic string, phase int, until time.Time) (n int, err error) {
	var packet []byte
	var ack [4]byte
	above := false
	for ; time.Now().Before(until); n++ {
		if (n+phase)%100 == 0 {
			above = !above
		}
		value := -20.0
		if above {
			value = -12
		}
		payload := fmt.Sprintf(`{"temperature":%.2f,"door":"closed","battery":%d,"rssi":-71,"firmware":"1.14.2","seq":%d,"boot":"a81f","humidity":41.5,"compressor":true,"note":"%s"}`,
			value, 90-n%3, n, "0123456789012345678901234567890123456789")
		body := 2 + len(topic) + 2 + len(payload)
		packet = append(packet[:0], 0x32, byte(body&0x7f|0x80), byte(body>>7))
		packet = binary.BigEndian.AppendUint16(packet, uint16(len(topic)))
		packet = append(packet, topic...)
		packet = binary.BigEndian.AppendUint16(packet, uint16(n%65535+1))
		packet = append(packet, payload...)
		if _, err := conn.Write(packet); err != nil {
			return n, err
		}
		if err := conn.SetReadDeadline(until.Add(deadline)); err != nil {
			return n, err
		}
		if _, err := io.ReadFull(conn, ack[:]); err != nil {
			return n, err
		}
	}
	return n, nil
}

// cpuTime is what a process has used of the processors, user and system.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skipf("no /proc on this system: %v", err)
	}
	// The fields after the command, which is in parentheses: utime is the 12th.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	ticks := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// runVersion starts the binary for nothing.
func runVersion(b *testing.B, binary string) {
	b.Helper()
	if out, err := exec.Command(binary, "version").CombinedOutput(); err != nil {
		b.Fatalf("tocsin version: %v\n%s", err, out)
	}
}

// BenchmarkBesideADeadEndpoint measures from the publishing of a crossing to its
// webhook at a receiver that is well, alone and beside an endpoint that accepts
// connections and never answers, in turns in the same run.
func BenchmarkBesideADeadEndpoint(b *testing.B) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer dead.Close()
	arrived := make(chan string, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- r.Header.Get("webhook-id")
	}))
	defer receiver.Close()

	start := func(more string) (addr string) {
		addr = freeAddr(b)
		dir := plant(b, embedded(addr), webhook.NewSecret(), receiver.URL)
		path := filepath.Join(dir, "tocsin.toml")
		text, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, more...), 0o600); err != nil {
			b.Fatal(err)
		}
		startTocsin(b, dir).waitReady()
		return addr
	}
	alone := start("")
	beside := start("[endpoint.dead]\nurl = \"http://" + dead.Addr().String() + "\"\nsecret = { file = \"secrets/ops\" }\n" +
		"egress = { allow_http = true, allow_cidrs = [\"127.0.0.0/8\"] }\n")
	took := map[string][]float64{}
	for b.Loop() {
		for range benchTurns {
			for _, addr := range []string{alone, beside} {
				took[addr] = append(took[addr], latencies(b, addr, arrived)...)
			}
		}
	}
	for name, addr := range map[string]string{"alone": alone, "beside": beside} {
		b.ReportMetric(quantile(took[addr], 0.5), name+"-p50-ms")
		b.ReportMetric(quantile(took[addr], 0.99), name+"-p99-ms")
	}
	b.ReportMetric(quantile(took[beside], 0.5)/quantile(took[alone], 0.5), "p50-ratio")
	b.ReportMetric(quantile(took[beside], 0.99)/quantile(took[alone], 0.99), "p99-ratio")
	b.ReportMetric(0, "ns/op")
}

// latencies are the milliseconds of three hundred crossings, one at a time.
func latencies(b *testing.B, addr string, arrived <-chan string) (ms []float64) {
	b.Helper()
	conn := connectRaw(b, addr, "latency")
	defer conn.Close()
	const topic = "plant/latency/telemetry"
	var ack [4]byte
	for i := range 300 {
		payload := fmt.Sprintf(`{"temperature":%d}`, []int{-12, -20}[i%2])
		packet := []byte{0x32, byte(2 + len(topic) + 2 + len(payload)), 0, byte(len(topic))}
		packet = append(append(append(packet, topic...), 0, 1), payload...)
		begun := time.Now()
		if _, err := conn.Write(packet); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, ack[:]); err != nil {
			b.Fatal(err)
		}
		select {
		case <-arrived:
		case <-time.After(deadline):
			b.Fatal("a webhook does not arrive")
		}
		ms = append(ms, time.Since(begun).Seconds()*1e3)
	}
	return ms
}

func quantile(v []float64, q float64) float64 {
	slices.Sort(v)
	return v[min(len(v)-1, int(q*float64(len(v))))]
}
