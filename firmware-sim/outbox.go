package sim

import (
	"sync"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// An outbox is what a device has sent and the broker has not acknowledged. The
// MQTT client sends its contents again when it connects, as a device with a
// memory does.
//
// It is also where an acknowledgement is seen: the client takes a message out
// of its store when the broker's answer has come, and only then. Its tokens
// cannot be asked: one that was waiting when the connection broke completes
// without an error as soon as the message is sent again (paho.mqtt.golang
// v1.5.1, messageIds.claimID), and a ledger built on that would lie.
type outbox struct {
	mu    sync.Mutex
	keys  []string // in the order in which they were put
	held  map[string]packets.ControlPacket
	acked chan struct{} // gets one value for each message taken out
}

var _ mqtt.Store = (*outbox)(nil)

func newOutbox() *outbox {
	return &outbox{held: make(map[string]packets.ControlPacket), acked: make(chan struct{}, 1)}
}

// Open, Close and Reset do nothing: the contents outlive every connection.
func (b *outbox) Open()  {}
func (b *outbox) Close() {}
func (b *outbox) Reset() {}

// Put keeps a message.
func (b *outbox) Put(key string, p packets.ControlPacket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[key] == nil {
		b.keys = append(b.keys, key)
	}
	b.held[key] = p
}

// Get returns a message that is kept.
func (b *outbox) Get(key string) packets.ControlPacket {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held[key]
}

// All returns what is kept, oldest first.
func (b *outbox) All() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.keys...)
}

// Del takes a message out: it was acknowledged. An answer to nothing changes nothing.
func (b *outbox) Del(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[key] == nil {
		return
	}
	delete(b.held, key)
	for i, k := range b.keys {
		if k == key {
			b.keys = append(b.keys[:i], b.keys[i+1:]...)
			break
		}
	}
	select {
	case b.acked <- struct{}{}:
	default: // one message is in flight, so one value is waited for
	}
}
