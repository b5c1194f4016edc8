package ruletest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tocsin/rules"
)

// A play is a plot under way: the engine, and what a store would hold of it.
type play struct {
	plot    *plot
	program *rules.Program
	start   time.Time
	tick    time.Duration // between ticks; 0 is at the engine's timers alone
	now     time.Duration

	engine *rules.Engine
	out    rules.Output
	stored map[string][]byte // states by alarm, as committed
	heard  []rules.Input     // for a crash to be rehearsed; nil unless one comes
	crash  bool

	events []rules.Event
	unused map[string]int
	moved  map[string]bool
	faults []string
}

// listener is told in tests of what no rule says whom to tell: of devices, sources
// and readings. It is taken off again: only to people is it somebody.
const listener = "?"

// engine is a new one. Events that are no alarm's are made if somebody is to be
// told: readings that a rule passes on always, others where the test expects them.
// The summary of a flood goes to whoever would be told of an alarm in it.
func (s *plot) engine(program *rules.Program) *rules.Engine {
	return rules.NewEngine(program, rules.Options{Route: func(ev *rules.Event) []string {
		heard := ev.Type == rules.ReadingMatched || s.outside[ev.Type]
		if ev.Alarm.Key != "" {
			heard = s.outside[rules.AlarmFlood]
		}
		if len(ev.Notify) == 0 && heard {
			return []string{listener}
		}
		return ev.Notify
	}})
}

// play runs the plot. What is wrong with the engine is an error, what is wrong
// with a step a fault.
func (s *plot) play(program *rules.Program, tick time.Duration) (*play, error) {
	p := &play{
		plot: s, program: program, start: s.start, tick: tick, engine: s.engine(program),
		stored: map[string][]byte{}, unused: map[string]int{}, moved: map[string]bool{},
		crash: slices.ContainsFunc(s.moments, func(m moment) bool { return m.stop == "crash" }),
	}
	if err := p.step(rules.Input{Link: &rules.Link{Source: source, Connected: true}}, ""); err != nil {
		return nil, err
	}
	for i := range s.moments {
		m := &s.moments[i]
		if m.at > s.until || m.at < p.now { // lost in a downtime
			continue
		}
		err := p.wait(m.at)
		switch {
		case err != nil:
		case m.stop != "":
			err = p.startAgain(m)
		default:
			err = p.step(m.input, m.text)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, p.wait(s.until + 1) // what ends then has ended
}

// wait lets time pass up to and including a moment.
func (p *play) wait(until time.Duration) error {
	for p.tick > 0 && p.now+p.tick <= until {
		p.now += p.tick
		if err := p.step(rules.Input{}, ""); err != nil {
			return err
		}
	}
	if p.tick == 0 {
		err := drain(p.engine, p.start.Add(until), func(due time.Time) error {
			p.now = max(p.now, due.Sub(p.start))
			return p.step(rules.Input{}, "")
		})
		if err != nil {
			return err
		}
	}
	if until > p.now {
		p.now = until
		return p.step(rules.Input{}, "")
	}
	return nil
}

// drain ticks whenever a timer of the engine is due, up to and including until.
func drain(e *rules.Engine, until time.Time, tick func(due time.Time) error) error {
	var last time.Time
	for idle := 0; ; {
		due := e.Next()
		if due.IsZero() || due.After(until) {
			return nil
		}
		// A timer that does not end when it is due would be waited for without end.
		if due.After(last) {
			last, idle = due, 0
		} else if idle++; idle > 10_000 {
			return fmt.Errorf("at %s the engine's timers do not end, which is a fault of tocsin (please report it, with what was played)", due.UTC().Format(time.RFC3339))
		}
		if err := tick(due); err != nil {
			return err
		}
	}
}

// step gives the engine one input; command names one that must find its alarm.
func (p *play) step(in rules.Input, command string) error {
	in.Now = p.start.Add(p.now)
	p.out.Reset()
	p.engine.Step(in, &p.out)
	if p.crash {
		p.heard = append(p.heard, in)
	}
	for i := range p.out.Transitions {
		t := &p.out.Transitions[i]
		b, err := json.Marshal(t.State)
		if err != nil {
			return fmt.Errorf("storing the state of %s: %w", t.State.Key, err)
		}
		if t.State.Key != "" { // what is told of devices and sources has none
			p.stored[t.State.Key] = b
			p.moved[t.State.Rule] = true
		}
		for _, ev := range t.Events {
			if slices.Equal(ev.Endpoints, []string{listener}) {
				ev.Endpoints = nil
			}
			p.events = append(p.events, ev)
		}
	}
	for _, reason := range p.out.Problems {
		if command != "" {
			p.faults = append(p.faults, fmt.Sprintf("  at %s: %s had no effect: %s", short(p.now), command, reason))
			continue
		}
		p.unused[reason]++
	}
	return nil
}

// startAgain is what the bridge does after it was stopped or killed: a new engine
// takes over what was written down. Then, time goes on.
func (p *play) startAgain(m *moment) error {
	before := p.engine
	p.engine = p.plot.engine(p.program)
	if m.stop == "crash" {
		for _, in := range p.heard {
			p.engine.Rehearse(in)
		}
	} else {
		for record := range before.Memory() {
			if err := p.engine.Recall(slices.Clone(record)); err != nil {
				return fmt.Errorf("recalling: %w", err)
			}
		}
		for s := range before.States() {
			b, err := json.Marshal(s)
			if err != nil {
				return fmt.Errorf("storing the state of %s: %w", s.Key, err)
			}
			p.stored[s.Key] = b
		}
	}
	for _, key := range sortedKeys(p.stored) {
		s := rules.State{}
		if err := json.Unmarshal(p.stored[key], &s); err != nil {
			return fmt.Errorf("reading the state of %s: %w", key, err)
		}
		s.Key = key
		p.engine.Restore(s)
	}
	from := p.start.Add(p.now)
	p.now += m.down
	p.engine.Resume(from, p.start.Add(p.now))
	if p.crash {
		p.heard = append(p.heard, rules.Input{Now: p.start.Add(p.now), Gap: &rules.Gap{From: from, To: p.start.Add(p.now)}})
	}
	return p.step(rules.Input{Link: &rules.Link{Source: source, Connected: true}}, "")
}
