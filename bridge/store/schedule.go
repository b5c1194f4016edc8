package store

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
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

// A lane is what one endpoint is owed. It is a cache of the disk: what has a row
// there is read first, then the events after a position that have none. Only
// when it has read both to their end (it is not behind) do commits add to it.
// Everything but claiming is guarded by DB.mu.
type lane struct {
	num  int64
	name string
	record
	written record // what the table endpoint holds

	behind   bool  // there is more on disk
	rows     bool  // behind: there may be more that has a row, after rowsSeen
	rowsSeen int64 //
	seen     int64 // behind: events without a row were taken in up to this one
	rewound  bool  // behind: what is read may be known already
	read     uint64

	lines  map[string]*line // by alarm
	leased map[int64]*line  // by the event that is under way
	tried  map[int64]try    // of deliveries that are not heads
	fresh  lineHeap         // lines whose head was never tried
	retry  lineHeap         // lines whose head was, by when it is due
	held   int              // deliveries in lines
	turn   bool             // next choice between two ready heads
	ahead  ahead            // events of fresh
	keeps  bool             // the table kept may hold something for it
	folds  bool             // something may be folded
	fold   int64            // of which fold is what is folded now, from 1 on
	stale  bridge.Stale     // of the last Claim
	parked time.Time        // no room is looked for before

	claiming sync.Mutex // held while leasing, taking in from the disk, and changing what is owed
}

// A record is a lane as the table endpoint holds it.
type record struct {
	cursor  int64 // events up to this one have a row, or are not for this endpoint
	owed    int
	bytes   int64 // of what is owed
	dead    int
	dropped int
	known   bool // state was committed, not made up
	state   bridge.EndpointState
}

// An item is a delivery in a line.
type item struct {
	num   int64
	size  int32 // of its body
	class class
}

// A try is what is known of a delivery beyond its event.
type try struct {
	attempt int
	due     time.Time // zero: now
	heard   bool      // the receiver may have taken it
	began   int64     // see DB.deliveries: the event with which it is one
	owed    time.Time // since when, if not since the event's commit
}

// A line is the deliveries of one alarm to one endpoint, in order. Only its
// head is ever handed out; a line that is not leased is in one heap of its lane.
//
// Either every delivery of a line has a row (or has one waiting to be written),
// or none has. An event after the cursor without a row is therefore always
// later than those of its alarm that have one.
type line struct {
	alarm  string
	items  []item // ascending; never empty
	rowed  bool
	leased bool
	told   string // leased: the alarm's key for receivers, where it is another
	folded bool   // leased: its episode began in a fold
	index  int    // in its heap
	slot   int    // leased: where begun has it, from 1 on
	try           // of the head
}

// key is the alarm's key for receivers.
func (ln *line) key() string { return cmp.Or(ln.told, ln.alarm) }

func newLane(num int64, name string, cursor int64) *lane {
	return &lane{
		num: num, name: name, fold: 1,
		record: record{cursor: cursor, state: bridge.EndpointState{Name: name}},
		lines:  make(map[string]*line),
		leased: make(map[int64]*line),
		tried:  make(map[int64]try),
	}
}

// add takes a delivery in, in its place; rowed says that it has a row. One that
// is there already is left alone. In a line with rows, one without a row gets
// one, so that the cursor is not held back by it.
func (l *lane) add(alarm string, it item, rowed bool, t try, rows map[rowKey]row) {
	ln := l.lines[alarm]
	if ln == nil {
		ln = &line{alarm: alarm, items: []item{it}, rowed: rowed, try: t}
		l.lines[alarm] = ln
		l.held++
		l.ready(ln)
		return
	}
	waiting := ln.items
	if ln.leased {
		waiting = waiting[1:] // what is under way may be out of place, see back
	}
	at, known := slices.BinarySearchFunc(waiting, it.num, func(it item, num int64) int { return cmp.Compare(it.num, num) })
	if known || ln.items[0].num == it.num {
		return
	}
	l.held++
	switch {
	case rowed && !ln.rowed:
		l.setAside(ln, ln.items, rows)
	case !rowed && ln.rowed:
		rows[rowKey{it.num, l.num}] = row{state: stateOpen}
	}
	if ln.leased {
		at++
	}
	if at > 0 {
		ln.items = slices.Insert(ln.items, at, it)
		if t != (try{}) {
			l.tried[it.num] = t
		}
		return
	}
	l.unready(ln)
	if ln.try != (try{}) {
		l.tried[ln.items[0].num] = ln.try
	}
	ln.items = slices.Insert(ln.items, 0, it)
	ln.try = t
	l.ready(ln)
}

// setAside gives the deliveries of a line rows.
func (l *lane) setAside(ln *line, items []item, rows map[rowKey]row) {
	ln.rowed = true
	for _, it := range items {
		key := rowKey{it.num, l.num}
		if _, there := rows[key]; !there {
			rows[key] = row{state: stateOpen}
		}
	}
}

// commit adds an event that has just been written.
func (l *lane) commit(alarm string, it item, rows map[rowKey]row) {
	l.owed++
	l.bytes += int64(it.size)
	switch {
	case l.behind:
	case l.room() <= 0:
		l.behind, l.seen = true, it.num-1
	default:
		l.add(alarm, it, false, try{}, rows)
	}
}

// room says how many deliveries may be taken in now.
func (l *lane) room() int { return min(takeInRows, maxLines-len(l.lines), maxHeld-l.held) }

// heapOf is the heap that a line belongs into while it is not leased.
func (l *lane) heapOf(ln *line) *lineHeap {
	if ln.attempt == 0 {
		return &l.fresh
	}
	return &l.retry
}

func (l *lane) ready(ln *line) { heap.Push(l.heapOf(ln), ln) }

// back puts a line that was leased into its heap. What was replayed meanwhile has
// been put behind its head, and may belong before it.
func (l *lane) back(ln *line) {
	if len(ln.items) > 1 && ln.items[1].num < ln.items[0].num {
		if ln.try != (try{}) {
			l.tried[ln.items[0].num] = ln.try
		}
		slices.SortFunc(ln.items, func(a, b item) int { return cmp.Compare(a.num, b.num) })
		ln.try = l.takeTry(ln.items[0].num)
	}
	l.ready(ln)
}

func (l *lane) unready(ln *line) {
	heap.Remove(l.heapOf(ln), ln.index)
}

// pick leases heads that are due until limit are picked. A backlog of new
// events and one of repeated attempts take turns, so neither starves the other.
func (l *lane) pick(now time.Time, limit int, picked []*line, rows map[rowKey]row) []*line {
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
		l.condense(ln, rows)
		ln.leased = true
		l.leased[ln.items[0].num] = ln
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

// finish ends the lease of a line and puts into rows what must be written about
// its head.
func (l *lane) finish(ln *line, o bridge.Outcome, rows map[rowKey]row) {
	delete(l.leased, o.Event)
	ln.leased = false
	if o.Fate != bridge.Delivered {
		l.ahead = ahead{}
	}
	r := row{
		attempt: o.Attempt, status: o.Status, err: o.Error, at: o.At,
		heard: ln.heard || !o.Unheard, began: ln.began,
	}
	switch o.Fate {
	case bridge.Released:
		l.back(ln)
		return
	case bridge.Folded:
		r.state, r.fold, r.attempt, r.heard, r.err = stateOpen, l.fold, ln.attempt, ln.heard, inFold
		l.folds = true
		l.pop(ln)
	case bridge.Retry:
		ln.attempt, ln.due, ln.heard = max(o.Attempt, 1), o.Due, r.heard
		r.state, r.due = stateOpen, o.Due
		if !ln.rowed {
			l.setAside(ln, ln.items[1:], rows)
		}
		l.back(ln)
	default:
		r.state = stateOf(o.Fate)
		if r.state == stateDead {
			l.dead++
		}
		l.drop(ln)
	}
	rows[rowKey{o.Event, l.num}] = r
}

// drop ends the head of a line that is in no heap.
func (l *lane) drop(ln *line) {
	l.owed--
	l.bytes -= int64(ln.items[0].size)
	l.pop(ln)
}

// pop removes the head of a line that is in no heap.
func (l *lane) pop(ln *line) {
	l.held--
	ln.items = ln.items[1:]
	if len(ln.items) == 0 {
		delete(l.lines, ln.alarm)
		return
	}
	ln.try = l.takeTry(ln.items[0].num)
	l.ready(ln)
}

func (l *lane) takeTry(num int64) try {
	t := l.tried[num]
	delete(l.tried, num)
	return t
}

// release gives back leases that were never handed out.
func (l *lane) release(picked []*line) {
	for _, ln := range picked {
		delete(l.leased, ln.items[0].num)
		ln.leased = false
		l.back(ln)
	}
}

// set takes a committed state over. When the endpoint is switched on, all that
// it is owed is due.
func (l *lane) set(s bridge.EndpointState) {
	if l.state.Disabled && !s.Disabled {
		for _, ln := range l.lines {
			ln.due = time.Time{}
		}
		for num, t := range l.tried {
			t.due = time.Time{}
			l.tried[num] = t
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
			at = min(at, ln.items[0].num-1)
		}
	}
	return at
}

// rewind forgets what a lane can read from the disk again: all lines but those
// that are under way, or that rows know more of than the disk does.
func (l *lane) rewind(last int64, rows map[rowKey]row) {
	l.seen, l.behind, l.rewound = l.settled(last), true, true
	l.rows, l.rowsSeen = true, 0
	l.read++
	waiting := func(it item) bool {
		_, ok := rows[rowKey{it.num, l.num}]
		return ok
	}
	l.fresh, l.retry = nil, nil
	for alarm, ln := range l.lines {
		switch {
		case ln.leased:
		case slices.ContainsFunc(ln.items, waiting):
			l.ready(ln)
		default:
			l.forget(ln.items)
			delete(l.lines, alarm)
		}
	}
}

// behead forgets what waits behind deliveries that are under way.
func (l *lane) behead() {
	for _, ln := range l.leased {
		l.forget(ln.items[1:])
		ln.items = slices.Clip(ln.items[:1])
	}
}

func (l *lane) forget(items []item) {
	l.held -= len(items)
	for _, it := range items {
		delete(l.tried, it.num)
	}
}

// oldest is the first event owed of those taken in, MaxInt64 for none.
func (l *lane) oldest() int64 {
	first := int64(math.MaxInt64)
	for _, ln := range l.lines {
		first = min(first, ln.items[0].num)
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
	return h[i].items[0].num < h[j].items[0].num
}

func (h lineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *lineHeap) Push(x any) {
	ln := x.(*line)
	ln.index = len(*h)
	*h = append(*h, ln)
}

func (h *lineHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
