package bridge

import (
	"context"
	"net/http"
	"time"

	"tocsin/bridge/preset"
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

	// Requests are those that tell the endpoint of an event, as they would be now. No
	// secret is in them, and no signature that would verify. Nil: nobody knows.
	Requests func(n preset.Notice) []Request

	Retry       RetryPolicy
	Stale       Stale // what becomes of several deliveries of one alarm that wait
	Backlog     Bounds
	Breaker     Breaker
	Batch       Batching
	Fallback    Fallback
	Budget      Budget
	Heartbeat   time.Duration // a heartbeat is sent when nothing was accepted for so long; 0: none
	Digest      time.Duration // an outage of so long ends with a summary of what was held; 0: none does
	Concurrency int           // attempts at once, each for another alarm; 0 means 4
	Rate        float64       // attempts a second, at most; 0: no limit

	// Host is where the endpoint lives. Options.HostRate is shared by those that
	// have the same; "" shares with nobody.
	Host string

	// Revision changes when anything above does: a reload leaves an endpoint
	// alone whose revision is the same.
	Revision int
}

func (e Endpoint) withDefaults() *Endpoint {
	e.Retry = e.Retry.withDefaults()
	e.Breaker = e.Breaker.withDefaults()
	e.Budget = e.Budget.withDefaults()
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

// wait is how long to wait after the given number of failed attempts; chance is from
// 0 to below 1.
func (r RetryPolicy) wait(attempts int, chance float64) time.Duration {
	d := r.Schedule[min(attempts, len(r.Schedule)-1)]
	if r.Steady || d <= 0 {
		return d
	}
	return time.Duration(chance * float64(d))
}

// over reports whether a delivery has been tried long enough.
func (r RetryPolicy) over(d Delivery, attempts int, now time.Time) bool {
	return attempts >= len(r.Schedule) && now.Sub(d.Owed) >= r.GiveUpAfter
}

// A Request is one that would tell an endpoint of an event, to be looked at.
type Request struct {
	Name   string      `json:"request"` // in the preset
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
	Error  string      `json:"error,omitempty"` // why it cannot be made
}
