package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bridge/decode"
	"tocsin/broker"
	"tocsin/rules"
)

// A Trial is a few messages that are judged by themselves, in virtual time: by an
// engine that has heard of nothing before. Nothing is stored and nobody is told.
type Trial struct {
	Program   *rules.Program
	Decoders  []*decode.Decoder
	Endpoints []Endpoint // whose matches say who would be told

	Messages []TrialMessage
	Begin    time.Time     // of the first message, unless it says when it is
	Wait     time.Duration // how long time goes on after the last one

	// Trace asks for every step, with its explanation: of the rule Rule, or with "" of
	// all. Without it there are the first, and those at which something would be told.
	Trace bool
	Rule  string
}

// A TrialMessage is one message of a trial.
type TrialMessage struct {
	Topic   string
	Payload []byte
	At      time.Time // zero: After the message before
	After   time.Duration
}

// What a trial may come to before it is cut short.
const (
	maxTrialTicks  = 10_000
	maxTrialSteps  = 1_000
	maxTrialTraces = 1_000
	maxTrialEvents = 5_000
	maxTrialTime   = 366 * 24 * time.Hour
	trialDevices   = 1_000
)

// A Tried is what became of a trial, step by step.
type Tried struct {
	Begin time.Time
	Steps []TriedStep
	Cut   string // why not all of it was played, or shown; "" when all was

	// Pending are the rules whose condition holds at the end and that wait.
	Pending []string
}

// A TriedStep is a message, or with Topic "" a time at which something ended.
type TriedStep struct {
	At       time.Time
	Topic    string
	Readings []rules.Sample
	Presence []rules.Presence
	Unused   []TriedUnused
	Read     []string // the sources that read the topic
	Events   []rules.Event
	Why      []rules.Explanation
	Note     string // what else there is to say, for people
}

// TriedUnused is a part of a message that was not used.
type TriedUnused struct {
	Source string `json:"source,omitempty"`
	Device string `json:"device,omitempty"`
	Metric string `json:"metric,omitempty"`
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// ErrTrial is a trial that cannot be played as it was asked for.
var ErrTrial = errors.New("cannot be tried")

// A SourceInfo says what a source reads.
type SourceInfo struct {
	Name    string `json:"name"`
	Topic   string `json:"topic"`   // {name} is one whole level
	Decoder string `json:"decoder"` // json, scalar or presence
}

// Sources are those that messages are read by.
func (b *Bridge) Sources() []SourceInfo {
	list := make([]SourceInfo, len(b.sources)) // never null
	for i := range b.sources {
		d := b.sources[i].Decoder
		list[i] = SourceInfo{d.Name(), d.Topic(), d.Kind()}
	}
	return list
}

// Try plays messages to the rules that run, or to those of the trial, with the sources
// and endpoints that run. Neither the engine nor the store learns of it.
func (b *Bridge) Try(ctx context.Context, t Trial) (Tried, error) {
	b.mu.Lock()
	if t.Program == nil {
		t.Program = b.program
	}
	t.Endpoints = b.endpoints
	b.mu.Unlock()
	for i := range b.sources {
		t.Decoders = append(t.Decoders, b.sources[i].Decoder)
	}
	if t.Begin.IsZero() {
		t.Begin = b.clock.now()
	}
	return Try(ctx, t)
}

// Try plays a trial. It ends early with an error of ctx.
func Try(ctx context.Context, t Trial) (Tried, error) {
	p := &trial{Trial: t, now: t.Begin, devices: map[string]bool{}}
	p.Tried.Begin = t.Begin
	p.engine = rules.NewEngine(t.Program, rules.Options{
		Route: func(ev *rules.Event) []string { return Route(t.Endpoints, ev) }, MaxDevices: trialDevices,
	})
	for _, d := range t.Decoders {
		p.engine.Step(rules.Input{Now: p.now, Link: &rules.Link{Source: d.Name(), Connected: true}}, &p.out)
	}
	p.out.Reset()
	for i := range t.Messages {
		m := &t.Messages[i]
		at := p.now.Add(m.After)
		if !m.At.IsZero() {
			at = m.At
			if i == 0 {
				p.now, p.Tried.Begin = at, at
			}
		}
		switch {
		case at.Before(p.now):
			return p.Tried, fmt.Errorf("%w: messages[%d]: it is before the message before it (sort them by time)", ErrTrial, i)
		case at.Sub(p.Tried.Begin) > maxTrialTime:
			return p.Tried, fmt.Errorf("%w: messages[%d]: it is more than a year after the first (try less at once)", ErrTrial, i)
		}
		if err := p.wait(ctx, at); err != nil || p.Cut != "" {
			return p.Tried, err
		}
		if p.message(m); p.Cut != "" {
			return p.Tried, nil
		}
	}
	if t.Wait > 0 {
		if t.Wait > maxTrialTime {
			return p.Tried, fmt.Errorf("%w: wait: it is more than a year (wait less)", ErrTrial)
		}
		if err := p.wait(ctx, p.now.Add(t.Wait)); err != nil || p.Cut != "" {
			return p.Tried, err
		}
		p.time()
	}
	for c := range p.engine.Alarms() {
		if c.State == pending && !slices.Contains(p.Pending, c.Rule) {
			p.Pending = append(p.Pending, c.Rule)
		}
	}
	slices.Sort(p.Pending)
	return p.Tried, nil
}

// A trial is one under way.
type trial struct {
	Trial
	Tried
	engine  *rules.Engine
	out     rules.Output
	now     time.Time
	ticks   int
	traces  int
	events  int
	devices map[string]bool // that were heard of
}

// wait lets time pass up to and including a moment.
func (p *trial) wait(ctx context.Context, until time.Time) error {
	for due := p.engine.Next(); !due.IsZero() && !due.After(until); due = p.engine.Next() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("trying: %w", err)
		}
		if p.ticks++; p.ticks > maxTrialTicks {
			p.Cut = fmt.Sprintf("timers ended more than %d times before %s (try less time at once)", maxTrialTicks, until.UTC().Format(time.RFC3339))
			return nil
		}
		if due.After(p.now) {
			p.now = due
		}
		p.engine.Step(rules.Input{Now: p.now}, &p.out)
		if p.told() {
			p.time()
		}
		p.out.Reset()
		if p.Cut != "" {
			return nil
		}
	}
	if until.After(p.now) {
		p.now = until
	}
	return ctx.Err()
}

// told reports whether the last step made an event.
func (p *trial) told() bool {
	return slices.ContainsFunc(p.out.Transitions, func(t rules.Transition) bool { return len(t.Events) > 0 })
}

// time is a step without a message: of the devices that something ended for, or of
// all that were heard of.
func (p *trial) time() {
	if !p.told() {
		p.engine.Step(rules.Input{Now: p.now}, &p.out)
	}
	s := TriedStep{At: p.now}
	about := map[string]bool{}
	for i := range p.out.Transitions {
		for _, ev := range p.out.Transitions[i].Events {
			about[ev.Device.ID] = true
		}
	}
	if len(about) == 0 {
		about = p.devices
	}
	p.add(s, about)
}

// message judges one message.
func (p *trial) message(m *TrialMessage) {
	s := TriedStep{At: p.now, Topic: m.Topic}
	about := map[string]bool{}
	var batch decode.Batch
	for _, d := range p.Decoders {
		if !d.Match(m.Topic) {
			continue
		}
		s.Read = append(s.Read, d.Name())
		batch.Reset()
		err := d.Decode(broker.Message{Topic: m.Topic, Payload: m.Payload, QoS: 1, Received: p.now}, &batch)
		if r := (*decode.Rejection)(nil); errors.As(err, &r) {
			s.Unused = append(s.Unused, TriedUnused{Source: d.Name(), Reason: r.Reason, Detail: r.Detail})
			continue
		}
		for _, problem := range batch.Problems {
			s.Unused = append(s.Unused, TriedUnused{Source: d.Name(), Reason: problem.Reason, Detail: problem.Detail})
		}
		for samples := batch.Samples; len(samples) > 0; {
			n := ofOneDevice(samples)
			in := rules.Input{Now: p.now, Batch: samples[:n]}
			if n == 1 {
				in = rules.Input{Now: p.now, Sample: &samples[0]}
			}
			p.step(in, &s, d.Name(), notJudged(samples[:n]))
			about[samples[0].Device] = true
			samples = samples[n:]
		}
		for i := range batch.Presence {
			p.step(rules.Input{Now: p.now, Presence: &batch.Presence[i]}, &s, d.Name(), unused{device: batch.Presence[i].Device})
			about[batch.Presence[i].Device] = true
		}
		s.Readings = append(s.Readings, batch.Samples...)
		s.Presence = append(s.Presence, batch.Presence...)
	}
	if len(s.Read) == 0 {
		s.Unused = append(s.Unused, TriedUnused{Reason: "unmatched", Detail: p.nobodyReads(m.Topic)})
	}
	for device := range about {
		p.devices[device] = true
	}
	p.add(s, about)
	p.out.Reset()
}

// step gives the engine one input, and notes what it has not used.
func (p *trial) step(in rules.Input, s *TriedStep, source string, what unused) {
	noted := len(p.out.Problems)
	p.engine.Step(in, &p.out)
	for _, reason := range p.out.Problems[noted:] {
		s.Unused = append(s.Unused, TriedUnused{Source: source, Device: what.device, Metric: what.metric, Reason: reason, Detail: whyUnused(reason)})
	}
}

// nobodyReads says which topics are read, where none is the one at hand.
func (p *trial) nobodyReads(topic string) string {
	if len(p.Decoders) == 0 {
		return "there is no source (add one to the configuration)"
	}
	var read []string
	for _, d := range p.Decoders {
		read = append(read, d.Name()+" reads "+d.Topic())
		if len(read) == 10 {
			read = append(read, "and so on")
			break
		}
	}
	return "no source reads the topic " + strconv.Quote(bounded(topic)) + ": " + strings.Join(read, ", ") + " (publish to such a topic, or add a source)"
}

// add ends a step: with what was told in it, and why the alarms of devices stand as
// they do.
func (p *trial) add(s TriedStep, about map[string]bool) {
	if len(p.Steps) == maxTrialSteps {
		p.Cut = fmt.Sprintf("there are more than %d steps (try less at once)", maxTrialSteps)
		return
	}
	for i := range p.out.Transitions {
		s.Events = append(s.Events, p.out.Transitions[i].Events...)
	}
	if p.events += len(s.Events); p.events > maxTrialEvents {
		s.Events = s.Events[:len(s.Events)-(p.events-maxTrialEvents)]
		p.Cut = fmt.Sprintf("there are more than %d events (try fewer rules, or less at once)", maxTrialEvents)
	}
	if !p.Trace && len(s.Events) == 0 && len(p.Steps) > 0 {
		return // of many messages only the first shows how it was read
	}
	if p.Trace {
		for _, device := range slices.Sorted(maps.Keys(about)) {
			why := p.engine.Explain(device, p.Rule, p.now)
			if p.traces += len(why); p.traces > maxTrialTraces {
				p.Cut = fmt.Sprintf("there are more than %d explanations (name a rule, or try less at once)", maxTrialTraces)
				break
			}
			s.Why = append(s.Why, why...)
		}
		if p.Rule != "" && len(s.Why) == 0 && len(about) > 0 {
			s.Note = p.looksAway()
		}
	}
	p.Steps = append(p.Steps, s)
}

// looksAway says why the rule that is asked for has nothing to say.
func (p *trial) looksAway() string {
	for _, r := range p.Program.Rules() {
		switch {
		case r.ID != p.Rule:
		case r.Metric != "":
			return "rule " + r.ID + " looks at none of this: it is about " + r.Metric + ", of the devices that it names"
		default:
			return "rule " + r.ID + " looks at none of this"
		}
	}
	return "there is no rule " + strconv.Quote(p.Rule)
}

// ReadingOf is a reading as its source made it.
func ReadingOf(s *rules.Sample) rules.EventReading {
	r := rules.EventReading{Metric: s.Metric, Value: s.Num, Unit: s.Unit, At: s.At, Clock: s.Clock.String(), Quality: "good"}
	switch {
	case s.Kind == rules.Bool:
		r.Value = s.Num != 0
	case s.Kind == rules.Text:
		r.Value = s.Text
	}
	if s.Invalid != "" {
		r.Quality = s.Invalid
	}
	return r
}
