package broker

import (
	"encoding/binary"
	"errors"

	"github.com/mochi-mqtt/server/v2/packets"
)

// headSize is the most bytes of a CONNECT up to its protocol level: type and
// length 5, name 2 and 6, level 1.
const headSize = 5 + 2 + 6 + 1

var errUnspoken = errors.New("not a protocol level that is spoken here (MQTT 3.1, 3.1.1 and 5 are)")

// hear looks at the first bytes of a connection. A CONNECT of another protocol
// level is answered here: the library decodes it by the rules of a level that it
// is not, and answers with a code that MQTT 3 does not have.
func (c *conn) hear(b []byte) error {
	if len(c.head) == headSize {
		return nil
	}
	c.head = append(c.head, b[:min(len(b), headSize-len(c.head))]...)
	answer := unspoken(c.head)
	if answer == nil {
		return nil
	}
	c.broker.refuseConnection(c, &refusal{"protocol", errUnspoken})
	return errors.Join(errUnspoken, c.send(answer))
}

// unspoken returns the answer to a CONNECT of a protocol level that is not
// spoken here, or nil: it is another packet, or not all there.
func unspoken(head []byte) []byte {
	if len(head) == 0 || head[0]>>4 != packets.Connect {
		return nil
	}
	_, n := binary.Uvarint(head[1:])
	if n <= 0 || len(head) < 1+n+2 {
		return nil
	}
	name := head[1+n+2:]
	size := int(binary.BigEndian.Uint16(head[1+n:]))
	if len(name) <= size {
		return nil
	}
	level := name[size]
	switch string(name[:size]) {
	case "MQTT":
		if level == 4 || level == 5 {
			return nil
		}
	case "MQIsdp":
		if level == 3 {
			return nil
		}
	default: // not MQTT at all
		return nil
	}
	if level&0x7f == 5 { // the high bit is how brokers say that they are a bridge
		return []byte{packets.Connack << 4, 3, 0, packets.ErrUnsupportedProtocolVersion.Code, 0}
	}
	return []byte{packets.Connack << 4, 2, 0, packets.Err3UnsupportedProtocolVersion.Code}
}

// vet looks at a CONNECT before the library does, which would refuse what is
// allowed, and answers MQTT 3 with the codes of MQTT 5.
func (c *conn) vet(pk *packets.Packet) error {
	if len(pk.Connect.Password) == 0 { // allowed, and as good as none
		pk.Connect.PasswordFlag = false
	}
	if pk.ProtocolVersion == 5 {
		return nil
	}
	if pk.Connect.ClientIdentifier == "" && !pk.Connect.Clean {
		err := refused("client_id", "no client id, and a session to be kept")
		c.broker.refuseConnection(c, err)
		return errors.Join(err, c.send([]byte{packets.Connack << 4, 2, 0, packets.Err3ClientIdentifierNotValid.Code}))
	}
	if code := pk.ConnectValidate(); code != packets.CodeSuccess { // to be closed without an answer
		err := refused("protocol", "malformed CONNECT: %w", code)
		c.broker.refuseConnection(c, err)
		return err
	}
	return nil
}
