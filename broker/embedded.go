package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
)

// Anonymous says whether a client that names no user is let in.
type Anonymous string

const (
	AnonymousNever    Anonymous = "never"    // the zero value means this too
	AnonymousLoopback Anonymous = "loopback" // only where every listener is loopback
	AnonymousAlways   Anonymous = "always"
)

// EmbeddedOptions configure the embedded broker. Nobody gets in with the zero value.
type EmbeddedOptions struct {
	Listen         string                // host:port for plain MQTT; "" is off, port 0 is any
	TLSListen      string                // host:port for MQTT over TLS; "" is off
	TLS            *tls.Config           // required by TLSListen; verified client certificates name the user by CN
	Anonymous      Anonymous             // who may come without a name
	MaxPacket      int                   // bytes of one packet; 0 is 256 KiB
	MaxConnections int                   // 0 is 10,000
	Rate           float64               // messages per second and client; 0 is 1,000, below 0 is no limit
	Inflight       int                   // QoS 2 messages a client may have open; 0 is 100
	Users          map[string]User       // by name; what is not allowed is refused
	Log            *slog.Logger          // nil discards
	Registerer     prometheus.Registerer // nil registers nothing
}

// A User is an account of the embedded broker.
type User struct {
	PasswordHash string   // argon2id in PHC form, as [HashPassword] makes it; "" lets only a certificate in
	Publish      []string // topic filters; %c is the client id and %u the user, as a whole level
	Subscribe    []string // as Publish
}

// An Addr is where the broker really listens.
type Addr struct {
	Name string // mqtt or mqtts
	net.Addr
}

// Embedded is an MQTT broker whose only purpose is to take messages in.
type Embedded struct{}

// NewEmbedded validates the options and binds the listeners. Run must be called
// to serve and to close them.
func NewEmbedded(o EmbeddedOptions) (*Embedded, error) { return nil, errors.New("not written yet") }

// Addrs returns where the broker listens.
func (e *Embedded) Addrs() []Addr { return nil }

// Run serves until ctx ends and everything it started is done.
func (e *Embedded) Run(ctx context.Context, handle Handler) error { return nil }

// Ready returns nil, or why the broker takes nobody in.
func (e *Embedded) Ready() error { return nil }
