package api

import (
	"context"
	"errors"
	"fmt"

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
type Rejected struct{ Problems []Problem }

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
	return fmt.Sprintf("the configuration has %d %s and what runs goes on unchanged (correct the file, and check it with: tocsin check)", errs, noun)
}

// ErrRequest is an error of whoever asks; what wraps it says which.
var ErrRequest = errors.New("bad request")

// Reloaded is the answer of a reload.
type Reloaded struct {
	Changes bridge.Diff `json:"changes"`
	Elsewhere
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
			c.audit(&in.Caller, err)
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
