package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options says where the store is and who hears of it.
type Options struct {
	Path string // folder; made with mode 0700 when it is missing

	Log        *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: no metrics

	// CacheBytes bounds what SQLite keeps of the file in memory, all
	// connections together. Zero: 12 MiB.
	CacheBytes int64
}

// ErrBroken is what every call returns after the disk has failed once. What the
// last commit wrote is then unknown, and asking the disk again proves nothing:
// the process must end.
var ErrBroken = errors.New("store is broken")

const (
	defaultCache = 12 << 20
	readers      = 3 // connections: a claim, a reader, a checkpoint

	databaseFile = "tocsin.db"
	lockFile     = "lock"
	reserveFile  = "reserve"
)

// DB is a store in one folder. It implements bridge.Store.
type DB struct {
	dir       string
	log       *slog.Logger
	lock      *lock
	metrics   *metrics
	lastAlive time.Time
	born      time.Time

	w            *writer
	read         *sql.DB
	selectBodies *sql.Stmt // on read
	seals        sealer

	writing   sync.Mutex  // held for the length of a transaction; taken before mu
	full      atomic.Bool // changed under writing: the reserve was given up
	cursorsAt time.Time   // under writing: when cursors were last moved
	newest    time.Time   // under writing: when the newest event was committed, by the wall clock

	alive atomic.Bool // something was committed
	hears atomic.Bool // and more than a probe, since there was no space; changed under writing

	mu     sync.Mutex // everything below
	ended  error      // closed, or broken
	last   int64      // newest event
	byName map[string]*lane
	byNum  map[int64]*lane
	next   outcomes // to be written with the next transaction
	flying outcomes // being written
	tail   tail
	files  []fs.FileInfo // those in use, as they were opened

	begun begun // attempts under way

	soon       chan struct{} // rows are waiting
	overflow   chan struct{} // the log file is long
	unchecked  int           // under writing: pages written since the last checkpoint
	stop       context.CancelFunc
	background sync.WaitGroup
	closing    sync.Once
}

// Open opens the store in o.Path, and makes it when there is none. The folder
// belongs to this process until Close.
func Open(ctx context.Context, o Options) (*DB, error) {
	d := &DB{
		dir:      o.Path,
		log:      o.Log,
		seals:    sealer{dir: o.Path},
		byName:   make(map[string]*lane),
		byNum:    make(map[int64]*lane),
		next:     newOutcomes(),
		soon:     make(chan struct{}, 1),
		overflow: make(chan struct{}, 1),
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if err := d.open(ctx, o); err != nil {
		if late := d.release(); late != nil {
			d.log.Warn("closing a store that was not opened", "path", o.Path, "error", late)
		}
		return nil, fmt.Errorf("opening store %s: %w", o.Path, err)
	}
	// gofail: var storeOpened struct{}
	ctx, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	d.background.Go(func() { d.keep(ctx) })
	d.background.Go(func() { d.checkpoints(ctx) })
	return d, nil
}

func (d *DB) open(ctx context.Context, o Options) (err error) {
	if d.lock, d.lastAlive, err = occupy(o.Path); err != nil {
		return err
	}
	cache := o.CacheBytes
	if cache <= 0 {
		cache = defaultCache
	}
	path := filepath.Join(o.Path, databaseFile)
	if err := createFile(path); err != nil {
		return err
	}
	if err := checkLog(path + "-wal"); err != nil {
		return explain(path, err)
	}
	shown := false
	before := func(ctx context.Context, conn *sql.Conn, version int) error {
		if shown { // what there was to say of it was said
			return nil
		}
		shown = true
		return d.copyOlder(ctx, conn, version)
	}
	// Two thirds for the writer, whose pages are the ones that come back.
	d.w, err = openWriter(ctx, path, cache*2/3/1024, before)
	if isFull(err) && os.Remove(filepath.Join(o.Path, reserveFile)) == nil {
		d.w, err = openWriter(ctx, path, cache*2/3/1024, before)
	}
	if err != nil {
		return explain(path, err)
	}
	if d.read, err = connect(path, cache/3/readers/1024, "query_only(1)"); err != nil {
		return explain(path, err)
	}
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	if d.selectBodies, err = d.read.PrepareContext(ctx, selectBodies); err != nil {
		return explain(path, err)
	}
	if err := d.check(ctx); err != nil {
		return explain(path, err)
	}
	if err := d.load(ctx); err != nil {
		return explain(path, err)
	}
	if err := d.turnBackAtOnce(ctx); err != nil {
		return explain(path, err)
	}
	if err := d.openBegun(ctx); err != nil {
		return explain(path, err)
	}
	if err := d.openReserve(); err != nil {
		return err
	}
	if err := d.watch(lockFile, databaseFile); err != nil {
		return err
	}
	d.metrics, err = newMetrics(o.Registerer, d)
	return err
}

// explain turns SQLite's answer about a file into something to act on.
func explain(path string, err error) error {
	switch {
	case isFull(err):
		return fmt.Errorf("%s: no space left on the disk: %w (free some and start again)", path, err)
	case isDamaged(err):
		return fmt.Errorf("%s is damaged or is no database: %w (%s)", path, err, afterDamage)
	case isIO(err):
		return fmt.Errorf("%s: %w (see in the system's log what ails the disk)", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// load brings back who is owed something. What it is, is taken in when it is
// claimed.
func (d *DB) load(ctx context.Context) error {
	var newest int64
	err := d.read.QueryRowContext(ctx, `SELECT num, committed FROM event ORDER BY num DESC LIMIT 1`).Scan(&d.last, &newest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("reading the newest event: %w", err)
	}
	d.newest = fromNanos(newest)
	var born int64
	if err := d.read.QueryRowContext(ctx, `SELECT coalesce(max(value), 0) FROM meta WHERE name = 'born'`).Scan(&born); err != nil {
		return fmt.Errorf("reading when the store was made: %w", err)
	}
	d.born = fromNanos(born)
	rows, err := d.read.QueryContext(ctx, `SELECT num, name, cursor, owed, bytes, dead, dropped, disabled, reason, target, since, memo,
		EXISTS (SELECT 1 FROM kept WHERE ep = num), coalesce((SELECT max(fold) FROM delivery WHERE ep = num AND state = 0 AND fold <> 0), 0) FROM endpoint`)
	if err != nil {
		return fmt.Errorf("reading endpoints: %w", err)
	}
	err = each(rows, func() error {
		l := newLane(0, "", 0)
		var disabled sql.NullBool
		var since int64
		if err := rows.Scan(&l.num, &l.name, &l.cursor, &l.owed, &l.bytes, &l.dead, &l.dropped, &disabled,
			&l.state.Reason, &l.state.Target, &since, &l.state.Memo, &l.keeps, &l.fold); err != nil {
			return err
		}
		l.folds = l.fold > 0
		l.fold++ // so that none is added to what a digest may have told
		l.known, l.state.Name, l.state.Disabled, l.state.Since = disabled.Valid, l.name, disabled.Bool, fromNanos(since)
		l.written = l.record
		l.behind, l.rows, l.seen = true, true, l.cursor
		d.byName[l.name], d.byNum[l.num] = l, l
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading endpoints: %w", err)
	}
	// A row without its endpoint would be owed to nobody for ever.
	var lost sql.NullInt64
	if err := d.read.QueryRowContext(ctx, `SELECT min(ep) FROM delivery INDEXED BY delivery_open
		WHERE state = 0 AND ep NOT IN (SELECT num FROM endpoint)`).Scan(&lost); err != nil {
		return fmt.Errorf("reading deliveries: %w", err)
	}
	if lost.Valid {
		return fmt.Errorf("deliveries are owed to endpoint number %d, which does not exist (restore a backup)", lost.Int64)
	}
	return nil
}

// LastAlive says when the process that used this folder before was last known
// to run; zero for a new store. After a power failure it may be too early, and
// never is too late. A process is known to run from its first commit on: until
// then it has told the store nothing of the time before it.
func (d *DB) LastAlive() time.Time { return d.lastAlive }

// Born says when the store was made, empty. It is zero for one that an earlier
// version made, which did not write that down.
func (d *DB) Born() time.Time { return d.born }

// Close writes what is not yet written and gives the folder back. A broken
// store is left as it is until the process ends: closing the file would make
// SQLite copy pages that may never have reached the disk.
func (d *DB) Close() (err error) {
	d.closing.Do(func() {
		d.stop()
		d.background.Wait()
		d.metrics.unregister()
		if err = d.state(); err != nil {
			return
		}
		err = d.flush(context.Background(), true)
		d.end(fmt.Errorf("using store %s: %w", d.dir, fs.ErrClosed))
		if errors.Is(err, ErrBroken) {
			return
		}
		if err != nil {
			err = fmt.Errorf("writing the last outcomes: %w", err)
		}
		d.touch()
		err = errors.Join(err, d.closeBegun(), d.release())
	})
	return err
}

// release closes what open has opened.
func (d *DB) release() error {
	var errs []error
	if d.begun.file != nil { // Close has closed it; what it says stands if the store was not opened
		errs = append(errs, d.begun.file.Close())
	}
	if d.selectBodies != nil {
		errs = append(errs, d.selectBodies.Close())
	}
	if d.read != nil {
		errs = append(errs, d.read.Close())
	}
	if d.w != nil {
		// The last connection copies the log into the file and removes it.
		errs = append(errs, d.w.close())
		if d.full.Load() {
			// What that has freed lets the next process open the store on a
			// disk that is full to the last byte.
			_ = makeReserve(filepath.Join(d.dir, reserveFile), 0)
		}
	}
	if d.lock != nil {
		errs = append(errs, d.lock.release())
	}
	return errors.Join(errs...)
}

// state is nil while the store can be used.
func (d *DB) state() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ended
}

// end makes err the answer to every later call.
func (d *DB) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended == nil {
		d.ended = err
	}
}

// broken ends the store and returns the error that says so. SQLite tells little of
// what a disk has done; the system's log has the rest.
func (d *DB) broken(doing string, err error) error {
	if isDamaged(err) {
		return d.abandon(fmt.Errorf("%s: %w: %w (%s)", doing, ErrBroken, err, afterDamage))
	}
	return d.abandon(fmt.Errorf("%s: %w: %w (see in the system's log what ails the disk, and start again: what was acknowledged is on it)", doing, ErrBroken, err))
}

// astray ends the store because its files are not where they were.
func (d *DB) astray(err error) error {
	return d.abandon(fmt.Errorf("using %s: %w: %w (put it back, and start again)", d.dir, ErrBroken, err))
}

func (d *DB) abandon(err error) error {
	d.end(err)
	d.log.Error("store is broken, the process must end", "path", d.dir, "error", err)
	return err
}

// reading judges the error of a read: a damaged file or a failing disk breaks
// the store, a caller that went away does not.
func (d *DB) reading(what string, err error) error {
	if err == nil {
		return nil
	}
	if isDamaged(err) || isIO(err) {
		return d.broken("reading "+what, err)
	}
	return fmt.Errorf("reading %s: %w", what, err)
}

// keep writes outcomes that no commit has carried, and says that the process
// lives.
func (d *DB) keep(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.soon:
			// A commit may come by and carry them for nothing.
			select {
			case <-ctx.Done():
				return
			case <-time.After(flushAfter):
			}
		case <-tick.C:
			d.touch()
			if err := d.inPlace(); err != nil {
				_ = d.astray(err) // told to every caller from now on
				return
			}
		}
		if err := d.flush(ctx, false); errors.Is(err, ErrBroken) {
			return // logged, and told to every caller from now on
		}
	}
}

// touch notes that the process lives. While the disk is full nothing is heard, nor until
// the bridge has gone on from there, and the next process has to know since when.
func (d *DB) touch() {
	if d.hears.Load() && !d.full.Load() {
		d.lock.touch()
	}
}

// watch remembers files as they are now.
func (d *DB) watch(names ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		info, err := os.Stat(filepath.Join(d.dir, name))
		if err != nil {
			return err
		}
		d.files = append(d.files, info)
	}
	return nil
}

// inPlace says whether the files that we write are still those that the next
// process will find.
func (d *DB) inPlace() error {
	d.mu.Lock()
	files := d.files
	d.mu.Unlock()
	for _, f := range files {
		now, err := os.Stat(filepath.Join(d.dir, f.Name()))
		if err != nil || !os.SameFile(f, now) {
			return fmt.Errorf("%s was removed or replaced while it was in use; what is written now is lost", f.Name())
		}
	}
	return nil
}
