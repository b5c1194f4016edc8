package bridge

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
)

// An Endpoint is a destination and how it is treated.
type Endpoint struct {
	Name  string
	Match Match
	Sync  bool // it is told of all alarms under way after a store was lost

	// Target identifies the URL without showing it. An endpoint that was
	// disabled under another target starts enabled.
	Target string

	// Send makes one attempt at telling the endpoint of a batch, which is never
	// empty. It ends when its context does.
	Send func(ctx context.Context, batch []preset.Notice) preset.Reply

	Retry       RetryPolicy
	Concurrency int // attempts at once, each for another alarm; 0 means 4

	// Revision changes when anything above does: a reload leaves an endpoint
	// alone whose revision is the same.
	Revision int
}

func (e Endpoint) withDefaults() *Endpoint {
	e.Retry = e.Retry.withDefaults()
	if e.Concurrency == 0 {
		e.Concurrency = 4
	}
	return &e
}

// A RetryPolicy says when a delivery that failed is tried again.
type RetryPolicy struct {
	// Schedule is the wait before each attempt, the first included; its last
	// entry repeats. Empty means 0s, 5s, 15s, 30s, 1m, 2m, 5m.
	Schedule []time.Duration
	// Steady switches the jitter off. Without it a wait is drawn evenly from
	// zero to the schedule's, so that retries do not arrive together.
	Steady bool
	// GiveUpAfter is how long a delivery is tried, and at least once through the
	// schedule; 0 means 72 hours.
	GiveUpAfter time.Duration
}

func (r RetryPolicy) withDefaults() RetryPolicy {
	if len(r.Schedule) == 0 {
		r.Schedule = []time.Duration{0, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}
	}
	if r.GiveUpAfter == 0 {
		r.GiveUpAfter = 72 * time.Hour
	}
	return r
}

// wait is how long to wait after the given number of failed attempts.
func (r RetryPolicy) wait(attempts int) time.Duration {
	d := r.Schedule[min(attempts, len(r.Schedule)-1)]
	if r.Steady || d <= 0 {
		return d
	}
	return rand.N(d) // #nosec G404 -- jitter, not a secret
}

// over reports whether a delivery has been tried long enough.
func (r RetryPolicy) over(d Delivery, attempts int, now time.Time) bool {
	return attempts >= len(r.Schedule) && now.Sub(d.Owed) >= r.GiveUpAfter
}

// A lane delivers to one endpoint. What waits for it stays in the store: a lane
// holds no more than its attempts in flight, so a dead endpoint costs nobody
// anything.
type lane struct {
	endpoint atomic.Pointer[Endpoint] // a reload changes it, all but its name
	store    Store
	disable  func(EndpointState) // writes the switch
	metrics  *metrics
	log      *slog.Logger
	wake     chan struct{}      // holds one
	cancel   context.CancelFunc // stops run; guarded by lanes

	// Owned by run.
	floor time.Time // no attempt begins before: the endpoint asked for it
	clock skewed    // of the endpoint, against ours

	// Written by run, read by the gauges.
	disabled atomic.Bool
	failing  atomic.Bool // the last attempt failed
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
		next, started, err := l.claim(flight, l.endpoint.Load().Concurrency-inFlight, done)
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
func (l *lane) claim(ctx context.Context, free int, done chan<- attempt) (next time.Time, started int, err error) {
	if l.disabled.Load() || free <= 0 {
		return time.Time{}, 0, nil
	}
	if time.Until(l.floor) > 0 {
		return l.floor, 0, nil
	}
	e := l.endpoint.Load()
	due, next, err := l.store.Claim(ctx, Ask{Endpoint: e.Name, Limit: free})
	for _, d := range due {
		go func() {
			done <- attempt{d, e.Target, e.Send(ctx, []preset.Notice{d.notice()})}
		}()
	}
	return next, len(due), err
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
	}
	if res.Err != nil {
		o.Error = res.Err.Error()
	}
	switch {
	case flight.Err() != nil && res.Verdict != webhook.Accepted:
		o.Fate, o.Attempt = Released, d.Attempt
	case res.Verdict == webhook.Accepted:
		o.Fate = Delivered
		l.metrics.latency.Observe(now.Sub(d.At).Seconds())
	case res.Verdict == webhook.Gone && a.target != e.Target: // what is gone is not the target any more
		o.Fate, o.Attempt = Released, d.Attempt
	case res.Verdict == webhook.Gone:
		o.Fate, o.Attempt = Released, d.Attempt
		l.park(now)
	case res.Verdict == webhook.Refused, e.Retry.over(d, o.Attempt, now):
		o.Fate = Dead
		l.log.Error("delivery given up", "event", d.ID, "type", d.Type, "alarm", d.Alarm, "attempts", o.Attempt, "status", o.Status, "error", o.Error)
	default:
		o.Fate = Retry
		wait := e.Retry.wait(o.Attempt)
		if res.Reused && res.Status == 0 {
			wait = 0 // the receiver had closed an idle connection: a new one tells more
		}
		o.Due = now.Add(max(wait, res.RetryAfter))
	}
	if res.RetryAfter > 0 {
		if until := now.Add(res.RetryAfter); until.After(l.floor) {
			l.floor = until
		}
	}
	l.clock.observe(l.log, res.Skew, res.Status)
	l.observe(a, o)
	// The delivery's fate must be written even when everything is stopping.
	return l.store.Finish(context.WithoutCancel(flight), []Outcome{o})
}

const howToEnable = "(correct its url, or start with --enable and its name)"

// park switches the endpoint off: it said that it is gone.
func (l *lane) park(now time.Time) {
	if l.disabled.Swap(true) {
		return
	}
	l.log.Error("endpoint disabled: it answered 410 Gone; what it is owed is kept " + howToEnable)
	e := l.endpoint.Load()
	l.disable(EndpointState{Name: e.Name, Disabled: true, Reason: "answered 410 Gone", Target: e.Target, Since: now})
}

// observe counts an attempt and logs it when the endpoint's fortune changed.
func (l *lane) observe(a attempt, o Outcome) {
	l.metrics.deliveries.WithLabelValues(o.Endpoint, fateNames[o.Fate]).Inc()
	l.metrics.attempts.WithLabelValues(o.Endpoint).Observe(a.result.Took.Seconds())
	failed := o.Fate != Delivered
	if o.Fate == Released || l.failing.Swap(failed) == failed {
		return
	}
	if failed {
		l.log.Warn("endpoint failing", "event", a.delivery.ID, "status", o.Status, "error", o.Error, "retry", o.Due)
		return
	}
	l.log.Info("endpoint accepting again", "event", a.delivery.ID, "attempt", o.Attempt)
}

// conditions are the values of the label state.
var conditions = [...]string{"active", "failing", "disabled", "unconfigured"}

func (l *lane) condition() string {
	switch {
	case l.disabled.Load():
		return "disabled"
	case l.failing.Load():
		return "failing"
	}
	return "active"
}

// fateNames are the values of the label outcome.
var fateNames = [...]string{Delivered: "delivered", Retry: "retry", Dead: "dead", Released: "released", Superseded: "superseded", Cancelled: "cancelled"}
