package bridge

import (
	"context"

	"tocsin/bridge/webhook"
)

// A Registered is an endpoint that was registered while the bridge ran, as it is
// kept. What it is is for whoever registers it to say: the bridge is given its
// endpoints whole.
type Registered struct {
	Name string
	// text is the endpoint with its secrets, and so nothing prints it. It is zero
	// where what is kept cannot be read any more.
	text webhook.Credential
}

// NewRegistered is an endpoint to be kept as a text.
func NewRegistered(name, text string) Registered {
	return Registered{name, webhook.NewCredential(text)}
}

// Reveal returns the text; "" is one that cannot be read any more.
func (r Registered) Reveal() string { return r.text.Reveal() }

// A Registry keeps the endpoints that were registered while the bridge ran.
type Registry interface {
	// Registered returns all of them, by name.
	Registered(ctx context.Context) ([]Registered, error)
	// Register keeps an endpoint, in the place of one of that name: durable when nil.
	Register(ctx context.Context, r Registered) error
	// Unregister forgets one. What it is owed stays; an unknown name is no error.
	Unregister(ctx context.Context, name string) error
}

// Registry keeps the endpoints that were registered while this bridge ran.
func (b *Bridge) Registry() Registry { return b.store.Registry() }
