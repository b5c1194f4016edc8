package history

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const suffix = ".history"

// A segment is a file of blocks.
type segment struct {
	path    string
	first   Position
	size    int64 // bytes that may be read
	begins  int64 // Now of its first input, in nanoseconds since 1970, or unknown
	scanned bool  // the bounds are known
	bounds  bounds
	damaged bool // said so before
}

// unknown is later than any time: what depends on it is kept, and read.
const unknown = math.MaxInt64

func segmentName(first Position) string { return fmt.Sprintf("%020d%s", first, suffix) }

// A Problem is a part of a history that cannot be read, or never was recorded.
// Reading goes on after it.
type Problem struct {
	File   string
	Offset int64 // of the block, in bytes
	Fact   string
	Lost   uint64 // inputs that are missing here, when that is known
}

func (p *Problem) Error() string {
	return fmt.Sprintf("history %s: at byte %d: %s", p.File, p.Offset, p.Fact)
}

// segmentsIn lists the segments of a folder, by position.
func segmentsIn(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []*segment
	for _, entry := range entries {
		number, ours := strings.CutSuffix(entry.Name(), suffix)
		first, err := strconv.ParseUint(number, 10, 63)
		if !ours || err != nil || !entry.Type().IsRegular() {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted by who writes it
		} else if err != nil {
			return nil, err
		}
		all = append(all, &segment{path: filepath.Join(dir, entry.Name()), first: Position(first), size: info.Size()})
	}
	slices.SortFunc(all, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	return all, nil
}

// headers yields the headers of a segment's blocks and where they are. The error
// is a [*Problem] where the segment ends before its file.
func headers(path string, r io.ReaderAt, size int64, yield func(h *header, at int64) bool) error {
	var buf [headerBytes]byte
	problem := func(at int64, fact string) error { return &Problem{File: path, Offset: at, Fact: fact} }
	switch _, err := r.ReadAt(buf[:len(magic)], 0); {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case err != nil:
		return problem(0, "the file ends before it begins")
	case string(buf[:len(magic)-1]) != magic[:len(magic)-1]:
		return problem(0, "this is no history (give a file written by tocsin record, or the folder of a history)")
	case buf[len(magic)-1] != magic[len(magic)-1]:
		return problem(0, fmt.Sprintf("the format is version %d, and this program reads version %d (use a newer one)", buf[len(magic)-1], magic[len(magic)-1]))
	}
	for at := int64(len(magic)); at < size; {
		if size-at < headerBytes {
			return problem(at, "the file ends within a block; nothing was read from there on")
		}
		if _, err := r.ReadAt(buf[:], at); err != nil {
			return err
		}
		h, err := parseHeader(buf[:])
		switch {
		case err != nil:
			return problem(at, err.Error()+"; nothing was read from there on")
		case int64(h.size) > size-at-headerBytes:
			return problem(at, "the file ends within a block; nothing was read from there on")
		case !yield(&h, at):
			return nil
		}
		at += headerBytes + int64(h.size)
	}
	return nil
}

// find takes stock of the segments in the folder.
func (l *Log) find() error {
	all, err := segmentsIn(l.options.Path)
	if err != nil {
		return unwritable(err)
	}
	for _, s := range all {
		l.bytes.Add(s.size)
		s.begins = unknown
		err := s.walk(func(h *header, _ int64) bool {
			s.begins = h.firstNow
			return false
		})
		if err := l.note(s, err); err != nil {
			return err
		}
	}
	l.segments = all
	if len(all) == 0 {
		return nil
	}
	last := all[len(all)-1]
	l.next = last.first + 1 // though it be empty, its name is taken
	last.bounds, last.scanned = noBounds(), true
	err = last.walk(func(h *header, _ int64) bool {
		last.bounds.widen(h.bounds)
		l.next = max(l.next, Position(h.end()))
		return true
	})
	l.first = l.next
	return l.note(last, err)
}

// walk yields the headers of a segment that is not being written.
func (s *segment) walk(yield func(h *header, at int64) bool) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	return errors.Join(headers(s.path, f, s.size, yield), f.Close())
}

// note counts and logs damage of a segment when it is first met. Any other error
// is returned, but for that of a file that was deleted.
func (l *Log) note(s *segment, err error) error {
	var p *Problem
	switch {
	case errors.As(err, &p):
		l.disk.Lock()
		known := s.damaged
		s.damaged = true
		l.disk.Unlock()
		if !known {
			l.metrics.damaged.Inc()
			l.log.Warn("history is damaged", "file", p.File, "offset", p.Offset, "problem", p.Fact)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}
