package bridge

import (
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
// first of its kind at once and then one a minute with a count. The counters
// count every one; a line for each would let one device fill the log.
type rejects struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[rejectKind]*rejectCount
}

type rejectKind struct{ source, reason string }

type rejectCount struct {
	told  time.Time
	count int // since then
}

func newRejects(log *slog.Logger) *rejects {
	return &rejects{log: log, last: make(map[rejectKind]*rejectCount)}
}

// tell notes that something of a message was not used.
func (r *rejects) tell(source, reason, detail string, m *broker.Message) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	kind := rejectKind{source, reason}
	c := r.last[kind]
	if c == nil {
		if len(r.last) >= maxRejects {
			return
		}
		c = new(rejectCount)
		r.last[kind] = c
	}
	c.count++
	if now.Sub(c.told) < rejectEvery {
		return
	}
	r.log.Warn("input was not used", "source", source, "reason", reason, "detail", detail,
		"topic", m.Topic, "client", m.Client, "count", c.count)
	c.told, c.count = now, 0
}
