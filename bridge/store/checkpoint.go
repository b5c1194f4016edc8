package store

import (
	"context"

	sqlite3 "modernc.org/sqlite/lib"
)

// checkpointPages is the length of the log at which it is copied: 16 MiB.
const checkpointPages = 4000

// checkpoints copies the log into the file when it has become long.
func (d *DB) checkpoints(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.overflow:
			if err := d.checkpoint(ctx); err != nil {
				return
			}
		}
	}
}

// checkpoint copies the log into the file. Most of it is done beside commits;
// the rest, with commits held, so that the log is begun anew.
func (d *DB) checkpoint(ctx context.Context) error {
	if _, err := d.copyLog(ctx, "PASSIVE"); err != nil {
		return err
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.restartLog(ctx)
}

// restartLog copies what is left of the log. What a reader holds back is tried
// again some pages later. The caller holds writing.
func (d *DB) restartLog(ctx context.Context) error {
	mode := "PASSIVE"
	if d.full.Load() {
		mode = "TRUNCATE" // the log is space that others need more
	}
	left, err := d.copyLog(ctx, mode)
	d.unchecked = min(left, checkpointPages*3/4)
	return err
}

// copyLog does what SQLite's automatic checkpoint does, which keeps its errors
// to itself. It says how many pages are left.
func (d *DB) copyLog(ctx context.Context, mode string) (left int, err error) {
	if err := d.state(); err != nil {
		return 0, err
	}
	var busy, pages, copied int
	err = d.read.QueryRowContext(context.WithoutCancel(ctx), `PRAGMA wal_checkpoint(`+mode+`)`).Scan(&busy, &pages, &copied)
	// Some file systems want space to cut a file off. What was copied is copied then,
	// and a log that is as long as it was is begun anew all the same.
	if isFull(err) || d.full.Load() && errorCode(err) == sqlite3.SQLITE_IOERR_TRUNCATE {
		d.log.Debug("log was not copied, disk is full", "path", d.dir, "error", err)
		return checkpointPages, nil
	}
	if err != nil {
		return 0, d.broken("copying the log of "+d.dir, err)
	}
	return pages - copied, nil
}
