package webhook

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// A role is how a host gets to be dialled.
type role struct {
	name string
	// send tries to reach the host at the port, and reports whether it was kept
	// from it before any packet left.
	refused func(t *testing.T, host string, port uint16) bool
}

// spellings are hosts that one resolver or another takes for a private address.
const spellings = `
	127.1 0 2130706433 0x7f000001 0177.0.0.1 017700000001 127.0.0.1. [fe80::1%25eth0]
	[::ffff:7f00:1] [0:0:0:0:0:ffff:a9fe:a9fe] [::ffff:127.0.0.1] [::127.0.0.1]
	localhost LOCALHOST localhost. foo.localhost`

// inside are names of an inner network, and what they lead to.
func inside() names {
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250)
	}
	return names{
		"localhost": always("127.0.0.1", "::1"), "foo.localhost": always("127.0.0.1"),
		"metadata.google.internal": always("169.254.169.254"), "kubernetes.default.svc": always("10.96.0.1"), "host.docker.internal": always("172.17.0.1"),
		"private4.test": always("10.0.0.1"), "private6.test": always("::1"), "cname.test": always("localhost", "127.0.0.1"),
		"many.test": always(many...), "mixed.test": always("10.0.0.1", "::1", "192.168.0.1", "fd00::1"),
	}
}

// hosts is every row of the matrix as a URL writes it.
func hosts() []string {
	all := strings.Fields(spellings)
	for a := range strings.FieldsSeq(privateAddresses) {
		if strings.Contains(a, ":") {
			a = "[" + a + "]"
		}
		all = append(all, a)
	}
	for name := range inside() {
		all = append(all, name+".")
	}
	return all
}

// blockedBy reports whether a sender refused before a packet left: when it was
// made, or when it came to dialling.
func blockedBy(t *testing.T, url string, change func(*Options)) bool {
	t.Helper()
	o := Options{
		URL: url, Secrets: []Secret{mustSecret(t, vectorSecret)}, AllowHTTP: true, Timeout: 5 * time.Second,
		Resolver: inside().resolver(), Own: nil,
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		return true
	}
	defer s.Close()
	r := s.Send(t.Context(), message())
	return r.Err != nil && r.Status == 0 && !r.Addr.IsValid() && strings.Contains(r.Err.Error(), "address ")
}

// TestNoRoleReachesThePrivate plays every host in every role: written in the
// URL, answered by DNS, target of a redirect, behind a proxy, where tokens come
// from. The targets that this machine has are listened on; none may hear anything.
func TestNoRoleReachesThePrivate(t *testing.T) {
	port, conns := sink(t, "127.0.0.1:0")
	_, conns6 := sink(t, fmt.Sprintf("[::1]:%d", port))
	proxy := newTestProxy(t, "http", "127.0.0.1:1", "", nil)
	socks := newTestProxy(t, "socks5", "127.0.0.1:1", "", nil)
	t.Setenv("NO_PROXY", "*") // exempts nobody from anything

	url := func(host string, port uint16) string { return fmt.Sprintf("http://%s:%d/", host, port) }
	roles := []role{
		{"literal", func(t *testing.T, host string, port uint16) bool { return blockedBy(t, url(host, port), nil) }},
		{"DNS answer", func(t *testing.T, host string, port uint16) bool {
			addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
			if err != nil {
				return true // it is no address; as a name it was a literal
			}
			return blockedBy(t, url("answer.test.", port), func(o *Options) { o.Resolver = names{"answer.test": always(addr.String())}.resolver() })
		}},
		{"redirect", func(t *testing.T, host string, port uint16) bool {
			receiver := raw(t, answer(status(302, "Location: "+url(host, port)), false))
			r := newTestSender(t, receiver.url, nil).Send(t.Context(), message())
			return r.Status == 302 && r.Verdict == Retry && receiver.heard.Load() == 1
		}},
		{"HTTP proxy", func(t *testing.T, host string, port uint16) bool {
			return blockedBy(t, url(host, port), func(o *Options) { o.Proxy = &Proxy{URL: proxy.url} })
		}},
		{"SOCKS proxy", func(t *testing.T, host string, port uint16) bool {
			return blockedBy(t, url(host, port), func(o *Options) { o.Proxy = &Proxy{URL: socks.url} })
		}},
		{"token server", func(t *testing.T, host string, port uint16) bool {
			return blockedBy(t, "http://1.1.1.1/", func(o *Options) {
				o.Auth.OAuth2 = &OAuth2{TokenURL: strings.Replace(url(host, port), "http:", "https:", 1), ClientID: "a", ClientSecret: NewCredential("b")}
			})
		}},
	}
	for _, r := range roles {
		t.Run(r.name, func(t *testing.T) {
			for _, host := range hosts() {
				if !r.refused(t, host, port) {
					t.Errorf("%s was not refused", host)
				}
			}
		})
	}
	if n := conns.Load() + conns6.Load() + proxy.conns.Load() + socks.conns.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// What may be reached is, or the test above would pass of a guard that refuses
// everything.
func TestControlsOfTheMatrixAreAdmitted(t *testing.T) {
	for a := range strings.FieldsSeq(publicAddresses) {
		if err := admits(t, a); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	port, conns := sink(t, "127.0.0.1:0")
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	if blockedBy(t, url, func(o *Options) { o.AllowCIDRs = loopback() }) || conns.Load() == 0 {
		t.Error("what the operator named was not reached")
	}
	before := conns.Load()
	if !blockedBy(t, url, func(o *Options) { o.AllowCIDRs = prefixes("10.1.0.0/16") }) || conns.Load() != before {
		t.Error("what one endpoint may reach, another reached")
	}
}

// TestRebindingReachesNothing has names answer one thing and then another.
func TestRebindingReachesNothing(t *testing.T) {
	receiver := raw(t, answer(status(204, "Connection: close"), false))
	port := receiver.addr.Port()
	_, private := sink(t, fmt.Sprintf("127.0.0.2:%d", port))
	_, private6 := sink(t, fmt.Sprintf("[::1]:%d", port))
	const allowed, refused = "127.0.0.1", "127.0.0.2" // stand for a public and a private address
	table := names{
		"rebind.test": func(asked int) []string {
			if asked%2 == 1 {
				return []string{allowed}
			}
			return []string{refused}
		},
		"mixed.test":  always(refused, allowed, refused),
		"six.test":    always(allowed, "::1"),
		"hidden.test": always("cname.test", refused),
	}
	send := func(name string, s *Sender) Result {
		t.Helper()
		if s == nil {
			s = newTestSender(t, fmt.Sprintf("http://%s.:%d/", name, port), func(o *Options) { o.Resolver = table.resolver() })
		}
		return s.Send(t.Context(), message())
	}
	s := newTestSender(t, fmt.Sprintf("http://rebind.test.:%d/", port), func(o *Options) { o.Resolver = table.resolver() })
	for i := range 6 { // answers live for no time at all: each attempt asks anew
		r := send("", s)
		if i%2 == 0 && r.Verdict != Accepted {
			t.Errorf("attempt %d: %+v", i, r)
		} else if i%2 == 1 {
			wantBlocked(t, "the rebound answer", r)
		}
	}
	for range 3 {
		for _, name := range []string{"mixed.test", "six.test"} {
			if r := send(name, nil); r.Verdict != Accepted || r.Addr.Addr().String() != allowed {
				t.Errorf("%s: %+v", name, r)
			}
		}
		wantBlocked(t, "behind an alias", send("hidden.test", nil))
	}
	if private.Load()+private6.Load() != 0 {
		t.Error("a refused address was connected to")
	}
}

// A connection that is open was judged by the policy of its time; a sender made
// by another policy opens its own.
func TestPolicyThatChangedHoldsForKeptConnections(t *testing.T) {
	receiver := raw(t, answer(status(204), true))
	before := newTestSender(t, receiver.url, nil)
	if r := before.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Fatalf("%+v", r)
	}
	after := newTestSender(t, receiver.url, strict)
	wantBlocked(t, "by the new policy", after.Send(t.Context(), message()))
	if receiver.heard.Load() != 1 || receiver.conns.Load() != 1 {
		t.Errorf("%d requests over %d connections", receiver.heard.Load(), receiver.conns.Load())
	}
}

// Who registers URLs and is not the operator must not map our network with them.
func TestBlockedAndUnreachableLookTheSame(t *testing.T) {
	port, conns := sink(t, "127.0.0.1:0")
	closed := raw(t, answer("", false))
	seen := map[string]string{}
	for what, s := range map[string]*Sender{
		"private, somebody listens":   newTestSender(t, fmt.Sprintf("http://127.0.0.1:%d/", port), strict),
		"private, nobody listens":     newTestSender(t, "http://127.0.0.1:1/", strict),
		"metadata":                    newTestSender(t, "http://169.254.169.254/", strict),
		"a name of the inner network": newTestSender(t, "http://private4.test./", func(o *Options) { o.AllowCIDRs, o.Resolver = nil, inside().resolver() }),
		"no such name":                newTestSender(t, "http://nowhere.test./", func(o *Options) { o.Resolver = names{}.resolver() }),
		"public, refused":             newTestSender(t, "http://127.0.0.1:1/", nil),
		"public, closes":              newTestSender(t, closed.url, nil),
		"public, silent":              newTestSender(t, "http://"+blackHole(t), func(o *Options) { o.Timeout = time.Second }),
		"another port than allowed":   newTestSender(t, "http://private4.test.:8080/", func(o *Options) { o.AllowCIDRs, o.Resolver = nil, inside().resolver() }),
	} {
		r := s.Send(t.Context(), message())
		seen[r.Public()] = what
		if r.Err == nil || r.Public() == r.Err.Error() {
			t.Errorf("%s: the operator is told %v", what, r.Err)
		}
	}
	if len(seen) != 1 {
		t.Errorf("they can be told apart: %q", seen)
	}
	if conns.Load() != 0 {
		t.Error("what is private was reached")
	}
	for status, want := range map[int]string{204: "accepted", 500: "answered 500 Internal Server Error", 299: "accepted", 599: "answered 599"} {
		verdict := Retry
		if status < 300 {
			verdict = Accepted
		}
		if got := (&Result{Verdict: verdict, Status: status}).Public(); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}
