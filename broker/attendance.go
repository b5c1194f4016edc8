package broker

import (
	"errors"
	"net"
	"os"

	"github.com/mochi-mqtt/server/v2/packets"
)

// A ClientEvent says that a client of the embedded broker has come or gone. Those
// of one client id come one after the other, and in order with its messages: it
// comes before the first of a connection is handled, and goes after the last.
type ClientEvent struct {
	Client string
	Kind   Attendance
	Reason string // of Dropped: how that was noticed, in words
}

// Attendance is what a client does, or what is done to it.
type Attendance uint8

const (
	Connected    Attendance = iota // it was let in
	Disconnected                   // it said goodbye
	Dropped                        // it is gone without a word
	Closed                         // we hung up, or it came back before it was missed: nothing is known
)

// attend tells that a client was let in.
func (e *Embedded) attend(c *conn) {
	if e.clients == nil {
		return
	}
	c.attended = true
	e.clients(ClientEvent{Client: c.client.ID, Kind: Connected})
}

// depart tells how the connection of a client that was let in has ended. It is
// called when all that came by it was handled, and before anybody else can have
// the client id.
func (e *Embedded) depart(c *conn) {
	if !c.attended {
		return
	}
	e.mu.Lock()
	stopping := e.stopping
	e.mu.Unlock()
	ev := ClientEvent{Client: c.client.ID, Kind: Closed}
	if !stopping { // otherwise it is we who do not hear
		ev.Kind, ev.Reason = ending(c.client.StopCause())
	}
	e.clients(ev)
}

// ending reads off the first reason why a connection ended how its client went.
func ending(cause error) (kind Attendance, reason string) {
	code := packets.Code{}
	op := (*net.OpError)(nil)
	switch {
	case cause == nil: // a panic, or it was not let in after all
		return Closed, ""
	case errors.As(cause, &code):
		switch code {
		case packets.CodeDisconnect, packets.CodeDisconnectWillMessage:
			return Disconnected, ""
		case packets.ErrSessionTakenOver, packets.ErrServerShuttingDown, packets.ErrImplementationSpecificError:
			return Closed, ""
		}
		return Dropped, "protocol error: " + code.Reason
	case errors.Is(cause, errRefused):
		return Closed, ""
	case errors.As(cause, &op) && op.Op == "write":
		return Dropped, "connection dropped"
	case errors.Is(cause, os.ErrDeadlineExceeded):
		return Dropped, "keep-alive expired"
	}
	return Dropped, "connection dropped"
}
