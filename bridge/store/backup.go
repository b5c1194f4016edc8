package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// copySlice is how many pages are copied between two looks at whether to go on.
const copySlice = 1024

// copyOf is where a file of an older schema is kept as it was.
func copyOf(path string, version int) string { return fmt.Sprintf("%s.schema%d", path, version) }

// copiesOf are the copies of a file, whole ones and what was left of others. What
// somebody else has put there is not among them.
func copiesOf(path string) (all []string) {
	entries, _ := os.ReadDir(filepath.Dir(path)) // those that can be listed
	for _, e := range entries {
		version, ours := strings.CutPrefix(e.Name(), filepath.Base(path)+".schema")
		for _, end := range []string{".new", "-wal", "-shm"} { // the latter of whoever opened it
			version = strings.TrimSuffix(version, end)
		}
		if _, err := strconv.ParseUint(version, 10, 31); ours && err == nil && e.Type().IsRegular() {
			all = append(all, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	return all
}

// An upgrader is told of a file of an older schema before it is changed.
type upgrader func(ctx context.Context, conn *sql.Conn, version int) error

// copyOlder copies a file of an older schema before it is changed, so that there is a
// way back to the version that wrote it. The upgrade needs no copy to be safe: what
// keeps one from being made is told, and keeps no bridge from starting.
func (d *DB) copyOlder(ctx context.Context, conn *sql.Conn, version int) error {
	path := filepath.Join(d.dir, databaseFile)
	folded, err := foldLog(ctx, conn)
	if err != nil {
		return err
	}
	to := copyOf(path, version)
	size, err := makeCopy(ctx, conn, path, to, folded)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("copying the file before its upgrade: %w", ctx.Err())
		}
		d.log.Warn("store is upgraded without a copy, there is no way back to the earlier version", "path", d.dir, "schema", version, "error", err)
		return nil
	}
	d.log.Info("store is upgraded, and was copied as it was", "copy", to, "schema", version, "bytes", size, "to_go_back", wayBackTo(to))
	return nil
}

// wayBackTo says how to go back to a copy. The log belongs to the file that is left,
// and would be taken for the copy's.
func wayBackTo(copied string) string {
	return fmt.Sprintf("remove %s-wal, rename %s to %[1]s, and start the earlier version: what came since is lost", databaseFile, filepath.Base(copied))
}

// wayBack is what is left to whoever starts this version on a file of a later one.
func wayBack(path string) string {
	for version := schemaVersion; version > 0; version-- {
		if info, err := os.Stat(copyOf(path, version)); err == nil && info.Mode().IsRegular() {
			return "start that version; or, to go back, " + wayBackTo(copyOf(path, version))
		}
	}
	return "start that version, or restore an older backup"
}

// foldLog copies the log into the file and cuts it off, so that the file alone says
// what was written. It reports false where a reader or a full disk is in the way.
func foldLog(ctx context.Context, conn *sql.Conn) (bool, error) {
	var busy, pages, copied int
	err := conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &copied)
	if isFull(err) || errorCode(err) == sqlite3.SQLITE_IOERR_TRUNCATE {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("copying the log: %w", err)
	}
	return busy == 0, nil
}

// makeCopy makes a copy of the file that is whole or not there, and the only one. It
// carries the file's time: an earlier copy of the same size and time is this one, made
// by a start that was ended before the upgrade.
func makeCopy(ctx context.Context, conn *sql.Conn, path, to string, folded bool) (size int64, err error) {
	var modified time.Time
	if info, err := os.Stat(path); err != nil {
		return 0, err
	} else if folded {
		size, modified = info.Size(), info.ModTime()
		if before, err := os.Stat(to); err == nil && before.Size() == size && before.ModTime().Equal(modified) {
			return size, removeCopies(path, to)
		}
	}
	if err := conn.QueryRowContext(ctx, `SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`).Scan(&size); err != nil {
		return 0, err
	}
	next := to + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if err := makeRoom(path, size); err != nil {
		return 0, err
	}
	err = copyPages(ctx, conn, next)
	if err == nil && !modified.IsZero() {
		err = os.Chtimes(next, modified, modified)
	}
	if err == nil {
		err = syncFile(next)
	}
	if err == nil {
		err = os.Rename(next, to)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(next))
	}
	if err := syncDir(filepath.Dir(to)); err != nil {
		return 0, err
	}
	return size, removeCopies(path, to)
}

// makeRoom refuses a copy that would leave too little to go on with: a quarter of what
// it takes, and what the reserve asks for. Copies of earlier upgrades give way.
func makeRoom(path string, size int64) error {
	need := size + size/4 + 2*reserveBytes
	free, known := freeBytes(filepath.Dir(path))
	if !known || free >= need {
		return nil
	}
	freed := free
	for _, name := range copiesOf(path) {
		if info, err := os.Stat(name); err == nil {
			freed += info.Size()
		}
	}
	if freed < need {
		return fmt.Errorf("%d MiB are free where the copy would want %d MiB", free>>20, (need+1<<20-1)>>20)
	}
	return removeCopies(path, "")
}

// removeCopies removes all copies but one.
func removeCopies(path, but string) error {
	var errs []error
	for _, name := range copiesOf(path) {
		if name != but {
			errs = append(errs, os.Remove(name))
		}
	}
	return errors.Join(errs...)
}

// copyPages copies the pages as they are, and so the mode of the log, which an earlier
// version relies on. It goes by slices, since a stop may be asked for meanwhile.
func copyPages(ctx context.Context, conn *sql.Conn, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // #nosec G304 -- a name of ours in the folder we were given
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// What is left of it after a crash is thrown away, so it needs no journal; and it is
	// synced when it is whole.
	q := url.Values{"_pragma": {"journal_mode(OFF)", "synchronous(OFF)"}}
	target := "file:" + (&url.URL{Path: to}).EscapedPath() + "?" + q.Encode()
	return conn.Raw(func(c any) error {
		source, ok := c.(interface {
			NewBackup(uri string) (*sqlite.Backup, error)
		})
		if !ok {
			return errors.New("the database's driver copies nothing")
		}
		b, err := source.NewBackup(target)
		if err != nil {
			return err
		}
		for more := true; more && err == nil; {
			if more, err = b.Step(copySlice); err == nil {
				err = ctx.Err()
			}
		}
		return errors.Join(err, b.Finish())
	})
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- as above
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
