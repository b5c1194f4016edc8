package bridge

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
)

// A lane delivers to one endpoint. What waits for it stays in the store: a lane
// holds no more than its attempts in flight, so a dead endpoint costs nobody
// anything.
type lane struct {
	endpoint atomic.Pointer[Endpoint] // a reload changes it, all but its name
	host     atomic.Pointer[host]     // and this; nil: it is not bounded
	store    Store
	write    func(change) *group // the switch, and what is told of it
	metrics  *metrics
	log      *slog.Logger
	wake     chan struct{}      // holds one
	cancel   context.CancelFunc // stops run; guarded by lanes

	clock skewed // of the endpoint, against ours; owned by run

	mu sync.Mutex // guards what follows; held for moments
	fortune
}

func (l *lane) notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// A finished attempt.
type attempt struct {
	delivery Delivery
	target   string
	era      int
	begun    time.Time
	result   preset.Reply
}

// notice is what the endpoint is told.
func (d *Delivery) notice() preset.Notice {
	return preset.Notice{ID: d.ID, Type: d.Type, Alarm: d.Alarm, At: d.At, Data: d.Data, Attempt: d.Attempt, Kept: d.Kept}
}

// run delivers until ctx ends; attempts then in flight get the grace, after
// which they are cut off and stay owed.
func (l *lane) run(ctx context.Context, grace time.Duration) error {
	flight, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	done := make(chan attempt)
	inFlight, err := l.serve(ctx, flight, done)

	stop := time.AfterFunc(grace, cut)
	defer stop.Stop()
	for ; inFlight > 0; inFlight-- {
		if e := l.settle(flight, <-done); err == nil {
			err = e
		}
	}
	return err
}

// serve claims and settles until ctx ends; it returns how many attempts are
// still in flight then.
func (l *lane) serve(ctx, flight context.Context, done chan attempt) (inFlight int, err error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		next, started, err := l.claim(flight, inFlight, done)
		if err != nil {
			return inFlight, err
		}
		inFlight += started
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		case a := <-done:
			inFlight--
			if err := l.settle(flight, a); err != nil {
				return inFlight, err
			}
		}
	}
	return inFlight, nil
}

// claim starts attempts for what is due and says when to look again; the zero
// time means not before something happens.
func (l *lane) claim(ctx context.Context, inFlight int, done chan<- attempt) (next time.Time, started int, err error) {
	e, now := l.endpoint.Load(), time.Now()
	n, next := l.room(now, e.Concurrency-inFlight)
	if n == 0 {
		return next, 0, nil
	}
	due, later, err := l.store.Claim(ctx, Ask{Endpoint: e.Name, Limit: n, Stale: e.Stale})
	for i, era := range l.begin(n, len(due)) {
		go func() {
			done <- attempt{due[i], e.Target, era, now, e.Send(ctx, []preset.Notice{due[i].notice()})}
		}()
	}
	if len(due) == n {
		later = now // there may be more, and room for it at another time
	}
	return later, len(due), err
}

// room is how many of the free attempts may begin now, and when to ask again if
// none may. What is not used is given back by begin.
func (l *lane) room(now time.Time, free int) (n int, next time.Time) {
	if free <= 0 {
		return 0, time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, next = l.allow(now)
	n = min(n, free)
	if h := l.host.Load(); h != nil && n > 0 {
		n, next = h.take(now, n)
	}
	l.waitUntil(next)
	return n, next
}

// begin takes note of attempts that begin, of as many as there was room for. It
// returns what each is to be ended with.
func (l *lane) begin(room, attempts int) []int {
	if h := l.host.Load(); h != nil && room > attempts {
		h.give(room - attempts)
	}
	eras := make([]int, attempts)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.take(attempts)
	for i := range eras {
		eras[i] = l.breaker.begin()
	}
	return eras
}

// settle records how an attempt ended. An attempt that was cut off with its
// flight has not failed: it stays owed as it was.
func (l *lane) settle(flight context.Context, a attempt) error {
	now := time.Now()
	d, res, e := a.delivery, a.result, l.endpoint.Load()
	o := Outcome{
		Event: d.Event, Endpoint: d.Endpoint, At: now,
		Attempt: d.Attempt + 1, Status: res.Status,
		Keep: res.Keep, Took: res.Took, Answer: res.Body, Cut: res.Truncated,
		// Whoever answered 3xx or 4xx has said that it took nothing.
		Unheard: res.Status >= 300 && res.Status < 500 || res.Status == 0 && !res.Addr.IsValid(),
	}
	if res.Err != nil {
		o.Error = res.Err.Error()
	}
	how := failed
	switch {
	case flight.Err() != nil && res.Verdict != webhook.Accepted:
		o.Fate, o.Attempt, how = Released, d.Attempt, toldNothing
	case res.Verdict == webhook.Accepted:
		o.Fate, how = Delivered, accepted
		l.metrics.latency.Observe(now.Sub(d.At).Seconds())
	case res.Verdict == webhook.Gone && a.target != e.Target: // what is gone is not the target any more
		o.Fate, o.Attempt, how = Released, d.Attempt, toldNothing
	case res.Verdict == webhook.Gone:
		o.Fate, o.Attempt, how = Released, d.Attempt, gone
	case res.Verdict == webhook.Refused, e.Retry.over(d, o.Attempt, now):
		o.Fate = Dead
		l.log.Error("delivery given up", "event", d.ID, "type", d.Type, "alarm", d.Alarm, "attempts", o.Attempt, "status", o.Status, "error", o.Error)
	default:
		o.Fate = Retry
		wait := e.Retry.wait(o.Attempt)
		if res.Reused && res.Status == 0 {
			wait, how = 0, toldNothing // the receiver had closed an idle connection: a new one tells more
		}
		o.Due = now.Add(max(wait, res.RetryAfter))
	}
	l.metrics.deliveries.WithLabelValues(o.Endpoint, fateNames[o.Fate]).Inc()
	l.metrics.attempts.WithLabelValues(o.Endpoint).Observe(res.Took.Seconds())
	l.clock.observe(l.log, res.Skew, res.Status)
	// The delivery's fate must be written even when everything is stopping.
	if err := l.store.Finish(context.WithoutCancel(flight), []Outcome{o}); err != nil {
		return err
	}
	l.learn(now, &a, how)
	return nil
}

// fateNames are the values of the label outcome.
var fateNames = [...]string{Delivered: "delivered", Retry: "retry", Dead: "dead", Released: "released", Superseded: "superseded", Cancelled: "cancelled"}
