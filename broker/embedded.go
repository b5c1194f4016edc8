package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
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
	Listener       net.Listener          // plain MQTT by what is bound already; the broker closes it. Nil: none
	TLS            *tls.Config           // required by TLSListen; verified client certificates name the user by CN
	Anonymous      Anonymous             // who may come without a name
	MaxPacket      int                   // bytes of one packet, at most 1 MiB; 0 is 256 KiB
	MaxConnections int                   // 0 is 10,000
	MaxOpen        int                   // connections at a time, those on their way in included, more are closed at once; 0 is no bound
	Rate           float64               // messages and requests per second and client; 0 is 1,000, below 0 is no limit
	Inflight       int                   // messages a client may have open at QoS 2, and duplicates looked for; 0 is 100
	Users          map[string]User       // by name; what is not allowed is refused
	Clients        func(ClientEvent)     // is told who comes and goes, by many at once; nil tells nobody
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

// drainTime is how long a stop waits for messages that are being made safe.
const drainTime = 5 * time.Second

// Embedded is an MQTT broker whose only purpose is to take messages in.
type Embedded struct {
	log            *slog.Logger
	metrics        *embeddedMetrics
	listeners      []*listener
	server         *mqtt.Server
	users          map[string]User
	passwords      *passwords
	anonymous      bool
	maxConnections int
	maxOpen        int64
	open           atomic.Int64 // accepted, and not yet closed
	rate           float64
	inflight       int
	clients        func(ClientEvent) // nil: nobody is told
	seed           maphash.Seed
	lobby          *lobby
	arrivals       *perAddress
	sometimes      *rate.Sometimes

	// Set by Run before anything is served.
	handle Handler
	wait   func(Receipt) error

	running atomic.Bool
	refused atomic.Pointer[time.Time] // when a receipt failed last; nil: acceptance was told since

	mu       sync.Mutex
	stopping bool
	owners   map[string]*conn // who holds which client id
	conns    map[*conn]struct{}
	work     sync.WaitGroup // connections and Wills
}

// NewEmbedded validates the options and binds the listeners. Run must be called
// to serve and, in the end, to close them.
func NewEmbedded(o EmbeddedOptions) (*Embedded, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	e, err := newEmbedded(o)
	if err != nil {
		return nil, err
	}
	if e.listeners, err = listenAll(o); err != nil {
		return nil, err
	}
	if err := e.decideAnonymous(o.Anonymous); err != nil {
		e.closeListeners()
		return nil, err
	}
	return e, nil
}

// newEmbedded makes a broker that listens nowhere.
func newEmbedded(o EmbeddedOptions) (*Embedded, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	metrics, err := newEmbeddedMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	passwords, err := newPasswords(o.Users)
	if err != nil {
		return nil, err
	}
	e := &Embedded{
		log:            log,
		metrics:        metrics,
		users:          maps.Clone(o.Users),
		passwords:      passwords,
		maxConnections: cmp.Or(o.MaxConnections, 10_000),
		maxOpen:        int64(cmp.Or(o.MaxOpen, math.MaxInt)),
		rate:           cmp.Or(o.Rate, 1000),
		inflight:       cmp.Or(o.Inflight, 100),
		clients:        o.Clients,
		seed:           maphash.MakeSeed(),
		lobby:          newLobby(min(doorSize, cmp.Or(o.MaxOpen, doorSize))),
		arrivals:       newPerAddress(arrivalRate, arrivalBurst),
		sometimes:      &rate.Sometimes{First: 20, Interval: time.Second},
		owners:         map[string]*conn{},
		conns:          map[*conn]struct{}{},
	}
	e.server = newServer(e, cmp.Or(o.MaxPacket, 256<<10))
	if err := e.server.AddHook(&hook{broker: e}, nil); err != nil {
		return nil, fmt.Errorf("preparing the mqtt server: %w", err)
	}
	return e, nil
}

// newServer makes the library's broker. It gets no listener: connections are
// accepted here and handed to it.
func newServer(e *Embedded, maxPacket int) *mqtt.Server {
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumPacketSize = uint32(maxPacket)     // #nosec G115 -- checked
	caps.ReceiveMaximum = uint16(e.inflight)       // #nosec G115 -- checked
	caps.MaximumInflight = uint16(e.inflight)      // #nosec G115 -- checked
	caps.MaximumSessionExpiryInterval = maxSession // the default is 136 years
	caps.MaximumClientWritesPending = 64           // the default costs 64 KiB a connection
	caps.TopicAliasMaximum = 0                     // it is not announced, so nobody may use one
	caps.Compatibilities.NoInheritedPropertiesOnAck = true
	return mqtt.New(&mqtt.Options{
		Capabilities:             caps,
		ClientNetReadBufferSize:  4 << 10,
		ClientNetWriteBufferSize: 1, // each packet is one write to our conn, which does the batching
		SysTopicResendInterval:   math.MaxInt32,
		Logger:                   slog.New(quietLog{e.log.Handler()}),
	})
}

// check finds everything that is wrong with the options, all at once.
func (o *EmbeddedOptions) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Listen == "" && o.TLSListen == "" && o.Listener == nil {
		bad("no listener is configured (set listen, for example to 127.0.0.1:1883)")
	}
	if o.TLSListen != "" && o.TLS == nil {
		bad("tls.listen %q has no certificate (set tls.cert and tls.key)", o.TLSListen)
	}
	switch o.Anonymous {
	case "", AnonymousNever, AnonymousLoopback, AnonymousAlways:
	default:
		bad("anonymous is %q (it is never, loopback or always)", o.Anonymous)
	}
	if o.MaxPacket < 0 || o.MaxPacket > 1<<20 {
		bad("max_packet is %d bytes (it is 1 byte to 1 MiB)", o.MaxPacket)
	}
	if o.MaxConnections < 0 || o.MaxConnections > 10_000_000 {
		bad("max_connections is %d (it is 1 to 10,000,000)", o.MaxConnections)
	}
	if o.Inflight < 0 || o.Inflight > 65535 {
		bad("per_client.inflight is %d (it is 1 to 65,535)", o.Inflight)
	}
	if math.IsNaN(o.Rate) || o.Rate > math.MaxInt32 {
		bad("per_client.rate is %v messages per second (it is at most 2,147,483,647; leave it out for 1,000)", o.Rate)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Users)) {
		if err := checkName(name); err != nil || name == "" {
			bad("user %q: the name is empty or %w (choose another)", name, cmp.Or(err, errName))
		}
		for _, f := range o.Users[name].Publish {
			if err := checkFilter(f); err != nil {
				bad("user %q: publish: %w", name, err)
			} else if strings.HasPrefix(f, "$") {
				bad("user %q: publish: %q begins with $ (such topics belong to the broker)", name, f)
			}
		}
		for _, f := range o.Users[name].Subscribe {
			if err := checkFilter(f); err != nil {
				bad("user %q: subscribe: %w", name, err)
			}
		}
	}
	return errors.Join(errs...)
}

// decideAnonymous looks at the bound addresses, not at what they were called.
func (e *Embedded) decideAnonymous(a Anonymous) error {
	outside := ""
	for _, l := range e.listeners {
		if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
			outside = l.Addr().String()
		}
	}
	switch {
	case a == AnonymousAlways, a == AnonymousLoopback && outside == "":
		e.anonymous = true
	case len(e.users) > 0:
	case a == AnonymousLoopback:
		return fmt.Errorf("listening on %s, which others can reach: anonymous clients are let in on loopback only and no user is configured, so nobody could connect (add a user, or listen on 127.0.0.1)", outside)
	default:
		return errors.New("anonymous clients are not let in and no user is configured, so nobody could connect (add a user, or allow anonymous clients on loopback)")
	}
	return nil
}

// Addrs returns where the broker listens.
func (e *Embedded) Addrs() []Addr {
	var out []Addr
	for _, l := range e.listeners {
		out = append(out, Addr{l.name, l.Addr()})
	}
	return out
}

// Ready returns nil, or why the broker takes nobody in.
func (e *Embedded) Ready() error {
	if !e.running.Load() {
		return errors.New("the embedded broker is not running")
	}
	for _, l := range e.listeners {
		if err := l.failing(); err != nil {
			return fmt.Errorf("%s listener on %s accepts no connections: %w (if files are short, raise the limit of open files or lower max_connections)", l.name, l.Addr(), err)
		}
	}
	return nil
}

// Run serves until ctx ends. Then it accepts nobody, lets messages that are
// being made safe be acknowledged, disconnects everybody and returns. It may be
// called once.
func (e *Embedded) Run(ctx context.Context, handle Handler) error {
	receipts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	e.handle = handle
	e.wait = func(r Receipt) error { return r(receipts) }
	if err := e.server.Serve(); err != nil {
		e.closeListeners()
		return fmt.Errorf("starting the mqtt server: %w", err)
	}
	var accepting sync.WaitGroup
	for _, l := range e.listeners {
		accepting.Go(func() { e.accept(ctx, l) })
	}
	e.running.Store(true)
	<-ctx.Done()
	e.running.Store(false)
	e.closeListeners()
	accepting.Wait()
	return e.drain(cancel)
}

// drain ends all connections, the library's broker last. The library can wait
// for ever, so everything has an end of ours.
func (e *Embedded) drain(cancelReceipts func()) error {
	e.disconnectAll()
	idle := make(chan struct{})
	go func() {
		e.work.Wait()
		_ = e.server.Close() // nothing is left that it could wait for
		close(idle)
	}()
	if waitFor(idle, drainTime) {
		return nil
	}
	cancelReceipts()
	e.mu.Lock()
	left := len(e.conns)
	for c := range e.conns {
		_ = c.Conn.Close()
	}
	e.mu.Unlock()
	if waitFor(idle, drainTime) {
		e.log.Warn("connections cut off while stopping", "connections", left)
		return nil
	}
	return fmt.Errorf("stopping the embedded broker: %d connections did not end within %v", left, 2*drainTime)
}

func waitFor(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// disconnectAll tells everybody to go. A client that does not read delays its
// own goodbye only.
func (e *Embedded) disconnectAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopping = true
	for c := range e.conns {
		if !c.owner {
			_ = c.Close()
			continue
		}
		e.work.Go(func() { e.hangUp(c, packets.ErrServerShuttingDown) })
	}
}

// takeWill hands a Will to the handler. Stopping is no reason to announce the
// death of every device.
func (e *Embedded) takeWill(m Message) {
	e.mu.Lock()
	if e.stopping {
		e.mu.Unlock()
		return
	}
	e.work.Add(1)
	e.mu.Unlock()
	receipt := e.handle(m)
	if receipt == nil {
		e.work.Done()
		return
	}
	go func() {
		defer e.work.Done()
		if err := e.wait(receipt); err != nil {
			e.noteRefusal(err)
		}
	}()
}

// noteRefusal counts a message that is not safe and logs the first of a row.
func (e *Embedded) noteRefusal(err error) {
	e.metrics.refused.Inc()
	now := time.Now()
	if e.refused.Swap(&now) == nil {
		e.sometimes.Do(func() { e.log.Error("messages are refused until they can be made safe again", "error", err) })
	}
}

// steadyFor is how long nothing may have been refused before it is told that messages
// are accepted again: what one connection handed over before another was refused may
// be answered after it.
const steadyFor = time.Second

func (e *Embedded) noteAccepted() {
	last := e.refused.Load()
	if last != nil && time.Since(*last) >= steadyFor && e.refused.CompareAndSwap(last, nil) {
		e.sometimes.Do(func() { e.log.Info("messages are accepted again") })
	}
}
