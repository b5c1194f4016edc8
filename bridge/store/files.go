package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// A lock keeps other processes out of the folder. Its file holds the pid, and
// its time of change says when the process last ran.
type lock struct {
	path  string
	flock *flock.Flock
}

// occupy makes the folder and locks it. It also says when the process that had
// it before last ran.
func occupy(dir string) (*lock, time.Time, error) {
	if dir == "" {
		return nil, time.Time{}, errors.New("no folder is named (set store.path)")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, time.Time{}, unwritable(err)
	}
	l := &lock{path: filepath.Join(dir, lockFile)}
	var before time.Time
	if info, err := os.Stat(l.path); err == nil {
		before = info.ModTime()
	}
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); err != nil {
		before = time.Time{}
	}
	l.flock = flock.New(l.path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	ok, err := l.flock.TryLock()
	if err != nil {
		return nil, time.Time{}, unwritable(err)
	}
	if !ok {
		_ = l.flock.Close() // nothing was locked
		return nil, time.Time{}, fmt.Errorf("data is in use by %s (stop it or choose another store.path)", l.holder())
	}
	l.sign()
	if !before.IsZero() {
		// To hold the lock is not to run: that is said when all is open.
		_ = os.Chtimes(l.path, before, before)
	}
	return l, before, nil
}

// InUse reports whether a process has the store in a folder open. To find out, it
// holds the lock for a moment where nobody does: a process that opens the store just
// then is refused.
func InUse(dir string) bool {
	path := filepath.Join(dir, lockFile)
	if _, err := os.Stat(path); err != nil {
		return false
	}
	l := flock.New(path, flock.SetFlag(os.O_RDWR))
	free, err := l.TryLock()
	_ = l.Close()
	return err == nil && !free
}

// sign writes the pid, in place. On a full disk the lock holds without it.
func (l *lock) sign() {
	f, err := os.OpenFile(l.path, os.O_WRONLY, 0) // #nosec G304 -- a name of ours in the folder we were given
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(f, "%-10d\n", os.Getpid())
	_ = f.Close()
}

func (l *lock) holder() string {
	pid, err := os.ReadFile(l.path)
	if s := strings.TrimSpace(string(pid)); err == nil && s != "" {
		return "process " + s
	}
	return "another process"
}

// touch notes that the process lives. It is not synced: after a power failure
// the time is too early, which errs on the safe side.
func (l *lock) touch() {
	now := time.Now()
	_ = os.Chtimes(l.path, now, now)
}

func (l *lock) release() error { return l.flock.Close() }

func unwritable(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w (user %d must be able to write there, or choose another store.path)", err, os.Getuid())
	}
	if errors.Is(err, syscall.EIO) {
		return fmt.Errorf("%w (see in the system's log what ails the disk)", err)
	}
	return err
}

// createFile makes a file that only we read, durably; an existing one is left alone.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- a name of ours in the folder we were given
	if err != nil {
		return unwritable(err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return unwritable(err)
	}
	return unwritable(syncDir(filepath.Dir(filepath.Dir(path))))
}

func syncDir(path string) error {
	f, err := os.Open(path) // #nosec G304 -- as above
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil // a parent that we may not list
		}
		return err
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}
