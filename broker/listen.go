package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// connectTime is how long a connection may take to say who it is.
	connectTime = 5 * time.Second
	// arrivalRate and arrivalBurst bound the connections from one address. A
	// gateway or a load balancer is one address for all that is behind it.
	arrivalRate  = rate.Limit(1000)
	arrivalBurst = 5000

	minAcceptDelay = 5 * time.Millisecond
	maxAcceptDelay = time.Second
)

var errFiles = errors.New("as many connections are open as there are files for (raise the limit of open files)")

// A listener is a bound address.
type listener struct {
	net.Listener
	name   string
	tls    *tls.Config // nil for plain MQTT
	failed atomic.Pointer[acceptFailure]
}

type acceptFailure struct {
	at  time.Time
	err error
}

// failing returns why the listener accepts nobody. A listener that has been
// silent for longer than its longest pause is waiting for clients again.
func (l *listener) failing() error {
	if f := l.failed.Load(); f != nil && time.Since(f.at) < 2*maxAcceptDelay {
		return f.err
	}
	return nil
}

func listenAll(o EmbeddedOptions) ([]*listener, error) {
	var out []*listener
	for _, l := range []struct {
		name, address string
		tls           *tls.Config
	}{{"mqtt", o.Listen, nil}, {"mqtts", o.TLSListen, o.TLS}} {
		if l.address == "" {
			continue
		}
		nl, err := net.Listen(network(l.address), l.address)
		if err != nil {
			for _, other := range out {
				_ = other.Close()
			}
			return nil, fmt.Errorf("%s listener: %w (choose another address, or stop what uses it)", l.name, err)
		}
		out = append(out, &listener{Listener: nl, name: l.name, tls: l.tls})
	}
	if o.Listener != nil {
		out = append(out, &listener{Listener: o.Listener, name: "mqtt"})
	}
	return out, nil
}

// network is "tcp4" for an IPv4 address: "tcp" would bind the wildcard of IPv6 for
// 0.0.0.0.
func network(address string) string {
	host, _, _ := net.SplitHostPort(address) // Listen says what is wrong with it
	if a, err := netip.ParseAddr(host); err == nil && a.Is4() {
		return "tcp4"
	}
	return "tcp"
}

func (e *Embedded) closeListeners() {
	for _, l := range e.listeners {
		_ = l.Close()
	}
}

// accept takes connections until the listener is closed. No other error ends it:
// most are a lack of file descriptors, which passes.
func (e *Embedded) accept(ctx context.Context, l *listener) {
	delay := minAcceptDelay
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			e.metrics.acceptFails.Inc()
			if l.failing() == nil {
				e.log.Error("accepting connections fails; trying again", "listener", l.name, "error", err)
			}
			l.failed.Store(&acceptFailure{time.Now(), err})
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return
			}
			delay = min(2*delay, maxAcceptDelay)
			continue
		}
		delay = minAcceptDelay
		l.failed.Store(nil)
		from := addressOf(nc.RemoteAddr())
		if e.open.Add(1) > e.maxOpen {
			e.dismiss(nc)
			e.turnAway("files", from, "", errFiles)
			continue
		}
		if !e.arrivals.allow(from) {
			e.dismiss(nc)
			e.turnAway("rate", from, "", errors.New("too many connections from this address"))
			continue
		}
		g, err := e.lobby.arrive(ctx, from)
		if err != nil {
			e.dismiss(nc)
			if ctx.Err() != nil {
				return
			}
			e.turnAway("crowd", from, "", err)
			continue
		}
		e.work.Go(func() {
			defer e.dismiss(nc)
			e.serve(ctx, l, nc, g)
		})
	}
}

// dismiss gives back the file of an accepted connection.
func (e *Embedded) dismiss(nc net.Conn) {
	_ = nc.Close() // it may be closed already
	e.open.Add(-1)
}

// serve owns a connection on its way in, until it has ended.
func (e *Embedded) serve(ctx context.Context, l *listener, nc net.Conn, g *guest) {
	sp := &speaker{Conn: nc}
	nc = sp
	if l.tls != nil {
		nc = tls.Server(sp, l.tls)
	}
	c := &conn{
		Conn:   nc,
		broker: e,
		from:   g.from,
		done:   make(chan struct{}),
		gone:   make(chan struct{}),
		leave:  sync.OnceFunc(g.leave),
		readBy: time.Now().Add(connectTime),
	}
	if !e.enter(c) {
		_ = nc.Close()
		c.leave()
		return
	}
	defer e.exit(c)
	defer c.finish()
	defer e.recover(c)
	if err := nc.SetDeadline(c.readBy); err != nil {
		return
	}
	if err := sp.listen(ctx); err != nil {
		e.log.Debug("connection ended before it said anything", "address", c.from, "error", err)
		return
	}
	if err := c.takePlace(ctx, g); err != nil {
		e.turnAway("crowd", c.from, "", err)
		return
	}
	if err := c.handshake(ctx); err != nil {
		e.turnAway("handshake", c.from, "", err)
		return
	}
	if err := e.server.EstablishConnection(l.name, c); err != nil {
		e.log.Debug("connection ended", "address", c.from, "error", err)
	}
}

// takePlace enters the lobby. The time that this takes is not the client's.
func (c *conn) takePlace(ctx context.Context, g *guest) error {
	since := time.Now()
	if err := g.enter(ctx); err != nil {
		return err
	}
	c.readBy = c.readBy.Add(time.Since(since))
	return c.Conn.SetDeadline(c.readBy)
}

// handshake shakes hands where there is TLS. A certificate that was verified
// names the user.
func (c *conn) handshake(ctx context.Context) error {
	tc, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, c.readBy)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("tls handshake: %w", err)
	}
	if chains := tc.ConnectionState().VerifiedChains; len(chains) > 0 {
		c.certUser = chains[0][0].Subject.CommonName
	}
	return nil
}

func (e *Embedded) enter(c *conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping {
		return false
	}
	e.conns[c] = struct{}{}
	e.metrics.connections.Inc()
	return true
}

func (e *Embedded) exit(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
	e.metrics.connections.Dec()
}

// recover keeps a panic of the library to the connection that caused it, and
// does what the library then has left undone.
func (e *Embedded) recover(c *conn) {
	p := recover()
	if p == nil {
		return
	}
	e.metrics.panics.Inc()
	e.log.Error("connection ended in a panic", "address", c.from, "panic", p, "stack", string(debug.Stack()))
	if c.client == nil {
		return
	}
	if cl, ok := e.server.Clients.Get(c.client.ID); ok && cl == c.client {
		e.forget(cl)
	}
}
