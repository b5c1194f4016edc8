//go:build linux

package torture

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A scene is one fault.
type scene struct {
	row       string // of the batteries, "F5"
	name      string
	mosquitto bool     // devices talk to a broker of somebody else's
	config    string   // is added to the configuration
	env       []string // is added to the environment
	wrapper   []string // under which the bridge starts
	needs     func() string
	before    func(*stage) // before the bridge is started
	strike    func(*stage) // brings the fault about, and ends it; the bridge may have ended
	after     func(*stage) // looks at how it ended, before it is judged
}

// scenes are all that is tried.
func scenes() []scene {
	return slices.Concat(killScenes(), crashScenes(), diskScenes(), loadScenes(), upgradeScenes(), receiverScenes(), brokerScenes(), partitionScenes(), clockScenes(), silenceScenes())
}

// seeds are those that are tried: one, TOCSIN_SEEDS of them, or TOCSIN_SEED.
func seeds(t *testing.T) (list []uint64) {
	t.Helper()
	number := func(name string) uint64 {
		n, err := strconv.ParseUint(os.Getenv(name), 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	if os.Getenv("TOCSIN_SEED") != "" {
		return []uint64{number("TOCSIN_SEED")}
	}
	n := uint64(1)
	if os.Getenv("TOCSIN_SEEDS") != "" {
		n = number("TOCSIN_SEEDS")
	}
	first := uint64(time.Now().UnixNano()) % 1_000_000 // #nosec G115 -- it is after 1970
	for i := range n {
		list = append(list, first+i)
	}
	return list
}

// Whatever goes wrong, and one thing does in each scene: the nine promises hold.
func TestTorture(t *testing.T) {
	all := seeds(t)
	r := &report{}
	t.Cleanup(func() { r.tell(t) })
	for _, sc := range scenes() {
		l := r.add(sc.title())
		t.Run(l.scene, func(t *testing.T) {
			t.Parallel()
			for _, seed := range all {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					began := time.Now()
					messages, events := 0, 0
					defer func() { r.note(l, t, time.Since(began), messages, events) }()
					messages, events = sc.play(t, seed)
				})
			}
		})
	}
}

// title is the scene's name as a test.
func (sc *scene) title() string { return sc.row + "/" + strings.ReplaceAll(sc.name, " ", "-") }

// play returns how many messages were acknowledged, and how many events accepted.
func (sc *scene) play(t *testing.T, seed uint64) (messages, events int) {
	if sc.mosquitto {
		if _, err := os.Stat(mosquittoPath); err != nil {
			t.Skipf("SKIP %s %s: no Mosquitto on this machine", sc.row, sc.name)
		}
	}
	if sc.needs != nil {
		if why := sc.needs(); why != "" {
			t.Skipf("SKIP %s %s: %s", sc.row, sc.name, why)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			name, _, _ := strings.Cut(strings.TrimPrefix(t.Name(), "TestTorture/"), fmt.Sprintf("/%d", seed))
			t.Logf("repeat with TOCSIN_SEED=%d go test -count=1 -run 'TestTorture/%s' ./torture", seed, name)
		}
	})
	s := set(t, sc, seed)
	if sc.before != nil {
		sc.before(s)
	}
	s.startReady(sc.wrapper...)
	s.play()
	s.eventually("the fleet is heard, and receivers are told", func() bool { return s.ops.accepted() > 10 && s.canary.accepted() > 10 })
	var err error
	if s.before, err = s.b.footprint(); err != nil {
		t.Fatal(err)
	}
	sc.strike(s)
	if !s.b.alive() {
		s.startReady()
	}
	s.heals()
	s.goesOn() // devices are heard again, and receivers told
	s.fleet.end(t)
	s.settle()
	if sc.after != nil {
		sc.after(s)
	}
	for _, complaint := range s.judge() {
		t.Error(complaint)
	}
	return s.fleet.acked(t), s.ops.accepted()
}

// settle waits until nobody is owed anything.
func (s *stage) settle() {
	s.Helper()
	s.ops.behave(nil)
	s.canary.behave(nil)
	if s.broker != nil {
		s.drain()
	}
	for progress := -1; ; {
		seen := s.ops.requests() + s.canary.requests()
		if seen == progress {
			s.Fatalf("%s: something is owed, and nothing is sent in %v\n%s", delivered, deadline, s.tail())
		}
		progress = seen
		if within(deadline, func() bool { return s.owed() == 0 }) {
			return
		}
	}
}

// owed is what all endpoints are owed.
func (s *stage) owed() (n int) {
	var list struct {
		Endpoints []struct{ Owed int }
	}
	if err := s.b.answer("endpoints", &list); err != nil || len(list.Endpoints) != 2 {
		return -1
	}
	for _, e := range list.Endpoints {
		n += e.Owed
	}
	return n
}
