package webhook

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

// A Proxy stands between us and an endpoint. It sees where we connect to, and
// through http:// URLs what we send; TLS is spoken with the endpoint itself.
type Proxy struct {
	URL      string // http, https or socks5, host and port, and nothing else
	User     string
	Password Credential
	// Names leaves it to the proxy to look the endpoint's name up, where this
	// machine cannot. Then only the proxy knows which address that leads to, and
	// the guard judges no more than addresses written in the URL.
	Names bool
}

// CheckProxyURL parses a proxy's URL. No error shows more of it than its host.
func CheckProxyURL(raw string) (*url.URL, error) {
	if err := checkText(raw); err != nil {
		return nil, errors.New(strings.Replace(err.Error(), "url ", "the proxy's url ", 1))
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("the proxy's url cannot be read (write http://host:port)")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		return nil, errors.New("the proxy's url begins with none of the schemes http, https and socks5")
	case u.User != nil:
		return nil, errors.New("the proxy's url contains a user or password before @ (write egress.proxy_user and egress.proxy_password)")
	case u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || strings.ContainsAny(raw, "?#"):
		return nil, errors.New("the proxy's url is more or less than a host and a port (write http://host:port)")
	case u.Port() == "":
		return nil, errors.New("the proxy's url has no port, and proxies have no usual one (write http://host:3128)")
	}
	if err := errors.Join(checkHost(u.Hostname()), checkPort(u)); err != nil {
		return nil, errors.New(strings.Replace(err.Error(), "url's ", "the proxy's ", 1))
	}
	return u, nil
}

func (p *Proxy) check() error {
	if _, err := CheckProxyURL(p.URL); err != nil {
		return err
	}
	switch {
	case p.User == "" && !p.Password.IsZero():
		return errors.New("egress.proxy_password is there without egress.proxy_user")
	case strings.Contains(p.User, ":") || hasControl(p.User) || hasControl(p.Password.Reveal()):
		return errors.New("egress.proxy_user contains a colon, or it or the password a control character")
	case len(p.User) > 255 || len(p.Password.Reveal()) > 255:
		return errors.New("egress.proxy_user or egress.proxy_password is longer than 255 bytes")
	}
	return nil
}

// maxTries bounds how many of a name's addresses a proxy is asked for.
const maxTries = 4

// A tunnel dials endpoints through a proxy. The name is looked up here and the
// proxy is given the address that the guard has judged, so that it cannot be led
// elsewhere by another answer.
type tunnel struct {
	Proxy
	url       *url.URL
	guard     *guard
	resolver  *net.Resolver
	dialer    *net.Dialer // to the proxy itself, which the operator named: unguarded
	tls       *tls.Config // of an https proxy
	userAgent string
	timeout   time.Duration
}

func newTunnel(o *Options, g *guard, dialer net.Dialer) *tunnel {
	u, _ := CheckProxyURL(o.Proxy.URL) // it has been checked
	dialer.ControlContext = nil
	t := &tunnel{
		Proxy: *o.Proxy, url: u, guard: g, resolver: o.Resolver, dialer: &dialer, userAgent: o.UserAgent, timeout: o.Timeout,
		tls: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs, ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}},
	}
	if t.resolver == nil {
		t.resolver = net.DefaultResolver
	}
	return t
}

// A proxyError is what the proxy did instead of connecting us.
type proxyError struct {
	proxy string
	err   error
}

func (e *proxyError) Error() string { return "the proxy " + e.proxy + ": " + e.err.Error() }
func (e *proxyError) Unwrap() error { return e.err }

// dial is a [http.Transport.DialContext].
func (t *tunnel) dial(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout) // a dial outlives the attempt that asked for it
	defer cancel()
	targets, err := t.targets(ctx, address)
	if err != nil {
		return nil, err
	}
	for _, target := range targets[:min(len(targets), maxTries)] {
		var conn net.Conn
		if conn, err = t.open(ctx, target); err == nil {
			return conn, nil
		}
	}
	return nil, &proxyError{t.url.Scheme + "://" + t.url.Host, err}
}

// targets are what the proxy may be asked for in place of address.
func (t *tunnel) targets(ctx context.Context, address string) ([]string, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &blockedError{fmt.Sprintf("address %s cannot be checked", clip(address))}
	}
	ap, err := netip.ParseAddrPort("0.0.0.0:" + portText)
	if err != nil {
		return nil, &blockedError{fmt.Sprintf("port %s cannot be checked", clip(portText))}
	}
	port := ap.Port()
	if ip, err := netip.ParseAddr(host); err == nil {
		return []string{address}, t.guard.judge(netip.AddrPortFrom(ip, port))
	}
	if t.Names {
		return []string{address}, t.guard.judgePort(int(port))
	}
	all, err := t.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var targets []string
	for _, ip := range all {
		target := netip.AddrPortFrom(ip.Unmap(), port)
		if no := t.guard.judge(target); no == nil {
			targets = append(targets, target.String())
		} else if err == nil {
			err = no
		}
	}
	if len(targets) > 0 {
		return targets, nil
	}
	return nil, err
}

// open connects to the proxy, and through it to the target.
func (t *tunnel) open(ctx context.Context, target string) (net.Conn, error) {
	if t.url.Scheme == "socks5" {
		var auth *proxy.Auth
		if t.User != "" {
			auth = &proxy.Auth{User: t.User, Password: t.Password.Reveal()}
		}
		d, err := proxy.SOCKS5("tcp", t.url.Host, auth, t.dialer)
		if err != nil {
			return nil, err
		}
		return d.(proxy.ContextDialer).DialContext(ctx, "tcp", target)
	}
	conn, err := t.dialer.DialContext(ctx, "tcp", t.url.Host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	tunnelled, err := t.connect(ctx, conn, target)
	if !stop() {
		err = ctx.Err() // which is why it failed, or its deadline is past
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return tunnelled, nil
}

// connect asks an HTTP proxy for a tunnel (RFC 9110, section 9.3.6).
func (t *tunnel) connect(ctx context.Context, conn net.Conn, target string) (net.Conn, error) {
	if t.url.Scheme == "https" {
		secure := tls.Client(conn, t.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	ask := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\nUser-Agent: " + t.userAgent + "\r\n"
	if t.User != "" {
		ask += "Proxy-Authorization: " + Basic(t.User, t.Password).Value.Reveal() + "\r\n"
	}
	if _, err := io.WriteString(conn, ask+"\r\n"); err != nil {
		return nil, err
	}
	r := bufio.NewReader(io.LimitReader(conn, maxHeaderBytes))
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, fmt.Errorf("reading its answer: %w", err)
	}
	_ = resp.Body.Close() // an answer to CONNECT has none, or is not wanted
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return nil, errors.New("answered 407 Proxy Authentication Required (set egress.proxy_user and egress.proxy_password)")
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, fmt.Errorf("answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	case r.Buffered() > 0:
		return nil, errors.New("sent more than its answer before the endpoint was spoken to")
	}
	return conn, nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
