package sim

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"tocsin/firmware-sim/payload"
)

// A client is one connection to the broker: Paho's packets, and one goroutine
// that reads them. Paho's own client has nine for each connection, which is
// 400 MiB for ten thousand devices, and calls a message acknowledged as soon as
// it is sent again.
type client struct {
	*line
	in      *bufio.Reader
	broken  chan struct{}      // closed when nothing is read any more; the connection may still be open
	acks    chan uint16        // with room for one: the id that was acknowledged
	wanted  *atomic.Uint32     // the id of the message that is waited for
	records *atomic.Uint32     // the id of a message at QoS 2 that the broker has
	told    chan<- instruction // what the device is told; it is lost when there is no room
	refused func()             // a subscription

	alive time.Duration // the longest silence that the broker is promised

	writing sync.Mutex
	ping    *time.Timer
}

// An instruction is a message to the device.
type instruction struct {
	topic   string
	payload []byte
}

// inSize is enough for the answers that a device gets; ten thousand have one each.
const inSize = 128

// A line is a connection that can lose an answer, can break, can let nothing
// pass, and can be slow.
type line struct {
	net.Conn
	deaf   atomic.Bool
	torn   atomic.Bool
	over   chan struct{} // closed when it is torn
	silent atomic.Bool   // nothing passes, and neither end knows
	pace   atomic.Int64  // bytes that it takes in a second; 0: as many as go
}

func newLine(conn net.Conn) *line { return &line{Conn: conn, over: make(chan struct{})} }

// Write takes its time where the line is slow.
func (l *line) Write(b []byte) (n int, err error) {
	pace := l.pace.Load()
	if pace == 0 {
		return l.Conn.Write(b)
	}
	for n < len(b) {
		if err := l.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return n, err
		}
		some, err := l.Conn.Write(b[n:min(len(b), n+max(1, int(pace/trickles)))])
		n += some
		if err != nil {
			return n, err
		}
		wait := time.NewTimer(time.Duration(some) * time.Second / time.Duration(pace))
		select {
		case <-wait.C:
		case <-l.over:
			wait.Stop()
			return n, net.ErrClosed
		}
	}
	return n, nil
}

// trickles is how many times in a second a slow line lets something through.
const trickles = 10

// Read breaks the connection in the place of an answer that is to be lost.
func (l *line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if err == nil && l.deaf.Swap(false) {
		return 0, errors.Join(io.EOF, l.Close())
	}
	return n, err
}

// connect opens a session on a line; the error of a broker that refuses is one of
// package packets. The session outlives the connection, since the device sends
// again what was not acknowledged.
func (c *client) connect(id, user, password string, will *payload.Message, qos byte) error {
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion = "MQTT", 4
	p.ClientIdentifier, p.Keepalive = id, uint16(c.alive/time.Second) // #nosec G115 -- within the limits of options
	p.UsernameFlag, p.Username = user != "", user
	p.PasswordFlag, p.Password = user != "" && password != "", []byte(password)
	if will != nil {
		p.WillFlag, p.WillTopic, p.WillMessage, p.WillRetain, p.WillQos = true, will.Topic, will.Payload, will.Retain, min(1, qos)
	}
	if err := c.SetWriteDeadline(time.Now().Add(connectTimeout)); err != nil {
		return err
	}
	if err := p.Write(c.line); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(connectTimeout)); err != nil {
		return err
	}
	answer, err := packets.ReadPacket(c.in)
	if err != nil {
		return err
	}
	ack, ok := answer.(*packets.ConnackPacket)
	if !ok {
		return packets.ErrorProtocolViolation
	}
	if ack.ReturnCode != packets.Accepted {
		if err := packets.ConnErrors[ack.ReturnCode]; err != nil {
			return err
		}
		return packets.ErrorProtocolViolation
	}
	return c.SetDeadline(time.Time{})
}

// read takes what the broker says until the connection breaks.
func (c *client) read() {
	defer close(c.broken)
	for {
		// A broker that answers no ping is gone.
		if c.SetReadDeadline(time.Now().Add(c.alive+c.alive/2)) != nil || c.silent.Load() {
			return
		}
		p, err := packets.ReadPacket(c.in)
		if err != nil || !c.take(p) {
			return
		}
	}
}

// take reports whether the connection is still of use.
func (c *client) take(p packets.ControlPacket) bool {
	switch p := p.(type) {
	case *packets.PubackPacket:
		c.acked(p.MessageID)
	case *packets.PubrecPacket:
		c.records.Store(uint32(p.MessageID))
		return c.release(p.MessageID) == nil
	case *packets.PubcompPacket:
		c.acked(p.MessageID)
	case *packets.SubackPacket:
		for _, code := range p.ReturnCodes {
			if code > 2 {
				c.refused()
			}
		}
	case *packets.PublishPacket:
		select {
		case c.told <- instruction{p.TopicName, p.Payload}:
		default: // a device that is told more than it can do
		}
		if p.Qos > 0 {
			ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			ack.MessageID = p.MessageID
			return c.send(ack) == nil
		}
	}
	return true
}

// acked passes on the acknowledgement of the message that is waited for, and
// takes its own word for an earlier one back: brokers answer twice.
func (c *client) acked(id uint16) {
	if c.wanted.Load() != uint32(id) {
		return
	}
	select {
	case <-c.acks:
	default:
	}
	c.acks <- id // there is room: nobody else puts in
}

// send writes a packet. One that cannot be written breaks the connection.
func (c *client) send(p packets.ControlPacket) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.write(p)
}

// write needs the lock.
func (c *client) write(p packets.ControlPacket) error {
	if c.silent.Load() {
		return nil // it is lost on its way
	}
	err := c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		err = p.Write(c.line)
	}
	if err != nil {
		return errors.Join(err, c.tear())
	}
	if c.ping != nil {
		c.ping.Reset(c.alive)
	}
	return nil
}

// beat sends a ping, and by that the next one after a while. What is being written
// says as well that somebody is there.
func (c *client) beat() {
	if c.writing.TryLock() {
		defer c.writing.Unlock()
		_ = c.write(packets.NewControlPacket(packets.Pingreq)) // what fails breaks the connection
	}
}

func (c *client) publish(m payload.Message, qos byte, id uint16, again bool) error {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Retain = m.Topic, m.Payload, m.Retain
	p.Qos, p.MessageID, p.Dup = qos, id, again && qos > 0
	return c.send(p)
}

// release answers that the broker has a message at QoS 2.
func (c *client) release(id uint16) error {
	p := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
	p.MessageID = id
	return c.send(p)
}

func (c *client) subscribe(topic string, id uint16) error {
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	p.Topics, p.Qoss, p.MessageID = []string{topic}, []byte{1}, id
	return c.send(p)
}

// tear breaks the connection without a goodbye.
func (c *client) tear() error {
	if c.torn.Swap(true) {
		return nil
	}
	close(c.over)
	return c.Close()
}

// silence lets nothing pass any more, and leaves the connection open: that it is
// dead the broker can only conclude.
func (c *client) silence() {
	c.silent.Store(true)
	c.writing.Lock()
	defer c.writing.Unlock()
	c.ping.Stop()
	_ = c.SetReadDeadline(time.Unix(1, 0)) // wakes who reads
}

// end breaks it and waits until nothing reads any more.
func (c *client) end() {
	_ = c.tear() // it breaks, whatever that says
	<-c.broken
	c.writing.Lock()
	defer c.writing.Unlock()
	c.ping.Stop()
}

// goodbye ends the connection as a device does that is switched off.
func (c *client) goodbye() {
	_ = c.send(packets.NewControlPacket(packets.Disconnect)) // and if it does not arrive, it is a cut
	c.end()
}
