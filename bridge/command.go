package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/broker"
	"tocsin/rules"
)

// ErrCommand is a command that could not be carried out, and changed nothing.
var ErrCommand = errors.New("command not carried out")

// ErrNoAlarm is a command on an alarm that does not exist.
var ErrNoAlarm = fmt.Errorf("%w: there is no alarm", ErrCommand)

// Command does with an alarm what a person asks, and returns when that is on
// disk. The error is an [ErrCommand] when there is no such alarm or when its
// state leaves nothing to do.
func (b *Bridge) Command(ctx context.Context, c rules.Command) error {
	if b.refusing.Load() != nil {
		return fmt.Errorf("%s %s: %w", c.Verb, c.Key, errRefused)
	}
	receipt, problems, err := b.step(rules.Input{Command: &c})
	if err == nil {
		err = settled(ctx, receipt)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", c.Verb, c.Key, err)
	}
	switch {
	case len(problems) == 0:
		return nil
	case problems[0] == "there is no alarm "+c.Key:
		return fmt.Errorf("%w %s (tocsin alarms lists those under way)", ErrNoAlarm, c.Key)
	default:
		return fmt.Errorf("%w: %s: %s", ErrCommand, c.Verb, strings.Join(problems, ", "))
	}
}

// Explain says why the alarms of a device stand as they do: those of one rule, or
// with "" of all. It is empty for a device that no rule looks at.
func (b *Bridge) Explain(ctx context.Context, device, rule string) ([]rules.Explanation, error) {
	b.mu.Lock()
	if b.engine == nil {
		b.mu.Unlock()
		return nil, fmt.Errorf("explaining %s: %w", device, errRefused)
	}
	list := b.engine.Explain(device, rule, b.clock.now())
	b.mu.Unlock()
	for i := range list {
		b.recite(ctx, list[i].Retold(), list[i].Recite)
	}
	return list, nil
}

// recite reads events, as far as the store has them. One that cannot be read is not
// worth a start.
func (b *Bridge) recite(ctx context.Context, ids []string, to func(*rules.Event)) {
	for _, id := range ids {
		switch ev, err := b.store.Log().Event(ctx, id); {
		case err == nil:
			to(&ev)
		case !errors.Is(err, ErrNoEvent) && ctx.Err() == nil:
			b.log.Warn("what an alarm came to cannot be read", "event", id, "error", err)
		}
	}
}

// Announce tells an event that is no alarm's to the endpoints that ask for it,
// and returns when it is on disk. Its id is made here, of all that it says.
func (b *Bridge) Announce(ctx context.Context, ev rules.Event) error {
	ev.ID = idOf(string(ev.Type), ev.At.UTC().Format(time.RFC3339Nano), ev.Alarm.Key, ev.Title, ev.Because)
	if b.refusing.Load() != nil {
		return fmt.Errorf("storing %s: %w", ev.Type, errRefused)
	}
	b.mu.Lock()
	ev.Endpoints = b.route(&ev)
	g := b.commits.enqueue([]rules.Transition{{Events: []rules.Event{ev}}}, b.origin(nil, nil))
	b.mu.Unlock()
	if err := g.receipt(ctx); err != nil {
		return fmt.Errorf("storing %s: %w", ev.Type, err)
	}
	return nil
}

// settled waits for a receipt, if there is one.
func settled(ctx context.Context, r broker.Receipt) error {
	if r == nil {
		return nil
	}
	return r(ctx)
}

// step puts one input that is no message before the engine. It returns the
// receipt of what was decided, and why something was not done.
func (b *Bridge) step(in rules.Input) (receipt broker.Receipt, problems []string, err error) {
	b.mu.Lock()
	if b.engine == nil {
		b.mu.Unlock()
		return nil, nil, errRefused
	}
	b.out.Reset()
	var inputs []rules.Input
	in.Now, inputs = b.wake(nil)
	b.engine.Step(in, &b.out)
	g, problems := b.queue(nil, nil), slices.Clone(b.out.Problems)
	if in.Presence == nil && in.Link == nil && in.Command == nil {
		b.leapt = false // what a gap has moved is in that group, or there is nothing
		if len(b.out.Transitions) > 0 {
			in.Gap = &rules.Gap{From: in.Now, To: in.Now} // a tick that decided something is recorded, as a gap of no length
		}
	}
	b.mu.Unlock()
	b.record(g, append(inputs, in))
	return g.waits(), problems, nil
}
