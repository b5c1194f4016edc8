package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// resubscribeTime is how often a filter that was refused is asked for again.
const resubscribeTime = time.Minute

// A session is one connection to the external broker.
type session struct {
	client *Client
	handle Handler

	queue      chan arrival
	lost       chan error    // the first reason why the connection ends
	ending     chan struct{} // closed when nothing more is to be handled
	ended      chan struct{} // closed when nothing more is acknowledged
	admitted   bool          // the broker has let us in
	subscribed bool
	useful     bool // a message was acknowledged

	arrivals atomic.Int64 // messages
	answered atomic.Bool  // the broker has said what it thinks of our filters
}

// arrival is a message that was handled and waits for its receipt.
type arrival struct {
	message paho.Message
	receipt Receipt
}

// run lives as long as the connection and returns why it ended. again says that
// there was a connection before, so the broker should know us.
func (s *session) run(ctx context.Context, again bool) error {
	s.queue = make(chan arrival, queueSize)
	s.lost = make(chan error, 1)
	s.ending = make(chan struct{})
	s.ended = make(chan struct{})
	receipts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		defer close(s.ended)
		s.acknowledge(receipts)
	}()
	conn := paho.NewClient(s.options(ctx))
	err := s.connect(ctx, conn, again)
	if err == nil {
		err = s.stay(ctx, conn)
	}
	close(s.ending)
	if ctx.Err() == nil || !waitFor(s.ended, drainTime) {
		cancel() // the connection is gone, or time is up
		<-s.ended
	}
	conn.Disconnect(uint(disconnectTime / time.Millisecond))
	return err
}

// acknowledge waits for receipts and acknowledges, in order of arrival. A
// receipt that fails ends the connection: the broker sends that message and all
// that follow again.
func (s *session) acknowledge(receipts context.Context) {
	one := func(a arrival) bool {
		if a.receipt != nil {
			if err := a.receipt(receipts); err != nil {
				if receipts.Err() == nil {
					s.client.metrics.refused.WithLabelValues(s.client.options.Name).Inc()
					s.lose(fmt.Errorf("a message could not be made safe and is left to the broker: %w", err))
				}
				return false
			}
		}
		// gofail: var beforeUpstreamAcknowledgement struct{}
		a.message.Ack()
		s.useful = true
		return true
	}
	for {
		select {
		case a := <-s.queue:
			if !one(a) {
				return
			}
			continue
		case <-s.ending:
		}
		for { // what is waiting may still be acknowledged
			select {
			case a := <-s.queue:
				if !one(a) {
					return
				}
			default:
				return
			}
		}
	}
}

// arrived is called by the MQTT client for one message after the other.
func (s *session) arrived(_ paho.Client, m paho.Message) {
	select {
	case <-s.ending:
		return
	case <-s.ended:
		return
	default:
	}
	// The broker knows our session and what we want: it serves us already.
	if s.arrivals.Add(1) == 1 && !s.answered.Load() {
		s.client.up()
	}
	receipt := s.handle(Message{
		Topic:    m.Topic(),
		Payload:  m.Payload(),
		PacketID: m.MessageID(),
		QoS:      m.Qos(),
		Dup:      m.Duplicate(),
		Retained: m.Retained(),
		Received: time.Now(),
	})
	select {
	case s.queue <- arrival{m, receipt}:
	case <-s.ended:
	}
}

func (s *session) lose(err error) {
	select {
	case s.lost <- err:
	default: // another reason was first
	}
}

func (s *session) options(ctx context.Context) *paho.ClientOptions {
	o := s.client.options
	return paho.NewClientOptions().
		AddBroker(s.client.url.String()).
		SetProtocolVersion(4).
		SetClientID(o.ClientID).
		SetUsername(o.Username).
		SetPassword(o.Password).
		SetCleanSession(false).
		SetAutoReconnect(false). // a new connection is a new client, see Client
		SetConnectRetry(false).
		SetOrderMatters(true).
		SetAutoAckDisabled(true).
		SetKeepAlive(clientKeepalive).
		SetPingTimeout(connectTimeout).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(writeTimeout).
		SetDefaultPublishHandler(s.arrived).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.lose(explain("connection lost", err)) }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
			conn, err := s.client.open(ctx, u)
			if err != nil {
				return nil, err
			}
			return &guardedConn{Conn: conn, filters: len(s.client.filters), heard: s.client.hears}, nil
		})
}

// dial opens the transport.
func dial(ctx context.Context, u *url.URL, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	switch u.Scheme {
	case "mqtt":
		return new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	case "mqtts":
		return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", u.Host)
	}
	return paho.NewWebsocket(u.String(), config, connectTimeout, nil, nil)
}

// connect returns when messages are on their way.
func (s *session) connect(ctx context.Context, conn paho.Client, again bool) error {
	c := s.client
	token := conn.Connect()
	select {
	case <-token.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := token.Error(); err != nil {
		return explain("connecting to "+c.url.Host, err)
	}
	c.metrics.connects.WithLabelValues(c.options.Name).Inc()
	s.admitted = true
	present := token.(*paho.ConnectToken).SessionPresent()
	c.log.Info("connected to the external broker", "session_present", present)
	if again && !present {
		c.metrics.sessionsLost.WithLabelValues(c.options.Name).Inc()
		c.log.Warn("the external broker had forgotten our session: messages sent while we were away are lost (let it keep sessions on disk and for longer)",
			"client_id", c.options.ClientID)
	}
	refused, err := s.subscribe(ctx, conn, c.filters)
	if err != nil {
		return err
	}
	s.subscribed = true
	s.report(refused)
	return nil
}

// stay returns when the connection ends.
func (s *session) stay(ctx context.Context, conn paho.Client) error {
	again := time.NewTicker(resubscribeTime)
	defer again.Stop()
	for {
		select {
		case err := <-s.lost:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
		if s.client.Ready() == nil {
			continue
		}
		refused, err := s.subscribe(ctx, conn, s.client.filters)
		if err != nil {
			return err
		}
		s.report(refused)
	}
}

// subscribe asks for the filters and returns those that were refused.
func (s *session) subscribe(ctx context.Context, conn paho.Client, filters map[string]byte) ([]string, error) {
	token := conn.SubscribeMultiple(filters, nil)
	if err := s.await(ctx, token.Done()); err != nil {
		return nil, err
	}
	s.answered.Store(true)
	if err := token.Error(); err != nil {
		select { // the connection's own reason says more and comes a little later
		case err = <-s.lost:
		case <-time.After(connectTimeout):
		}
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	var refused []string
	granted := token.(*paho.SubscribeToken).Result()
	for _, f := range slices.Sorted(maps.Keys(filters)) {
		switch qos, ok := granted[f]; {
		case !ok || qos > 2:
			refused = append(refused, f)
		case qos == 0:
			s.client.log.Warn("the external broker grants QoS 0 only: messages are lost when we are away or refuse them", "topic", f)
		}
	}
	return refused, nil
}

// await waits for the answer to a SUBSCRIBE, for as long as messages come: a
// broker may send all that it has kept for us first.
func (s *session) await(ctx context.Context, answer <-chan struct{}) error {
	patience := time.NewTicker(connectTimeout)
	defer patience.Stop()
	for before := s.arrivals.Load(); ; {
		select {
		case <-answer:
			return nil
		case err := <-s.lost:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
		}
		now := s.arrivals.Load()
		if now == before {
			return errors.New("the broker does not answer a subscription")
		}
		before = now
	}
}

// report makes the outcome of a subscription visible.
func (s *session) report(refused []string) {
	if len(refused) == 0 {
		s.client.up()
		return
	}
	err := fmt.Errorf("the broker refused the subscription to %s (allow user %q, client id %q to read it there)",
		strings.Join(refused, ", "), s.client.options.Username, s.client.options.ClientID)
	s.client.log.Error("no messages for a topic", "error", err)
	s.client.down(err)
}

// explain says what happened and what to do about a connection that failed.
func explain(what string, err error) error {
	err = cause(err)
	remedy := ""
	var (
		unknownCA x509.UnknownAuthorityError
		wrongName x509.HostnameError
		badCert   x509.CertificateInvalidError
		dns       *net.DNSError
	)
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		err = errors.New("the broker does not let us in")
		remedy = "check username and password, and what the broker allows them"
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		err = errors.New("the broker does not take our client id")
		remedy = "choose another client_id"
	case errors.Is(err, packets.ErrorRefusedBadProtocolVersion):
		err = errors.New("the broker does not speak MQTT 3.1.1")
		remedy = "let it, or use another"
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		err = errors.New("the broker says that it is not available")
		remedy = "its log says why"
	case errors.As(err, &unknownCA):
		remedy = "name the authority that signed the broker's certificate in tls.ca"
	case errors.As(err, &wrongName), errors.As(err, &badCert):
		remedy = "the broker's certificate must be valid and carry the host name of url"
	case errors.As(err, &dns):
		remedy = "check the host name of url"
	case errors.Is(err, syscall.ECONNREFUSED):
		remedy = "check that the broker runs and listens at the port of url"
	case errors.Is(err, io.EOF):
		err = errors.New("the broker closed the connection")
		remedy = "its log says why"
	}
	if remedy == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w (%s)", what, err, remedy)
}

// cause takes off what the library and package net put around an error, and what
// our own words say better.
func cause(err error) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok && errors.Is(err, packets.ErrorNetworkError) {
		all := several.Unwrap()
		err = all[len(all)-1]
	}
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "dial" || op.Op == "read" || op.Op == "write") {
		err = op.Err
	}
	if sys, ok := err.(*os.SyscallError); ok {
		err = sys.Err
	}
	return err
}
