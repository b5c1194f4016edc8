package history

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/prometheus/client_golang/prometheus"

	"tocsin/rules"
)

// Options say where a history is and how much of it is kept.
type Options struct {
	Path       string                // folder; it is made, for the user alone, where there is none
	Keep       time.Duration         // inputs older than this are deleted, a segment at a time; 0: 24 hours
	MaxBytes   int64                 // the oldest segments are deleted beyond this; 0: 1 GiB
	MinFree    int64                 // nothing is recorded while the disk has less space left; 0: 64 MiB, negative: no such limit
	Log        *slog.Logger          // nil logs nothing
	Registerer prometheus.Registerer // nil: no metrics are registered
}

const (
	bufferBytes  = 8 << 20 // encoded inputs that may wait to be written
	segmentBytes = 16 << 20
	segmentTime  = 10 * time.Minute
	spareBuffers = 4
)

// A Position is a place between two inputs: that of the next one to be appended
// is greater by one for every input before it, from the first ever. It has holes
// where inputs were lost.
type Position uint64

// A Log is the history in a folder. It belongs to one process at a time.
type Log struct {
	options Options
	log     *slog.Logger
	lock    *flock.Flock
	metrics *metrics
	bytes   atomic.Int64
	wake    chan struct{} // a block is waiting to be written

	// What was appended and not yet written. Held for moments only.
	mu      sync.Mutex
	closed  bool
	encoder *encoder
	first   Position // of the block in the encoder
	next    Position
	missing uint64 // inputs left out since the last that was taken
	noted   uint64 // inputs of which the encoder says that they are missing
	sealed  []block
	waiting int      // bytes of blocks on their way to the disk
	spare   [][]byte // memory of blocks that were written

	// The files. Held while one is written.
	disk     sync.Mutex
	segments []*segment // by position; the last is being written when file is set
	file     *os.File
	begun    time.Time // when file was made
	packer   *packer
	stopped  error // why nothing is being recorded; nil: it is

	flushing  sync.Mutex // held while blocks are written
	snapshots sync.Mutex // one is written at a time
	clean     bool       // the snapshot found by Open was a clean one
}

// A block is a payload on its way to the disk.
type block struct {
	first   Position
	missing uint64 // inputs that it says are missing
	bounds  bounds
	payload []byte
}

// Open opens the history in a folder, or begins one. A snapshot of a clean stop
// that it finds is one no more for whoever opens the folder next: see
// [Log.Snapshot].
func Open(o Options) (*Log, error) {
	if o.Keep == 0 {
		o.Keep = 24 * time.Hour
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.MinFree == 0 {
		o.MinFree = 64 << 20
	}
	l := &Log{options: o, log: o.Log, wake: make(chan struct{}, 1), encoder: newEncoder()}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if err := l.open(); err != nil {
		if l.metrics != nil {
			l.metrics.unregister()
		}
		if l.lock != nil {
			_ = l.lock.Close()
		}
		return nil, fmt.Errorf("opening history %s: %w", o.Path, err)
	}
	return l, nil
}

func (l *Log) open() (err error) {
	if l.options.Path == "" {
		return errors.New("no folder is named (set store.path)")
	}
	if err := os.MkdirAll(l.options.Path, 0o700); err != nil {
		return unwritable(err)
	}
	if l.packer, err = newPacker(); err != nil {
		return err
	}
	lock := flock.New(filepath.Join(l.options.Path, "lock"), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	switch ok, err := lock.TryLock(); {
	case err != nil:
		return unwritable(err)
	case !ok:
		_ = lock.Close() // nothing was locked
		return errors.New("it is in use by another process (stop that one, or choose another store.path)")
	}
	l.lock = lock
	if l.metrics, err = newMetrics(l.options.Registerer, &l.bytes); err != nil {
		return err
	}
	if err := l.find(); err != nil {
		return err
	}
	return unwritable(l.findSnapshot())
}

// Append takes an input in, to be written within a second while Run runs. It
// does not wait: what finds no room is left out and counted.
func (l *Log) Append(in rules.Input) {
	wake, lost := l.append(&in)
	if lost != "" {
		l.metrics.dropped.WithLabelValues(lost).Inc()
	}
	if wake {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

func (l *Log) append(in *rules.Input) (wake bool, lost string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.waiting+len(l.encoder.buf) >= bufferBytes {
		if isTick(in) {
			return false, ""
		}
		l.missing++
		return true, "buffer"
	}
	if isTick(in) {
		return false, ""
	}
	if l.missing > 0 {
		l.encoder.missing(l.missing)
		l.noted += l.missing
		l.missing = 0
	}
	if !l.encoder.add(in) {
		l.missing++
		l.seal()
		return true, "size"
	}
	l.next++
	if l.encoder.full() {
		l.seal()
		return true, ""
	}
	return false, ""
}

func isTick(in *rules.Input) bool {
	return in.Sample == nil && in.Batch == nil && in.Presence == nil && in.Link == nil && in.Command == nil && in.Gap == nil
}

// seal closes the block that is being made, and begins another. The lock is held.
func (l *Log) seal() {
	l.sealed = append(l.sealed, block{first: l.first, missing: l.noted, bounds: l.encoder.blk, payload: l.encoder.buf})
	l.noted = 0
	l.waiting += len(l.encoder.buf)
	var buf []byte
	if n := len(l.spare); n > 0 {
		buf, l.spare = l.spare[n-1], l.spare[:n-1]
	}
	l.encoder.begin(buf)
	l.first = l.next
}

// Position is that of the next input. Of a snapshot that is taken while nobody
// appends, it is where to go on reading.
func (l *Log) Position() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Close writes what was appended and closes the files. Run must have returned,
// and inputs that are appended later are left out.
func (l *Log) Close() error {
	l.flush(true)
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.flush(true) // what came in between
	l.disk.Lock()
	defer l.disk.Unlock()
	err := l.finish()
	l.metrics.unregister()
	if err = errors.Join(err, l.lock.Close()); err != nil {
		return fmt.Errorf("closing history %s: %w", l.options.Path, err)
	}
	return nil
}

func unwritable(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w (user %d must be able to write there, or choose another store.path)", err, os.Getuid())
	}
	return err
}
