package webhook

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// Defaults of [Options].
const (
	DefaultTimeout       = 15 * time.Second
	DefaultRetryAfterMax = 6 * time.Hour
	DefaultResponseBytes = 16 << 10
	DefaultConcurrency   = 4
)

// maxHeaderBytes bounds the head of an answer, interim (1xx) answers included.
const maxHeaderBytes = 64 << 10

// Options describe one endpoint. URL is required, and unless Unsigned something
// to sign with.
type Options struct {
	Name          string         // in errors of New; the endpoint's name
	URL           string         // as [CheckURL] wants it
	Sign          []Scheme       // how attempts are signed; none: [DefaultSchemes]
	Secrets       []Secret       // each that has not expired signs every attempt; several while one is being replaced
	Keys          []PrivateKey   // the same, for the schemes of ed25519
	Unsigned      bool           // it may be without any: the receiver knows us by another credential
	Timeout       time.Duration  // over a whole attempt, from the lookup to the answer's last byte; 0: DefaultTimeout
	AllowCIDRs    []netip.Prefix // addresses to be reached although they are not public; loopback too must be named
	AllowHTTP     bool           // accept http:// URLs
	UserAgent     string         // tocsin/VERSION; empty: tocsin
	Concurrency   int            // attempts at once, for which connections are kept open; 0: DefaultConcurrency
	ResponseBytes int            // how much of an answer's body is read and kept; 0: DefaultResponseBytes
	RetryAfterMax time.Duration  // what Retry-After may ask for at most; 0: DefaultRetryAfterMax
	Resolver      *net.Resolver  // nil: the system's

	Gzip    bool              // bodies are compressed; what is signed is what is sent
	Consent *ConsentRequest   // nothing is sent before the receiver consented; nil: nobody is asked
	Headers map[string]string // sent with every message, unless it has its own; as [CheckHeader] wants them
	Auth    Auth
	Hide    []Credential // what messages carry beside that and answers must not show when they quote it

	RootCAs     *x509.CertPool   // who may vouch for the endpoint; nil: the system's
	Pins        []Pin            // one of these keys must be in its verified chain; none: any may
	Certificate *tls.Certificate // who we are to it; nil: nobody
	MinTLS      uint16           // tls.VersionTLS13, or 0 for TLS 1.2

	Proxy  *Proxy           // nil: none, whatever the environment says
	Source netip.Addr       // to connect from; zero: as the system routes
	Ports  []int            // to connect to; none: any. Who may write a URL and is not the operator gets 443
	Own    []netip.AddrPort // our own listeners, which are not to be told of anything

	// Transport carries the requests instead of a transport of the sender's own, and
	// with it everything that says where may be connected to: it is for a receiver in
	// the same process. Nil: the sender connects, and is guarded.
	Transport http.RoundTripper
}

// A Message is what one or more attempts deliver.
type Message struct {
	ID          string // the webhook-id: the same in every attempt, visible ASCII without a dot
	Body        []byte // signed and sent as it is; not to be changed before Send returns
	ContentType string // empty: application/json

	Method string      // empty: POST
	URL    *url.URL    // nil: the endpoint's; another one must be of the same scheme and host
	Header http.Header // sent beside the message's own, by canonical name; none that is reserved
	Trace  string      // traceparent, which is no part of what is signed; "": none
}

// A Sender makes attempts at one endpoint. Close it when it is no longer needed.
type Sender struct {
	url           *url.URL
	shown         string // the URL as it may be printed
	host          string // of the Host header
	signing       *signing
	userAgent     []string
	timeout       time.Duration
	responseBytes int
	retryAfterMax time.Duration
	headers       http.Header // not to be changed
	auth          Auth        // Header is canonical
	packer        *packer     // nil without compression
	gate          *gate       // nil without a handshake
	tokens        *tokens     // nil without OAuth2
	transport     *http.Transport
	carrier       http.RoundTripper // transport, or who takes its place
	seen          *expiry
	hider         hider
}

// New checks the options and returns a sender. It connects to nothing.
func New(o Options) (*Sender, error) {
	s, err := newSender(o)
	if err != nil && o.Name != "" {
		return nil, fmt.Errorf("endpoint %s: %w", o.Name, err)
	}
	return s, err
}

func newSender(o Options) (*Sender, error) {
	u, err := CheckURL(o.URL, o.AllowHTTP)
	if err != nil {
		return nil, err
	}
	signing, err := newSigning(&o)
	if err != nil {
		return nil, err
	}
	if o.UserAgent == "" {
		o.UserAgent = "tocsin"
	}
	if !visible(o.UserAgent) {
		return nil, errors.New("user agent contains a control character")
	}
	g, err := newGuard(&o)
	if err != nil {
		return nil, err
	}
	if err := checkEgress(&o, u, g); err != nil {
		return nil, err
	}
	headers, err := checkHeaders(o.Headers)
	if err != nil {
		return nil, err
	}
	if err := o.Auth.check(); err != nil {
		return nil, err
	}
	headers.Set(headerHop, "1")
	if o.Consent != nil {
		if err := o.Consent.Check(); err != nil {
			return nil, err
		}
		headers.Set(headerOrigin, o.Consent.Origin)
	}
	o.Auth.Header = http.CanonicalHeaderKey(cmp.Or(o.Auth.Header, "Authorization"))
	o.Timeout = orDefault(o.Timeout, DefaultTimeout)
	seen := new(expiry)
	transport := newTransport(&o, g, seen)
	carrier := o.Transport
	if carrier == nil {
		carrier = transport
	}
	return &Sender{
		url:           u,
		shown:         shown(u),
		host:          hostHeader(u),
		signing:       signing,
		userAgent:     []string{o.UserAgent},
		timeout:       o.Timeout,
		responseBytes: orDefault(o.ResponseBytes, DefaultResponseBytes),
		retryAfterMax: orDefault(o.RetryAfterMax, DefaultRetryAfterMax),
		headers:       headers,
		auth:          o.Auth,
		packer:        newPacker(o.Gzip),
		gate:          newGate(o.Consent),
		tokens:        newTokens(&o, g),
		transport:     transport,
		carrier:       carrier,
		seen:          seen,
		hider:         newHider(&o, u),
	}, nil
}

// checkEgress says why nothing could ever be sent.
func checkEgress(o *Options, u *url.URL, g *guard) error {
	if err := g.judgePort(portOf(u)); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if o.Proxy == nil {
		return nil
	}
	return o.Proxy.check()
}

func portOf(u *url.URL) int {
	if n, err := strconv.Atoi(u.Port()); err == nil {
		return n
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// CertificateExpiry is when the certificates that vouch for the endpoint end, as
// the last handshake saw them; zero before the first.
func (s *Sender) CertificateExpiry() time.Time { return s.seen.time() }

func newTransport(o *Options, g *guard, seen *expiry) *http.Transport {
	concurrency := orDefault(o.Concurrency, DefaultConcurrency)
	dialer := net.Dialer{
		Timeout:        o.Timeout, // a dial outlives the attempt that asked for it
		ControlContext: g.control,
		Resolver:       o.Resolver,
	}
	if o.Source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.Source, 0))
	}
	dial := dialer.DialContext
	if o.Proxy != nil {
		dial = newTunnel(o, g, dialer).dial
	}
	return &http.Transport{
		Proxy:               nil, // not even the environment's: the guard must see the endpoint's address
		DialContext:         dial,
		TLSHandshakeTimeout: o.Timeout,
		TLSClientConfig:     tlsConfig(o, seen, concurrency),

		ForceAttemptHTTP2:      true, // a dialer of one's own switches it off
		DisableCompression:     true, // nothing is unpacked, so no answer is larger than it looks
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConns:           concurrency,
		MaxIdleConnsPerHost:    concurrency,
		MaxConnsPerHost:        2 * concurrency, // dials that outlive their attempt included
		IdleConnTimeout:        30 * time.Second,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: 1 << 20, // by default a receiver may fill 4 MiB for every request
			MaxReceiveBufferPerStream:     64 << 10,
			SendPingTimeout:               o.Timeout, // or a dead connection would fail one attempt after another
			PingTimeout:                   o.Timeout,
			WriteByteTimeout:              o.Timeout,
		},
	}
}

// Format prints where the sender sends, for every verb and flag, and nothing
// else that it knows.
func (s *Sender) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.shown) }

// Close closes the connections that are open and unused.
func (s *Sender) Close() {
	s.transport.CloseIdleConnections()
	if s.tokens != nil {
		s.tokens.transport.CloseIdleConnections()
	}
}

func orDefault[T int | time.Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// visible reports whether s may stand in a header.
func visible(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}
