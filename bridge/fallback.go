package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tocsin/rules"
)

// A Fallback has another endpoint told of an alarm that this one has not accepted
// in time.
type Fallback struct {
	To       string // "": nobody is
	After    time.Duration
	Severity []rules.Severity // of the alarm; none: any
}

const (
	// An outcome is seen in the log when it is on disk.
	fallbackSlack = time.Second
	// What had its time before that is not looked for at a start.
	fallbackPast = 24 * time.Hour
)

// A watcher looks for alarms that the endpoint was to be told of, and has not
// accepted in time. What it needs to know is in the store: which deliveries wait,
// since when, and, in the state of the alarm, who is told of it. So a crash
// neither forgets a deadline nor has it kept twice.
type watcher struct {
	seen    time.Time // deliveries committed before have been looked at
	next    time.Time // when to look again; zero: when an alarm has fired
	pending []inclusion
}

// An inclusion is one more endpoint told of an alarm, on its way to the disk.
type inclusion struct {
	group     *group
	committed time.Time // of the delivery that was not accepted
}

// fallBack has the fallback told of what was not accepted in time, and says when
// to look again; the zero time means when an alarm has fired.
func (l *lane) fallBack(ctx context.Context, now time.Time) time.Time {
	e, w := l.endpoint.Load(), &l.watcher
	if e.Fallback.To == "" {
		w.next = time.Time{}
		return w.next
	}
	if w.seen.IsZero() {
		w.seen, w.next = now.Add(-fallbackPast), now
		l.fired.Store(now.UnixNano()) // what was stored before has its time yet
	}
	last := time.Unix(0, l.fired.Load())
	if w.next.IsZero() && !last.Before(w.seen) {
		w.next = last.Add(e.Fallback.After + fallbackSlack + 1)
	}
	if w.next.IsZero() || now.Before(w.next) {
		return w.next
	}
	w.settle()
	until := now.Add(-e.Fallback.After - fallbackSlack)
	if err := l.lookFor(ctx, w.seen, until); err != nil {
		if ctx.Err() == nil {
			l.log.Warn("looking for what was not accepted in time", "error", err)
		}
		w.next = now.Add(10 * time.Second)
		return w.next
	}
	w.seen, w.next = until, time.Time{}
	if !last.Before(until) || len(w.pending) > 0 {
		w.next = now.Add(min(max(e.Fallback.After/20, time.Second), 15*time.Second))
	}
	return w.next
}

// settle forgets what has reached the disk, and has looked for again what could
// not.
func (w *watcher) settle() {
	w.pending = slices.DeleteFunc(w.pending, func(i inclusion) bool {
		select {
		case <-i.group.done:
		default:
			return false
		}
		if i.group.err != nil && i.committed.Before(w.seen) {
			w.seen = i.committed
		}
		return true
	})
}

// lookFor goes through the deliveries that were committed in a span of time.
func (l *lane) lookFor(ctx context.Context, since, until time.Time) error {
	e := l.endpoint.Load()
	q := DeliveryQuery{Endpoint: e.Name, Since: since, Until: until, Limit: 1000}
	for {
		page, err := l.store.Log().Deliveries(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Deliveries {
			if err := l.instead(ctx, &page.Deliveries[i], e.Fallback); err != nil {
				return err
			}
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			return nil
		}
	}
}

// instead has the fallback told of one delivery, if it is one for that.
func (l *lane) instead(ctx context.Context, d *DeliveryInfo, f Fallback) error {
	switch {
	case d.Type != rules.AlarmFired && d.Type != rules.AlarmEscalated:
		return nil
	case d.State != DeliveryWaiting && d.State != DeliveryDead && d.State != DeliveryDropped:
		return nil
	case !l.awaits(d.Alarm, f.To):
		return nil
	}
	detail, err := l.store.Log().Delivery(ctx, d.ID, d.Endpoint)
	if err != nil {
		return err
	}
	var ev rules.Event
	if err := json.Unmarshal(detail.Data, &ev); err != nil {
		return fmt.Errorf("reading event %s: %w", d.ID, err)
	}
	if len(f.Severity) > 0 && !slices.Contains(f.Severity, ev.Alarm.Severity) {
		return nil
	}
	ev.InsteadOf = d.Endpoint
	g, err := l.include(ev, f.To)
	if g != nil {
		l.log.Warn("not accepted in time: another endpoint is told", "event", d.ID, "alarm", d.Alarm, "type", d.Type, "to", f.To, l.tracer.Attr(d.ID))
		l.watcher.pending = append(l.watcher.pending, inclusion{g, d.Committed})
	}
	return err
}

// include has the engine include an endpoint; without an engine, later.
func (b *Bridge) include(ev rules.Event, endpoint string) (*group, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return nil, errRefused
	}
	b.out.Reset()
	if !b.engine.Include(ev, endpoint, &b.out) {
		return nil, nil
	}
	return b.queue(nil, nil), nil
}

// awaits reports whether an alarm is under way of which an endpoint has not been
// told. Without an engine it may be.
func (b *Bridge) awaits(alarm, endpoint string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.engine == nil || b.engine.Awaits(alarm, endpoint)
}
