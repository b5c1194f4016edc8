package webhook

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// privateAddresses are what no webhook may reach unless it is named.
const privateAddresses = `
	127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255
	100.64.0.1 100.127.255.255 100.100.100.200 169.254.0.1 169.254.169.254 169.254.170.2 169.254.170.23 192.0.0.1 192.0.0.192 192.0.0.255
	192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16
	:: ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1 0:0:0:0:0:ffff:a9fe:a9fe ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 ::ffff:0:0
	64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::a00:1 64:ff9b:1::a00:1 64:ff9b:1::808:808 2002:7f00:1:: 2002:808:808:: 2001:0::1 2001:10::1 2001:20::1 2001:db8::1 3fff::1
	fc00::1 fd00::1 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42 fe80::1 febf::1 fec0::1 feff::1 ff02::1 ff0e::1 100::1 100:0:0:1::1 5f00::1 4000::1 8000::1 ::2 1::1`

const publicAddresses = `
	1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1 169.253.255.255 169.255.0.1 192.0.1.1 223.255.255.255
	::ffff:1.1.1.1 2606:4700:4700::1111 2a00:1450:4001:80b::200e 2001:4860:4860::8888 64:ff9b::808:808`

func admits(t *testing.T, addr string, allow ...string) error {
	t.Helper()
	g, err := newGuard(&Options{AllowCIDRs: prefixes(strings.Join(allow, " "))})
	if err != nil {
		t.Fatal(err)
	}
	network := "tcp6"
	if netip.MustParseAddr(addr).Is4() {
		network = "tcp4"
	}
	return g.control(t.Context(), network, netip.AddrPortFrom(netip.MustParseAddr(addr), 443).String(), nil)
}

func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	for a := range strings.FieldsSeq(privateAddresses) {
		var blocked *blockedError
		if err := admits(t, a); !errors.As(err, &blocked) {
			t.Errorf("%s is admitted (%v)", a, err)
		}
	}
	for a := range strings.FieldsSeq(publicAddresses) {
		if err := admits(t, a); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	for _, a := range []string{"fe80::1%eth0", "2606:4700:4700::1111%eth0"} {
		if admits(t, a) == nil || admits(t, a, "::/0", "fe80::/10") == nil {
			t.Errorf("%s, with a zone, is admitted", a)
		}
	}
	g, _ := newGuard(&Options{})
	for _, c := range [][2]string{{"udp4", "1.1.1.1:443"}, {"unix", "/run/x"}, {"tcp4", "1.1.1.1"}, {"tcp4", "example.com:443"}, {"tcp", "1.1.1.1:443"}, {"tcp4", ""}} {
		if g.control(t.Context(), c[0], c[1], nil) == nil {
			t.Errorf("%s %s is admitted", c[0], c[1])
		}
	}
}

func TestAllowedRangesOpenWhatTheyName(t *testing.T) {
	f := func(ok bool, addr string, allow ...string) {
		t.Helper()
		if err := admits(t, addr, allow...); (err == nil) != ok {
			t.Errorf("%s with %v: %v", addr, allow, err)
		}
	}
	f(true, "127.0.0.1", "127.0.0.0/8")
	f(true, "::ffff:127.0.0.1", "127.0.0.0/8")
	f(true, "10.1.2.3", "10.1.0.0/16")
	f(true, "10.1.2.3", "10.1.9.9/16") // host bits do not matter
	f(false, "10.2.0.1", "10.1.0.0/16")
	f(true, "10.2.0.1", "10.1.0.0/16", "10.2.0.1/32")
	f(true, "::1", "::1/128")
	f(true, "fd12::1", "fc00::/7")
	f(true, "10.0.0.1", "0.0.0.0/0")
	f(false, "fd12::1", "0.0.0.0/0")
	f(true, "1.1.1.1", "10.0.0.0/8") // the public stays open

	// What hands out credentials must be named as narrowly as it is listed.
	f(false, "169.254.1.1", "0.0.0.0/0")
	f(false, "169.254.1.1", "169.0.0.0/8")
	f(true, "169.254.1.1", "169.254.0.0/16")
	f(true, "169.254.1.1", "169.254.1.0/24")
	f(false, "169.254.169.254", "0.0.0.0/0", "169.254.0.0/16", "169.254.169.0/24")
	f(true, "169.254.169.254", "169.254.169.254/32")
	f(false, "169.254.170.2", "169.254.169.254/32")
	f(false, "fd00:ec2::254", "::/0", "fc00::/7", "fd00::/8")
	f(true, "fd00:ec2::254", "fd00:ec2::254/128")
	f(false, "100.100.100.200", "100.64.0.0/10")
	f(true, "100.100.100.201", "100.64.0.0/10")
	f(false, "168.63.129.16", "168.63.0.0/16")
	f(false, "fe80::1", "::/0")

	// An address that leads to another is judged by both.
	f(true, "64:ff9b::a01:203", "10.1.0.0/16")
	f(false, "64:ff9b::a01:203", "64:ff9b::/96")
	f(false, "64:ff9b::a9fe:a9fe", "::/0", "0.0.0.0/0")
	f(false, "64:ff9b:1::a01:203", "10.1.0.0/16")
	f(true, "64:ff9b:1::a01:203", "10.1.0.0/16", "64:ff9b:1::/48")
	f(false, "2002:a9fe:a9fe::1", "::/0", "0.0.0.0/0")

	for _, p := range []netip.Prefix{{}, netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.0"), 104)} {
		if _, err := newGuard(&Options{AllowCIDRs: []netip.Prefix{p}}); err == nil {
			t.Errorf("allow_cidrs with %v is accepted", p)
		}
	}
}

func TestRefusedAddressIsExplained(t *testing.T) {
	f := func(addr, want string) {
		t.Helper()
		if err := admits(t, addr); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	f("127.0.0.1", "address 127.0.0.1 is not public (name it in egress.allow_cidrs to allow it)")
	f("::ffff:10.0.0.1", "address 10.0.0.1 is not public (name it in egress.allow_cidrs to allow it)")
	f("169.254.169.254", "address 169.254.169.254 is link-local or a cloud metadata service (only egress.allow_cidrs with 169.254.169.254/32 or narrower allows it)")
	f("169.254.1.1", "address 169.254.1.1 is link-local or a cloud metadata service (only egress.allow_cidrs with 169.254.0.0/16 or narrower allows it)")
	f("64:ff9b::7f00:1", "address 64:ff9b::7f00:1 leads to 127.0.0.1, which is not allowed")
}

// A sink counts connections, and there must be none.
func sink(t *testing.T, addr string) (port uint16, conns *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("cannot listen on %s: %v", addr, err)
	}
	conns = new(atomic.Int64)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return netip.MustParseAddrPort(l.Addr().String()).Port(), conns
}

// names answers DNS questions from a table; what is not in it does not exist.
type names map[string]func(asked int) []string

func (n names) resolver() *net.Resolver {
	var mu sync.Mutex
	asked := map[string]int{}
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe() // not a packet connection, so lengths are framed as over TCP
		go func() {
			defer func() { _ = server.Close() }()
			for {
				var size [2]byte
				if _, err := io.ReadFull(server, size[:]); err != nil {
					return
				}
				q := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(server, q); err != nil {
					return
				}
				mu.Lock()
				a := n.reply(q, asked)
				mu.Unlock()
				if _, err := server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
					return
				}
			}
		}()
		return client, nil
	}}
}

func (n names) reply(query []byte, asked map[string]int) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true},
		Questions: m.Questions,
	}
	answers := n[name]
	if answers == nil {
		reply.RCode = dnsmessage.RCodeNameError
	} else {
		key := name + q.Type.String()
		asked[key]++
		owner := q.Name
		for _, text := range answers(asked[key]) {
			h := dnsmessage.ResourceHeader{Name: owner, Class: dnsmessage.ClassINET}
			if a, err := netip.ParseAddr(text); err != nil {
				owner = dnsmessage.MustNewName(text + ".")
				reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.CNAMEResource{CNAME: owner}})
			} else if a.Is4() && q.Type == dnsmessage.TypeA {
				reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
			} else if a.Is6() && q.Type == dnsmessage.TypeAAAA {
				reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
			}
		}
	}
	out, _ := reply.Pack()
	return out
}

func always(addrs ...string) func(int) []string { return func(int) []string { return addrs } }

func wantBlocked(t *testing.T, what string, r Result) {
	t.Helper()
	var blocked *blockedError
	if !errors.As(r.Err, &blocked) || r.Verdict != Retry || r.Status != 0 {
		t.Errorf("%s: %+v, want a refusal", what, r)
	}
}

func strict(o *Options) { o.AllowCIDRs = nil }

func TestPrivateAddressesAreNotReached(t *testing.T) {
	port, conns := sink(t, "127.0.0.1:0")
	url := func(host string) string { return fmt.Sprintf("http://%s:%d/", host, port) }

	t.Run("as literals", func(t *testing.T) {
		for a := range strings.FieldsSeq(privateAddresses) {
			host := a
			if strings.Contains(a, ":") {
				host = "[" + a + "]"
			}
			wantBlocked(t, a, newTestSender(t, url(host), strict).Send(t.Context(), message()))
		}
	})
	t.Run("as spellings that some resolvers know", func(t *testing.T) {
		for _, host := range []string{"127.1", "0", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "127.0.0.1.", "[fe80::1%25eth0]"} {
			if _, err := New(Options{URL: url(host), AllowHTTP: true, Secrets: []Secret{NewSecret()}}); err == nil {
				t.Errorf("%s is accepted", host)
			}
		}
	})
	t.Run("as DNS answers", func(t *testing.T) {
		table := names{
			"metadata.google.internal": always("169.254.169.254"),
			"kubernetes.default.svc":   always("10.96.0.1"),
			"host.docker.internal":     always("172.17.0.1"),
			"foo.localhost":            always("127.0.0.1"),
			"cname.test":               always("localhost", "127.0.0.1"),
			"mixed.test":               always("10.0.0.1", "::1", "127.0.0.1"),
			"many.test": func(int) (all []string) {
				for i := range 1000 {
					all = append(all, fmt.Sprintf("127.0.%d.%d", i/250, 1+i%250))
				}
				return all
			},
		}
		i := 0
		for a := range strings.FieldsSeq(privateAddresses) {
			table[fmt.Sprintf("n%d.test", i)] = always(a)
			i++
		}
		r := table.resolver()
		for name := range table {
			// The trailing dot keeps this machine's search list out of it.
			s := newTestSender(t, url(name+"."), func(o *Options) { o.AllowCIDRs, o.Resolver = nil, r })
			wantBlocked(t, name, s.Send(t.Context(), message()))
		}
		for _, name := range []string{"localhost", "LOCALHOST", "localhost."} {
			s := newTestSender(t, url(name), func(o *Options) {
				o.AllowCIDRs, o.Resolver = nil, names{"localhost": always("127.0.0.1", "::1")}.resolver()
			})
			wantBlocked(t, name, s.Send(t.Context(), message()))
		}
	})
	t.Run("as redirect targets", func(t *testing.T) {
		hosts := []string{"127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost", "[::ffff:127.0.0.1]", "169.254.169.254", "2130706433", "user@127.0.0.1"}
		for _, code := range []int{300, 301, 302, 303, 305, 307, 308, 399} {
			for _, host := range hosts {
				receiver := raw(t, answer(status(code, "Location: "+url(host)), true))
				r := newTestSender(t, receiver.url, nil).Send(t.Context(), message())
				if r.Verdict != Retry || r.Status != code || receiver.heard.Load() != 1 {
					t.Errorf("%d to %s: %+v after %d requests", code, host, r, receiver.heard.Load())
				}
				wantErr(t, r, "redirects are not followed", strings.TrimPrefix(host, "user@"))
			}
		}
	})
	if n := conns.Load(); n != 0 {
		t.Errorf("%d connections reached the target", n)
	}
}

func TestRebindingIsRefusedAtDial(t *testing.T) {
	receiver := raw(t, answer(status(204, "Connection: close"), false))
	_, conns := sink(t, fmt.Sprintf("127.0.0.2:%d", receiver.addr.Port()))
	table := names{
		"rebind.test": func(asked int) []string {
			if asked == 1 {
				return []string{"127.0.0.1"} // stands for a public address: it is allowed
			}
			return []string{"127.0.0.2"}
		},
		"mixed.test": always("127.0.0.2", "127.0.0.1", "::1"),
	}
	use := func(o *Options) { o.Resolver = table.resolver() }
	s := newTestSender(t, fmt.Sprintf("http://rebind.test.:%d/", receiver.addr.Port()), use)
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Fatalf("the allowed address: %+v", r)
	}
	wantBlocked(t, "the rebound address", s.Send(t.Context(), message()))

	s = newTestSender(t, fmt.Sprintf("http://mixed.test.:%d/", receiver.addr.Port()), use)
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Errorf("a name with an allowed address among others: %+v", r)
	}
	if conns.Load() != 0 {
		t.Error("a refused address was connected to")
	}
	if n := receiver.heard.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestUnknownNameIsRetried(t *testing.T) {
	s := newTestSender(t, "http://nowhere.test./", func(o *Options) { o.Resolver = names{}.resolver() })
	r := s.Send(t.Context(), message())
	if r.Verdict != Retry {
		t.Errorf("%+v", r)
	}
	wantErr(t, r, "http://nowhere.test./...: looking up the host", "no such host")
}

func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	port, conns := sink(t, "127.0.0.1:0")
	for _, v := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(v, fmt.Sprintf("http://127.0.0.1:%d", port))
	}
	t.Setenv("NO_PROXY", "")
	s := newTestSender(t, "http://proxied.test./", func(o *Options) {
		o.AllowCIDRs, o.Resolver = nil, names{"proxied.test": always("10.0.0.1")}.resolver()
	})
	wantBlocked(t, "with a proxy set", s.Send(t.Context(), message()))
	if s.transport.Proxy != nil || conns.Load() != 0 {
		t.Error("the environment's proxy is used")
	}
	var _ http.RoundTripper = s.transport
}
