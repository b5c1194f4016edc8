package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge"
	"tocsin/rules"
)

// Options of a [Server]. Their zero value serves on a free loopback port.
type Options struct {
	Listen   string              // "127.0.0.1:8080"; port 0 takes a free one; "": 127.0.0.1:0
	Token    Token               // required unless the listener is loopback; where set, a token is asked for everything but /healthz, /readyz and the public keys
	Hosts    []string            // names that it answers to, beside loopback's on loopback; none elsewhere: any name
	TLS      *tls.Config         // nil: plain HTTP
	Gatherer prometheus.Gatherer // what /metrics shows; nil: there is no /metrics
	Keys     func() any          // the public keys that messages are signed with, as JSON; served to everybody; nil: not served
	Ready    func() []string     // why the bridge is not ready, empty when it is; called concurrently, must not block; nil: always ready
	Later    func() []string     // what of the configuration takes a restart, told beside that; as Ready; nil: nothing
	MaxConns int                 // connections at a time, more are closed at once; 0: 256
	Rates    Rates               // how often anybody is answered
	Log      *slog.Logger        // nil: nothing is logged
	Version  string              // of this program, told to whoever may look

	// Page answers at / and below /page/, to everybody, so there is no data in it;
	// nil: there is no page.
	Page http.Handler
	// Bridge is what the routes under /api/v1 act on; nil: there are none.
	Bridge *bridge.Bridge
	// Reload reads the configuration again, and Plan says what that would do, or
	// what another file would do. Nil: there is no such route.
	Reload func(context.Context) (Reloaded, error)
	Plan   func(ctx context.Context, config string) (Planned, error)
	// Compile compiles the text of a rule file that is tried, as if it stood in the
	// place of those that run. It reads no file, and calls it by name. The program is
	// nil if one of the problems is not a warning. Nil: only what runs can be tried.
	Compile func(name, text string) (*rules.Program, []Problem)
	// Registrar says what endpoints are, and registers more of them.
	Registrar Registrar
}

// What a client may take its time with.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 15 * time.Second
	writeTimeout   = time.Minute // pprof refuses longer profiles by itself
	idleTimeout    = time.Minute
	drainTimeout   = 5 * time.Second
	maxHeaderBytes = 16 << 10
)

// A Server answers for a running bridge. Make one with [New].
type Server struct {
	ln   net.Listener
	http *http.Server
	gate *gate
	tls  bool
	log  *slog.Logger

	maxConns int64
	conns    atomic.Int64
	full     atomic.Bool    // the limit was met and is not yet over
	serving  sync.WaitGroup // one for each connection
}

// New binds the listener. [Server.Run] has to be called, or the listener stays
// bound.
func New(o Options) (*Server, error) {
	listen := cmp.Or(o.Listen, "127.0.0.1:0")
	ln, err := net.Listen(network(listen), listen)
	if err != nil {
		return nil, fmt.Errorf("http.listen: %w (is another process there? choose another address)", err)
	}
	s, err := newServer(&o, ln)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return s, nil
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

func newServer(o *Options, ln net.Listener) (*Server, error) {
	log := orDiscard(o.Log)
	// The address that was bound decides, not what its name looks like.
	addr, ok := ln.Addr().(*net.TCPAddr)
	loopback := ok && addr.IP.IsLoopback()
	if !loopback && !o.Token.set {
		return nil, fmt.Errorf("http.listen: %s can be reached from other machines and there is no token (set http.token, or listen on 127.0.0.1)", o.Listen)
	}
	if !loopback && o.TLS == nil {
		log.Warn("http listener is neither loopback nor TLS: its token travels in the clear", "listen", ln.Addr().String())
	}
	s := &Server{ln: ln, tls: o.TLS != nil, log: log, maxConns: int64(cmp.Or(o.MaxConns, 256))}
	h := newHandler(o, loopback)
	s.gate = h.gate
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          newServerLog(log),
		ConnState:         s.connState,
	}
	if h.control != nil {
		s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(h.control.ending) }))
	}
	if s.tls {
		s.http.TLSConfig = o.TLS.Clone()
		s.http.TLSConfig.MinVersion = max(s.http.TLSConfig.MinVersion, tls.VersionTLS12)
	}
	return s, nil
}

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run serves until ctx ends. Then it gives requests under way 5 seconds, cuts
// off what is left, and returns when the last handler has.
func (s *Server) Run(ctx context.Context) error {
	// A request's context outlives ctx, or there would be nothing to drain; it
	// ends when its connection does, and with the last grace.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s.http.BaseContext = func(net.Listener) context.Context { return base }

	if s.gate.book != nil {
		s.serving.Go(func() { s.gate.keep(base) })
	}
	served := make(chan error, 1)
	go func() {
		if s.tls {
			served <- s.http.ServeTLS(s.ln, "", "")
		} else {
			served <- s.http.Serve(s.ln)
		}
	}()
	var failed error
	select {
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if err := s.http.Shutdown(grace); err != nil {
			s.log.Warn("http requests cut off", "error", err)
		}
		<-served
	case failed = <-served:
	}
	cut()
	// Closing twice is harmless, and what is left to close has had its grace.
	_ = s.http.Close()
	s.serving.Wait()
	if failed != nil {
		return fmt.Errorf("serving http on %s: %w", s.ln.Addr(), failed)
	}
	return nil
}

// connState counts connections and closes those above the limit, which protects
// the file descriptors that devices need too. A connection is counted before
// the goroutine that serves it starts, so waiting misses none.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.serving.Add(1)
		if s.conns.Add(1) > s.maxConns {
			if !s.full.Swap(true) {
				s.log.Warn("http connections refused: too many are open", "limit", s.maxConns)
			}
			_ = c.Close() // its goroutine sees that at its first read
		}
	case http.StateClosed, http.StateHijacked:
		if s.conns.Add(-1) <= s.maxConns/2 {
			s.full.Store(false)
		}
		s.serving.Done()
	}
}
