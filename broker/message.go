package broker

import (
	"context"
	"time"
)

// A Message is one PUBLISH as it arrived.
type Message struct {
	Topic    string
	Payload  []byte // valid until the handler returns
	Client   string // MQTT client id of the sender; "" from an external broker
	User     string // who it authenticated as; "" for anonymous
	PacketID uint16 // 0 at QoS 0
	QoS      byte
	Dup      bool
	Retained bool // replayed on subscribe: of unknown age
	Will     bool // its sender is gone: the embedded broker sends it in its place
	Received time.Time
	Trace    string // traceparent, if the sender has said one by a user property of MQTT 5; not checked
}

// A Receipt waits until what a message decided is safe. An error means that it
// is not, and that the message must come again. A nil Receipt is safe already.
type Receipt func(ctx context.Context) error

// A Handler takes a message in. It returns without waiting for the disk.
type Handler func(Message) Receipt
