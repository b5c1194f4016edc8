package api

import (
	"context"

	"tocsin/bridge"
)

// A Me is who sends a request, and whom it has reached.
type Me struct {
	Name    string       `json:"name" doc:"of the token; http.token for that of the configuration, loopback where none is asked for"`
	Scope   bridge.Scope `json:"scope" enum:"read,ops,admin" doc:"what its bearer may do"`
	Version string       `json:"version,omitempty" doc:"of this bridge"`
}

// addMe adds what a page asks first: whether it is let in, and what it may offer.
func (c *control) addMe() {
	reads(c, does{bridge.ScopeRead, "me", "Say who asks, and what they may do"}, func(_ context.Context, in *struct{ Caller }) (Me, error) {
		return Me{in.x.by.name, in.x.by.scope, c.version}, nil
	})
}
