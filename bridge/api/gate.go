package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/bridge"
)

// Names of who asks without a token from the store.
const (
	byConfiguration = "http.token" // the bearer of the configuration's token
	byLoopback      = "loopback"   // anybody on this machine, where there is no such token
	byNobody        = "-"          // whoever was not let in
)

const (
	maxTokens  = 1000 // those that were revoked or have ended included
	usedEvery  = time.Minute
	usedWithin = 5 * time.Second // to write it at the end
	tokenBegin = "tocsin_"       // by which scanners for leaked secrets know one
)

// A gate knows who may ask: the bearer of http.token may do everything, as may
// everybody where there is none, and the others have tokens in the store. They are
// held in memory, which nobody else changes.
type gate struct {
	fixed Token
	book  bridge.Access // nil: there are no others
	log   *slog.Logger

	changing sync.Mutex // held while the store is written; taken before mu

	mu     sync.Mutex
	read   bool // tokens are those of the store
	tokens []bridge.AccessToken
	used   map[string]bool // by id, since it was last written
}

// A bearer is who sends a request, as far as a token says.
type bearer struct {
	id    string // of the token, where it is in the store
	name  string
	scope bridge.Scope
}

// A denial is why somebody is not let in. It is never about what was asked for.
type denial struct {
	challenge string
	detail    string
}

// who finds out who sends a request. Digests are compared, and with every token
// there is, so that neither the time nor the length of a wrong one tells anything.
func (g *gate) who(r *http.Request) (bearer, *denial, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	digest := sha256.Sum256([]byte(strings.TrimSpace(text)))
	bears := strings.EqualFold(scheme, "Bearer")
	if g.fixed.is(digest) && bears {
		return bearer{name: byConfiguration, scope: bridge.ScopeAdmin}, nil, nil
	}
	token, err := g.find(r.Context(), digest)
	if err != nil {
		return bearer{}, nil, err
	}
	const invalid = `Bearer realm="tocsin", error="invalid_token"`
	switch now := time.Now(); {
	case token != nil && bears && !token.Revoked.IsZero():
		return bearer{}, &denial{invalid, "the token was revoked (ask whoever runs this bridge for another)"}, nil
	case token != nil && bears && ended(token, now):
		return bearer{}, &denial{invalid, "the token has ended (ask whoever runs this bridge for another)"}, nil
	case token != nil && bears:
		return bearer{token.ID, token.Name, token.Scope}, nil, nil
	case !g.fixed.set:
		return bearer{name: byLoopback, scope: bridge.ScopeAdmin}, nil, nil
	case bears:
		return bearer{}, &denial{invalid, "the bearer token is none of this bridge (send that of http.token, or one that tocsin tokens lists)"}, nil
	}
	return bearer{}, &denial{`Bearer realm="tocsin"`, `a bearer token is needed (send "Authorization: Bearer TOKEN" with the token of http.token, or one that tocsin tokens has made)`}, nil
}

func ended(t *bridge.AccessToken, now time.Time) bool { return !t.Ends.IsZero() && !now.Before(t.Ends) }

// find returns the token with a digest, or nil, and notes that it was used.
func (g *gate) find(ctx context.Context, digest [sha256.Size]byte) (found *bridge.AccessToken, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.load(ctx); err != nil {
		return nil, err
	}
	for i := range g.tokens {
		if subtle.ConstantTimeCompare(g.tokens[i].Digest[:], digest[:]) == 1 {
			t := g.tokens[i]
			found = &t
			if t.Revoked.IsZero() {
				g.tokens[i].Used = time.Now()
				g.used[t.ID] = true
			}
		}
	}
	return found, nil
}

// lets reports whether who was let in would be let in again.
func (g *gate) lets(by bearer) bool {
	if by.id == "" {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.tokens, func(t bridge.AccessToken) bool { return t.ID == by.id })
	return i >= 0 && g.tokens[i].Revoked.IsZero() && !ended(&g.tokens[i], time.Now())
}

// load reads the tokens once. The caller holds mu.
func (g *gate) load(ctx context.Context) (err error) {
	if g.read || g.book == nil {
		return nil
	}
	if g.tokens, err = g.book.Tokens(ctx); err != nil {
		return fmt.Errorf("reading who may ask: %w", err)
	}
	g.read, g.used = true, make(map[string]bool)
	return nil
}

// list returns every token.
func (g *gate) list(ctx context.Context) ([]bridge.AccessToken, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.load(ctx)
	return slices.Clone(g.tokens), err
}

// make makes a token, and returns its text, which is known to nobody else.
func (g *gate) make(ctx context.Context, name string, scope bridge.Scope, ends time.Time) (t bridge.AccessToken, text string, err error) {
	g.changing.Lock()
	defer g.changing.Unlock()
	all, err := g.list(ctx)
	now := time.Now()
	alive := func(t bridge.AccessToken) bool { return t.Revoked.IsZero() && !ended(&t, now) }
	switch {
	case err != nil:
		return t, "", err
	case !g.fixed.set:
		return t, "", conflict("this bridge asks nobody on its machine for a token, so none would keep anybody out (set http.token first)")
	case !ends.IsZero() && !ends.After(now):
		return t, "", badRequest("ends: %s is over (leave it out for a token without an end)", ends.Format(time.RFC3339))
	case slices.Contains([]string{byConfiguration, byLoopback, BySignal, ByFile}, name):
		return t, "", conflict("name: %s stands for somebody else in the audit log (choose another)", name)
	case slices.ContainsFunc(all, func(t bridge.AccessToken) bool { return t.Name == name && alive(t) }):
		return t, "", conflict("name: there is a token %s (revoke it first, or choose another name)", name)
	}
	var forget []string
	if len(all) >= maxTokens {
		i := slices.IndexFunc(all, func(t bridge.AccessToken) bool { return !alive(t) })
		if i < 0 {
			return t, "", conflict("there are %d tokens, which is the most (revoke some)", maxTokens)
		}
		forget = []string{all[i].ID}
		all = slices.Delete(all, i, i+1)
	}
	text = tokenBegin + rand.Text()
	t = bridge.AccessToken{
		ID: "tok_" + rand.Text()[:12], Name: name, Scope: scope, Digest: sha256.Sum256([]byte(text)), Created: now.UTC(), Ends: ends.UTC(),
	}
	if ends.IsZero() {
		t.Ends = time.Time{}
	}
	if err := g.book.PutTokens(ctx, []bridge.AccessToken{t}, forget...); err != nil {
		return t, "", fmt.Errorf("keeping the token: %w", err)
	}
	g.set(append(all, t))
	return t, text, nil
}

// revoke ends a token that is named by its id, or as the only one with a name.
func (g *gate) revoke(ctx context.Context, which string) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	all, err := g.list(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(t bridge.AccessToken) bool { return t.ID == which })
	if i < 0 { // of a name one is alive at a time, and it is the newest
		for j := range all {
			if all[j].Name == which {
				i = j
			}
		}
	}
	switch {
	case i < 0:
		return nothing("there is no token %q (tocsin tokens lists them)", which)
	case !all[i].Revoked.IsZero():
		return conflict("the token was revoked %s", all[i].Revoked.Format(time.RFC3339))
	}
	all[i].Revoked = time.Now().UTC()
	if err := g.book.PutTokens(ctx, all[i:i+1]); err != nil {
		return fmt.Errorf("revoking the token: %w", err)
	}
	g.set(all)
	return nil
}

// set takes over what the store has now. What was used meanwhile was.
func (g *gate) set(all []bridge.AccessToken) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range all {
		j := slices.IndexFunc(g.tokens, func(t bridge.AccessToken) bool { return t.ID == all[i].ID })
		if j >= 0 {
			all[i].Used = g.tokens[j].Used
		}
	}
	g.tokens = all
}

// keep writes once a minute which tokens were used, until ctx ends.
func (g *gate) keep(ctx context.Context) {
	tick := time.NewTicker(usedEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), usedWithin)
			defer cancel()
			g.writeUsed(last)
			return
		case <-tick.C:
			g.writeUsed(ctx)
		}
	}
}

func (g *gate) writeUsed(ctx context.Context) {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.mu.Lock()
	var put []bridge.AccessToken
	for _, t := range g.tokens {
		if g.used[t.ID] {
			put = append(put, t)
		}
	}
	clear(g.used)
	g.mu.Unlock()
	if len(put) == 0 {
		return
	}
	err := g.book.PutTokens(ctx, put)
	if err == nil {
		return
	}
	if !errors.Is(err, context.Canceled) {
		g.log.Warn("when tokens were last used is not written", "error", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range put { // the next time, then
		g.used[put[i].ID] = true
	}
}
