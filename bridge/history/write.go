package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Run writes what is appended, at least once a second, and deletes what need not
// be kept, until ctx ends. It returns nil: what goes wrong with the files is
// logged, counted, and tried again.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.flush(true)
			return nil
		case <-l.wake:
			l.flush(false)
		case <-tick.C:
			l.flush(true)
			l.tidy(time.Now())
		}
	}
}

// Flush hands what was appended to the system, so that it outlives the process. What
// goes wrong is told by Run.
func (l *Log) Flush() { l.flush(true) }

// flush writes the blocks that are waiting, with all also the one that is being
// made.
func (l *Log) flush(all bool) {
	l.flushing.Lock() // blocks are written in their order
	defer l.flushing.Unlock()
	l.mu.Lock()
	if all && len(l.encoder.buf) > 0 {
		l.seal()
	}
	blocks := l.sealed
	l.sealed = nil
	l.mu.Unlock()
	for i := range blocks {
		b := &blocks[i]
		err := l.write(b)
		l.mu.Lock()
		l.waiting -= len(b.payload)
		if err != nil {
			l.missing += b.missing + uint64(b.bounds.count)
		}
		if len(l.spare) < spareBuffers && cap(b.payload) <= 2*blockBytes {
			l.spare = append(l.spare, b.payload)
		}
		l.mu.Unlock()
		if err != nil {
			l.metrics.dropped.WithLabelValues("disk").Add(float64(b.bounds.count))
		}
	}
}

// write appends a block to the segment, or to a new one. The state of the disk
// is logged when it changes.
func (l *Log) write(b *block) error {
	l.disk.Lock()
	defer l.disk.Unlock()
	err := l.put(b)
	switch {
	case err != nil && l.stopped == nil:
		l.log.Warn("history is not recorded", "path", l.options.Path, "err", err)
	case err == nil && l.stopped != nil:
		l.log.Info("history is recorded again", "path", l.options.Path)
	}
	l.stopped = err
	return err
}

func (l *Log) put(b *block) error {
	if err := l.space(); err != nil {
		return err
	}
	if l.file == nil {
		if err := l.begin(b.first); err != nil {
			return err
		}
	}
	s := l.segments[len(l.segments)-1]
	packed := l.packer.pack(uint64(b.first), b.bounds, b.payload)
	if _, err := l.file.WriteAt(packed, s.size); err != nil {
		// What was written of it is taken back, so that the segment ends well.
		err = errors.Join(err, l.file.Truncate(s.size))
		if !errors.Is(err, syscall.ENOSPC) || s.bounds.count == 0 {
			err = errors.Join(err, l.finish())
		}
		return err
	}
	if s.bounds.count == 0 {
		s.begins = b.bounds.firstNow
	}
	s.size += int64(len(packed))
	s.bounds.widen(b.bounds)
	l.bytes.Add(int64(len(packed)))
	if s.size >= l.segmentLimit() {
		l.rotate()
	}
	return nil
}

// segmentLimit is smaller where little is kept, so that deleting the oldest
// segment leaves most of it.
func (l *Log) segmentLimit() int64 { return min(segmentBytes, l.options.MaxBytes/8) }

// space reports whether the disk has room for others beside a history.
func (l *Log) space() error {
	if l.options.MinFree < 0 {
		return nil
	}
	need := l.options.MinFree
	if l.stopped != nil {
		need += need / 4 // so that it does not stop again at once
	}
	if free, known := freeBytes(l.options.Path); known && free < need {
		return fmt.Errorf("the disk has %d MiB left, and %d are left to others; free some: %w", free>>20, need>>20, syscall.ENOSPC)
	}
	return nil
}

// begin makes a segment.
func (l *Log) begin(first Position) error {
	if err := os.MkdirAll(l.options.Path, 0o700); err != nil { // it may have been deleted
		return err
	}
	path := filepath.Join(l.options.Path, segmentName(first))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // #nosec G304 -- a name of ours in the folder we were given
	if err != nil {
		return err
	}
	if _, err := f.WriteString(magic); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	l.file, l.begun = f, time.Now()
	l.segments = append(l.segments, &segment{path: path, first: first, size: int64(len(magic)), begins: unknown, scanned: true, bounds: noBounds()})
	l.bytes.Add(int64(len(magic)))
	return nil
}

// finish closes the segment that is being written; one without a block is
// removed.
func (l *Log) finish() error {
	if l.file == nil {
		return nil
	}
	f, s := l.file, l.segments[len(l.segments)-1]
	l.file = nil
	if s.bounds.count > 0 {
		return errors.Join(f.Sync(), f.Close())
	}
	l.segments = l.segments[:len(l.segments)-1]
	l.bytes.Add(-s.size)
	err := errors.Join(f.Close(), os.Remove(s.path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// rotate ends the segment that is being written; the next block begins another.
func (l *Log) rotate() {
	if err := l.finish(); err != nil {
		l.log.Warn("history segment was not closed well", "path", l.options.Path, "err", err)
	}
}

// tidy ends a segment that is old enough, and deletes segments that need not be
// kept: those of which all is too old, and the oldest of too many.
func (l *Log) tidy(now time.Time) {
	l.disk.Lock()
	defer l.disk.Unlock()
	if l.file != nil && now.Sub(l.begun) >= segmentTime {
		l.rotate()
	}
	kept := nanos(now.Add(-l.options.Keep))
	for len(l.segments) > 0 {
		s := l.segments[0]
		if l.file != nil && len(l.segments) == 1 || l.oldestEnds() >= kept && l.bytes.Load() <= l.options.MaxBytes {
			return
		}
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.log.Warn("history segment was not deleted", "file", s.path, "err", err)
			return
		}
		l.segments = l.segments[1:]
		l.bytes.Add(-s.size)
	}
}

// oldestEnds is when the oldest segment ends at the latest: when the next begins,
// if that is all that is known.
func (l *Log) oldestEnds() int64 {
	if s := l.segments[0]; s.scanned && s.bounds.count > 0 {
		return s.bounds.endNow
	}
	for _, s := range l.segments[1:] {
		if s.begins != unknown {
			return s.begins
		}
	}
	return unknown
}
