package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	maxToldDamage = 5   // places of damage that are told; the others are counted
	inspectSlice  = 512 // rows between which the log may be begun anew

	// maxHeldLog is by how much the log of a bridge that runs may grow because
	// somebody looks at its pages: meanwhile it cannot be begun anew.
	maxHeldLog = 64 << 20
)

var (
	// ErrBusy says that a bridge writes too much for its store to be looked through.
	ErrBusy = errors.New("too much is written meanwhile")
	// ErrForeign is the error of a file that another program wrote, or a later version.
	ErrForeign = errors.New("not written by this program")
)

// An Inspection is what has been found in a store.
type Inspection struct {
	Path   string // of the database
	Bytes  int64  // its size
	Events int    // whose checksums are right, as those of States are
	States int
	Damage []string // the first places; none: all is as it was written
	Places int      // of damage, all of them
}

func (i *Inspection) damaged(format string, args ...any) {
	if i.Places++; len(i.Damage) < maxToldDamage {
		i.Damage = append(i.Damage, fmt.Sprintf(format, args...))
	}
}

// Inspect looks through the store in a folder: whether its pages and indexes fit
// together, every event and every alarm is as it was written, and each endpoint is owed
// what was counted. It changes nothing and keeps nobody from the store. Runs says that a process has it open. The error of
// a folder without a store is fs.ErrNotExist.
func Inspect(ctx context.Context, dir string, runs bool) (Inspection, error) {
	path := filepath.Join(dir, databaseFile)
	for {
		alone := !exists(path+"-wal") && !exists(path+"-shm")
		found, err := inspect(ctx, path, alone, runs)
		if alone && (err != nil || found.Places > 0) && exists(path+"-shm") {
			runs = true // somebody has begun to write what we took to be at rest
			continue
		}
		return found, err
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func inspect(ctx context.Context, path string, alone, runs bool) (found Inspection, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return found, err
	}
	found.Path, found.Bytes = path, info.Size()
	if runs {
		var stop func()
		ctx, stop = sparing(ctx, path+"-wal")
		defer stop()
	} else if err := checkLog(path + "-wal"); errors.Is(err, errDamaged) {
		found.damaged("%v", err)
		return found, nil // SQLite would see what was there before, and find it sound
	} else if err != nil {
		return found, err
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "temp_store(MEMORY)"}}
	if alone {
		q.Set("immutable", "1") // or SQLite makes the files of a log, and they are whose who looks
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return found, err
	}
	db.SetMaxOpenConns(1)
	err = found.look(ctx, db)
	_ = db.Close() // read only
	switch {
	case ctx.Err() != nil:
		return found, context.Cause(ctx)
	case isDamaged(err):
		found.damaged("%s: %v", path, err)
		err = nil
	}
	return found, err
}

// look looks at pages, and then at what is on them.
func (i *Inspection) look(ctx context.Context, db *sql.DB) error {
	var app, version, tables int
	if err := db.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).Scan(&app, &version, &tables); err != nil {
		return err
	}
	switch {
	case tables == 0:
		return nil // a start was ended before it made them
	case app != applicationID:
		return fmt.Errorf("%s is a database of something else: %w", i.Path, ErrForeign)
	case version > schemaVersion:
		return fmt.Errorf("%s has schema %d: %w but by a newer tocsin", i.Path, version, ErrForeign)
	}
	rows, err := db.QueryContext(ctx, `PRAGMA integrity_check`)
	if err != nil {
		return err
	}
	if err := each(rows, func() error {
		var said string
		if err := rows.Scan(&said); err != nil {
			return err
		}
		if said != "ok" {
			i.damaged("%s: %s", i.Path, strings.Join(strings.Fields(said), " "))
		}
		return nil
	}); err != nil || version < 6 { // which had no checksums
		return err
	}
	if err := i.lookAtEvents(ctx, db); err != nil {
		return err
	}
	if err := i.lookAtStates(ctx, db); err != nil {
		return err
	}
	wrong, err := miscounted(ctx, db)
	for _, w := range wrong {
		i.damaged("%s", w)
	}
	return err
}

func (i *Inspection) lookAtEvents(ctx context.Context, db *sql.DB) error {
	for last, full := int64(0), true; full; {
		rows, err := db.QueryContext(ctx, `SELECT num, id, type, alarm, told, at, payload, sum FROM event WHERE num > ? ORDER BY num LIMIT ?`, last, inspectSlice)
		if err != nil {
			return err
		}
		n := 0
		if err := each(rows, func() error {
			var at int64
			var id, typ, alarm, told string
			var data []byte
			var sum sql.NullInt64
			if err := rows.Scan(&last, &id, &typ, &alarm, &told, &at, &data, &sum); err != nil {
				return err
			}
			n++
			if sum.Valid && sum.Int64 != checksumOf(last, id, typ, alarm, told, at, data) {
				i.damaged("event %d (%s) is not as it was written", last, id)
			} else {
				i.Events++
			}
			return nil
		}); err != nil {
			return err
		}
		full = n == inspectSlice
	}
	return nil
}

func (i *Inspection) lookAtStates(ctx context.Context, db *sql.DB) error {
	for last, full := "", true; full; {
		rows, err := db.QueryContext(ctx, `SELECT key, data, sum FROM alarm WHERE key > ? ORDER BY key LIMIT ?`, last, inspectSlice)
		if err != nil {
			return err
		}
		n := 0
		if err := each(rows, func() error {
			var data []byte
			var sum sql.NullInt64
			if err := rows.Scan(&last, &data, &sum); err != nil {
				return err
			}
			n++
			if sum.Valid && sum.Int64 != checksum([]byte(last), data) {
				i.damaged("alarm %s is not as it was written", last)
			} else {
				i.States++
			}
			return nil
		}); err != nil {
			return err
		}
		full = n == inspectSlice
	}
	return nil
}

// sparing ends a look at a store that a bridge uses when its log has grown by too much:
// what has been read is held there until the look is over.
func sparing(ctx context.Context, log string) (spared context.Context, stop func()) {
	spared, cancel := context.WithCancelCause(ctx)
	size := func() int64 {
		if info, err := os.Stat(log); err == nil {
			return info.Size()
		}
		return 0
	}
	var watching sync.WaitGroup
	began := size()
	watching.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-spared.Done():
				return
			case <-tick.C:
				if size()-began > maxHeldLog {
					cancel(fmt.Errorf("%w: its log grew by %d MiB", ErrBusy, (size()-began)>>20))
					return
				}
			}
		}
	})
	return spared, func() {
		cancel(nil)
		watching.Wait()
	}
}
