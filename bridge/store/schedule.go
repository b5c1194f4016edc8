package store

import (
	"container/heap"
	"math"
	"sync"
	"time"

	"tocsin/bridge"
)

const (
	// A lane stops taking events in from the disk while it holds this many
	// alarms, or this many deliveries: the rest of a backlog stays on disk.
	maxLines = 4096
	maxHeld  = 65536

	takeInRows  = 256  // deliveries taken in at a time
	takeInRange = 4096 // events looked at for them
)

// A lane is what one endpoint is owed. Its events are those after a position,
// on disk, and those in its lines, in memory. Everything but claiming is
// guarded by DB.mu.
type lane struct {
	num  int64
	name string
	record
	written record // what the table endpoint holds

	behind bool  // there are events that were not taken in
	seen   int64 // behind: events up to this one were taken in

	lines  map[string]*line // by alarm
	leased map[int64]*line  // by the event that is under way
	fresh  lineHeap         // lines whose head was never tried
	retry  lineHeap         // lines whose head was, by when it is due
	held   int              // deliveries in lines
	turn   bool             // next choice between two ready heads

	claiming sync.Mutex // one Claim at a time takes in from the disk
}

// A record is a lane as the table endpoint holds it.
type record struct {
	cursor int64 // events up to this one have a row, or are not for this endpoint
	owed   int
	dead   int
	known  bool // state was committed, not made up
	state  bridge.EndpointState
}

// A line is the deliveries of one alarm to one endpoint, in order. Only its
// head is ever handed out; a line that is not leased is in one heap of its lane.
//
// Either every delivery of a line has a row (or has one waiting to be written),
// or none has. An event after the cursor without a row is therefore always
// later than those of its alarm that have one.
type line struct {
	alarm   string
	nums    []int64 // events, ascending; never empty
	rowed   bool
	attempt int       // of the head
	due     time.Time // of the head; zero: now
}

func newLane(num int64, name string, cursor int64) *lane {
	return &lane{
		num: num, name: name,
		record: record{cursor: cursor, state: bridge.EndpointState{Name: name}},
		lines:  make(map[string]*line),
		leased: make(map[int64]*line),
	}
}

// add takes a delivery in. It reports whether the delivery has to wait behind
// one that failed and must be set aside: written as a row, so that the cursor
// is not held back by it.
func (l *lane) add(num int64, alarm string) (aside bool) {
	l.held++
	if ln := l.lines[alarm]; ln != nil {
		ln.nums = append(ln.nums, num)
		return ln.rowed
	}
	ln := &line{alarm: alarm, nums: []int64{num}}
	l.lines[alarm] = ln
	l.ready(ln)
	return false
}

// restore takes in a delivery that has a row, at start, in order of events.
func (l *lane) restore(num int64, alarm string, attempt int, due time.Time) {
	l.held++
	if ln := l.lines[alarm]; ln != nil {
		ln.nums = append(ln.nums, num)
		return
	}
	ln := &line{alarm: alarm, nums: []int64{num}, rowed: true, attempt: attempt, due: due}
	l.lines[alarm] = ln
	l.ready(ln)
}

// commit adds an event that has just been written.
func (l *lane) commit(num int64, alarm string) (aside bool) {
	l.owed++
	switch {
	case l.behind:
		return false
	case l.room() <= 0:
		l.behind, l.seen = true, num-1
		return false
	}
	return l.add(num, alarm)
}

// room says how many deliveries may be taken in now.
func (l *lane) room() int { return min(takeInRows, maxLines-len(l.lines), maxHeld-l.held) }

// ready puts a line that is not leased into its heap.
func (l *lane) ready(ln *line) {
	if ln.attempt == 0 {
		heap.Push(&l.fresh, ln)
		return
	}
	heap.Push(&l.retry, ln)
}

// pick leases heads that are due until limit are picked. A backlog of new
// events and one of repeated attempts take turns, so neither starves the other.
func (l *lane) pick(now time.Time, limit int, picked []*line) []*line {
	for len(picked) < limit {
		again := len(l.retry) > 0 && !l.retry[0].due.After(now)
		first := len(l.fresh) > 0
		var from *lineHeap
		switch {
		case first && !(again && l.turn):
			from = &l.fresh
		case again:
			from = &l.retry
		default:
			return picked
		}
		if first && again {
			l.turn = !l.turn
		}
		ln := heap.Pop(from).(*line)
		l.leased[ln.nums[0]] = ln
		picked = append(picked, ln)
	}
	return picked
}

// next says when another head falls due: zero when only a commit or a finished
// attempt can bring one.
func (l *lane) next(now time.Time) time.Time {
	switch {
	case len(l.fresh) > 0, l.behind && l.room() > 0:
		return now
	case len(l.retry) > 0 && l.retry[0].due.Before(now):
		return now
	case len(l.retry) > 0:
		return l.retry[0].due
	}
	return time.Time{}
}

// finish ends the lease of an event and puts into rows what must be written
// about it. An event that is not leased is ignored.
func (l *lane) finish(o bridge.Outcome, rows map[rowKey]row) {
	ln := l.leased[o.Event]
	if ln == nil {
		return
	}
	delete(l.leased, o.Event)
	result := row{attempt: o.Attempt, status: o.Status, err: o.Error, at: o.At}
	switch o.Fate {
	case bridge.Released:
		l.ready(ln)
		return
	case bridge.Retry:
		ln.attempt, ln.due = max(o.Attempt, 1), o.Due
		result.state, result.due = stateOpen, o.Due
		if !ln.rowed {
			ln.rowed = true
			for _, num := range ln.nums[1:] {
				rows[rowKey{num, l.num}] = row{state: stateOpen}
			}
		}
		l.ready(ln)
	case bridge.Dead:
		result.state = stateDead
		l.dead++
		l.drop(ln)
	default:
		result.state = stateDelivered
		l.drop(ln)
	}
	rows[rowKey{o.Event, l.num}] = result
}

// drop removes the head of a line.
func (l *lane) drop(ln *line) {
	l.owed--
	l.held--
	ln.nums = ln.nums[1:]
	ln.attempt, ln.due = 0, time.Time{}
	if len(ln.nums) == 0 {
		delete(l.lines, ln.alarm)
		return
	}
	l.ready(ln)
}

// release gives back leases that were never handed out.
func (l *lane) release(picked []*line) {
	for _, ln := range picked {
		delete(l.leased, ln.nums[0])
		l.ready(ln)
	}
}

// set takes a committed state over. When the endpoint is switched on, all that
// it is owed is due.
func (l *lane) set(s bridge.EndpointState) {
	if l.state.Disabled && !s.Disabled {
		for _, ln := range l.lines {
			ln.due = time.Time{}
		}
		heap.Init(&l.retry)
	}
	l.state, l.known = s, true
}

// settled is the position that the cursor may be moved to; last is the newest event.
func (l *lane) settled(last int64) int64 {
	at := last
	if l.behind {
		at = l.seen
	}
	for _, ln := range l.lines {
		if !ln.rowed {
			at = min(at, ln.nums[0]-1)
		}
	}
	return at
}

// oldest is the first event owed of those taken in, MaxInt64 for none.
func (l *lane) oldest() int64 {
	first := int64(math.MaxInt64)
	for _, ln := range l.lines {
		first = min(first, ln.nums[0])
	}
	return first
}

// A lineHeap has the line that is due first on top, and of several the one with
// the earliest event.
type lineHeap []*line

func (h lineHeap) Len() int { return len(h) }

func (h lineHeap) Less(i, j int) bool {
	if c := h[i].due.Compare(h[j].due); c != 0 {
		return c < 0
	}
	return h[i].nums[0] < h[j].nums[0]
}

func (h lineHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *lineHeap) Push(x any) { *h = append(*h, x.(*line)) }

func (h *lineHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
