package bridge

import (
	"context"
	"errors"
	"iter"
	"time"

	"tocsin/broker"
	"tocsin/rules"
)

// A Source calls handle for each message until ctx ends. It acknowledges a
// message when its receipt is good, and never before. [broker.Embedded] and
// [broker.Client] are sources.
type Source interface {
	Run(ctx context.Context, handle broker.Handler) error
}

// A Store is the bridge's memory: what has been decided, and who is still to be
// told. Commit has one caller at a time; everything else may be called
// concurrently. No method hands out a transaction.
type Store interface {
	// Commit writes states and the events they made: atomic, and durable when
	// nil. An event whose id is known is ignored. After [ErrFull] nothing was
	// written and the store goes on; after any other error the store is broken
	// and the process must end. An empty batch is written too.
	//
	// The first batch says that messages are taken from now on, and so does the first
	// after [ErrFull] that is no probe: from then on the store marks that the process
	// lives, and hears.
	//
	// A transition need not have an alarm: one without a State.Key writes its
	// events alone, which is how the bridge tells of itself (endpoint.failing,
	// test.ping). Such events are told in order of their Alarm.Key, their
	// Device.ID, their Source or their Endpoint, whichever is set first; those with
	// none of them form one order.
	Commit(ctx context.Context, b Batch) error

	// States yields the states of alarms whose State.Key is from or comes after it,
	// in the order of bytes: all of them with "", as at a start and after a failed
	// commit.
	States(ctx context.Context, from string) iter.Seq2[rules.State, error]

	// Claim leases deliveries that an endpoint is owed now, in the order in which
	// they were committed; next is when another will fall due (zero: not before
	// something is committed or finished). A delivery is leased until it is
	// finished; the lease is in memory, so a restart makes it due again. While an
	// alarm has an earlier delivery that is unfinished at the same endpoint, its
	// later ones are not handed out.
	//
	// Whoever is handed a delivery is about to attempt it: one that was handed out
	// and not finished when the process died counts as an attempt made.
	Claim(ctx context.Context, ask Ask) (due []Delivery, next time.Time, err error)

	// Finish records how attempts ended. It does not wait for the disk: outcomes
	// ride on the next commit, 100 ms at most, and a crash before that makes the
	// delivery due again under the same id.
	Finish(ctx context.Context, outcomes []Outcome) error

	// Log is what is kept for people: lists, counts, retention.
	Log() Log

	// Access is who may ask a running bridge, and what they have changed.
	Access() Access

	// Registry keeps the endpoints that were registered while the bridge ran.
	Registry() Registry
}

// Log is the store for people and for gauges: it reads what happened, and changes
// what is owed by their wish.
type Log interface {
	// Endpoints returns the last committed state of every endpoint that anything
	// was ever committed for; one whose state was never set has only its name.
	Endpoints(ctx context.Context) ([]EndpointState, error)
	// Backlog counts what an endpoint is still owed and says since when.
	Backlog(ctx context.Context, endpoint string) (Backlog, error)
	// Deliveries lists deliveries, the newest first, a page at a time.
	Deliveries(ctx context.Context, q DeliveryQuery) (DeliveryPage, error)
	// Delivery returns one delivery with all that is kept of it, or [ErrNoDelivery].
	Delivery(ctx context.Context, id, endpoint string) (DeliveryDetail, error)
	// Event returns the event of an id, or [ErrNoEvent]: it was never committed, or is
	// trimmed.
	Event(ctx context.Context, id string) (rules.Event, error)
	// Replay makes deliveries that have ended owed again, under the same ids and
	// in order within each alarm. Discard ends those that are owed as cancelled,
	// but for what is being attempted. Both return how many deliveries that is,
	// and write in slices, so that commits need not wait: after an error some may
	// be done, and the same call does the rest.
	Replay(ctx context.Context, s Selection) (int, error)
	Discard(ctx context.Context, s Selection) (int, error)
	// Bound drops from what an endpoint is owed until it is within bounds, by worth
	// and then by age, and says how many deliveries that were. An alarm whose start
	// the endpoint may have heard keeps its end. It costs next to nothing while
	// there is room.
	Bound(ctx context.Context, endpoint string, b Bounds) (dropped int, err error)
	// Fold sums up what was [Folded] for an endpoint and not told yet. What is folded
	// from then on is of the next Fold.
	Fold(ctx context.Context, endpoint string) (Fold, error)
	// EndFold ends what a Fold summed up as Superseded, since a digest has told it,
	// or as Dead; it writes in slices, like Discard.
	EndFold(ctx context.Context, endpoint string, mark int64, fate Fate, reason string) (int, error)
	// Size is the store's size on disk in bytes. It fails when the store is broken.
	Size() (int64, error)
	// Trim deletes what was settled before the given time, in short slices,
	// and then the oldest settled until the store is at most maxBytes (0: no limit).
	Trim(ctx context.Context, before time.Time, maxBytes int64) error
}

// ErrFull is a commit refused for want of space. Nothing was written.
var ErrFull = errors.New("store is full")

// A Batch is what one commit writes.
type Batch struct {
	Transitions []rules.Transition
	Endpoints   []EndpointState // changes of endpoints themselves
	Also        []Also
	Probe       bool // it says nothing of whether messages are taken: empty, it asks whether there is space again
}

// Also makes an event that is in the store owed to one more endpoint. One that
// is, or was, owed to it already is left alone, and so is an unknown event.
type Also struct {
	Event    int64 // the store's number
	Endpoint string
}

// An Ask says which deliveries a lane wants.
type Ask struct {
	Endpoint string
	Limit    int // deliveries at most
	Stale    Stale
}

// Stale says what becomes of several deliveries of one alarm that wait for the
// same endpoint. What is not sent for it is Superseded, and stays in the log.
type Stale uint8

const (
	// StaleAll sends every event.
	StaleAll Stale = iota
	// StaleLatest sends the newest state, and what was remarked after it
	// (reminders, acknowledgements). An alarm may begin with alarm.escalated then,
	// and an alarm.resolved may come to a receiver that was not told of a start.
	StaleLatest
	// StaleCollapse sends an episode of which nothing can have been heard, and
	// which is over, as one alarm.occurred. Everything else is sent as it is.
	StaleCollapse
)

// A Delivery is one event owed to one endpoint. Its body is made of Type, At
// and Data alone, so that it is the same in every attempt.
type Delivery struct {
	Event    int64  // the store's own number of the event, ascending in order of commit
	ID       string // the event's id: the webhook-id
	Endpoint string
	Alarm    string // alarm key: deliveries of one alarm are sent in order
	Type     rules.Type
	At       time.Time
	Data     []byte    // the event as JSON
	Attempt  int       // attempts made before this one
	Owed     time.Time // since when: the event's commit, or its replay

	// Kept is what Outcome.Keep left for the alarm the last time. It must not be
	// changed.
	Kept map[string]string

	// Folded says that the start of the alarm's episode was folded, and that
	// nothing of the episode was told by itself since.
	Folded bool
}

// Fate is how an attempt left a delivery.
type Fate uint8

const (
	Delivered  Fate = iota // accepted by the endpoint
	Retry                  // to be tried again at Due
	Dead                   // given up; kept for replay
	Released               // not attempted: as it was before it was claimed
	Superseded             // not to be sent: another message tells it
	Cancelled              // not to be sent
	Folded                 // not to be sent by itself: it waits for a digest, see [Log.Fold]
)

// An Outcome ends the lease of a delivery.
type Outcome struct {
	Event    int64
	Endpoint string
	Fate     Fate
	Due      time.Time // Retry only
	Attempt  int       // attempts made so far, this one included
	Status   int       // HTTP status, 0 without an answer
	Error    string    // what happened in words, without secrets
	At       time.Time

	// Unheard says that the receiver cannot have taken the message: no connection
	// was made, or it was refused by its status. It is what [StaleCollapse] goes by.
	Unheard bool

	// Keep replaces what is kept for the alarm at this endpoint, in the same
	// transaction as the outcome; see [Delivery.Kept]. Nil leaves it as it is, an
	// empty map forgets it.
	Keep map[string]string

	// For the log. They are the first to go when too much waits for the disk.
	Took    time.Duration
	Timings []byte // how long its parts took, as JSON
	Answer  []byte // the beginning of the answer: 1 KiB of one that accepted, 16 KiB of another are kept
	Cut     bool   // Answer is not the whole answer
}

// A Fold is what a digest tells.
type Fold struct {
	Mark     int64 // for [Log.EndFold]; the same while nothing is added
	Events   int
	Alarms   int       // they are of
	Open     int       // of these: those whose newest event is not their end
	Since    time.Time // when the first of it was folded
	Until    time.Time // and the last
	Types    map[rules.Type]int
	Severity map[rules.Severity]int // of the alarms, by their newest event
	Newest   []rules.Event          // of the alarms, the worst first; not all of them
}

// EndpointState is an endpoint's switch. A disabled endpoint is owed what it
// was owed and is sent nothing.
type EndpointState struct {
	Name     string
	Disabled bool
	Reason   string
	Target   string // fingerprint of the URL that was disabled: another URL starts enabled
	Since    time.Time
	Memo     string // what the lane has to know after a restart, in a form of its own
}

// Bounds are how much an endpoint may be owed. What is zero has no bound.
type Bounds struct {
	Count int
	Bytes int64 // of the events as JSON
}

// Backlog is what an endpoint is still owed.
type Backlog struct {
	Count   int       // deliveries that have not ended
	Bytes   int64     // of their events
	Dead    int       // given up, kept for replay
	Dropped int       // for want of room, since the store was made
	Oldest  time.Time // since when the first of them is owed; zero when Count is 0
}
