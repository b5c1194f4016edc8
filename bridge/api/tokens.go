package api

import (
	"context"
	"time"

	"tocsin/bridge"
)

// A TokenView is a token as it is shown: never its text.
type TokenView struct {
	ID      string       `json:"id"`
	Name    string       `json:"name" doc:"who bears it"`
	Scope   bridge.Scope `json:"scope" enum:"read,ops,admin"`
	State   string       `json:"state" enum:"active,ended,revoked"`
	Created time.Time    `json:"created"`
	Used    time.Time    `json:"used,omitzero" doc:"when it was last used, to about a minute"`
	Ends    time.Time    `json:"ends,omitzero"`
	Revoked time.Time    `json:"revoked,omitzero"`
}

// A TokenMade is a new token.
type TokenMade struct {
	TokenView
	Token string `json:"token" doc:"the token, which is shown this once: only its digest is kept"`
}

func tokenView(t *bridge.AccessToken, now time.Time) TokenView {
	v := TokenView{ID: t.ID, Name: t.Name, Scope: t.Scope, State: "active", Created: t.Created, Used: t.Used, Ends: t.Ends, Revoked: t.Revoked}
	switch {
	case !t.Revoked.IsZero():
		v.State = "revoked"
	case ended(t, now):
		v.State = "ended"
	}
	return v
}

// addTokens adds what says who may ask.
func (c *control) addTokens() {
	type tokenList struct {
		Tokens []TokenView `json:"tokens" doc:"the oldest first, with those that were revoked or have ended"`
	}
	reads(c, does{bridge.ScopeAdmin, "tokens", "List the tokens that may ask"}, func(ctx context.Context, _ *struct{}) (tokenList, error) {
		all, err := c.gate.list(ctx)
		list := tokenList{[]TokenView{}}
		for i := range all {
			list.Tokens = append(list.Tokens, tokenView(&all[i], time.Now()))
		}
		return list, err
	})
	type tokenMaking struct {
		Caller
		Body struct {
			Name  string       `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9][A-Za-z0-9_.@-]*$" doc:"who is to bear it, in letters, digits and _.@-; it stands in the audit log"`
			Scope bridge.Scope `json:"scope" enum:"read,ops,admin" doc:"read lets its bearer look, ops act as well, admin everything"`
			Ends  time.Time    `json:"ends,omitzero" doc:"left out: never"`
		}
	}
	makes(c, does{bridge.ScopeAdmin, "tokens", "Make a token"}, func(ctx context.Context, in *tokenMaking) (TokenMade, error) {
		b := &in.Body
		t, text, err := c.gate.make(ctx, b.Name, b.Scope, b.Ends)
		ends := ""
		if !b.Ends.IsZero() {
			ends = b.Ends.Format(time.RFC3339)
		}
		c.audit(&in.Caller, err, "name", b.Name, "scope", string(b.Scope), "ends", ends, "id", t.ID)
		return TokenMade{tokenView(&t, time.Now()), text}, err
	})
	type tokenNamed struct {
		Caller
		ID string `path:"id" doc:"its id, or its name"`
	}
	removes(c, does{bridge.ScopeAdmin, "tokens/{id}", "Revoke a token, from this moment on"}, func(ctx context.Context, in *tokenNamed) (struct{}, error) {
		err := c.gate.revoke(ctx, in.ID)
		c.audit(&in.Caller, err)
		return struct{}{}, err
	})
}
