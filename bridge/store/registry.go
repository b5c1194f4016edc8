package store

import (
	"context"
	"fmt"

	"tocsin/bridge"
)

// Registry keeps the endpoints that were registered while the bridge ran.
func (d *DB) Registry() bridge.Registry { return registry{d} }

// A registry is a DB as it keeps endpoints. It implements bridge.Registry.
type registry struct{ d *DB }

// Registered returns all endpoints by name. One that cannot be opened any more, for
// the key beside the database is another, has no data.
func (r registry) Registered(ctx context.Context) (all []bridge.Registered, err error) {
	if err := r.d.state(); err != nil {
		return nil, err
	}
	rows, err := r.d.read.QueryContext(ctx, `SELECT name, sealed FROM registered ORDER BY name`)
	if err != nil {
		return nil, r.d.reading("registered endpoints", err)
	}
	err = each(rows, func() error {
		var name string
		var sealed []byte
		if err := rows.Scan(&name, &sealed); err != nil {
			return err
		}
		text, err := r.d.seals.open(name, sealed)
		if err != nil {
			r.d.log.Error("a registered endpoint cannot be read", "endpoint", name, "error", err)
		}
		all = append(all, bridge.NewRegistered(name, text))
		return nil
	})
	return all, r.d.reading("registered endpoints", err)
}

// Register keeps an endpoint.
func (r registry) Register(ctx context.Context, e bridge.Registered) error {
	if err := r.d.state(); err != nil {
		return err
	}
	var some bool
	if err := r.d.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM registered)`).Scan(&some); err != nil {
		return r.d.reading("registered endpoints", err)
	}
	// Not in the transaction: what fails there breaks the store.
	sealed, err := r.d.seals.seal(e.Name, e.Reveal(), !some)
	if err != nil {
		return fmt.Errorf("keeping endpoint %s: %w", e.Name, err)
	}
	return access(r).write(ctx, func(ctx context.Context, w *writer) error {
		if _, err := w.conn.ExecContext(ctx, `INSERT OR REPLACE INTO registered (name, sealed) VALUES (?, ?)`, e.Name, sealed); err != nil {
			return fmt.Errorf("keeping endpoint %s: %w", e.Name, err)
		}
		return nil
	})
}

// Unregister forgets an endpoint.
func (r registry) Unregister(ctx context.Context, name string) error {
	return access(r).write(ctx, func(ctx context.Context, w *writer) error {
		if _, err := w.conn.ExecContext(ctx, `DELETE FROM registered WHERE name = ?`, name); err != nil {
			return fmt.Errorf("forgetting endpoint %s: %w", name, err)
		}
		return nil
	})
}
