package config

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin/bridge/webhook"
)

// EndpointTLS says whom an endpoint has to be, and who we are to it.
type EndpointTLS struct {
	Min string `toml:"min"` // "1.2" ("" is that) or "1.3"
	ClientTLS
	Pins PinList `toml:"pin_sha256"` // keys, one of which must vouch for the endpoint

	files [sha256.Size]byte // of what ca, cert and key hold: a reload sees when they change
}

// Consent asks the receiver for consent first, by the handshake of CloudEvents.
type Consent struct {
	Origin string `toml:"origin"` // who asks: a host name
	Rate   Rate   `toml:"rate"`   // how much we would like to send; 0: not said
}

// Webhook is what a sender needs of it.
func (c *Consent) Webhook() *webhook.ConsentRequest {
	if c == nil {
		return nil
	}
	return &webhook.ConsentRequest{Origin: c.Origin, Rate: int(math.Ceil(float64(c.Rate) * 60))}
}

// PinList is one pin or several.
type PinList []webhook.Pin

func (PinList) acceptsOne() {}

// TokenRoots are who may vouch for a token's server: the system's roots and ca.
// Nil is the system's alone.
func (t EndpointTLS) TokenRoots() (*x509.CertPool, error) {
	if t.CA == "" {
		return nil, nil
	}
	pem, err := readFile(t.CA, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("the file of certificates %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without roots
	}
	pool.AppendCertsFromPEM(pem)
	return pool, nil
}

// Auth says who sends, beside the signature; one of these, or none.
type Auth struct {
	Basic  *BasicAuth  `toml:"basic"`
	Bearer Secret      `toml:"bearer"` // a token that does not change
	Header *HeaderAuth `toml:"header"`
	OAuth2 *OAuth2     `toml:"oauth2"`
}

// BasicAuth is a user with a password.
type BasicAuth struct {
	User     string `toml:"user"`
	Password Secret `toml:"password"`
}

// HeaderAuth is a header of any name that holds a key.
type HeaderAuth struct {
	Name  string `toml:"name"`
	Value Secret `toml:"value"`
}

// OAuth2 is where access tokens come from: by the client's credentials, or by a
// refresh token.
type OAuth2 struct {
	TokenURL     string    `toml:"token_url"` // https
	ClientID     string    `toml:"client_id"`
	ClientSecret Secret    `toml:"client_secret"`
	RefreshToken Secret    `toml:"refresh_token"`
	Scopes       OneOrMore `toml:"scopes"`
	Audience     string    `toml:"audience"`
	ClientAuth   string    `toml:"client_auth"` // where id and secret go: body ("" is that) or header
	Scheme       string    `toml:"scheme"`      // the word before the token; "" is Bearer
}

func (o *OAuth2) webhook() *webhook.OAuth2 {
	return &webhook.OAuth2{
		TokenURL: o.TokenURL, ClientID: o.ClientID, ClientSecret: hidden(o.ClientSecret), RefreshToken: hidden(o.RefreshToken),
		Scopes: o.Scopes, Audience: o.Audience, InHeader: o.ClientAuth == "header", Scheme: o.Scheme,
	}
}

func hidden(s Secret) webhook.Credential { return webhook.NewCredential(s.Reveal()) }

// Webhook is what a sender needs of it. The configuration has been checked.
func (a *Auth) Webhook() webhook.Auth {
	switch {
	case a.Basic != nil:
		return webhook.Basic(a.Basic.User, hidden(a.Basic.Password))
	case a.Bearer.IsSet():
		return webhook.Bearer(hidden(a.Bearer))
	case a.Header != nil:
		return webhook.Auth{Header: a.Header.Name, Value: hidden(a.Header.Value)}
	case a.OAuth2 != nil:
		return webhook.Auth{OAuth2: a.OAuth2.webhook()}
	}
	return webhook.Auth{}
}

// checkTransport checks how an endpoint is connected to and logged in at.
func (l *loader) checkTransport(path []string, e *Endpoint) {
	l.checkHeaders(under(path, "headers"), e.Headers)
	l.checkAuth(under(path, "auth"), e)
	l.checkEndpointTLS(under(path, "tls"), e)
	l.checkEgress(under(path, "egress"), &e.Egress)
	l.checkConsent(under(path, "consent"), e.Consent)
	l.checkWhere(path, e)
	l.checkService(path, e)
}

func (l *loader) checkConsent(path []string, c *Consent) {
	switch {
	case c == nil:
	case c.Origin == "":
		l.main.atValue(under(path, "origin"), "there is no origin to ask for", `add origin = "tocsin.example.com", the name that the receiver is to allow`)
	default:
		if err := c.Webhook().Check(); err != nil {
			l.main.leaf(under(path, "origin"), err, `write origin = "tocsin.example.com"`)
		}
		within(l, under(path, "rate"), max(c.Rate, 1), Rate(1e6))
	}
}

func (l *loader) checkHeaders(path []string, headers map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if err := webhook.CheckHeader(name, headers[name]); err != nil {
			l.main.leaf(under(path, name), err, "write it as in { X-Site = \"lyon\" }")
		}
	}
}

func (l *loader) checkAuth(path []string, e *Endpoint) {
	a := &e.Auth
	var ways []string
	for _, way := range []struct {
		key     string
		written bool
	}{{"basic", a.Basic != nil}, {"bearer", a.Bearer.written()}, {"header", a.Header != nil}, {"oauth2", a.OAuth2 != nil}} {
		if way.written {
			ways = append(ways, way.key)
		}
	}
	if len(ways) == 0 {
		return
	}
	if len(ways) > 1 {
		l.main.atValue(under(path, ways[1]), fmt.Sprintf("both %q and %q are written, and a request carries one of them", ways[0], ways[1]), "remove one of them")
	}
	if u, err := url.Parse(e.URL); err == nil && u.Scheme == "http" && !loopback(u.Hostname()+":0") {
		l.main.warnValue(path, "the credential crosses the network in the clear", "use https in the url")
	}
	l.secret(under(path, "bearer"), &a.Bearer)
	if b := a.Basic; b != nil {
		if b.User == "" {
			l.main.atValue(under(path, "basic", "user"), "there is no user", `write { user = "…", password = { file = "PATH" } }`)
		}
		l.needSecret(under(path, "basic", "password"), &b.Password)
	}
	if h := a.Header; h != nil {
		switch {
		case h.Name == "":
			l.main.atValue(under(path, "header", "name"), "the header has no name", `write { name = "X-Api-Key", value = { file = "PATH" } }`)
		case l.needSecret(under(path, "header", "value"), &h.Value):
			if err := webhook.CheckAuth(h.Name, hidden(h.Value)); err != nil {
				l.main.leaf(under(path, "header"), err, "name the header that the receiver reads its key from")
			}
		}
	}
	if a.OAuth2 != nil {
		l.checkOAuth2(under(path, "oauth2"), a.OAuth2)
	}
	if a.Bearer.IsSet() {
		if err := webhook.CheckAuth("", hidden(a.Bearer)); err != nil {
			l.main.leaf(under(path, "bearer"), err, "write the token alone")
		}
	}
}

func (l *loader) checkOAuth2(path []string, o *OAuth2) {
	u, err := webhook.CheckURL(o.TokenURL, true)
	switch {
	case o.TokenURL == "":
		l.main.atValue(under(path, "token_url"), "there is no token_url", `add token_url = "https://…"`)
	case err != nil:
		l.main.leaf(under(path, "token_url"), err, "write https://host/path")
	case u.Scheme != "https":
		l.main.atValue(under(path, "token_url"), "token_url is http, and a token is never asked for in the clear", "use https")
	}
	if o.ClientID == "" {
		l.main.atValue(under(path, "client_id"), "there is no client_id", `add client_id = "…"`)
	}
	if !o.RefreshToken.written() {
		l.needSecret(under(path, "client_secret"), &o.ClientSecret)
	} else {
		l.secret(under(path, "client_secret"), &o.ClientSecret)
		l.secret(under(path, "refresh_token"), &o.RefreshToken)
	}
	if o.ClientAuth != "" {
		l.oneOf(under(path, "client_auth"), o.ClientAuth, "body", "header")
	}
	if strings.ContainsFunc(o.Scheme, func(r rune) bool { return r != '-' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }) {
		l.main.atValue(under(path, "scheme"), "scheme is not one word", `leave it out for "Bearer"`)
	}
}

// needSecret is secret where there must be one.
func (l *loader) needSecret(path []string, s *Secret) bool {
	if !s.written() && !l.main.undecoded(path) {
		l.main.atValue(path, fmt.Sprintf("there is no %s", path[len(path)-1]), fmt.Sprintf(`add %s = { file = "PATH" } or { env = "NAME" }`, path[len(path)-1]))
		return false
	}
	return l.secret(path, s)
}

func (l *loader) checkEndpointTLS(path []string, e *Endpoint) {
	t := &e.TLS
	if t.Min != "" {
		l.oneOf(under(path, "min"), t.Min, "1.2", "1.3")
	}
	if ca := t.CA; ca != "" {
		t.CA = l.resolve(ca)
		if _, err := t.Roots(); l.readable(under(path, "ca"), ca) && err != nil {
			l.main.leaf(under(path, "ca"), err, "name a PEM file of certificates")
		}
	}
	l.keyPair(path, &t.KeyPair)
	l.checkAge(under(path, "cert"), t)
	t.files = hashFiles(t.CA, t.Cert, t.Key)
	u, err := url.Parse(e.URL)
	if err == nil && u.Scheme == "http" && (t.Min != "" || t.CA != "" || t.Cert != "" || len(t.Pins) > 0) {
		l.main.atValue(path, "TLS is set up, and the url is not of TLS", "use https in the url, or remove tls")
	}
}

// checkAge warns of a client certificate that the receiver will refuse. Nothing
// is refused here for it: the other endpoints are needed all the same.
func (l *loader) checkAge(path []string, t *EndpointTLS) {
	if t.Cert == "" || t.Key == "" || l.noSecrets {
		return
	}
	pair, err := t.Certificate()
	if err != nil || pair.Leaf == nil {
		return // it has been reported
	}
	const soon = 14 * 24 * time.Hour
	switch left := time.Until(pair.Leaf.NotAfter); {
	case left <= 0:
		l.main.warnValue(path, fmt.Sprintf("the certificate expired on %s, and the receiver will refuse it", pair.Leaf.NotAfter.UTC().Format(time.DateOnly)), "renew it; it is read again when the file changes")
	case left < soon:
		l.main.warnValue(path, fmt.Sprintf("the certificate expires on %s", pair.Leaf.NotAfter.UTC().Format(time.DateOnly)), "renew it; it is read again when the file changes")
	case time.Until(pair.Leaf.NotBefore) > 0:
		l.main.warnValue(path, fmt.Sprintf("the certificate is not valid before %s", pair.Leaf.NotBefore.UTC().Format(time.DateTime)), "wait, or set this machine's clock")
	}
}

// hashFiles is one sum over what files hold. A file that cannot be read counts
// as empty: it has been reported.
func hashFiles(names ...string) [sha256.Size]byte {
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	if len(names) == 0 {
		return [sha256.Size]byte{}
	}
	h := sha256.New()
	for _, name := range names {
		b, _ := readFile(name, maxPEM)
		sum := sha256.Sum256(b)
		_, _ = h.Write(sum[:]) // documented never to fail
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// files are what the endpoint's transport was read from.
func (e *Endpoint) files() []string {
	list := []string{e.TLS.CA, e.TLS.Cert, e.TLS.Key, e.Auth.Bearer.path, e.Egress.ProxyPassword.path}
	if b := e.Auth.Basic; b != nil {
		list = append(list, b.Password.path)
	}
	if h := e.Auth.Header; h != nil {
		list = append(list, h.Value.path)
	}
	if o := e.Auth.OAuth2; o != nil {
		list = append(list, o.ClientSecret.path, o.RefreshToken.path)
	}
	return list
}
