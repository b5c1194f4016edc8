package sim

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options says how to run a profile.
type Options struct {
	// Broker is where to connect: mqtt://host:port or mqtts://host:port.
	// Empty: mqtt://127.0.0.1:1883.
	Broker string
	// Username and Password are given by every device; its client id is its own id.
	Username, Password string
	// TLS secures connections to mqtts://, with a certificate of the devices' own
	// if it has one; see [LoadTLS]. Nil: the system's authorities are trusted.
	TLS *tls.Config
	// KeepAlive is the longest silence that devices promise, in whole seconds of
	// real time. 0: 30 s.
	KeepAlive time.Duration
	// QoS is 0, 1 or 2. At 0 nothing is acknowledged, so nothing is promised.
	QoS byte

	// Devices is how many devices there are in all, shared among the profile's
	// fleets in proportion to their counts. 0: as the profile says.
	Devices int
	// Seed decides every random draw, boot ids included.
	Seed uint64
	// Speed is simulated time over real time, from 0.001 to 1e6. 0: 1.
	Speed float64
	// Duration is how much real time of the schedule is played. 0: without end.
	Duration time.Duration
	// Limit is how many readings the whole fleet takes, of which each is a message
	// in most formats. 0: without limit.
	Limit int
	// StartAt is the real time that stamps count from. Zero: now.
	StartAt time.Time
	// Settle is how long to wait for acknowledgements after the schedule has
	// ended. 0: 10 s.
	Settle time.Duration

	// Control is where operators add and clear faults while the profile is played;
	// see [ListenControl]. Nil: nowhere. [Run] closes it.
	Control net.Listener
	// Ledger gets a line for what is sent and a line for what is acknowledged,
	// each in one Write. Nil: no ledger.
	Ledger io.Writer
	// Observe is told of each message once it is acknowledged, or at QoS 0 sent.
	// Calls do not overlap and hold the fleet up.
	Observe func(Sent)
	// Dial opens connections. Nil: a [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Log is told of changes of state. Nil: nobody.
	Log *slog.Logger
}

// Summary is what a run did.
type Summary struct {
	Devices  int
	Sent     uint64 // messages, each counted once however often it was sent
	Acked    uint64 // of those, acknowledged by the broker; 0 at QoS 0
	Lost     uint64 // connections that broke
	Fired    uint64 // alarms the model expects to fire, of messages sent
	Resolved uint64 // and to end
	Took     time.Duration
}

// Run plays the profile until its schedule ends, ctx ends, the ledger cannot be
// written, or the broker refuses a device for good. A ctx that ends is how a
// run without end is stopped: it is not an error. A broker that is away is
// waited for.
func Run(ctx context.Context, p *Profile, o Options) (Summary, error) {
	if o.Control != nil {
		defer func() { _ = o.Control.Close() }() // again, where it was served
	}
	o, err := o.withDefaults()
	if err != nil {
		return Summary{}, err
	}
	devices, err := p.devices(o)
	if err != nil {
		return Summary{}, err
	}
	begun := time.Now()
	r := &run{
		Options: o,
		ledger:  ledger{w: o.Ledger},
		begun:   begun,
	}
	if err := r.ledger.header(p, o, len(devices)); err != nil {
		return Summary{}, err
	}
	p.warnIdleFaults(devices, o)

	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var controlling sync.WaitGroup
	if o.Control != nil {
		controlling.Go(func() {
			if err := (&control{r, p, devices}).serve(sending, o.Control); err != nil {
				stop(err)
			}
		})
	}
	var wg sync.WaitGroup
	for _, d := range devices {
		wg.Go(func() {
			if err := r.play(sending, d); err != nil {
				stop(err)
			}
		})
	}
	wg.Wait()
	cause := context.Cause(sending)
	stop(nil)
	controlling.Wait()

	sum := Summary{
		Devices: len(devices), Sent: r.sent.Load(), Acked: r.acked.Load(), Lost: r.lost.Load(),
		Fired: r.fired.Load(), Resolved: r.resolved.Load(), Took: time.Since(begun),
	}
	if cause != nil && ctx.Err() == nil {
		return sum, cause
	}
	return sum, nil
}

// What Speed and KeepAlive may be.
const (
	slowest          = 0.001
	fastest          = 1e6
	longestKeepAlive = math.MaxUint16 * time.Second
)

// Check reports what is wrong with options, so that a user hears of it before
// anything has begun. [Run] checks them too.
func (o Options) Check() error {
	_, err := o.withDefaults()
	return err
}

func (o Options) withDefaults() (Options, error) {
	if o.Broker == "" {
		o.Broker = "mqtt://127.0.0.1:1883"
	}
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.StartAt.IsZero() {
		o.StartAt = time.Now()
	}
	if o.Settle == 0 {
		o.Settle = 10 * time.Second
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	u, err := url.Parse(o.Broker)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "mqtt" && u.Scheme != "mqtts"):
		return o, fmt.Errorf("broker %q: not a broker's address (write mqtt://host:1883 or mqtts://host:8883)", redacted(o.Broker))
	case u.User != nil:
		return o, fmt.Errorf("broker %q: holds a user name (use -u and -P)", u.Redacted())
	case u.Scheme != "mqtts" && o.TLS != nil && (o.TLS.RootCAs != nil || len(o.TLS.Certificates) > 0):
		return o, fmt.Errorf("broker %q: is not reached over TLS, and there are certificates for it (write mqtts://)", u.Redacted())
	case o.KeepAlive < time.Second || o.KeepAlive > longestKeepAlive || o.KeepAlive%time.Second != 0:
		return o, fmt.Errorf("keep-alive %s: cannot be promised (use whole seconds, from 1s to %s)", o.KeepAlive, longestKeepAlive)
	case o.QoS > 2:
		return o, fmt.Errorf("qos %d: there is none (use 0, 1 or 2)", o.QoS)
	case !(o.Speed >= slowest && o.Speed <= fastest): // written so that NaN fails
		return o, fmt.Errorf("speed %v: cannot be played (use a number from %v to %v)", o.Speed, slowest, fastest)
	case o.Devices > maxDevices:
		return o, fmt.Errorf("devices %d: at most %d are played in one process (start another)", o.Devices, maxDevices)
	case o.Devices < 0 || o.Limit < 0 || o.Duration < 0 || o.Settle < 0:
		return o, fmt.Errorf("devices, limit and durations: a number is negative (leave it out for the default)")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"mqtt": "1883", "mqtts": "8883"}[u.Scheme])
		o.Broker = u.String()
	}
	return o, nil
}

// redacted keeps a password that url.Parse could not find out of an error.
func redacted(address string) string {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == '@' {
			return "…" + address[i:]
		}
	}
	return address
}

// run is what the devices of one Run share.
type run struct {
	Options
	ledger ledger
	begun  time.Time // when pacing began; has a monotonic reading

	operations operations

	sent, acked, lost, fired, resolved atomic.Uint64
	down                               atomic.Int64 // devices that cannot connect
	reached                            atomic.Bool  // by any device, ever
}

// play goes through the steps of one device as they fall due.
func (r *run) play(ctx context.Context, d *device) error {
	l := newLink(r, d)
	defer l.close()
	for d.more() {
		if err := r.await(ctx, l, d.due); err != nil {
			return stopped(ctx, err)
		}
		s := d.next(r.Options)
		if err := r.await(ctx, l, func() time.Duration { return r.released(d, s) }); err != nil {
			return stopped(ctx, err)
		}
		if s.held && d.away(r.now()) && s.at >= time.Duration(forever)/2 {
			return nil // the schedule is over, and there is no connection any more
		}
		if err := r.perform(ctx, l, d, s); err != nil {
			return stopped(ctx, err)
		}
	}
	return nil
}

// stopped: the end of ctx is no error; the ledger says what was not acknowledged.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// now is the simulated time.
func (r *run) now() time.Duration {
	return time.Duration(float64(time.Since(r.begun)) * r.Speed)
}

// released is when a step that is held may go: as it was meant, or at once if an
// operator has brought the connection back.
func (r *run) released(d *device, s step) time.Duration {
	if s.held && !d.away(r.now()) {
		return min(s.at, r.now())
	}
	if s.at >= time.Duration(forever)/2 && d.quota > 0 {
		return d.simulated(d.quota - 1) // for as long as the schedule lasts
	}
	return s.at
}

// await waits until a moment, which may change, and does in the meantime what
// others ask of the device.
func (r *run) await(ctx context.Context, l *link, at func() time.Duration) error {
	for {
		changed := r.operations.changed()
		for _, op := range r.operations.since(&l.done) {
			if err := r.perform(ctx, l, l.d, l.d.undergo(op)); err != nil {
				return err
			}
		}
		next, now := at(), max(r.now(), l.tried)
		try := l.d.trying(now)
		if try != nil && try.again(now) < next {
			next = try.again(now)
		} else {
			try = nil
		}
		wait := time.Until(r.begun.Add(r.real(next)))
		if wait <= 0 && try == nil {
			return ctx.Err()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			if try == nil {
				return nil
			}
			l.tried = next
			if err := r.perform(ctx, l, l.d, step{try: try}); err != nil {
				return err
			}
		case <-changed:
		case m := <-l.inbox:
			s := l.d.obey(m.topic, m.payload, r.now(), r.Options)
			if err := r.perform(ctx, l, l.d, s); err != nil {
				return err
			}
		case <-l.gone():
			l.lose()
			if err := r.perform(ctx, l, l.d, step{dial: true}); err != nil {
				return err
			}
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// perform does what a step says.
func (r *run) perform(ctx context.Context, l *link, d *device, s step) error {
	if s.cut {
		l.cut()
	}
	if s.silent {
		l.silence()
	}
	if s.try != nil && strings.HasPrefix(r.Broker, "mqtts:") {
		if err := l.try(ctx, s.try); err != nil {
			return err
		}
	}
	if s.dial {
		patient, cancel := r.patience(ctx, d)
		defer cancel()
		if err := l.connect(patient); err != nil && patient.Err() == nil {
			return err
		}
	}
	for _, m := range s.sent {
		if err := r.send(ctx, l, d, m); err != nil {
			return err
		}
	}
	if s.after != nil {
		return r.perform(ctx, l, d, *s.after)
	}
	return nil
}

// send keeps the books of a message, and delivers it.
func (r *run) send(ctx context.Context, l *link, d *device, m Sent) error {
	m.Sent = time.Now()
	if err := r.ledger.sent(m); err != nil {
		return err
	}
	r.sent.Add(1)
	r.count(m.Expected)
	if err := r.deliver(ctx, l, d, m); err != nil {
		return err
	}
	if r.QoS > 0 {
		m.Acked = time.Now()
		r.acked.Add(1)
	}
	return r.ledger.acked(m, r.Observe)
}

// deliver sends one message and waits for its acknowledgement: as long as the
// schedule lasts, and then for Settle.
func (r *run) deliver(ctx context.Context, l *link, d *device, m Sent) error {
	patient, cancel := r.patience(ctx, d)
	defer cancel()
	err := l.deliver(patient, m)
	if err != nil && patient.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("device %s: message %d was not acknowledged within %s after the end of the schedule%s (is the broker up, and does it take topic %s?)",
			d.id, m.Seq, r.Settle, l.reason(), m.Topic)
	}
	return err
}

// patience is a context that ends with ctx, or Settle after the schedule.
func (r *run) patience(ctx context.Context, d *device) (context.Context, context.CancelFunc) {
	if d.quota == 0 {
		return ctx, func() {}
	}
	deadline := r.begun.Add(r.real(d.simulated(d.quota - 1)))
	if now := time.Now(); deadline.Before(now) {
		deadline = now
	}
	return context.WithDeadline(ctx, deadline.Add(r.Settle))
}

func (r *run) count(expected []Crossing) {
	for _, c := range expected {
		switch {
		case c.Maybe:
		case c.Type == Fired:
			r.fired.Add(1)
		case c.Type == Resolved:
			r.resolved.Add(1)
		}
	}
}

// sleepUntil reports false when ctx ended first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
