package webhook

import (
	"context"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestConnectSendsNothingAndSeesTheCertificate(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	connect := func(o Options) Result {
		t.Helper()
		o.URL, o.Unsigned, o.Timeout = server.URL, true, 5*time.Second
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return s.Connect(context.Background())
	}
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

	r := connect(Options{AllowCIDRs: local, RootCAs: roots})
	if r.Err != nil || !r.Addr.IsValid() || !r.CertExpiry.Equal(server.Certificate().NotAfter) || r.Timing.TLS == 0 {
		t.Errorf("connected: %+v", r)
	}
	if r = connect(Options{AllowCIDRs: local}); r.Err == nil || !strings.Contains(r.Err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", r.Err)
	}
	if r = connect(Options{RootCAs: roots}); r.Err == nil || !strings.Contains(r.Err.Error(), "127.0.0.1") || r.Addr.IsValid() {
		t.Errorf("an address that is not allowed: %+v", r)
	}
	server.Close()
	if r = connect(Options{AllowCIDRs: local, RootCAs: roots}); r.Err == nil || !strings.Contains(r.Err.Error(), "connecting") {
		t.Errorf("nobody listens: %v", r.Err)
	}
	if asked.Load() != 0 {
		t.Errorf("%d requests were sent", asked.Load())
	}
}
