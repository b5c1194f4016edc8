package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrNoEndpoint is an endpoint that is neither configured nor owed anything.
var ErrNoEndpoint = errors.New("there is no endpoint")

// ErrNotConfigured is an endpoint that has left the configuration.
var ErrNotConfigured = errors.New("endpoint is not configured")

// Deliveries lists deliveries, the newest first, a page at a time.
func (b *Bridge) Deliveries(ctx context.Context, q DeliveryQuery) (DeliveryPage, error) {
	return b.store.Log().Deliveries(ctx, q)
}

// Delivery returns one delivery with all that is kept of it; its error is
// [ErrNoDelivery] if there is none.
func (b *Bridge) Delivery(ctx context.Context, id, endpoint string) (DeliveryDetail, error) {
	return b.store.Log().Delivery(ctx, id, endpoint)
}

// Replay makes deliveries that have ended owed again and says how many they are.
// For an endpoint that is not configured it must be wanted anyway: nothing is
// sent before the endpoint is configured again.
func (b *Bridge) Replay(ctx context.Context, s Selection, anyway bool) (int, error) {
	if err := b.knows(ctx, s.Endpoint, anyway); err != nil {
		return 0, err
	}
	n, err := b.store.Log().Replay(ctx, s)
	return b.rescheduled("deliveries replayed", s, n, err)
}

// Discard ends what an endpoint is owed as cancelled, configured or not, and says
// how many deliveries that is.
func (b *Bridge) Discard(ctx context.Context, s Selection) (int, error) {
	if err := b.knows(ctx, s.Endpoint, true); err != nil {
		return 0, err
	}
	n, err := b.store.Log().Discard(ctx, s)
	return b.rescheduled("deliveries discarded", s, n, err)
}

// rescheduled logs what was done, some of it perhaps before an error, and has the
// lane look at it.
func (b *Bridge) rescheduled(what string, s Selection, n int, err error) (int, error) {
	if n > 0 && !s.OnlySay {
		b.log.Info(what, "endpoint", s.Endpoint, "count", n, "reason", s.Reason)
	}
	b.lanes.notify(s.Endpoint)
	return n, err
}

func (b *Bridge) knows(ctx context.Context, endpoint string, anyway bool) error {
	if b.lanes.get(endpoint) != nil {
		return nil
	}
	states, err := b.store.Log().Endpoints(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("reading the endpoints' states: %w", err)
	case !slices.ContainsFunc(states, func(s EndpointState) bool { return s.Name == endpoint }):
		return fmt.Errorf("%w %q (tocsin endpoints lists them)", ErrNoEndpoint, endpoint)
	case !anyway:
		return fmt.Errorf("%w: %s; what is replayed waits until it is (configure it, or ask for this explicitly)", ErrNotConfigured, endpoint)
	}
	return nil
}
