package bridge

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/rules"
)

// What watching costs at most.
const (
	maxWatches  = 64   // at a time
	watchBuffer = 256  // moments that wait for one of them
	keptMoments = 1024 // of the past, to go on from
)

var (
	// ErrWatches is that too many watch.
	ErrWatches = errors.New("too many watch at a time")
	// ErrSlow ends a watch that does not keep up.
	ErrSlow = errors.New("what happened came faster than it was taken")
)

// Kinds of a [Moment].
const (
	KindEvent    = "event"    // an event was stored
	KindDelivery = "delivery" // an attempt ended
	KindReading  = "reading"  // a reading was judged; one that finds no room is left out
	KindGap      = "gap"      // what came after the moment to go on from is not known any more
)

// A WatchQuery says what somebody wants to see. What is zero is not asked for.
type WatchQuery struct {
	Kinds    []string // none: events and deliveries
	Device   string
	Rule     string
	Endpoint string // that is told, or is told of
	After    string // the ID of the last moment that was seen
}

// A Moment is one thing that happened.
type Moment struct {
	ID    string // to go on from; "" of what is not kept
	Kind  string
	value any

	device, rule string
	endpoints    []string
}

// MarshalJSON implements json.Marshaler.
func (m Moment) MarshalJSON() ([]byte, error) {
	if ev, ok := m.value.(*rules.Event); ok {
		return ev.AppendJSON(nil)
	}
	return json.Marshal(m.value)
}

func (q *WatchQuery) wants(m *Moment) bool {
	if len(q.Kinds) == 0 && m.Kind == KindReading || len(q.Kinds) > 0 && !slices.Contains(q.Kinds, m.Kind) {
		return false
	}
	return (q.Device == "" || q.Device == m.device) && (q.Rule == "" || q.Rule == m.rule) &&
		(q.Endpoint == "" || slices.Contains(m.endpoints, q.Endpoint))
}

func (q *WatchQuery) wantsReadings() bool { return slices.Contains(q.Kinds, KindReading) }

// A feed tells whoever watches what happens, and keeps the last of it. It waits for
// nobody. Who does not watch costs the readings nothing but a look.
type feed struct {
	epoch    string // of the process: numbers begin anew with it
	readers  atomic.Int32
	dropped  *prometheus.CounterVec
	mu       sync.Mutex
	watches  map[*Watch]struct{}
	kept     []Moment // a ring
	last     uint64   // number of the newest
	watching prometheus.Gauge
}

func newFeed() *feed {
	return &feed{
		epoch: rand.Text()[:8], watches: make(map[*Watch]struct{}),
		watching: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_watches", Help: "Who watches what happens, at the moment."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_watches_dropped_total", Help: "Watches that were ended, by reason.",
		}, []string{"reason"}),
	}
}

// A Watch receives what happens from C, until it is closed by either side.
type Watch struct {
	C <-chan Moment // closed when the watch has ended; Err says why

	feed    *feed
	query   WatchQuery
	c       chan Moment
	skipped int   // readings since the last that found room
	err     error // under feed.mu
}

// Watch begins to watch. It goes on after q.After, or begins with a moment of
// [KindGap] where that is not known.
func (b *Bridge) Watch(q WatchQuery) (*Watch, error) {
	f := b.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watches) >= maxWatches {
		return nil, fmt.Errorf("%w: %d do (end another one first)", ErrWatches, len(f.watches))
	}
	missed := f.after(q.After)
	missed = slices.DeleteFunc(missed, func(m Moment) bool { return m.Kind != KindGap && !q.wants(&m) })
	w := &Watch{feed: f, query: q, c: make(chan Moment, watchBuffer+len(missed))}
	w.C = w.c
	for _, m := range missed {
		w.c <- m
	}
	f.watches[w] = struct{}{}
	f.watching.Inc()
	if q.wantsReadings() {
		f.readers.Add(1)
	}
	return w, nil
}

// after returns what came after a moment. The caller holds mu.
func (f *feed) after(id string) []Moment {
	if id == "" {
		return nil
	}
	epoch, text, _ := strings.Cut(id, "-")
	num, err := strconv.ParseUint(text, 10, 64)
	oldest := f.last - uint64(len(f.kept)) // the number before that of the oldest
	if err != nil || epoch != f.epoch || num > f.last || num < oldest {
		return []Moment{{ID: f.id(f.last), Kind: KindGap, value: map[string]string{"reason": "what came after " + id + " is not known any more"}}}
	}
	var missed []Moment
	for n := num + 1; n <= f.last; n++ {
		missed = append(missed, f.kept[(n-1)%keptMoments])
	}
	return missed
}

func (f *feed) id(num uint64) string { return f.epoch + "-" + strconv.FormatUint(num, 10) }

// Close ends the watch. It may be called more than once.
func (w *Watch) Close() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.end(w, nil)
}

// Err says why the watch was ended; nil while it was not, or by [Watch.Close].
func (w *Watch) Err() error {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	return w.err
}

// end ends a watch. The caller holds mu.
func (f *feed) end(w *Watch, why error) {
	if _, ok := f.watches[w]; !ok {
		return
	}
	delete(f.watches, w)
	f.watching.Dec()
	if w.query.wantsReadings() {
		f.readers.Add(-1)
	}
	w.err = why
	close(w.c)
}

// tell tells everybody of moments, and keeps them.
func (f *feed) tell(m Moment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	m.ID = f.id(f.last)
	if len(f.kept) < keptMoments {
		f.kept = append(f.kept, m)
	} else {
		f.kept[(f.last-1)%keptMoments] = m
	}
	for w := range f.watches {
		if !w.query.wants(&m) {
			continue
		}
		select {
		case w.c <- m:
		default:
			f.dropped.WithLabelValues("slow").Inc()
			f.end(w, ErrSlow)
		}
	}
}

// event tells of an event that was stored.
func (f *feed) event(ev *rules.Event) {
	own := *ev
	m := Moment{Kind: KindEvent, value: &own, device: ev.Device.ID, rule: ev.Rule.ID, endpoints: ev.Endpoints}
	if ev.Endpoint != nil {
		m.endpoints = append([]string{ev.Endpoint.Name}, m.endpoints...)
	}
	f.tell(m)
}

// An attempted is how an attempt ended, for whoever watches.
type attempted struct {
	ID       string     `json:"id"`
	Event    string     `json:"event"`
	Endpoint string     `json:"endpoint"`
	Alarm    string     `json:"alarm,omitempty"`
	Type     rules.Type `json:"type"`
	At       time.Time  `json:"at"`
	Outcome  string     `json:"outcome"`
	Attempt  int        `json:"attempt"`
	Status   int        `json:"status,omitempty"`
	Error    string     `json:"error,omitempty"`
	Took     string     `json:"took"`
	Due      time.Time  `json:"due,omitzero"`
}

// delivery tells of an attempt that has ended.
func (f *feed) delivery(d *Delivery, o *Outcome) {
	rule, device, _ := strings.Cut(d.Alarm, "/")
	f.tell(Moment{Kind: KindDelivery, device: device, rule: rule, endpoints: []string{o.Endpoint}, value: attempted{
		ID: d.ID + "@" + o.Endpoint, Event: d.ID, Endpoint: o.Endpoint, Alarm: d.Alarm, Type: d.Type, At: o.At,
		Outcome: fateNames[o.Fate], Attempt: o.Attempt, Status: o.Status, Error: o.Error, Took: o.Took.String(), Due: o.Due,
	}})
}

// A judged is a reading, for whoever watches.
type judged struct {
	Device  string    `json:"device"`
	Metric  string    `json:"metric"`
	Value   any       `json:"value"`
	Unit    string    `json:"unit,omitempty"`
	At      time.Time `json:"at"`
	Source  string    `json:"source"`
	Invalid string    `json:"invalid,omitempty"`
	Skipped int       `json:"skipped,omitempty"` // readings that were left out before this one
}

// readings tells of readings. Nobody is ended by them: those that find half of the
// room taken are left out, and counted in the next.
func (f *feed) readings(samples []rules.Sample) {
	if f.readers.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range samples {
		s := &samples[i]
		m := Moment{Kind: KindReading, device: s.Device}
		for w := range f.watches {
			if !w.query.wants(&m) {
				continue
			}
			if len(w.c) >= watchBuffer/2 {
				w.skipped++
				continue
			}
			m.value = judged{
				Device: s.Device, Metric: s.Metric, Value: valueOf(s), Unit: s.Unit, At: s.At, Source: s.Source, Invalid: s.Invalid, Skipped: w.skipped,
			}
			w.skipped = 0
			w.c <- m // there is room, and nobody else puts anything in
		}
	}
}

// valueOf is a reading's value as JSON has it; nil for what JSON has no number for.
func valueOf(s *rules.Sample) any {
	switch {
	case s.Kind == rules.Text:
		return s.Text
	case s.Kind == rules.Bool:
		return s.Num != 0
	case math.IsNaN(s.Num) || math.IsInf(s.Num, 0):
		return nil
	}
	return s.Num
}
