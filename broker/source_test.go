package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// A mosquitto is a real broker of the test's own.
type mosquitto struct {
	t    testing.TB
	dir  string
	addr string
	cmd  *exec.Cmd
}

// startMosquitto skips the test where Mosquitto is not installed.
func startMosquitto(t testing.TB, config ...string) *mosquitto {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		if path = "/usr/sbin/mosquitto"; exec.Command(path, "-h").Run() != nil {
			if _, err := os.Stat(path); err != nil {
				t.Skip("skipped: mosquitto is not installed (apt-get install mosquitto)")
			}
		}
	}
	m := &mosquitto{t: t, dir: t.TempDir(), addr: freeAddress(t)}
	_, port, _ := net.SplitHostPort(m.addr)
	lines := append([]string{
		"listener " + port + " 127.0.0.1",
		"persistence true",
		"persistence_location " + m.dir + "/",
		"user root",
	}, config...)
	if !slices.ContainsFunc(config, func(s string) bool { return strings.HasPrefix(s, "allow_anonymous") }) {
		lines = append(lines, "allow_anonymous true")
	}
	m.write("mosquitto.conf", strings.Join(lines, "\n")+"\n")
	m.start(path)
	t.Cleanup(m.stop)
	return m
}

func (m *mosquitto) write(name, content string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mosquitto) start(path string) {
	m.t.Helper()
	m.cmd = exec.Command(path, "-c", filepath.Join(m.dir, "mosquitto.conf"))
	var log logBuffer
	m.cmd.Stderr = &log
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, "mosquitto does not listen", func() bool {
		c, err := net.Dial("tcp", m.addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func (m *mosquitto) stop() {
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	_ = m.cmd.Wait()
}

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// device is a publisher that keeps what was not acknowledged and sends it again.
func device(t testing.TB, addr, id string) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().
		AddBroker("tcp://" + addr).
		SetClientID(id).
		SetCleanSession(false).
		SetProtocolVersion(4).
		SetConnectRetry(true).
		SetConnectRetryInterval(50 * time.Millisecond).
		SetMaxReconnectInterval(100 * time.Millisecond))
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

// A rig is a source under test and what stands before it.
type rig struct {
	start func(t *testing.T, handle Handler) (stop func() error)
	addr  string // where devices publish
}

// forEachSource runs a law of sources against both.
func forEachSource(t *testing.T, law func(t *testing.T, r rig)) {
	t.Run("Embedded", func(t *testing.T) {
		addr := freeAddress(t)
		law(t, rig{addr: addr, start: func(t *testing.T, handle Handler) func() error {
			_, stop := serveUntil(t, EmbeddedOptions{Listen: addr}, handle)
			t.Cleanup(func() { _ = stop() })
			return stop
		}})
	})
	t.Run("Client", func(t *testing.T) {
		m := startMosquitto(t)
		law(t, rig{addr: m.addr, start: func(t *testing.T, handle Handler) func() error {
			_, stop := subscribeUntil(t, ClientOptions{URL: "mqtt://" + m.addr}, handle)
			return stop
		}})
	})
}

// subscribeUntil runs a client and returns when it is subscribed.
func subscribeUntil(t *testing.T, o ClientOptions, handle Handler) (*Client, func() error) {
	t.Helper()
	if o.ClientID == "" {
		o.ClientID = "tocsin"
	}
	if o.Topics == nil {
		o.Topics = []string{"plants/#"}
	}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	stop := runUntil(t, c.Run, handle)
	t.Cleanup(func() { _ = stop() })
	eventually(t, "the client does not subscribe", func() bool { return c.Ready() == nil })
	return c, stop
}

func publishAll(t *testing.T, d paho.Client, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		d.Publish("plants/a", 1, false, fmt.Sprint(i))
	}
}

func TestSourceKeepsOrder(t *testing.T) {
	forEachSource(t, func(t *testing.T, r rig) {
		got := newCollector()
		stop := r.start(t, got.handle)
		publishAll(t, device(t, r.addr, "d1"), 0, 500)
		for i := range 500 {
			if m := got.next(t); string(m.Payload) != fmt.Sprint(i) || m.Topic != "plants/a" || m.QoS != 1 {
				t.Fatalf("message %d is %+v", i, m)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// The law that everything else rests on: a message whose receipt fails comes
// again until it is safe, and so does everything that was sent after it.
func TestRefusedMeansSentAgain(t *testing.T) {
	forEachSource(t, func(t *testing.T, r rig) {
		const n = 50
		var mu sync.Mutex
		refusals := 3
		safe := map[string]bool{}
		done := make(chan struct{})
		stop := r.start(t, func(m Message) Receipt {
			payload := string(m.Payload)
			return func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				if refusals > 0 && payload != "0" && payload != "1" {
					refusals--
					return errDisk
				}
				if !safe[payload] {
					safe[payload] = true
					if len(safe) == n {
						close(done)
					}
				}
				return nil
			}
		})
		publishAll(t, device(t, r.addr, "d1"), 0, n)
		select {
		case <-done:
		case <-time.After(2 * patience):
			mu.Lock()
			t.Errorf("%d of %d messages became safe", len(safe), n)
			mu.Unlock()
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// What was not acknowledged when the process ended belongs to its successor.
func TestUnsafeMessageComesToTheNextProcess(t *testing.T) {
	forEachSource(t, func(t *testing.T, r rig) {
		ended := make(chan struct{})
		handled := make(chan struct{}, 100)
		stop := r.start(t, func(Message) Receipt {
			handled <- struct{}{}
			return func(context.Context) error { <-ended; return errors.New("killed") }
		})
		publishAll(t, device(t, r.addr, "d1"), 0, 1)
		<-handled
		close(ended)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		got := newCollector()
		r.start(t, got.handle)
		if m := got.next(t); string(m.Payload) != "0" {
			t.Errorf("message %+v", m)
		}
	})
}

// What can still be made safe at a stop is acknowledged, so that it is not
// judged twice.
func TestSafeMessageIsAcknowledgedAtAStop(t *testing.T) {
	forEachSource(t, func(t *testing.T, r rig) {
		g := newGate()
		stop := r.start(t, g.handle)
		d := device(t, r.addr, "d1")
		token := d.Publish("plants/a", 1, false, "x")
		<-g.waiting
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		g.verdict <- nil
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		if !token.WaitTimeout(patience) {
			t.Fatal("not acknowledged")
		}
		got := newCollector()
		r.start(t, got.handle)
		d.Publish("plants/a", 1, false, "y")
		if m := got.next(t); string(m.Payload) != "y" {
			t.Errorf("message %q comes again", m.Payload)
		}
	})
}

func TestMosquittoClientsAreServed(t *testing.T) {
	path, err := exec.LookPath("mosquitto_pub")
	if err != nil {
		t.Skip("skipped: mosquitto_pub is not installed (apt-get install mosquitto-clients)")
	}
	got := newCollector()
	e := serve(t, EmbeddedOptions{}, got.handle)
	host, port, _ := net.SplitHostPort(e.Addrs()[0].String())
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		for _, qos := range []string{"0", "1", "2"} {
			out, err := exec.Command(path, "-h", host, "-p", port, "-V", version, "-q", qos, "-t", "a/b", "-m", "21.5").CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%s QoS %s: %v %s", version, qos, err, out)
				continue
			}
			if m := got.next(t); string(m.Payload) != "21.5" || fmt.Sprint(m.QoS) != qos {
				t.Errorf("%s QoS %s: message %+v", version, qos, m)
			}
		}
	}
	got.none(t)
}
