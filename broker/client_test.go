package broker

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMistakesOfAClientAreNamedWithoutSecrets(t *testing.T) {
	f := func(o ClientOptions, want ...string) {
		t.Helper()
		_, err := NewClient(o)
		if err == nil {
			t.Fatalf("%+v: no error", o)
		}
		for _, s := range want {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("error %q lacks %q", err, s)
			}
		}
		if strings.Contains(err.Error(), "CANARY") {
			t.Errorf("error %q holds the secret", err)
		}
	}
	f(ClientOptions{URL: "tcp://u:CANARY@h"}, `scheme "tcp"`, "client_id", "topic")
	f(ClientOptions{URL: "mqtt://u:CANARY%zz@h"}, "url")
	f(ClientOptions{URL: "mqtt://h", ClientID: "c", Password: "CANARY", Topics: []string{"a"}}, "username")
	f(ClientOptions{URL: "mqtt://h", ClientID: "c", Topics: []string{"a/#/b"}, Share: "a/b"}, `"a/#/b"`, "share")
	f(ClientOptions{}, "url")
}

func TestCredentialsInTheURLAreUsedAndNotShown(t *testing.T) {
	m := startMosquitto(t, "allow_anonymous false", "password_file "+passwordFile(t, "bridge", "CANARY"))
	var log logBuffer
	c, _ := subscribeUntil(t, ClientOptions{URL: "mqtt://bridge:CANARY@" + m.addr, Log: log.logger()}, safe)
	if strings.Contains(log.String(), "CANARY") || strings.Contains(c.url.String(), "bridge") {
		t.Errorf("shown: %s %s", c.url, log.String())
	}
}

// passwordFile has mosquitto_passwd write a file.
func passwordFile(t *testing.T, user, password string) string {
	t.Helper()
	file := t.TempDir() + "/passwd"
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", file, user, password).CombinedOutput(); err != nil {
		t.Skipf("skipped: mosquitto_passwd: %v %s", err, out)
	}
	return file
}

func runClient(t *testing.T, o ClientOptions, handle Handler) *Client {
	t.Helper()
	o.ClientID = "tocsin"
	if o.Topics == nil {
		o.Topics = []string{"plants/#"}
	}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	stop := runUntil(t, c.Run, handle)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func readyReason(t *testing.T, c *Client, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("no reason with %q", want), func() bool {
		err := c.Ready()
		for _, s := range want {
			if err == nil || !strings.Contains(err.Error(), s) {
				return false
			}
		}
		return true
	})
}

func TestReasonAndRemedyOfAFailedConnection(t *testing.T) {
	m := startMosquitto(t, "allow_anonymous false", "password_file "+passwordFile(t, "bridge", "right"))
	f := func(o ClientOptions, want ...string) {
		t.Helper()
		c := runClient(t, o, safe)
		readyReason(t, c, want...)
		for _, foreign := range []string{"network Error", "dial tcp", "Authorized"} {
			if err := c.Ready(); err != nil && strings.Contains(err.Error(), foreign) {
				t.Errorf("%q is not in our words", err)
			}
		}
	}
	f(ClientOptions{URL: "mqtt://" + m.addr, Username: "bridge", Password: "wrong"},
		"connecting to "+m.addr+": the broker does not let us in (check username and password")
	closed := freeAddress(t)
	for _, scheme := range []string{"mqtt", "mqtts", "ws", "wss"} {
		f(ClientOptions{URL: scheme + "://" + closed}, "connecting to "+closed+": connection refused (check that the broker runs")
	}
	f(ClientOptions{URL: "mqtt://no-such-host.invalid"}, "connecting to no-such-host.invalid:1883: ", "host name")
	l, err := net.Listen("tcp", "127.0.0.1:0") // it hangs up
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	defer func() { _ = l.Close() }()
	f(ClientOptions{URL: "mqtt://" + l.Addr().String()}, "connecting to "+l.Addr().String()+": ")
}

func TestRefusedSubscriptionIsReported(t *testing.T) {
	// Mosquitto grants whatever is asked and then sends nothing; ours says no.
	e := serve(t, EmbeddedOptions{Users: oneUser(t, "d", []string{"#"}, []string{"plants/#"})}, safe)
	addr := e.Addrs()[0].String()
	got := newCollector()
	c := runClient(t, ClientOptions{URL: "mqtt://" + addr, Username: "d", Password: "secret",
		Topics: []string{"plants/#", "secret/#"}, Registerer: prometheus.NewRegistry(), Name: "plant"}, got.handle)
	readyReason(t, c, "refused the subscription to secret/#", `allow user "d"`)
	// What was granted flows.
	w := connected(t, e, hello{id: "d1", clean: true, user: "d", pass: "secret"})
	w.publish(pub{topic: "plants/a", qos: 1, id: 1})
	got.next(t)
}

func TestLostSessionIsReported(t *testing.T) {
	m := startMosquitto(t, "persistent_client_expiration 1h")
	var log logBuffer
	c, _ := subscribeUntil(t, ClientOptions{URL: "mqtt://" + m.addr, Log: log.logger()}, safe)
	lost := c.metrics.sessionsLost.WithLabelValues("external")

	// Another client takes the id with a clean session and leaves: ours is gone.
	out, err := exec.Command("mosquitto_sub", "-h", "127.0.0.1", "-p", m.addr[strings.LastIndex(m.addr, ":")+1:],
		"-i", "tocsin", "-t", "x", "-E").CombinedOutput()
	if err != nil {
		t.Skipf("skipped: mosquitto_sub: %v %s", err, out)
	}
	eventually(t, "the lost session is not counted", func() bool { return counted(lost) == 1 })
	eventually(t, "the lost session is not logged", func() bool { return strings.Contains(log.String(), "had forgotten our session") })
	eventually(t, "not connected again", func() bool { return c.Ready() == nil })
}

func TestTwoClientsOfOneNameAreRecognised(t *testing.T) {
	m := startMosquitto(t)
	var log logBuffer
	o := ClientOptions{URL: "mqtt://" + m.addr, Log: log.logger()}
	runClient(t, o, safe)
	runClient(t, o, safe)
	eventually(t, "not logged", func() bool { return strings.Contains(log.String(), "another process uses this client id") })
}

func TestRetainedMessageIsMarked(t *testing.T) {
	m := startMosquitto(t)
	if token := device(t, m.addr, "d1").Publish("plants/a", 1, true, "old"); !token.WaitTimeout(patience) {
		t.Fatal("not published")
	}
	got := newCollector()
	subscribeUntil(t, ClientOptions{URL: "mqtt://" + m.addr}, got.handle)
	if msg := got.next(t); !msg.Retained || string(msg.Payload) != "old" {
		t.Errorf("message %+v", msg)
	}
}

func TestSharedSubscriptionDivides(t *testing.T) {
	m := startMosquitto(t)
	one, two := newCollector(), newCollector()
	subscribeUntil(t, ClientOptions{URL: "mqtt://" + m.addr, ClientID: "t1", Share: "g"}, one.handle)
	subscribeUntil(t, ClientOptions{URL: "mqtt://" + m.addr, ClientID: "t2", Share: "g"}, two.handle)
	publishAll(t, device(t, m.addr, "d1"), 0, 20)
	eventually(t, "messages are missing", func() bool { return len(one.ch)+len(two.ch) == 20 })
	if len(one.ch) == 0 || len(two.ch) == 0 {
		t.Errorf("%d and %d messages", len(one.ch), len(two.ch))
	}
}

// hostile is a broker that answers CONNECT and then says what it is told to.
func hostile(t *testing.T, talk func(w *wire, connection int)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			func() {
				defer c.Close()
				w := &wire{Conn: c, t: t, r: bufio.NewReader(c), v: 4}
				if kind, _, err := w.receive(); err != nil || kind != tConnect {
					return
				}
				_, _ = c.Write([]byte{tConnack << 4, 2, 0, 0})
				kind, body, err := w.receive()
				if err != nil || kind != tSubscribe {
					return
				}
				w.Conn = &suback{Conn: c, id: body[:2]}
				talk(w, n)
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "mqtt://" + l.Addr().String()
}

// suback remembers which SUBSCRIBE is to be answered.
type suback struct {
	net.Conn
	id []byte
}

func (w *wire) suback(codes ...byte) {
	_, _ = w.Write(frame(tSuback<<4, w.Conn.(*suback).id, codes))
}

func TestHostileBrokerHarmsNobody(t *testing.T) {
	f := func(name, reason string, talk func(w *wire)) {
		t.Run(name, func(t *testing.T) {
			url := hostile(t, func(w *wire, _ int) { talk(w) })
			c := runClient(t, ClientOptions{URL: url}, safe)
			readyReason(t, c, reason)
		})
	}
	f("too many codes", "1 topics with 3 codes", func(w *wire) { w.suback(1, 1, 1); w.receive() })
	f("too few codes", "1 topics with 0 codes", func(w *wire) { w.suback(); w.receive() })
	f("refusal", "refused the subscription", func(w *wire) { w.suback(0x80); w.receive() })
	f("256 MiB announced", "packet of 268435455 bytes", func(w *wire) {
		w.suback(1)
		_, _ = w.Write([]byte{tPublish << 4, 0xff, 0xff, 0xff, 0x7f})
		w.receive()
	})
	f("endless length", "not MQTT", func(w *wire) {
		w.suback(1)
		_, _ = w.Write([]byte{tPublish << 4, 0xff, 0xff, 0xff, 0xff, 0xff})
		w.receive()
	})
	f("goodbye after each message", "closed the connection", func(w *wire) {
		w.suback(1)
		_, _ = w.Write(publishPacket(pub{topic: "plants/a", qos: 1, id: 1}))
		w.receive()
	})
}

// A broker may send all that it kept for us before it answers our SUBSCRIBE, and
// that may take longer than any answer should: Mosquitto 2.0 does. We serve while
// it does, and wait for the answer as long as messages come.
func TestBacklogBeforeTheSubscriptionsAnswerIsTaken(t *testing.T) {
	answer := make(chan struct{})
	url := hostile(t, func(w *wire, _ int) {
		_, _ = w.Write(publishPacket(pub{topic: "plants/a", payload: "x", qos: 1, id: 1}))
		<-answer
		w.suback(1)
		for {
			if _, _, err := w.receive(); err != nil {
				return
			}
		}
	})
	got := newCollector()
	c := runClient(t, ClientOptions{URL: url}, got.handle)
	got.next(t)
	eventually(t, "not ready although messages come", func() bool { return c.Ready() == nil })
	close(answer)
	eventually(t, "not ready with the answer", func() bool { return c.Ready() == nil })
}

func TestAnswerIsWaitedForAsLongAsMessagesCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &session{lost: make(chan error, 1)}
		answered := make(chan struct{})
		go func() {
			for range 20 {
				time.Sleep(connectTimeout / 2)
				s.arrivals.Add(1)
			}
			close(answered)
		}()
		if err := s.await(t.Context(), answered); err != nil {
			t.Errorf("given up while messages came: %v", err)
		}
		if err := s.await(t.Context(), make(chan struct{})); err == nil {
			t.Error("an answer that never comes is waited for although nothing else comes")
		}
	})
}

// A receipt that comes after its connection has ended must not acknowledge
// anything on the next one, where the packet id is another message's.
func TestAcknowledgementStaysWithItsConnection(t *testing.T) {
	g := newGate()
	wrong := make(chan string, 1)
	closed := make(chan struct{})
	second := make(chan struct{})
	url := hostile(t, func(w *wire, n int) {
		w.suback(1)
		_, _ = w.Write(publishPacket(pub{topic: "plants/a", payload: fmt.Sprint(n), qos: 1, id: 1}))
		if n == 1 {
			<-g.waiting // and then the connection is lost
			close(closed)
			return
		}
		if n == 2 {
			close(second)
			kind, body, err := w.receive()
			if err == nil && kind == tPuback {
				wrong <- fmt.Sprintf("kind %d % x", kind, body)
			}
		}
	})
	var firstDone atomic.Bool
	over := make(chan struct{})
	runClient(t, ClientOptions{URL: url}, func(m Message) Receipt {
		if string(m.Payload) == "1" {
			return func(ctx context.Context) error {
				g.waiting <- struct{}{}
				<-closed
				<-ctx.Done() // the connection's end ends the wait
				firstDone.Store(true)
				return nil // safe after all, too late
			}
		}
		return func(context.Context) error { <-over; return errDisk }
	})
	t.Cleanup(func() { close(over) })
	<-second
	eventually(t, "the first receipt is still waited for", firstDone.Load)
	select {
	case what := <-wrong:
		t.Errorf("acknowledged on the second connection: %s", what)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestClientReconnectsWhenTheBrokerReturns(t *testing.T) {
	m := startMosquitto(t)
	got := newCollector()
	c, _ := subscribeUntil(t, ClientOptions{URL: "mqtt://" + m.addr}, got.handle)
	m.stop()
	eventually(t, "still ready", func() bool { return c.Ready() != nil })
	m.start(m.cmd.Path)
	eventually(t, "not connected again", func() bool { return c.Ready() == nil })
	if n := counted(c.metrics.sessionsLost.WithLabelValues("external")); n != 0 {
		t.Errorf("%v sessions lost, though the broker keeps them on disk", n)
	}
	device(t, m.addr, "d1").Publish("plants/a", 1, false, "x")
	got.next(t)
}

func TestJitterIsBetweenHalfAndWhole(t *testing.T) {
	for range 1000 {
		if d := jitter(maxBackoff); d < maxBackoff/2 || d > maxBackoff {
			t.Fatal(d)
		}
	}
}
