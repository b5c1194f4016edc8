package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// A wire is a broker of the test's own at the end of a pipe: it can break where
// a real one only breaks by chance.
type wire struct {
	refuse byte                                    // a code for CONNACK
	away   int                                     // so many attempts to connect fail first
	onPub  func(n int, again bool) (ack, cut bool) // n counts what arrives, from 1; nil: acknowledge

	mu      sync.Mutex
	dials   []time.Time
	arrived []string
	acked   map[string]bool
	clients map[string]bool
	serving sync.WaitGroup
	events  []string  // connections, their ends and messages, in order
	orders  []string  // to be told to who subscribes: topic, space, payload
	mute    int       // so many pings are not answered
	twice   bool      // every acknowledgement is followed by one of the message before
	begun   time.Time // that events count from
}

// note writes an event down with its second.
func (w *wire) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf("%g ", time.Since(w.begun).Seconds())+fmt.Sprintf(format, args...))
}

func (w *wire) dial(context.Context, string, string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials = append(w.dials, time.Now())
	if len(w.dials) <= w.away {
		return nil, errors.New("connection refused")
	}
	client, server := net.Pipe()
	w.serving.Go(func() { w.serve(server) })
	return client, nil
}

func (w *wire) serve(conn net.Conn) {
	defer conn.Close()
	for {
		p, err := packets.ReadPacket(conn)
		if err != nil {
			w.note("broken")
			return
		}
		var answer packets.ControlPacket
		cut := false
		switch p := p.(type) {
		case *packets.ConnectPacket:
			connack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
			connack.ReturnCode = w.refuse
			answer = connack
			w.connected(p.ClientIdentifier)
			w.note("connect will=%s:%s", p.WillTopic, p.WillMessage)
		case *packets.PublishPacket:
			var ack bool
			w.note("%s q%d dup=%t %s", p.TopicName, p.Qos, p.Dup, p.Payload)
			if ack, cut = w.publish(p); ack {
				puback := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
				puback.MessageID = p.MessageID
				answer = puback
			}
		case *packets.PingreqPacket:
			w.note("ping")
			if w.mute = w.mute - 1; w.mute < 0 {
				answer = packets.NewControlPacket(packets.Pingresp)
			}
		case *packets.SubscribePacket:
			suback := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			suback.MessageID, suback.ReturnCodes = p.MessageID, []byte{1}
			answer = suback
			w.note("subscribe %s", p.Topics[0])
			w.serving.Go(func() { w.tell(conn, p.Topics[0]) })
		case *packets.DisconnectPacket:
			w.note("goodbye")
			return
		}
		if answer != nil && answer.Write(conn) != nil || cut {
			return
		}
		if ack, ok := answer.(*packets.PubackPacket); ok && w.twice {
			before := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			before.MessageID = ack.MessageID - 1
			if before.Write(conn) != nil {
				return
			}
		}
	}
}

// tell sends what there is for a topic, three seconds after it was asked for.
func (w *wire) tell(conn net.Conn, topic string) {
	time.Sleep(3 * time.Second) // in a bubble
	w.mu.Lock()
	orders := slices.Clone(w.orders)
	w.mu.Unlock()
	for _, o := range orders {
		if to, payload, _ := strings.Cut(o, " "); to == topic {
			p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			p.TopicName, p.Payload = to, []byte(payload)
			if err := p.Write(conn); err != nil {
				return
			}
		}
	}
}

func (w *wire) connected(client string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clients == nil {
		w.clients = make(map[string]bool)
	}
	w.clients[client] = true
}

func (w *wire) publish(p *packets.PublishPacket) (ack, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	again := slices.Contains(w.arrived, string(p.Payload))
	w.arrived = append(w.arrived, string(p.Payload))
	ack = p.Qos > 0
	if w.onPub != nil {
		ack, cut = w.onPub(len(w.arrived), again)
	}
	if ack {
		if w.acked == nil {
			w.acked = make(map[string]bool)
		}
		w.acked[string(p.Payload)] = true
	}
	return ack, cut
}

// entries reads a ledger back.
func entries(t *testing.T, ledger *bytes.Buffer) (sent map[string]string, acked []string) {
	t.Helper()
	sent = make(map[string]string) // payload by device and seq
	name := func(e Entry) string { return e.Device + "/" + string(rune('0'+e.Seq)) }
	if err := jsonLines(bytes.NewReader(ledger.Bytes()), func(e Entry) error {
		switch e.Line {
		case "sent":
			sent[name(e)] = string(e.Payload)
		case "acked":
			acked = append(acked, sent[name(e)])
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return sent, acked
}

func freezers(t *testing.T) *Profile {
	t.Helper()
	p, err := Load("freezer-store")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReadingsAreSentWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		start := time.Now()
		var seen []Sent
		sum, err := Run(t.Context(), freezers(t), Options{
			Seed: 7, Speed: 10, Duration: 3 * time.Second, QoS: 1, Dial: w.dial,
			Observe: func(m Sent) { seen = append(seen, m) },
		})
		if err != nil {
			t.Fatal(err)
		}
		// A reading every 5 simulated seconds, 8 devices, 30 simulated seconds.
		if sum.Sent != 48 || sum.Acked != 48 || sum.Devices != 8 || len(seen) != 48 {
			t.Errorf("%+v, observed %d; want 48 messages of 8 devices", sum, len(seen))
		}
		if sum.Fired != 1 {
			t.Errorf("%d alarms expected, want that of freezer-01", sum.Fired)
		}
		for _, m := range seen {
			late := m.Sent.Sub(m.At)
			if late < 0 || late > 2*time.Millisecond {
				t.Errorf("%s %d: stamp %s, sent %s later", m.Device, m.Seq, m.At, late)
			}
			if m.At.Before(start) || m.Acked.Before(m.Sent) {
				t.Errorf("%s %d: stamp %s, acknowledged %s", m.Device, m.Seq, m.At, m.Acked)
			}
		}
		if len(w.clients) != 8 || !w.clients["freezer-08"] {
			t.Errorf("clients %v, want one a device, named after it", w.clients)
		}
		w.serving.Wait()
	})
}

// A message that was on its way when the connection broke is sent again, and is
// not acknowledged by that. The ledger must wait for the broker.
func TestResentMessageIsNotTakenForAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{onPub: func(n int, _ bool) (ack, cut bool) {
			return false, n == 1 // the first breaks the connection, the second is never answered
		}}
		var ledger bytes.Buffer
		_, err := Run(t.Context(), freezers(t), Options{
			Seed: 7, Devices: 1, Limit: 1, QoS: 1, Dial: w.dial, Ledger: &ledger, Settle: time.Minute,
		})
		if err == nil || !strings.Contains(err.Error(), "was not acknowledged within 1m0s") {
			t.Errorf("got %v, want that the message was not acknowledged", err)
		}
		if len(w.arrived) != 2 || w.arrived[0] != w.arrived[1] {
			t.Errorf("arrived: %q, want the message twice", w.arrived)
		}
		if _, acked := entries(t, &ledger); len(acked) != 0 {
			t.Errorf("the ledger has %q as acknowledged", acked)
		}
		w.serving.Wait()
	})
}

func TestCutConnectionsLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{onPub: func(n int, again bool) (ack, cut bool) {
			// In turn: lost with its connection, acknowledged before the connection
			// breaks, acknowledged.
			return n%3 != 1, n%3 != 0
		}}
		var ledger bytes.Buffer
		sum, err := Run(t.Context(), freezers(t), Options{
			Seed: 7, Speed: 20, Devices: 3, Limit: 60, QoS: 1, Dial: w.dial, Ledger: &ledger,
		})
		if err != nil {
			t.Fatal(err)
		}
		sent, acked := entries(t, &ledger)
		if len(sent) != 60 || len(acked) != 60 || sum.Acked != 60 {
			t.Errorf("sent %d, acknowledged %d, summary %+v; want 60", len(sent), len(acked), sum)
		}
		for _, payload := range acked {
			if !w.acked[payload] {
				t.Errorf("the broker never acknowledged %s", payload)
			}
		}
		if sum.Lost < 20 {
			t.Errorf("%d connections broke, want many", sum.Lost)
		}
		inOrder(t, w.arrived)
		w.serving.Wait()
	})
}

// inOrder checks that each device's messages arrived in order, repeats aside.
func inOrder(t *testing.T, arrived []string) {
	t.Helper()
	last := make(map[string]uint64)
	for _, payload := range arrived {
		var m struct {
			Boot string `json:"boot"`
			Seq  uint64 `json:"seq"`
		}
		if err := json.Unmarshal([]byte(payload), &m); err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		if m.Seq != last[m.Boot] && m.Seq != last[m.Boot]+1 {
			t.Errorf("boot %s: message %d came after %d", m.Boot, m.Seq, last[m.Boot])
		}
		last[m.Boot] = m.Seq
	}
}

func TestSameBytesHoweverBadTheConnection(t *testing.T) {
	play := func(onPub func(int, bool) (bool, bool)) []string {
		var acked []string
		synctest.Test(t, func(t *testing.T) {
			w := &wire{onPub: onPub}
			var ledger bytes.Buffer
			if _, err := Run(t.Context(), freezers(t), Options{
				Seed: 7, Speed: 50, Devices: 4, Limit: 40, QoS: 1, Dial: w.dial, Ledger: &ledger,
				StartAt: time.Unix(1_800_000_000, 0),
			}); err != nil {
				t.Fatal(err)
			}
			_, acked = entries(t, &ledger)
			w.serving.Wait()
		})
		slices.Sort(acked)
		return acked
	}
	good := play(nil)
	bad := play(func(n int, _ bool) (ack, cut bool) { return n%2 == 0, n%2 != 0 || n%5 == 0 })
	if !slices.Equal(good, bad) {
		t.Errorf("over a bad connection other messages were sent:\n%q\n%q", good, bad)
	}
}

func TestBrokerThatIsAwayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{away: 20}
		var log bytes.Buffer
		sum, err := Run(t.Context(), freezers(t), Options{
			Seed: 7, Devices: 1, Limit: 3, QoS: 1, Dial: w.dial, Settle: 10 * time.Minute,
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil || sum.Acked != 3 {
			t.Fatalf("%+v, %v; want 3 acknowledged", sum, err)
		}
		for i := 2; i < 20; i++ {
			gap := w.dials[i].Sub(w.dials[i-1])
			if gap <= 0 || gap > longestPause {
				t.Errorf("attempt %d came %s after the one before", i+1, gap)
			}
		}
		if total := w.dials[20].Sub(w.dials[0]); total < 20*time.Second {
			t.Errorf("20 attempts in %s: the pauses do not grow", total)
		}
		if n := strings.Count(log.String(), "cannot be reached"); n != 1 {
			t.Errorf("the log tells %d times that the broker is away, want once:\n%s", n, &log)
		}
		if !strings.Contains(log.String(), "reached again") {
			t.Errorf("the log does not tell that the broker is back:\n%s", &log)
		}
		w.serving.Wait()
	})
}

func TestRefusalEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{refuse: packets.ErrRefusedBadUsernameOrPassword}
		_, err := Run(t.Context(), freezers(t), Options{QoS: 1, Dial: w.dial})
		if err == nil || !strings.Contains(err.Error(), "refuses it") || !strings.Contains(err.Error(), "-u and -P") {
			t.Errorf("got %v, want the refusal and what to check", err)
		}
		w.serving.Wait()
	})
}

func TestStopIsNotAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sum, err := Run(ctx, freezers(t), Options{Seed: 7, QoS: 1, Dial: w.dial})
		if err != nil || sum.Sent != 8*12 || sum.Acked != sum.Sent {
			t.Errorf("%+v, %v; want 96 messages in a minute", sum, err)
		}
		w.serving.Wait()
	})
}

func TestQoS0IsSentAndNeverAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		var ledger bytes.Buffer
		sum, err := Run(t.Context(), freezers(t), Options{Seed: 7, Limit: 30, Dial: w.dial, Ledger: &ledger})
		sent, acked := entries(t, &ledger)
		w.serving.Wait()
		if err != nil || sum.Sent != 30 || sum.Acked != 0 || len(w.arrived) != 30 || len(sent) != 30 || len(acked) != 0 {
			t.Errorf("%+v, %v; arrived %d, ledger %d and %d; want 30 sent, none acknowledged", sum, err, len(w.arrived), len(sent), len(acked))
		}
	})
}

type brokenWriter struct{ after int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(b), nil
}

func TestRunEndsWhenItsLedgerCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		_, err := Run(t.Context(), freezers(t), Options{QoS: 1, Dial: w.dial, Ledger: &brokenWriter{after: 9}})
		if err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("got %v, want the ledger's error", err)
		}
		w.serving.Wait()
	})
}

func TestOptionsAreRefusedWithAReason(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", o, err, want)
		}
	}
	f(Options{Broker: "127.0.0.1:1883"}, "not a broker's address")
	f(Options{Broker: "http://host"}, "not a broker's address")
	f(Options{Broker: "mqtt://me:hunter2@host"}, "holds a user name")
	f(Options{QoS: 3}, "qos 3")
	f(Options{Speed: -1}, "speed -1: cannot be played")
	f(Options{Speed: math.NaN()}, "speed NaN: cannot be played")
	f(Options{Devices: 1_000_000}, "at most 100000")
	f(Options{Limit: -1}, "negative")
	f(Options{KeepAlive: 1500 * time.Millisecond}, "keep-alive 1.5s: cannot be promised (use whole seconds")
	f(Options{KeepAlive: 24 * time.Hour}, "keep-alive 24h0m0s")
	for _, address := range []string{"mqtt://me:hunter2@host", "mqtt://me:hunter2@ho st:%"} {
		if err := (Options{Broker: address}).Check(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v shows the password, or there is no error", address, err)
		}
	}
}
