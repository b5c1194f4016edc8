package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"tocsin/bridge"
)

const (
	stateOpen       = 0
	stateDelivered  = 1
	stateDead       = 2
	stateCancelled  = 3
	stateSuperseded = 4
	stateDropped    = 5
)

// stateOf is the state in which an ended delivery is kept.
func stateOf(f bridge.Fate) int {
	switch f {
	case bridge.Dead:
		return stateDead
	case bridge.Cancelled:
		return stateCancelled
	case bridge.Superseded:
		return stateSuperseded
	}
	return stateDelivered
}

type rowKey struct{ event, ep int64 }

// A row is a delivery as the table holds it.
type row struct {
	state   int
	attempt int
	due     time.Time
	status  int
	err     string
	at      time.Time
	heard   bool
	began   int64
	fold    int64
	account // of the attempt, where it was accepted
}

// connect opens a pool on the file. The pragmas hold for each of its connections.
func connect(path string, cacheKiB int64, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": append(pragmas,
		"busy_timeout(5000)",
		"synchronous(FULL)",
		"temp_store(MEMORY)",
		"wal_autocheckpoint(0)", // its errors are not reported: see DB.checkpoint
		"journal_size_limit(16777216)",
		"cache_size(-"+strconv.FormatInt(cacheKiB, 10)+")",
	)}
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
}

// A writer is the one connection that writes, with its statements.
type writer struct {
	pool *sql.DB
	conn *sql.Conn

	state, event, row, accepted, settle, attempt, forget, keep, endpoint, probe *sql.Stmt
}

func openWriter(ctx context.Context, path string, cacheKiB int64, before upgrader) (*writer, error) {
	pool, err := connect(path, cacheKiB)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	w := &writer{pool: pool}
	if err := w.open(ctx, path, before); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *writer) open(ctx context.Context, path string, before upgrader) (err error) {
	if w.conn, err = w.pool.Conn(ctx); err != nil {
		return err
	}
	if err := w.migrate(ctx, path, before); err != nil {
		return err
	}
	for _, s := range []struct {
		to   **sql.Stmt
		text string
	}{
		{&w.settle, settleRow}, {&w.attempt, insertAttempt}, {&w.forget, forgetAttempts}, {&w.keep, upsertKept},
		{&w.state, `INSERT INTO alarm (key, data, sum) VALUES (?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET data = excluded.data, sum = excluded.sum`},
		{&w.event, `INSERT INTO event (num, id, type, alarm, at, committed, eps, payload, class, told, sum)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`},
		{&w.row, `INSERT INTO delivery (event, ep, state, attempt, due, status, error, at, heard, began, fold)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event, ep) DO UPDATE SET
			state = excluded.state, attempt = excluded.attempt, due = excluded.due,
			status = excluded.status, error = excluded.error, at = excluded.at,
			heard = excluded.heard, began = excluded.began, fold = excluded.fold`},
		// Nearly all end so, which is why it has its own: it says nothing that it need not.
		{&w.accepted, `INSERT INTO delivery (event, ep, state, attempt, due, status, error, at, began, took, timings, answer, cut)
			VALUES (?, ?, 1, ?, 0, ?, '', ?, ?, ?, ?, ?, ?) ON CONFLICT (event, ep) DO UPDATE SET
			state = 1, attempt = excluded.attempt, due = 0, status = excluded.status, error = '', at = excluded.at, began = excluded.began,
			took = excluded.took, timings = excluded.timings, answer = excluded.answer, cut = excluded.cut`},
		{&w.endpoint, `INSERT INTO endpoint (num, name, cursor, owed, bytes, dead, dropped, disabled, reason, target, since, memo)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (num) DO UPDATE SET
			cursor = excluded.cursor, owed = excluded.owed, bytes = excluded.bytes,
			dead = excluded.dead, dropped = excluded.dropped, disabled = excluded.disabled, reason = excluded.reason, target = excluded.target, since = excluded.since, memo = excluded.memo`},
		{&w.probe, `INSERT INTO meta (name, value) VALUES ('probed', ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`},
	} {
		if *s.to, err = w.conn.PrepareContext(ctx, s.text); err != nil {
			return fmt.Errorf("preparing a statement: %w", err)
		}
	}
	return nil
}

// close closes what is open. Errors of statements repeat those of their use.
func (w *writer) close() error {
	for _, s := range []*sql.Stmt{w.state, w.event, w.row, w.accepted, w.settle, w.attempt, w.forget, w.keep, w.endpoint, w.probe} {
		if s != nil {
			_ = s.Close()
		}
	}
	if w.conn != nil {
		_ = w.conn.Close()
	}
	return w.pool.Close()
}

// transact runs do in a transaction that is on disk when the error is nil, and
// has left no trace when it is not.
func (w *writer) transact(ctx context.Context, do func() error) error {
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	err := do()
	if err == nil {
		// gofail: var transactionWritten struct{}
		if _, err = w.conn.ExecContext(ctx, "COMMIT"); err == nil {
			// gofail: var transactionSynced struct{}
			return nil
		}
		err = fmt.Errorf("committing: %w", err)
	}
	// SQLite may have rolled back by itself, and then says so. Should the
	// transaction be open after this, the next BEGIN fails.
	_, _ = w.conn.ExecContext(ctx, "ROLLBACK")
	return err
}

func (w *writer) putState(ctx context.Context, key string, data []byte) error {
	if _, err := w.state.ExecContext(ctx, key, string(data), checksum([]byte(key), data)); err != nil {
		return fmt.Errorf("writing alarm %s: %w", key, err)
	}
	return nil
}

// putEvent reports whether the event was not known.
func (w *writer) putEvent(ctx context.Context, num int64, e *newEvent, committed time.Time, eps string) (bool, error) {
	r, err := w.event.ExecContext(ctx, num, e.id, string(e.typ), e.alarm, nanos(e.at), nanos(committed), eps, string(e.data), int(e.class), e.told,
		checksumOf(num, e.id, string(e.typ), e.alarm, e.told, nanos(e.at), e.data))
	if err != nil {
		return false, fmt.Errorf("writing event %s: %w", e.id, err)
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

func (w *writer) putEndpoint(ctx context.Context, l *lane, r record) error {
	disabled := sql.NullBool{Bool: r.state.Disabled, Valid: r.known}
	if _, err := w.endpoint.ExecContext(ctx, l.num, l.name, r.cursor, r.owed, r.bytes, r.dead, r.dropped, disabled,
		r.state.Reason, r.state.Target, nanos(r.state.Since), r.state.Memo); err != nil {
		return fmt.Errorf("writing endpoint %s: %w", l.name, err)
	}
	return nil
}

// makeDue makes all that an endpoint is owed due at once.
func (w *writer) makeDue(ctx context.Context, ep int64) error {
	if _, err := w.conn.ExecContext(ctx, `UPDATE delivery SET due = 0 WHERE ep = ? AND state = 0`, ep); err != nil {
		return fmt.Errorf("making what is owed due: %w", err)
	}
	return nil
}

// alsoTo makes an event owed to one more endpoint and returns its size, -1 when
// there is no such event or it was owed to it before.
func (w *writer) alsoTo(ctx context.Context, event, ep int64, now time.Time) (size int64, err error) {
	var eps string
	err = w.conn.QueryRowContext(ctx, `SELECT eps, octet_length(payload) FROM event WHERE num = ?`, event).Scan(&eps, &size)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && strings.Contains(eps, epToken(ep)):
		return -1, nil
	case err != nil:
		return 0, fmt.Errorf("looking at event %d: %w", event, err)
	}
	eps = strings.TrimRight(eps, " ") + epToken(ep)
	if _, err := w.conn.ExecContext(ctx, `UPDATE event SET eps = ? WHERE num = ?`, eps, event); err != nil {
		return 0, fmt.Errorf("owing event %d to one more: %w", event, err)
	}
	if _, err := w.conn.ExecContext(ctx, `INSERT INTO delivery (event, ep, state, attempt, due, status, error, at, owed)
		VALUES (?, ?, 0, 0, 0, 0, '', 0, ?)`, event, ep, nanos(now)); err != nil {
		return 0, fmt.Errorf("owing event %d to one more: %w", event, err)
	}
	return size, nil
}

// deleteEvents deletes events and what became of them. It returns how many dead
// deliveries each endpoint lost by it.
func (w *writer) deleteEvents(ctx context.Context, nums []int64) (dead map[int64]int, err error) {
	list := numList(nums)
	rows, err := w.conn.QueryContext(ctx, `SELECT ep, count(*) FROM delivery
		WHERE state = 2 AND event IN (SELECT value FROM json_each(?)) GROUP BY ep`, list)
	if err != nil {
		return nil, fmt.Errorf("counting what is deleted: %w", err)
	}
	dead = make(map[int64]int)
	err = each(rows, func() error {
		var ep int64
		var n int
		err := rows.Scan(&ep, &n)
		dead[ep] = n
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting what is deleted: %w", err)
	}
	for _, s := range []string{
		`DELETE FROM attempt WHERE event IN (SELECT value FROM json_each(?))`,
		`DELETE FROM delivery WHERE event IN (SELECT value FROM json_each(?))`,
		`DELETE FROM event WHERE num IN (SELECT value FROM json_each(?))`,
	} {
		if _, err := w.conn.ExecContext(ctx, s, list); err != nil {
			return nil, fmt.Errorf("deleting settled events: %w", err)
		}
	}
	return dead, nil
}

// vacuum gives some free space of the file back to the disk.
func (w *writer) vacuum(ctx context.Context) error {
	rows, err := w.conn.QueryContext(ctx, `PRAGMA incremental_vacuum(256)`)
	if err != nil {
		return fmt.Errorf("giving space back: %w", err)
	}
	return each(rows, func() error { return nil })
}

// pagesWritten says how many pages the last transactions wrote, since it was
// asked before.
func (w *writer) pagesWritten() (n int) {
	_ = w.conn.Raw(func(c any) error {
		if s, ok := c.(sqlite.DBStatus); ok {
			n, _, _ = s.Status(sqlite.DBStatusCacheWrite, true)
		}
		return nil
	})
	return n
}

// each runs do for every row and closes rows.
func each(rows *sql.Rows, do func() error) error {
	for rows.Next() {
		if err := do(); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// isFull reports whether err is want of space. An -shm file that cannot grow is
// such a case under another name.
func isFull(err error) bool {
	code := errorCode(err)
	return code&0xff == sqlite3.SQLITE_FULL || code == sqlite3.SQLITE_IOERR_SHMSIZE
}

// isIO reports whether err is a disk that did not do what it was asked to.
func isIO(err error) bool { return errorCode(err)&0xff == sqlite3.SQLITE_IOERR }

// isDamaged reports whether err is a file that makes no sense.
func isDamaged(err error) bool {
	code := errorCode(err) & 0xff
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB || errors.Is(err, errDamaged)
}

func errorCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

func numList(nums []int64) string {
	b := []byte{'['}
	for i, n := range nums {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(append(b, ']'))
}

// epList is the form of the column eps; epToken is how one of it is found.
func epList(eps []int64) string {
	var b strings.Builder
	for _, n := range eps {
		b.WriteByte(' ')
		b.WriteString(strconv.FormatInt(n, 10))
	}
	if len(eps) > 0 {
		b.WriteByte(' ')
	}
	return b.String()
}

func epToken(ep int64) string { return " " + strconv.FormatInt(ep, 10) + " " }

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

var _ bridge.Store = (*DB)(nil)
