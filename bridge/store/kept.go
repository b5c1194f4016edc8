package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"tocsin/bridge"
)

// addKept gives deliveries what is kept for their alarms, and says which of those
// are about an episode whose beginning was dropped. An endpoint of which nothing
// is kept costs nothing.
func (d *DB) addKept(ctx context.Context, l *lane, picked []*line, due []bridge.Delivery) (untold map[string]int64, err error) {
	d.mu.Lock()
	if !l.keeps {
		d.mu.Unlock()
		return nil, nil
	}
	waiting := make(map[string]string) // not on disk yet
	told := make(map[string]bool)
	foldedNow := make(map[string]int64)
	keys := make([]string, len(picked))
	for i, ln := range picked {
		key := keptKey{l.num, ln.key()}
		keys[i] = key.alarm
		for _, o := range []*outcomes{&d.flying, &d.next} {
			if data, ok := o.kept[key]; ok {
				waiting[key.alarm] = data
			}
			told[key.alarm] = told[key.alarm] || o.told[key]
			if num, ok := o.folded[key]; ok {
				foldedNow[key.alarm] = num
			}
		}
	}
	d.mu.Unlock()
	data := make(map[string]string)
	untold = make(map[string]int64)
	folded := make(map[string]int64)
	if err := d.readKept(ctx, l.num, keys, data, untold, folded); err != nil {
		return nil, err
	}
	maps.Copy(data, waiting)
	maps.Copy(folded, foldedNow)
	d.mu.Lock()
	for i, ln := range picked {
		began, head := folded[keys[i]], ln.items[0]
		ln.folded = began != 0 && head.num >= began
		due[i].Folded = ln.folded && head.class.kind() != begin
	}
	d.mu.Unlock()
	maps.DeleteFunc(untold, func(alarm string, _ int64) bool { return told[alarm] })
	for i, key := range keys {
		if data[key] == "" {
			continue
		}
		if err := json.Unmarshal([]byte(data[key]), &due[i].Kept); err != nil {
			return nil, fmt.Errorf("what is kept for alarm %s: %w", key, err)
		}
	}
	return untold, nil
}

func (d *DB) readKept(ctx context.Context, ep int64, alarms []string, data map[string]string, untold, folded map[string]int64) error {
	list, err := json.Marshal(alarms)
	if err != nil {
		return err
	}
	rows, err := d.read.QueryContext(ctx, `SELECT alarm, data, untold, folded FROM kept WHERE ep = ? AND alarm IN (SELECT value FROM json_each(?))`,
		ep, string(list))
	if err != nil {
		return d.reading("what is kept", err)
	}
	return d.reading("what is kept", each(rows, func() error {
		var alarm, text string
		var began, foldedSince int64
		err := rows.Scan(&alarm, &text, &began, &foldedSince)
		data[alarm], folded[alarm] = text, foldedSince
		if began != 0 {
			untold[alarm] = began
		}
		return err
	}))
}

// allUntold are the alarms of which an episode was dropped while under way. The
// lane is held, and all that it knew is on disk.
func (d *DB) allUntold(ctx context.Context, l *lane) (map[string]int64, error) {
	rows, err := d.read.QueryContext(ctx, `SELECT alarm, untold FROM kept WHERE ep = ? AND untold <> 0`, l.num)
	if err != nil {
		return nil, d.reading("what was dropped", err)
	}
	all := make(map[string]int64)
	return all, d.reading("what was dropped", each(rows, func() error {
		var alarm string
		var num int64
		err := rows.Scan(&alarm, &num)
		all[alarm] = num
		return err
	}))
}

// forgetKept are the rows that may go: of alarms that are at rest, that nobody
// has kept anything of for long, at endpoints that are owed nothing.
const forgetKept = `DELETE FROM kept WHERE (ep, alarm) IN (SELECT k.ep, k.alarm FROM kept k
	LEFT JOIN alarm a ON a.key = k.alarm WHERE k.at < ?1 AND k.ep IN (SELECT num FROM endpoint WHERE owed = 0)
	AND (a.key IS NULL OR NOT coalesce(a.data ->> '$.returned', 0)
		AND coalesce(julianday(a.data ->> '$.ended_at'), 0) >= coalesce(julianday(a.data ->> '$.started_at'), 0)
		AND NOT EXISTS (SELECT 1 FROM json_each(a.data, '$.levels') WHERE value ->> '$.on'))
	LIMIT 1000)`

// trimKept deletes what is kept of old.
func (d *DB) trimKept(ctx context.Context, before int64) error {
	if err := d.state(); err != nil {
		return err
	}
	var old bool
	err := d.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM kept WHERE at < ?)`, before).Scan(&old)
	if err != nil || !old {
		return d.reading("what is kept", err)
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.state(); err != nil {
		return err
	}
	return d.write(context.WithoutCancel(ctx), &work{forget: before})
}
