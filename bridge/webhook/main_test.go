package webhook

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const vectorSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func mustSecret(t testing.TB, s string) Secret {
	t.Helper()
	secret, err := ParseSecret(s)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// loopback is what a test must name to reach its own receivers.
func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} }

func newTestSender(t testing.TB, url string, change func(*Options)) *Sender {
	t.Helper()
	o := Options{
		URL:        url,
		Secrets:    []Secret{mustSecret(t, vectorSecret)},
		AllowCIDRs: loopback(),
		AllowHTTP:  true,
		Timeout:    20 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func message() Message { return Message{ID: "evt_1", Body: []byte(`{"type":"alarm.fired"}`)} }

// A rawServer answers by hand what net/http's server never would.
type rawServer struct {
	url   string
	addr  netip.AddrPort
	conns atomic.Int64
	heard atomic.Int64 // requests read
}

// raw starts a receiver that calls handle for each request it has read. The
// connection closes when handle returns false. done ends when the test does.
func raw(t testing.TB, handle func(c net.Conn, done <-chan struct{}) (keep bool)) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{url: "http://" + l.Addr().String() + "/hook", addr: netip.MustParseAddrPort(l.Addr().String())}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				stop := context.AfterFunc(closing(done), func() { _ = c.Close() })
				defer stop()
				for r := bufio.NewReader(c); ; {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					s.heard.Add(1)
					if !handle(c, done) {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { close(done); _ = l.Close(); wg.Wait() })
	return s
}

func closing(done <-chan struct{}) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-done; cancel() }()
	return ctx
}

// answer returns a handler that writes text and closes or keeps the connection.
func answer(text string, keep bool) func(net.Conn, <-chan struct{}) bool {
	return func(c net.Conn, _ <-chan struct{}) bool {
		_, err := io.WriteString(c, text)
		return err == nil && keep
	}
}

func status(code int, header ...string) string {
	return "HTTP/1.1 " + strconv.Itoa(code) + " X\r\nContent-Length: 0\r\n" + strings.Join(header, "\r\n") + strings.Repeat("\r\n", min(len(header), 1)) + "\r\n"
}

// captured starts a receiver that keeps the last request.
type captured struct {
	header http.Header
	body   []byte
	host   string
	method string
	target string // path and query
}

func capture(t testing.TB) (url string, requests <-chan captured) {
	t.Helper()
	ch := make(chan captured, 64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		ch <- captured{r.Header, body, r.Host, r.Method, r.RequestURI}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/hook?token=canary", ch
}

func wantErr(t *testing.T, r Result, parts ...string) {
	t.Helper()
	if r.Err == nil {
		t.Fatalf("no error, want one with %q; %+v", parts, r)
	}
	for _, p := range parts {
		if !strings.Contains(r.Err.Error(), p) {
			t.Errorf("error %q does not say %q", r.Err, p)
		}
	}
}
