package bridge

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"
)

// A Scope is how much a token lets its bearer do.
type Scope string

const (
	ScopeRead  Scope = "read"  // look at everything but tokens and the audit log
	ScopeOps   Scope = "ops"   // and act on alarms, endpoints and deliveries
	ScopeAdmin Scope = "admin" // and on what the bridge runs by, and who may do what
)

// Scopes are all of them, each with what the ones before it allow.
func Scopes() []Scope { return []Scope{ScopeRead, ScopeOps, ScopeAdmin} }

// Allows reports whether s is enough for what needs the other. What needs no
// known scope is allowed to nobody.
func (s Scope) Allows(needed Scope) bool {
	all := Scopes()
	need := slices.Index(all, needed)
	return need >= 0 && slices.Index(all, s) >= need
}

// An AccessToken is what is kept of a token that lets its bearer ask a bridge. The
// token itself is kept nowhere.
type AccessToken struct {
	ID      string
	Name    string // who bears it, for people
	Scope   Scope
	Digest  [sha256.Size]byte `json:"-"` // of the token
	Created time.Time
	Used    time.Time // last, to about a minute
	Ends    time.Time // zero: never
	Revoked time.Time // zero: it was not
}

// An AuditEntry is one request that changed something, or would have.
type AuditEntry struct {
	Num     int64 // the store's own, ascending
	At      time.Time
	Who     string // name of the token, or of what stands in for one
	Token   string // its id, where it has one
	From    string // address of the sender
	Method  string
	Path    string // without a query
	Status  int
	Refused bool   // for want of a right to it: nobody need have known who sent it
	Error   string // why it was not carried out
	Said    map[string]string
}

// An AuditQuery asks for a page of the audit log. What is zero is not asked for.
type AuditQuery struct {
	Who          string
	Since, Until time.Time // at or after, before
	Before       int64     // entries of smaller numbers
	Limit        int
}

// Access is who may ask a running bridge, and what they have changed.
type Access interface {
	// Tokens returns every token, the oldest first.
	Tokens(ctx context.Context) ([]AccessToken, error)
	// PutTokens writes tokens, new ones and those that have changed, and deletes
	// others by their ids: atomic, and durable when nil.
	PutTokens(ctx context.Context, put []AccessToken, forget ...string) error
	// Audit adds an entry, whose Num does not count, and forgets all but the newest
	// keep of those that are Refused as it is. So whoever has no right to anything
	// cannot push out of the log what was done.
	Audit(ctx context.Context, e AuditEntry, keep int) error
	// Audited returns entries, the newest first.
	Audited(ctx context.Context, q AuditQuery) ([]AuditEntry, error)
}

// Access is who may ask this bridge, and what they have changed. The bridge itself
// asks nobody for a token.
func (b *Bridge) Access() Access { return b.store.Access() }
