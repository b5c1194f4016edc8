package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"

	"tocsin/rules"
)

// A part is as much of a segment as may be read.
type part struct {
	segment
	of *segment // nil: not one of a Log
}

// parts returns what has been written so far, by position.
func (l *Log) parts() []part {
	l.disk.Lock()
	defer l.disk.Unlock()
	all := make([]part, len(l.segments))
	for i, s := range l.segments {
		all[i] = part{*s, s}
	}
	return all
}

// since leaves out the parts that end before a time. The clock may have been set
// back, so that a later part begins earlier: all is looked through.
func since(parts []part, from time.Time) []part {
	at := nanos(from)
	for len(parts) > 1 && parts[1].begins <= at {
		parts = parts[1:]
	}
	return parts
}

// Begins is the time of the oldest input there is; the zero time where there is none.
func (l *Log) Begins() time.Time {
	for _, p := range l.parts() {
		if p.begins != unknown {
			return time.Unix(0, p.begins)
		}
	}
	return time.Time{}
}

// Replay yields the inputs that were written, in the order in which they were
// appended, but for those whose Now is before from. An input, and what it points
// to, is good until the next one.
//
// A [*Problem] comes without an input, and reading goes on after it. Any other
// error is the last.
func (l *Log) Replay(ctx context.Context, from time.Time) iter.Seq2[rules.Input, error] {
	return l.replay(ctx, func(parts []part) []part { return since(parts, from) }, query{from: from})
}

// ReplayFrom is [Log.Replay] from a position on.
func (l *Log) ReplayFrom(ctx context.Context, from Position) iter.Seq2[rules.Input, error] {
	pick := func(parts []part) []part {
		for len(parts) > 1 && parts[1].first <= from {
			parts = parts[1:]
		}
		return parts
	}
	return l.replay(ctx, pick, query{first: from})
}

func (l *Log) replay(ctx context.Context, pick func([]part) []part, q query) iter.Seq2[rules.Input, error] {
	return func(yield func(rules.Input, error) bool) {
		told := func(in rules.Input, err error) bool {
			return yield(in, err)
		}
		replayParts(ctx, pick(l.parts()), q, func(p *part, err error) error { return l.note(p.of, err) }, told)
	}
}

// ReplayFile yields the inputs of a file that a [Recorder] wrote, of one segment,
// or of the folder of a history, as [Log.Replay] does. It changes nothing there,
// and another process may be writing. Inputs whose Now is before from are left
// out; the zero time leaves none.
func ReplayFile(ctx context.Context, path string, from time.Time) iter.Seq2[rules.Input, error] {
	return func(yield func(rules.Input, error) bool) {
		info, err := os.Stat(path)
		if err != nil {
			yield(rules.Input{}, fmt.Errorf("reading history: %w", err))
			return
		}
		parts := []part{{segment: segment{path: path, size: info.Size()}}}
		if info.IsDir() {
			all, err := segmentsIn(path)
			switch {
			case err != nil:
				yield(rules.Input{}, fmt.Errorf("reading history: %w", err))
				return
			case len(all) == 0:
				yield(rules.Input{}, fmt.Errorf("reading history: %s has no file that ends in %s (give the folder that tocsin keeps its history in)", path, suffix))
				return
			}
			parts = parts[:0]
			for _, s := range all {
				if info, err := os.Stat(s.path); err == nil && info.ModTime().Before(from) {
					continue // the last of it was written before that
				}
				parts = append(parts, part{segment: *s})
			}
		}
		keep := func(_ *part, err error) error { return err }
		replayParts(ctx, parts, query{from: from}, keep, yield)
	}
}

// A query says which inputs are asked for.
type query struct {
	from  time.Time // by Now
	first Position
}

// replayParts yields what is asked for of each part. An error of a part is told
// to note first.
func replayParts(ctx context.Context, parts []part, q query, note func(*part, error) error, yield func(rules.Input, error) bool) {
	u, err := newUnpacker()
	if err != nil {
		yield(rules.Input{}, err)
		return
	}
	defer u.close()
	var d decoder
	for i := range parts {
		p := &parts[i]
		more := true
		err := readPart(ctx, p, u, func(h *header, at int64) bool {
			return h.end() > uint64(q.first) && h.endNow >= nanos(q.from)
		}, func(h *header, at int64, payload []byte, err error) bool {
			if err == nil {
				d.begin(payload)
				more, err = replayBlock(&d, h, q, p.path, at, yield)
			}
			if err != nil && more {
				problem := &Problem{File: p.path, Offset: at, Fact: err.Error(), Lost: uint64(h.count)}
				_ = note(p, problem)
				more = yield(rules.Input{}, problem)
			}
			return more
		})
		if !more {
			return
		}
		var problem *Problem
		switch {
		case err == nil:
		case errors.As(err, &problem):
			_ = note(p, err)
			if !yield(rules.Input{}, problem) {
				return
			}
		case p.of != nil && errors.Is(err, fs.ErrNotExist): // it was too old
		default:
			yield(rules.Input{}, fmt.Errorf("reading history: %w", err))
			return
		}
	}
}

// replayBlock yields what is asked for of a block.
func replayBlock(d *decoder, h *header, q query, path string, at int64, yield func(rules.Input, error) bool) (more bool, err error) {
	for position := h.first; ; {
		in, missing, ok, err := d.next()
		switch {
		case err != nil || !ok:
			return true, err
		case missing > 0:
			fact := fmt.Sprintf("%d inputs were not recorded here, because the disk was full or did not keep up", missing)
			if !yield(rules.Input{}, &Problem{File: path, Offset: at, Fact: fact, Lost: missing}) {
				return false, nil
			}
			continue
		}
		if position >= uint64(q.first) && !in.Now.Before(q.from) && !yield(in, nil) {
			return false, nil
		}
		position++
	}
}

// readPart calls use with the payload of every block that is wanted, or with how
// it is damaged. An error of its own ends the part.
func readPart(ctx context.Context, p *part, u *unpacker, wanted func(h *header, at int64) bool,
	use func(h *header, at int64, payload []byte, err error) bool,
) error {
	f, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only
	var stop error
	err = headers(p.path, f, p.size, func(h *header, at int64) bool {
		if stop = ctx.Err(); stop != nil {
			return false
		}
		if !wanted(h, at) {
			return true
		}
		payload, err := u.read(f, h, at)
		if err != nil && !errors.Is(err, errChecksum) && !errors.Is(err, errPayload) {
			stop = err
			return false
		}
		return use(h, at, payload, err)
	})
	return cmp.Or(stop, err)
}

// Range returns the newest readings of a metric that were taken at or after from
// and before to, at most limit of them, oldest first. Readings that could not be
// used, and retained ones without a time of their own, are left out.
func (l *Log) Range(ctx context.Context, device, metric string, from, to time.Time, limit int) ([]rules.Point, error) {
	all, err := l.Ranges(ctx, RangeQuery{device, []string{metric}, from, to, limit})
	return all[metric], err
}

// A RangeQuery asks for the readings of a device as [Log.Range] does, of several
// metrics.
type RangeQuery struct {
	Device   string
	Metrics  []string
	From, To time.Time
	Limit    int // of each metric
}

// Ranges returns by metric what [Log.Range] returns for each, with one look at the
// history.
func (l *Log) Ranges(ctx context.Context, q RangeQuery) (map[string][]rules.Point, error) {
	u, err := newUnpacker()
	if err != nil {
		return nil, err
	}
	defer u.close()
	from, to := q.From, q.To
	r := ranging{device: q.Device, metrics: make(map[string]*newest, len(q.Metrics)), from: from, to: to, limit: q.Limit}
	for _, metric := range q.Metrics {
		r.metrics[metric] = &newest{limit: q.Limit}
	}
	// A reading of the time asked for came then or later, but for a clock that ran
	// ahead.
	spots, err := l.spots(ctx, since(l.parts(), from.Add(-time.Hour)), nanos(from), nanos(to))
	if err != nil {
		return nil, err
	}
	for i := range spots {
		s := &spots[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if r.done(s.endAt) {
			break
		}
		payload, err := s.read(u)
		switch {
		case err == nil:
			err = r.take(payload)
		case errors.Is(err, fs.ErrNotExist):
			continue
		}
		if errors.Is(err, errChecksum) || errors.Is(err, errPayload) {
			err = l.note(s.part.of, &Problem{File: s.part.path, Offset: s.at, Fact: err.Error()})
		}
		if err != nil {
			return nil, fmt.Errorf("reading history: %w", err)
		}
	}
	all := make(map[string][]rules.Point, len(r.metrics))
	for metric, n := range r.metrics {
		all[metric] = n.points()
	}
	return all, nil
}

// A spot is where a block is.
type spot struct {
	header
	part *part
	at   int64
}

// spots finds the blocks with readings of a time, those with the newest first.
// Nothing is decoded for it.
func (l *Log) spots(ctx context.Context, parts []part, from, to int64) ([]spot, error) {
	var all []spot
	for i := range parts {
		p := &parts[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if p.scanned && (p.bounds.endAt < from || p.bounds.firstAt >= to) {
			continue
		}
		seen := noBounds()
		err := p.walk(func(h *header, at int64) bool {
			seen.widen(h.bounds)
			if h.endAt >= from && h.firstAt < to {
				all = append(all, spot{*h, p, at})
			}
			return true
		})
		if err := l.note(p.of, err); err != nil {
			return nil, fmt.Errorf("reading history: %w", err)
		}
		l.learn(p, seen)
	}
	slices.SortStableFunc(all, func(a, b spot) int { return cmp.Compare(b.endAt, a.endAt) })
	return all, nil
}

// learn remembers what a part holds, if it was read whole.
func (l *Log) learn(p *part, seen bounds) {
	l.disk.Lock()
	defer l.disk.Unlock()
	if !p.of.scanned && p.of.size == p.size {
		p.of.bounds, p.of.scanned = seen, true
	}
}

func (s *spot) read(u *unpacker) ([]byte, error) {
	f, err := os.Open(s.part.path)
	if err != nil {
		return nil, err
	}
	payload, err := u.read(f, &s.header, s.at)
	_ = f.Close() // read only
	return payload, err
}
