package simulate

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"tocsin/broker"
)

// A message is what a device has to say. It is said until it is acknowledged.
type message struct {
	n       int // of the device
	payload string
	value   float64
	modeled bool // it is a temperature, which the model knows
	contact bool // it proves for certain that the device is alive
}

// A contact is an acknowledged message.
type contact struct {
	message
	at    time.Time // of the acknowledgement
	heard time.Time // not before; earlier than at where an acknowledgement may have been lost
}

// A device speaks MQTT 3.1.1 at QoS 1 over a pipe, one message at a time, and
// keeps a ledger of what was acknowledged. At somebody else's broker it is that
// broker which hands its messages over and keeps the ledger.
type device struct {
	w     *world
	id    string
	apart time.Duration // from when others speak: no two do at one moment
	wake  chan struct{} // holds one

	mu    sync.Mutex // guards what follows
	queue []message
	acked []contact
	said  int
	sent  uint16    // packet id of the last message
	first time.Time // when the head of the queue was sent for the first time; zero: it was not
	maybe time.Time // when it was sent and may have been stored, though nobody said so; zero: never
}

func (d *device) say(m message) {
	d.mu.Lock()
	d.said++
	m.n = d.said
	d.queue = append(d.queue, m)
	d.mu.Unlock()
	d.rouse()
}

func (d *device) rouse() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *device) head() (message, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		return message{}, false
	}
	if d.first.IsZero() {
		d.first = time.Now()
	}
	return d.queue[0], true
}

// settled is what was acknowledged, and whether nothing else was said.
func (d *device) settled() ([]contact, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.acked[:len(d.acked):len(d.acked)], len(d.queue) == 0
}

// forget drops what was not acknowledged, if none of it can have been stored:
// since then, nothing could.
func (d *device) forget(since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.first.IsZero() || d.first.After(since) {
		d.queue, d.first, d.maybe = nil, time.Time{}, time.Time{}
	}
}

func (d *device) acknowledged(m message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	c := contact{m, now, now}
	if len(d.queue) > 0 && d.queue[0].n == m.n { // or it was forgotten
		c.heard = cmp.Or(d.maybe, now)
		d.queue, d.first, d.maybe = d.queue[1:], time.Time{}, time.Time{}
	}
	d.acked = append(d.acked, c)
}

// unanswered takes down that nobody knows what became of the head of the queue: a
// process may vanish, and a link break, between the commit and its acknowledgement.
func (d *device) unanswered(sent time.Time) {
	d.w.mu.Lock()
	full := d.w.full
	d.w.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !full && !d.first.IsZero() && d.maybe.IsZero() {
		d.maybe = sent
	}
}

// run says what there is to say until the world is over.
func (d *device) run() {
	var c *connection
	defer func() { c.close() }()
	dup := false
	for {
		select {
		case <-d.w.over:
			return
		default:
		}
		m, ok := d.head()
		if ok {
			time.Sleep(d.apart)
		}
		if !ok {
			select {
			case <-d.wake:
				continue
			case <-d.w.over:
				return
			}
		}
		var err error
		if c == nil || c.life.gone() {
			c.close()
			c, err = d.connect()
		}
		if err == nil {
			if !dup {
				d.sent = d.sent%65535 + 1
			}
			sent := time.Now()
			err = c.publish("plant/"+d.id, m.payload, d.sent, dup)
			if dup = err != nil; dup && !errors.Is(err, errAway) {
				d.unanswered(sent)
			}
		}
		switch {
		case err == nil && !c.life.gone():
			d.acknowledged(m)
			time.Sleep(10 * time.Millisecond) // no two readings share a time
		default:
			c.close()
			c = nil
			time.Sleep(time.Second)
		}
	}
}

// A connection is a device's to one process.
type connection struct {
	life   *life
	conn   net.Conn // nil at somebody else's broker
	r      *bufio.Reader
	device string
}

func (c *connection) close() {
	if c != nil && c.conn != nil {
		_ = c.conn.Close()
	}
}

var errAway = errors.New("nobody answers")

func (d *device) connect() (*connection, error) {
	l := d.w.answering()
	if l == nil {
		return nil, errAway
	}
	c := &connection{life: l, device: d.id}
	if d.w.plan.external {
		return c, nil
	}
	conn := l.door.dial()
	if conn == nil {
		return nil, errAway
	}
	c.conn, c.r = conn, bufio.NewReader(conn)
	hello := append([]byte("\x00\x04MQTT\x04\x00\x00\x00"), 0, byte(len(d.id)))
	if err := c.write(0x10, append(hello, d.id...)); err != nil {
		c.close()
		return nil, err
	}
	if kind, body, err := c.read(); err != nil || kind != 0x20 || body[1] != 0 {
		c.close()
		return nil, fmt.Errorf("connack %x % x: %w", kind, body, err)
	}
	return c, nil
}

// publish returns when the message is acknowledged.
func (c *connection) publish(topic, payload string, id uint16, dup bool) error {
	if _, ago, ok := strings.Cut(payload, `"ago":`); ok { // a stamp is of when it is sent
		var seconds int
		_, _ = fmt.Sscanf(ago, "%d", &seconds)
		payload = strings.Replace(payload, `"ago":`+fmt.Sprint(seconds), fmt.Sprintf(`"ts":%d`, time.Now().Add(-time.Duration(seconds)*time.Second).Unix()), 1)
	}
	if c.conn == nil {
		return c.hand(broker.Message{Topic: topic, Payload: []byte(payload), QoS: 1, PacketID: id, Received: time.Now()})
	}
	body := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	body = append(body, topic...)
	body = binary.BigEndian.AppendUint16(body, id)
	kind := byte(0x32)
	if dup {
		kind |= 8
	}
	if err := c.write(kind, append(body, payload...)); err != nil {
		return err
	}
	kind, answer, err := c.read()
	if err != nil {
		return err
	}
	if kind != 0x40 || !bytes.Equal(answer, binary.BigEndian.AppendUint16(nil, id)) {
		return fmt.Errorf("puback %x % x", kind, answer)
	}
	return nil
}

func (c *connection) hand(m broker.Message) error {
	if c.life.w.answering() != c.life {
		return errAway
	}
	handle := c.life.handler()
	if handle == nil {
		return errAway
	}
	receipt := handle(m)
	if receipt == nil {
		return nil
	}
	return receipt(context.Background())
}

func (c *connection) write(kind byte, body []byte) error {
	_ = c.conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err := c.conn.Write(append(binary.AppendUvarint([]byte{kind}, uint64(len(body))), body...))
	return err
}

func (c *connection) read() (byte, []byte, error) {
	kind, err := c.r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(c.r)
	if err != nil {
		return 0, nil, err
	}
	body := make([]byte, size)
	_, err = io.ReadFull(c.r, body)
	return kind, body, err
}

// A door is a listener whose connections are pipes.
type door struct {
	arrivals chan net.Conn
	closed   chan struct{}
	once     sync.Once

	mu   sync.Mutex
	ends []net.Conn // of all connections, ours and theirs
}

func newDoor() *door { return &door{arrivals: make(chan net.Conn), closed: make(chan struct{})} }

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.arrivals:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

func (d *door) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (d *door) dial() net.Conn {
	ours, theirs := net.Pipe()
	select {
	case d.arrivals <- theirs:
	case <-d.closed:
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ends = append(d.ends, ours, theirs)
	return ours
}

// cut ends all connections without a word.
func (d *door) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.ends {
		_ = c.Close()
	}
	d.ends = nil
}
