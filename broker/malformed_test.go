package broker

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestMalformedBytesHurtOnlyTheirSender sends each wrong thing on a connection of
// its own, before and after CONNECT, and then asks for an ordinary service.
func TestMalformedBytesHurtOnlyTheirSender(t *testing.T) {
	long := strings.Repeat("x", 65000)
	e := serve(t, EmbeddedOptions{}, safe)
	canary := connected(t, e, hello{id: "canary", clean: true})
	sub := connected(t, e, hello{id: "sub", clean: true}) // messages are matched against subscriptions
	sub.send(subscribePacket(4, 1, "watched/#", 0))
	sub.expect(tSuback)
	for name, bytes := range map[string][]byte{
		"nothing":                     {},
		"one byte":                    {0x30},
		"reserved type":               {0x00, 0x00},
		"length of five bytes":        {0x30, 0x80, 0x80, 0x80, 0x80, 0x01},
		"endless length":              []byte("\x30" + strings.Repeat("\x80", 100)),
		"256 MiB announced":           {0x30, 0xff, 0xff, 0xff, 0x7f},
		"CONNACK from a client":       {0x20, 0x02, 0x00, 0x00},
		"SUBACK from a client":        {0x90, 0x03, 0x00, 0x01, 0x00},
		"UNSUBACK from a client":      {0xb0, 0x02, 0x00, 0x01},
		"PINGRESP from a client":      {0xd0, 0x00},
		"QoS 3":                       {0x36, 0x05, 0x00, 0x01, 'a', 0x00, 0x01},
		"DUP at QoS 0":                {0x38, 0x03, 0x00, 0x01, 'a'},
		"packet id 0":                 publishPacket(pub{topic: "a", qos: 1}),
		"empty topic":                 publishPacket(pub{topic: "", qos: 1, id: 1}),
		"wildcard in topic":           publishPacket(pub{topic: "a/+/#", qos: 1, id: 1}),
		"NUL in topic":                publishPacket(pub{topic: "a\x00b", qos: 1, id: 1}),
		"surrogate in topic":          publishPacket(pub{topic: "a\xed\xa0\x80", qos: 1, id: 1}),
		"invalid UTF-8 in topic":      publishPacket(pub{topic: "\xc3\x28", qos: 1, id: 1}),
		"over-long encoding":          publishPacket(pub{topic: "\xc0\xaf", qos: 1, id: 1}),
		"65,000 slashes":              publishPacket(pub{topic: strings.Repeat("/", 65000), qos: 1, id: 1}),
		"long topic":                  publishPacket(pub{topic: long, qos: 1, id: 1}),
		"topic beyond the packet":     {0x30, 0x03, 0xff, 0xff, 'a'},
		"PUBREL without PUBREC":       ack(tPubrel, 9),
		"PUBACK for nothing":          ack(tPuback, 9),
		"PUBREC for nothing":          ack(tPubrec, 9),
		"PUBCOMP for nothing":         ack(tPubcomp, 9),
		"PUBACK without id":           {0x40, 0x00},
		"SUBSCRIBE without filter":    {0x82, 0x02, 0x00, 0x01},
		"SUBSCRIBE without options":   {0x82, 0x05, 0x00, 0x01, 0x00, 0x01, 'a'},
		"SUBSCRIBE v5, no options":    {0x82, 0x05, 0x04, 0xd2, 0x00, 0x00, 0x00},
		"SUBSCRIBE QoS 3":             subscribePacket(4, 1, "a", 3),
		"share without filter":        subscribePacket(4, 1, "$share/g", 0),
		"share without group":         subscribePacket(4, 1, "$share//a", 0),
		"hash in the middle":          subscribePacket(4, 1, "a/#/b", 0),
		"65,000 levels":               subscribePacket(4, 1, strings.Repeat("/", 65000), 0),
		"UNSUBSCRIBE 65,000 levels":   frame(tUnsubscribe<<4|2, []byte{0, 1}, str(strings.Repeat("/", 65000))),
		"UNSUBSCRIBE without filter":  {0xa2, 0x02, 0x00, 0x01},
		"second CONNECT":              connectPacket(hello{id: "twice", clean: true}),
		"CONNECT without a body":      {0x10, 0x00},
		"CONNECT with odd protocol":   {0x10, 0x08, 0x00, 0x02, 'X', 'Y', 0x04, 0x02, 0x00, 0x00},
		"CONNECT version 9":           {0x10, 0x0c, 0x00, 0x04, 'M', 'Q', 'T', 'T', 0x09, 0x02, 0x00, 0x00, 0x00, 0x00},
		"CONNECT v4, no id, no clean": {0x10, 0x0c, 0x00, 0x04, 'M', 'Q', 'T', 'T', 0x04, 0x00, 0x00, 0x00, 0x00, 0x00},
		"CONNECT Will beyond the end": {0x10, 0x10, 0x00, 0x04, 'M', 'Q', 'T', 'T', 0x04, 0x06, 0x00, 0x00, 0x00, 0x02, 'd', '1', 0xff, 0xff},
		"AUTH":                        {0xf0, 0x02, 0x18, 0x00},
		"DISCONNECT with odd flags":   {0xe1, 0x00},
		"topic alias":                 {0x32, 0x0a, 0x00, 0x01, 'a', 0x00, 0x01, 0x03, 0x23, 0x00, 0x05, 'x'},
		"unknown property":            {0x32, 0x08, 0x00, 0x01, 'a', 0x00, 0x01, 0x01, 0x7f, 'x'},
		"10,000 user properties":      manyProperties(10_000),
	} {
		for _, h := range []hello{{}, {id: "bad", clean: true}, {version: 5, id: "bad", clean: true}} {
			w := dialWire(t, e)
			if h.id != "" {
				if code, _ := w.hello(h); code != 0 {
					t.Fatalf("%s: code %d", name, code)
				}
			}
			_, _ = w.Write(bytes) // the other side may be gone
			_ = w.Conn.(*net.TCPConn).CloseWrite()
			_ = w.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, w.r); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("%s after %+v: the connection stays open", name, h)
			}
			_ = w.Close()
			canary.publish(pub{topic: "a", qos: 1, id: 1})
			canary.expectAck(tPuback, 1)
		}
	}
	e.allGoneBut(t, 2)
	if n := e.server.Clients.Len(); n > 2 {
		t.Errorf("%d sessions remain", n)
	}
}

func manyProperties(n int) []byte {
	var props []byte
	for range n {
		props = append(props, 38)
		props = append(props, str("k")...)
		props = append(props, str("v")...)
	}
	length := frame(0, props)[1:]
	return frame(tPublish<<4, str("a"), length)
}

// FuzzConn feeds a broker with bytes after CONNECT, in packets as it likes. The
// law: no panic gets out, the connection ends when its client goes, and nothing
// is acknowledged that was not handled.
func FuzzConn(f *testing.F) {
	for _, version := range []byte{4, 5} {
		f.Add(version, publishPacket(pub{version: version, topic: "a", payload: "x", qos: 1, id: 1}))
		f.Add(version, append(publishPacket(pub{version: version, topic: "a", qos: 2, id: 1}), ack(tPubrel, 1)...))
		f.Add(version, subscribePacket(version, 1, "a/+", 1))
		f.Add(version, []byte{0x82, 0x05, 0x04, 0xd2, 0x00, 0x00, 0x00})
		f.Add(version, []byte{0xe0, 0x00})
		f.Add(version, connectPacket(hello{version: version, id: "x", will: "w", user: "u", pass: "p"}))
	}
	f.Fuzz(func(t *testing.T, version byte, input []byte) {
		if version != 5 {
			version = 4
		}
		handled := make(chan uint16, 100_000)
		e, err := newEmbedded(EmbeddedOptions{Rate: -1, MaxPacket: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		e.anonymous = true
		stop := runUntil(t, e.Run, func(m Message) Receipt {
			handled <- m.PacketID
			return nil
		})
		eventually(t, "not running", e.running.Load)
		client, server := net.Pipe()
		g, err := e.lobby.arrive(context.Background(), addressOf(server.RemoteAddr()))
		if err != nil {
			t.Fatal(err)
		}
		e.work.Go(func() { e.serve(context.Background(), &listener{name: "mqtt"}, server, g) })
		w := newWire(t, client)
		w.hello(hello{version: version, id: "fuzz", clean: true})
		acked := make(chan map[uint16]bool)
		go func() {
			ids := map[uint16]bool{}
			for {
				kind, body, err := w.receive()
				if err != nil {
					acked <- ids
					return
				}
				refused := version == 5 && len(body) > 2 && body[2] >= 0x80
				if (kind == tPuback || kind == tPubrec) && len(body) >= 2 && !refused {
					ids[uint16(body[0])<<8|uint16(body[1])] = true
				}
			}
		}()
		_ = client.SetWriteDeadline(time.Now().Add(patience))
		_, _ = client.Write(input)
		_ = client.Close()
		ids := <-acked
		if err := stop(); err != nil {
			t.Error(err)
		}
		close(handled)
		for id := range handled {
			delete(ids, id)
		}
		if len(ids) > 0 && !strings.Contains(string(input), "$") { // a denied topic is acknowledged under MQTT 3
			t.Errorf("acknowledged and not handled: %v", ids)
		}
	})
}
