package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	applicationID = 0x746f6373 // "tocs"
	schemaVersion = 6
)

// schemas makes a file of the current version, step by step: a new file goes
// through all of them, an older one through those it has not seen, so that both
// are the same. Times are nanoseconds since 1970, 0 for none:
// datetime(at/1000000000, 'unixepoch') reads one. A step that was released is not
// changed any more.
//
// delivery.state has the values of stateOpen and its neighbours; status, error
// and at are those of the last attempt, or of what ended the delivery without one.
func schemas() [schemaVersion]string {
	return [...]string{`
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE alarm (key TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE event (
	num       INTEGER PRIMARY KEY,
	id        TEXT NOT NULL UNIQUE,
	type      TEXT NOT NULL,
	alarm     TEXT NOT NULL,
	at        INTEGER NOT NULL,
	committed INTEGER NOT NULL,
	eps       TEXT NOT NULL, -- numbers of the endpoints it is for: ' 1 7 '
	payload   TEXT NOT NULL
);
CREATE TABLE endpoint (
	num      INTEGER PRIMARY KEY,
	name     TEXT NOT NULL UNIQUE,
	cursor   INTEGER NOT NULL, -- a later event for it without a row in delivery is owed, untried
	owed     INTEGER NOT NULL, -- count of what it is owed, with and without a row
	dead     INTEGER NOT NULL,
	disabled INTEGER,          -- NULL: nothing was said about this endpoint
	reason   TEXT NOT NULL,
	target   TEXT NOT NULL,
	since    INTEGER NOT NULL
);
CREATE TABLE delivery (
	event   INTEGER NOT NULL,
	ep      INTEGER NOT NULL,
	state   INTEGER NOT NULL, -- 0 open, 1 delivered, 2 dead
	attempt INTEGER NOT NULL,
	due     INTEGER NOT NULL,
	status  INTEGER NOT NULL,
	error   TEXT NOT NULL,
	at      INTEGER NOT NULL,
	PRIMARY KEY (event, ep)
) WITHOUT ROWID;
CREATE INDEX delivery_open ON delivery (ep, event) WHERE state = 0;
CREATE INDEX delivery_dead ON delivery (ep, event) WHERE state = 2;
`, `
ALTER TABLE event ADD COLUMN class INTEGER; -- what it tells, see classify; NULL: written by version 1
ALTER TABLE event ADD COLUMN told TEXT NOT NULL DEFAULT ''; -- the alarm's key for receivers, where it is another
ALTER TABLE endpoint ADD COLUMN memo TEXT NOT NULL DEFAULT ''; -- the lane's own, see bridge.EndpointState
ALTER TABLE endpoint ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0; -- of what it is owed
ALTER TABLE endpoint ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0; -- count of what was dropped for want of room, ever
ALTER TABLE delivery ADD COLUMN prior INTEGER NOT NULL DEFAULT 0; -- attempts made before the last replay
ALTER TABLE delivery ADD COLUMN owed INTEGER NOT NULL DEFAULT 0; -- since when, if not since the event's commit
ALTER TABLE delivery ADD COLUMN heard INTEGER NOT NULL DEFAULT 0; -- 1: the receiver may have taken it
ALTER TABLE delivery ADD COLUMN began INTEGER NOT NULL DEFAULT 0; -- number of the event that began the episode which it tells whole, 0: it tells itself
ALTER TABLE delivery ADD COLUMN took INTEGER NOT NULL DEFAULT 0; -- these four only where state is 1
ALTER TABLE delivery ADD COLUMN timings TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN answer BLOB NOT NULL DEFAULT x'';
ALTER TABLE delivery ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;
CREATE INDEX delivery_began ON delivery (began) WHERE began <> 0;
CREATE TABLE attempt ( -- those that were not accepted, and those before a replay
	event   INTEGER NOT NULL,
	ep      INTEGER NOT NULL,
	n       INTEGER NOT NULL, -- 1, 2, …
	at      INTEGER NOT NULL,
	took    INTEGER NOT NULL,
	status  INTEGER NOT NULL,
	error   TEXT NOT NULL,
	timings TEXT NOT NULL,
	answer  BLOB NOT NULL,
	cut     INTEGER NOT NULL,
	PRIMARY KEY (event, ep, n)
) WITHOUT ROWID;
CREATE TABLE kept ( -- of answers, for later requests about the same alarm
	ep     INTEGER NOT NULL,
	alarm  TEXT NOT NULL,
	data   TEXT NOT NULL, -- JSON
	untold INTEGER NOT NULL DEFAULT 0, -- number of the event that began the episode under way and was dropped
	at     INTEGER NOT NULL,
	PRIMARY KEY (ep, alarm)
) WITHOUT ROWID;
UPDATE endpoint SET bytes = coalesce((SELECT sum(octet_length(payload)) FROM event e
	WHERE e.num >= min(endpoint.cursor + 1, coalesce((SELECT min(event) FROM delivery WHERE ep = endpoint.num AND state = 0), endpoint.cursor + 1))
	AND instr(e.eps, ' ' || endpoint.num || ' ') > 0
	AND coalesce((SELECT state FROM delivery WHERE event = e.num AND ep = endpoint.num), 0) = 0), 0);
`, `
CREATE TABLE token ( -- who may ask over HTTP
	id      TEXT PRIMARY KEY,
	name    TEXT NOT NULL,
	scope   TEXT NOT NULL, -- read, ops, admin
	digest  BLOB NOT NULL, -- SHA-256 of the token, which is kept nowhere
	created INTEGER NOT NULL,
	used    INTEGER NOT NULL,
	ends    INTEGER NOT NULL,
	revoked INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE audit ( -- requests that changed something, or would have
	num     INTEGER PRIMARY KEY,
	at      INTEGER NOT NULL,
	refused INTEGER NOT NULL, -- 1: for want of a right to it
	who     TEXT NOT NULL,
	token   TEXT NOT NULL,
	sender  TEXT NOT NULL,
	method  TEXT NOT NULL,
	path    TEXT NOT NULL,
	status  INTEGER NOT NULL,
	error   TEXT NOT NULL,
	said    TEXT NOT NULL -- JSON
);
CREATE INDEX audit_refused ON audit (refused);
`, `
ALTER TABLE delivery ADD COLUMN fold INTEGER NOT NULL DEFAULT 0; -- of which fold it is, 0: of none
CREATE INDEX delivery_folded ON delivery (ep, fold, event) WHERE state = 0 AND fold <> 0;
ALTER TABLE kept ADD COLUMN folded INTEGER NOT NULL DEFAULT 0; -- number of the event that began the episode under way and was folded
`, `
CREATE TABLE registered ( -- endpoints that no file has
	name   TEXT PRIMARY KEY,
	sealed BLOB NOT NULL -- the endpoint and its secrets, see seal.go
) WITHOUT ROWID;
`, `
ALTER TABLE event ADD COLUMN sum INTEGER; -- of what never changes, see checksumOf; NULL: written by an earlier version
ALTER TABLE alarm ADD COLUMN sum INTEGER; -- of key and data; NULL: as above
`}
}

// migrate brings a file to the current schema, from none in a new one, and
// refuses one that is not ours. It is one transaction: a file that could not be
// brought up to date is as it was. One of an older schema is shown to before, first.
func (w *writer) migrate(ctx context.Context, path string, before upgrader) error {
	var app, version, tables int
	if err := w.conn.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).
		Scan(&app, &version, &tables); err != nil {
		return err
	}
	fresh := tables == 0
	switch {
	case fresh:
		version = 0
	case app != applicationID:
		return errors.New("is a database of another program (choose another store.path)")
	case version > schemaVersion:
		return fmt.Errorf("was written by a newer tocsin: its schema is %d, this one knows %d (%s)",
			version, schemaVersion, wayBack(path))
	case version == schemaVersion:
		return nil
	case version < 1:
		return fmt.Errorf("has the unknown schema %d (restore a backup)", version)
	}
	if !fresh {
		if err := before(ctx, w.conn, version); err != nil {
			return err
		}
	}
	steps := schemas()
	statements := append(steps[version:len(steps):len(steps)],
		fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
	if fresh {
		// Space that retention frees can be given back only if this is said before
		// the first table.
		for _, s := range []string{"PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = WAL"} {
			if _, err := w.conn.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("making the file: %w", err)
			}
		}
		statements = append(statements,
			fmt.Sprintf("PRAGMA application_id = %d", applicationID),
			fmt.Sprintf("INSERT INTO meta (name, value) VALUES ('born', %d)", time.Now().UnixNano()))
	}
	err := w.transact(ctx, func() error {
		for _, s := range statements {
			if _, err := w.conn.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("making the tables of schema %d: %w", schemaVersion, err)
	}
	return nil
}
