package bridge

import (
	"context"
	"time"

	"tocsin/bridge/preset"
	"tocsin/rules"
)

// Some events are sent and not stored: they say what is so now, and would be wrong
// later. They are made anew for each attempt, under an id of their own.

// beat sends a heartbeat when nothing was accepted for the endpoint's interval, so
// that a receiver notices when its sender is dead. It does not wait behind what is
// owed, and one that failed is not sent again: the next is made anew. started is 1
// when one was sent; next is when to look again.
func (l *lane) beat(ctx context.Context, now time.Time, done chan<- attempt) (next time.Time, started int) {
	e := l.endpoint.Load()
	if e.Heartbeat <= 0 || l.beating {
		return time.Time{}, 0
	}
	l.mu.Lock()
	if l.heard.IsZero() {
		l.heard = now // the process has just begun, or the heartbeat has
	}
	due := l.heard.Add(e.Heartbeat)
	if l.beaten.After(l.heard) {
		due = l.beaten.Add(e.Heartbeat)
	}
	n := 0
	if !now.Before(due) {
		n, _ = l.allow(now)
	}
	l.mu.Unlock()
	switch {
	case now.Before(due):
		return due, 0
	case n == 0: // it waits for something; a heartbeat later on is as good
		l.beaten = now
		return now.Add(e.Heartbeat), 0
	}
	l.beaten, l.beating = now, true
	l.pass(ctx, 1, rules.Event{
		ID: idOf(string(rules.Heartbeat), e.Name, stored(now).Format(time.RFC3339Nano)), Type: rules.Heartbeat, At: stored(now),
		Title: "tocsin: a heartbeat", Because: "nothing else was accepted for " + e.Heartbeat.String(),
	}, done)
	return time.Time{}, 1
}

// pass sends an event that is not stored, where there was room for some attempts.
func (l *lane) pass(ctx context.Context, room int, ev rules.Event, done chan<- attempt) {
	e, era := l.endpoint.Load(), l.begin(room, 1)[0]
	n, err := passing(ev)
	if err != nil {
		l.log.Error("an event cannot be written", "type", ev.Type, "error", err) // numbers and names always can
	}
	go func() {
		a := attempt{passed: &ev, target: e.Target, era: era}
		l.try(ctx, e, &a, []preset.Notice{n})
		done <- a
	}()
}

// firing is how many alarms are under way that an endpoint is told of.
func (b *Bridge) firing(endpoint string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return 0
	}
	return b.engine.Firing(endpoint)
}
