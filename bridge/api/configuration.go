package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tocsin/bridge"
)

// A Problem is something wrong in a configuration: where, what, and what to do.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Place   string `json:"place,omitempty"`
	Fact    string `json:"fact"`
	Remedy  string `json:"remedy"`
	Warning bool   `json:"warning"`
}

// Rejected is the error of a configuration that cannot be used.
type Rejected struct {
	Problems []Problem
	Of       string // what was asked to be tried, and is not to run; "" is the configuration
}

func (r *Rejected) Error() string {
	errs := 0
	for _, p := range r.Problems {
		if !p.Warning {
			errs++
		}
	}
	noun := "errors"
	if errs == 1 {
		noun = "error"
	}
	if r.Of != "" {
		return fmt.Sprintf("%s have %d %s (correct them)", r.Of, errs, noun)
	}
	return fmt.Sprintf("the configuration has %d %s and what runs goes on unchanged (correct the file, and check it with: tocsin check)", errs, noun)
}

// ErrRequest is an error of whoever asks; what wraps it says which.
var ErrRequest = errors.New("bad request")

// Reloaded is the answer of a reload.
type Reloaded struct {
	Changes bridge.Diff `json:"changes"`
	Elsewhere
}

// Said is what a reload changed, in pairs of a name and a text for logs.
func (r *Reloaded) Said() (pairs []string) {
	add := func(name string, names []string) {
		if len(names) > 0 {
			pairs = append(pairs, name, strings.Join(names, " "))
		}
	}
	for _, part := range []struct {
		name string
		bridge.Changes
	}{{"rules", r.Changes.Rules}, {"endpoints", r.Changes.Endpoints}} {
		add(part.name+"_added", part.Added)
		add(part.name+"_changed", part.Changed)
		add(part.name+"_removed", part.Removed)
		var renamed []string
		for _, was := range slices.Sorted(maps.Keys(part.Renamed)) {
			renamed = append(renamed, was+" → "+part.Renamed[was])
		}
		add(part.name+"_renamed", renamed)
	}
	add("definitions", r.Definitions)
	add("restart", r.Restart)
	return pairs
}

// Planned is the answer of a plan.
type Planned struct {
	bridge.Plan
	Elsewhere
}

// Elsewhere is what there is to say of a configuration beside its rules and
// endpoints. Its lists are never nil.
type Elsewhere struct {
	Definitions []string  `json:"definitions"` // tables that rules refer to and that have changed
	Restart     []string  `json:"restart"`     // sections that differ and need a restart
	Warnings    []Problem `json:"warnings"`
}

// addConfiguration adds what reads the configuration again.
func (c *control) addConfiguration() {
	type planning struct {
		Body *struct {
			Config string `json:"config,omitempty" doc:"a file on the bridge's machine; left out: the one that it runs by"`
		}
	}
	if c.reload != nil {
		acts(c, does{bridge.ScopeAdmin, "reload", "Read the configuration again"}, func(ctx context.Context, in *struct{ Caller }) (Reloaded, error) {
			report, err := c.reload(ctx)
			c.audit(&in.Caller, err, report.Said()...)
			return report, err
		})
	}
	if c.plan != nil {
		asks(c, does{bridge.ScopeAdmin, "plan", "Say what a configuration would do"}, func(ctx context.Context, in *planning) (Planned, error) {
			config := ""
			if in.Body != nil {
				config = in.Body.Config
			}
			return c.plan(ctx, config)
		})
	}
}
