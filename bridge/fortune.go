package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tocsin/rules"
)

// A fortune is how an endpoint fares: what its lane has learnt of it.
type fortune struct {
	state    EndpointState // as it is to be written, but for the memo
	memo     memo
	written  memo
	breaker  breaker
	bucket   bucket
	failures int // in a row
	last     LastAttempt
	until    time.Time // nothing begins before
	heard    time.Time // when it accepted something last
	floor    time.Time // no attempt begins before: the endpoint asked for it
	digested time.Time // when a digest of what was folded was accepted last

	folded     BudgetStatus // what waits for a digest
	plainProbe bool         // it has refused a digest, or has no request for it: it is probed with what it is owed
}

// A memo is what a lane has to know after a restart; in the store it is JSON.
type memo struct {
	Paused  bool        `json:"paused,omitempty"` // by an operator; otherwise the endpoint itself said that it is gone
	Written time.Time   `json:"written,omitzero"` // when it was
	Floor   time.Time   `json:"floor,omitzero"`   // of the fortune
	Opened  int         `json:"opened,omitempty"` // of the breaker
	Until   time.Time   `json:"until,omitzero"`   // of the breaker
	Last    LastAttempt `json:"last,omitzero"`    // of the fortune, while the breaker is open
	Failing time.Time   `json:"failing,omitzero"` // since when nothing was accepted, as far as that was told
	Told    rules.Type  `json:"told,omitempty"`   // the last of its owner's notices, while it is not over
	ToldAt  time.Time   `json:"told_at,omitzero"` // when what that says began

	Dropped   int       `json:"dropped,omitempty"`   // of all drops those that its owner was told of
	DroppedAt time.Time `json:"dropped_at,omitzero"` // and when that was

	Purse    purse     `json:"purse,omitzero"`    // what was spent of the budget
	Digested time.Time `json:"digested,omitzero"` // of the fortune
}

// restore takes over what an earlier process knew.
func (s *fortune) restore(now time.Time, state EndpointState) error {
	text := state.Memo
	state.Memo = ""
	s.state = state
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &s.memo); err != nil {
		return fmt.Errorf("reading what is known of endpoint %s: %w", state.Name, err)
	}
	at := s.memo.Written
	s.memo.Written = time.Time{}
	s.written = s.memo
	s.floor, s.digested = asLong(now, s.memo.Floor, at), asLong(now, s.memo.Digested, at)
	s.breaker.until, s.breaker.opened, s.last = asLong(now, s.memo.Until, at), s.memo.Opened, s.memo.Last
	return nil
}

// asLong is a time that was written down at another. It is no further away than
// it was then: a clock that was set back since would have us wait for it to get
// there again. It has a monotonic reading, so that a clock that is set from now on
// does not move it.
func asLong(now, until, written time.Time) time.Time {
	if until.IsZero() {
		return until
	}
	wait := until.Sub(now)
	if !written.IsZero() {
		wait = min(wait, until.Sub(written))
	}
	return now.Add(wait)
}

// remember brings the memo up to date, and reports whether it has to be written.
// A floor that is near is not worth a write.
func (s *fortune) remember(now time.Time) bool {
	s.memo.Floor, s.memo.Digested = stored(s.floor), stored(s.digested)
	s.memo.Until, s.memo.Opened, s.memo.Last = stored(s.breaker.until), 0, LastAttempt{}
	if s.breaker.isOpen() {
		s.memo.Opened, s.memo.Last = s.breaker.opened, s.last
	}
	m := s.memo
	if m.Told == "" {
		m.Failing = s.written.Failing // nobody has heard of it yet
	}
	if m.Floor.Before(now.Add(10 * time.Second)) {
		m.Floor = s.written.Floor
	}
	return m != s.written
}

// form is the state as it is written.
func (s *fortune) form() EndpointState {
	state := s.state
	if m := s.memo; m != (memo{}) {
		m.Written = stored(time.Now())
		text, _ := json.Marshal(m) // times of this age and plain words always have a form
		state.Memo = string(text)
	}
	s.written = s.memo
	return state
}

// stored is a time as it is read back.
func stored(t time.Time) time.Time { return t.UTC().Round(0) }

// allow is how many attempts may begin now, and when to ask again. The caller
// holds mu.
func (s *fortune) allow(now time.Time) (n int, next time.Time) {
	switch {
	case s.state.Disabled:
		return 0, time.Time{}
	case s.floor.After(now):
		return 0, s.floor
	}
	if n, next = s.breaker.allow(now); n == 0 {
		return 0, next
	}
	if m, at := s.bucket.allow(now); m < n {
		n, next = m, at
	}
	return n, next
}

// waits are what an endpoint may wait for: the values of the label reason.
var waits = [...]string{"retry_after", "breaker", "rate"}

// waitUntil takes down until when nothing begins. The caller holds mu.
func (s *fortune) waitUntil(until time.Time) { s.until = until }

// conditions are the values of the label state.
var conditions = [...]string{"active", "failing", "open", "half_open", "disabled", "paused", "unconfigured"}

// condition is the state the endpoint is in.
func (s *fortune) condition(now time.Time) string {
	switch {
	case s.state.Disabled && s.memo.Paused:
		return "paused"
	case s.state.Disabled:
		return "disabled"
	case s.breaker.isOpen() && (s.breaker.probing || !now.Before(s.breaker.until)):
		return "half_open"
	case s.breaker.isOpen():
		return "open"
	case s.failures > 0:
		return "failing"
	}
	return "active"
}

// An EndpointStatus is how an endpoint fares.
type EndpointStatus struct {
	Name      string      `json:"name"`
	Condition string      `json:"condition"` // active, failing, open, half_open, disabled, paused, unconfigured
	Since     time.Time   `json:"since,omitzero"`
	Reason    string      `json:"reason,omitempty"` // why it is not active
	Owed      int         `json:"owed"`
	Dead      int         `json:"dead"`            // given up, kept for replay
	Oldest    time.Time   `json:"oldest,omitzero"` // of what it is owed
	Last      LastAttempt `json:"last_attempt,omitzero"`
	Until     time.Time   `json:"waiting_until,omitzero"` // nothing is sent before
	WaitsFor  string      `json:"waiting_for,omitempty"`  // retry_after, breaker or rate

	Budget *BudgetStatus `json:"budget,omitempty"` // nil: it has none
}

// A LastAttempt is how the newest attempt at an endpoint ended.
type LastAttempt struct {
	At       time.Time `json:"at,omitzero"`
	Accepted bool      `json:"accepted"`
	Status   int       `json:"status,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// status is what is known without the store.
func (l *lane) status(now time.Time) EndpointStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := EndpointStatus{
		Name: l.endpoint.Load().Name, Condition: l.condition(now), Last: l.last, Reason: l.last.Error, Budget: l.budgetStatus(now),
	}
	switch s.Condition {
	case "paused", "disabled":
		s.Reason, s.Since = l.state.Reason, l.state.Since
		return s
	case "active":
		s.Reason = ""
	default:
		s.Since = l.memo.Failing
	}
	if l.until.After(now) {
		s.Until, s.WaitsFor = l.until, "rate"
		switch {
		case l.floor.After(now):
			s.WaitsFor = "retry_after"
		case l.breaker.isOpen():
			s.WaitsFor = "breaker"
		}
	}
	return s
}

// Endpoints says how every endpoint fares, by name; those that left the
// configuration and are owed something are among them.
func (b *Bridge) Endpoints(ctx context.Context) ([]EndpointStatus, error) {
	now := time.Now()
	list := b.lanes.statuses(now)
	for i := range list {
		backlog, err := b.store.Log().Backlog(ctx, list[i].Name)
		if err != nil {
			return nil, fmt.Errorf("counting what endpoint %s is owed: %w", list[i].Name, err)
		}
		list[i].Owed, list[i].Dead, list[i].Oldest = backlog.Count, backlog.Dead, backlog.Oldest
	}
	// Who left and is owed nothing any more is nobody's business.
	return slices.DeleteFunc(list, func(s EndpointStatus) bool { return s.Condition == "unconfigured" && s.Owed == 0 }), nil
}

// Backlog is what an endpoint is owed, whether or not there is one of that name now.
func (b *Bridge) Backlog(ctx context.Context, name string) (Backlog, error) {
	return b.store.Log().Backlog(ctx, name)
}
