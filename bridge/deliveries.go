package bridge

import (
	"errors"
	"time"

	"tocsin/bridge/preset"
	"tocsin/rules"
)

// ErrNoEvent says that the store knows no such event, any more or at all.
var ErrNoEvent = errors.New("no such event")

// ErrNoDelivery says that the store knows no such delivery, any more or at all.
var ErrNoDelivery = errors.New("no such delivery")

// A DeliveryState says how a delivery stands.
type DeliveryState string

const (
	DeliveryWaiting    DeliveryState = "waiting"    // owed: to be sent, or being sent
	DeliveryDelivered  DeliveryState = "delivered"  // accepted by the endpoint
	DeliveryDead       DeliveryState = "dead"       // given up
	DeliveryCancelled  DeliveryState = "cancelled"  // not to be sent, by somebody's wish
	DeliverySuperseded DeliveryState = "superseded" // another message told it
	DeliveryDropped    DeliveryState = "dropped"    // there was no room for it
)

// A DeliveryQuery selects deliveries. What is not set selects all.
type DeliveryQuery struct {
	Endpoint string
	Alarm    string // its key, as receivers have it
	Device   string
	Type     rules.Type
	State    DeliveryState
	Since    time.Time // committed then or later
	Until    time.Time // committed before

	Limit  int    // of the page; 0 means 50, and 1000 is the most
	Cursor string // of the page before; "" is the first page
}

// A DeliveryPage is a part of a list. Few rows, or none, do not mean that the
// list has ended: looking through many deliveries takes several pages.
type DeliveryPage struct {
	Deliveries []DeliveryInfo
	Cursor     string // of the next page, "" after the last
}

// DeliveryInfo is a delivery in a list, with the outcome of every attempt that was
// finished before the list was asked for.
type DeliveryInfo struct {
	Event     int64
	ID        string // of the event
	Endpoint  string
	Alarm     string
	Type      rules.Type
	At        time.Time // of the event
	Committed time.Time
	State     DeliveryState
	Attempts  int       // those of before a replay included
	Due       time.Time // of the next attempt; zero: not before the alarm's earlier ones, or now
	Status    int       // of the last attempt, as are Error and Ended
	Error     string    // or why it was ended without one
	Ended     time.Time
	SentAs    string // id under which it was sent, where that is not ID
}

// A DeliveryDetail is everything that is kept of a delivery.
type DeliveryDetail struct {
	DeliveryInfo
	Data     []byte // the event as JSON
	Attempts []Attempted
}

// Attempted is one attempt as the log has it. Of many attempts those in the
// middle are not kept.
type Attempted struct {
	Number  int // 1, 2, …
	At      time.Time
	Took    time.Duration
	Timings []byte // JSON, see Outcome
	Status  int
	Error   string
	Answer  []byte // another's bytes: to be escaped when shown
	Cut     bool   // Answer is not the whole answer
}

// A Selection says which deliveries of an endpoint are replayed or discarded.
// What is not set selects all.
type Selection struct {
	Endpoint string
	ID       string // of one event
	Alarm    string // its key, as receivers have it
	Since    time.Time
	Until    time.Time
	Dead     bool // Replay: only what was given up

	// Latest selects for Replay the newest delivery of each alarm that tells more
	// than a remark, and for Discard all but that.
	Latest bool

	Reason  string // Discard: why, for the log
	OnlySay bool   // change nothing, only count
}

// Requests are those that tell, or told, an endpoint of a delivery, as they would be
// made now. There are none for an endpoint that is not configured any more.
func (b *Bridge) Requests(d *DeliveryDetail) []Request {
	l := b.lanes.get(d.Endpoint)
	if l == nil {
		return nil
	}
	e := l.endpoint.Load()
	if e.Requests == nil {
		return nil
	}
	return e.Requests(preset.Notice{ID: d.ID, Type: d.Type, Alarm: d.Alarm, At: d.At, Data: d.Data})
}
