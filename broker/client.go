package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ClientOptions configure a subscription at an external broker.
type ClientOptions struct {
	URL        string                // mqtt, mqtts, ws or wss
	ClientID   string                // required: the broker keeps our messages under it
	Username   string                // "" sends none, or what the URL names
	Password   string                // never logged
	TLS        *tls.Config           // nil is the system's roots; for mqtts and wss
	Topics     []string              // filters, subscribed at QoS 1
	Share      string                // a name makes every filter $share/NAME/filter
	Name       string                // the source label of metrics and logs; "" is "external"
	Log        *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil registers nothing
}

const (
	connectTimeout = 10 * time.Second
	// clientKeepalive is how long nothing may come before the broker is asked for a
	// sign of life, and unheardTime how long before it is taken for out of reach. A
	// network that is cut breaks no connection, and whoever cannot be heard must not be
	// taken for silent.
	clientKeepalive = 5 * time.Second
	unheardTime     = 2 * clientKeepalive
	// queueSize is how many messages may wait for their receipts. A broker sends
	// so many at QoS 1 only if it was told to; at QoS 0 there is no other limit.
	queueSize = 1024
	// disconnectTime is how long a clean goodbye may take.
	disconnectTime = 250 * time.Millisecond

	minBackoff = time.Second
	maxBackoff = 30 * time.Second
	// shortLife is how soon a connection that ends has never worked.
	shortLife = 10 * time.Second
)

// A Client takes messages from an external broker under a persistent session:
// what it does not acknowledge, the broker keeps and sends again.
//
// Each connection has its own MQTT client, its own queue and its own goroutine
// that acknowledges, in order of arrival. So an acknowledgement can not reach
// another connection than the one that its message came by, where the packet id
// may mean another message.
type Client struct {
	options ClientOptions
	url     *url.URL // without user and password
	log     *slog.Logger
	metrics *clientMetrics
	filters map[string]byte
	why     atomic.Pointer[error] // why no messages are coming; nil while they are
	open    func(ctx context.Context, u *url.URL) (net.Conn, error)
	made    time.Time
	heard   atomic.Int64 // when something came from the broker last, in nanoseconds since made
}

// NewClient validates the options. It does not connect.
func NewClient(o ClientOptions) (*Client, error) {
	u, err := o.check()
	if err != nil {
		return nil, err
	}
	o.Name = cmp.Or(o.Name, "external")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	metrics, err := newClientMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	c := &Client{options: o, url: u, metrics: metrics, filters: map[string]byte{},
		log: o.Log.With("source", o.Name, "broker", u.String()), made: time.Now()}
	c.open = func(ctx context.Context, u *url.URL) (net.Conn, error) { return dial(ctx, u, o.TLS) }
	for _, f := range o.Topics {
		if o.Share != "" {
			f = "$share/" + o.Share + "/" + f
		}
		c.filters[f] = 1
	}
	c.down(errors.New("not connected yet"))
	metrics.sessionsLost.WithLabelValues(o.Name)
	return c, nil
}

// check finds what is wrong with the options and moves the URL's credentials to
// where they are not printed.
func (o *ClientOptions) check() (*url.URL, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" {
		// The parser's error repeats the URL and what secret it may hold.
		return nil, errors.New("url is not a broker's address (write it like mqtts://broker.example.com:8883)")
	}
	ports := map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}
	port, ok := ports[u.Scheme]
	if !ok {
		bad("url has scheme %q (it is mqtt, mqtts, ws or wss)", u.Scheme)
	}
	if u.User != nil {
		o.Username = cmp.Or(o.Username, u.User.Username())
		if p, set := u.User.Password(); set && o.Password == "" {
			o.Password = p
		}
		u.User = nil
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	if o.ClientID == "" {
		bad("client_id is empty (the broker keeps messages under it while we are away; choose a name that nobody else uses there)")
	}
	if o.Password != "" && o.Username == "" {
		bad("a password is given without a username (MQTT 3.1.1 cannot send one)")
	}
	if len(o.Topics) == 0 {
		bad("no topic is given (add a source, or its topic)")
	}
	for _, f := range o.Topics {
		if err := checkFilter(f); err != nil {
			bad("topic %w", err)
		}
	}
	if strings.ContainsAny(o.Share, "+#/") {
		bad("share is %q (it is a name without + # /)", o.Share)
	}
	return u, errors.Join(errs...)
}

// Ready returns nil, or why no messages are coming.
func (c *Client) Ready() error {
	if err := c.why.Load(); err != nil {
		return fmt.Errorf("source %s at %s: %w", c.options.Name, c.url, *err)
	}
	if d := time.Since(c.made) - time.Duration(c.heard.Load()); d > unheardTime {
		return fmt.Errorf("source %s at %s: nothing has come from the broker for %s, not even the answer to a ping "+
			"(check the network between here and there)", c.options.Name, c.url, d.Round(time.Second))
	}
	return nil
}

// hears takes note of a sign of life.
func (c *Client) hears() { c.heard.Store(int64(time.Since(c.made))) }

func (c *Client) down(err error) { c.why.Store(&err) }

func (c *Client) up() {
	c.hears()
	c.why.Store(nil)
}

// Run connects, subscribes and takes messages until ctx ends, and connects again
// whenever the connection is lost. It may be called once.
func (c *Client) Run(ctx context.Context, handle Handler) error {
	var (
		backoff   = minBackoff
		connected bool   // at least once
		short     int    // connections in a row that ended at once
		last      string // error last logged
	)
	for {
		started := time.Now()
		s := &session{client: c, handle: handle}
		err := s.run(ctx, connected)
		if ctx.Err() != nil {
			c.down(errors.New("stopped"))
			return nil
		}
		c.down(err)
		connected = connected || s.subscribed
		if s.admitted && time.Since(started) < shortLife {
			short++
		} else {
			short = 0
		}
		if s.useful || s.subscribed && short == 0 {
			backoff = minBackoff
		}
		if err.Error() != last {
			last = err.Error()
			c.log.Error("no messages from the external broker; trying again", "error", err)
		}
		if short == 3 {
			c.log.Warn("connections end right after they are made (if the broker's log speaks of a session taken over, "+
				"another process uses this client id: give each its own client_id)", "client_id", c.options.ClientID, "error", err)
		}
		pause := time.NewTimer(jitter(backoff))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// jitter is between a half and the whole of d, so that those who were cut off
// together do not come back together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2) // #nosec G404 -- spreads load, protects nothing
}
