package store

import (
	"context"
	"errors"
	"log/slog"
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

// DB is a store in one folder. It implements bridge.Store.
type DB struct{}

// Open opens the store in o.Path, and makes it when there is none.
func Open(ctx context.Context, o Options) (*DB, error) {
	return nil, errors.ErrUnsupported
}

// Close writes what is not yet written and closes the file.
func (d *DB) Close() error { return nil }

// LastAlive says when the process that used this folder before was last known
// to run; zero for a new store.
func (d *DB) LastAlive() time.Time { return time.Time{} }
