package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	if !matched && !strings.HasPrefix(m.Topic, broker.ProbeTopic) {
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
	b.out.Reset()
	now, inputs := b.wake(batch.inputs[:0])
	batch.inputs = inputs
	for samples := batch.Samples; len(samples) > 0; {
		n := ofOneDevice(samples)
		in := rules.Input{Now: now}
		if n == 1 {
			in.Sample = &samples[0]
		} else {
			in.Batch = samples[:n]
		}
		noted := len(b.out.Problems)
		b.engine.Step(in, &b.out)
		b.noteUnused(s.Name(), noted, notJudged(samples[:n]), m)
		if len(b.out.Problems) == noted && !b.engine.Asked(samples[0].Device) {
			b.noteUnasked(s.Name(), samples[:n], m)
		}
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
	return b.queue(s, m), nil
}

// ofOneDevice is how many samples there are before those of another device.
func ofOneDevice(samples []rules.Sample) int {
	n := 1
	for n < len(samples) && samples[n].Device == samples[0].Device {
		n++
	}
	return n
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

// noteUnasked takes down that a device has said nothing yet which a rule asks for:
// mostly a name is written in another way there. The caller holds mu.
func (b *Bridge) noteUnasked(source string, samples []rules.Sample, m *broker.Message) {
	said := make([]string, 0, 8)
	for i := range samples {
		if name := samples[i].Metric; len(said) < cap(said) && !slices.Contains(said, name) {
			said = append(said, name)
		}
	}
	const reason = "unasked"
	what := notJudged(samples)
	what.detail = fmt.Sprintf("no rule asks for %s (rules ask for %s: is it written in another way there?)", some(said), some(b.program.Metrics()))
	b.metrics.problems.WithLabelValues(source, reason).Inc()
	b.rejects.note(source, reason, what, m)
	b.strangers.note(source, samples[0].Device, said)
}

// some lists a few of many names.
func some(names []string) string {
	const most = 6
	switch {
	case len(names) == 0:
		return "nothing"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// whyUnused says what a reason does not say by itself, and what to do about it.
func whyUnused(reason string) string {
	switch reason {
	case "undeclared":
		return `register is "declared", and no rule file has a [device] table of that name (add one)`
	case "devices":
		return "as many devices are known as limits.devices allows (raise it, or declare the device)"
	case "range":
		return "the value is outside the metric's range (is the sensor broken, or range too narrow?)"
	case "type":
		return "the value is not of the metric's type (see type of the metric)"
	case "unit":
		return "the reading's unit cannot be converted to the metric's"
	case "late":
		return "it came too late: a newer one was there, or it was delivered twice"
	case "time":
		return "the reading's time cannot be right"
	}
	return ""
}

// queue hands what was decided to the committer and returns the group that it,
// and what it rested on, is written with; nil when all of it is on disk. A group
// which fails from here on fails these inputs too. s and m are the message that
// decided it; nil for anything else. The caller holds mu.
func (b *Bridge) queue(s *intake, m *broker.Message) *group {
	if len(b.out.Transitions) == 0 {
		return b.commits.waiting(max(b.out.Depends, b.gapped))
	}
	g := b.commits.enqueue(b.out.Transitions, b.origin(s, m))
	b.out.Stamp(g.number)
	if b.leapt { // with what the gap has moved
		b.gapped, b.leapt = g.number, false
	}
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
	b.recite(ctx, engine.Retold(), engine.Recite)
	if orphans > 0 {
		b.log.Warn("alarms have no rule any more: whoever was told of them is told that they are cancelled", "alarms", orphans)
	}
	b.mu.Lock()
	b.engine, b.gapped, b.leapt = engine, 0, true
	clear(b.linked)
	var g *group
	var inputs []rules.Input
	if from.After(to) { // the clock that said so is not trusted to say what was due by then
		engine.Resume(from, to)
	} else {
		g, inputs = b.stepGap(from, to)
		if g == nil {
			g = b.moved(to)
		}
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
	return b.queue(nil, nil), []rules.Input{in}
}

// moved queues the timers that a gap has moved: the gap is known to the next process
// when they are on disk, and forgotten when they are not. The caller holds mu.
func (b *Bridge) moved(now time.Time) *group {
	b.out.Reset()
	b.engine.Step(rules.Input{Now: now}, &b.out)
	return b.queue(nil, nil)
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
		b.heal(ctx, b.full, b.deaf)
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
			b.heal(ctx, err, b.clock.now())
		default:
			b.forget(err)
			b.fatal(fmt.Errorf("writing to the store: %w", err))
			return
		}
	}
}

// flush writes the last decisions. What cannot be written is not acknowledged.
func (b *Bridge) flush(ctx context.Context) {
	err := b.commits.write(ctx, b.wakeLanes)
	if err == nil {
		return
	}
	b.forget(err)
	if !errors.Is(err, ErrFull) { // a full disk is no reason not to stop
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
// from what the store holds, as after a crash. Since deaf nothing was heard.
func (b *Bridge) heal(ctx context.Context, cause error, deaf time.Time) {
	reason := cause.Error()
	b.refusing.Store(&reason)
	b.commits.deaf.Store(true)
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
		err := b.store.Commit(ctx, Batch{Probe: true})
		if err == nil {
			err = b.resume(ctx, deaf)
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

// resume goes on from what the store holds. What the gap has moved is on disk when it
// returns nil: otherwise what comes next would know nothing of the gap.
func (b *Bridge) resume(ctx context.Context, deaf time.Time) error {
	if err := b.load(ctx, deaf, b.clock.now()); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	err := b.commits.write(ctx, b.wakeLanes)
	if err == nil {
		err = b.store.Commit(ctx, Batch{}) // from now on it hears
	}
	if err != nil {
		b.forget(err)
		return err
	}
	b.commits.deaf.Store(false)
	return nil
}
