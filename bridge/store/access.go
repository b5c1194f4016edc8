package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"

	"tocsin/bridge"
)

// Access is who may ask a running bridge, and what they have changed.
func (d *DB) Access() bridge.Access { return access{d} }

// An access is a DB as the operator's interface sees it. It implements bridge.Access.
type access struct{ d *DB }

// Tokens returns every token, the oldest first.
func (a access) Tokens(ctx context.Context) (all []bridge.AccessToken, err error) {
	if err := a.d.state(); err != nil {
		return nil, err
	}
	rows, err := a.d.read.QueryContext(ctx, `SELECT id, name, scope, digest, created, used, ends, revoked FROM token ORDER BY created, id`)
	if err != nil {
		return nil, a.d.reading("tokens", err)
	}
	err = each(rows, func() error {
		var t bridge.AccessToken
		var digest []byte
		var created, used, ends, revoked int64
		if err := rows.Scan(&t.ID, &t.Name, &t.Scope, &digest, &created, &used, &ends, &revoked); err != nil {
			return err
		}
		if copy(t.Digest[:], digest) != len(t.Digest) {
			return fmt.Errorf("token %s has no digest (restore a backup)", t.ID)
		}
		t.Created, t.Used, t.Ends, t.Revoked = fromNanos(created), fromNanos(used), fromNanos(ends), fromNanos(revoked)
		all = append(all, t)
		return nil
	})
	return all, a.d.reading("tokens", err)
}

// PutTokens writes tokens, and deletes others by their ids.
func (a access) PutTokens(ctx context.Context, put []bridge.AccessToken, forget ...string) error {
	return a.write(ctx, func(ctx context.Context, w *writer) error {
		for i := range put {
			t := &put[i]
			if _, err := w.conn.ExecContext(ctx, `INSERT OR REPLACE INTO token (id, name, scope, digest, created, used, ends, revoked)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, t.ID, t.Name, string(t.Scope), t.Digest[:],
				nanos(t.Created), nanos(t.Used), nanos(t.Ends), nanos(t.Revoked)); err != nil {
				return fmt.Errorf("writing token %s: %w", t.ID, err)
			}
		}
		for _, id := range forget {
			if _, err := w.conn.ExecContext(ctx, `DELETE FROM token WHERE id = ?`, id); err != nil {
				return fmt.Errorf("deleting token %s: %w", id, err)
			}
		}
		return nil
	})
}

// Audit adds an entry and forgets all but the newest of its kind.
func (a access) Audit(ctx context.Context, e bridge.AuditEntry, keep int) error {
	said, err := json.Marshal(e.Said)
	if err != nil {
		return fmt.Errorf("encoding what was said: %w", err)
	}
	return a.write(ctx, func(ctx context.Context, w *writer) error {
		if _, err := w.conn.ExecContext(ctx, `INSERT INTO audit (at, refused, who, token, sender, method, path, status, error, said)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			nanos(e.At), e.Refused, e.Who, e.Token, e.From, e.Method, e.Path, e.Status, e.Error, string(said)); err != nil {
			return fmt.Errorf("writing the audit log: %w", err)
		}
		// The newest stays, so that its number is never given to another.
		if _, err := w.conn.ExecContext(ctx, `DELETE FROM audit WHERE refused = ?1 AND num <=
			(SELECT num FROM audit WHERE refused = ?1 ORDER BY num DESC LIMIT 1 OFFSET ?2)`, e.Refused, max(keep, 1)); err != nil {
			return fmt.Errorf("cutting the audit log: %w", err)
		}
		return nil
	})
}

// Audited returns entries, the newest first.
func (a access) Audited(ctx context.Context, q bridge.AuditQuery) (all []bridge.AuditEntry, err error) {
	if err := a.d.state(); err != nil {
		return nil, err
	}
	until := int64(math.MaxInt64)
	if !q.Until.IsZero() {
		until = nanos(q.Until)
	}
	rows, err := a.d.read.QueryContext(ctx, `SELECT num, at, refused, who, token, sender, method, path, status, error, said FROM audit
		WHERE num < ?1 AND (?2 = '' OR who = ?2) AND at >= ?3 AND at < ?4 ORDER BY num DESC LIMIT ?5`,
		cmp.Or(q.Before, math.MaxInt64), q.Who, nanos(q.Since), until, cmp.Or(q.Limit, -1))
	if err != nil {
		return nil, a.d.reading("the audit log", err)
	}
	err = each(rows, func() error {
		var e bridge.AuditEntry
		var at int64
		var said string
		if err := rows.Scan(&e.Num, &at, &e.Refused, &e.Who, &e.Token, &e.From, &e.Method, &e.Path, &e.Status, &e.Error, &said); err != nil {
			return err
		}
		e.At = fromNanos(at)
		all = append(all, e)
		return json.Unmarshal([]byte(said), &all[len(all)-1].Said)
	})
	return all, a.d.reading("the audit log", err)
}

func (a access) write(ctx context.Context, do func(context.Context, *writer) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.d.writing.Lock()
	defer a.d.writing.Unlock()
	ctx = context.WithoutCancel(ctx)
	if err := a.d.recover(ctx); err != nil {
		return err
	}
	return a.d.write(ctx, &work{access: do})
}
