package bridge

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/broker"
)

const (
	rejectEvery   = time.Minute // one line for each source and reason
	maxRejects    = 1024        // sources and reasons told apart
	maxRejectText = 256         // bytes of each text of the newest of a kind
	rejectSlot    = 5 * time.Minute
)

// rejects tells people about input that could not be used: who sent what, the
// first of its kind at once and then the last one of each minute, with a count.
// The counters count every one; a line for each would let one device fill the
// log. The newest of each kind is kept to be shown, with the beginning of its
// payload.
type rejects struct {
	log   *slog.Logger
	since time.Time

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

	first, at time.Time
	all       int
	slots     [12]slot // of the last hour
	payload   []byte   // its beginning
	bytes     int      // of all of it
}

// A slot counts for some minutes. It is another's when its number is not theirs.
type slot struct{ number, count int64 }

// unused is what was not used, as far as that is known.
type unused struct{ device, metric, detail string }

func newRejects(log *slog.Logger) *rejects {
	return &rejects{log: log, since: time.Now(), last: make(map[rejectKind]*reject)}
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
		c = &reject{first: now}
		r.last[kind] = c
	}
	c.count++
	c.unused = unused{device: bounded(what.device), metric: bounded(what.metric), detail: bounded(what.detail)}
	c.topic, c.client = bounded(m.Topic), bounded(m.Client)
	c.keep(m.Payload, now)
	r.tell(kind, c, now)
}

// keep counts one more, and keeps the beginning of what was sent.
func (c *reject) keep(payload []byte, now time.Time) {
	c.at = now
	c.all++
	number := now.UnixNano() / int64(rejectSlot)
	s := &c.slots[number%int64(len(c.slots))]
	if s.number != number {
		*s = slot{number: number}
	}
	s.count++
	c.bytes, c.payload = len(payload), append(c.payload[:0], payload[:min(len(payload), maxRejectText)]...)
}

// lately is how many there were in the last hour.
func (c *reject) lately(now time.Time) (n int) {
	number := now.UnixNano() / int64(rejectSlot)
	for _, s := range c.slots {
		if number-s.number < int64(len(c.slots)) {
			n += int(s.count)
		}
	}
	return n
}

// bounded cuts a text that somebody else has made.
func bounded(s string) string {
	if len(s) <= maxRejectText {
		return s
	}
	return strings.ToValidUTF8(s[:maxRejectText], "") + "…"
}

// A Reject is input of one kind that was not used, by its source and by why.
type Reject struct {
	Source   string    `json:"source,omitempty"` // none where no source reads the topic
	Reason   string    `json:"reason"`
	Count    int       `json:"count"`     // since the bridge was started
	LastHour int       `json:"last_hour"` // to about five minutes
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`

	// Of the newest. Texts, and the payload, are cut: they are others'.
	Device  string `json:"device,omitempty"`
	Metric  string `json:"metric,omitempty"`
	Detail  string `json:"detail,omitempty"` // fact and remedy
	Topic   string `json:"topic"`
	Client  string `json:"client,omitempty"`
	Payload []byte `json:"-"`
	Bytes   int    `json:"bytes"` // of the whole payload
}

// Rejects are the kinds of input that was not used since the bridge was started, the
// newest first, and since when that is.
func (b *Bridge) Rejects() (list []Reject, since time.Time) {
	r, now := b.rejects, time.Now()
	r.mu.Lock()
	for kind, c := range r.last {
		list = append(list, Reject{
			Source: kind.source, Reason: kind.reason, Count: c.all, LastHour: c.lately(now), First: c.first, Last: c.at,
			Device: c.device, Metric: c.metric, Detail: c.detail, Topic: c.topic, Client: c.client,
			Payload: slices.Clone(c.payload), Bytes: c.bytes,
		})
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(x, y Reject) int {
		return cmp.Or(y.Last.Compare(x.Last), cmp.Compare(x.Source, y.Source), cmp.Compare(x.Reason, y.Reason))
	})
	return list, r.since
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
