package broker

import (
	"fmt"
	"net"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// maxUpstreamPacket is the largest packet taken from an external broker. The
// library allocates what a packet announces, up to 256 MiB.
const maxUpstreamPacket = 16 << 20

// guardedConn follows the framing of what an external broker sends, and fails
// the connection before the library sees what it does not survive: a packet that
// announces too much, or a SUBACK with other than one answer for each filter, at
// which it panics in a goroutine of its own.
type guardedConn struct {
	net.Conn
	filters int    // in each of our SUBSCRIBE packets
	heard   func() // is called when something came; nil: nobody asks

	kind   byte
	length int
	shift  uint
	state  frameState
}

type frameState uint8

const (
	atHeader frameState = iota
	atLength
	atBody
)

func (g *guardedConn) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if n > 0 && g.heard != nil {
		g.heard()
	}
	if bad := g.follow(p[:n]); bad != nil {
		_ = g.Conn.Close()
		return 0, bad
	}
	return n, err
}

func (g *guardedConn) Write(p []byte) (int, error) {
	if err := g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}

// follow advances over the bytes b.
func (g *guardedConn) follow(b []byte) error {
	for len(b) > 0 {
		switch g.state {
		case atHeader:
			g.kind, g.length, g.shift, g.state = b[0]>>4, 0, 0, atLength
			b = b[1:]
		case atLength:
			if g.shift > 21 {
				return fmt.Errorf("the broker sent a packet length that is not MQTT")
			}
			g.length |= int(b[0]&127) << g.shift
			g.shift += 7
			more := b[0]&128 != 0
			b = b[1:]
			if more {
				continue
			}
			if err := g.begin(); err != nil {
				return err
			}
		case atBody:
			n := min(g.length, len(b))
			g.length -= n
			b = b[n:]
			if g.length == 0 {
				g.state = atHeader
			}
		}
	}
	return nil
}

// begin looks at a packet whose kind and length are known.
func (g *guardedConn) begin() error {
	if g.length > maxUpstreamPacket {
		return fmt.Errorf("the broker sent a packet of %d bytes (at most %d are taken; limit the size of messages there)", g.length, maxUpstreamPacket)
	}
	if g.kind == packets.Suback && g.length != 2+g.filters {
		return fmt.Errorf("the broker answered a subscription to %d topics with %d codes", g.filters, g.length-2)
	}
	g.state = atBody
	if g.length == 0 {
		g.state = atHeader
	}
	return nil
}
