package bridge

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"tocsin/rules"
)

// A Budget bounds how many events an endpoint is told one by one, for people who
// read them or somebody who pays for them. What is beyond it is folded: one digest
// tells it, and another when there is more.
//
// Who was told by itself that an alarm fired is told by itself how it ended, also
// beyond the budget; and an alarm whose start was folded is told in digests to its
// end.
type Budget struct {
	Events int              // in any span of Per; 0: there is no budget
	Per    time.Duration    // 0 means an hour
	Except []rules.Severity // of alarms that are told by themselves whatever is left
	Digest time.Duration    // from one digest to the next; 0 means 15 minutes
}

func (b Budget) withDefaults() Budget {
	if b.Per <= 0 {
		b.Per = time.Hour
	}
	if b.Digest <= 0 {
		b.Digest = 15 * time.Minute
	}
	return b
}

// firstDigest is how long the first digest waits for more, at most: it is what
// says that there are events nobody is told of one by one.
const firstDigest = time.Minute

// purseSlots are the parts of a budget's time by which is counted.
const purseSlots = 12

// A purse is what was spent of a budget. It counts by slots of time, and a slot
// that lies in the budget's time with any part of it counts whole: no span of that
// length ever sees more. Time is data to it; the zero value is full.
type purse struct {
	Width time.Duration       `json:"width"` // of a slot
	Slot  int64               `json:"slot"`  // the newest
	Spent [purseSlots + 1]int `json:"spent"` // in the newest slot, the one before, …
}

// advance brings the purse up to now. What was spent of a budget of another length,
// or before the clock was set back, counts as spent just now.
func (p *purse) advance(now time.Time, per time.Duration) {
	width := per / purseSlots
	slot := now.UnixNano() / int64(width)
	by := slot - p.Slot
	switch {
	case p.Width != width:
		*p = purse{Width: width, Spent: [purseSlots + 1]int{p.sum()}}
	case by > purseSlots:
		p.Spent = [purseSlots + 1]int{}
	case by > 0:
		copy(p.Spent[by:], p.Spent[:])
		clear(p.Spent[:by])
	}
	p.Slot = slot
}

func (p *purse) sum() (n int) {
	for _, spent := range p.Spent {
		n += spent
	}
	return n
}

// left is what may still be told one by one.
func (p *purse) left(now time.Time, b Budget) int {
	p.advance(now, b.Per)
	return max(0, b.Events-p.sum())
}

// folds reports whether a delivery is told in a digest, when so many may be told
// by themselves.
func (b *Budget) folds(d *Delivery, left int) bool {
	switch {
	case !foldable(d.Type), b.excepts(d):
		return false
	case d.Folded:
		return true
	case d.Type == rules.AlarmResolved || d.Type == rules.AlarmCancelled:
		return false // its start was told by itself
	}
	return left == 0
}

// foldable tells of which types there may be too many: of alarms, devices and
// readings. What sums up others, or is about us, is rare and says why.
func foldable(t rules.Type) bool {
	switch t {
	case rules.AlarmFlood, rules.AlarmSync:
		return false
	}
	return strings.HasPrefix(string(t), "alarm.") || strings.HasPrefix(string(t), "device.") || t == rules.ReadingMatched
}

// excepts reports whether a delivery is of an alarm that is always told by itself.
func (b *Budget) excepts(d *Delivery) bool {
	if len(b.Except) == 0 {
		return false
	}
	var ev struct {
		Alarm struct{ Severity rules.Severity }
	}
	if json.Unmarshal(d.Data, &ev) != nil { // nobody knows how bad it is
		return true
	}
	return slices.Contains(b.Except, ev.Alarm.Severity)
}

// claimed claims deliveries and folds those for which nothing is left. more says
// that there may be others, also where all of them were folded.
func (l *lane) claimed(ctx context.Context, now time.Time, limit int) (due []Delivery, next time.Time, more bool, err error) {
	e := l.endpoint.Load()
	due, next, err = l.store.Claim(ctx, Ask{Endpoint: e.Name, Limit: limit, Stale: e.Stale})
	more = len(due) == limit
	if e.Budget.Events <= 0 || len(due) == 0 {
		return due, next, more, err
	}
	due, folded := l.spend(now, &e.Budget, due)
	if len(folded) == 0 {
		return due, next, more, err
	}
	l.folding.add(now, len(folded))
	if e := l.finish(ctx, outcomesOf(folded, Outcome{Fate: Folded, At: now})); err == nil {
		err = e
	}
	l.metrics.deliveries.WithLabelValues(e.Name, fateNames[Folded]).Add(float64(len(folded)))
	return due, next, true, err // what waits behind the folded may be due
}

// spend parts what is told by itself from what is folded, and has written down
// what that leaves of the budget.
func (l *lane) spend(now time.Time, b *Budget, due []Delivery) (told, folded []Delivery) {
	l.mu.Lock()
	spent := 0
	left := l.memo.Purse.left(now, *b)
	for i := range due {
		switch {
		case due[i].Attempt > 0: // it was paid for when it was tried first
			told = append(told, due[i])
		case b.folds(&due[i], max(0, left-spent)):
			folded = append(folded, due[i])
		default:
			told = append(told, due[i])
			spent++
		}
	}
	l.memo.Purse.Spent[0] += spent
	l.mu.Unlock()
	if spent > 0 {
		l.put(now, "")
	}
	return told, folded
}

// refund gives back what was spent for events that nobody was asked to take.
func (l *lane) refund(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.memo.Purse.Spent {
		spent := &l.memo.Purse.Spent[i]
		back := min(n, *spent)
		*spent, n = *spent-back, n-back
	}
}

// A BudgetStatus is how an endpoint stands with its budget.
type BudgetStatus struct {
	Events int       `json:"events"` // that may be told one by one
	Per    string    `json:"per"`
	Left   int       `json:"left"`                 // of these
	Folded int       `json:"folded"`               // that wait for the next digest
	Digest time.Time `json:"next_digest,omitzero"` // when that goes out
}

// budgetStatus is nil for an endpoint that has no budget and waits for no digest.
// The caller holds mu.
func (l *lane) budgetStatus(now time.Time) *BudgetStatus {
	b := l.endpoint.Load().Budget
	if b.Events <= 0 && l.folded.Folded == 0 {
		return nil
	}
	s := l.folded
	if s.Events, s.Per = b.Events, b.Per.String(); b.Events > 0 {
		purse := l.memo.Purse
		s.Left = purse.left(now, b)
	}
	return &s
}
