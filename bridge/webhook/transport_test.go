package webhook

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestHeadersOfTheConfigurationAreSent(t *testing.T) {
	at, requests := capture(t)
	s := newTestSender(t, at, func(o *Options) {
		o.Headers = map[string]string{"x-site": "lyon", "X-Empty": ""}
		o.Auth = Basic("ops", NewCredential("p:ss"))
	})
	m := message()
	m.Header = http.Header{"X-Site": {"paris"}, "Authorization": {"Bearer of-the-message"}}
	for i, m := range []Message{message(), m} {
		if r := s.Send(t.Context(), m); r.Verdict != Accepted {
			t.Fatal(r.Err)
		}
		got := <-requests
		if site := got.header.Values("X-Site"); !reflect.DeepEqual(site, []string{[]string{"lyon", "paris"}[i]}) {
			t.Errorf("X-Site is %q", site)
		}
		if _, ok := got.header["X-Empty"]; !ok {
			t.Error("the empty header is missing")
		}
		r := http.Request{Header: got.header}
		if user, password, _ := r.BasicAuth(); user != "ops" || password != "p:ss" {
			t.Errorf("Authorization is %q", got.header["Authorization"])
		}
	}
}

func TestKeyIsSentInTheHeaderItIsFor(t *testing.T) {
	at, requests := capture(t)
	for _, c := range []struct {
		auth         Auth
		header, want string
	}{
		{Bearer(NewCredential("t0ken")), "Authorization", "Bearer t0ken"},
		{Auth{Header: "x-api-key", Value: NewCredential("k")}, "X-Api-Key", "k"},
		{Auth{Value: NewCredential("GenieKey k")}, "Authorization", "GenieKey k"},
		{Auth{}, "Authorization", ""},
	} {
		s := newTestSender(t, at, func(o *Options) { o.Auth = c.auth })
		if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
			t.Fatal(r.Err)
		}
		if got := <-requests; got.header.Get(c.header) != c.want {
			t.Errorf("%s is %q, want %q", c.header, got.header.Get(c.header), c.want)
		}
	}
}

// hostileHeaders are names and values that could change a request's frame, forge
// its signature, or be read differently by the next hop.
func hostileHeaders() [][2]string {
	all := [][2]string{
		{"", "a"}, {"X Site", "a"}, {"X-Site:", "a"}, {"X-Sité", "a"}, {"X-Site\r\nX-Evil", "a"}, {"\x00", "a"},
		{"X-Site", "x\r\nX-Evil: 1"}, {"X-Site", "a\nb"}, {"X-Site", "a\rb"}, {"X-Site", "a\x00b"}, {"X-Site", "a\tb"}, {"X-Site", "é"}, {"X-Site", "\x7f"},
		{"X-Site", " a"}, {"X-Site", "a "}, {"X-Site", strings.Repeat("x", maxHeaderValue+1)},
	}
	for _, name := range strings.Fields(`Host host Content-Length Transfer-Encoding Connection Content-Type User-Agent Content-Encoding TE Trailer
		Keep-Alive Proxy-Connection Proxy-Authorization Upgrade Expect Accept-Encoding Authorization
		webhook-id Webhook-Timestamp WEBHOOK-SIGNATURE webhook-hop webhook-anything`) {
		all = append(all, [2]string{name, "a"})
	}
	return all
}

func TestHeadersThatCouldForgeARequestAreRefused(t *testing.T) {
	for _, h := range hostileHeaders() {
		_, err := New(Options{URL: "https://example.com", Secrets: []Secret{NewSecret()}, Headers: map[string]string{h[0]: h[1]}})
		if err == nil {
			t.Errorf("%q: %q is accepted", h[0], clip(h[1]))
		} else if len(h[1]) > 2 && strings.Contains(err.Error(), h[1]) {
			t.Errorf("the error shows the value: %v", err)
		}
		if h[0] == "Authorization" || h[1] == "a" && strings.HasPrefix(h[0], "X-Site") {
			continue
		}
		if _, err := New(Options{URL: "https://example.com", Secrets: []Secret{NewSecret()}, Auth: Auth{Header: h[0], Value: NewCredential(h[1])}}); err == nil && h[0] != "" {
			t.Errorf("as a credential %q: %q is accepted", h[0], clip(h[1]))
		}
	}
	for _, headers := range []map[string]string{{"X-Site": "a", "x-site": "b"}} {
		if _, err := New(Options{URL: "https://example.com", Secrets: []Secret{NewSecret()}, Headers: headers}); err == nil {
			t.Errorf("%v is accepted", headers)
		}
	}
}

func TestHostileNameInAHeaderIsRefusedForGood(t *testing.T) {
	at, requests := capture(t)
	s := newTestSender(t, at, nil)
	m := message()
	m.Header = http.Header{"X-Device": {"x\r\nX-Evil: 1"}}
	r := s.Send(t.Context(), m)
	if r.Verdict != Refused || r.Err == nil {
		t.Errorf("%+v, want it refused, not tried for days", r)
	}
	if len(requests) > 0 {
		t.Error("something was sent")
	}
}

func TestPinnedKeyMustVouchForTheEndpoint(t *testing.T) {
	a := newAuthority(t)
	cert := a.issue(t, nil)
	srv := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{cert}}, false, noContent)
	var other Pin
	f := func(what string, ok bool, pins ...Pin) {
		t.Helper()
		s := newTestSender(t, srv.URL, func(o *Options) { o.RootCAs, o.Pins = a.pool, pins })
		for range 2 { // the second resumes the session
			r := s.Send(t.Context(), message())
			if (r.Verdict == Accepted) != ok {
				t.Errorf("%s: %+v", what, r)
			}
			if !ok {
				wantErr(t, r, "agreeing on TLS", "none of the pinned keys", PinOf(srv.Certificate()).String())
			}
			s.Close()
		}
	}
	f("no pin", true)
	f("the endpoint's key", true, other, PinOf(srv.Certificate()))
	f("its authority's key", true, PinOf(a.cert))
	f("another key", false, other)
	// A pin is on top of verification, not instead of it.
	s := newTestSender(t, srv.URL, func(o *Options) { o.Pins = []Pin{PinOf(srv.Certificate())} })
	wantErr(t, s.Send(t.Context(), message()), "unknown authority")
}

func TestPinIsReadAsPeopleWriteIt(t *testing.T) {
	want := Pin(bytes.Repeat([]byte{0xfb}, 32))
	colons := strings.TrimSuffix(strings.Repeat("FB:", 32), ":")
	for _, text := range []string{want.String(), strings.TrimPrefix(want.String(), "sha256//"), hex.EncodeToString(want[:]), colons, " " + want.String() + "\n"} {
		var p Pin
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
	for text, fact := range map[string]string{"": "0 bytes", "abcd": "2 bytes", "sha1-xx": "neither", want.String() + "x": "neither", hex.EncodeToString(want[:31]): "31 bytes"} {
		var p Pin
		if err := p.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), fact) {
			t.Errorf("%q: %v, want %s", text, err, fact)
		}
	}
}

func TestClientCertificateIsShown(t *testing.T) {
	a := newAuthority(t)
	cert := a.issue(t, nil)
	for _, most := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		seen := make(chan string, 1)
		srv := tlsServer(t, &tls.Config{
			Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: most,
			ClientCAs: newAuthority(t).pool, // a list that does not name ours: it is shown all the same
		}, false, func(w http.ResponseWriter, r *http.Request) {
			seen <- r.TLS.PeerCertificates[0].Subject.CommonName
			noContent(w, r)
		})
		mine := a.issue(t, nil)
		s := newTestSender(t, srv.URL, func(o *Options) { o.RootCAs, o.Certificate = a.pool, &mine })
		if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
			t.Fatalf("%+v", r)
		}
		if name := <-seen; name != "receiver" {
			t.Errorf("the receiver saw %q", name)
		}
	}
}

func TestVersionOfTLSCanBeRaised(t *testing.T) {
	a := newAuthority(t)
	srv := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}, MaxVersion: tls.VersionTLS12}, false, noContent)
	for least, ok := range map[uint16]bool{0: true, tls.VersionTLS10: true, tls.VersionTLS13: false} {
		r := newTestSender(t, srv.URL, func(o *Options) { o.RootCAs, o.MinTLS = a.pool, least }).Send(t.Context(), message())
		if (r.Verdict == Accepted) != ok {
			t.Errorf("at least %s: %+v", tls.VersionName(least), r)
		}
		if !ok {
			wantErr(t, r, "protocol version")
		}
	}
}

func TestResultTellsOfTheConnection(t *testing.T) {
	a := newAuthority(t)
	srv := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{a.issue(t, nil)}}, false, noContent)
	where := netip.MustParseAddrPort(srv.Listener.Addr().String())
	s := newTestSender(t, fmt.Sprintf("https://here.test.:%d/", where.Port()), func(o *Options) {
		o.RootCAs, o.Resolver = a.pool, names{"here.test": always("127.0.0.1")}.resolver()
	})
	if !s.CertificateExpiry().IsZero() {
		t.Error("an expiry is known before the first handshake")
	}
	r := s.Send(t.Context(), message())
	wantErr(t, r, "here.test") // the certificate is for 127.0.0.1
	if r.Addr != where || r.Timing.Lookup <= 0 || r.Timing.Connect <= 0 || r.TLSVersion != 0 || r.Timing.Answer != 0 {
		t.Errorf("of an attempt that failed: %+v", r)
	}

	s = newTestSender(t, srv.URL, func(o *Options) { o.RootCAs = a.pool })
	r = s.Send(t.Context(), message())
	if r.Verdict != Accepted || r.Addr != where || r.TLSVersion != tls.VersionTLS13 || r.Timing.TLS <= 0 || r.Timing.Answer <= 0 || r.Timing.Connect <= 0 {
		t.Errorf("%+v", r)
	}
	if sum := r.Timing.Lookup + r.Timing.Connect + r.Timing.TLS + r.Timing.Answer; sum > r.Took {
		t.Errorf("its parts took %v of %v", sum, r.Took)
	}
	want := a.cert.NotAfter // it ends no later than what it issued
	if !r.CertExpiry.Equal(want.Truncate(time.Second)) || !s.CertificateExpiry().Equal(r.CertExpiry) {
		t.Errorf("expiry %v, want %v", r.CertExpiry, want)
	}
	again := s.Send(t.Context(), message())
	if !again.Reused || again.Addr != where || again.Timing.Connect != 0 || again.Timing.TLS != 0 || again.Timing.Answer <= 0 {
		t.Errorf("over the same connection: %+v", again)
	}
}

func TestCredentialsPrintAsNothing(t *testing.T) {
	c := NewCredential("canary")
	s := newTestSender(t, "http://127.0.0.1/", func(o *Options) { o.Auth = Bearer(c) })
	for _, v := range []any{c, s.auth, s, Options{Auth: Basic("u", c)}, []Credential{c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text := fmt.Sprintf(verb, v)
			for _, leak := range []string{"canary", hex.EncodeToString([]byte("canary")), "Y2FuYXJ5", "99 97 110"} {
				if strings.Contains(text, leak) {
					t.Errorf("%s prints %s", verb, text)
				}
			}
		}
	}
}
