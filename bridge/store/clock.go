package store

import (
	"context"
	"fmt"
	"time"
)

// slack is how far a clock may go back without having been set: events of before
// and after are committed at one time then.
const slack = time.Second

// turnBack has what was committed by a clock that has been set back since
// committed no later than now. Events are looked for by time, which has to ascend
// with their numbers. It returns the time of the newest event from then on.
func (d *DB) turnBack(ctx context.Context, now time.Time) (newest time.Time, err error) {
	newest = d.newest
	if newest.Sub(now) <= slack {
		return newest, nil
	}
	first, err := d.firstSince(ctx, now)
	if err == nil {
		_, err = d.w.conn.ExecContext(ctx, `UPDATE event SET committed = ? WHERE num >= ?`, nanos(now), first)
	}
	if err != nil {
		return newest, fmt.Errorf("setting back when events were committed: %w", err)
	}
	d.log.Warn("the clock was set back", "by", newest.Sub(now).Round(time.Second))
	return now.Round(0), nil
}

// turnBackAtOnce does so in a transaction of its own. What waits for a time that
// has to pass since it was committed need not wait for the next commit then.
func (d *DB) turnBackAtOnce(ctx context.Context) error {
	now := time.Now()
	if d.newest.Sub(now) <= slack {
		return nil
	}
	newest := d.newest
	err := d.w.transact(ctx, func() (err error) {
		newest, err = d.turnBack(ctx, now)
		return err
	})
	switch {
	case err == nil:
		d.newest = newest
	case isFull(err):
		return nil // the first commit that finds space does it
	}
	return err
}
