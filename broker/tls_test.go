package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
)

// authority signs certificates for a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) certificate(name string, use x509.ExtKeyUsage) tls.Certificate {
	cert, key := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{use}})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func TestCertificateNamesTheUser(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	got := newCollector()
	e := serve(t, EmbeddedOptions{
		TLSListen: "127.0.0.1:0",
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, ClientCAs: ca.pool, ClientAuth: tls.VerifyClientCertIfGiven,
			Certificates: []tls.Certificate{ca.certificate("server", x509.ExtKeyUsageServerAuth)}},
		Users: map[string]User{"pump": {Publish: []string{"%u/#"}}},
	}, got.handle)
	if a := e.Addrs()[0]; a.Name != "mqtts" {
		t.Errorf("listens on %s", a.Name)
	}
	f := func(h hello, want byte, certs ...tls.Certificate) *wire {
		t.Helper()
		c, err := tls.Dial("tcp", e.Addrs()[0].String(), &tls.Config{RootCAs: ca.pool, Certificates: certs, MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		w := newWire(t, c)
		h.id, h.clean = "d1", true
		if code, _ := w.hello(h); code != want {
			t.Errorf("%+v: code %d, want %d", h, code, want)
		}
		return w
	}
	w := f(hello{}, 0, ca.certificate("pump", x509.ExtKeyUsageClientAuth))
	w.publish(pub{topic: "pump/t", qos: 1, id: 1})
	w.expectAck(tPuback, 1)
	if m := got.next(t); m.User != "pump" {
		t.Errorf("message %+v", m)
	}
	_ = w.Close()
	f(hello{user: "valve"}, 5, ca.certificate("pump", x509.ExtKeyUsageClientAuth))
	f(hello{}, 5, ca.certificate("valve", x509.ExtKeyUsageClientAuth))
	f(hello{}, 5)                               // no certificate
	f(hello{user: "pump", pass: "anything"}, 5) // it has no password

	c, err := tls.Dial("tcp", e.Addrs()[0].String(), &tls.Config{RootCAs: ca.pool, MinVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{other.certificate("pump", x509.ExtKeyUsageClientAuth)}})
	if err == nil { // TLS 1.3 learns of it when it reads
		w := newWire(t, c)
		_, _ = w.Write(connectPacket(hello{id: "d1", clean: true}))
		w.expectClosed(tConnack)
	}
	eventually(t, "the failed handshake is not counted", func() bool {
		return counted(e.metrics.turnedAway.WithLabelValues("handshake")) == 1
	})
}

func TestClientChecksTheBrokersCertificate(t *testing.T) {
	ca := newAuthority(t)
	e := serve(t, EmbeddedOptions{
		TLSListen: "127.0.0.1:0",
		TLS:       &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.certificate("server", x509.ExtKeyUsageServerAuth)}},
		Users:     oneUser(t, "d", nil, []string{"#"}),
	}, safe)
	url := "mqtts://d:secret@" + e.Addrs()[0].String()
	readyReason(t, runClient(t, ClientOptions{URL: url}, safe), "unknown authority", "tls.ca")
	c := runClient(t, ClientOptions{URL: url, TLS: &tls.Config{RootCAs: ca.pool, MinVersion: tls.VersionTLS12}}, safe)
	eventually(t, "not subscribed", func() bool { return c.Ready() == nil })
}

// A client of MQTT 5 that is not ours, at each QoS.
func TestForeignClientOfMQTT5IsServed(t *testing.T) {
	got := newCollector()
	e := serve(t, EmbeddedOptions{}, got.handle)
	conn, err := net.Dial("tcp", e.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := paho5.NewClient(paho5.ClientConfig{ClientID: "d1", Conn: conn})
	if _, err := c.Connect(ctx, &paho5.Connect{ClientID: "d1", KeepAlive: 30, CleanStart: true}); err != nil {
		t.Fatal(err)
	}
	for qos := range byte(3) {
		answer, err := c.Publish(ctx, &paho5.Publish{Topic: "a", QoS: qos, Payload: []byte("x"),
			Properties: &paho5.PublishProperties{ContentType: "text/plain", User: paho5.UserProperties{{Key: "k", Value: "v"}}}})
		if err != nil || answer != nil && answer.ReasonCode != 0 && answer.ReasonCode != 1 {
			t.Errorf("QoS %d: %+v, %v", qos, answer, err)
		}
		if m := got.next(t); m.QoS != qos {
			t.Errorf("message %+v", m)
		}
	}
	if err := c.Disconnect(&paho5.Disconnect{}); err != nil {
		t.Error(err)
	}
}
