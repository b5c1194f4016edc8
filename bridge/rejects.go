package bridge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"tocsin/broker"
)

const (
	rejectEvery = time.Minute // one line for each source and reason
	maxRejects  = 1024        // sources and reasons told apart
)

// rejects tells people about input that could not be used: who sent what, the
// first of its kind at once and then the last one of each minute, with a count.
// The counters count every one; a line for each would let one device fill the
// log.
type rejects struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[rejectKind]*reject
}

type rejectKind struct{ source, reason string }

// A reject is the newest of its kind.
type reject struct {
	told  time.Time
	count int // since then
	unused
	topic, client string
}

// unused is what was not used, as far as that is known.
type unused struct{ device, metric, detail string }

func newRejects(log *slog.Logger) *rejects {
	return &rejects{log: log, last: make(map[rejectKind]*reject)}
}

// note takes down that something of a message was not used.
func (r *rejects) note(source, reason string, what unused, m *broker.Message) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	kind := rejectKind{source, reason}
	c := r.last[kind]
	if c == nil {
		if len(r.last) >= maxRejects {
			return
		}
		c = new(reject)
		r.last[kind] = c
	}
	c.count++
	c.unused, c.topic, c.client = what, m.Topic, m.Client
	r.tell(kind, c, now)
}

// flush tells what has waited for its minute.
func (r *rejects) flush(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for kind, c := range r.last {
		if c.count > 0 {
			r.tell(kind, c, now)
		}
	}
}

func (r *rejects) tell(kind rejectKind, c *reject, now time.Time) {
	if now.Sub(c.told) < rejectEvery {
		return
	}
	level := slog.LevelWarn
	if kind.reason == "late" {
		level = slog.LevelInfo // what MQTT delivers twice is late the second time
	}
	r.log.Log(context.Background(), level, "input was not used", "source", kind.source, "reason", kind.reason,
		"device", c.device, "metric", c.metric, "detail", c.detail, "topic", c.topic, "client", c.client, "count", c.count)
	c.told, c.count = now, 0
}
