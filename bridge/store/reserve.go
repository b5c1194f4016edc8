package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"tocsin/bridge"
)

// reserveBytes are kept free on the disk by a file of that size. They are given
// up when the disk is full, so that outcomes can still be written: without
// them, what was delivered would be delivered again for ever.
const reserveBytes = 1 << 20

// roomBytes are written to see whether there is space again: as much as a group of
// some hundred alarms is.
const roomBytes = 256 << 10

// openReserve makes the reserve, or starts without it on a full disk.
func (d *DB) openReserve() error {
	path := filepath.Join(d.dir, reserveFile)
	if info, err := os.Stat(path); err == nil && info.Size() == reserveBytes {
		return nil
	}
	err := makeReserve(path, reserveBytes)
	if errors.Is(err, syscall.ENOSPC) {
		d.full.Store(true)
		d.log.Warn("disk is full, nothing new is taken", "path", d.dir)
		return nil
	}
	return err
}

// makeReserve makes the reserve, if beside it there is spare space on the disk.
func makeReserve(path string, spare int) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600) // #nosec G304 -- as above
	if err != nil {
		return fmt.Errorf("making the reserve: %w", err)
	}
	err = allocate(f, reserveBytes+spare)
	if err == nil {
		err = f.Truncate(reserveBytes)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path) // what is left of it is of no use
		return fmt.Errorf("making the reserve: %w", err)
	}
	return nil
}

// writeZeros allocates where the file system has no call for it.
func writeZeros(f *os.File, size int) error {
	_, err := f.Write(make([]byte, size))
	return err
}

// recover lets intake begin again when the disk has space for the reserve, and
// as much for what is to come, and has taken a group's worth of it. The caller holds
// writing.
func (d *DB) recover(ctx context.Context) error {
	if err := d.state(); err != nil || !d.full.Load() {
		return err
	}
	err := makeReserve(filepath.Join(d.dir, reserveFile), reserveBytes)
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", bridge.ErrFull, err)
	}
	if err != nil {
		return d.broken("writing to "+d.dir, err)
	}
	if err := d.write(ctx, &work{room: roomBytes}); err != nil { // a promise of space is not space, and a new file not the log
		return err
	}
	d.full.Store(false)
	d.log.Info("disk has space again", "path", d.dir)
	return nil
}

// surrender gives the reserve up, so that outcomes can be written.
func (d *DB) surrender(cause error) {
	d.hears.Store(false)
	if !d.full.Swap(true) {
		d.log.Warn("disk is full, nothing new is taken", "path", d.dir, "error", cause)
	}
	err := os.Remove(filepath.Join(d.dir, reserveFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("reserve was not freed", "path", d.dir, "error", err)
	}
	if err == nil {
		signal(d.overflow) // a log that was copied is written again in place
	}
}
