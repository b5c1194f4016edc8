package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "CANARY-SECRET-4711"

func registry(t *testing.T) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_test", Help: "A gauge."}))
	return r
}

// start runs a server until the test ends.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// unlimited is for tests that ask more often than anybody may.
var unlimited = Rates{Rate{1e9, 1e9}, Rate{1e9, 1e9}, Rate{1e9, 1e9}}

func TestEachRouteByTokenAndHost(t *testing.T) {
	const anyone, bearer, nobody = "anyone", "bearer", "nobody"
	listeners := []struct {
		name     string
		loopback bool
		token    string
	}{
		{"loopback without a token", true, ""},
		{"loopback with a token", true, secret},
		{"reachable", false, secret},
	}
	routes := []struct {
		path   string
		who    [3]string // may read it, for each listener
		status int       // for whom may
	}{
		{"/healthz", [3]string{anyone, anyone, anyone}, 200},
		{"/readyz", [3]string{anyone, anyone, anyone}, 200},
		{"/metrics", [3]string{anyone, bearer, bearer}, 200},
		{"/debug/pprof/", [3]string{anyone, bearer, nobody}, 200},
		{"/debug/pprof/cmdline", [3]string{anyone, bearer, nobody}, 200},
		{"/debug/pprof/heap", [3]string{anyone, bearer, nobody}, 200},
		{"/debug/pprof/nothing", [3]string{anyone, bearer, bearer}, 404},
		{"/", [3]string{anyone, bearer, bearer}, 404},
		{"/api/v1/alarms", [3]string{anyone, bearer, bearer}, 404},
		{"//metrics", [3]string{anyone, bearer, bearer}, 404},
		{"/healthz/../metrics", [3]string{anyone, bearer, bearer}, 404},
		{"/healthz/", [3]string{anyone, bearer, bearer}, 404},
		{"/HEALTHZ", [3]string{anyone, bearer, bearer}, 404},
	}
	hosts := []struct {
		host string
		ok   bool // on loopback
	}{
		{"127.0.0.1:8080", true},
		{"127.9.9.9", true},
		{"localhost", true},
		{"LOCALHOST:8080", true},
		{"localhost.:8080", true},
		{"tocsin.localhost", true},
		{"[::1]:8080", true},
		{"[::1]", true},
		{"[::ffff:127.0.0.1]:80", true},
		{"evil.example", false},
		{"localhost.evil.example:8080", false},
		{"127.0.0.1.evil.example", false},
		{"127.0.0.1@evil.example", false},
		{"192.168.1.5:8080", false},
		{"0.0.0.0:8080", false},
		{"2130706433", false},
		{"", false},
	}
	tokens := []struct {
		header string
		ok     bool
	}{
		{"", false},
		{"Bearer " + secret, true},
		{"bearer " + secret, true},
		{"Bearer " + secret + "x", false},
		{"Bearer " + secret[:len(secret)-1], false},
		{"Bearer", false},
		{"Bearer ", false},
		{secret, false},
		{"Basic " + secret, false},
	}
	for i, l := range listeners {
		h := newHandler(&Options{Listen: "127.0.0.1:8080", Token: NewToken(l.token), Gatherer: registry(t), Rates: unlimited}, l.loopback)
		for _, route := range routes {
			for _, host := range hosts {
				for _, token := range tokens {
					r := httptest.NewRequest(http.MethodGet, "http://x/", nil)
					r.URL.Path, r.Host = route.path, host.host
					if token.header != "" {
						r.Header.Set("Authorization", token.header)
					}
					status := route.status
					switch {
					case l.loopback && !host.ok:
						status = http.StatusMisdirectedRequest
					case route.who[i] != anyone && !token.ok:
						status = http.StatusUnauthorized
					case route.who[i] == nobody:
						status = http.StatusNotFound
					}
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					if w.Code != status {
						t.Errorf("%s: %s at %q with %q: %d, want %d", l.name, route.path, host.host, token.header, w.Code, status)
					}
					if w.Header().Get("Access-Control-Allow-Origin") != "" {
						t.Errorf("%s: a cross-origin header", route.path)
					}
					if w.Code >= 400 {
						checkProblem(t, w)
					}
				}
			}
		}
	}
}

func checkProblem(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var p struct {
		Title, Detail string
		Status        int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Title == "" || p.Detail == "" || p.Status != w.Code || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("not a problem document: %d %s %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
}

func TestOnlyReadingMethodsAreAnswered(t *testing.T) {
	h := newHandler(&Options{}, true)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} {
		r := httptest.NewRequest(method, "http://localhost/readyz", nil)
		r.Header.Set("X-HTTP-Method-Override", "GET")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, w.Code)
		}
		checkProblem(t, w)
	}
}

func TestReadinessSaysWhyNot(t *testing.T) {
	var reasons []string
	var later []string
	h := newHandler(&Options{Ready: func() []string { return reasons }, Later: func() []string { return later }}, true)
	f := func(accept string, status int, contentType, body string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "http://localhost/readyz", nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != status || w.Header().Get("Content-Type") != contentType || w.Body.String() != body {
			t.Errorf("%q: %d %s %s", accept, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
	const text = "text/plain; charset=utf-8"
	f("", 200, text, "ready\n")
	f("application/json", 200, "application/json", `{"ready":true,"reasons":[]}`+"\n")
	later = []string{"source.stores"}
	f("", 200, text, "ready\n")
	f("application/json", 200, "application/json", `{"ready":true,"reasons":[],"restart":["source.stores"]}`+"\n")
	later = nil
	reasons = []string{"store: full", "source: not\nconnected"}
	f("*/*", 503, text, "store: full\nsource: not; connected\n")
	f("text/html, application/json;q=0.9", 503, "application/json", `{"ready":false,"reasons":["store: full","source: not; connected"]}`+"\n")
	f("application/json, text/plain", 503, text, "store: full\nsource: not; connected\n")
	f("application/json;q=0", 503, text, "store: full\nsource: not; connected\n")
	f("application/json;;;", 503, text, "store: full\nsource: not; connected\n")
}

func TestServerAnswersOverTheNetwork(t *testing.T) {
	s := start(t, Options{Gatherer: registry(t)})
	for path, body := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n", "/metrics": "tocsin_test 0"} {
		resp, err := get(t, http.DefaultClient, "http://"+s.Addr().String()+path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(resp, body) {
			t.Errorf("%s: %s", path, resp)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestTLSIsNewEnough(t *testing.T) {
	donor := httptest.NewTLSServer(nil)
	donor.Close()
	s := start(t, Options{TLS: &tls.Config{Certificates: donor.TLS.Certificates, MinVersion: tls.VersionTLS10}}) // #nosec G402 -- the point of the test
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client := donor.Client()
		transport := client.Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.MinVersion, transport.TLSClientConfig.MaxVersion = version, version
		_, err := get(t, &http.Client{Transport: transport}, "https://"+s.Addr().String()+"/healthz")
		if (err == nil) != ok {
			t.Errorf("TLS %x: %v", version, err)
		}
		transport.CloseIdleConnections()
	}
}

func TestReachableListenerNeedsAToken(t *testing.T) {
	if _, err := New(Options{Listen: "0.0.0.0:0"}); err == nil || !strings.Contains(err.Error(), "set http.token") {
		t.Error(err)
	}
	var log bytes.Buffer
	ln := newPipes()
	ln.addr.IP = net.IPv4(192, 0, 2, 1)
	if _, err := newServer(&Options{Token: NewToken(secret), Log: slog.New(slog.NewTextHandler(&log, nil))}, ln); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "in the clear") {
		t.Error("a token in the clear is not mentioned")
	}
}

func TestAddressInUseIsAnError(t *testing.T) {
	s := start(t, Options{})
	if _, err := New(Options{Listen: s.Addr().String()}); err == nil || !strings.HasPrefix(err.Error(), "http.listen: ") {
		t.Error(err)
	}
}

func TestTokenCannotBePrinted(t *testing.T) {
	token := NewToken(secret)
	o := Options{Token: token}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		_, _ = fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", token, &token, o)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "token", token, "options", struct{ T Token }{token})
	if err := json.NewEncoder(&out).Encode(token); err != nil {
		t.Fatal(err)
	}
	digest := token.digest
	for _, leak := range []string{secret, fmt.Sprintf("%x", digest), fmt.Sprint(digest), fmt.Sprint(digest[0], digest[1], digest[2])} {
		if strings.Contains(strings.ToLower(out.String()), strings.Trim(strings.ToLower(leak), "[]")) {
			t.Errorf("printed: %s", leak)
		}
	}
}

// pipes is a listener without sockets, for use in a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
	addr   net.TCPAddr
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), closed: make(chan struct{}), addr: net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &p.addr }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// run starts a server in a bubble; stop ends it and returns what Run does.
func run(t *testing.T, o Options) (ln *pipes, cancel context.CancelFunc, done chan error) {
	t.Helper()
	ln = newPipes()
	s, err := newServer(&o, ln)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done = make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return ln, cancel, done
}

const request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"

func TestSlowHeadersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, cancel, done := run(t, Options{})
		conn := ln.dial()
		began := time.Now()
		slow := make(chan struct{})
		go func() { // a byte a second, for ever
			defer close(slow)
			for i := 0; ; i++ {
				if _, err := conn.Write([]byte{request[i%20]}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		_, err := io.ReadAll(conn)
		if took := time.Since(began); took > 2*headerTimeout {
			t.Errorf("cut after %v: %v", took, err)
		}
		_ = conn.Close()
		<-slow
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLargeHeadersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, cancel, done := run(t, Options{})
		conn := ln.dial()
		go func() {
			_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 1<<20))
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%v %v", resp, err)
		}
		_ = conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRequestUnderWayIsFinishedWhenStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, cancel, done := run(t, Options{Ready: func() []string { time.Sleep(3 * time.Second); return nil }})
		conn := ln.dial()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", resp, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = conn.Close()
	})
}

func TestStoppingCutsOffAndWaitsForTheLastHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		finished := false
		ln, cancel, done := run(t, Options{Ready: func() []string { time.Sleep(20 * time.Second); finished = true; return nil }})
		conn := ln.dial()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			t.Error("answered after the grace")
		}
		if cut := time.Since(began); cut != drainTimeout {
			t.Errorf("cut off after %v", cut)
		}
		if err := <-done; err != nil || !finished {
			t.Errorf("returned with %v before its handler", err)
		}
		_ = conn.Close()
	})
}

func TestConnectionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ln, cancel, done := run(t, Options{MaxConns: 4, Log: slog.New(slog.NewTextHandler(&log, nil))})
		var open []net.Conn
		for range 4 {
			open = append(open, ln.dial())
		}
		synctest.Wait()
		for range 3 {
			refused := ln.dial()
			if _, err := refused.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("a connection too many: %v", err)
			}
			_ = refused.Close()
		}
		for _, c := range open {
			_ = c.Close()
		}
		synctest.Wait()
		conn := ln.dial()
		go func() { _, _ = io.WriteString(conn, request) }()
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%v %v", resp, err)
		}
		_ = conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "too many are open"); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

func TestStoppedBeforeItServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, cancel, done := run(t, Options{})
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		select {
		case <-ln.closed:
		default:
			t.Error("the listener is open")
		}
	})
}

func TestBrokenListenerEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, cancel, done := run(t, Options{})
		defer cancel()
		_ = ln.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// Go binds the wildcard of IPv4 as that of IPv6 unless told otherwise.
func TestIPv4AddressIsBoundAsIPv4(t *testing.T) {
	s := start(t, Options{Listen: "0.0.0.0:0", Token: NewToken(secret)})
	if s.Addr().(*net.TCPAddr).IP.To4() == nil {
		t.Errorf("bound as %s", s.Addr())
	}
}

// What clients do wrong is not for the log of a healthy process; what we do wrong is.
func TestHTTPServerSpeaksThroughOurLog(t *testing.T) {
	donor := httptest.NewUnstartedServer(nil)
	donor.StartTLS()
	defer donor.Close()
	f := func(o Options, request, want string) {
		t.Helper()
		var ours, standard lockedBuffer
		log.SetOutput(&standard)
		defer log.SetOutput(os.Stderr)
		o.Log = slog.New(slog.NewTextHandler(&ours, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s := start(t, o)
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, request)
		_, _ = io.Copy(io.Discard, c) // it is logged before the connection is closed
		if got := ours.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("log %q, want one line with %q", got, want)
		}
		if got := standard.String(); got != "" {
			t.Errorf("the standard logger is used: %q", got)
		}
	}
	f(Options{TLS: &tls.Config{Certificates: donor.TLS.Certificates, MinVersion: tls.VersionTLS12}},
		"no handshake at all", `level=DEBUG msg="http server"`)
	f(Options{Ready: func() []string { panic("ready is broken") }},
		"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", `level=ERROR msg="http server"`)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
