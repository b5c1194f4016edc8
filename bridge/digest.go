package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A digest is one message in the place of many: what was held in an outage, which
// follows, or what was folded, which does not.

// digest sends what was held in an outage as the probe that ends it, if it was a
// long one. It reports whether it has.
func (l *lane) digest(ctx context.Context, now time.Time, room int, done chan<- attempt) (bool, error) {
	e := l.endpoint.Load()
	l.mu.Lock()
	since, due := l.memo.Failing, l.breaker.isOpen() && !l.plainProbe
	l.mu.Unlock()
	if e.Digest <= 0 || !due || since.IsZero() || now.Sub(since) < e.Digest {
		return false, nil
	}
	backlog, err := l.store.Log().Backlog(ctx, e.Name)
	if err != nil || backlog.Count == 0 {
		return false, err
	}
	oldest, firing := stored(backlog.Oldest), l.firing(e.Name)
	held := now.Sub(since).Round(time.Second)
	l.pass(ctx, room, rules.Event{
		ID: idOf(string(rules.EndpointDigest), e.Name, stored(now).Format(time.RFC3339Nano)), Type: rules.EndpointDigest, At: stored(now),
		Title:   fmt.Sprintf("held %d events for %v, %d alarms still firing", backlog.Count, held, firing),
		Because: "nothing was accepted since " + clockTime(since) + "; what was held follows",
		Endpoint: &rules.EventEndpoint{
			Name: e.Name, Reason: "accepts again", Since: since, Owed: backlog.Count, Oldest: &oldest, Firing: &firing,
		},
	}, done)
	return true, nil
}

// A folding is what a lane knows of the events that wait for a digest. They are in
// the store, which is asked after a start and after each digest; what says when the
// next is due is there, too. So a crash at any time has the digest sent, and if its
// acceptance was not written down, sent again under the same id.
type folding struct {
	known  bool
	events int
	since  time.Time // when the first of them was folded
	after  time.Time // no digest before: the last one failed
	failed int       // digests in a row
	mark   int64     // of the digest that is under way; 0: none is
	ending *foldEnd  // what a digest has told, or cannot, and is not written down yet
}

type foldEnd struct {
	mark   int64
	fate   Fate
	reason string
}

func (f *folding) add(now time.Time, n int) {
	if f.events == 0 {
		f.since = now
	}
	f.events += n
}

// foldDue is when the next digest of what was folded is sent, or what is known of
// the last is looked at again; zero: neither is.
func (l *lane) foldDue() time.Time {
	f, b := &l.folding, l.endpoint.Load().Budget
	switch {
	case f.mark != 0:
		return time.Time{}
	case f.ending != nil || !f.known: // the disk was full
		return f.after
	case f.events == 0:
		return time.Time{}
	case b.Events <= 0: // the budget was taken away
		return latest(f.since, f.after)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	next := latest(f.since.Add(min(b.Digest, firstDigest)), f.after)
	if !l.digested.IsZero() {
		next = latest(next, l.digested.Add(b.Digest))
	}
	return next
}

// showFold has the endpoint's status say what waits for a digest, and says when
// that is due.
func (l *lane) showFold() time.Time {
	due := l.foldDue()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.folded = BudgetStatus{Folded: l.folding.events, Digest: due}
	return due
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// tellFold sends a digest of what was folded, when it is time. It reports whether
// it has.
func (l *lane) tellFold(ctx context.Context, now time.Time, room int, done chan<- attempt) (bool, error) {
	f, e := &l.folding, l.endpoint.Load()
	if f.mark != 0 || now.Before(f.after) {
		return false, nil
	}
	if err := l.endFold(ctx, now); err != nil || f.ending != nil {
		return false, err
	}
	if due := l.foldDue(); f.known && (due.IsZero() || now.Before(due)) {
		return false, nil
	}
	fold, err := l.store.Log().Fold(ctx, e.Name)
	if errors.Is(err, ErrFull) {
		f.after = now.Add(10 * time.Second)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !f.known { // and from then on by our own clock, which is not set back
		f.since = earlier(fold.Since, now)
	}
	f.known, f.events = true, fold.Events
	if due := l.foldDue(); due.IsZero() || now.Before(due) {
		return false, nil
	}
	f.mark = fold.Mark
	ev, err := l.foldEvent(&fold)
	if err != nil {
		return false, err
	}
	l.pass(ctx, room, ev, done)
	return true, nil
}

// settleFold takes note of how a digest of what was folded ended.
func (l *lane) settleFold(ctx context.Context, now time.Time, a *attempt, how lesson) error {
	f, e := &l.folding, l.endpoint.Load()
	end := &foldEnd{mark: f.mark}
	f.mark = 0
	over := f.failed+1 >= len(e.Retry.Schedule) && now.Sub(f.since) >= e.Retry.GiveUpAfter
	switch {
	case how == toldNothing && a.result.Verdict == webhook.Accepted:
		end.fate, end.reason = Dead, "the endpoint has no request for a digest (on.note)"
	case how == toldNothing:
		return nil
	case how == accepted:
		end.fate, end.reason = Superseded, "told in digest "+a.passed.ID
		l.mu.Lock()
		l.digested = now
		l.mu.Unlock()
	case a.result.Verdict == webhook.Refused || how == failed && over:
		end.fate, end.reason = Dead, "its digest was not accepted"
		if a.result.Err != nil {
			end.reason += ": " + a.result.Err.Error()
		}
	default:
		f.failed++
		f.after = now.Add(max(e.Retry.wait(f.failed, l.chance()), a.result.RetryAfter))
		return nil
	}
	f.failed, f.ending = 0, end
	return l.endFold(ctx, now)
}

// endFold ends what a digest has told, or what was given up. With a full disk it
// is tried again later.
func (l *lane) endFold(ctx context.Context, now time.Time) error {
	f, name := &l.folding, l.endpoint.Load().Name
	if f.ending == nil {
		return nil
	}
	n, err := l.store.Log().EndFold(context.WithoutCancel(ctx), name, f.ending.mark, f.ending.fate, f.ending.reason)
	if errors.Is(err, ErrFull) {
		f.after = now.Add(10 * time.Second)
		return nil
	}
	if err != nil {
		return err
	}
	if f.ending.fate == Dead {
		l.log.Error("a digest is given up, and the events that it would have told", "events", n, "error", f.ending.reason)
	}
	f.ending, f.known = nil, false
	return nil
}

// foldEvent is the digest of what was folded. It is made of that alone, and its id
// of what it says: when it is sent again it is the same message, and where it says
// something else it is another.
func (l *lane) foldEvent(f *Fold) (rules.Event, error) {
	e := l.endpoint.Load()
	told := &rules.Folded{
		Events: f.Events, Alarms: f.Alarms, Open: f.Open,
		Types: make(map[string]int, len(f.Types)), Severity: make(map[string]int, len(f.Severity)),
	}
	for t, n := range f.Types {
		told.Types[string(t)] = n
	}
	for s, n := range f.Severity {
		told.Severity[s.String()] = n
	}
	var titles []string
	for i := range f.Newest {
		ev := &f.Newest[i]
		told.Newest = append(told.Newest, rules.FoldedEvent{
			ID: ev.ID, Type: ev.Type, Alarm: ev.Alarm.Key, Severity: ev.Alarm.Severity.String(), At: ev.At, Title: ev.Title,
		})
		if len(titles) < 5 {
			titles = append(titles, ev.Title)
		}
	}
	because := "they were not told one by one"
	if b := e.Budget; b.Events > 0 {
		because += fmt.Sprintf(": the budget is %d events in %s", b.Events, b.Per)
	}
	if len(titles) > 0 {
		because += ". The worst and newest: " + strings.Join(titles, "; ")
	}
	ev := rules.Event{
		Type: rules.EndpointDigest, At: stored(f.Until),
		Title:   fmt.Sprintf("%d more events of %d alarms, %d of them not over", f.Events, f.Alarms, f.Open),
		Because: because,
		Endpoint: &rules.EventEndpoint{
			Name: e.Name, Reason: "its budget is spent", Since: stored(f.Since), Owed: f.Events, Folded: told,
		},
	}
	content, err := ev.AppendJSON(nil)
	if err != nil {
		return ev, fmt.Errorf("writing a digest: %w", err)
	}
	ev.ID = idOf(string(rules.EndpointDigest), fmt.Sprint(f.Mark), string(content))
	return ev, nil
}
