package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	connectTimeout = 5 * time.Second // to dial, and again for the broker's answer
	writeTimeout   = 5 * time.Second
	goodbyeMillis  = 250 // for the DISCONNECT to be written
	keepAlive      = 30 * time.Second
	shortestPause  = 50 * time.Millisecond
	longestPause   = 5 * time.Second
)

// A link is a device's way to the broker: one connection after another, and the
// message that is on its way. Each connection has a client of its own, because
// the client's own reconnecting cannot be interrupted and does not spread a
// fleet that comes back all at once.
type link struct {
	r      *run
	d      *device
	box    *outbox
	rng    *rand.Rand
	pause  time.Duration // before the next attempt to connect
	down   bool          // counted among those that cannot connect
	client mqtt.Client   // nil: not connected
	broken chan struct{} // closed when the connection of client breaks
}

func newLink(r *run, d *device) *link {
	return &link{r: r, d: d, box: newOutbox(), rng: random(hash(r.Seed, d.id, "pause"), 0)}
}

// close says goodbye.
func (l *link) close() {
	if l.down {
		l.r.down.Add(-1)
	}
	if l.client != nil {
		l.client.Disconnect(goodbyeMillis)
		l.client = nil
	}
}

// deliver returns nil when the broker has acknowledged the message (at QoS 0:
// when it has been written). It outlasts any number of broken connections; an
// error is ctx's, or a refusal for good.
func (l *link) deliver(ctx context.Context, m Sent) error {
	boxed := false // in the outbox, so that connecting sends it again
	for {
		if err := l.connect(ctx); err != nil {
			return err
		}
		var written <-chan struct{}
		if !boxed {
			token := l.client.Publish(m.Topic, l.r.QoS, false, m.Payload)
			switch taken := !errors.Is(token.Error(), mqtt.ErrNotConnected); {
			case l.r.QoS > 0:
				boxed = taken
			case taken:
				written = token.Done()
			}
		}
		select {
		case <-written:
			return nil
		case <-l.box.acked:
			l.pause = 0
			return nil
		case <-l.broken:
			l.r.lost.Add(1)
			l.client = nil
			l.pause = max(l.pause, shortestPause)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connect returns with a connection, or with the reason why there cannot be one.
func (l *link) connect(ctx context.Context) error {
	for l.client == nil {
		if !sleepUntil(ctx, time.Now().Add(l.jitter())) {
			return ctx.Err()
		}
		err := l.attempt(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if refusedForGood(err) {
			return fmt.Errorf("device %s: the broker at %s refuses it: %w (check -u and -P, and what the broker allows this client id)", l.d.id, l.r.Broker, err)
		}
		l.setDown(err)
	}
	return nil
}

func (l *link) attempt(ctx context.Context) error {
	broken := make(chan struct{})
	o := mqtt.NewClientOptions().
		AddBroker(l.r.Broker).
		SetClientID(l.d.id).
		SetUsername(l.r.Username).
		SetPassword(l.r.Password).
		SetProtocolVersion(4).
		SetCleanSession(false). // or the client would not send again what the outbox holds
		SetStore(l.box).
		SetAutoReconnect(false).
		SetKeepAlive(keepAlive).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(writeTimeout).
		SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) { return l.dial(ctx, u) }).
		SetConnectionLostHandler(func(mqtt.Client, error) { close(broken) })
	client := mqtt.NewClient(o)
	token := client.Connect()
	<-token.Done() // its parts all have deadlines
	if err := token.Error(); err != nil {
		return err
	}
	l.client, l.broken = client, broken
	return nil
}

func (l *link) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dial := l.r.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", u.Host)
	if err != nil || u.Scheme != "mqtts" {
		return conn, err
	}
	secure := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("securing the connection: %w", err), conn.Close())
	}
	return secure, nil
}

// jitter is how long to wait before connecting: not at all at first, then twice
// as long each time until a message gets through, and never two devices alike.
func (l *link) jitter() time.Duration {
	wait := l.pause
	l.pause = min(max(2*l.pause, shortestPause), longestPause)
	return time.Duration(float64(wait) * (0.5 + l.rng.Float64()/2))
}

// setDown keeps count of the devices that cannot connect, so that the log tells
// of the first and of the last and not of each.
func (l *link) setDown(err error) {
	switch {
	case err != nil && !l.down:
		l.down = true
		if l.r.down.Add(1) == 1 {
			l.r.Log.Warn("broker cannot be reached, trying on", "broker", l.r.Broker, "device", l.d.id, "error", err)
		}
	case err == nil && l.down:
		l.down = false
		if l.r.down.Add(-1) == 0 {
			l.r.Log.Info("broker is reached again", "broker", l.r.Broker)
		}
	}
}

func refusedForGood(err error) bool {
	for _, final := range []error{
		packets.ErrorRefusedBadProtocolVersion,
		packets.ErrorRefusedIDRejected,
		packets.ErrorRefusedBadUsernameOrPassword,
		packets.ErrorRefusedNotAuthorised,
	} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}
