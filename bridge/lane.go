package bridge

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"tocsin/bridge/preset"
	"tocsin/bridge/trace"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A lane delivers to one endpoint. What waits for it stays in the store: a lane
// holds no more than its attempts in flight, so a dead endpoint costs nobody
// anything.
type lane struct {
	endpoint atomic.Pointer[Endpoint] // a reload changes it, all but its name
	host     atomic.Pointer[host]     // and this; nil: it is not bounded
	store    Store
	write    func(change) *group                                   // the switch, and what is told of it
	include  func(ev rules.Event, endpoint string) (*group, error) // see Bridge.include
	awaits   func(alarm, endpoint string) bool                     // see Bridge.awaits
	firing   func(endpoint string) int                             // see Bridge.firing
	metrics  *metrics
	feed     *feed
	tracer   *trace.Tracer // nil: off
	log      *slog.Logger
	wake     chan struct{}      // holds one
	cancel   context.CancelFunc // stops run; guarded by lanes

	fired atomic.Int64 // when an alarm was last stored that it is told of, in nanoseconds

	// Owned by run.
	watcher watcher
	beaten  time.Time // when the last heartbeat was sent, or left out
	beating bool      // one is under way
	clock   skewed    // of the endpoint, against ours
	batches gatherer
	folding folding

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
	batch  []Delivery   // empty for what is not stored
	passed *rules.Event // what that is
	target string
	era    int
	result preset.Reply
	pursuit
}

// is reports whether it was an attempt at an event of a type that is not stored.
func (a *attempt) is(t rules.Type) bool { return a.passed != nil && a.passed.Type == t }

// folded reports whether it was a digest of what was folded.
func (a *attempt) folded() bool { return a.is(rules.EndpointDigest) && a.passed.Endpoint.Folded != nil }

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
	if e := l.finish(flight, outcomesOf(l.batches.leave(), Outcome{Fate: Released})); err == nil {
		err = e
	}

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
		if inFlight += started; err != nil {
			return inFlight, err
		}
		next = earlier(next, l.fallBack(ctx, time.Now()))
		beat, begun := l.beat(flight, time.Now(), done)
		next, inFlight = earlier(next, beat), inFlight+begun
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		case a := <-done:
			runtime.Gosched() // under load others end meanwhile, and one claim does for all of them
			n, err := l.settleAll(flight, a, done)
			if inFlight -= n; err != nil {
				return inFlight, err
			}
		}
	}
	return inFlight, nil
}

// settleAll records how an attempt ended, and all that have ended by now: what is
// claimed next is claimed at once then.
func (l *lane) settleAll(flight context.Context, a attempt, done <-chan attempt) (n int, err error) {
	for {
		n++
		if err := l.settle(flight, a); err != nil {
			return n, err
		}
		select {
		case a = <-done:
		default:
			return n, nil
		}
	}
}

// earlier is the earlier of two times of which the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// claim starts attempts for what is due and says when to look again; the zero
// time means not before something happens.
func (l *lane) claim(ctx context.Context, inFlight int, done chan<- attempt) (next time.Time, started int, err error) {
	e, now := l.endpoint.Load(), time.Now()
	n, next := l.room(now, e.Concurrency-inFlight)
	if n == 0 {
		if next.IsZero() && inFlight == 0 { // it is switched off
			err = l.finish(ctx, outcomesOf(l.batches.leave(), Outcome{Fate: Released}))
		}
		return next, 0, err
	}
	for _, tell := range []func(context.Context, time.Time, int, chan<- attempt) (bool, error){l.digest, l.tellFold} {
		if sent, err := tell(ctx, now, n, done); err != nil {
			return time.Time{}, 0, err
		} else if sent {
			return now, 1, nil
		}
	}
	var batches [][]Delivery
	if e.Batch.Max > 1 || l.batches.held() > 0 {
		batches, next, err = l.gather(ctx, now, n)
	} else {
		batches, next, err = l.single(ctx, now, n)
	}
	for i, era := range l.begin(n, len(batches)) {
		go func() {
			notices := make([]preset.Notice, len(batches[i]))
			for j := range notices {
				notices[j] = batches[i][j].notice()
			}
			a := attempt{batch: batches[i], target: e.Target, era: era}
			l.try(ctx, e, &a, notices)
			done <- a
		}()
	}
	return earlier(next, l.showFold()), len(batches), err
}

// single claims what is sent one by one.
func (l *lane) single(ctx context.Context, now time.Time, n int) (batches [][]Delivery, next time.Time, err error) {
	due, next, more, err := l.claimed(ctx, now, n)
	if more {
		next = now // there may be more, and room for it at another time
	}
	batches = make([][]Delivery, len(due))
	for i := range due {
		batches[i] = due[i : i+1 : i+1]
	}
	return batches, next, err
}

// gather claims what is sent in batches, of which n may go.
func (l *lane) gather(ctx context.Context, now time.Time, n int) (batches [][]Delivery, next time.Time, err error) {
	e := l.endpoint.Load()
	if limit := (n+1)*max(1, e.Batch.Max) - l.batches.held(); limit > 0 {
		var due []Delivery
		var more bool
		due, next, more, err = l.claimed(ctx, now, limit)
		l.batches.add(now, due, e.Batch)
		if more {
			next = now
		}
	}
	batches, ripe := l.batches.ready(now, n, e.Batch)
	switch {
	case len(batches) == n:
		next = now
	case !ripe.IsZero() && (next.IsZero() || ripe.Before(next)):
		next = ripe
	}
	return batches, next, err
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
	now, res, e := time.Now(), &a.result, l.endpoint.Load()
	how := failed
	o := Outcome{
		At: now, Status: res.Status, Keep: res.Keep,
		Took: res.Took, Timings: timings(res.Timing), Answer: res.Body, Cut: res.Truncated,
		// Whoever answered 3xx or 4xx has said that it took nothing.
		Unheard: res.Status >= 300 && res.Status < 500 || res.Status == 0 && !res.Addr.IsValid(),
	}
	if res.Err != nil {
		o.Error = res.Err.Error()
	}
	switch {
	case flight.Err() != nil && res.Verdict != webhook.Accepted:
		o.Fate, how = Released, toldNothing
	case res.Verdict == webhook.Accepted:
		o.Fate, how = Delivered, accepted
		if res.Status == 0 { // there is no request for it, so nobody was asked
			how = toldNothing
			l.refund(len(a.batch))
		}
	case res.Held:
		o.Fate, how = Released, toldNothing
	case res.Verdict == webhook.Gone && a.target != e.Target: // what is gone is not the target any more
		o.Fate, how = Released, toldNothing
	case res.Verdict == webhook.Gone:
		o.Fate, how = Released, gone
	case len(a.batch) == 0: // nothing has to become of it
	case res.Verdict == webhook.Refused && len(a.batch) == 1:
		o.Fate = Dead
	default:
		o.Fate = Retry
		wait := e.Retry.wait(a.batch[0].Attempt+1, l.chance())
		switch {
		case res.Verdict == webhook.Refused: // one of them may be unfit, and is to be found
			wait = 0
		case res.Reused && res.Status == 0 && a.batch[0].Attempt == 0:
			// The receiver may have closed an idle connection, and a new one tells more. One
			// of HTTP/2 outlives what fails on it: the next failure counts.
			wait, how = 0, toldNothing
		}
		o.Due = now.Add(max(wait, res.RetryAfter))
	}
	outcomes := outcomesOf(a.batch, o)
	for i, d := range a.batch {
		l.judgeOne(&outcomes[i], &d, now, e)
	}
	if o.Fate == Retry && len(a.batch) > 1 {
		l.batches.retry(a.batch, res.Verdict == webhook.Refused)
	} else if o.Fate != Released {
		l.batches.end(a.batch)
	}
	l.followAttempt(&a, fateNames[o.Fate])
	l.metrics.attempts.WithLabelValues(e.Name).Observe(res.Took.Seconds())
	l.clock.observe(l.log, res.Skew, res.Status)
	// gofail: var beforeOutcome struct{}
	if err := l.finish(flight, outcomes); err != nil {
		return err
	}
	// gofail: var afterOutcome struct{}
	for i := range outcomes { // only now: whoever hears of it and looks finds it so
		l.feed.delivery(&a.batch[i], &outcomes[i])
	}
	switch {
	case a.is(rules.Heartbeat):
		l.beating = false
	case a.folded():
		if err := l.settleFold(flight, now, &a, how); err != nil {
			return err
		}
	}
	l.learn(now, &a, how)
	return nil
}

// chance is drawn for a wait.
func (l *lane) chance() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.breaker.ramp.chance()
}

// judgeOne says what the outcome of a batch is for one of its members.
func (l *lane) judgeOne(o *Outcome, d *Delivery, now time.Time, e *Endpoint) {
	if o.Fate == Retry && e.Retry.over(*d, o.Attempt, now) {
		o.Fate, o.Due = Dead, time.Time{}
	}
	switch o.Fate {
	case Delivered:
		l.metrics.latency.Observe(now.Sub(d.At).Seconds())
	case Dead:
		l.log.Error("delivery given up", "event", d.ID, "type", d.Type, "alarm", d.Alarm, "attempts", o.Attempt, "status", o.Status, "error", o.Error, l.tracer.Attr(d.ID))
	}
	l.metrics.deliveries.WithLabelValues(o.Endpoint, fateNames[o.Fate]).Inc()
}

// outcomesOf is one outcome for each of a batch.
func outcomesOf(batch []Delivery, o Outcome) []Outcome {
	all := make([]Outcome, len(batch))
	for i, d := range batch {
		all[i] = o
		all[i].Event, all[i].Endpoint, all[i].Attempt = d.Event, d.Endpoint, d.Attempt+1
		if o.Fate == Released || o.Fate == Folded {
			all[i].Attempt = d.Attempt
		}
	}
	return all
}

// finish writes outcomes, even when everything is stopping.
func (l *lane) finish(flight context.Context, outcomes []Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	return l.store.Finish(context.WithoutCancel(flight), outcomes)
}

// fateNames are the values of the label outcome.
var fateNames = [...]string{Delivered: "delivered", Retry: "retry", Dead: "dead", Released: "released", Superseded: "superseded", Cancelled: "cancelled", Folded: "folded"}
