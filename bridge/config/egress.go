package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"tocsin/bridge/webhook"
)

// An Address is an IP address.
type Address struct{ netip.Addr }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Address) UnmarshalText(b []byte) error {
	ip, err := netip.ParseAddr(string(b))
	if err != nil {
		return fmt.Errorf("%q is no address (one as in \"192.168.1.7\" or \"fd00::7\")", b)
	}
	a.Addr = ip
	return nil
}

// Via is the proxy; nil is none.
func (e *Egress) Via() *webhook.Proxy {
	if e.Proxy == "" {
		return nil
	}
	return &webhook.Proxy{URL: e.Proxy, User: e.ProxyUser, Password: hidden(e.ProxyPassword), Names: e.ProxyNames}
}

// checkEgress checks the way out of this machine.
func (l *loader) checkEgress(path []string, e *Egress) {
	l.secret(under(path, "proxy_password"), &e.ProxyPassword)
	if e.Proxy != "" {
		if _, err := webhook.CheckProxyURL(e.Proxy); err != nil {
			l.main.leaf(under(path, "proxy"), err, `write proxy = "http://proxy.example.com:3128"`)
		}
	}
	for _, key := range []struct {
		name    string
		written bool
	}{{"proxy_user", e.ProxyUser != ""}, {"proxy_password", e.ProxyPassword.written()}, {"proxy_names", e.ProxyNames}} {
		if key.written && e.Proxy == "" {
			l.main.atValue(under(path, key.name), fmt.Sprintf("%s is there without a proxy", key.name), `add proxy = "http://proxy.example.com:3128", or remove it`)
		}
	}
	if e.ProxyPassword.written() && e.ProxyUser == "" {
		l.main.atValue(under(path, "proxy_password"), "there is a password without a user", "add proxy_user")
	}
	if a := e.Source; a.IsValid() && (a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" || a.Is4In6()) {
		l.main.atValue(under(path, "source"), fmt.Sprintf("nothing can be sent from %s", a), "name an address of this machine, or remove it")
	}
	for i, port := range e.Ports {
		if port < 1 || port > math.MaxUint16 {
			l.main.atValue(under(path, "ports", strconv.Itoa(i)), fmt.Sprintf("%d is not between 1 and 65535", port), "write ports = [443]")
		}
	}
}

// checkWhere refuses a url that leads where nothing may be sent.
func (l *loader) checkWhere(path []string, e *Endpoint) {
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" {
		return // it has been reported
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80"}[u.Scheme]
	}
	if port == "" {
		port = "443"
	}
	if n, err := strconv.Atoi(port); err == nil && len(e.Egress.Ports) > 0 && !slices.Contains(e.Egress.Ports, n) {
		l.main.atValue(under(path, "url"), fmt.Sprintf("url leads to port %d, which is not one of egress.ports", n), "add it there, or remove egress.ports")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !e.Egress.ProxyNames {
		if err := webhook.CheckAddress(ip, e.Egress.AllowCIDRs); err != nil {
			l.main.leaf(under(path, "url"), fmt.Errorf("nothing is sent there: %w", err), "")
		}
	}
	for key, addr := range l.config.listeners() {
		if sameListener(addr, net.JoinHostPort(u.Hostname(), port)) {
			l.main.atValue(under(path, "url"), fmt.Sprintf("url is tocsin's own listener %s", key), "name the receiver, which listens elsewhere")
		}
	}
}

// listeners are our own, by key.
func (c *Config) listeners() map[string]string {
	own := map[string]string{"http.listen": c.HTTP.Listen}
	if c.Broker.Mode == Embedded {
		own["broker.embedded.listen"] = c.Broker.Embedded.Listen
		own["broker.embedded.tls.listen"] = c.Broker.Embedded.TLS.Listen
	}
	return own
}

// OwnListeners are the addresses that tocsin itself listens on, as far as they
// are written as addresses.
func (c *Config) OwnListeners() []netip.AddrPort {
	var own []netip.AddrPort
	for _, addr := range c.listeners() {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			continue // "" is off
		}
		if host == "" {
			host = "::" // every address
		} else if host == "localhost" {
			host = "127.0.0.1"
		}
		if ap, err := netip.ParseAddrPort(net.JoinHostPort(host, port)); err == nil && ap.Port() != 0 {
			own = append(own, ap)
		}
	}
	return own
}
