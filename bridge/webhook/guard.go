package webhook

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// A guard decides which addresses may be connected to. It runs as the dialer's
// control function: after names are resolved, on the very address of the connect
// call that follows, so no name, no redirect and no second DNS answer gets past.
type guard struct {
	public *ssrf.Guardian   // everything but the public Internet is refused
	allow  []netip.Prefix   // what the operator named on top
	ports  []int            // none: any
	own    []netip.AddrPort // our own listeners
}

func newGuard(o *Options) (*guard, error) {
	for _, p := range o.AllowCIDRs {
		if !p.IsValid() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("egress.allow_cidrs contains %s, which is not an address range (write for example 10.1.0.0/16)", p)
		}
	}
	return &guard{public: ssrf.New(ssrf.WithAnyPort()), allow: o.AllowCIDRs, ports: o.Ports, own: o.Own}, nil
}

// control is a [net.Dialer.ControlContext].
func (g *guard) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return &blockedError{fmt.Sprintf("network %s is not TCP", network)}
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &blockedError{fmt.Sprintf("address %s cannot be checked", clip(address))}
	}
	return g.judge(ap)
}

// judge says why an address and port may not be connected to.
func (g *guard) judge(ap netip.AddrPort) error {
	if err := g.judgePort(int(ap.Port())); err != nil {
		return err
	}
	if err := g.admit(ap.Addr()); err != nil {
		return err
	}
	ip := ap.Addr().Unmap()
	for _, own := range g.own {
		if own.Port() == ap.Port() && (own.Addr().Unmap() == ip || own.Addr().IsUnspecified() && ours(ip)) {
			return &blockedError{fmt.Sprintf("address %s is one of tocsin's own listeners (name the receiver in the url)", ap)}
		}
	}
	return nil
}

func (g *guard) judgePort(port int) error {
	if len(g.ports) > 0 && !slices.Contains(g.ports, port) {
		return &blockedError{fmt.Sprintf("port %d is not one of egress.ports", port)}
	}
	return nil
}

// ours reports whether this machine answers to an address.
func ours(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(addrs, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Unmap().WithZone("") == ip.WithZone("")
	})
}

// CheckAddress says why nothing is sent to an address, with these ranges allowed
// beside the public Internet.
func CheckAddress(addr netip.Addr, allow []netip.Prefix) error {
	g, err := newGuard(&Options{AllowCIDRs: allow})
	if err != nil {
		return err
	}
	return g.admit(addr)
}

func (g *guard) admit(addr netip.Addr) error {
	ip := addr.Unmap()
	if v4, ok := embedded(ip); ok {
		if err := g.admit(v4); err != nil {
			return &blockedError{fmt.Sprintf("address %s leads to %s, which is not allowed", ip, v4)}
		}
		if nat64.Contains(ip) {
			return nil // how a network without IPv4 reaches public IPv4 addresses
		}
	}
	need, special := narrowest(ip)
	for _, p := range g.allow {
		if p.Bits() >= need && p.Contains(ip) {
			return nil
		}
	}
	if special {
		return &blockedError{fmt.Sprintf("address %s is link-local or a cloud metadata service (only egress.allow_cidrs with %s or narrower allows it)",
			ip, netip.PrefixFrom(ip.WithZone(""), need).Masked())}
	}
	if g.public.SafeAddr(ip) != nil {
		return &blockedError{fmt.Sprintf("address %s is not public (name it in egress.allow_cidrs to allow it)", ip)}
	}
	return nil
}

// A blockedError is the guard's refusal, one line fit for an operator.
type blockedError struct{ text string }

func (e *blockedError) Error() string { return e.text }

// sensitive addresses hand out credentials to whoever asks from the right
// machine. A broad range in allow_cidrs does not open them: the listing must be
// at least as narrow as the entry here. The last two are public addresses in the
// registries' eyes, or shared with networks that people do name.
var sensitive = prefixes(`
	169.254.0.0/16 fe80::/10
	169.254.169.254/32 169.254.170.2/32 169.254.170.23/32
	fd00:ec2::/32 fd20:ce::254/128 fd00:42::42/128
	192.0.0.192/32 100.100.100.200/32 168.63.129.16/32`)

// narrowest returns how long a listed prefix must be to open ip.
func narrowest(ip netip.Addr) (bits int, special bool) {
	for _, p := range sensitive {
		if p.Contains(ip.WithZone("")) {
			bits, special = max(bits, p.Bits()), true
		}
	}
	return bits, special
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	compatible = netip.MustParsePrefix("::/96")
)

// embedded returns the IPv4 address that a transition mechanism would take out
// of ip. It must be allowed by itself, whatever is listed around it.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	b := ip.As16()
	switch {
	case ip.Is4(), ip == netip.IPv6Unspecified(), ip == netip.IPv6Loopback():
		return netip.Addr{}, false
	case nat64.Contains(ip), nat64Local.Contains(ip), compatible.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

func prefixes(list string) []netip.Prefix {
	var out []netip.Prefix
	for s := range strings.FieldsSeq(list) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
