package webhook

import (
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"time"
)

// Timing says how long the parts of an attempt took. What did not happen took no
// time: over a connection that was open there was no lookup.
type Timing struct {
	Lookup  time.Duration // of the host's addresses
	Connect time.Duration // until TCP was established, with the endpoint or its proxy
	TLS     time.Duration // the handshake
	Answer  time.Duration // from the request's last byte to the answer's first
}

type step uint8

const (
	stepLookup step = iota
	stepConnect
	stepTLS
	stepWrite
	stepAnswer
)

func (s step) String() string {
	return [...]string{
		"looking up the host", "connecting", "agreeing on TLS", "sending the request", "waiting for the answer",
	}[s]
}

// progress knows how far an attempt has come, and how long that took. The
// transport tells it from goroutines of its own, even after the attempt has
// ended: dials race each other, and one may go on for somebody else.
type progress struct {
	mu     sync.Mutex
	step   step
	began  [stepAnswer + 1]time.Time // zero: not yet
	timing Timing
	addr   netip.AddrPort
	reused bool
}

// at notes that a step began. An attempt never steps back.
func (p *progress) at(s step) {
	now := time.Now()
	p.mu.Lock()
	p.step = max(p.step, s)
	if p.began[s].IsZero() {
		p.began[s] = now
	}
	p.mu.Unlock()
}

// took notes how long it is since a step began, once.
func (p *progress) took(s step, d *time.Duration) {
	p.mu.Lock()
	if began := p.began[s]; !began.IsZero() && *d == 0 {
		*d = time.Since(began)
	}
	p.mu.Unlock()
}

func (p *progress) connected(i httptrace.GotConnInfo) {
	p.at(stepWrite)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reused = i.Reused
	if tcp, ok := i.Conn.RemoteAddr().(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		p.addr = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
}

// note writes what is known into a result.
func (p *progress) note(r *Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Reused, r.Addr, r.Timing = p.reused, p.addr, p.timing
}

func (p *progress) reached(s step) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.step >= s
}

func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.step.String()
}

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { p.at(stepLookup) },
		DNSDone:           func(httptrace.DNSDoneInfo) { p.took(stepLookup, &p.timing.Lookup) },
		ConnectStart:      func(_, _ string) { p.at(stepConnect) },
		ConnectDone:       p.connectDone,
		TLSHandshakeStart: func() { p.at(stepTLS) },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { p.took(stepTLS, &p.timing.TLS) },
		GotConn:           p.connected,
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			if i.Err == nil {
				p.at(stepAnswer)
			}
		},
		GotFirstResponseByte: func() { p.took(stepAnswer, &p.timing.Answer) },
	}
}

func (p *progress) connectDone(_, address string, err error) {
	if err != nil {
		return
	}
	p.took(stepConnect, &p.timing.Connect)
	if ap, err := netip.ParseAddrPort(address); err == nil {
		p.mu.Lock()
		p.addr = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
		p.mu.Unlock()
	}
}
