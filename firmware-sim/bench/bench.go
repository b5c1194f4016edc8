// Package bench sends a broker as much as it takes, or as much as is asked for,
// and tells how long the acknowledgements took. It writes MQTT's frames itself,
// so that it is not what is measured: many messages go out in one write.
//
// It plays no devices and keeps no ledger. [Run] owns one goroutine for each
// connection and returns when all have ended.
package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options say what to send.
type Options struct {
	// Broker is mqtt://host:port or mqtts://host:port. Empty: mqtt://127.0.0.1:1883.
	Broker string
	// Username and Password are given on every connection.
	Username, Password string
	// TLS secures connections to mqtts://. Nil: the system's authorities are trusted.
	TLS *tls.Config
	// Conns is how many connections there are. 0: 1.
	Conns int
	// QoS is 0, 1 or 2. At 0 nothing is acknowledged, and no latency is known.
	QoS byte
	// Rate is how many messages in a second all connections send together, each
	// when it is due, however late the ones before it are. 0: as many as go.
	Rate float64
	// Size is that of a payload, in bytes. 0: 200.
	Size int
	// Window is how many messages of a connection may be unacknowledged, as a
	// gateway has many and a device one. 0: 1.
	Window int
	// Duration is how long messages are sent. 0: 10 s.
	Duration time.Duration
	// Topic is where connection number %d sends. Empty: bench/%05d/telemetry.
	Topic string
}

// Limits, so that a slip of the pen is an error.
const (
	maxConns  = 50_000
	maxSize   = 1 << 20
	maxWindow = 1 << 14
	settle    = 5 * time.Second // for the last acknowledgements
	draining  = time.Minute     // for the broker to read what was sent at QoS 0
	dialing   = 64              // connections that are made at once
	patience  = 10 * time.Second
)

// A Result is what came of it.
type Result struct {
	Sent, Acked uint64
	Took        time.Duration // from the first message until the last was acknowledged or, at QoS 0, read
	Connecting  time.Duration
	Latencies   Histogram     // from when a message was due or, without a rate, sent
	CPU         time.Duration // of this process, while it sent
	Cores       int           // that it may use
	Waited      time.Duration // of all connections, for the broker to take or to answer something
	Limit       Limit         // what kept more from being sent
	Seen        string        // by what that is known
	Broken      int           // connections that did not last
	FirstError  error         // of one of them
}

// Check reports what is wrong with options.
func (o Options) Check() error {
	_, _, err := o.withDefaults()
	return err
}

func (o Options) withDefaults() (Options, *url.URL, error) {
	if o.Broker == "" {
		o.Broker = "mqtt://127.0.0.1:1883"
	}
	if o.Topic == "" {
		o.Topic = "bench/%05d/telemetry"
	}
	o.Conns, o.Size, o.Window = orElse(o.Conns, 1), orElse(o.Size, 200), orElse(o.Window, 1)
	if o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
	u, err := url.Parse(o.Broker)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "mqtt" && u.Scheme != "mqtts":
		return o, nil, errors.New("broker: not a broker's address (write mqtt://host:1883 or mqtts://host:8883, and -u and -P for who you are)")
	case o.QoS > 2:
		return o, nil, fmt.Errorf("qos %d: there is none (use 0, 1 or 2)", o.QoS)
	case o.Conns < 1 || o.Conns > maxConns:
		return o, nil, fmt.Errorf("conns %d: cannot be opened (use 1 to %d)", o.Conns, maxConns)
	case o.Size < smallest || o.Size > maxSize:
		return o, nil, fmt.Errorf("size %d: cannot be sent (use %d to %d)", o.Size, smallest, maxSize)
	case o.Window < 1 || o.Window > maxWindow:
		return o, nil, fmt.Errorf("window %d: cannot be kept (use 1 to %d)", o.Window, maxWindow)
	case !(o.Rate >= 0 && o.Rate <= 1e8):
		return o, nil, fmt.Errorf("rate %v: cannot be sent (use 0 for as many as go)", o.Rate)
	case badTopic(o.Topic):
		return o, nil, fmt.Errorf("topic %q: is not one (write one like bench/%%05d/telemetry, where %%d is the connection)", o.Topic)
	case o.Duration < 0:
		return o, nil, fmt.Errorf("duration %s: is negative (use 10s)", o.Duration)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"mqtt": "1883", "mqtts": "8883"}[u.Scheme])
	}
	return o, u, nil
}

// badTopic reports whether a topic cannot be published to.
func badTopic(template string) bool {
	one := topicOf(template, 1)
	return one == "" || len(one) > 1000 || strings.ContainsAny(one, "+#\x00") || strings.Contains(one, "%!")
}

// topicOf is where a connection sends.
func topicOf(template string, number int) string {
	if !strings.Contains(template, "%") {
		return template
	}
	return fmt.Sprintf(template, number)
}

func orElse(v, otherwise int) int {
	if v == 0 {
		return otherwise
	}
	return v
}

// A load is what the connections of one Run share.
type load struct {
	Options
	url         *url.URL
	begin, end  time.Time
	sent, acked atomic.Uint64
	waited      atomic.Int64
	latencies   recorder

	mu     sync.Mutex
	broken int
	first  error
}

// Run sends until Duration is over or ctx ends. An error is of connecting; a
// connection that breaks later is counted.
func Run(ctx context.Context, o Options) (Result, error) {
	o, u, err := o.withDefaults()
	if err != nil {
		return Result{}, err
	}
	l := &load{Options: o, url: u}
	begun := time.Now()
	conns, err := l.connect(ctx)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close() // it is over
			}
		}
	}()
	if err != nil {
		return Result{}, err
	}
	r := Result{Connecting: time.Since(begun)}
	used := cpu()
	l.begin = time.Now()
	l.end = l.begin.Add(o.Duration)
	stop := context.AfterFunc(ctx, func() {
		for _, c := range conns {
			_ = c.Close() // wakes who reads
		}
	})
	defer stop()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			if err := newSender(l, c, i).run(ctx); err != nil && ctx.Err() == nil {
				l.fail(err)
			}
		})
	}
	wg.Wait()
	r.Took, r.CPU = time.Since(l.begin), cpu()-used
	r.Cores, r.Waited = runtime.GOMAXPROCS(0), time.Duration(l.waited.Load())
	r.Sent, r.Acked, r.Latencies = l.sent.Load(), l.acked.Load(), l.latencies.histogram()
	r.Broken, r.FirstError = l.broken, l.first
	r.Limit, r.Seen = r.limit(&o)
	return r, nil
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken++; l.first == nil {
		l.first = err
	}
}

// connect opens all connections, some at once.
func (l *load) connect(ctx context.Context) ([]net.Conn, error) {
	conns := make([]net.Conn, l.Conns)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	slots := make(chan struct{}, dialing)
	for i := range conns {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c, err := l.open(ctx, i)
			if err != nil {
				cancel(fmt.Errorf("connection %d of %d to %s: %w", i+1, l.Conns, l.url.Host, err))
			}
			conns[i] = c
		})
	}
	wg.Wait()
	return conns, context.Cause(ctx)
}

func (l *load) open(ctx context.Context, i int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.url.Host)
	if err != nil {
		return nil, err
	}
	if l.url.Scheme == "mqtts" {
		c := &tls.Config{MinVersion: tls.VersionTLS12}
		if l.TLS != nil {
			c = l.TLS.Clone()
		}
		c.ServerName = l.url.Hostname()
		conn = tls.Client(conn, c)
	}
	if err := l.greet(conn, fmt.Sprintf("bench-%05d", i)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (l *load) greet(conn net.Conn, id string) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := conn.Write(connectFrame(id, l.Username, l.Password)); err != nil {
		return err
	}
	var answer [4]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return fmt.Errorf("waiting for the broker's answer: %w", err)
	}
	if answer[0] != connack || answer[3] != 0 {
		return fmt.Errorf("the broker refuses it with code %d (check -u and -P, and what the broker allows)", answer[3])
	}
	return conn.SetDeadline(time.Time{})
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
