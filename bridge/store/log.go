package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge"
)

// trimSlice events are looked at, and those that may go deleted, at a time: a
// commit waits for one slice at most.
const trimSlice = 256

// Log is what is kept for people.
func (d *DB) Log() bridge.Log { return journal{d} }

// A journal is a DB as people see it. It implements bridge.Log.
type journal struct{ d *DB }

// Endpoints returns the last committed state of every endpoint that has one, by name.
func (j journal) Endpoints(context.Context) ([]bridge.EndpointState, error) {
	d := j.d
	d.mu.Lock()
	defer d.mu.Unlock()
	var states []bridge.EndpointState
	for _, l := range d.byName {
		states = append(states, l.state)
	}
	slices.SortFunc(states, func(a, b bridge.EndpointState) int { return cmp.Compare(a.Name, b.Name) })
	return states, d.ended
}

// Backlog counts what an endpoint is still owed. It costs one read of one event,
// whatever the count.
func (j journal) Backlog(ctx context.Context, endpoint string) (b bridge.Backlog, err error) {
	const looks = 3 // what is looked at may be settled and deleted meanwhile
	for range looks {
		if b, err = j.backlog(ctx, endpoint); !errors.Is(err, sql.ErrNoRows) {
			return b, err
		}
	}
	return b, nil
}

// backlog is [journal.Backlog], or [sql.ErrNoRows] where the oldest of it was
// deleted before its time was read.
func (j journal) backlog(ctx context.Context, endpoint string) (bridge.Backlog, error) {
	d := j.d
	d.mu.Lock()
	l := d.byName[endpoint]
	if l == nil || d.ended != nil {
		defer d.mu.Unlock()
		return bridge.Backlog{}, d.ended
	}
	b := bridge.Backlog{Count: l.owed, Bytes: l.bytes, Dead: l.dead, Dropped: l.dropped}
	first, after, newest, rows := l.oldest(), l.seen, d.last, l.rows || l.folds
	if rows {
		for _, unwritten := range []map[rowKey]row{d.next.rows, d.flying.rows} {
			for key, r := range unwritten {
				if key.ep == l.num && r.state == stateOpen {
					first = min(first, key.event)
				}
			}
		}
	}
	d.mu.Unlock()
	if b.Count == 0 {
		return b, nil
	}
	if first == math.MaxInt64 || rows {
		onDisk, err := d.firstOwed(ctx, l.num, after, newest)
		if err != nil {
			return b, err
		}
		if onDisk > 0 {
			first = min(first, onDisk)
		}
	}
	var since int64
	err := d.read.QueryRowContext(ctx, `SELECT max(e.committed, coalesce(d.owed, 0)) FROM event e
		LEFT JOIN delivery d ON d.event = e.num AND d.ep = ? WHERE e.num = ?`, l.num, first).Scan(&since)
	b.Oldest = fromNanos(since)
	return b, d.reading("events", err)
}

// firstOwed finds the first event that is owed to an endpoint: one with a row,
// or one without after a position. It is 0 for none.
func (d *DB) firstOwed(ctx context.Context, ep, after, newest int64) (num int64, err error) {
	err = d.read.QueryRowContext(ctx, `SELECT min(first) FROM (
		SELECT min(event) AS first FROM delivery INDEXED BY delivery_open WHERE state = 0 AND ep = ?1
		UNION ALL SELECT * FROM (SELECT num FROM event e WHERE num > ?2 AND num <= ?3 AND instr(eps, ?4) > 0
		AND NOT EXISTS (SELECT 1 FROM delivery WHERE event = e.num AND ep = ?1) ORDER BY num LIMIT 1))
		WHERE first IS NOT NULL HAVING count(*) > 0`, ep, after, newest, epToken(ep)).Scan(&num)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return num, d.reading("events", err)
}

// Size is the size of the store's files in bytes. The file does not shrink when
// something is deleted, its space is used again; [DB.Trim] with a limit gives it back.
func (j journal) Size() (int64, error) {
	if err := j.d.state(); err != nil {
		return 0, err
	}
	return j.d.size()
}

func (d *DB) size() (total int64, err error) {
	for _, name := range []string{databaseFile, databaseFile + "-wal", databaseFile + "-shm", reserveFile, begunFile} {
		info, err := os.Stat(filepath.Join(d.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("measuring the store: %w", err)
		}
		total += info.Size()
	}
	return total, nil
}

// Trim deletes events that were settled before the given time, and then the
// oldest settled until the database file is at most maxBytes (0: no limit).
// Dead deliveries are settled. What is still owed is never deleted, and neither
// is the newest event. What is kept of alarms goes by the time alone.
func (j journal) Trim(ctx context.Context, before time.Time, maxBytes int64) error {
	d := j.d
	if err := d.trimKept(ctx, nanos(before)); err != nil {
		return err
	}
	if err := d.trim(ctx, nanos(before), 0); err != nil || maxBytes <= 0 {
		return err
	}
	if err := d.trim(ctx, math.MaxInt64, maxBytes); err != nil {
		return err
	}
	return d.shrink(ctx, maxBytes)
}

// trim goes through the events from the oldest on, until one is too young, or
// with a limit until the database is small enough.
func (d *DB) trim(ctx context.Context, before, maxBytes int64) error {
	var after int64
	for {
		if maxBytes > 0 {
			if used, _, err := d.pages(ctx); err != nil || used <= maxBytes {
				return err
			}
		}
		settled, last, err := d.candidates(ctx, after, before)
		if err != nil {
			return err
		}
		if len(settled) > 0 {
			if err := d.delete(ctx, settled); err != nil {
				return fmt.Errorf("deleting settled events: %w", err)
			}
		}
		if last == 0 {
			return nil
		}
		after = last
	}
}

func (d *DB) delete(ctx context.Context, settled []int64) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.state(); err != nil {
		return err
	}
	return d.write(context.WithoutCancel(ctx), &work{deletes: settled})
}

// candidates returns events of one slice whose last outcome is older than
// before, and where the next slice begins: 0 after the last. An event is settled
// when each of its endpoints has a row that says so, on disk.
func (d *DB) candidates(ctx context.Context, after, before int64) (settled []int64, last int64, err error) {
	if err := d.state(); err != nil {
		return nil, 0, err
	}
	// The newest event stays, so that its number is never given to another, and so
	// does the beginning of an episode while what tells it whole is there.
	rows, err := d.read.QueryContext(ctx, `SELECT e.num, e.committed, e.eps, count(d.ep), coalesce(max(d.at), 0)
		FROM event e LEFT JOIN delivery d ON d.event = e.num AND d.state <> 0
		WHERE e.num > ? AND e.num < (SELECT max(num) FROM event)
		AND NOT EXISTS (SELECT 1 FROM delivery INDEXED BY delivery_began WHERE began = e.num AND began <> 0)
		GROUP BY e.num ORDER BY e.num LIMIT ?`, after, trimSlice)
	if err != nil {
		return nil, 0, d.reading("events", err)
	}
	seen, young := 0, false
	err = each(rows, func() error {
		var num, committed, at int64
		var eps string
		var ended int
		if err := rows.Scan(&num, &committed, &eps, &ended, &at); err != nil {
			return err
		}
		seen, last = seen+1, num
		young = young || committed >= before
		if ended == len(strings.Fields(eps)) && max(committed, at) < before {
			settled = append(settled, num)
		}
		return nil
	})
	if seen < trimSlice || young {
		last = 0
	}
	return settled, last, d.reading("events", err)
}

// pages returns how many bytes of the database file are in use and how many are free.
func (d *DB) pages(ctx context.Context) (used, free int64, err error) {
	var count, unused, size int64
	err = d.read.QueryRowContext(ctx, `SELECT (SELECT page_count FROM pragma_page_count),
		(SELECT freelist_count FROM pragma_freelist_count), (SELECT page_size FROM pragma_page_size)`).Scan(&count, &unused, &size)
	return (count - unused) * size, unused * size, d.reading("the size", err)
}

// shrink gives free space of the file back to the disk, in slices.
func (d *DB) shrink(ctx context.Context, maxBytes int64) error {
	for {
		used, free, err := d.pages(ctx)
		if err != nil || free == 0 || used+free <= maxBytes {
			return err
		}
		if err := d.vacuum(ctx); err != nil {
			return fmt.Errorf("giving space back: %w", err)
		}
	}
}

func (d *DB) vacuum(ctx context.Context) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.state(); err != nil {
		return err
	}
	return d.write(context.WithoutCancel(ctx), &work{vacuum: true})
}

// metrics are the store's own; nil measures nothing.
type metrics struct {
	to      prometheus.Registerer
	seconds prometheus.Histogram
	bytes   prometheus.GaugeFunc
}

func newMetrics(to prometheus.Registerer, d *DB) (*metrics, error) {
	if to == nil {
		return nil, nil
	}
	m := &metrics{
		to: to,
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tocsin_commit_seconds",
			Help:    "Time to write a batch of decisions to disk.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		bytes: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tocsin_store_bytes",
			Help: "Size of the store's files.",
		}, func() float64 {
			n, _ := d.size() // a file that cannot be measured counts as none
			return float64(n)
		}),
	}
	if err := errors.Join(to.Register(m.seconds), to.Register(m.bytes)); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) committed(took time.Duration) {
	if m != nil {
		m.seconds.Observe(took.Seconds())
	}
}

func (m *metrics) unregister() {
	if m != nil {
		m.to.Unregister(m.seconds)
		m.to.Unregister(m.bytes)
	}
}
