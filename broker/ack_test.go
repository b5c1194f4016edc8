package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

var errDisk = errors.New("disk full")

// gate is a handler whose receipts wait for the test.
type gate struct {
	handled chan Message
	waiting chan struct{} // a receipt is waited for
	verdict chan error
}

func newGate() *gate {
	return &gate{make(chan Message, 1000), make(chan struct{}, 1000), make(chan error)}
}

func (g *gate) handle(m Message) Receipt {
	m.Payload = bytes.Clone(m.Payload)
	g.handled <- m
	return func(ctx context.Context) error {
		g.waiting <- struct{}{}
		select {
		case err := <-g.verdict:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// versionsAndQoS runs f for each kind of acknowledged message.
func versionsAndQoS(t *testing.T, f func(t *testing.T, version, qos byte)) {
	for _, version := range []byte{4, 5} {
		for _, qos := range []byte{1, 2} {
			t.Run(fmt.Sprintf("v%d QoS %d", version, qos), func(t *testing.T) { f(t, version, qos) })
		}
	}
}

func firstAck(qos byte) byte {
	if qos == 2 {
		return tPubrec
	}
	return tPuback
}

// finish does what the client does after the first acknowledgement.
func (w *wire) finish(qos byte, id uint16) {
	w.t.Helper()
	body := w.expectAck(firstAck(qos), id)
	if w.v == 5 && len(body) > 2 && body[2] >= 0x80 {
		w.t.Fatalf("acknowledged with reason %#x", body[2])
	}
	if qos == 2 {
		w.send(ack(tPubrel, id))
		w.expectAck(tPubcomp, id)
	}
}

func TestAcceptedMessageIsAcknowledged(t *testing.T) {
	versionsAndQoS(t, func(t *testing.T, version, qos byte) {
		got := newCollector()
		e := serve(t, EmbeddedOptions{}, got.handle)
		w := connected(t, e, hello{version: version, id: "d1", clean: true})
		w.publish(pub{topic: "a/b", payload: "21.5", qos: qos, id: 7})
		w.finish(qos, 7)
		m := got.next(t)
		if m.Topic != "a/b" || string(m.Payload) != "21.5" || m.Client != "d1" || m.QoS != qos || m.PacketID != 7 || m.Received.IsZero() {
			t.Errorf("message %+v", m)
		}
		got.none(t)
	})
}

func TestAcknowledgementWaitsForTheReceipt(t *testing.T) {
	versionsAndQoS(t, func(t *testing.T, version, qos byte) {
		g := newGate()
		e := serve(t, EmbeddedOptions{}, g.handle)
		w := connected(t, e, hello{version: version, id: "d1", clean: true})
		w.publish(pub{topic: "a", qos: qos, id: 1})
		<-g.waiting // an answer before the receipt would be written by now
		_ = w.SetReadDeadline(time.Now().Add(-time.Second))
		if b, err := w.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("received % x, %v before the receipt", b, err)
		}
		g.verdict <- nil
		w.finish(qos, 1)
	})
}

// A refusal must end the connection without a word about the message, and leave
// no trace by which the repetition would be taken for a duplicate.
func TestRefusedMessageIsNotAcknowledgedAndIsTakenAgain(t *testing.T) {
	versionsAndQoS(t, func(t *testing.T, version, qos byte) {
		g := newGate()
		e := serve(t, EmbeddedOptions{}, g.handle)
		h := hello{version: version, id: "d1", expiry: 3600}
		w := connected(t, e, h)
		w.publish(pub{topic: "a", payload: "x", qos: qos, id: 1})
		<-g.handled
		g.verdict <- errDisk
		w.expectClosed(tPuback, tPubrec, tPubcomp)

		w = connected(t, e, h)
		w.publish(pub{topic: "a", payload: "x", qos: qos, id: 1, dup: true})
		if m := <-g.handled; string(m.Payload) != "x" {
			t.Fatalf("message %+v", m)
		}
		g.verdict <- nil
		w.finish(qos, 1)
		if n := counted(e.metrics.refused); n != 1 {
			t.Errorf("refused %v, want 1", n)
		}
	})
}

// What was safe before the refused message may be acknowledged; nothing after it may.
func TestOnlyWhatPrecedesARefusalIsAcknowledged(t *testing.T) {
	g := newGate()
	e := serve(t, EmbeddedOptions{}, g.handle)
	w := connected(t, e, hello{id: "d1", clean: true})
	var batch [][]byte
	for id := range uint16(4) {
		batch = append(batch, publishPacket(pub{topic: "a", qos: 1, id: id + 1}))
	}
	w.send(batch...)
	for range 4 {
		<-g.handled // all are handled before the first receipt is waited for
	}
	g.verdict <- nil
	g.verdict <- nil
	g.verdict <- errDisk
	w.expectAck(tPuback, 1)
	w.expectAck(tPuback, 2)
	w.expectClosed(tPuback)
}

// A gateway that sends many messages at once must share one commit: its messages
// are handled together, and one write answers them.
func TestPipelinedMessagesWaitTogether(t *testing.T) {
	g := newGate()
	e := serve(t, EmbeddedOptions{}, g.handle)
	w := connected(t, e, hello{id: "gw", clean: true})
	var batch [][]byte
	for id := range uint16(64) {
		batch = append(batch, publishPacket(pub{topic: "a", qos: 1, id: id + 1}))
	}
	w.send(batch...)
	for range 64 {
		<-g.handled
	}
	for range 64 {
		g.verdict <- nil
	}
	for id := range uint16(64) {
		w.expectAck(tPuback, id+1)
	}
}

func TestQoS0IsHandledAndItsRefusalCounted(t *testing.T) {
	got := newCollector()
	e := serve(t, EmbeddedOptions{}, func(m Message) Receipt {
		got.handle(m)
		return func(context.Context) error { return errDisk }
	})
	w := connected(t, e, hello{id: "d1", clean: true})
	w.publish(pub{topic: "a", payload: "1"})
	w.send(frame(tPingreq << 4))
	w.expect(tPingresp)
	if m := got.next(t); m.QoS != 0 || m.PacketID != 0 {
		t.Errorf("message %+v", m)
	}
	if n := counted(e.metrics.refused); n != 1 {
		t.Errorf("refused %v, want 1", n)
	}
}

// Clients that publish once send DISCONNECT, or close their side, without
// waiting.
func TestMessageBeforeAGoodbyeIsHandledAndAcknowledged(t *testing.T) {
	goodbyes := map[string]func(w *wire){
		"DISCONNECT": func(w *wire) {
			w.send(publishPacket(pub{topic: "a", qos: 1, id: 1}), frame(tDisconnect<<4))
		},
		"half-close": func(w *wire) {
			w.send(publishPacket(pub{topic: "a", qos: 1, id: 1}))
			if err := w.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				w.t.Fatal(err)
			}
		},
	}
	for name, goodbye := range goodbyes {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			e := serve(t, EmbeddedOptions{}, g.handle)
			w := connected(t, e, hello{id: "d1", clean: true})
			goodbye(w)
			<-g.handled
			g.verdict <- nil
			w.expectAck(tPuback, 1)
			w.expectClosed()
		})
	}
}

func TestExactDuplicateIsAcknowledgedAndNotHandledAgain(t *testing.T) {
	f := func(name string, again pub, clean, handled bool) {
		t.Run(name, func(t *testing.T) {
			got := newCollector()
			e := serve(t, EmbeddedOptions{}, got.handle)
			w := connected(t, e, hello{id: "d1"})
			w.publish(pub{topic: "a", payload: "x", qos: 1, id: 9})
			w.expectAck(tPuback, 9)
			got.next(t)
			_ = w.Close() // as if the acknowledgement had not arrived

			w = connected(t, e, hello{id: "d1", clean: clean})
			w.publish(again)
			w.expectAck(tPuback, again.id)
			if handled {
				got.next(t)
			}
			got.none(t)
		})
	}
	f("the same", pub{topic: "a", payload: "x", qos: 1, id: 9, dup: true}, false, false)
	f("DUP not set", pub{topic: "a", payload: "x", qos: 1, id: 9}, false, true)
	f("another payload", pub{topic: "a", payload: "y", qos: 1, id: 9, dup: true}, false, true)
	f("another topic", pub{topic: "b", payload: "x", qos: 1, id: 9, dup: true}, false, true)
	f("another packet id", pub{topic: "a", payload: "x", qos: 1, id: 8, dup: true}, false, true)
	f("a new session", pub{topic: "a", payload: "x", qos: 1, id: 9, dup: true}, true, true)
}

// A client that sends under a packet id again has heard of what it sent under it
// before. Its next repetition under that id repeats the later message, even if
// it reads like the earlier one: that it never arrived is why it is repeated.
func TestReusedPacketIDEndsTheMemoryOfItsEarlierMessage(t *testing.T) {
	got := newCollector()
	e := serve(t, EmbeddedOptions{}, got.handle)
	w := connected(t, e, hello{id: "d1"})
	for _, payload := range []string{"up", "down"} {
		w.publish(pub{topic: "a", payload: payload, qos: 1, id: 1})
		w.expectAck(tPuback, 1)
		got.next(t)
	}
	_ = w.Close() // with a second "up" on its way

	w = connected(t, e, hello{id: "d1"})
	w.publish(pub{topic: "a", payload: "up", qos: 1, id: 1, dup: true})
	w.expectAck(tPuback, 1)
	got.next(t)
}

func TestRepeatedQoS2MessageIsHandledOnce(t *testing.T) {
	got := newCollector()
	e := serve(t, EmbeddedOptions{}, got.handle)
	w := connected(t, e, hello{id: "d1"})
	w.publish(pub{topic: "a", payload: "x", qos: 2, id: 3})
	w.expectAck(tPubrec, 3)
	_ = w.Close()

	w = connected(t, e, hello{id: "d1"})
	w.expectAck(tPubrec, 3) // the server repeats what it owes
	w.publish(pub{topic: "a", payload: "x", qos: 2, id: 3, dup: true})
	w.expectAck(tPubrec, 3)
	w.send(ack(tPubrel, 3))
	w.expectAck(tPubcomp, 3)
	got.next(t)
	got.none(t)
}

// A client that lost its memory starts again at packet id 1. Its new message
// must not be taken for the old one and confirmed unseen.
func TestReusedQoS2PacketIDIsANewMessage(t *testing.T) {
	got := newCollector()
	e := serve(t, EmbeddedOptions{}, got.handle)
	w := connected(t, e, hello{id: "d1"})
	w.publish(pub{topic: "a", payload: "old", qos: 2, id: 1})
	w.expectAck(tPubrec, 1)
	got.next(t)
	_ = w.Close()

	w = connected(t, e, hello{id: "d1"})
	w.expectAck(tPubrec, 1)
	w.publish(pub{topic: "a", payload: "new", qos: 2, id: 1})
	w.finish(2, 1)
	if m := got.next(t); string(m.Payload) != "new" {
		t.Errorf("message %q", m.Payload)
	}
}

// The new connection of a client that comes back while its last message is still
// being made safe must find a settled session.
func TestReconnectWaitsForWhatIsUnderWay(t *testing.T) {
	for _, verdict := range []error{nil, errDisk} {
		t.Run(fmt.Sprint(verdict), func(t *testing.T) {
			g := newGate()
			e := serve(t, EmbeddedOptions{}, g.handle)
			w := connected(t, e, hello{id: "d1"})
			w.publish(pub{topic: "a", payload: "x", qos: 2, id: 1})
			<-g.handled

			again := dialWire(t, e)
			again.send(connectPacket(hello{id: "d1"}))
			eventually(t, "the old connection is not asked to go", func() bool {
				e.mu.Lock()
				defer e.mu.Unlock()
				c := e.owners["d1"]
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.closing
			})
			g.verdict <- verdict
			again.expect(tConnack)
			if verdict == nil {
				again.expectAck(tPubrec, 1)
				return
			}
			again.publish(pub{topic: "a", payload: "x", qos: 2, id: 1, dup: true})
			<-g.handled
			g.verdict <- nil
			again.finish(2, 1)
		})
	}
}

func TestOrderIsKept(t *testing.T) {
	got := newCollector()
	e := serve(t, EmbeddedOptions{}, got.handle)
	w := connected(t, e, hello{id: "d1", clean: true})
	const n = 2000
	go func() {
		for i := range uint16(n) {
			_, _ = w.Write(publishPacket(pub{topic: "a", payload: fmt.Sprint(i), qos: 1, id: i + 1}))
		}
	}()
	for i := range uint16(n) {
		if id := binary.BigEndian.Uint16(w.expect(tPuback)); id != i+1 {
			t.Fatalf("acknowledgement %d, want %d", id, i+1)
		}
		if m := got.next(t); string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("message %q, want %d", m.Payload, i)
		}
	}
}
