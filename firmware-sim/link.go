package sim

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"tocsin/firmware-sim/payload"
)

const (
	connectTimeout = 5 * time.Second // to dial, and again for the broker's answer
	writeTimeout   = 5 * time.Second
	shortestPause  = 50 * time.Millisecond
	longestPause   = 5 * time.Second
)

// A link is a device's way to the broker: one connection after another, and the
// message that is on its way.
type link struct {
	r      *run
	d      *device
	rng    *rand.Rand
	pause  time.Duration // before the next attempt to connect
	down   bool          // counted among those that cannot connect
	client *client       // nil: not connected
	ghosts []*client     // connections that the broker may take for open
	tried  time.Duration // the simulated time up to which it has connected in vain
	why    error         // of the last attempt to connect that failed
	id     uint16        // of the last packet
	wants  atomic.Uint32 // the id whose acknowledgement it waits for
	has    atomic.Uint32 // the id of a message at QoS 2 that the broker has, and has to let go of
	inbox  chan instruction
	done   int // operations that the device has gone through
}

// inboxSize is how much a device that is busy keeps of what it was told.
const inboxSize = 16

func newLink(r *run, d *device) *link {
	l := &link{r: r, d: d, rng: random(hash(r.Seed, d.id, "pause"), 0)}
	if d.listens.config != "" || d.listens.command != "" {
		l.inbox = make(chan instruction, inboxSize)
	}
	return l
}

// cut breaks the connection without a goodbye.
func (l *link) cut() {
	if l.client != nil {
		l.client.end()
		l.client, l.pause = nil, 0
	}
}

// silence leaves the connection open, and lets nothing pass on it.
func (l *link) silence() {
	if l.client != nil {
		l.client.silence()
		l.ghosts = append(l.ghosts, l.client)
		l.client, l.pause = nil, 0
	}
}

// bury ends the connections that nothing passed on.
func (l *link) bury() {
	for _, c := range l.ghosts {
		c.end()
	}
	l.ghosts = nil
}

// close says goodbye.
func (l *link) close() {
	l.bury()
	if l.down {
		l.r.down.Add(-1)
	}
	if l.client != nil {
		l.client.goodbye()
		l.client = nil
	}
}

// nextID is an id for a packet.
func (l *link) nextID() uint16 {
	if l.id++; l.id == 0 {
		l.id = 1
	}
	return l.id
}

// deliver returns nil when the broker has acknowledged the message (at QoS 0:
// when it has been written). It outlasts any number of broken connections; an
// error is ctx's, or a refusal for good.
func (l *link) deliver(ctx context.Context, m Sent) error {
	id := l.nextID()
	l.wants.Store(uint32(id))
	for again := false; ; again = !l.d.encoder.Counts() {
		if err := l.connect(ctx); err != nil {
			return err
		}
		if m.loseAck && l.r.QoS > 0 {
			m.loseAck = false
			l.client.deaf.Store(true)
		}
		err := l.hand(ctx, m, id, again)
		if err == nil && l.r.QoS == 0 {
			return nil
		}
		if acked, err := l.wait(ctx, id); acked || err != nil {
			l.has.Store(0)
			return err
		}
		l.lose()
	}
}

// hand writes a message, or at QoS 2 what is left to say of it.
func (l *link) hand(ctx context.Context, m Sent, id uint16, again bool) error {
	pace := l.pace()
	l.client.pace.Store(pace)
	if pace > 0 {
		stop := context.AfterFunc(ctx, func() { _ = l.client.tear() }) // it may take long
		defer stop()
	}
	if l.r.QoS == 2 && l.has.Load() == uint32(id) {
		return l.client.release(id)
	}
	return l.client.publish(payload.Message{Topic: m.Topic, Payload: l.d.encoder.Last(m.Payload)}, l.r.QoS, id, again)
}

// pace is how many bytes pass in a second of real time; 0: as many as go.
func (l *link) pace() int64 {
	f := faulty(l.d.faults, "trickle", l.r.now())
	if f == nil {
		return 0
	}
	return max(1, int64(f.Bytes*l.r.Speed))
}

// gone is closed when the connection has broken, or nil if there is none.
func (l *link) gone() <-chan struct{} {
	if l.client == nil {
		return nil
	}
	return l.client.broken
}

// lose puts a connection away that broke by itself.
func (l *link) lose() {
	l.r.lost.Add(1)
	l.client.end()
	l.client = nil
	l.pause = max(l.pause, shortestPause)
}

// wait returns when a message is acknowledged, or the connection broke.
func (l *link) wait(ctx context.Context, id uint16) (acked bool, err error) {
	for {
		select {
		case got := <-l.client.acks:
			if got == id {
				l.pause = 0
				return true, nil
			}
		case <-l.client.broken:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// connect returns with a connection, or with the reason why there cannot be one.
func (l *link) connect(ctx context.Context) error {
	for l.client == nil {
		if !sleepUntil(ctx, time.Now().Add(l.jitter())) {
			return ctx.Err()
		}
		c, err := l.attempt(ctx, nil)
		if ctx.Err() != nil {
			if c != nil { // it came too late
				c.end()
			}
			return ctx.Err()
		}
		if err := l.forGood(err); err != nil {
			return err
		}
		l.setDown(err)
		if l.why = err; err == nil {
			l.client = c
			l.r.reached.Store(true)
			stop := context.AfterFunc(ctx, func() { _ = c.tear() }) // a slow line makes even this long
			l.greet()
			stop()
			l.bury()
		}
	}
	return nil
}

// greet says what a device says first, and listens to what it is told. What
// fails here fails because the connection broke, and is done again on the next.
func (l *link) greet() {
	for _, m := range l.d.encoder.Birth(l.d.reading) {
		if l.r.ledger.said(l.d.id, m) != nil || l.client.publish(m, 0, 0, false) != nil {
			return
		}
	}
	for _, topic := range []string{l.d.listens.config, l.d.listens.command} {
		if topic != "" && l.client.subscribe(topic, l.nextID()) != nil {
			return
		}
	}
}

// attempt makes a connection, as a fault would have it if there is one.
func (l *link) attempt(ctx context.Context, f *Fault) (*client, error) {
	conn, err := l.dial(ctx, f)
	if err != nil {
		return nil, err
	}
	c := &client{
		line: newLine(conn), alive: l.r.KeepAlive, broken: make(chan struct{}), acks: make(chan uint16, 1),
		wanted: &l.wants, records: &l.has, told: l.inbox,
		refused: func() { l.r.Log.Warn("broker refuses a subscription", "device", l.d.id) },
	}
	c.pace.Store(l.pace())
	c.in = bufio.NewReaderSize(c.line, inSize)
	stop := context.AfterFunc(ctx, func() { _ = c.tear() }) // wakes who waits for the answer
	defer stop()
	if err := c.connect(l.d.id, l.r.Username, l.r.Password, l.d.encoder.Will(), l.r.QoS); err != nil {
		_ = c.tear() // what follows from the first error is of no interest
		return nil, err
	}
	c.ping = time.AfterFunc(c.alive, c.beat)
	go c.read() // ended by end, which every connection comes to
	return c, nil
}

func (l *link) dial(ctx context.Context, f *Fault) (net.Conn, error) {
	u, err := url.Parse(l.r.Broker)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dial := l.r.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "mqtts" {
		return conn, nil
	}
	secure := tls.Client(conn, secured(l.r.TLS, u.Hostname(), f))
	if err := secure.HandshakeContext(ctx); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w (does that port speak TLS?)", err)
		}
		return nil, errors.Join(fmt.Errorf("securing the connection: %w", err), conn.Close())
	}
	return secure, nil
}

// reason is why there is no connection, for the end of a sentence.
func (l *link) reason() string {
	if l.client != nil || l.why == nil {
		return ""
	}
	return ", for there was no connection: " + l.why.Error()
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
