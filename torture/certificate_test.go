//go:build linux

package torture

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// certificateScenes are about who vouches for a receiver.
func certificateScenes() []scene {
	return []scene{
		{row: "F14", name: "receiver with a certificate that is no good", before: vouched, strike: badCertificates},
		{row: "F14", name: "receiver with a new authority", before: vouched, strike: newAuthority},
		{row: "F14", name: "receiver that wants to know who we are", before: vouched, strike: wantsCertificate},
	}
}

// An authority vouches for others.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certificate makes one that is good on loopback for a day, but for what change does
// to it.
func (a *authority) certificate(t testing.TB, change func(*x509.Certificate)) (*authority, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "torture"},
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(c)
	}
	parent, by := c, key
	if a != nil {
		parent, by = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, made, key}, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: made}
}

func newAuthorityOf(t testing.TB, by *authority) *authority {
	t.Helper()
	a, _ := by.certificate(t, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.IPAddresses = true, true, x509.KeyUsageCertSign, nil
		c.ExtKeyUsage = nil
	})
	return a
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

func (a *authority) keyPEM() string {
	a.t.Helper()
	der, err := x509.MarshalECPrivateKey(a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// A front speaks TLS before a receiver, as it is told to at the moment.
type front struct {
	root   *authority
	config atomic.Pointer[tls.Config]
	server *httptest.Server
}

// show has it show a certificate in new connections, and ends those there are. No
// session is resumed: nobody would be shown anything in one.
func (f *front) show(c *tls.Config) {
	c.SessionTicketsDisabled = true
	f.config.Store(c)
	f.server.CloseClientConnections()
}

// vouched puts a front with a good certificate before the receiver.
func vouched(s *stage) {
	to, err := url.Parse(s.ops.url)
	if err != nil {
		s.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(to)
	through.ErrorLog = log.New(io.Discard, "", 0)
	f := &front{root: newAuthorityOf(s, nil), server: httptest.NewUnstartedServer(through)}
	f.config.Store(&tls.Config{Certificates: []tls.Certificate{f.good(s)}, SessionTicketsDisabled: true})
	f.server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.config.Load(), nil }}
	f.server.Config.ErrorLog = through.ErrorLog
	f.server.StartTLS()
	s.Cleanup(func() { f.server.CloseClientConnections(); f.server.Close() })
	s.ops.url, s.front = f.server.URL, f
	s.write("tls/ca.pem", f.root.pem())
	s.onOps = "breaker = { failures = 100000 }\ntls = { ca = \"tls/ca.pem\" }\n"
	s.write("tocsin.toml", s.configuration())
}

func (f *front) good(t testing.TB) tls.Certificate {
	t.Helper()
	_, c := f.root.certificate(t, nil)
	return c
}

// badCertificates has the front show each kind that nobody should trust.
func badCertificates(s *stage) {
	root := s.front.root
	leaf := func(by *authority, change func(*x509.Certificate)) *tls.Config {
		_, c := by.certificate(s, change)
		return &tls.Config{Certificates: []tls.Certificate{c}}
	}
	old := leaf(root, nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for _, t := range []struct {
		name   string
		config *tls.Config
		says   string
	}{
		{"expired", leaf(root, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }), "expired"},
		{"not yet valid", leaf(root, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), "not yet valid"},
		{"of another host", leaf(root, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"other.example"}
		}), "127.0.0.1"},
		{"signed by itself", leaf(nil, nil), "unknown authority"},
		{"of another authority", leaf(newAuthorityOf(s, nil), nil), "unknown authority"},
		{"without its chain", leaf(newAuthorityOf(s, root), nil), "unknown authority"},
		{"of an old protocol", old, "protocol version"},
	} {
		s.front.show(t.config)
		s.lastAttemptSays(t.says)
		if v := s.endpoint("ops"); v.LastAttempt.Accepted {
			s.Errorf("%s: a certificate %s is good enough", discreet, t.name)
		}
		s.goesOn()
	}
	s.hears(utterance{log: "endpoint failing", metric: "tocsin_deliveries_pending", labels: []string{`endpoint="ops"`}})
	s.front.show(&tls.Config{Certificates: []tls.Certificate{s.front.good(s)}})
}

// newAuthority has the receiver's authority change, and after it what the bridge is
// told of it.
func newAuthority(s *stage) {
	s.front.root = newAuthorityOf(s, nil)
	s.front.show(&tls.Config{Certificates: []tls.Certificate{s.front.good(s)}})
	s.lastAttemptSays("unknown authority")
	s.goesOn()
	s.write("tls/ca.pem", s.front.root.pem())
	s.b.signal(syscall.SIGHUP)
	taken := s.ops.accepted()
	s.eventually("the new authority is trusted", func() bool { return s.ops.accepted() > taken })
}

// wantsCertificate has the receiver ask who we are, and an answer configured later.
func wantsCertificate(s *stage) {
	pool := x509.NewCertPool()
	pool.AddCert(s.front.root.cert)
	s.front.show(&tls.Config{Certificates: []tls.Certificate{s.front.good(s)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	s.lastAttemptSays("certificate required", "bad certificate")
	s.goesOn()
	us, _ := s.front.root.certificate(s, nil)
	s.write("tls/us.pem", us.pem())
	s.write("tls/us.key", us.keyPEM())
	s.onOps = "breaker = { failures = 100000 }\ntls = { ca = \"tls/ca.pem\", cert = \"tls/us.pem\", key = \"tls/us.key\" }\n"
	s.write("tocsin.toml", s.configuration())
	s.b.signal(syscall.SIGHUP)
	taken := s.ops.accepted()
	s.eventually("who we are is shown", func() bool { return s.ops.accepted() > taken })
}
