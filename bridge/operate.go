package bridge

import (
	"context"
	"fmt"
	"time"

	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

func (b *Bridge) laneOf(ctx context.Context, name string) (*lane, error) {
	if l := b.lanes.get(name); l != nil {
		return l, nil
	}
	if err := b.knows(ctx, name, true); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %s (configure it again, or discard what it is owed: tocsin endpoints discard %[2]s)", ErrNotConfigured, name)
}

// Pause switches an endpoint off until somebody enables it, another URL included,
// and returns when that is on disk. What it is owed waits; attempts under way end.
// Its owner is told.
func (b *Bridge) Pause(ctx context.Context, name, reason string) error {
	l, err := b.laneOf(ctx, name)
	if err != nil {
		return err
	}
	now := time.Now()
	l.mu.Lock()
	if !l.state.Disabled || !l.memo.Paused {
		l.disable(now, reason)
	}
	l.state.Reason, l.memo.Paused = reason, true
	l.mu.Unlock()
	l.log.Info("endpoint paused; what it is owed is kept", "reason", reason)
	if err := b.onDisk(ctx, l.put(now, rules.EndpointDisabled)); err != nil {
		return fmt.Errorf("pausing endpoint %s: %w", name, err)
	}
	return nil
}

// onDisk waits until what an operator decided is on disk. While nothing can be
// stored it is in force all the same, and is written when there is space: whoever
// waits is told at once.
func (b *Bridge) onDisk(ctx context.Context, g *group) error {
	if reason := b.refusing.Load(); reason != nil {
		return fmt.Errorf("it holds from now on, and over a restart when there is space: %w: %s", errRefused, *reason)
	}
	return g.receipt(ctx)
}

// A Resumption says what becomes of what an endpoint is owed when it is enabled.
type Resumption string

const (
	ResumeAll    Resumption = "all"     // all of it is sent
	ResumeLatest Resumption = "latest"  // of each alarm the newest state, and nothing older
	ResumeNone   Resumption = "discard" // nothing
)

// Enable switches an endpoint on, whoever switched it off, closes its breaker and
// forgets a Retry-After. It returns, when that is on disk, how many deliveries were
// discarded for it. With onlySay it only counts them.
func (b *Bridge) Enable(ctx context.Context, name string, what Resumption, onlySay bool) (discarded int, err error) {
	l, err := b.laneOf(ctx, name)
	if err != nil {
		return 0, err
	}
	if what != ResumeAll {
		discarded, err = b.Discard(ctx, Selection{
			Endpoint: name, Latest: what == ResumeLatest, Reason: "discarded when the endpoint was enabled", OnlySay: onlySay,
		})
		if err != nil {
			return discarded, fmt.Errorf("discarding what endpoint %s is owed: %w", name, err)
		}
	}
	if onlySay {
		return discarded, nil
	}
	g := l.enable(time.Now())
	l.notify()
	if err := b.onDisk(ctx, g); err != nil {
		return discarded, fmt.Errorf("enabling endpoint %s: %w", name, err)
	}
	return discarded, nil
}

// Test sends an endpoint a test.ping as it is sent everything else, at once,
// whatever it waits for, and returns the answer. Nothing is stored of it, and it
// is not tried again. An answer that accepts is as good as a probe's.
func (b *Bridge) Test(ctx context.Context, name string) (preset.Reply, error) {
	l, err := b.laneOf(ctx, name)
	if err != nil {
		return preset.Reply{}, err
	}
	now := time.Now()
	ev := rules.Event{
		ID: idOf(string(rules.TestPing), name, now.Format(time.RFC3339Nano)), Type: rules.TestPing, At: stored(now),
		Title: "tocsin: a test of endpoint " + name, Because: "somebody asked for it",
	}
	n, err := passing(ev)
	if err != nil {
		return preset.Reply{}, err
	}
	a := attempt{passed: &ev}
	l.try(ctx, l.endpoint.Load(), &a, []preset.Notice{n})
	l.followAttempt(&a, a.result.Verdict.String())
	reply := a.result
	if reply.Verdict == webhook.Accepted && reply.Status != 0 {
		l.learn(time.Now(), &attempt{result: reply}, accepted)
		l.notify()
	}
	return reply, nil
}

// passing is an event that is sent and not stored.
func passing(ev rules.Event) (preset.Notice, error) {
	data, err := ev.AppendJSON(nil)
	if err != nil {
		return preset.Notice{}, fmt.Errorf("writing %s: %w", ev.Type, err)
	}
	return preset.Notice{ID: ev.ID, Type: ev.Type, Alarm: ev.Alarm.Key, At: ev.At, Data: data}, nil
}
