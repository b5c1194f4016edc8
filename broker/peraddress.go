package broker

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxAddresses bounds what is remembered of who connects from where.
const maxAddresses = 4096

// perAddress is a token bucket for each network address. It remembers the last
// few thousand addresses; one that is forgotten starts with a full bucket.
type perAddress struct {
	limit rate.Limit
	burst int

	mu    sync.Mutex
	young map[netip.Addr]*rate.Limiter
	old   map[netip.Addr]*rate.Limiter
}

func newPerAddress(limit rate.Limit, burst int) *perAddress {
	return &perAddress{limit: limit, burst: burst, young: map[netip.Addr]*rate.Limiter{}}
}

// allow takes a token, or says that there is none.
func (p *perAddress) allow(a netip.Addr) bool { return p.bucket(a).Allow() }

// left says whether a token is there and takes none.
func (p *perAddress) left(a netip.Addr) bool { return p.bucket(a).TokensAt(time.Now()) >= 1 }

func (p *perAddress) bucket(a netip.Addr) *rate.Limiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.young[a]; ok {
		return l
	}
	l, ok := p.old[a]
	if !ok {
		l = rate.NewLimiter(p.limit, p.burst)
	}
	if len(p.young) >= maxAddresses {
		p.young, p.old = map[netip.Addr]*rate.Limiter{}, p.young
	}
	p.young[a] = l
	return l
}

// addressOf is who is counted: an IPv4 address, or the network of an IPv6 one,
// of which one household has 2⁶⁴ addresses.
func addressOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := tcp.AddrPort().Addr().Unmap()
	if ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}
