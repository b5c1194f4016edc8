package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"tocsin/bridge/history"
	"tocsin/rules"
)

const (
	snapshotEvery  = 10 * time.Minute
	snapshotInputs = 5_000_000 // or when so many have come since the last: reading them again takes seconds
)

// A record of a snapshot begins with what it is.
const (
	memoryRecord byte = 1 // of rules.Engine.Memory
	stateRecord  byte = 2 // a rules.State in JSON
)

// record takes inputs down that need not be decided on again: at once when there
// is nothing to wait for, and otherwise with the group that they wait for. What
// is refused comes again, and has to be news then.
//
// It is called after the engine has taken the inputs in, and without its lock: a
// snapshot in between knows them, and what is read again is no news to a window.
func (b *Bridge) record(g *group, inputs []rules.Input) {
	if b.history == nil {
		return
	}
	if g == nil {
		for _, in := range inputs {
			takeDown(b.history, in)
		}
		return
	}
	for i := range inputs { // what they point to belongs to the message
		in := &inputs[i]
		if in.Sample != nil {
			s := *in.Sample
			in.Sample = &s
		}
		in.Batch = slices.Clone(in.Batch)
		if in.Presence != nil {
			p := *in.Presence
			in.Presence = &p
		}
	}
	b.commits.keep(g, inputs)
}

// remember fills an engine with what the one before it knew beside the states of
// alarms: from the last snapshot, and from what came after it. A history that
// cannot be read costs windows and intervals, not the start. The states of a
// snapshot that nothing came after are returned by key.
func (b *Bridge) remember(ctx context.Context, engine *rules.Engine) map[string]rules.State {
	if b.history == nil {
		return nil
	}
	info, records, err := b.history.Snapshot()
	if err != nil {
		b.log.Warn("what was remembered cannot be read; windows begin anew", "error", err)
	}
	defer func() { engine.Fill(b.past(ctx, engine.Lacks())) }()
	clean := info.Clean && !b.loaded
	b.loaded = true
	states, err := recall(engine, records)
	if err != nil {
		b.log.Warn("not all that was remembered can be read; some windows begin anew", "error", err)
	}
	if clean {
		return states
	}
	for _, s := range states {
		engine.Recollect(s)
	}
	begun, count := time.Now(), 0
	from := info.Position
	if end := b.history.Position(); end > snapshotInputs {
		from = max(from, end-snapshotInputs)
	}
	for in, err := range b.history.ReplayFrom(ctx, from) {
		if damage := (*history.Problem)(nil); errors.As(err, &damage) {
			continue // told by the history, which goes on after it
		} else if err != nil {
			b.log.Warn("not all that came lately can be read; some windows begin anew", "error", err)
			break
		}
		engine.Rehearse(in)
		count++
	}
	if b.rehearsed.Store(count > 0); count > 0 {
		b.log.Info("recent readings were taken in again", "inputs", count, "took", time.Since(begun).Round(time.Millisecond))
	}
	return nil
}

// takeDown gives the history an input. When nobody listened is written at once: a
// process that is killed next would leave one that takes that time for silence.
func takeDown(h *history.Log, in rules.Input) {
	if h.Append(in); in.Gap != nil && !in.Gap.From.Equal(in.Gap.To) {
		h.Flush()
	}
}

// maxPast bounds how long a start or a reload may wait for what windows lack.
const maxPast = 30 * time.Second

// past reads what windows lack out of the history, as far as it goes back. What
// cannot be had in time is left to grow.
func (b *Bridge) past(ctx context.Context, past *rules.Past) *rules.Past {
	if past == nil || b.history == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxPast)
	defer cancel()
	begun, count := time.Now(), 0
	past.Begin(b.history.Begins())
	for in, err := range b.history.Replay(ctx, b.clock.now().Add(-past.Reach())) {
		if damage := (*history.Problem)(nil); errors.As(err, &damage) {
			continue // told by the history, which goes on after it
		} else if err != nil {
			b.log.Warn("what new windows lack cannot be read; they begin anew", "reaching_back", past.Reach(), "error", err)
			return nil
		}
		past.Take(in)
		count++
	}
	b.log.Info("new windows were filled from the history", "reaching_back", past.Reach(), "inputs", count, "took", time.Since(begun).Round(time.Millisecond))
	return past
}

// recall gives an engine its memory back and returns the states. It goes on after
// a record that is wrong, and returns the first error.
func recall(engine *rules.Engine, records iter.Seq2[[]byte, error]) (map[string]rules.State, error) {
	states := make(map[string]rules.State)
	var first error
	for record, err := range records {
		switch {
		case err != nil || len(record) == 0:
		case record[0] == memoryRecord:
			err = engine.Recall(record[1:])
		case record[0] == stateRecord:
			var s rules.State
			if err = json.Unmarshal(record[1:], &s); err == nil {
				s.Key = s.Rule + "/" + s.Device
				states[s.Key] = s
			}
		}
		if first == nil && err != nil {
			first = err
		}
	}
	return states, first
}

// snapshotLoop writes the engine's memory now and then, until ctx ends, and once
// after a rehearsal: what the store had otherwise is not rehearsed again.
func (b *Bridge) snapshotLoop(ctx context.Context) {
	every := time.NewTicker(time.Minute)
	defer every.Stop()
	written, at := time.Now(), b.history.Position()
	for now := written; ; {
		end := b.history.Position()
		if b.rehearsed.Swap(false) || end != at && (now.Sub(written) >= snapshotEvery || end-at >= snapshotInputs) {
			if err := b.snapshot(ctx, false); err != nil && ctx.Err() == nil {
				b.log.Warn("writing down what is remembered", "error", err)
			}
			written, at = now, end
		}
		select {
		case <-ctx.Done():
			return
		case now = <-every.C:
		}
	}
}

// snapshot writes the engine's memory, once all that it rests on is on disk:
// what would be refused may not be remembered. The states of alarms that are not
// simply at rest are written with it: after a clean stop they know more than the
// store (the newest reading, the peak, the evidence), and after a crash what is
// judged again begins with them.
func (b *Bridge) snapshot(ctx context.Context, clean bool) error {
	b.mu.Lock()
	if b.engine == nil {
		b.mu.Unlock()
		return nil
	}
	info := history.SnapshotInfo{At: b.clock.now(), Clean: clean, Position: b.history.Position()}
	var records [][]byte
	for record := range b.engine.Memory() {
		records = append(records, append([]byte{memoryRecord}, record...))
	}
	var failed error
	for s := range b.engine.States() {
		if standing(&s).State == inactive && s.Cooldown.IsZero() && s.Shelved == nil && len(s.Flips) == 0 {
			continue
		}
		data, err := json.Marshal(&s)
		if err != nil {
			failed = fmt.Errorf("encoding alarm %s: %w", s.Key, err)
			break
		}
		records = append(records, append([]byte{stateRecord}, data...))
	}
	waits := b.commits.last()
	b.mu.Unlock()
	switch {
	case failed != nil:
		return failed
	case waits != nil && clean: // nobody writes any more
		return fmt.Errorf("something was decided too late to be stored: %w", errStopped)
	case waits != nil:
		if err := waits.receipt(ctx); err != nil {
			return err
		}
	}
	return b.history.WriteSnapshot(info, func(yield func([]byte) bool) {
		for _, record := range records {
			if !yield(record) {
				return
			}
		}
	})
}
