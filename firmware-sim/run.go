package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
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
	// Limit is how many messages the whole fleet sends. 0: without limit.
	Limit int
	// StartAt is the real time that stamps count from. Zero: now.
	StartAt time.Time
	// Settle is how long to wait for acknowledgements after the schedule has
	// ended. 0: 10 s.
	Settle time.Duration

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
	p.warnIdleFaults(devices, o.Log)

	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, d := range devices {
		wg.Go(func() {
			if err := r.play(sending, d); err != nil {
				stop(err)
			}
		})
	}
	wg.Wait()

	sum := Summary{
		Devices: len(devices), Sent: r.sent.Load(), Acked: r.acked.Load(), Lost: r.lost.Load(),
		Fired: r.fired.Load(), Resolved: r.resolved.Load(), Took: time.Since(begun),
	}
	if err := context.Cause(sending); err != nil && ctx.Err() == nil {
		return sum, err
	}
	return sum, nil
}

// What Speed may be.
const (
	slowest = 0.001
	fastest = 1e6
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
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	u, err := url.Parse(o.Broker)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "mqtt" && u.Scheme != "mqtts"):
		return o, fmt.Errorf("broker %q: not a broker's address (write mqtt://host:1883 or mqtts://host:8883)", redacted(o.Broker))
	case u.User != nil:
		return o, fmt.Errorf("broker %q: holds a user name (use -u and -P)", u.Redacted())
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

	sent, acked, lost, fired, resolved atomic.Uint64
	down                               atomic.Int64 // devices that cannot connect
}

// play sends the readings of one device as they fall due.
func (r *run) play(ctx context.Context, d *device) error {
	l := newLink(r, d)
	defer l.close()
	for d.more() {
		if !sleepUntil(ctx, r.begun.Add(d.due(r.Speed))) {
			return nil
		}
		m := d.next(r.Options)
		m.Sent = time.Now()
		if err := r.ledger.sent(m); err != nil {
			return err
		}
		r.sent.Add(1)
		r.count(m.Expected)
		if err := r.deliver(ctx, l, d, m); err != nil {
			if ctx.Err() != nil {
				return nil // stopped; the ledger says that the message was not acknowledged
			}
			return err
		}
		if r.QoS > 0 {
			m.Acked = time.Now()
			r.acked.Add(1)
		}
		if err := r.ledger.acked(m, r.Observe); err != nil {
			return err
		}
	}
	return nil
}

// deliver sends one message and waits for its acknowledgement: as long as the
// schedule lasts, and then for Settle.
func (r *run) deliver(ctx context.Context, l *link, d *device, m Sent) error {
	if d.quota == 0 {
		return l.deliver(ctx, m)
	}
	deadline := r.begun.Add(d.dueAt(d.quota-1, r.Speed))
	if now := time.Now(); deadline.Before(now) {
		deadline = now
	}
	patient, cancel := context.WithDeadline(ctx, deadline.Add(r.Settle))
	defer cancel()
	err := l.deliver(patient, m)
	if err != nil && patient.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("device %s: message %d was not acknowledged within %s after the end of the schedule (is the broker up, and does it take topic %s?)",
			d.id, m.Seq, r.Settle, m.Topic)
	}
	return err
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
