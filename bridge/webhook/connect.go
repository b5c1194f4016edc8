package webhook

import (
	"context"
	"net"
	"net/http/httptrace"
	"strconv"
	"time"
)

// Connect connects to the endpoint as an attempt would, through its proxy and with
// its certificates, and sends it nothing. Result has the address, the times and the
// certificates' end; Err is nil when a message could be sent.
func (s *Sender) Connect(parent context.Context) Result {
	start := time.Now()
	ctx, cancel := context.WithTimeout(parent, s.timeout)
	defer cancel()
	var p progress
	address := net.JoinHostPort(s.url.Hostname(), strconv.Itoa(portOf(s.url)))
	transport := s.transport.Clone()
	transport.MaxConnsPerHost = 0 // a connection made by hand is not counted in, and go1.26 panics when it is counted out
	conn, err := transport.NewClientConn(httptrace.WithClientTrace(ctx, p.trace()), s.url.Scheme, address)
	if err == nil {
		_ = conn.Close()
	} else {
		err = s.wrap(s.explain(parent, ctx, &p, err))
	}
	r := Result{Err: err, CertExpiry: s.seen.time(), Took: time.Since(start)}
	p.note(&r)
	return r
}
