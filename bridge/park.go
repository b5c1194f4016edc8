package bridge

import (
	"context"
	"time"
)

// parkLoop keeps what each endpoint is owed within its bounds, once a second.
// Nothing is dropped that was not counted, and the log says so.
func (b *Bridge) parkLoop(ctx context.Context) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			for _, e := range b.lanes.endpoints() {
				b.park(ctx, e)
			}
		}
	}
}

func (b *Bridge) park(ctx context.Context, e *Endpoint) {
	n, err := b.store.Log().Bound(ctx, e.Name, e.Backlog)
	if n > 0 {
		b.log.Error("deliveries dropped: the endpoint's backlog is full (limits.backlog)", "endpoint", e.Name, "count", n)
		b.lanes.notify(e.Name)
	}
	if err != nil && ctx.Err() == nil {
		b.log.Warn("making room in a backlog", "endpoint", e.Name, "error", err)
	}
}
