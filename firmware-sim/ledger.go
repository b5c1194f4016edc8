package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"tocsin/firmware-sim/payload"
)

// A ledger is a file of JSON lines: one of kind "run" at the top, and for each
// message one of kind "sent" before it is handed to the connection and one of
// kind "acked" after the broker has answered. What was sent and not acknowledged
// may have been heard or not. A "said" is a message of a connection's beginning,
// which nothing follows from, a "tried" an attempt to connect that had to be refused,
// and a "control" what an operator did.
type ledger struct {
	mu sync.Mutex
	w  io.Writer // nil: nothing is kept
}

// An Entry is one line of a ledger.
type Entry struct {
	Line string    `json:"line"` // run, sent, acked, said, tried or control
	At   time.Time `json:"at"`   // real time

	// Only in run.
	Profile string            `json:"profile,omitempty"`
	Seed    uint64            `json:"seed,omitempty"`
	Speed   float64           `json:"speed,omitempty"`
	QoS     byte              `json:"qos,omitempty"`
	Devices int               `json:"devices,omitempty"`
	StartAt time.Time         `json:"start_at,omitzero"`
	Expect  map[string]Expect `json:"expect,omitempty"`

	// In sent and acked: a message is known by these four.
	Device string `json:"device,omitempty"`
	Boot   string `json:"boot,omitempty"`
	Seq    uint64 `json:"seq,omitempty"`
	Copy   int    `json:"copy,omitempty"`

	// Only in sent and said. A payload that is not JSON is in Raw.
	Topic    string          `json:"topic,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"`
	Raw      []byte          `json:"raw,omitempty"`
	Faults   []string        `json:"faults,omitempty"`
	Expected []Crossing      `json:"expected,omitempty"`

	// What was done in control, and what came of it in tried.
	Did string `json:"did,omitempty"`
}

func (l *ledger) header(p *Profile, o Options, devices int) error {
	return l.write(Entry{
		Line: "run", At: time.Now(), Profile: p.Name, Seed: o.Seed, Speed: o.Speed, QoS: o.QoS,
		Devices: devices, StartAt: o.StartAt, Expect: p.Expect,
	})
}

func (l *ledger) sent(m Sent) error {
	e := Entry{
		Line: "sent", At: m.Sent, Device: m.Device, Boot: m.Boot, Seq: m.Seq, Copy: m.Copy,
		Topic: m.Topic, Faults: m.Faults, Expected: m.Expected,
	}
	e.hold(m.Payload)
	return l.write(e)
}

func (l *ledger) said(device string, m payload.Message) error {
	e := Entry{Line: "said", At: time.Now(), Device: device, Topic: m.Topic}
	e.hold(m.Payload)
	return l.write(e)
}

func (l *ledger) control(did string) error {
	return l.write(Entry{Line: "control", At: time.Now(), Did: did})
}

func (l *ledger) tried(device, did string) error {
	return l.write(Entry{Line: "tried", At: time.Now(), Device: device, Did: did})
}

// hold keeps a payload as it is.
func (e *Entry) hold(payload []byte) {
	if json.Valid(payload) {
		e.Payload = payload
	} else {
		e.Raw = payload
	}
}

// acked also tells the observer, so that one lock keeps both in order.
func (l *ledger) acked(m Sent, observe func(Sent)) error {
	if !m.Acked.IsZero() {
		if err := l.write(Entry{Line: "acked", At: m.Acked, Device: m.Device, Boot: m.Boot, Seq: m.Seq, Copy: m.Copy}); err != nil {
			return err
		}
	}
	if observe != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		observe(m)
	}
	return nil
}

func (l *ledger) write(e Entry) error {
	if l.w == nil {
		return nil
	}
	e.At = e.At.UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	return nil
}
