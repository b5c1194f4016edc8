package bridge

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tocsin/rules"
)

// A Plan is what a reload would do at once. What happens later depends on what
// devices report.
type Plan struct {
	Changes Diff          `json:"changes"`
	Alarms  []Consequence `json:"alarms"` // those that would change, by key; of very many the first
	More    int           `json:"more"`   // those that would change and are not listed
	Kept    int           `json:"kept"`   // alarms under way that would go on as they are
}

const maxConsequences = 10_000

// A Consequence is what a reload would do to one alarm.
type Consequence struct {
	Key    string    `json:"key"`
	Before Standing  `json:"before"`
	After  Standing  `json:"after"`
	Told   []Foresaw `json:"told"` // in order; empty when nobody would learn of it
}

// A Standing is how an alarm stands.
type Standing struct {
	State    string         `json:"state"`
	Severity rules.Severity `json:"severity,omitzero"`
}

// A Foresaw is an event that a reload would cause.
type Foresaw struct {
	Type      rules.Type `json:"type"`
	Reason    string     `json:"reason,omitempty"`
	Because   string     `json:"because"`
	Endpoints []string   `json:"endpoints"`
}

// Plan says what [Bridge.Reload] would do. It does it to a copy of the engine, so
// that what it says is what the engine does; intake waits while the copy is made.
func (b *Bridge) Plan(ctx context.Context, r Reloaded) (Plan, error) {
	b.loading.Lock()
	defer b.loading.Unlock()
	plan := Plan{Changes: diffOf(Reloaded{b.program, b.endpoints}, r), Alarms: []Consequence{}}

	b.mu.Lock()
	if b.engine == nil {
		b.mu.Unlock()
		return Plan{}, fmt.Errorf("planning: %w", errRefused)
	}
	now := b.clock.now()
	memory := slices.Collect(b.engine.Memory())
	states := slices.Collect(b.engine.States())
	b.mu.Unlock()

	engine := rules.NewEngine(b.program, rules.Options{
		Route:      func(ev *rules.Event) []string { return Route(r.Endpoints, ev) },
		MaxDevices: b.limit,
	})
	for _, record := range memory {
		if err := engine.Recall(record); err != nil {
			return Plan{}, fmt.Errorf("planning: copying the engine: %w", err)
		}
	}
	before := make(map[identity]Standing)
	for _, s := range states {
		engine.Restore(s)
		if stands := standing(&s); stands.State != inactive {
			before[plan.identify(&s)] = stands
		}
	}
	var out rules.Output
	engine.Reload(r.Program, now, b.past(ctx, rules.NewPast(r.Program, b.program)), &out)
	plan.tell(before, out.Transitions)
	return plan, nil
}

// An identity is an alarm, by the name that its rule would have.
type identity struct{ rule, device string }

func (p *Plan) identify(s *rules.State) identity {
	return identity{cmp.Or(p.Changes.Rules.Renamed[s.Rule], s.Rule), s.Device}
}

// tell takes down what became of alarms. One that is merely written down anew, of a
// rule that says something else or has another name, goes on as it is.
func (p *Plan) tell(before map[identity]Standing, ts []rules.Transition) {
	changed := make(map[identity]*Consequence)
	for i := range ts {
		s := &ts[i].State
		if s.Key == "" {
			continue // an event that is no alarm's
		}
		id := p.identify(s)
		c := changed[id]
		if c == nil {
			c = &Consequence{Before: cmp.Or(before[id], Standing{State: inactive}), Told: []Foresaw{}}
			changed[id] = c
		}
		c.Key, c.After = keyOf(s), standing(s) // of a new name, what is under the former one comes first
		for _, ev := range ts[i].Events {
			c.Told = append(c.Told, Foresaw{ev.Type, ev.Reason, ev.Because, append([]string{}, ev.Endpoints...)})
		}
	}
	p.Kept = len(before)
	for id, c := range changed {
		if c.After == c.Before && len(c.Told) == 0 {
			continue
		}
		if _, ok := before[id]; ok {
			p.Kept--
		}
		p.Alarms = append(p.Alarms, *c)
	}
	slices.SortFunc(p.Alarms, func(a, b Consequence) int { return cmp.Compare(a.Key, b.Key) })
	p.More = max(0, len(p.Alarms)-maxConsequences)
	p.Alarms = p.Alarms[:len(p.Alarms)-p.More]
}

const (
	inactive = "inactive"
	pending  = "pending"
)

// standing reads from a state how its alarm stands.
func standing(s *rules.State) Standing {
	at, top := Standing{State: inactive}, -1
	for i, l := range s.Levels {
		switch {
		case l.On:
			top = i
		case !l.Since.IsZero():
			at = Standing{pending, l.Severity}
		}
	}
	if top < 0 && (s.Returned || s.Flapping) && len(s.Levels) > 0 { // clear, and held
		return Standing{"firing", max(s.Levels[0].Severity, s.Severity, s.Raised)}
	}
	if top < 0 {
		return at
	}
	at = Standing{"firing", max(s.Levels[top].Severity, s.Raised)}
	if !s.Levels[top].Since.IsZero() {
		at.State = "recovering"
	}
	return at
}
