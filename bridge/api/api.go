// Package api is the HTTP server of a running bridge.
package api

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a [Server].
type Options struct {
	Listen   string              // "127.0.0.1:8080"; port 0 takes a free one; "": 127.0.0.1:0
	Token    Token               // required unless the listener is loopback; where set, asked for everything but /healthz and /readyz
	TLS      *tls.Config         // nil: plain HTTP
	Gatherer prometheus.Gatherer // what /metrics shows; nil: there is no /metrics
	Ready    func() []string     // why the bridge is not ready, empty when it is; called concurrently; nil: always ready
	MaxConns int                 // connections at a time, more are closed at once; 0: 256
	Log      *slog.Logger        // nil: nothing is logged
}

// A Token is a bearer token that cannot be printed: only its digest is kept.
type Token struct {
	digest [sha256.Size]byte
	set    bool
}

// NewToken returns the token of a secret; of "", the zero Token.
func NewToken(secret string) Token {
	if secret == "" {
		return Token{}
	}
	return Token{digest: sha256.Sum256([]byte(secret)), set: true}
}

// Format hides the token from every verb of fmt.
func (Token) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[secret]")) }

// A Server answers for a running bridge. Make one with [New].
type Server struct {
	ln net.Listener
}

// New binds the listener.
func New(o Options) (*Server, error) {
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	return &Server{ln: ln}, nil
}

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run serves until ctx ends, then drains.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	return s.ln.Close()
}
