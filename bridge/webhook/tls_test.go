package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate for 127.0.0.1; change may spoil it.
func (a *authority) issue(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "receiver"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func selfSigned(t testing.TB) tls.Certificate {
	a := newAuthority(t)
	a.cert.Subject = pkix.Name{CommonName: "receiver"}
	return a.issue(t, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })
}

func tlsServer(t testing.TB, cfg *tls.Config, h2 bool, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.TLS, srv.EnableHTTP2 = cfg, h2
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func TestOnlyVerifiedTLSIsSpoken(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	good := ours.issue(t, nil)
	f := func(what string, cfg *tls.Config, want string) {
		t.Helper()
		var requests atomic.Int64
		srv := tlsServer(t, cfg, false, func(w http.ResponseWriter, r *http.Request) { requests.Add(1); noContent(w, r) })
		r := newTestSender(t, srv.URL, func(o *Options) { o.AllowHTTP, o.RootCAs = false, ours.pool }).Send(t.Context(), message())
		if want == "" {
			if r.Verdict != Accepted {
				t.Errorf("%s: %+v", what, r)
			}
			return
		}
		if r.Verdict != Retry || r.Status != 0 || requests.Load() != 0 {
			t.Errorf("%s: %+v after %d requests", what, r, requests.Load())
		}
		wantErr(t, r, want)
	}
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	f("a good certificate", with(good), "")
	f("TLS 1.2", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12}, "")
	f("TLS 1.1", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version")
	f("TLS 1.0", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, "protocol version")
	f("expired", with(ours.issue(t, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})), "expired")
	f("not yet valid", with(ours.issue(t, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	})), "not yet valid")
	f("another host", with(ours.issue(t, func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{"example.com"} })), "127.0.0.1")
	f("another authority", with(theirs.issue(t, nil)), "unknown authority")
	f("self-signed", with(selfSigned(t)), "unknown authority")
	f("a client certificate wanted", &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert}, "certificate required")
	f("only weak ciphers", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}}, "handshake failure")
}

func TestPlainHTTPWhereTLSIsExpectedIsExplained(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(noContent))
	t.Cleanup(srv.Close)
	r := newTestSender(t, strings.Replace(srv.URL, "http:", "https:", 1), nil).Send(t.Context(), message())
	wantErr(t, r, "does not speak TLS")
	if r.Verdict != Retry {
		t.Errorf("%+v", r)
	}
}

func TestStalledTLSIsGivenUp(t *testing.T) {
	f := func(drip []byte) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = c.Write(drip)
			_, _ = io.Copy(io.Discard, c)
		})
		s := newTestSender(t, "https://"+l.Addr().String(), func(o *Options) { o.Timeout = time.Second })
		r := s.Send(t.Context(), message())
		if r.Verdict != Retry || r.Status != 0 {
			t.Errorf("%+v", r)
		}
		wantErr(t, r, "agreeing on TLS")
		_ = l.Close()
		wg.Wait() // the connection ends although nobody waits for it
	}
	f(nil)
	f([]byte{22, 3, 3, 0x40, 0})
}

// h2 starts a receiver that speaks HTTP/2, and a sender to it.
func h2(t testing.TB, h http.HandlerFunc, change func(*Options)) (*Sender, *atomic.Int64) {
	t.Helper()
	a := newAuthority(t)
	var requests atomic.Int64
	srv := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}}, true, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1); r.ProtoMajor != 2 {
			t.Errorf("spoken was %s", r.Proto)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		h(w, r)
	})
	return newTestSender(t, srv.URL, func(o *Options) {
		o.AllowHTTP, o.RootCAs = false, a.pool
		if change != nil {
			change(o)
		}
	}), &requests
}

func TestHTTP2KeepsTheSameLimits(t *testing.T) {
	f := func(what string, verdict Verdict, h http.HandlerFunc) {
		t.Helper()
		var once sync.Once
		s, requests := h2(t, func(w http.ResponseWriter, r *http.Request) {
			first := false
			once.Do(func() { first = true })
			if first {
				noContent(w, r)
				return
			}
			h(w, r)
		}, func(o *Options) { o.Timeout = 2 * time.Second })
		if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
			t.Fatalf("%s: %+v", what, r)
		}
		var r Result
		n := allocated(func() { r = s.Send(t.Context(), message()) })
		if r.Verdict != verdict || len(r.Body) > DefaultResponseBytes {
			t.Errorf("%s: verdict %s, status %d, %v, kept %d", what, r.Verdict, r.Status, r.Err, len(r.Body))
		}
		if n > 16<<20 { // receiver included, whose share varies
			t.Errorf("%s: %d bytes allocated", what, n)
		}
		if requests.Load() != 2 {
			t.Errorf("%s: %d requests", what, requests.Load())
		}
	}
	zeros := make([]byte, 64<<10)
	f("10 GB", Accepted, func(w http.ResponseWriter, _ *http.Request) {
		for sent, err := 0, error(nil); err == nil && sent < 10<<30; sent += len(zeros) {
			_, err = w.Write(zeros)
		}
	})
	f("1 MB of headers", Retry, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 1<<20))
		noContent(w, r)
	})
	f("hangs", Retry, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	f("hangs in its body", Accepted, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("x"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	f("a redirect", Retry, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	f("gone", Gone, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	f("a reset stream", Retry, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

func TestHTTP2InterimAnswersAreBounded(t *testing.T) {
	log.SetOutput(io.Discard) // net/http reports the flood itself
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	var sent atomic.Int64
	s, _ := h2(t, func(w http.ResponseWriter, r *http.Request) {
		for w.Header().Set("X", strings.Repeat("x", 1000)); r.Context().Err() == nil; sent.Add(1) {
			w.WriteHeader(http.StatusProcessing)
		}
	}, nil)
	if r := s.Send(t.Context(), message()); r.Verdict != Retry || r.Status != 0 {
		t.Errorf("%+v after %d interim answers", r, sent.Load())
	}
}

func TestHTTP2GoAwayCostsNothing(t *testing.T) {
	s, requests := h2(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // the server's way to ask for GOAWAY
		noContent(w, r)
	}, nil)
	for range 5 {
		if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
			t.Errorf("%+v", r)
		}
	}
	if n := requests.Load(); n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
}
