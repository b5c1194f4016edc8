package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge/decode"
	"tocsin/broker"
	"tocsin/rules"
)

// An intake is a source's decoder with its counters at hand.
type intake struct {
	*decode.Decoder
	accepted, rejected, samples prometheus.Counter

	connected bool // who sends is connected: see roster
}

// Handle judges a message and queues what it decided. The receipt is good when
// that, and everything it rested on, is on disk. It is a [broker.Handler].
func (b *Bridge) Handle(m broker.Message) broker.Receipt {
	if b.refusing.Load() != nil {
		return refuse
	}
	b.commits.admit()
	batch := b.batches.Get().(*batch)
	defer b.batches.Put(batch)

	var receipt broker.Receipt
	matched := false
	for i := range b.sources {
		s := &b.sources[i]
		if !s.Match(m.Topic) {
			continue
		}
		matched = true
		batch.Reset()
		if err := s.Decode(m, &batch.Batch); err != nil {
			b.reject(s, &m, err)
			continue // bad input is data: counted, acknowledged, never judged
		}
		s.accepted.Inc()
		s.samples.Add(float64(len(batch.Samples)))
		for _, p := range batch.Problems {
			b.metrics.problems.WithLabelValues(s.Name(), p.Reason).Add(float64(p.Count))
			b.rejects.note(s.Name(), p.Reason, unused{detail: p.Detail}, &m)
		}
		r, err := b.judge(s, &m, batch)
		if err == nil {
			b.feed.readings(batch.Samples)
		}
		switch {
		case err != nil:
			return refuse
		case r == nil:
		case receipt == nil:
			receipt = r
		default:
			receipt = both(receipt, r)
		}
	}
	if !matched {
		b.metrics.unmatched.Inc()
		b.rejects.note("", "unmatched", unused{detail: "no source reads this topic"}, &m)
	}
	return receipt
}

// refuse is the receipt of a message that cannot be stored.
func refuse(context.Context) error { return errRefused }

// A batch is what a message says, as it was decoded and as the engine was told.
type batch struct {
	decode.Batch
	inputs []rules.Input
}

// judge puts what a message says before the engine and returns the receipt of
// all that it decided; nil when there is nothing to wait for.
func (b *Bridge) judge(s *intake, m *broker.Message, batch *batch) (broker.Receipt, error) {
	g, err := b.tell(s, m, batch)
	if err != nil {
		return nil, err
	}
	b.record(g, batch.inputs)
	return g.waits(), nil
}

// tell returns the group that what a message decided waits for.
func (b *Bridge) tell(s *intake, m *broker.Message, batch *batch) (*group, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return nil, errRefused
	}
	now := b.clock.now()
	batch.inputs = batch.inputs[:0]
	b.out.Reset()
	for samples := batch.Samples; len(samples) > 0; {
		n := 1
		for n < len(samples) && samples[n].Device == samples[0].Device {
			n++
		}
		in := rules.Input{Now: now}
		if n == 1 {
			in.Sample = &samples[0]
		} else {
			in.Batch = samples[:n]
		}
		noted := len(b.out.Problems)
		b.engine.Step(in, &b.out)
		b.noteUnused(s.Name(), noted, notJudged(samples[:n]), m)
		batch.inputs = append(batch.inputs, in)
		if s.connected {
			b.notePresence(s, m, samples[0].Device, batch, now)
		}
		samples = samples[n:]
	}
	for i := range batch.Presence { // after its readings: it says what is so from now on
		in := rules.Input{Now: now, Presence: &batch.Presence[i]}
		noted := len(b.out.Problems)
		b.engine.Step(in, &b.out)
		b.noteUnused(s.Name(), noted, unused{device: batch.Presence[i].Device}, m)
		batch.inputs = append(batch.inputs, in)
		b.roster.speaks(in.Presence.Device, in.Presence.Status)
	}
	b.metrics.evaluations.Add(float64(len(batch.Samples) + len(batch.Presence)))
	return b.queue(), nil
}

// noteUnused takes down what the engine has not used of a message since it had
// so many problems. The caller holds mu.
func (b *Bridge) noteUnused(source string, noted int, what unused, m *broker.Message) {
	for _, reason := range b.out.Problems[noted:] {
		b.metrics.problems.WithLabelValues(source, reason).Inc()
		what.detail = whyUnused(reason)
		b.rejects.note(source, reason, what, m)
	}
}

// whyUnused says what a reason does not say by itself, and what to do about it.
func whyUnused(reason string) string {
	switch reason {
	case "undeclared":
		return `register is "declared", and no rule file has a [device] table of that name (add one)`
	case "devices":
		return "as many devices are known as limits.devices allows (raise it, or declare the device)"
	}
	return ""
}

// queue hands what was decided to the committer and returns the group that it,
// and what it rested on, is written with; nil when all of it is on disk. A group
// which fails from here on fails these inputs too. The caller holds mu.
func (b *Bridge) queue() *group {
	if len(b.out.Transitions) == 0 {
		return b.commits.waiting(b.out.Depends)
	}
	g := b.commits.enqueue(b.out.Transitions)
	b.out.Stamp(g.number)
	return g
}

// notJudged says which reading it was. Of several only the device is known.
func notJudged(samples []rules.Sample) unused {
	if len(samples) == 1 {
		return unused{device: samples[0].Device, metric: samples[0].Metric}
	}
	return unused{device: samples[0].Device}
}

// both is good when each of two receipts is.
func both(first, second broker.Receipt) broker.Receipt {
	return func(ctx context.Context) error {
		if err := first(ctx); err != nil {
			return err
		}
		return second(ctx)
	}
}

// reject counts a message of which nothing could be used.
func (b *Bridge) reject(s *intake, m *broker.Message, err error) {
	s.rejected.Inc()
	reason, detail := "unreadable", err.Error()
	if r := (*decode.Rejection)(nil); errors.As(err, &r) {
		reason, detail = r.Reason, r.Detail
	}
	b.metrics.problems.WithLabelValues(s.Name(), reason).Inc()
	b.rejects.note(s.Name(), reason, unused{detail: detail}, m)
}

// load makes the engine anew from the store. The bridge was deaf from the first
// time to the second.
func (b *Bridge) load(ctx context.Context, from, to time.Time) error {
	b.loading.Lock()
	defer b.loading.Unlock()
	engine := rules.NewEngine(b.program, rules.Options{Route: b.route, Sync: b.synced, Born: b.born, MaxDevices: b.limit})
	known := b.remember(ctx, engine)
	orphans := 0
	for s, err := range b.store.States(ctx, "") {
		if err != nil {
			return fmt.Errorf("reading alarm states: %w", err)
		}
		if k, ok := known[s.Key]; ok && k.Episode == s.Episode && k.Seq == s.Seq {
			k.Told = s.Told // whom a fallback has added since
			s = k
		}
		active := slices.ContainsFunc(s.Levels, func(l rules.LevelState) bool { return l.On })
		if !engine.Restore(s) && active {
			orphans++
		}
	}
	if orphans > 0 {
		b.log.Warn("alarms have no rule any more: whoever was told of them is told that they are cancelled", "alarms", orphans)
	}
	b.mu.Lock()
	b.engine = engine
	clear(b.linked)
	var g *group
	var inputs []rules.Input
	if from.After(to) { // the clock that said so is not trusted to say what was due by then
		engine.Resume(from, to)
	} else {
		g, inputs = b.stepGap(from, to)
	}
	b.mu.Unlock()
	b.record(g, inputs)
	b.tick()
	b.retell()
	return nil
}

// stepGap tells the engine that nobody listened between two times. What was due
// before is told as of then. The caller holds mu.
func (b *Bridge) stepGap(from, to time.Time) (*group, []rules.Input) {
	in := rules.Input{Now: to, Gap: &rules.Gap{From: from, To: to}}
	b.out.Reset()
	b.engine.Step(in, &b.out)
	return b.queue(), []rules.Input{in}
}

// tick lets timers that have run out end, and has timers that a gap has moved
// written.
func (b *Bridge) tick() {
	// Refused while nothing can be stored: judged again after healing.
	_, _, _ = b.step(rules.Input{})
}

// commitLoop writes what is decided until ctx ends, and then what still waits. A
// write under way is not given up.
func (b *Bridge) commitLoop(ctx context.Context) {
	if b.full != nil {
		b.heal(ctx, b.full)
	}
	writing := context.WithoutCancel(ctx)
	for {
		select {
		case <-ctx.Done():
			b.flush(writing)
			return
		case <-b.commits.wake:
		}
		err := b.commits.write(writing, b.wakeLanes)
		switch {
		case err == nil:
		case errors.Is(err, ErrFull):
			b.heal(ctx, err)
		default:
			b.forget(err)
			b.fatal(fmt.Errorf("writing to the store: %w", err))
			return
		}
	}
}

// flush writes the last decisions. What cannot be written is not acknowledged.
func (b *Bridge) flush(ctx context.Context) {
	if err := b.commits.write(ctx, b.wakeLanes); err != nil {
		b.forget(err)
		b.fatal(fmt.Errorf("writing to the store: %w", err))
	}
}

// forget drops the engine: what it holds is ahead of the store. What waited for
// the disk is refused.
func (b *Bridge) forget(err error) {
	b.mu.Lock()
	b.engine = nil
	b.mu.Unlock()
	b.commits.fail(err)
}

// heal refuses intake until the store can be written again, and then goes on
// from what the store holds, as after a crash.
func (b *Bridge) heal(ctx context.Context, cause error) {
	deaf := b.clock.now()
	reason := cause.Error()
	b.refusing.Store(&reason)
	b.forget(cause)
	b.log.Error("nothing can be stored; messages are refused until there is space", "error", cause)
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		err := b.store.Commit(ctx, Batch{})
		if err == nil {
			err = b.load(ctx, deaf, b.clock.now())
		}
		switch {
		case err == nil:
			b.refusing.CompareAndSwap(&reason, nil)
			b.log.Info("space has returned; messages are accepted again", "after", b.clock.now().Sub(deaf).Round(time.Second))
			return
		case ctx.Err() != nil: // stopping, and still full
			return
		case !errors.Is(err, ErrFull):
			b.fatal(fmt.Errorf("writing to the store: %w", err))
			return
		}
	}
}
