package sim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// LoadTLS reads what secures a connection from PEM files: the authorities to be
// trusted instead of the system's, and the client's own certificate and key. An
// empty name: none.
func LoadTLS(ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := os.ReadFile(ca) // #nosec G304 -- the user names the file
		if err != nil {
			return nil, fmt.Errorf("cafile: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("cafile %s: holds no certificate (write those to be trusted as PEM)", ca)
		}
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("cert and key: one of them is missing (give both)")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("cert %s: %w (write a certificate and its key as PEM)", cert, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// secured is how a device secures a connection, with what a fault makes of it.
func secured(base *tls.Config, host string, f *Fault) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		c = base.Clone()
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	switch {
	case f == nil:
	case f.Kind == "certificate":
		// Sent even if the broker's authorities did not issue it.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return f.pair, nil }
	case f.Kind == "distrust":
		c.RootCAs = x509.NewCertPool()
	}
	return c
}

// forGood turns the error of an attempt to connect into one that ends the run,
// if another attempt would not help. Certificates come and go while a fleet is
// played, so they are held against nobody once a device has been let in.
func (l *link) forGood(err error) error {
	for _, final := range []error{
		packets.ErrorRefusedBadProtocolVersion,
		packets.ErrorRefusedIDRejected,
		packets.ErrorRefusedBadUsernameOrPassword,
		packets.ErrorRefusedNotAuthorised,
	} {
		if errors.Is(err, final) {
			return fmt.Errorf("device %s: the broker at %s refuses it: %w (check -u and -P, and what the broker allows this client id)", l.d.id, l.r.Broker, err)
		}
	}
	if l.r.reached.Load() {
		return nil
	}
	if remedy := secureRemedy(err); remedy != "" {
		return fmt.Errorf("device %s: no secure connection to %s: %w (%s)", l.d.id, l.r.Broker, err, remedy)
	}
	return nil
}

// secureRemedy is what a user does about an error of TLS; empty: it is none.
func secureRemedy(err error) string {
	if invalid, is := errors.AsType[x509.CertificateInvalidError](err); is && invalid.Reason == x509.Expired {
		return "renew the broker's certificate"
	}
	if _, is := errors.AsType[x509.HostnameError](err); is {
		return "connect to a name that is in the broker's certificate"
	}
	if _, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		return "name the file of its authority with --cafile"
	}
	if _, is := errors.AsType[tls.RecordHeaderError](err); is {
		return "that port does not speak TLS: write mqtt://, or the port that does"
	}
	if op, is := errors.AsType[*net.OpError](err); is && op.Op == "remote error" {
		return "the broker refuses the device's certificate: give a good one with --cert and --key"
	}
	return ""
}

// try connects as a fault would have it, which the broker or the device has to
// refuse.
func (l *link) try(ctx context.Context, f *Fault) error {
	c, err := l.attempt(ctx, f)
	told := "let in"
	if err != nil {
		told = err.Error()
	} else {
		l.r.Log.Warn("broker lets in a device that it has to refuse", "device", l.d.id, "fault", f.name)
		c.goodbye()
	}
	return l.r.ledger.tried(l.d.id, f.name+": "+told)
}
