//go:build linux

package torture

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	sim "tocsin/firmware-sim"
)

// brokerScenes are about brokers.
func brokerScenes() []scene {
	return []scene{
		{row: "F15", name: "broker restarted", mosquitto: true, before: tapped, strike: restarted, after: brokerKeptAll},
		{row: "F15", name: "broker killed -9", mosquitto: true, before: tapped, strike: brokerKilled, after: brokerMayLose},
		{row: "F15", name: "connection to the broker flaps", mosquitto: true, before: tapped, strike: flapping, after: brokerKeptAll},
		{row: "F15", name: "session lost", mosquitto: true, before: tapped, strike: sessionLost, after: brokerMayLose},
		{row: "F15", name: "client id stolen", mosquitto: true, before: tapped, strike: stolen, after: brokerKeptAll},
	}
}

// tapped puts a network between bridge and broker, and listens to what it carries.
func tapped(s *stage) {
	s.way = startProxy(s, s.mqtt)
	s.way.hears = newTap()
	s.upstream = s.way.addr
	s.write("tocsin.toml", s.configuration())
}

// restarted stops the broker, which saves what it has, and starts it.
func restarted(s *stage) {
	for range 2 {
		s.broker.end(syscall.SIGTERM)
		s.hears(utterance{ready: "connect", log: "no messages from the external broker"}) // lost, or refused by now
		s.goOn(500 * time.Millisecond)
		s.broker.start()
		s.heals()
		s.goesOn()
	}
	s.knownAgain(true)
}

// brokerKilled kills it. What it acknowledged after its last save is gone, and what
// the bridge has had may come again.
func brokerKilled(s *stage) {
	s.goesOn() // what came before the first time is certain
	for range 4 {
		s.broker.kill()
		s.goOn(300 * time.Millisecond)
		s.broker.start()
		s.heals()
		s.goesOn()
		s.allSpeak()
	}
}

// allSpeak waits until every device is acknowledged something more. They try to connect
// at ever longer intervals, and one that meets a broker that is down each time is
// silent for as long as an alarm takes.
func (s *stage) allSpeak() {
	s.Helper()
	before := s.fleet.ackedOf(s)
	s.eventually("every device is acknowledged something", func() bool {
		now := s.fleet.ackedOf(s)
		for device, n := range before {
			if now[device] == n {
				return false
			}
		}
		return true
	})
}

// flapping cuts the connection again and again, soon after it was made.
func flapping(s *stage) {
	for range 4 {
		s.heals()
		s.goOn(time.Second)
		s.way.cut()
		s.hears(utterance{ready: "connect", log: "no messages from the external broker"})
	}
	s.hears(utterance{log: "connections end right after they are made"})
	s.heals()
	s.knownAgain(true)
}

// sessionLost has the broker forget everything.
func sessionLost(s *stage) {
	s.broker.end(syscall.SIGTERM)
	if err := os.Remove(s.path("mosquitto.db")); err != nil {
		s.Fatal(err)
	}
	s.broker.start()
	s.heals()
	s.hears(utterance{log: "had forgotten our session", metric: "tocsin_source_sessions_lost_total"})
}

// knownAgain judges what is told of gaps: only of those that there were.
func (s *stage) knownAgain(known bool) {
	s.Helper()
	if lost := s.b.metric("tocsin_source_sessions_lost_total"); lost > 0 == known {
		s.Errorf("%s: the broker knows the session: %t, and %v losses of it are told", outspoken, known, lost)
	}
}

// stolen has somebody else use the bridge's client id. He acknowledges nothing.
func stolen(s *stage) {
	for range 4 {
		conn, err := net.Dial("tcp", s.mqtt)
		if err != nil {
			s.Fatal(err)
		}
		p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
		p.ProtocolName, p.ProtocolVersion, p.ClientIdentifier, p.Keepalive = "MQTT", 4, "tocsin-torture", 30
		if err := p.Write(conn); err != nil {
			s.Fatal(err)
		}
		s.hears(utterance{ready: "connect", log: "no messages from the external broker"})
		if err := conn.SetReadDeadline(time.Now().Add(deadline)); err != nil {
			s.Fatal(err)
		}
		for err = nil; err == nil; { // until the bridge has it back
			_, err = packets.ReadPacket(conn)
		}
		if e, ok := err.(net.Error); ok && e.Timeout() {
			s.Errorf("%s: the bridge does not take its client id back", healed)
		}
		conn.Close()
	}
	s.goesOn()
	s.hears(utterance{log: "another process uses this client id"})
}

// A tap knows which messages the bridge has acknowledged to a broker.
type tap struct {
	mu     sync.Mutex
	halves [2]map[*pair][]byte         // what is there of a packet, by direction
	sent   map[*pair]map[uint16]string // messages by id
	acked  map[string]bool             // messages
}

func newTap() *tap { return &tap{sent: map[*pair]map[uint16]string{}, acked: map[string]bool{}} }

// message is what a message is known by.
func message(topic string, payload []byte) string { return topic + "\x00" + string(payload) }

// carried takes note of bytes that pass.
func (t *tap) carried(c *pair, up bool, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	way := 0
	if up {
		way = 1
	}
	if t.halves[way] == nil {
		t.halves[way] = map[*pair][]byte{}
	}
	rest := append(t.halves[way][c], b...)
	for {
		size := packetSize(rest)
		if size == 0 || size > len(rest) {
			break
		}
		p, err := packets.ReadPacket(bytes.NewReader(rest[:size]))
		rest = rest[size:]
		if err != nil {
			continue
		}
		switch p := p.(type) {
		case *packets.PublishPacket:
			if t.sent[c] == nil {
				t.sent[c] = map[uint16]string{}
			}
			t.sent[c][p.MessageID] = message(p.TopicName, p.Payload)
		case *packets.PubackPacket:
			t.acked[t.sent[c][p.MessageID]] = true
		}
	}
	t.halves[way][c] = rest
}

// packetSize is the length of the MQTT packet that begins here, or 0 where that
// cannot be said yet.
func packetSize(b []byte) int {
	size, shift := 0, 0
	for i := 1; i < len(b) && i < 5; i++ {
		size |= int(b[i]&0x7f) << shift
		if b[i] < 0x80 {
			return 1 + i + size
		}
		shift += 7
	}
	return 0
}

// brokerKeptAll judges a broker that had no reason to lose anything: the bridge has
// acknowledged all that devices heard an acknowledgement of.
func brokerKeptAll(s *stage) {
	if lost := s.lostByBroker(); lost > 0 {
		s.Errorf("%s: %d messages that the broker has acknowledged were not acknowledged by the bridge", durable, lost)
	}
}

// brokerMayLose has only those messages judged that the bridge has acknowledged: for
// the others the broker answered, and has not kept its word.
func brokerMayLose(s *stage) { s.Logf("%d messages were lost by the broker", s.lostByBroker()) }

// lostByBroker takes the acknowledgements out of the fleet's ledger that the bridge
// has not given, and counts them.
func (s *stage) lostByBroker() (lost int) {
	s.Helper()
	t := s.way.hears
	t.mu.Lock()
	defer t.mu.Unlock()
	text, err := os.ReadFile(s.fleet.ledger)
	if err != nil {
		s.Fatal(err)
	}
	type name struct {
		device, boot string
		seq          uint64
		copy         int
	}
	heard := map[name]bool{}
	var kept bytes.Buffer
	for line := range bytes.Lines(text) {
		var e sim.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			s.Fatal(err)
		}
		n := name{e.Device, e.Boot, e.Seq, e.Copy}
		switch e.Line {
		case "sent":
			heard[n] = t.acked[message(e.Topic, e.Payload)]
		case "acked":
			if !heard[n] {
				lost++
				continue
			}
		}
		kept.Write(line)
	}
	s.fleet.ledger = s.path("fleet.kept.jsonl")
	if err := os.WriteFile(s.fleet.ledger, kept.Bytes(), 0o600); err != nil {
		s.Fatal(err)
	}
	return lost
}
