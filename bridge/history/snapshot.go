package history

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// The name of a snapshot says whether it is clean, so that one that was taken up
// becomes an ordinary one by being renamed.
const (
	snapshotFile  = "snapshot"
	cleanFile     = "snapshot.clean"
	temporaryFile = "snapshot.tmp"
	snapshotMagic = "tocsins\x01"
)

// SnapshotInfo says of when a snapshot is. Clean: nothing happened after it,
// since the process stopped as it should. Position is where it was taken, which
// is where [Log.ReplayFrom] goes on.
type SnapshotInfo struct {
	At       time.Time `json:"at"`
	Clean    bool      `json:"-"`
	Position Position  `json:"position"`
}

// WriteSnapshot replaces the snapshot. It is on the disk when this returns nil,
// and after an error, or a crash on the way, the one before it still is. A record
// has at most 1 MiB.
func (l *Log) WriteSnapshot(info SnapshotInfo, records iter.Seq[[]byte]) error {
	l.snapshots.Lock()
	defer l.snapshots.Unlock()
	temporary := filepath.Join(l.options.Path, temporaryFile)
	name := snapshotFile
	if info.Clean {
		name = cleanFile
	}
	err := writeFile(temporary, func(w io.Writer) error { return writeSnapshot(w, info, records) })
	if err == nil {
		err = os.Rename(temporary, filepath.Join(l.options.Path, name))
	}
	if err != nil {
		_ = os.Remove(temporary) // what is left of it is of no use
		return fmt.Errorf("writing snapshot %s: %w", filepath.Join(l.options.Path, name), err)
	}
	// One that is not clean and came after a clean one in this process beats it.
	if !info.Clean {
		err = os.Remove(filepath.Join(l.options.Path, cleanFile))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err = errors.Join(err, syncDir(l.options.Path)); err != nil {
		return fmt.Errorf("writing snapshot: %w", err)
	}
	l.clean = info.Clean
	return nil
}

// writeFile makes a file that only we read, and waits until it is on the disk.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // #nosec G304 -- a name of ours in the folder we were given
	if err != nil {
		return unwritable(err)
	}
	w := bufio.NewWriterSize(f, 64<<10)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// writeSnapshot writes a block with the info, the records in blocks, and an empty
// block that says that this is all.
func writeSnapshot(w io.Writer, info SnapshotInfo, records iter.Seq[[]byte]) error {
	p, err := newPacker()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, snapshotMagic); err != nil {
		return err
	}
	about, err := json.Marshal(info)
	if err != nil {
		return err
	}
	put := func(first uint64, count uint32, payload []byte) error {
		_, err := w.Write(p.pack(first, bounds{count: count}, payload))
		return err
	}
	if err := put(0, 0, about); err != nil {
		return err
	}
	var buf []byte
	var first uint64
	var count uint32
	for record := range records {
		if len(record) > inputBytes {
			return fmt.Errorf("record %d has %d bytes, and %d are allowed", first+uint64(count), len(record), inputBytes)
		}
		buf = binary.AppendUvarint(buf, uint64(len(record)))
		buf = append(buf, record...)
		count++
		if len(buf) >= blockBytes {
			if err := put(first, count, buf); err != nil {
				return err
			}
			first, count, buf = first+uint64(count), 0, buf[:0]
		}
	}
	if count > 0 {
		if err := put(first, count, buf); err != nil {
			return err
		}
	}
	return put(first+uint64(count), 0, nil)
}

// findSnapshot makes a clean snapshot an ordinary one, and remembers that it was.
func (l *Log) findSnapshot() error {
	dir := l.options.Path
	if err := os.Remove(filepath.Join(dir, temporaryFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch err := os.Rename(filepath.Join(dir, cleanFile), filepath.Join(dir, snapshotFile)); {
	case err == nil:
		l.clean = true
		if err := syncDir(dir); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// Positions go on after the snapshot's, even if what came before it is lost.
	var info SnapshotInfo
	err := withFile(filepath.Join(dir, snapshotFile), func(r io.ReaderAt) (err error) {
		info, err = readInfo(r)
		return err
	})
	if err == nil { // otherwise [Log.Snapshot] will say so
		l.next = max(l.next, info.Position)
		l.first = l.next
	}
	return nil
}

// Snapshot returns the last snapshot that was written; zero info without any. It
// has been checked when this returns, so that a damaged one is an error before
// any record is used. Clean is whether it was when the folder was opened, or as
// it was written since. A record is good until the next one.
func (l *Log) Snapshot() (SnapshotInfo, iter.Seq2[[]byte, error], error) {
	l.snapshots.Lock()
	defer l.snapshots.Unlock()
	none := func(func([]byte, error) bool) {}
	path := filepath.Join(l.options.Path, snapshotFile)
	if newer := filepath.Join(l.options.Path, cleanFile); exists(newer) {
		path = newer // written by this process
	}
	var info SnapshotInfo
	err := withFile(path, func(r io.ReaderAt) (err error) {
		if info, err = readInfo(r); err != nil {
			return err
		}
		return checkSnapshot(r)
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return SnapshotInfo{}, none, nil
	case err != nil:
		return SnapshotInfo{}, none, fmt.Errorf("reading snapshot %s: %w (delete it to start without)", path, err)
	}
	info.Clean = l.clean
	return info, func(yield func([]byte, error) bool) {
		err := withFile(path, func(r io.ReaderAt) error {
			return readSnapshot(r, func(_ *header, payload []byte) (bool, error) { return eachRecord(payload, yield) })
		})
		if err != nil {
			yield(nil, fmt.Errorf("reading snapshot %s: %w", path, err))
		}
	}, nil
}
