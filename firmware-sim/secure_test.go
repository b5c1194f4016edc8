package sim

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// An authority issues certificates, and keeps them as files in dir.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.issue(t, "ca", template, time.Hour)
	return a
}

// issue makes NAME.pem and NAME.key, good for so long from now; less than
// nothing: it has expired.
func (a *authority) issue(t *testing.T, name string, template *x509.Certificate, good time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(good)
	if a.cert == nil {
		a.cert, a.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der},
		name + ".key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) load(t *testing.T, name string) *tls.Config {
	t.Helper()
	cert, key := a.file(name+".pem"), a.file(name+".key")
	if name == "" {
		cert, key = "", ""
	}
	c, err := LoadTLS(a.file("ca.pem"), cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func forServer() *x509.Certificate {
	return &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
}

func forDevice() *x509.Certificate {
	return &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

// broker starts mochi with the certificate of a name; it asks clients for
// theirs.
func (a *authority) broker(t *testing.T, name string, auth tls.ClientAuthType) string {
	t.Helper()
	c := a.load(t, name)
	c.ClientCAs, c.ClientAuth = c.RootCAs, auth
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0", TLSConfig: c})
	for _, err := range []error{server.AddHook(&heard{}, nil), server.AddListener(l), server.Serve()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return "mqtts://" + l.Address()
}

// plain answers whatever comes with words.
func plain(t *testing.T) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 mail.example.com\r\n"))
			_, _ = c.Read(make([]byte, 1000))
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		serving.Wait()
	})
	return ln.Addr().String()
}

func TestCertificatesDecideWhoIsLetIn(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "server", forServer(), time.Hour)
	a.issue(t, "server-expired", forServer(), -time.Hour)
	a.issue(t, "elsewhere", &x509.Certificate{DNSNames: []string{"broker.example.com"}}, time.Hour)
	a.issue(t, "device", forDevice(), time.Hour)
	a.issue(t, "device-expired", forDevice(), -time.Hour)
	strict := a.broker(t, "server", tls.RequireAndVerifyClientCert)
	f := func(name, broker string, c *tls.Config, want ...string) {
		t.Run(name, func(t *testing.T) {
			sum, err := Run(t.Context(), freezers(t), Options{Broker: broker, TLS: c, Seed: 7, Speed: 1000, Limit: 40, QoS: 1, Settle: 30 * time.Second})
			if len(want) == 0 && (err != nil || sum.Acked != 40) {
				t.Errorf("%+v, %v; want 40 acknowledged", sum, err)
			}
			for _, w := range want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("got %v, want %q", err, w)
				}
			}
		})
	}
	f("with its certificate", strict, a.load(t, "device"))
	f("a broker that asks for none", a.broker(t, "server", tls.NoClientCert), a.load(t, ""))
	f("without one", strict, a.load(t, ""), "device freezer-0", "the broker refuses the device's certificate: give a good one with --cert and --key")
	f("with an expired one", strict, a.load(t, "device-expired"), "expired certificate", "--cert and --key")
	f("another authority", strict, nil, "unknown authority", "--cafile")
	f("an expired broker", a.broker(t, "server-expired", tls.NoClientCert), a.load(t, ""), "certificate has expired", "renew the broker's certificate")
	f("a broker of another name", a.broker(t, "elsewhere", tls.NoClientCert), a.load(t, ""), "127.0.0.1", "connect to a name that is in the broker's certificate")
	f("no TLS at all", "mqtts://"+plain(t), a.load(t, ""), "that port does not speak TLS")
}

// A device whose certificate has expired, and one that trusts nobody, are away
// until that is mended, and lose nothing.
func TestFaultsOfTrustAreRefusedAndOvercome(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "server", forServer(), time.Hour)
	a.issue(t, "device", forDevice(), time.Hour)
	a.issue(t, "old", forDevice(), -time.Hour)
	text := `
topic = "{device}"
[fleet.one]
model = "m"
count = 2
id = "dev-%d"
[model.m]
every = "10s"
[model.m.signal.x]
saw = { amplitude = 10.0, period = "60s" }
[fault.expired]
device = "dev-1"
kind = "certificate"
cert = "old.pem"
key = "old.key"
at = "15s"
for = "25s"
[fault.untrusting]
device = "dev-2"
kind = "distrust"
at = "15s"
for = "25s"
[expect.high]
metric = "x"
above = 5.0
`
	if err := os.WriteFile(a.file("p.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Load(a.file("p.toml"))
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, auth tls.ClientAuthType, want ...string) {
		t.Run(name, func(t *testing.T) {
			var ledger, log bytes.Buffer
			sum, err := Run(t.Context(), p, Options{
				Broker: a.broker(t, "server", auth), TLS: a.load(t, "device"), Seed: 7, Speed: 100, Limit: 12, QoS: 1,
				Ledger: &ledger, Settle: 30 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil || sum.Acked != 12 {
				t.Fatalf("%+v, %v; want 12 acknowledged", sum, err)
			}
			var tried []string
			if err := jsonLines(bytes.NewReader(ledger.Bytes()), func(e Entry) error {
				if e.Line == "tried" {
					tried = append(tried, e.Did)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			all := strings.Join(tried, "\n")
			for _, w := range want {
				if !strings.Contains(all, w) {
					t.Errorf("tried:\n%s\nwant %q", all, w)
				}
			}
			if in := strings.Contains(log.String(), "has to refuse"); in != (auth == tls.NoClientCert) {
				t.Errorf("log:\n%s", &log)
			}
			if report, err := Verify(&ledger, strings.NewReader("")); err != nil || report.Acked != 12 || report.Expected == 0 {
				t.Errorf("the ledger says %+v, %v", report, err)
			}
		})
	}
	f("a broker that looks", tls.RequireAndVerifyClientCert, "expired: remote error: tls: expired certificate", "untrusting: securing the connection: tls: failed to verify certificate: x509: certificate signed by unknown authority")
	f("a broker that does not", tls.NoClientCert, "expired: let in", "untrusting: securing")
}

// Whoever is not let in tries again, though it has something to say and waits.
func TestRefusedDeviceTriesAgainAndAgain(t *testing.T) {
	p, err := solo(signalX+"[fault.f]\ndevice = \"*\"\nkind = \"distrust\"\nevery = \"15s\"\nfor = \"1h\"", "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w, begun := &wire{}, time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		var ledger bytes.Buffer
		if _, err := Run(ctx, p, Options{Broker: "mqtts://host:1", Seed: 7, QoS: 1, Dial: w.dial, Ledger: &ledger}); err != nil {
			t.Error(err)
		}
		var tried []string
		if err := jsonLines(&ledger, func(e Entry) error {
			if e.Line == "tried" {
				tried = append(tried, fmt.Sprint(e.At.Sub(begun).Seconds()))
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		same(t, tried, "0", "15", "30", "45")
		w.serving.Wait()
	})
}

func TestFilesOfCertificatesAreCheckedBeforehand(t *testing.T) {
	a := newAuthority(t)
	if err := os.WriteFile(a.file("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(ca, cert, key, want string) {
		t.Helper()
		if _, err := LoadTLS(ca, cert, key); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s, %s, %s: %v, want %q", ca, cert, key, err, want)
		}
	}
	f(a.file("none"), "", "", "cafile: open ")
	f(a.file("empty"), "", "", "holds no certificate (write")
	f("", a.file("ca.pem"), "", "one of them is missing (give both)")
	f("", a.file("ca.pem"), a.file("empty"), "failed to find any PEM data in key input")
	if err := (Options{Broker: "mqtt://host", TLS: a.load(t, "")}).Check(); err == nil || !strings.Contains(err.Error(), "(write mqtts://)") {
		t.Errorf("certificates without TLS: %v", err)
	}
}
