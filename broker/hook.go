package broker

import (
	"errors"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// maxSubscriptions is how many filters one client may subscribe to.
const maxSubscriptions = 100

// hook is where the library asks us. It asks about every packet what each hook
// provides, so there is one hook.
type hook struct {
	mqtt.HookBase
	broker *Embedded
}

func (h *hook) ID() string { return "tocsin" }

func (h *hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnPublish, mqtt.OnACLCheck, mqtt.OnPacketRead,
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnAuthPacket, mqtt.OnSubscribe, mqtt.OnUnsubscribe,
		mqtt.OnPublishDropped, mqtt.OnWill, mqtt.OnWillSent, mqtt.OnClientExpired:
		return true
	}
	return false
}

// connOf returns our side of a client; every client has one.
func connOf(cl *mqtt.Client) *conn { return cl.Net.Conn.(*conn) }

// OnConnect decides about a client. Its error closes the connection; the answer
// is written here, since the library knows only one.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c := connOf(cl)
	c.client = cl
	code, err := h.broker.admit(c, pk)
	if err == nil {
		return nil
	}
	h.broker.refuseConnection(c, err)
	if cl.Properties.ProtocolVersion < 5 {
		switch code {
		case packets.ErrClientIdentifierNotValid, packets.ErrServerUnavailable:
		case packets.ErrServerBusy:
			code = packets.ErrServerUnavailable
		default:
			code = packets.Err3NotAuthorized
		}
	}
	return errors.Join(err, h.broker.server.SendConnack(cl, code, false, nil))
}

// OnConnectAuthenticate comes after OnConnect, which has decided.
func (h *hook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnAuthPacket refuses AUTH: no method was agreed on at CONNECT.
func (h *hook) OnAuthPacket(_ *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	return pk, packets.ErrProtocolViolation
}

// OnPacketRead counts what a client asks of us and mends what the library would
// do to CONNECT and to two kinds of PUBLISH.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c.client == nil && pk.FixedHeader.Type == packets.Connect {
		if err := c.vet(&pk); err != nil {
			return pk, errors.Join(err, packets.ErrRejectPacket) // it heeds no other error
		}
		return pk, nil
	}
	if pk.FixedHeader.Type != packets.Pubrel { // which only ends what was counted
		c.taken++
	}
	if pk.FixedHeader.Type != packets.Publish {
		return pk, nil
	}
	// It drops topics that begin with $SYS or $share and never answers, so the
	// client sends them for ever. Under this name they are denied like others,
	// and so are those that would keep it busy.
	if strings.HasPrefix(pk.TopicName, "$") || tooDeep(pk.TopicName) {
		pk.TopicName = "$"
	}
	// It takes a packet id that waits for its PUBREL for a repetition and
	// confirms it, whatever the message says. If it says something else, the
	// client has lost its memory and this is a new message.
	if pk.FixedHeader.Qos == 2 {
		if _, open := cl.State.Inflight.Get(pk.PacketID); open && c.seen != nil &&
			!c.seen.has(pk.PacketID, h.broker.fingerprintOf(&pk)) && !c.awaits(pk.PacketID) {
			cl.State.Inflight.Delete(pk.PacketID)
			cl.State.Inflight.IncreaseReceiveQuota()
		}
	}
	return pk, nil
}

// awaits says whether a message of this packet id is not yet settled.
func (c *conn) awaits(id uint16) bool {
	for i := range c.pending {
		if c.pending[i].qos == 2 && c.pending[i].id == id {
			return true
		}
	}
	return false
}

// OnACLCheck is asked about a topic that a client publishes to, a filter that it
// subscribes to, and a topic that is about to be delivered to it. A denied
// PUBLISH is answered with reason 0x87 under MQTT 5. MQTT 3 knows no such
// answer: OnPublish takes the message and drops it, as Mosquitto does, since the
// library would close the connection and the client would come back with it.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	c := connOf(cl)
	if !write {
		return coversAny(c.subscribe, unshared(topic))
	}
	if cl.Properties.ProtocolVersion < 5 {
		return true
	}
	ok := coversAny(c.publish, topic)
	if !ok {
		h.broker.deny(c, topic)
	}
	return ok
}

// OnPublish hands a message to the handler. The library acknowledges the message
// when this returns nil or CodeSuccessIgnore, and does strange things for every
// other error; the acknowledgement waits in the connection for the receipt.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	e, c := h.broker, connOf(cl)
	if cl.Properties.ProtocolVersion < 5 && !coversAny(c.publish, pk.TopicName) {
		e.deny(c, pk.TopicName)
		return pk, packets.CodeSuccessIgnore
	}
	var sum uint64
	if pk.FixedHeader.Qos > 0 {
		sum = e.fingerprintOf(&pk)
		if pk.FixedHeader.Dup && c.seen.has(pk.PacketID, sum) {
			e.metrics.duplicates.Inc()
			return pk, packets.CodeSuccessIgnore
		}
	}
	receipt := e.handle(Message{
		Topic:    pk.TopicName,
		Payload:  pk.Payload,
		Client:   cl.ID,
		User:     c.user,
		PacketID: pk.PacketID,
		QoS:      pk.FixedHeader.Qos,
		Dup:      pk.FixedHeader.Dup,
		Received: time.Now(),
		Trace:    traceOf(&pk),
	})
	c.await(pk.PacketID, pk.FixedHeader.Qos, sum, receipt)
	if !e.subscribed() {
		return pk, packets.CodeSuccessIgnore
	}
	pk.FixedHeader.Retain = false // nothing is retained
	return pk, nil
}

// traceOf is what a sender says of its trace.
func traceOf(pk *packets.Packet) string {
	for _, p := range pk.Properties.User {
		if p.Key == "traceparent" {
			return p.Val
		}
	}
	return ""
}

// OnSubscribe grants QoS 0: see DESIGN.md. Filters beyond the limits are made
// invalid, which is the only refusal that the library leaves us.
func (h *hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	have := cl.State.Subscriptions.Len()
	for i := range pk.Filters {
		pk.Filters[i].Qos = 0
		if have+i >= maxSubscriptions || tooDeep(pk.Filters[i].Filter) {
			pk.Filters[i].Filter = ""
		}
	}
	return pk
}

func (h *hook) OnUnsubscribe(_ *mqtt.Client, pk packets.Packet) packets.Packet {
	for i := range pk.Filters {
		if tooDeep(pk.Filters[i].Filter) {
			pk.Filters[i].Filter = ""
		}
	}
	return pk
}

func (h *hook) OnPublishDropped(*mqtt.Client, packets.Packet) { h.broker.metrics.dropped.Inc() }

func (h *hook) OnWill(_ *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	will.Retain = false
	return will, nil
}

// OnWillSent takes a Will in like a message. Nobody waits for its receipt and
// nobody would send it again.
func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	c, ok := cl.Net.Conn.(*conn)
	if !ok {
		return
	}
	h.broker.takeWill(Message{
		Topic:    pk.TopicName,
		Payload:  pk.Payload,
		Client:   cl.ID,
		User:     c.user,
		QoS:      pk.FixedHeader.Qos,
		Will:     true,
		Received: time.Now(),
	})
}

// OnClientExpired removes what the library leaves behind of a session.
func (h *hook) OnClientExpired(cl *mqtt.Client) { h.broker.server.UnsubscribeClient(cl) }
