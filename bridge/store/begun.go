package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	begunFile  = "begun"
	begunSlots = 4096
	slotBytes  = 16

	cutOff = "the process ended during this attempt"
)

// begun is a file of the attempts under way. It is written when a delivery is
// handed out and never synced: what it is for is a process that dies of what it
// sends, again and again, and the system keeps what a dead process wrote. An
// attempt that has ended is cleared with the next write; what the file says
// counts only if the database does not know better.
type begun struct {
	file *os.File // nil: there was no room for it

	writing sync.Mutex // taken before DB.mu

	// Guarded by DB.mu.
	slots       [begunSlots * slotBytes]byte
	free        []int
	first, last int // slots that changed; last < first: none
}

// A slot is one attempt under way.
type slot struct {
	rowKey
	attempt int
}

// openBegun counts the attempts that were under way when the process before died,
// and begins a file of our own.
func (d *DB) openBegun(ctx context.Context) error {
	path := filepath.Join(d.dir, begunFile)
	old, err := os.ReadFile(path) // #nosec G304 -- a name of ours in the folder we were given
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return unwritable(err)
	}
	if err := d.countBegun(ctx, parseBegun(old)); err != nil {
		return fmt.Errorf("counting attempts that were cut off: %w", err)
	}
	b := &d.begun
	for i := range begunSlots {
		b.free = append(b.free, begunSlots-1-i)
	}
	b.first = begunSlots
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- as above
	if err != nil {
		return unwritable(err)
	}
	if _, err := f.WriteAt(b.slots[:], 0); err != nil {
		d.log.Warn("attempts under way are not written down: a crash will not be counted as one", "path", path, "error", err)
		return f.Close()
	}
	b.file = f
	return nil
}

func parseBegun(file []byte) (list []slot) {
	for at := 0; at+slotBytes <= len(file); at += slotBytes {
		s := slot{
			rowKey:  rowKey{int64(binary.LittleEndian.Uint64(file[at:])), int64(binary.LittleEndian.Uint32(file[at+8:]))}, // #nosec G115 -- as it was written
			attempt: int(binary.LittleEndian.Uint32(file[at+12:])),
		}
		if s.event > 0 && s.ep > 0 && s.attempt > 0 {
			list = append(list, s)
		}
	}
	return list
}

// countBegun makes attempts of which no outcome is known attempts made.
func (d *DB) countBegun(ctx context.Context, list []slot) error {
	list = slices.DeleteFunc(list, func(s slot) bool { return d.byNum[s.ep] == nil })
	if len(list) == 0 {
		return nil
	}
	now := nanos(time.Now())
	counted := 0
	err := d.w.transact(ctx, func() error {
		for _, s := range list {
			r, err := d.w.conn.ExecContext(ctx, `INSERT INTO delivery (event, ep, state, attempt, due, status, error, at, heard)
				SELECT num, ?2, 0, ?3, 0, 0, ?4, ?5, 1 FROM event WHERE num = ?1 AND instr(eps, ?6) > 0
				ON CONFLICT (event, ep) DO UPDATE SET attempt = excluded.attempt, due = 0, status = 0, error = excluded.error, at = excluded.at, heard = 1
				WHERE state = 0 AND fold = 0 AND attempt < excluded.attempt`, s.event, s.ep, s.attempt, cutOff, now, epToken(s.ep))
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			if n == 0 { // what is known is newer
				continue
			}
			counted++
			if _, err := d.w.attempt.ExecContext(ctx, s.event, s.ep, s.attempt, now, 0, 0, cutOff, "", []byte{}, false); err != nil {
				return err
			}
		}
		return nil
	})
	if isFull(err) {
		d.log.Warn("attempts that were cut off are not counted: the disk is full", "error", err)
		return nil
	}
	if counted > 0 {
		d.log.Info("attempts were cut off when the process before ended", "count", counted)
	}
	return err
}

// begin notes that the head of a line is about to be attempted. The caller holds
// mu.
func (b *begun) begin(ln *line, ep int64) {
	if b.file == nil || len(b.free) == 0 {
		return
	}
	ln.slot = b.free[len(b.free)-1]
	b.free = b.free[:len(b.free)-1]
	at := b.slots[ln.slot*slotBytes:]
	binary.LittleEndian.PutUint64(at, uint64(ln.items[0].num)) // #nosec G115 -- not negative
	binary.LittleEndian.PutUint32(at[8:], uint32(ep))          // #nosec G115 -- there are not that many endpoints
	binary.LittleEndian.PutUint32(at[12:], uint32(ln.attempt+1))
	ln.slot++ // 0 is none
	b.changed(ln.slot - 1)
}

// end notes that an attempt has ended. The caller holds mu.
func (b *begun) end(ln *line) {
	if ln.slot == 0 {
		return
	}
	i := ln.slot - 1
	ln.slot = 0
	clear(b.slots[i*slotBytes : (i+1)*slotBytes])
	b.free = append(b.free, i)
	b.changed(i)
}

func (b *begun) changed(i int) {
	b.first, b.last = min(b.first, i), max(b.last, i)
}

// writeBegun writes what has changed. Its errors cost a count, nothing else.
func (d *DB) writeBegun() {
	b := &d.begun
	if b.file == nil {
		return
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	d.mu.Lock()
	if b.last < b.first {
		d.mu.Unlock()
		return
	}
	at := b.first * slotBytes
	changed := slices.Clone(b.slots[at : (b.last+1)*slotBytes])
	b.first, b.last = begunSlots, -1
	d.mu.Unlock()
	if _, err := b.file.WriteAt(changed, int64(at)); err != nil {
		d.log.Debug("attempts under way were not written down", "error", err)
	}
}

// closeBegun says that nothing is under way: what was handed out is as it was.
func (d *DB) closeBegun() error {
	if d.begun.file == nil {
		return nil
	}
	f := d.begun.file
	d.begun.file = nil
	return errors.Join(f.Truncate(0), f.Close())
}
