package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// writePair writes a certificate that signed itself, and its key.
func writePair(t *testing.T, cert, key string) {
	t.Helper()
	writePairOf(t, cert, key, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

// writePairOf is writePair with a life of one's choice.
func writePairOf(t *testing.T, cert, key string, from, until time.Time) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func withTLS(t *testing.T, key string) (*Config, Problems) {
	t.Helper()
	setUp(t, &txtar.Archive{Files: []txtar.File{{Name: "tocsin.toml", Data: []byte(`
rules = ["rules/*.toml"]
[broker]
mode = "external"
[broker.external]
url = "mqtts://broker.example.com"
client_id = "tocsin-1"
tls = { ca = "tls/a.crt", cert = "tls/a.crt", key = "tls/a.key" }
[source.plant]
topic = "plants/{device}"
[http]
tls = { cert = "tls/a.crt", key = "` + key + `" }
[endpoint.ops]
url = "https://alerts.example.com"
secret = { file = "secrets/ops" }
`)}}})
	writePair(t, "tls/a.crt", "tls/a.key")
	writePair(t, "tls/b.crt", "tls/b.key")
	return Load("tocsin.toml", Options{Getenv: lookup(nil)})
}

func TestCertificatesAreReady(t *testing.T) {
	c, problems := withTLS(t, "tls/a.key")
	if c == nil {
		t.Fatal(problems)
	}
	if server, err := c.HTTP.TLS.ServerConfig(); err != nil || len(server.Certificates) != 1 {
		t.Errorf("the server has %v, %v", server, err)
	}
	client, err := c.Broker.External.TLS.ClientConfig()
	if err != nil || len(client.Certificates) != 1 || client.RootCAs == nil {
		t.Errorf("the client has %v, %v", client, err)
	}
	if none, err := (KeyPair{}).ServerConfig(); none != nil || err != nil {
		t.Errorf("no certificate gives %v, %v", none, err)
	}
}

func TestKeyOfAnotherCertificateIsRefused(t *testing.T) {
	c, problems := withTLS(t, "tls/b.key")
	if c != nil || len(problems) != 1 || !strings.Contains(problems[0].String(), "private key does not match") {
		t.Error(problems)
	}
}

func TestLoadIsSafeForConcurrentUse(t *testing.T) {
	setUp(t, &txtar.Archive{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if c, problems := Load("tocsin.toml", Options{}); c == nil {
				t.Error(problems)
			}
		})
	}
	wg.Wait()
}

func TestNearestNameIsSuggestedOnlyIfItIsNear(t *testing.T) {
	known := []string{"clear", "clear_for", "for", "listen", "per_client"}
	f := func(name, want string) {
		t.Helper()
		if got := nearest(name, known); got != want {
			t.Errorf("%q is nearest to %q, and %q was expected", name, got, want)
		}
	}
	f("clear_fro", "clear_for")
	f("claer", "clear")
	f("Listen", "listen")
	f("perclient", "per_client")
	f("fro", "for")
	f("until", "")
	f("", "")
	f(strings.Repeat("x", 10_000), "")
}

// TestRenewedCertificateIsAnotherEndpoint holds a reload to what files hold, not
// to what they are called.
func TestRenewedCertificateIsAnotherEndpoint(t *testing.T) {
	setUp(t, &txtar.Archive{Files: []txtar.File{{Name: "tocsin.toml", Data: []byte(`
rules = ["rules/*.toml"]
[source.plant]
topic = "plants/{device}"
[endpoint.ops]
url = "https://alerts.example.com"
secret = { file = "secrets/ops" }
tls = { ca = "tls/ca.crt", cert = "tls/a.crt", key = "tls/a.key" }
auth = { header = { name = "X-Key", value = { file = "secrets/key" } } }
`)}, {Name: "secrets/key", Data: []byte("k")}}})
	load := func() *Endpoint {
		t.Helper()
		c, problems := Load("tocsin.toml", Options{Getenv: lookup(nil)})
		if c == nil || len(problems) != 1 || !strings.Contains(problems[0].String(), "tls.cert: the certificate expires on") {
			t.Fatal(problems) // these last an hour
		}
		watched := Watched(c)
		for _, file := range []string{"tls/ca.crt", "tls/a.crt", "tls/a.key", "secrets/key"} {
			if !slices.Contains(watched, file) {
				t.Errorf("%s is not watched", file)
			}
		}
		return c.Endpoints["ops"]
	}
	writePair(t, "tls/a.crt", "tls/a.key")
	writePair(t, "tls/ca.crt", "tls/ca.key")
	first := load()
	if !reflect.DeepEqual(first, load()) {
		t.Error("it differs from itself")
	}
	for _, change := range []func(){
		func() { writePair(t, "tls/a.crt", "tls/a.key") },
		func() { writePair(t, "tls/ca.crt", "tls/ca.key") },
		func() { write(t, "secrets/key", []byte("other")) },
	} {
		change()
		next := load()
		if reflect.DeepEqual(first, next) {
			t.Error("a renewed file changes nothing")
		}
		first = next
	}
}

// A certificate that the receiver will refuse is worth saying, and no reason to
// keep everybody else from being told of anything.
func TestClientCertificateThatEndedIsAWarning(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Now()
	for _, c := range []struct {
		from, until time.Duration
		want        string
	}{
		{-2 * day, -day, "the certificate expired on " + now.Add(-day).UTC().Format(time.DateOnly) + ", and the receiver will refuse it (renew it"},
		{-day, 13 * day, "the certificate expires on " + now.Add(13*day).UTC().Format(time.DateOnly)},
		{day, 30 * day, "the certificate is not valid before"},
		{-day, 15 * day, ""},
	} {
		t.Run(c.until.String(), func(t *testing.T) {
			setUp(t, &txtar.Archive{Files: []txtar.File{{Name: "tocsin.toml", Data: []byte(`
rules = ["rules/*.toml"]
[source.plant]
topic = "plants/{device}"
[endpoint.ops]
url = "https://alerts.example.com"
secret = { file = "secrets/ops" }
tls = { cert = "tls/a.crt", key = "tls/a.key" }
`)}}})
			writePairOf(t, "tls/a.crt", "tls/a.key", now.Add(c.from), now.Add(c.until))
			loaded, problems := Load("tocsin.toml", Options{Getenv: lookup(nil)})
			if loaded == nil || (len(problems) == 1) != (c.want != "") || c.want != "" && !strings.Contains(problems[0].String(), c.want) {
				t.Errorf("from %v until %v: %v, want %q", c.from, c.until, problems, c.want)
			}
			// Whoever only tries rules needs neither certificates nor keys.
			if loaded, problems := Load("tocsin.toml", Options{Getenv: lookup(nil), NoSecrets: true}); loaded == nil || len(problems) > 0 {
				t.Errorf("without secrets: %v", problems)
			}
		})
	}
}
