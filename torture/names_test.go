//go:build linux

package torture

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameScenes are about names and what they lead to.
func nameScenes() []scene {
	return []scene{
		{row: "F13", name: "names of receivers", needs: mounts, before: named, strike: badNames},
	}
}

// mounts says why the bridge cannot be given another resolv.conf.
func mounts() string {
	if os.Getuid() != 0 {
		return "another resolv.conf for one process needs root"
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("no mount namespaces here (%v: %.100s)", err, out)
	}
	return ""
}

// A nameserver answers for every name what it is told to.
type nameserver struct {
	conn net.PacketConn

	mu    sync.Mutex
	code  dnsmessage.RCode
	deaf  bool
	addrs []netip.Addr // in turn; the last for ever
}

// startNameserver listens at an address of loopback that nobody else uses: the port
// is not ours to choose.
func startNameserver(t testing.TB) *nameserver {
	t.Helper()
	for range 100 {
		conn, err := net.ListenPacket("udp4", ownHost()+":53")
		if err != nil {
			continue
		}
		n := &nameserver{conn: conn}
		done := make(chan struct{})
		go func() { defer close(done); n.serve() }()
		t.Cleanup(func() { conn.Close(); <-done })
		return n
	}
	t.Fatal("no address for a name server")
	return nil
}

// says changes what it answers.
func (n *nameserver) says(code dnsmessage.RCode, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.code, n.deaf, n.addrs = code, false, nil
	for _, a := range addrs {
		n.addrs = append(n.addrs, netip.MustParseAddr(a))
	}
}

// ignores has it answer nobody.
func (n *nameserver) ignores() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = true
}

func (n *nameserver) serve() {
	buf := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := n.answer(buf[:size]); answer != nil {
			_, _ = n.conn.WriteTo(answer, from)
		}
	}
}

func (n *nameserver) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.deaf {
		return nil
	}
	m.Header.Response, m.Header.RCode, m.Header.RecursionAvailable = true, n.code, true
	m.Additionals = nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA && n.code == dnsmessage.RCodeSuccess && len(n.addrs) > 0 {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
			Body:   &dnsmessage.AResource{A: n.addrs[0].As4()},
		}}
		if len(n.addrs) > 1 {
			n.addrs = n.addrs[1:]
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// named gives the receiver a name, and the bridge somebody to ask for it.
func named(s *stage) {
	s.names = startNameserver(s)
	s.names.says(dnsmessage.RCodeSuccess, "127.0.0.1")
	host, _, _ := net.SplitHostPort(s.names.conn.LocalAddr().String())
	s.write("resolv.conf", "nameserver "+host+"\noptions timeout:1 attempts:1\n")
	s.ops.url = strings.Replace(s.ops.url, "127.0.0.1", "receiver.example", 1)
	s.scene.env = []string{"GODEBUG=netdns=go"} // which takes no other way than resolv.conf
	s.scene.wrapper = []string{"unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, s.path("resolv.conf")}
	patient(s)
}

// badNames has the name lead nowhere, late, and where nobody may go. A connection that
// is open goes on meanwhile, so none is left open.
func badNames(s *stage) {
	tried := func(says ...string) {
		s.Helper()
		within(deadline, func() bool {
			s.ops.server.CloseClientConnections()
			v := s.endpoint("ops")
			return v.says(says...)
		})
		s.lastAttemptSays(says...)
		s.goesOn()
	}
	again := func() {
		s.Helper()
		s.names.says(dnsmessage.RCodeSuccess, "127.0.0.1")
		taken := s.ops.accepted()
		s.eventually("the receiver is found again", func() bool { return s.ops.accepted() > taken })
	}
	s.names.says(dnsmessage.RCodeNameError)
	tried("no such host")
	again()
	s.names.says(dnsmessage.RCodeServerFailure)
	tried("server misbehaving", "no such host")
	s.names.ignores()
	tried("no answer within 1s", "timeout")
	again()
	s.names.says(dnsmessage.RCodeSuccess) // no address at all
	tried("no such host")
	for _, private := range []string{"192.168.7.7", "169.254.169.254", "172.16.0.1"} {
		s.names.says(dnsmessage.RCodeSuccess, "127.0.0.1", private) // good at the first look
		tried("address " + private)
	}
	s.hears(utterance{log: "endpoint failing"})
	s.goOn(time.Second)
	again()
}
