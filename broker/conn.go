package broker

import (
	"errors"
	"hash/maphash"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"golang.org/x/time/rate"
)

const (
	// deadlineSlack is how much later than asked for a read may time out, so
	// that the deadline need not be moved for every packet.
	deadlineSlack = 2 * time.Second
	// writeTimeout bounds a write to a client that does not read.
	writeTimeout = 10 * time.Second
)

var errRefused = errors.New("a message could not be made safe")

// A conn is a client's connection as the MQTT library sees it. It is where
// acknowledgements wait for receipts.
//
// The library reads, handles and answers packets in one goroutine, the reader.
// What it writes between two reads of the socket is held back; the next read
// first waits for every receipt collected since the last one, then writes all
// answers at once, then reads. So a client with many messages under way pays one
// write and one wait for all that arrived together, and an acknowledgement can
// not overtake its receipt.
//
// Forwarded messages acknowledge nothing and are written through. Close leaves
// the socket open for a reader that is at work: whoever started the reader calls
// finish when it has returned.
type conn struct {
	net.Conn
	broker *Embedded
	from   netip.Addr
	done   chan struct{} // closed when the reader has returned and all is settled
	gone   chan struct{} // closed by the first Close
	leave  func()        // leaves the lobby of those who are not yet let in
	owner  bool          // holds its client id; guarded by broker.mu

	// Set when the client is let in, before anybody else sees the connection.
	client    *mqtt.Client
	user      string
	certUser  string // who the client certificate names
	publish   []string
	subscribe []string

	// The reader's own.
	head     []byte // the first bytes, see hear
	seen     *recent
	pending  []pending
	taken    int // messages since the last read
	limiter  *rate.Limiter
	readBy   time.Time
	denied   bool // a denial has been logged
	attended bool // somebody was told that the client is there

	writeBy atomic.Int64 // Unix nanoseconds

	mu      sync.Mutex
	reading bool // the reader waits for the socket
	greeted bool // the first answer is written
	closing bool
	out     []byte
}

// pending is a message that was handled and is not yet known to be safe.
type pending struct {
	receipt Receipt
	sum     uint64
	out     int // length of conn.out before the message was answered
	id      uint16
	qos     byte
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.settle(); err != nil {
		return 0, err
	}
	if err := c.throttle(); err != nil {
		return 0, err
	}
	if err := c.flush(true); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.reading = false
	c.mu.Unlock()
	if bad := c.hear(p[:n]); bad != nil {
		return 0, bad
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.mu.Lock()
	forwarded := p[0]>>4 == packets.Publish && c.greeted
	if !c.reading && !forwarded {
		c.out = append(c.out, p...)
		c.mu.Unlock()
		return len(p), nil
	}
	c.mu.Unlock()
	return len(p), c.send(p)
}

// send writes to the socket. A write that fails may have written half a packet,
// so nothing more can follow it.
func (c *conn) send(p []byte) error {
	now := time.Now()
	if c.writeBy.Load()-now.UnixNano() < int64(writeTimeout/2) {
		by := now.Add(writeTimeout)
		c.writeBy.Store(by.UnixNano())
		if err := c.Conn.SetWriteDeadline(by); err != nil {
			return err
		}
	}
	if _, err := c.Conn.Write(p); err != nil {
		_ = c.Conn.Close()
		return err
	}
	return nil
}

// flush writes what was held back. With read it leaves the connection in the
// state in which writes go through.
func (c *conn) flush(read bool) error {
	for {
		c.mu.Lock()
		if len(c.out) == 0 {
			defer c.mu.Unlock()
			if read && c.closing {
				return net.ErrClosed
			}
			c.reading = read
			return nil
		}
		out := c.out
		c.out = nil
		c.mu.Unlock()
		if err := c.send(out); err != nil {
			return err
		}
		c.mu.Lock()
		c.greeted = true
		if c.out == nil && cap(out) <= 16<<10 {
			c.out = out[:0]
		}
		c.mu.Unlock()
	}
}

// await takes note of a message that was handled and is about to be answered.
func (c *conn) await(id uint16, qos byte, sum uint64, receipt Receipt) {
	if qos == 0 && receipt == nil {
		return
	}
	c.mu.Lock()
	at := len(c.out)
	c.mu.Unlock()
	c.pending = append(c.pending, pending{receipt, sum, at, id, qos})
}

// settle waits for the receipts of all pending messages. At the first that fails
// it takes back the answers from there on and closes the connection, so that the
// client sends those messages again. A message at QoS 0 has no answer to take
// back; its loss is counted.
func (c *conn) settle() error {
	if len(c.pending) == 0 {
		return nil
	}
	batch := c.pending
	c.pending = c.pending[:0]
	defer clear(batch)
	for i := range batch {
		m := &batch[i]
		if m.receipt != nil {
			if err := c.broker.wait(m.receipt); err != nil {
				c.broker.noteRefusal(err)
				if m.qos > 0 {
					c.takeBack(batch[i:])
					return errRefused
				}
				continue
			}
		}
		if m.qos > 0 {
			c.seen.add(m.id, m.sum)
		}
	}
	// gofail: var beforeAcknowledgement struct{}
	c.broker.noteAccepted()
	return nil
}

// takeBack undoes what the library believes to have answered.
func (c *conn) takeBack(batch []pending) {
	c.mu.Lock()
	c.out = c.out[:min(len(c.out), batch[0].out)]
	c.mu.Unlock()
	inflight := c.client.State.Inflight
	for _, m := range batch {
		// The library keeps its PUBREC and would send it when the session is
		// resumed.
		if m.qos == 2 && inflight.Delete(m.id) {
			inflight.IncreaseReceiveQuota()
			atomic.AddInt64(&c.broker.server.Info.Inflight, -1)
		}
	}
	// That we hang up says nothing about the device.
	atomic.StoreUint32(&c.client.Properties.Will.Flag, 0)
	c.broker.hangUp(c, packets.ErrImplementationSpecificError)
}

// throttle makes a client that sends too fast wait before it is read again.
func (c *conn) throttle() error {
	n := c.taken
	c.taken = 0
	if c.limiter == nil || n == 0 {
		return nil
	}
	delay := c.limiter.ReserveN(time.Now(), min(n, c.limiter.Burst())).Delay()
	if delay == 0 {
		return nil
	}
	c.broker.metrics.throttled.Inc()
	if err := c.flush(false); err != nil { // the answers need not wait too
		return err
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.gone:
		return net.ErrClosed
	}
	if c.readBy.IsZero() {
		return nil
	}
	c.readBy = c.readBy.Add(delay) // the client was willing, we were not
	return c.Conn.SetReadDeadline(c.readBy)
}

// SetDeadline moves the time by which the next packet must have arrived; writes
// have a deadline of their own. Moves that do not matter are left out.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() && c.readBy.IsZero() {
		return nil
	}
	if !t.IsZero() {
		if slack := c.readBy.Sub(t); slack >= 0 && slack <= deadlineSlack {
			return nil
		}
		t = t.Add(deadlineSlack)
	}
	c.readBy = t
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) Close() error {
	c.mu.Lock()
	first, reading := !c.closing, c.reading
	c.closing = true
	c.mu.Unlock()
	if first {
		close(c.gone)
	}
	if reading {
		return c.Conn.Close()
	}
	return nil
}

// finish ends the connection after the reader has returned: what it left is
// settled and written, then the socket is closed.
func (c *conn) finish() {
	_ = c.Close()
	_ = c.settle() // the client hears nothing, which is the refusal
	_ = c.flush(false)
	_ = c.Conn.Close()
	c.leave()
	c.broker.depart(c)
	c.broker.release(c)
	c.mu.Lock()
	c.out, c.pending = nil, nil // the library keeps c with the session
	c.mu.Unlock()
	close(c.done)
}

// recent remembers the last messages that were accepted in a session, one for
// each packet id: who uses an id again has heard of the message before. Only one
// connection has the session at a time, so it needs no lock.
type recent struct {
	size    int
	entries []fingerprint // the newest last
}

type fingerprint struct {
	sum uint64
	id  uint16
}

func (r *recent) add(id uint16, sum uint64) {
	r.entries = slices.DeleteFunc(r.entries, func(f fingerprint) bool { return f.id == id })
	if len(r.entries) == r.size {
		r.entries = slices.Delete(r.entries, 0, 1)
	}
	r.entries = append(r.entries, fingerprint{sum, id})
}

func (r *recent) has(id uint16, sum uint64) bool {
	return slices.Contains(r.entries, fingerprint{sum, id})
}

// fingerprintOf tells messages apart within this process.
func (e *Embedded) fingerprintOf(pk *packets.Packet) uint64 {
	var h maphash.Hash
	h.SetSeed(e.seed)
	_, _ = h.WriteString(pk.TopicName) // never fail
	_ = h.WriteByte(0)
	_, _ = h.Write(pk.Payload)
	return h.Sum64()
}
