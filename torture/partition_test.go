//go:build linux

package torture

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"
)

// partitionScenes are about networks that carry nothing, or one way only.
func partitionScenes() []scene {
	return []scene{
		{row: "F16", name: "no way to a receiver", needs: namespaces, before: apart, strike: noWayOut},
		{row: "F16", name: "no way from the fleet", needs: namespaces, before: apart, strike: noWayIn},
		{row: "F16", name: "no way to the broker", mosquitto: true, needs: namespaces, before: apart, strike: noWayIn, after: brokerKeptAll},
		{row: "F16", name: "no way to the broker for long", mosquitto: true, needs: inLongForm(namespaces), before: apart, strike: longWithoutBroker, after: brokerKeptAll},
	}
}

// inLongForm has a scene played only where there is time.
func inLongForm(needs func() string) func() string {
	return func() string {
		if !long() {
			return "it takes a minute (set TOCSIN_TORTURE=1)"
		}
		return needs()
	}
}

// namespaces says why there can be none.
func namespaces() string {
	if os.Getuid() != 0 {
		return "network namespaces need root"
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Sprintf("no %s on this machine (Debian packages iproute2 and nftables)", tool)
		}
	}
	name := fmt.Sprintf("tocsin-%d-%d", os.Getpid(), islands.Add(1))
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		return fmt.Sprintf("no network namespaces here (%v: %.100s)", err, out)
	}
	_ = exec.Command("ip", "netns", "del", name).Run()
	return ""
}

// An island is a network namespace in which the bridge lives, and its bridges to the
// rest of the world.
type island struct {
	s      *stage
	name   string
	subnet int
}

// A crossing is one of them: what is on the mainland's end of it, and what else there is.
type crossing struct {
	is     *island
	number int
}

// The ways to and from an island.
const (
	service = iota // its own server, and the canary
	outward        // the endpoint ops
	inward         // devices, or their broker
)

var islands atomic.Int32

// apart puts the bridge on an island. The service goes by another way than what a
// scene cuts.
func apart(s *stage) {
	is := &island{s: s, name: fmt.Sprintf("tocsin-%d-%d", os.Getpid(), islands.Add(1)), subnet: freeSubnet(s)}
	is.ip("netns", "add", is.name)
	s.Cleanup(func() { _ = exec.Command("ip", "netns", "del", is.name).Run() })
	is.ip("-n", is.name, "link", "set", "lo", "up")
	for n := range inward + 1 {
		c := crossing{is, n}
		near, far := c.device("h"), c.device("n")
		is.ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", is.name)
		s.Cleanup(func() { _ = exec.Command("ip", "link", "del", near).Run() }) // gone with the namespace, at the latest when its last process is
		is.ip("addr", "add", c.mainland()+"/30", "dev", near)
		is.ip("-n", is.name, "addr", "add", c.there()+"/30", "dev", far)
		is.ip("link", "set", near, "up")
		is.ip("-n", is.name, "link", "set", far, "up")
	}
	at := func(c int, target string) string {
		return startProxyAt(s, crossing{is, c}.mainland()+":0", target).addr
	}
	s.canary.url = "http://" + at(service, strings.TrimPrefix(s.canary.url, "http://"))
	s.ops.url = "http://" + at(outward, strings.TrimPrefix(s.ops.url, "http://"))
	s.http = crossing{is, service}.there() + ":0"
	if s.broker != nil {
		s.way = startProxyAt(s, crossing{is, inward}.mainland()+":0", s.mqtt)
		s.way.hears = newTap()
		s.upstream = s.way.addr
	} else {
		s.mqtt = crossing{is, inward}.there() + ":1883"
	}
	patient(s)
	s.scene.wrapper = []string{"ip", "netns", "exec", is.name}
	s.island = is
}

// freeSubnet is a network of 256 addresses that this machine does not use.
func freeSubnet(s *stage) int {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		s.Fatal(err)
	}
	for range 1000 {
		n := rand.IntN(256)
		prefix := fmt.Sprintf("10.77.%d.", n)
		used := false
		for _, a := range addrs {
			used = used || strings.HasPrefix(a.String(), prefix)
		}
		if !used {
			return n
		}
	}
	s.Fatal("all of 10.77.0.0/16 is in use")
	return 0
}

func (c crossing) device(end string) string {
	return fmt.Sprintf("tt%d%s%d", c.is.subnet, end, c.number)
}
func (c crossing) mainland() string { return fmt.Sprintf("10.77.%d.%d", c.is.subnet, 4*c.number+1) }
func (c crossing) there() string    { return fmt.Sprintf("10.77.%d.%d", c.is.subnet, 4*c.number+2) }

// ip configures the network.
func (is *island) ip(args ...string) { is.run("ip", args...) }

func (is *island) run(tool string, args ...string) {
	is.s.Helper()
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		is.s.Fatalf("%s %s: %v: %s", tool, strings.Join(args, " "), err, out)
	}
}

func (is *island) nft(rule string) {
	is.s.Helper()
	is.run("ip", "netns", "exec", is.name, "nft", rule)
}

// A cut is a way to carry nothing; it ends with what it returns.
type cut struct {
	name string
	does func(crossing) (end func())
}

// cuts are all of them.
func cuts() []cut {
	drop := func(hook, match string) func(crossing) func() {
		return func(c crossing) func() {
			c.is.nft("add table ip cut")
			c.is.nft("add chain ip cut every { type filter hook " + hook + " priority 0 ; }")
			c.is.nft("add rule ip cut every " + match + " " + c.device("n") + " drop")
			return func() { c.is.nft("delete table ip cut") }
		}
	}
	return []cut{
		{"link down", func(c crossing) func() {
			c.is.ip("-n", c.is.name, "link", "set", c.device("n"), "down")
			return func() { c.is.ip("-n", c.is.name, "link", "set", c.device("n"), "up") }
		}},
		{"nothing comes in", drop("input", "iifname")},
		{"nothing goes out", drop("output", "oifname")},
		{"black hole", func(c crossing) func() {
			c.is.ip("-n", c.is.name, "route", "add", "blackhole", c.mainland()+"/32")
			return func() { c.is.ip("-n", c.is.name, "route", "del", "blackhole", c.mainland()+"/32") }
		}},
	}
}

// noWayOut cuts the way to a receiver, in each way.
func noWayOut(s *stage) {
	for _, c := range cuts() {
		end := c.does(crossing{s.island, outward})
		s.lastAttemptSays("no answer within 1s", "unreachable", "invalid argument", "no route")
		s.goesOn()
		end()
		taken := s.ops.accepted()
		s.eventually("it is told again after "+c.name, func() bool { return s.ops.accepted() > taken })
	}
	s.hears(utterance{metric: "tocsin_endpoint_state", labels: []string{`endpoint="ops"`}})
}

// noWayIn cuts the way from the devices, or from their broker, for a moment and for
// some time.
func noWayIn(s *stage) {
	lasting := 4 * time.Second
	if long() {
		lasting = 10 * time.Second
	}
	for i, c := range cuts() {
		end := c.does(crossing{s.island, inward})
		if i%2 == int(s.seed%2) {
			s.goOn(time.Second)
		} else {
			s.goOn(lasting)
		}
		if !s.isReady() && s.broker == nil {
			s.Errorf("%s: devices that say nothing have it not ready", unharmed)
		}
		end()
		s.heals()
		s.goesOn()
	}
}

// longWithoutBroker cuts the way to the broker for longer than devices may be silent. A
// bridge that hears nobody must not take that for the silence of devices.
func longWithoutBroker(s *stage) {
	for _, c := range cuts()[:2] {
		end := c.does(crossing{s.island, inward})
		s.hears(utterance{log: "no messages from the external broker"})
		pause(25 * time.Second)
		end()
		s.heals()
		s.goesOn()
	}
}
