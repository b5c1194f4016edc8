package webhook

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A testProxy connects everybody to its backend, wherever they want to go, and
// keeps what they asked for.
type testProxy struct {
	url     string
	backend string
	user    string // user:password it wants; "" is nobody
	conns   atomic.Int64

	mu    sync.Mutex
	asked []string
}

func (p *testProxy) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.asked...)
}

func (p *testProxy) note(target string) {
	p.mu.Lock()
	p.asked = append(p.asked, target)
	p.mu.Unlock()
}

// newTestProxy speaks one of the schemes; cert is for https.
func newTestProxy(t *testing.T, scheme, backend, user string, cert *tls.Certificate) *testProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &testProxy{url: scheme + "://" + l.Addr().String(), backend: backend, user: user}
	if cert != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*cert}})
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Add(1)
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				r := bufio.NewReader(c)
				ok := false
				if scheme == "socks5" {
					ok = p.socks(c, r)
				} else {
					ok = p.connect(c, r)
				}
				if ok {
					p.relay(c, r, done)
				}
			})
		}
	})
	t.Cleanup(func() { close(done); _ = l.Close(); wg.Wait() })
	return p
}

func (p *testProxy) connect(c net.Conn, r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	p.note(req.Method + " " + req.RequestURI)
	want := ""
	if p.user != "" {
		want = "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user))
	}
	if req.Header.Get("Proxy-Authorization") != want {
		_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=canary\r\nContent-Length: 0\r\n\r\n")
		return false
	}
	_, err = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	return err == nil
}

func (p *testProxy) socks(c net.Conn, r *bufio.Reader) bool {
	take := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(r, b)
		return b
	}
	methods := take(int(take(2)[1]))
	if p.user == "" {
		_, _ = c.Write([]byte{5, 0})
	} else {
		if !strings.Contains(string(methods), "\x02") {
			_, _ = c.Write([]byte{5, 0xff})
			return false
		}
		_, _ = c.Write([]byte{5, 2})
		user := string(take(int(take(2)[1])))
		if user+":"+string(take(int(take(1)[0]))) != p.user {
			_, _ = c.Write([]byte{1, 1})
			return false
		}
		_, _ = c.Write([]byte{1, 0})
	}
	host := ""
	switch take(4)[3] {
	case 1:
		host = netip.AddrFrom4([4]byte(take(4))).String()
	case 3:
		host = string(take(int(take(1)[0])))
	case 4:
		host = "[" + netip.AddrFrom16([16]byte(take(16))).String() + "]"
	}
	port := take(2)
	p.note(fmt.Sprintf("CONNECT %s:%d", host, int(port[0])<<8|int(port[1])))
	_, err := c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return err == nil
}

func (p *testProxy) relay(c net.Conn, r io.Reader, done <-chan struct{}) {
	b, err := net.Dial("tcp", p.backend)
	if err != nil {
		return
	}
	defer func() { _ = b.Close() }()
	ended := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(b, r); ended <- struct{}{} }()
	go func() { _, _ = io.Copy(c, b); ended <- struct{}{} }()
	select {
	case <-ended:
	case <-done:
	}
}

// named issues a certificate for names.
func (a *authority) named(t *testing.T, names ...string) tls.Certificate {
	return a.issue(t, func(c *x509.Certificate) { c.DNSNames = names })
}

func TestEndpointIsReachedThroughItsProxy(t *testing.T) {
	a := newAuthority(t)
	srv := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{a.named(t, "api.test")}}, false, noContent)
	proxyCert := a.issue(t, nil)
	for _, scheme := range []string{"http", "https", "socks5"} {
		for _, user := range []string{"", "ops:can:ary"} {
			var cert *tls.Certificate
			if scheme == "https" {
				cert = &proxyCert
			}
			p := newTestProxy(t, scheme, srv.Listener.Addr().String(), user, cert)
			s := newTestSender(t, "https://api.test./hook", func(o *Options) {
				o.AllowCIDRs, o.RootCAs = nil, a.pool // the proxy itself is on loopback, which is not allowed
				o.Proxy = &Proxy{URL: p.url}
				if user != "" {
					o.Proxy.User, o.Proxy.Password = "ops", NewCredential("can:ary")
				}
				o.Resolver = names{"api.test": always("10.0.0.1", "1.1.1.1", "::1")}.resolver()
			})
			for range 2 {
				if r := s.Send(t.Context(), message()); r.Verdict != Accepted || r.TLSVersion == 0 {
					t.Fatalf("%s %q: %+v", scheme, user, r)
				}
			}
			// It was given the one address that may be reached, and never the name.
			if got := p.heard(); len(got) != 1 || got[0] != "CONNECT 1.1.1.1:443" {
				t.Errorf("%s was asked for %q", scheme, got)
			}
			s.Close()
		}
	}
}

func TestProxyThatLooksNamesUpIsGivenThem(t *testing.T) {
	a := newAuthority(t)
	srv := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{a.named(t, "api.test")}}, false, noContent)
	for _, scheme := range []string{"http", "socks5"} {
		p := newTestProxy(t, scheme, srv.Listener.Addr().String(), "", nil)
		through := func(o *Options) {
			o.AllowCIDRs, o.RootCAs, o.Proxy, o.Resolver = nil, a.pool, &Proxy{URL: p.url, Names: true}, names{}.resolver()
		}
		if r := newTestSender(t, "https://api.test:8443/hook", through).Send(t.Context(), message()); r.Verdict != Accepted {
			t.Fatalf("%+v", r)
		}
		wantBlocked(t, "an address", newTestSender(t, "https://10.0.0.1/hook", through).Send(t.Context(), message()))
		if got := p.heard(); len(got) != 1 || got[0] != "CONNECT api.test:8443" {
			t.Errorf("%s was asked for %q", scheme, got)
		}
	}
}

func TestProxyThatDoesNotConnectIsNamed(t *testing.T) {
	send := func(proxy *Proxy) Result {
		t.Helper()
		r := newTestSender(t, "https://api.test./hook?token=canary", func(o *Options) {
			o.AllowCIDRs, o.Timeout, o.Proxy = nil, time.Second, proxy
			o.Resolver = names{"api.test": always("1.1.1.1")}.resolver()
		}).Send(t.Context(), message())
		if r.Verdict != Retry || r.Status != 0 || r.Err == nil || strings.Contains(r.Err.Error(), "canary") {
			t.Fatalf("%+v", r)
		}
		return r
	}
	for text, want := range map[string]string{
		"HTTP/1.1 407 X\r\n\r\n":                                      "answered 407 Proxy Authentication Required (set egress.proxy_user",
		"HTTP/1.1 403 canary\r\nContent-Length: 6\r\n\r\ncanary":      "answered 403 Forbidden",
		"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1/canary\r\n\r\n": "answered 302 Found",
		"HTTP/1.1 200 X\r\n\r\nHTTP/1.1 200 OK\r\n\r\n":               "sent more than its answer",
		"canary": "reading its answer",
		"HTTP/1.1 200 X\r\nA: " + strings.Repeat("x", 1<<20): "reading its answer",
		"": "reading its answer",
	} {
		receiver := raw(t, answer(text, false))
		r := send(&Proxy{URL: strings.TrimSuffix(receiver.url, "/hook"), User: "ops", Password: NewCredential("canary")})
		wantErr(t, r, "connecting: the proxy http://127.0.0.1:", want)
	}
	p := newTestProxy(t, "socks5", "127.0.0.1:1", "ops:secret", nil)
	wantErr(t, send(&Proxy{URL: p.url}), "the proxy socks5://127.0.0.1:", "no acceptable authentication")
	wantErr(t, send(&Proxy{URL: p.url, User: "ops", Password: NewCredential("canary")}), "authentication failed")
	wantErr(t, send(&Proxy{URL: "https://" + blackHole(t)}), "no answer within 1s, given up while connecting")
	hang := raw(t, func(_ net.Conn, done <-chan struct{}) bool { <-done; return false })
	wantErr(t, send(&Proxy{URL: strings.TrimSuffix(hang.url, "/hook")}), "no answer within 1s")
	wantErr(t, send(&Proxy{URL: "https://" + echo(t, "HTTP/1.1 400 Bad Request\r\n\r\n")}), "does not speak TLS")
}

func TestProxyURLThatCannotWorkIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "is empty",
		"proxy:3128":                  "begins with none of",
		"ftp://proxy:3128":            "begins with none of",
		"http://proxy":                "has no port",
		"http://ops:canary@proxy:312": "user or password",
		"http://proxy:3128/canary":    "more or less",
		"http://proxy:3128?canary":    "more or less",
		"http://:3128":                "more or less",
		"http://0x7f.1:3128":          "is a number",
		"http://proxy:99999":          "65535",
		"http://pro xy:3128":          "white space",
	} {
		_, err := New(Options{URL: "https://example.com", Secrets: []Secret{NewSecret()}, Proxy: &Proxy{URL: text}})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for _, p := range []Proxy{{Password: NewCredential("x")}, {User: "a:b"}, {User: "a\nb"}, {User: strings.Repeat("x", 256)}} {
		p.URL = "http://proxy:3128"
		if _, err := New(Options{URL: "https://example.com", Secrets: []Secret{NewSecret()}, Proxy: &p}); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}

func TestConnectionsComeFromTheSourceAddress(t *testing.T) {
	from := make(chan string, 1)
	receiver := raw(t, func(c net.Conn, _ <-chan struct{}) bool {
		from <- c.RemoteAddr().(*net.TCPAddr).IP.String()
		return answer(status(204), false)(c, nil)
	})
	s := newTestSender(t, receiver.url, func(o *Options) { o.Source = netip.MustParseAddr("127.0.0.9") })
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Fatalf("%+v", r)
	}
	if got := <-from; got != "127.0.0.9" {
		t.Errorf("it came from %s", got)
	}
	s = newTestSender(t, receiver.url, func(o *Options) { o.Source = netip.MustParseAddr("192.0.2.7") })
	if r := s.Send(t.Context(), message()); r.Verdict != Retry {
		t.Errorf("from an address that is not ours: %+v", r)
	}
}

func TestOnlyListedPortsAreConnectedTo(t *testing.T) {
	receiver := raw(t, answer(status(204), false))
	o := Options{URL: receiver.url, AllowHTTP: true, AllowCIDRs: loopback(), Secrets: []Secret{NewSecret()}, Ports: []int{80, 443}}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "egress.ports") {
		t.Errorf("%v, want egress.ports", err)
	}
	o.Ports = append(o.Ports, int(receiver.addr.Port()))
	if _, err := New(o); err != nil {
		t.Error(err)
	}
	for url, ok := range map[string]bool{"https://example.com": true, "http://example.com": true, "https://example.com:444": false} {
		o.URL, o.Ports = url, []int{80, 443}
		if _, err := New(o); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
	// What the URL's shape does not show, the guard sees.
	g, err := newGuard(&Options{Ports: []int{443}})
	if err != nil {
		t.Fatal(err)
	}
	if g.control(t.Context(), "tcp4", "1.1.1.1:443", nil) != nil || g.control(t.Context(), "tcp4", "1.1.1.1:22", nil) == nil {
		t.Error("the guard does not mind ports")
	}
}

func TestOwnListenersAreToldNothing(t *testing.T) {
	port, conns := sink(t, "127.0.0.1:0")
	ap := func(addr string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(addr), port) }
	for _, own := range []string{"127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"} {
		s := newTestSender(t, fmt.Sprintf("http://self.test.:%d/", port), func(o *Options) {
			o.Own, o.Resolver = []netip.AddrPort{ap(own)}, names{"self.test": always("127.0.0.1")}.resolver()
		})
		r := s.Send(t.Context(), message())
		wantBlocked(t, own, r)
		wantErr(t, r, "one of tocsin's own listeners")
	}
	if conns.Load() != 0 {
		t.Error("it was reached")
	}
	g, err := newGuard(&Options{Own: []netip.AddrPort{ap("0.0.0.0")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.judge(ap("1.1.1.1")); err != nil {
		t.Errorf("the same port elsewhere: %v", err)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if !ours(netip.MustParsePrefix(a.String()).Addr()) {
			t.Errorf("%s is not ours", a)
		}
	}
	var blocked *blockedError
	s := newTestSender(t, fmt.Sprintf("http://127.0.0.1:%d/", port), func(o *Options) { o.Own = []netip.AddrPort{ap("127.0.0.2")} })
	if r := s.Send(t.Context(), message()); errors.As(r.Err, &blocked) {
		t.Errorf("another listener's port at another address: %+v", r)
	}
}
