package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// First bytes of frames.
const (
	connect     = 0x10
	connack     = 0x20
	publish     = 0x30
	puback      = 0x40
	pubrec      = 0x50
	pubrel      = 0x62
	pubcomp     = 0x70
	disconnect  = 0xe0
	smallest    = 40      // bytes of a payload: its number and an end
	batchBytes  = 1 << 16 // of frames in one write
	batchFrames = 64
)

func connectFrame(id, user, password string) []byte {
	flags := byte(2) // a clean session
	body := append(appendText(nil, "MQTT"), 4, 0, 0, 0)
	body = appendText(body, id)
	if user != "" {
		flags |= 0x80
		body = appendText(body, user)
		if password != "" {
			flags |= 0x40
			body = appendText(body, password)
		}
	}
	body[7] = flags
	return append(appendLength([]byte{connect}, len(body)), body...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) // #nosec G115 -- names of ours, and the user's
}

// appendLength writes MQTT's variable length.
func appendLength(b []byte, n int) []byte {
	return binary.AppendUvarint(b, uint64(n)) // #nosec G115 -- not negative; the encodings are the same
}

// A sender is one connection.
type sender struct {
	*load
	conn   net.Conn
	number int // of the connection

	frame   []byte // one message; its number and packet id are written in place
	numAt   int
	idAt    int
	batch   []byte
	in      []byte
	pending []byte // read, and not a whole frame yet

	next     uint64      // number of the next message
	inFlight int         // unacknowledged
	due      []time.Time // of each packet id in flight, by id-1
	free     []uint16    // packet ids
}

func newSender(l *load, conn net.Conn, number int) *sender {
	s := &sender{load: l, conn: conn, number: number, in: make([]byte, 4096)}
	topic := topicOf(l.Topic, number)
	body := appendText(nil, topic)
	if l.QoS > 0 {
		s.idAt = len(body)
		body = append(body, 0, 0)
	}
	payload := append([]byte(`{"seq":                ,"pad":"`), make([]byte, l.Size-smallest)...)
	for i := range payload {
		if payload[i] == 0 {
			payload[i] = 'x'
		}
	}
	for len(payload) < l.Size-2 {
		payload = append(payload, 'x')
	}
	payload = append(payload, '"', '}')
	s.numAt = len(body) + len(`{"seq":`)
	body = append(body, payload...)
	head := appendLength([]byte{publish | l.QoS<<1}, len(body))
	s.frame = append(head, body...)
	s.numAt += len(head)
	if l.QoS > 0 {
		s.idAt += len(head)
		s.due = make([]time.Time, l.Window)
		for id := l.Window; id > 0; id-- {
			s.free = append(s.free, uint16(id)) // #nosec G115 -- at most maxWindow
		}
	}
	return s
}

// run sends until the end, and waits for what is not acknowledged.
func (s *sender) run(ctx context.Context) error {
	if s.QoS == 0 {
		if err := s.conn.SetWriteDeadline(s.end); err != nil {
			return err
		}
	}
	for {
		now := time.Now()
		if !now.Before(s.end) {
			return s.finish()
		}
		s.fill(now)
		if len(s.batch) > 0 {
			n, err := s.conn.Write(s.batch)
			s.waited.Add(int64(time.Since(now))) // nothing else holds it up
			if errors.Is(err, os.ErrDeadlineExceeded) {
				n, err = s.complete(n) // the end of a message that the end came upon
			}
			s.sent.Add(uint64(n / len(s.frame))) // #nosec G115 -- a count
			if err != nil {
				return err
			}
			s.batch = s.batch[:0]
			if s.QoS == 0 && s.Rate == 0 {
				continue
			}
		}
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// complete writes the rest of a message of which a part has been written, and
// returns how much of the batch that makes.
func (s *sender) complete(n int) (int, error) {
	rest := (len(s.frame) - n%len(s.frame)) % len(s.frame)
	if err := s.conn.SetWriteDeadline(s.end.Add(draining)); err != nil {
		return n, err
	}
	m, err := s.conn.Write(s.batch[n : n+rest])
	return n + m, err
}

// fill writes the messages that may leave now into the batch.
func (s *sender) fill(now time.Time) {
	for n := 0; n < max(batchFrames, s.Window) && len(s.batch)+len(s.frame) <= max(batchBytes, len(s.frame)); n++ {
		due := now
		if s.Rate > 0 {
			if due = s.dueAt(s.next); due.After(now) {
				return
			}
		}
		if s.QoS > 0 {
			if len(s.free) == 0 {
				return
			}
			id := s.free[len(s.free)-1]
			s.free = s.free[:len(s.free)-1]
			s.due[id-1] = due
			s.inFlight++
			binary.BigEndian.PutUint16(s.frame[s.idAt:], id)
		}
		s.next++
		putNumber(s.frame[s.numAt:s.numAt+16], s.next)
		s.batch = append(s.batch, s.frame...)
	}
}

// dueAt is when a message is due: those of all connections take turns.
func (s *sender) dueAt(n uint64) time.Time {
	turn := float64(n)*float64(s.Conns) + float64(s.number)
	return s.begin.Add(time.Duration(turn / s.Rate * float64(time.Second)))
}

// putNumber writes a number in decimal at the end of b, which is blank before it.
func putNumber(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0 && n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// wait reads acknowledgements, for no longer than until the next message is due.
func (s *sender) wait(ctx context.Context) error {
	until := s.end
	if s.Rate > 0 && (s.QoS == 0 || len(s.free) > 0) {
		if due := s.dueAt(s.next); due.Before(until) {
			until = due
		}
		if s.inFlight == 0 {
			timer := time.NewTimer(time.Until(until))
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			return ctx.Err()
		}
	}
	return s.read(until)
}

// read takes what has come by a moment; that nothing has is no error.
func (s *sender) read(until time.Time) error {
	if err := s.conn.SetReadDeadline(until); err != nil {
		return err
	}
	full, begun := len(s.free) == 0, time.Now()
	n, err := s.conn.Read(s.in)
	if full {
		s.waited.Add(int64(time.Since(begun)))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the broker closed the connection")
		}
		return err
	}
	return s.take(s.in[:n])
}

// take goes through acknowledgements, which are four bytes each.
func (s *sender) take(in []byte) error {
	if len(s.pending) > 0 {
		in = append(s.pending, in...)
	}
	now := time.Now()
	for ; len(in) >= 4; in = in[4:] {
		id := binary.BigEndian.Uint16(in[2:])
		if in[1] != 2 || id == 0 || int(id) > len(s.due) {
			return fmt.Errorf("the broker sent % x, which answers nothing", in[:4])
		}
		switch in[0] {
		case pubrec:
			if _, err := s.conn.Write([]byte{pubrel, 2, in[2], in[3]}); err != nil {
				return err
			}
		case puback, pubcomp:
			s.free = append(s.free, id)
			s.inFlight--
			s.acked.Add(1)
			s.latencies.record(now.Sub(s.due[id-1]))
		default:
			return fmt.Errorf("the broker sent % x, which answers nothing", in[:4])
		}
	}
	s.pending = append(s.pending[:0], in...)
	return nil
}

// finish waits for the last acknowledgements, and says goodbye. At QoS 0 a broker
// that answers a goodbye, by closing the connection, has read what came before it.
func (s *sender) finish() error {
	deadline := s.end.Add(settle)
	for s.inFlight > 0 {
		if !time.Now().Before(deadline) {
			return fmt.Errorf("%d messages were not acknowledged within %s of the end", s.inFlight, settle)
		}
		if err := s.read(deadline); err != nil {
			return err
		}
	}
	deadline = s.end.Add(draining)
	if err := s.conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := s.conn.Write([]byte{disconnect, 0}); err != nil || s.QoS > 0 {
		return err
	}
	begun := time.Now()
	defer func() { s.waited.Add(int64(time.Since(begun))) }()
	if _, err := s.conn.Read(s.in); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the broker has not read everything %s after the end: %w", draining, err)
	}
	return nil
}
