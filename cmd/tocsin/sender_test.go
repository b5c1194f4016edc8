package main

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// An issuer makes certificates for 127.0.0.1 and for clients.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	is := &issuer{}
	var der []byte
	is.key, der = is.make(t, "test authority", true)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	is.cert = cert
	return is
}

func (is *issuer) make(t *testing.T, name string, authority bool) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: authority, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := is.cert, is.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// pair is a certificate and its key, as files hold them.
func (is *issuer) pair(t *testing.T, name string) (cert, key string) {
	t.Helper()
	k, der := is.make(t, name, false)
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", secret)
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func (is *issuer) serve(t *testing.T, clients bool, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	key, der := is.make(t, "receiver", false)
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	if clients {
		srv.TLS.ClientAuth, srv.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		srv.TLS.ClientCAs.AddCert(is.cert)
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

// An alarm goes to a receiver that wants to know us by a certificate and a token,
// over TLS 1.3 with a pinned key, compressed. The certificate is renewed while we
// run, and shown from then on.
func TestEndpointKnowsUsByCertificateAndToken(t *testing.T) {
	is := newIssuer(t)
	type told struct{ client, token, site, kind string }
	var mu sync.Mutex
	var heard []told
	receiver := is.serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Type string }
		z, err := gzip.NewReader(r.Body)
		if err == nil {
			err = json.NewDecoder(z).Decode(&body)
		}
		if err != nil || r.Header.Get("Webhook-Signature") == "" {
			t.Errorf("%v in %v", err, r.Header)
		}
		mu.Lock()
		heard = append(heard, told{r.TLS.PeerCertificates[0].Subject.CommonName, r.Header.Get("Authorization"), r.Header.Get("X-Site"), body.Type})
		mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
	tokens := is.serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_secret") != "canary" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"canary-token","expires_in":3600}`)
	})
	pin := webhook.PinOf(is.cert)
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), webhook.NewSecret(), "https://"+receiver.Listener.Addr().String()+"/hook?canary")
	file := filepath.Join(dir, "tocsin.toml")
	whole, endpoint, _ := strings.Cut(read(t, file), "[endpoint.ops]")
	var lines []string
	for line := range strings.Lines(endpoint) { // what the plant says of egress does not fit here
		if !strings.HasPrefix(line, "egress") {
			lines = append(lines, line)
		}
	}
	cert, key := is.pair(t, "tocsin-1")
	writeFiles(t, dir, map[string]string{
		"tls/ca.pem": pemOf("CERTIFICATE", is.cert.Raw), "tls/cert.pem": cert, "tls/key.pem": key, "secrets/client": "canary",
		"tocsin.toml": whole + "[endpoint.ops]" + strings.Join(lines, "") + fmt.Sprintf(`
egress = { allow_cidrs = ["127.0.0.1"], ports = [%s] }
tls = { min = "1.3", ca = "tls/ca.pem", cert = "tls/cert.pem", key = "tls/key.pem", pin_sha256 = %q }
headers = { X-Site = "lyon" }
gzip = true
auth.oauth2 = { token_url = "%s/token", client_id = "tocsin", client_secret = { file = "secrets/client" } }
`, portsOf(t, receiver, tokens), pin, tokens.URL),
	})
	p := startTocsin(t, dir)
	p.waitReady()
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(heard) }
	publish(t, p, "f1", `{"temperature":-10}`)
	eventually(t, "told that it fired", func() bool { return count() == 1 })
	ends, err := strconv.ParseFloat(p.metric(`tocsin_endpoint_certificate_expiry_seconds{endpoint="ops"}`), 64)
	if err != nil || int64(ends) > is.cert.NotAfter.Unix() || int64(ends) < time.Now().Add(29*24*time.Hour).Unix() {
		t.Errorf("the certificate ends at %v (%v)", ends, err)
	}

	cert, key = is.pair(t, "tocsin-2")
	save(t, filepath.Join(dir, "tls", "cert.pem"), cert)
	save(t, filepath.Join(dir, "tls", "key.pem"), key)
	eventually(t, "the renewed certificate was read", func() bool { return strings.Contains(p.log(), `"endpoints_changed":"ops"`) })
	publish(t, p, "f1", `{"temperature":-20}`)
	eventually(t, "told that it ended", func() bool { return count() == 2 })
	p.terminate()

	for i, want := range []told{{"tocsin-1", "Bearer canary-token", "lyon", "alarm.fired"}, {"tocsin-2", "Bearer canary-token", "lyon", "alarm.resolved"}} {
		if heard[i] != want {
			t.Errorf("heard %+v, want %+v", heard[i], want)
		}
	}
	if strings.Contains(p.log(), "canary") {
		t.Errorf("the log shows a credential:\n%s", p.log())
	}
}

func portsOf(t *testing.T, servers ...*httptest.Server) string {
	t.Helper()
	var ports []string
	for _, s := range servers {
		_, port, err := net.SplitHostPort(s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	return strings.Join(ports, ", ")
}
