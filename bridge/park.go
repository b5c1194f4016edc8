package bridge

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"tocsin/rules"
)

const (
	parkEvery = time.Second
	// What is dropped on the way to an endpoint, as the end of an episode is whose
	// start was, is looked for so often.
	droppedEvery = time.Minute
	// An owner is told of drops at once, and of more not before.
	droppedAgain = time.Hour
)

// parkLoop keeps what each endpoint is owed within its bounds. Nothing is dropped
// that was not counted, and the log and the endpoint's owner are told. It looks
// between two ticks of the clock: what a tick has made is owed by then.
func (b *Bridge) parkLoop(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(parkEvery / 2):
	}
	every := time.NewTicker(parkEvery)
	defer every.Stop()
	var looked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			look := now.Sub(looked) >= droppedEvery
			if look {
				looked = now
			}
			for _, e := range b.lanes.endpoints() {
				b.park(ctx, e, look)
			}
		}
	}
}

func (b *Bridge) park(ctx context.Context, e *Endpoint, look bool) {
	n, err := b.store.Log().Bound(ctx, e.Name, e.Backlog)
	if n > 0 {
		b.log.Error("deliveries dropped: the endpoint's backlog is full (limits.backlog)", "endpoint", e.Name, "count", n)
		b.lanes.notify(e.Name)
	}
	if l := b.lanes.get(e.Name); l != nil && err == nil && (n > 0 || look) {
		err = l.tellDropped(ctx, time.Now())
	}
	if err != nil && ctx.Err() == nil {
		b.log.Warn("making room in a backlog", "endpoint", e.Name, "error", err)
	}
}

// tellDropped has the endpoint's owner told how many deliveries were dropped that
// nobody was told of yet. That and what was told are one commit, so that a crash
// neither forgets a drop nor tells of it twice.
func (l *lane) tellDropped(ctx context.Context, now time.Time) error {
	name := l.endpoint.Load().Name
	backlog, err := l.store.Log().Backlog(ctx, name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, past := backlog.Dropped-l.memo.Dropped, now.Sub(l.memo.DroppedAt)
	if n <= 0 || past >= 0 && past < droppedAgain {
		return nil
	}
	ev := &rules.Event{
		ID: idOf(string(rules.EndpointDropped), name, strconv.Itoa(backlog.Dropped)), Type: rules.EndpointDropped, At: stored(now),
		Title:    fmt.Sprintf("endpoint %s: %d deliveries were dropped", name, n),
		Because:  fmt.Sprintf("its backlog is full (limits.backlog); %d deliveries wait for it", backlog.Count),
		Endpoint: &rules.EventEndpoint{Name: name, Reason: "its backlog is full", Since: stored(now), Owed: backlog.Count, Dropped: n, LastError: l.last.Error},
	}
	if !l.memo.DroppedAt.IsZero() {
		ev.Endpoint.Since = l.memo.DroppedAt
	}
	if backlog.Count > 0 {
		oldest := stored(backlog.Oldest)
		ev.Endpoint.Oldest = &oldest
	}
	l.memo.Dropped, l.memo.DroppedAt = backlog.Dropped, stored(now)
	l.write(change{l.form(), ev})
	return nil
}
