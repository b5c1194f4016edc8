package bridge

import (
	"context"
	"fmt"
	"slices"

	"tocsin/rules"
)

// A Reloaded is what another configuration asks of a running bridge.
type Reloaded struct {
	Program   *rules.Program // the one there is leaves the engine as it is
	Endpoints []Endpoint     // all of them; one whose Revision is the same stays as it is
}

// A Diff is what a reload changed, by name.
type Diff struct {
	Rules     Changes `json:"rules"`
	Endpoints Changes `json:"endpoints"`
}

// Empty reports whether nothing has changed.
func (d Diff) Empty() bool { return d.Rules.Empty() && d.Endpoints.Empty() }

// Changes are names, each list ascending.
type Changes struct {
	Added   []string          `json:"added"`
	Changed []string          `json:"changed"`
	Removed []string          `json:"removed"`
	Renamed map[string]string `json:"renamed,omitempty"` // the name it has now, by the one it had
}

// Empty reports whether nothing has changed.
func (c Changes) Empty() bool {
	return len(c.Added)+len(c.Changed)+len(c.Removed)+len(c.Renamed) == 0
}

func newChanges() Changes {
	return Changes{Added: []string{}, Changed: []string{}, Removed: []string{}} // lists, never null
}

func diffOf(before, after Reloaded) Diff {
	return Diff{Rules: diffOfRules(before.Program, after.Program), Endpoints: diffOfEndpoints(before.Endpoints, after.Endpoints)}
}

func diffOfRules(before, after *rules.Program) Changes {
	c := newChanges()
	for _, change := range after.Diff(before) {
		if change.From != "" {
			if c.Renamed == nil {
				c.Renamed = make(map[string]string)
			}
			c.Renamed[change.From] = change.Rule
		}
		switch change.Kind {
		case rules.RuleAdded:
			c.Added = append(c.Added, change.Rule)
		case rules.RuleRemoved:
			c.Removed = append(c.Removed, change.Rule)
		case rules.RuleText, rules.RuleLimits:
			c.Changed = append(c.Changed, change.Rule)
		}
	}
	return c
}

func diffOfEndpoints(before, after []Endpoint) Changes {
	revisions := make(map[string]int)
	for i := range before {
		revisions[before[i].Name] = before[i].Revision
	}
	c := newChanges()
	for i := range after {
		name := after[i].Name
		switch was, ok := revisions[name]; {
		case !ok:
			c.Added = append(c.Added, name)
		case was != after[i].Revision:
			c.Changed = append(c.Changed, name)
		}
		delete(revisions, name)
	}
	for name := range revisions {
		c.Removed = append(c.Removed, name)
	}
	slices.Sort(c.Added)
	slices.Sort(c.Changed)
	slices.Sort(c.Removed)
	return c
}

// Reload judges by other rules and tells other endpoints from now on, and
// returns when what that decided at once is on disk. Alarms of rules that have
// not changed go on untouched, and so do endpoints.
//
// The change has been made even when the error is not nil: the bridge could not
// store what it decided, and decides it again when it can.
func (b *Bridge) Reload(ctx context.Context, r Reloaded) (Diff, error) {
	b.loading.Lock()
	diff := diffOf(Reloaded{b.program, b.endpoints}, r)
	if err := b.addLanes(ctx, r.Endpoints, diff.Endpoints); err != nil {
		b.loading.Unlock()
		return Diff{}, err
	}
	receipt := b.swap(r, b.past(ctx, rules.NewPast(r.Program, b.program)))
	for _, name := range diff.Endpoints.Removed {
		owed, err := b.owedAnything(ctx, name)
		if err != nil {
			b.log.Warn("an endpoint left the configuration, and what it is owed is not known", "endpoint", name, "error", err)
		}
		b.lanes.remove(name, owed)
	}
	b.loading.Unlock()
	if err := settled(ctx, receipt); err != nil {
		return diff, fmt.Errorf("storing what the new rules decided: %w", err)
	}
	return diff, nil
}

// swap puts other rules and endpoints in the place of those there are, between
// two inputs.
func (b *Bridge) swap(r Reloaded, past *rules.Past) func(context.Context) error {
	b.mu.Lock()
	same := b.program == r.Program
	b.program, b.endpoints = r.Program, r.Endpoints
	if b.engine == nil || same {
		b.mu.Unlock()
		return nil // without an engine: one is made with the new rules when there is space
	}
	b.out.Reset()
	now, inputs := b.wake(nil)
	b.engine.Reload(r.Program, now, past, &b.out)
	problems := slices.Clone(b.out.Problems)
	g := b.queue(nil, nil)
	b.mu.Unlock()
	b.record(g, inputs)
	for _, problem := range problems {
		b.log.Error("the new rules have not taken everything over", "problem", problem)
	}
	return g.waits()
}
