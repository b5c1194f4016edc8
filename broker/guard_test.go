package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble runs a broker without sockets in virtual time. dial connects to it.
func inBubble(t *testing.T, o EmbeddedOptions, handle Handler, f func(t *testing.T, e *Embedded, dial func() *wire)) {
	synctest.Test(t, func(t *testing.T) {
		e, err := newEmbedded(o)
		if err != nil {
			t.Fatal(err)
		}
		e.anonymous = true
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx, handle) }()
		synctest.Wait()
		var clients []net.Conn
		f(t, e, func() *wire {
			client, server := net.Pipe()
			clients = append(clients, client)
			g, err := e.lobby.arrive(ctx, addressOf(server.RemoteAddr()))
			if err != nil {
				t.Fatal(err)
			}
			e.work.Go(func() { e.serve(ctx, &listener{name: "mqtt"}, server, g) })
			return newWire(t, client)
		})
		for _, c := range clients {
			_ = c.Close()
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// The library indexes past the end of a SUBSCRIBE of MQTT 5.
func TestPanicIsKeptToItsConnection(t *testing.T) {
	got := newCollector()
	e := serve(t, EmbeddedOptions{}, got.handle)
	canary := connected(t, e, hello{id: "canary", clean: true})
	for range 3 {
		w := connected(t, e, hello{version: 5, id: "bad", expiry: 3600})
		w.send([]byte{0x82, 0x05, 0x04, 0xd2, 0x00, 0x00, 0x00})
		w.expectClosed()
	}
	canary.publish(pub{topic: "a", qos: 1, id: 1})
	canary.expectAck(tPuback, 1)
	connected(t, e, hello{id: "new", clean: true})
	if n := counted(e.metrics.panics); n != 3 {
		t.Errorf("panics %v, want 3", n)
	}
	if _, ok := e.server.Clients.Get("bad"); ok {
		t.Error("the session of the connection that panicked remains")
	}
}

// failingListener fails a number of times before it accepts.
type failingListener struct {
	net.Listener
	failures atomic.Int32
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestListenerOutlivesAcceptErrors(t *testing.T) {
	e, err := NewEmbedded(EmbeddedOptions{Listen: "127.0.0.1:0", Anonymous: AnonymousLoopback})
	if err != nil {
		t.Fatal(err)
	}
	if e.Ready() == nil {
		t.Error("ready before it runs")
	}
	failing := &failingListener{Listener: e.listeners[0].Listener}
	failing.failures.Store(1 << 30)
	e.listeners[0].Listener = failing
	stop := runUntil(t, e.Run, safe)
	defer stop()
	eventually(t, "ready while no connection is accepted", func() bool {
		return e.Ready() != nil && strings.Contains(e.Ready().Error(), "too many open files") && counted(e.metrics.acceptFails) >= 3
	})
	failing.failures.Store(0)
	connected(t, e, hello{id: "d1", clean: true})
	eventually(t, "not ready again", func() bool { return e.Ready() == nil })
}

func TestWillIsCheckedAtConnect(t *testing.T) {
	e := serve(t, EmbeddedOptions{Users: oneUser(t, "d", []string{"dev/%c/#"}, nil)}, safe)
	f := func(version byte, will string, want byte) {
		t.Helper()
		w := dialWire(t, e)
		if code, _ := w.hello(hello{version: version, id: "d1", clean: true, user: "d", pass: "secret", will: will}); code != want {
			t.Errorf("v%d will %q: code %#x, want %#x", version, will, code, want)
		}
		_ = w.Close()
	}
	f(4, "dev/d1/state", 0)
	f(4, "dev/d2/state", 5)
	f(5, "dev/d2/state", 0x87)
	f(4, "dev/d1/+", 5)
	f(5, "$SYS/x", 0x87)
}

func TestWillIsHandledLikeAMessage(t *testing.T) {
	got := newCollector()
	e := serve(t, EmbeddedOptions{}, got.handle)
	w := connected(t, e, hello{id: "d1", clean: true, will: "state/d1"})
	_ = w.Close()
	if m := got.next(t); m.Topic != "state/d1" || string(m.Payload) != "gone" || m.Client != "d1" {
		t.Errorf("message %+v", m)
	}
	w = connected(t, e, hello{id: "d1", clean: true, will: "state/d1"})
	w.send(frame(tDisconnect << 4))
	w.expectClosed()
	e.allGone(t)
	got.none(t)
}

// Neither our stopping nor our refusing says anything about a device.
func TestWillIsNotSentForWhatWeDid(t *testing.T) {
	t.Run("stop", func(t *testing.T) {
		got := newCollector()
		e, stop := serveUntil(t, EmbeddedOptions{}, got.handle)
		w := connected(t, e, hello{id: "d1", clean: true, will: "state/d1"})
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		w.expectClosed()
		got.none(t)
	})
	t.Run("refusal", func(t *testing.T) {
		got := newCollector()
		e := serve(t, EmbeddedOptions{}, func(m Message) Receipt {
			got.handle(m)
			return func(context.Context) error { return errDisk }
		})
		w := connected(t, e, hello{id: "d1", clean: true, will: "state/d1"})
		w.publish(pub{topic: "a", qos: 1, id: 1})
		w.expectClosed(tPuback)
		e.allGone(t)
		if m := got.next(t); m.Topic != "a" {
			t.Errorf("message %+v", m)
		}
		got.none(t)
	})
}

// The library forgets a delayed Will with its session.
func TestDelayedWillIsHandledBeforeItsSessionEnds(t *testing.T) {
	got := newCollector()
	inBubble(t, EmbeddedOptions{}, got.handle, func(t *testing.T, e *Embedded, dial func() *wire) {
		for _, h := range []hello{
			{version: 5, id: "no session", will: "state", willDelay: 60},
			{version: 5, id: "as long", will: "state", willDelay: 60, expiry: 60},
			{version: 5, id: "longer", will: "state", willDelay: 60, expiry: 0xffffffff},
		} {
			w := dial()
			w.hello(h)
			_ = w.Close()
			time.Sleep(2 * time.Minute)
			select {
			case m := <-got.ch:
				if m.Client != h.id {
					t.Errorf("will of %q", m.Client)
				}
			default:
				t.Errorf("%s: no will", h.id)
			}
		}
		w := dial()
		w.hello(hello{version: 5, id: "for ever", will: "state", willDelay: 0xffffffff, expiry: 0xffffffff})
		cl, _ := e.server.Clients.Get("for ever")
		if d := cl.Properties.Will.WillDelayInterval; d >= maxSession {
			t.Errorf("delay %d s outlives the session", d)
		}
		w.send(frame(tDisconnect<<4, []byte{0, 0}))
		w.expectClosed()
	})
}

func TestClientIDOfAnotherUserIsRefused(t *testing.T) {
	users := oneUser(t, "a", []string{"#"}, nil)
	users["b"] = users["a"]
	e := serve(t, EmbeddedOptions{Users: users}, safe)
	f := func(version byte, user string, want byte) *wire {
		t.Helper()
		w := dialWire(t, e)
		if code, _ := w.hello(hello{version: version, id: "d1", user: user, pass: "secret", expiry: 3600}); code != want {
			t.Errorf("v%d user %q: code %#x, want %#x", version, user, code, want)
		}
		return w
	}
	first := f(4, "a", 0)
	f(4, "b", 2)    // while it is connected
	f(5, "b", 0x85) // while it is connected
	first.send(frame(tPingreq << 4))
	first.expect(tPingresp)
	_ = first.Close()
	e.allGone(t)
	f(4, "b", 2) // while its session lasts
	f(5, "a", 0)
}

func TestOwnClientIDIsTakenOver(t *testing.T) {
	e := serve(t, EmbeddedOptions{}, safe)
	for _, version := range []byte{4, 5} {
		first := connected(t, e, hello{version: version, id: "d1", clean: true})
		second := connected(t, e, hello{version: version, id: "d1", clean: true})
		if version == 5 {
			if body := first.expect(tDisconnect); body[0] != 0x8e {
				t.Errorf("reason %#x, want session taken over", body[0])
			}
		}
		first.expectClosed()
		second.publish(pub{topic: "a", qos: 1, id: 1})
		second.expectAck(tPuback, 1)
	}
}

func TestNamesThatCouldBeMoreAreRefused(t *testing.T) {
	e := serve(t, EmbeddedOptions{Users: oneUser(t, "d", []string{"dev/%c/#"}, nil)}, safe)
	f := func(id, user string, want byte) {
		t.Helper()
		w := dialWire(t, e)
		if code, _ := w.hello(hello{id: id, clean: true, user: user, pass: "secret"}); code != want {
			t.Errorf("client %q user %q: code %d, want %d", id, user, code, want)
		}
	}
	for _, name := range []string{"+", "#", "a/b", "../../x", "a\nb", "\x1b[31m", "a\u202eb", "\ufeffa", strings.Repeat("a", 257)} {
		f(name, "d", 2)
		f("d1", name, 5)
	}
	f("", "d", 0) // gets an id
	f("mosq-Bx4'\"é{}", "d", 0)
	f(strings.Repeat("a", 256), "d", 0)
}

func TestTooLargePacketIsRefusedUnread(t *testing.T) {
	e := serve(t, EmbeddedOptions{MaxPacket: 1000}, safe)
	w := dialWire(t, e)
	w.send([]byte{tConnect << 4, 0xff, 0xff, 0xff, 0x7f}) // 256 MiB to come
	w.expectClosed(tConnack)
	w = connected(t, e, hello{id: "d1", clean: true})
	w.publish(pub{topic: "a", payload: strings.Repeat("x", 900), qos: 1, id: 1})
	w.expectAck(tPuback, 1)
	w.publish(pub{topic: "a", payload: strings.Repeat("x", 1000), qos: 1, id: 1})
	w.expectClosed(tPuback)
}

func TestNothingIsRetained(t *testing.T) {
	e := serve(t, EmbeddedOptions{}, safe)
	sub := connected(t, e, hello{id: "sub", clean: true})
	sub.send(subscribePacket(4, 1, "a/#", 1))
	sub.expect(tSuback)
	w := connected(t, e, hello{id: "d1", clean: true})
	w.publish(pub{topic: "a/b", payload: "x", qos: 1, id: 1, retain: true})
	w.expectAck(tPuback, 1)
	sub.expect(tPublish)
	if _, kept := e.server.Topics.Retained.GetAll()["a/b"]; kept {
		t.Error("the message is retained")
	}
}

func TestSilentConnectionIsClosedBeforeItSaysWhoItIs(t *testing.T) {
	inBubble(t, EmbeddedOptions{}, safe, func(t *testing.T, e *Embedded, dial func() *wire) {
		for _, drip := range []bool{false, true} {
			w := dial()
			begin := time.Now()
			if drip { // one byte a second of a long CONNECT
				packet := connectPacket(hello{id: strings.Repeat("a", 100)})
				go func() {
					for i := range packet {
						if _, err := w.Write(packet[i : i+1]); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
			}
			w.expectClosed(tConnack)
			if d := time.Since(begin); d != connectTime {
				t.Errorf("closed after %v, want %v", d, connectTime)
			}
			time.Sleep(2 * time.Second) // the dripping ends too
		}
	})
}

func TestKeepaliveIsKept(t *testing.T) {
	f := func(keepalive uint16, least, most time.Duration) {
		inBubble(t, EmbeddedOptions{}, safe, func(t *testing.T, e *Embedded, dial func() *wire) {
			w := dial()
			w.hello(hello{id: "d1", clean: true, keepalive: keepalive})
			begin := time.Now()
			_ = w.SetReadDeadline(time.Time{})
			_, err := w.Read(make([]byte, 1))
			if err == nil {
				t.Fatal("it says something")
			}
			if d := time.Since(begin); d < least || d > most {
				t.Errorf("keepalive %d: closed after %v, want %v to %v", keepalive, d, least, most)
			}
		})
	}
	f(1, time.Second, 4*time.Second)
	f(60, 90*time.Second, 93*time.Second)
}

// The library adds a half to the keepalive, overflows, and hangs up at once.
func TestLongKeepaliveDoesNotOverflow(t *testing.T) {
	for _, keepalive := range []uint16{maxKeepalive, maxKeepalive + 1, 65535} {
		inBubble(t, EmbeddedOptions{}, safe, func(t *testing.T, e *Embedded, dial func() *wire) {
			w := dial()
			w.hello(hello{id: "d1", clean: true, keepalive: keepalive})
			time.Sleep(time.Hour)
			w.send(frame(tPingreq << 4))
			w.expect(tPingresp)
		})
	}
}

// A client that pings in time is never cut off by the deadlines that are left out.
func TestLivelyClientIsNotCutOff(t *testing.T) {
	for _, keepalive := range []uint16{1, 2, 3, 10} {
		inBubble(t, EmbeddedOptions{}, safe, func(t *testing.T, e *Embedded, dial func() *wire) {
			w := dial()
			w.hello(hello{id: "d1", clean: true, keepalive: keepalive})
			for range 50 {
				time.Sleep(time.Duration(keepalive) * 900 * time.Millisecond)
				w.send(frame(tPingreq << 4))
				w.expect(tPingresp)
			}
		})
	}
}

func TestFastClientIsReadLater(t *testing.T) {
	got := newCollector()
	inBubble(t, EmbeddedOptions{Rate: 10}, got.handle, func(t *testing.T, e *Embedded, dial func() *wire) {
		w := dial()
		w.hello(hello{id: "d1", clean: true, keepalive: 1})
		begin := time.Now()
		for id := range uint16(100) {
			w.publish(pub{topic: "a", qos: 1, id: id + 1})
			w.expectAck(tPuback, id+1)
		}
		if d := time.Since(begin); d < 8*time.Second || d > 10*time.Second {
			t.Errorf("100 messages in %v at 10 a second", d)
		}
		if len(got.ch) != 100 {
			t.Errorf("%d messages arrive", len(got.ch))
		}
		if counted(e.metrics.throttled) == 0 {
			t.Error("not counted")
		}
	})
}

func TestPingFloodIsReadLater(t *testing.T) {
	inBubble(t, EmbeddedOptions{Rate: 10}, safe, func(t *testing.T, e *Embedded, dial func() *wire) {
		w := dial()
		w.hello(hello{id: "d1", clean: true})
		begin := time.Now()
		for range 100 {
			w.send(frame(tPingreq << 4))
			w.expect(tPingresp)
		}
		if d := time.Since(begin); d < 8*time.Second {
			t.Errorf("100 pings in %v at 10 a second", d)
		}
	})
}

// A subscriber that never reads loses messages, visibly, and delays nobody.
func TestSlowSubscriberHurtsNobodyElse(t *testing.T) {
	inBubble(t, EmbeddedOptions{}, safe, func(t *testing.T, e *Embedded, dial func() *wire) {
		sub := dial()
		sub.hello(hello{id: "sub", clean: true})
		sub.send(subscribePacket(4, 1, "#", 1))
		sub.expect(tSuback)
		w := dial()
		w.hello(hello{id: "d1", clean: true})
		for id := range uint16(500) {
			w.publish(pub{topic: "a", qos: 1, id: id + 1})
			w.expectAck(tPuback, id+1)
		}
		if n := counted(e.metrics.dropped); n < 400 {
			t.Errorf("%v messages counted as dropped", n)
		}
		time.Sleep(2 * writeTimeout)
		sub.expectClosed()
	})
}

func TestSubscriptionsAreGrantedQoS0AndBounded(t *testing.T) {
	e := serve(t, EmbeddedOptions{}, safe)
	for _, version := range []byte{4, 5} {
		w := connected(t, e, hello{version: version, id: "sub", clean: true})
		for i := range uint16(maxSubscriptions + 1) {
			w.send(subscribePacket(version, i+1, fmt.Sprintf("a/%d", i), 2))
			body := w.expect(tSuback)
			if code := body[len(body)-1]; (code == 0) != (i < maxSubscriptions) {
				t.Fatalf("subscription %d: code %#x", i, code)
			}
		}
	}
}

func TestDeniedMessageIsDroppedAndDoesNotComeBack(t *testing.T) {
	got := newCollector()
	e := serve(t, EmbeddedOptions{Users: oneUser(t, "d", []string{"dev/%c/#"}, nil)}, got.handle)
	for _, topic := range []string{"dev/d2/t", "dev", "$SYS/broker/x", "$share/g/dev/d1", "$share", "other"} {
		versionsAndQoS(t, func(t *testing.T, version, qos byte) {
			w := connected(t, e, hello{version: version, id: "d1", clean: true, user: "d", pass: "secret"})
			w.publish(pub{topic: topic, qos: qos, id: 1})
			body := w.expectAck(firstAck(qos), 1)
			if version == 5 && body[2] != 0x87 {
				t.Errorf("reason %#x, want not authorized", body[2])
			}
			w.publish(pub{topic: "dev/d1/t", qos: qos, id: 2})
			w.finish(qos, 2)
			if m := got.next(t); m.Topic != "dev/d1/t" || m.User != "d" {
				t.Errorf("message %+v", m)
			}
		})
	}
	if n := counted(e.metrics.denied); n != 24 {
		t.Errorf("denied %v, want 24", n)
	}
}

func TestPasswordsAndPayloadsAreNotLogged(t *testing.T) {
	var log logBuffer
	e := serve(t, EmbeddedOptions{Log: log.logger(), Users: oneUser(t, "d", []string{"#"}, nil)}, safe)
	const canary = "CANARY-SECRET-1"
	for _, version := range []byte{4, 5} {
		w := dialWire(t, e)
		w.hello(hello{version: version, id: "d1", user: "d", pass: canary})
		w = connected(t, e, hello{version: version, id: "d1", user: "d", pass: "secret"})
		w.send(connectPacket(hello{version: version, id: "d1", user: "d", pass: canary})) // a second CONNECT
		w.expectClosed(tConnack)
		w = connected(t, e, hello{version: version, id: "d1", user: "d", pass: "secret"})
		w.publish(pub{topic: "a/+", payload: canary, qos: 1, id: 1})
		w.expectClosed(tPuback)
		w = dialWire(t, e)
		w.send(bytes.Replace(connectPacket(hello{id: "d2", user: "d", pass: canary}), []byte("MQTT"), []byte("MQTX"), 1))
		w.expectClosed()
	}
	if !strings.Contains(log.String(), "mqtt: ") {
		t.Error("the library's log is not passed on")
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, canary) || strings.Contains(line, fmt.Sprint([]byte(canary))) || strings.Contains(line, "pk=") {
			t.Errorf("logged: %s", line)
		}
	}
}

func TestSessionsOfAbsentClientsAreBounded(t *testing.T) {
	e := serve(t, EmbeddedOptions{MaxConnections: 5}, safe)
	for i := range 30 {
		_ = connected(t, e, hello{id: fmt.Sprintf("d%d", i)}).Close()
		e.allGone(t)
	}
	if n := e.server.Clients.Len(); n > 10 {
		t.Errorf("%d sessions", n)
	}
	if counted(e.metrics.forgotten) == 0 {
		t.Error("not counted")
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	e := serve(t, EmbeddedOptions{MaxConnections: 3}, safe)
	for i := range 3 {
		connected(t, e, hello{id: fmt.Sprintf("d%d", i), clean: true})
	}
	for v, want := range map[byte]byte{4: 3, 5: 0x89} {
		w := dialWire(t, e)
		if code, _ := w.hello(hello{id: "d4", clean: true, version: v}); code != want {
			t.Errorf("code %#x in version %d, want %#x", code, v, want)
		}
		w.expectClosed()
	}
	eventually(t, "those turned away are not counted", func() bool { return counted(e.metrics.turnedAway.WithLabelValues("max_connections")) == 2 })
	connected(t, e, hello{id: "d1", clean: true}) // it has a place, which its older connection gives up
}

func TestConnectionsLeaveFilesToOthers(t *testing.T) {
	e := serve(t, EmbeddedOptions{MaxOpen: 4}, safe)
	var in []*wire
	for i := range 4 {
		in = append(in, connected(t, e, hello{id: fmt.Sprintf("d%d", i), clean: true}))
	}
	for range 3 {
		dialWire(t, e).expectClosed(tConnack)
	}
	eventually(t, "those turned away are not counted", func() bool { return counted(e.metrics.turnedAway.WithLabelValues("files")) == 3 })
	_ = in[0].Close()
	eventually(t, "a file is not given back", func() bool { return e.open.Load() == 3 })
	connected(t, e, hello{id: "d4", clean: true})
}

func TestConnectionsFromOneAddressAreBounded(t *testing.T) {
	e, err := NewEmbedded(EmbeddedOptions{Listen: "127.0.0.1:0", Anonymous: AnonymousLoopback})
	if err != nil {
		t.Fatal(err)
	}
	e.arrivals = newPerAddress(0.001, 2)
	defer runUntil(t, e.Run, safe)()
	connected(t, e, hello{id: "d1", clean: true})
	connected(t, e, hello{id: "d2", clean: true})
	w := dialWire(t, e)
	w.expectClosed(tConnack)
	eventually(t, "those turned away are not counted", func() bool { return counted(e.metrics.turnedAway.WithLabelValues("rate")) == 1 })
}

func TestUnknownAuthenticationMethodIsRefused(t *testing.T) {
	e := serve(t, EmbeddedOptions{}, safe)
	w := dialWire(t, e)
	method := append([]byte{21}, str("SCRAM")...)
	w.send(frame(tConnect<<4, str("MQTT"), []byte{5, 2, 0, 60, byte(len(method))}, method, str("d1")))
	if body := w.expect(tConnack); body[1] != 0x8c {
		t.Errorf("code %#x, want bad authentication method", body[1])
	}
	w = connected(t, e, hello{version: 5, id: "d1", clean: true})
	w.send([]byte{15 << 4, 2, 0x18, 0})
	w.expectClosed()
}

func TestStopIsBoundedByOurDeadline(t *testing.T) {
	stuck := func(Message) Receipt {
		return func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	}
	inBubble(t, EmbeddedOptions{}, stuck, func(t *testing.T, e *Embedded, dial func() *wire) {
		w := dial()
		w.hello(hello{id: "d1", clean: true})
		w.publish(pub{topic: "a", qos: 1, id: 1})
		w = dial() // never reads
		w.hello(hello{version: 5, id: "d2", clean: true})
		dial() // never says anything
		synctest.Wait()
	})
}

func TestMessagesUnderWayAreAcknowledgedAtAStop(t *testing.T) {
	g := newGate()
	e, stop := serveUntil(t, EmbeddedOptions{}, g.handle)
	w := connected(t, e, hello{id: "d1", clean: true})
	w.publish(pub{topic: "a", qos: 1, id: 1})
	<-g.waiting
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	eventually(t, "still ready", func() bool { return e.Ready() != nil })
	g.verdict <- nil
	w.expectAck(tPuback, 1)
	w.expectClosed()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestAnonymousIsClosedByDefault(t *testing.T) {
	users := oneUser(t, "d", nil, nil)
	f := func(listen string, a Anonymous, users map[string]User, anonymous bool, problem string) {
		t.Helper()
		e, err := NewEmbedded(EmbeddedOptions{Listen: listen, Anonymous: a, Users: users})
		if problem != "" {
			if err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("%s %q: error %v, want %q", listen, a, err, problem)
			}
			return
		}
		if err != nil {
			t.Errorf("%s %q: %v", listen, a, err)
			return
		}
		e.closeListeners()
		if e.anonymous != anonymous {
			t.Errorf("%s %q: anonymous is %v", listen, a, e.anonymous)
		}
	}
	const loopback, outside = "127.0.0.1:0", "0.0.0.0:0"
	f(loopback, "", nil, false, "nobody could connect")
	f(loopback, AnonymousNever, nil, false, "nobody could connect")
	f(loopback, AnonymousNever, users, false, "")
	f(loopback, AnonymousLoopback, nil, true, "")
	f("localhost:0", AnonymousLoopback, nil, true, "")
	f(outside, AnonymousLoopback, nil, false, "others can reach")
	f(":0", AnonymousLoopback, nil, false, "others can reach")
	f(outside, AnonymousLoopback, users, false, "")
	f(outside, AnonymousAlways, nil, true, "")
	f(loopback, "maybe", nil, false, `anonymous is "maybe"`)
	f("", AnonymousAlways, nil, false, "no listener")
}

func TestEveryMistakeInTheOptionsIsNamed(t *testing.T) {
	_, err := NewEmbedded(EmbeddedOptions{
		TLSListen: "127.0.0.1:0", Anonymous: "x", MaxPacket: 1<<20 + 1, MaxConnections: -1, Inflight: 70000,
		Users: map[string]User{"a/b": {}, "c": {
			Publish:   []string{"a/#/b", "dev-%c/x", "a+/b", "$SYS/x", ""},
			Subscribe: []string{"a#"},
		}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 12 {
		t.Errorf("%d mistakes, want 12:\n%v", n, err)
	}
	if _, err := NewEmbedded(EmbeddedOptions{Listen: "127.0.0.1:0", Users: map[string]User{"c": {PasswordHash: "secret"}}}); err == nil ||
		strings.Contains(err.Error(), "secret") && !strings.Contains(err.Error(), "hash-password") {
		t.Errorf("error %v", err)
	}
}

func TestAddressInUseIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = NewEmbedded(EmbeddedOptions{Listen: l.Addr().String(), Anonymous: AnonymousLoopback})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error %v", err)
	}
}

// Go binds the wildcard of IPv4 as that of IPv6 unless told otherwise.
func TestIPv4AddressIsBoundAsIPv4(t *testing.T) {
	f := func(listen string, want bool) {
		t.Helper()
		e, err := NewEmbedded(EmbeddedOptions{Listen: listen, Anonymous: AnonymousAlways})
		if err != nil {
			t.Fatal(err)
		}
		defer e.closeListeners()
		if got := e.Addrs()[0].Addr.(*net.TCPAddr).IP.To4() != nil; got != want {
			t.Errorf("%s is bound as %s", listen, e.Addrs()[0])
		}
	}
	f("0.0.0.0:0", true)
	f("127.0.0.1:0", true)
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil { // this machine has IPv6
		_ = l.Close()
		f("[::]:0", false)
	}
}
