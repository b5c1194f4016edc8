package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"tocsin/bridge"
)

// addKept gives deliveries what is kept for their alarms. An endpoint that has
// never kept anything costs nothing.
func (d *DB) addKept(ctx context.Context, l *lane, picked []*line, due []bridge.Delivery) error {
	d.mu.Lock()
	if !l.keeps {
		d.mu.Unlock()
		return nil
	}
	data := make(map[string]string, len(due))
	var missing []string
	for _, ln := range picked {
		key := keptKey{l.num, cmp.Or(ln.told, ln.alarm)}
		if _, known := data[key.alarm]; known {
			continue
		}
		waiting, ok := d.next.kept[key]
		if !ok {
			waiting, ok = d.flying.kept[key]
		}
		if data[key.alarm] = waiting; !ok {
			missing = append(missing, key.alarm)
		}
	}
	d.mu.Unlock()
	if err := d.readKept(ctx, l.num, missing, data); err != nil {
		return err
	}
	for i, ln := range picked {
		alarm := cmp.Or(ln.told, ln.alarm)
		if data[alarm] == "" {
			continue
		}
		if err := json.Unmarshal([]byte(data[alarm]), &due[i].Kept); err != nil {
			return fmt.Errorf("what is kept for alarm %s: %w", alarm, err)
		}
	}
	return nil
}

func (d *DB) readKept(ctx context.Context, ep int64, alarms []string, to map[string]string) error {
	if len(alarms) == 0 {
		return nil
	}
	list, err := json.Marshal(alarms)
	if err != nil {
		return err
	}
	rows, err := d.read.QueryContext(ctx, `SELECT alarm, data FROM kept WHERE ep = ? AND alarm IN (SELECT value FROM json_each(?))`,
		ep, string(list))
	if err != nil {
		return d.reading("what is kept", err)
	}
	return d.reading("what is kept", each(rows, func() error {
		var alarm, data string
		err := rows.Scan(&alarm, &data)
		to[alarm] = data
		return err
	}))
}
