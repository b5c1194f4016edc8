package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin/bridge"
)

const (
	// What is kept of an answer.
	maxAccepted = 1 << 10
	maxRefused  = 16 << 10

	// maxAccounts is how many bytes of accounts may wait for the disk: with more,
	// attempts are written without them.
	maxAccounts = 4 << 20

	// Of the attempts at one delivery the first and the last are kept.
	firstAttempts = 8
	lastAttempts  = 32
)

// An account is what the log says of an attempt beyond its outcome.
type account struct {
	took    time.Duration
	timings []byte
	answer  []byte
	cut     bool
}

func (a *account) size() int { return len(a.timings) + len(a.answer) }

// An attempt is one that was not accepted, as the table holds it.
type attempt struct {
	rowKey
	n      int // since the last replay: 1, 2, …
	status int
	err    string
	at     time.Time
	account
}

type keptKey struct {
	ep    int64
	alarm string
}

// outcomes are what attempts have left to be written.
type outcomes struct {
	rows     map[rowKey]row
	attempts []attempt
	kept     map[keptKey]string // JSON; "" forgets
	told     map[keptKey]bool   // no episode of it goes on untold
	folded   map[keptKey]int64  // the event that began an episode that is told in digests, 0: none is
	bytes    int                // of accounts
}

func newOutcomes() outcomes {
	return outcomes{rows: make(map[rowKey]row), kept: make(map[keptKey]string), told: make(map[keptKey]bool), folded: make(map[keptKey]int64)}
}

// finish takes the outcome of a line's head in.
func (w *outcomes) finish(l *lane, ln *line, o bridge.Outcome) {
	told := ln.key()
	w.noteFold(l, ln, o)
	l.finish(ln, o, w.rows)
	if o.Keep != nil {
		data := ""
		if len(o.Keep) > 0 {
			b, _ := json.Marshal(o.Keep) // strings can be encoded
			data = string(b)
		}
		w.kept[keptKey{l.num, told}] = data
		l.keeps = true
	}
	limit := maxRefused
	if o.Fate == bridge.Delivered {
		limit = maxAccepted
	}
	a := account{took: o.Took, timings: o.Timings, answer: o.Answer, cut: o.Cut}
	if len(a.answer) > limit {
		a.answer, a.cut = a.answer[:limit], true
	}
	if w.bytes += a.size(); w.bytes > maxAccounts {
		w.bytes -= a.size()
		a.timings, a.answer, a.cut = nil, nil, a.cut || len(a.answer) > 0
	}
	key := rowKey{o.Event, l.num}
	switch o.Fate {
	case bridge.Delivered:
		r := w.rows[key]
		r.account = a
		w.rows[key] = r
	case bridge.Retry, bridge.Dead:
		if len(w.attempts) < maxWaiting {
			w.attempts = append(w.attempts, attempt{rowKey: key, n: o.Attempt, status: o.Status, err: o.Error, at: o.At, account: a})
		}
	}
}

// putBack returns what could not be written; what has come since is newer. The
// log of attempts is given up: there is no space for it.
func (w *outcomes) putBack(old outcomes) {
	for key, r := range old.rows {
		if _, newer := w.rows[key]; !newer {
			r.account = account{took: r.took}
			w.rows[key] = r
		}
	}
	for key, data := range old.kept {
		if _, newer := w.kept[key]; !newer {
			w.kept[key] = data
		}
	}
	maps.Copy(w.told, old.told)
	for key, num := range old.folded {
		if _, newer := w.folded[key]; !newer {
			w.folded[key] = num
		}
	}
}

const (
	insertAttempt = `INSERT OR REPLACE INTO attempt (event, ep, n, at, took, status, error, timings, answer, cut)
		VALUES (?1, ?2, ?3 + coalesce((SELECT prior FROM delivery WHERE event = ?1 AND ep = ?2), 0), ?4, ?5, ?6, ?7, ?8, ?9, ?10)`
	forgetAttempts = `DELETE FROM attempt WHERE event = ?1 AND ep = ?2 AND n > ?3
		AND n <= (SELECT max(n) FROM attempt WHERE event = ?1 AND ep = ?2) - ?4`
	upsertKept = `INSERT INTO kept (ep, alarm, data, at) VALUES (?, ?, ?, ?)
		ON CONFLICT (ep, alarm) DO UPDATE SET data = excluded.data, at = excluded.at`
	settleRow = `INSERT INTO delivery (event, ep, state, attempt, due, status, error, at) VALUES (?, ?, ?, 0, 0, 0, ?, ?)
		ON CONFLICT (event, ep) DO UPDATE SET state = excluded.state, error = excluded.error, at = excluded.at`
)

func (w *writer) putOutcomes(ctx context.Context, o *outcomes) error {
	if err := w.putRows(ctx, o.rows); err != nil {
		return err
	}
	for i := range o.attempts {
		a := &o.attempts[i]
		if _, err := w.attempt.ExecContext(ctx, a.event, a.ep, a.n, nanos(a.at), int64(a.took), a.status, a.err,
			string(a.timings), notNull(a.answer), a.cut); err != nil {
			return fmt.Errorf("writing an attempt at event %d: %w", a.event, err)
		}
		if a.n > firstAttempts+lastAttempts {
			if _, err := w.forget.ExecContext(ctx, a.event, a.ep, firstAttempts, lastAttempts); err != nil {
				return fmt.Errorf("deleting attempts at event %d: %w", a.event, err)
			}
		}
	}
	for key := range o.told {
		if _, err := w.conn.ExecContext(ctx, `UPDATE kept SET untold = 0 WHERE ep = ? AND alarm = ?`, key.ep, key.alarm); err != nil {
			return fmt.Errorf("writing what %s was told: %w", key.alarm, err)
		}
	}
	now := nanos(time.Now())
	for key, num := range o.folded {
		if _, err := w.conn.ExecContext(ctx, markFolded, key.ep, key.alarm, num, now); err != nil {
			return fmt.Errorf("noting what of %s was folded: %w", key.alarm, err)
		}
	}
	for key, data := range o.kept {
		if _, err := w.keep.ExecContext(ctx, key.ep, key.alarm, data, now); err != nil {
			return fmt.Errorf("writing what is kept for alarm %s: %w", key.alarm, err)
		}
	}
	return nil
}

// putRows writes rows in the order of their key, so that pages are touched once.
func (w *writer) putRows(ctx context.Context, rows map[rowKey]row) error {
	keys := make([]rowKey, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b rowKey) int {
		return cmp.Or(cmp.Compare(a.event, b.event), cmp.Compare(a.ep, b.ep))
	})
	for _, k := range keys {
		r := rows[k]
		var err error
		if r.state == stateDelivered { // whether it was heard is no question
			_, err = w.accepted.ExecContext(ctx, k.event, k.ep, r.attempt, r.status, nanos(r.at), r.began,
				int64(r.took), string(r.timings), notNull(r.answer), r.cut)
		} else {
			_, err = w.row.ExecContext(ctx, k.event, k.ep, r.state, r.attempt, nanos(r.due), r.status, r.err, nanos(r.at), r.heard, r.began, r.fold)
		}
		if err != nil {
			return fmt.Errorf("writing the outcome of event %d: %w", k.event, err)
		}
	}
	return nil
}

// notNull is how SQLite is told of no bytes.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
