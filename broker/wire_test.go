package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(fewFilesEnv) != "" {
		os.Exit(serveWithFewFiles())
	}
	goleak.VerifyTestMain(quiet{m})
}

// quiet fails the tests when anything, the libraries included, writes to the
// standard logger: it knows neither our format nor our levels.
type quiet struct{ *testing.M }

func (q quiet) Run() int {
	var said logBuffer
	log.SetOutput(&said)
	code := q.M.Run()
	if s := said.String(); s != "" {
		fmt.Fprintf(os.Stderr, "written to the standard logger:\n%s", s)
		return 1
	}
	return code
}

// patience is how long a test waits for what must happen.
const patience = 15 * time.Second

// The packets of MQTT, written by hand so that wrong ones can be written too.

const (
	tConnect = 1 + iota
	tConnack
	tPublish
	tPuback
	tPubrec
	tPubrel
	tPubcomp
	tSubscribe
	tSuback
	tUnsubscribe
	tUnsuback
	tPingreq
	tPingresp
	tDisconnect
)

func str(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func frame(header byte, body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	out := []byte{header}
	for n := len(b); ; {
		d := byte(n & 127)
		if n >>= 7; n > 0 {
			out = append(out, d|128)
			continue
		}
		return append(append(out, d), b...)
	}
}

type hello struct {
	version    byte // 4 or 5; 0 is 4
	id         string
	clean      bool
	user, pass string
	will       string // topic; the payload is "gone"
	keepalive  uint16
	expiry     uint32 // session expiry, MQTT 5
	willDelay  uint32 // MQTT 5
}

func connectPacket(h hello) []byte {
	v5 := h.version == 5
	var flags byte
	var body [][]byte
	props := []byte{}
	if h.expiry > 0 {
		props = binary.BigEndian.AppendUint32([]byte{17}, h.expiry)
	}
	body = append(body, str(h.id))
	if h.clean {
		flags |= 2
	}
	if h.will != "" {
		flags |= 4 | 1<<3
		if v5 {
			p := binary.BigEndian.AppendUint32([]byte{24}, h.willDelay)
			body = append(body, []byte{byte(len(p))}, p)
		}
		body = append(body, str(h.will), str("gone"))
	}
	if h.user != "" {
		flags |= 128
		body = append(body, str(h.user))
	}
	if h.pass != "" {
		flags |= 64
		body = append(body, str(h.pass))
	}
	version := byte(4)
	if v5 {
		version = 5
		body = append([][]byte{{byte(len(props))}, props}, body...)
	}
	head := append(str("MQTT"), version, flags)
	head = binary.BigEndian.AppendUint16(head, h.keepalive)
	return frame(tConnect<<4, append([][]byte{head}, body...)...)
}

type pub struct {
	version byte
	topic   string
	payload string
	qos     byte
	id      uint16
	dup     bool
	retain  bool
}

func publishPacket(p pub) []byte {
	h := byte(tPublish<<4) | p.qos<<1
	if p.dup {
		h |= 8
	}
	if p.retain {
		h |= 1
	}
	body := [][]byte{str(p.topic)}
	if p.qos > 0 {
		body = append(body, binary.BigEndian.AppendUint16(nil, p.id))
	}
	if p.version == 5 {
		body = append(body, []byte{0})
	}
	return frame(h, append(body, []byte(p.payload))...)
}

func subscribePacket(version byte, id uint16, filter string, qos byte) []byte {
	head := binary.BigEndian.AppendUint16(nil, id)
	if version == 5 {
		head = append(head, 0)
	}
	return frame(tSubscribe<<4|2, head, str(filter), []byte{qos})
}

func ack(kind byte, id uint16) []byte {
	h := kind << 4
	if kind == tPubrel {
		h |= 2
	}
	return frame(h, binary.BigEndian.AppendUint16(nil, id))
}

// wire is a client that says exactly what it is told to.
type wire struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
	v byte
}

func dialWire(t testing.TB, e *Embedded) *wire {
	t.Helper()
	c, err := net.Dial("tcp", e.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	return newWire(t, c)
}

func newWire(t testing.TB, c net.Conn) *wire {
	t.Cleanup(func() { _ = c.Close() })
	return &wire{Conn: c, t: t, r: bufio.NewReader(c), v: 4}
}

func (w *wire) send(packets ...[]byte) {
	w.t.Helper()
	if _, err := w.Write(bytes.Join(packets, nil)); err != nil {
		w.t.Fatalf("sending: %v", err)
	}
}

// receive returns the kind and the body of the next packet.
func (w *wire) receive() (byte, []byte, error) {
	_ = w.SetReadDeadline(time.Now().Add(patience))
	h, err := w.r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(w.r)
	if err != nil {
		return 0, nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(w.r, body)
	return h >> 4, body, err
}

// expect reads a packet of a kind and returns its body.
func (w *wire) expect(kind byte) []byte {
	w.t.Helper()
	got, body, err := w.receive()
	if err != nil || got != kind {
		w.t.Fatalf("received kind %d (% x), %v; want kind %d", got, body, err, kind)
	}
	return body
}

func (w *wire) expectAck(kind byte, id uint16) []byte {
	w.t.Helper()
	body := w.expect(kind)
	if got := binary.BigEndian.Uint16(body); got != id {
		w.t.Fatalf("acknowledgement of packet %d, want %d", got, id)
	}
	return body
}

// expectClosed reads until the end and fails if another packet of a kind comes.
func (w *wire) expectClosed(not ...byte) {
	w.t.Helper()
	for {
		kind, body, err := w.receive()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			w.t.Fatal("the connection stays open")
		}
		if err != nil {
			return
		}
		if bytes.IndexByte(not, kind) >= 0 {
			w.t.Fatalf("received kind %d (% x) before the end", kind, body)
		}
	}
}

// hello connects and returns the return code and whether a session was present.
func (w *wire) hello(h hello) (code byte, present bool) {
	w.t.Helper()
	if h.version != 0 {
		w.v = h.version
	}
	w.send(connectPacket(h))
	body := w.expect(tConnack)
	return body[1], body[0]&1 != 0
}

// connected is a client that was let in.
func connected(t testing.TB, e *Embedded, h hello) *wire {
	t.Helper()
	w := dialWire(t, e)
	if code, _ := w.hello(h); code != 0 {
		t.Fatalf("CONNECT of %q: code %d", h.id, code)
	}
	return w
}

func (w *wire) publish(p pub) {
	w.t.Helper()
	p.version = w.v
	w.send(publishPacket(p))
}

// allGone waits until the server has no connection any more.
func (e *Embedded) allGone(t testing.TB) {
	t.Helper()
	e.allGoneBut(t, 0)
}

func (e *Embedded) allGoneBut(t testing.TB, n int) {
	t.Helper()
	eventually(t, "connections remain", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.conns) <= n
	})
}

// eventually polls, since what it waits for has no other sign.
func eventually(t testing.TB, problem string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(problem)
		}
	}
}

// safe is a handler for tests that are about something else.
func safe(Message) Receipt { return nil }

// collector keeps messages as they come.
type collector struct{ ch chan Message }

func newCollector() *collector { return &collector{make(chan Message, 10_000)} }

func (c *collector) handle(m Message) Receipt {
	m.Payload = bytes.Clone(m.Payload)
	c.ch <- m
	return nil
}

func (c *collector) next(t testing.TB) Message {
	t.Helper()
	select {
	case m := <-c.ch:
		return m
	case <-time.After(patience):
		t.Fatal("no message arrives")
		return Message{}
	}
}

func (c *collector) none(t testing.TB) {
	t.Helper()
	select {
	case m := <-c.ch:
		t.Fatalf("message %q on %q arrives", m.Payload, m.Topic)
	default:
	}
}

// serve runs a broker on loopback for the length of a test.
func serve(t testing.TB, o EmbeddedOptions, handle Handler) *Embedded {
	t.Helper()
	e, stop := serveUntil(t, o, handle)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return e
}

func serveUntil(t testing.TB, o EmbeddedOptions, handle Handler) (*Embedded, func() error) {
	t.Helper()
	if o.Listen == "" && o.TLSListen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Users == nil && o.Anonymous == "" {
		o.Anonymous = AnonymousLoopback
	}
	if o.Rate == 0 {
		o.Rate = -1
	}
	e, err := NewEmbedded(o)
	if err != nil {
		t.Fatal(err)
	}
	return e, runUntil(t, e.Run, handle)
}

func runUntil(t testing.TB, run func(context.Context, Handler) error, handle Handler) func() error {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, handle) }()
	return sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(4 * drainTime):
			t.Error("Run does not return")
			return nil
		}
	})
}

// logBuffer is a log that tests can read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func counted(c prometheus.Collector) float64 { return testutil.ToFloat64(c) }
