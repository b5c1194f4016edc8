package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What tracing takes at most.
const (
	maxQueued = 2048 // spans that wait to be sent
	maxBatch  = 512  // spans in a request
	maxText   = 256  // bytes of a text that are kept
)

// Options say where spans go. URL is required.
type Options struct {
	URL     string            // as [Target] makes it
	Headers map[string]string // of every request; they may be secrets and are not shown
	Ratio   float64           // of the traces that are kept, above 0 and up to 1; 0 means 1
	Service string            // service.name; "" means tocsin
	Version string            // service.version

	Grace      time.Duration         // for what is left when stopping; 0 means 2 s
	Registerer prometheus.Registerer // nil: no metrics are registered
	Log        *slog.Logger          // nil: nothing is logged
}

// Target is the URL to post to for an OTLP endpoint: /v1/traces below it, unless
// that is what it names.
func Target(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New(`is no URL of http or https (write it as in "http://127.0.0.1:4318")`)
	case u.User != nil:
		return nil, errors.New("holds a credential (write it under headers)")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("has something behind its path (remove it)")
	}
	if path := strings.TrimSuffix(u.EscapedPath(), "/"); !strings.HasSuffix(path, "/v1/traces") {
		u = u.JoinPath("v1", "traces")
	}
	return u, nil
}

// A Tracer takes spans in and sends them. A nil one is switched off: its methods
// do nothing.
type Tracer struct {
	url       *url.URL
	header    http.Header
	threshold uint64 // a trace is kept whose number is below it
	resource  resource
	grace     time.Duration
	log       *slog.Logger
	transport http.RoundTripper
	exported  prometheus.Counter
	dropped   *prometheus.CounterVec
	wake      chan struct{} // holds one

	mu    sync.Mutex
	queue []Span
}

// New makes a tracer. [Tracer.Run] sends what it takes in.
func New(o Options) (*Tracer, error) {
	u, err := Target(o.URL)
	if err != nil {
		return nil, fmt.Errorf("tracing: otlp %w", err)
	}
	if o.Ratio == 0 {
		o.Ratio = 1
	}
	if o.Grace == 0 {
		o.Grace = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Tracer{
		url: u, header: http.Header{}, threshold: threshold(o.Ratio), resource: newResource(&o),
		grace: o.Grace, log: o.Log, transport: newTransport(), wake: make(chan struct{}, 1),
		exported: prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_spans_exported_total", Help: "Spans that the collector has taken."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_spans_dropped_total", Help: "Spans that the collector was not sent, or has not taken, by reason.",
		}, []string{"reason"}),
	}
	for name, value := range o.Headers {
		t.header.Set(name, value)
	}
	t.header.Set("Content-Type", "application/x-protobuf")
	t.header.Set("User-Agent", "tocsin/"+o.Version)
	for _, reason := range []string{full, refused, unreachable} {
		t.dropped.WithLabelValues(reason)
	}
	if o.Registerer == nil {
		return t, nil
	}
	for _, c := range []prometheus.Collector{t.exported, t.dropped} {
		if err := o.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("tracing: registering metrics: %w", err)
		}
	}
	return t, nil
}

// The reasons for which spans are dropped.
const (
	full        = "queue_full"
	refused     = "refused"     // by the collector
	unreachable = "unreachable" // it was, for as long as they were kept
)

// threshold is the share of the numbers of traces, as [Tracer.Sampled] has them.
func threshold(ratio float64) uint64 {
	if ratio >= 1 {
		return math.MaxUint64
	}
	return uint64(ratio * (1 << 63))
}

// Sampled reports whether a trace is kept: by its id alone, as SDKs of
// OpenTelemetry do it with the same ratio.
func (t *Tracer) Sampled(id ID) bool {
	return t != nil && binary.BigEndian.Uint64(id[8:])>>1 < t.threshold
}

// Parent is the header traceparent of requests that belong to a span; "" when
// tracing is off.
func (t *Tracer) Parent(c Context) string {
	if t == nil {
		return ""
	}
	flags := "-00"
	if t.Sampled(c.Trace) {
		flags = "-01"
	}
	return version + "-" + c.Trace.String() + "-" + c.Span.String() + flags
}

// Attr is the id of an event's trace for the log: none when tracing is off.
func (t *Tracer) Attr(event string) slog.Attr {
	if t == nil {
		return slog.Attr{}
	}
	return slog.String("trace_id", Of(event).Trace.String())
}

// Kind says which side of something a span is on.
type Kind uint8

const (
	Internal Kind = iota
	Consumer      // it took a message in
	Client        // it made a request
)

// A Span is something that is over.
type Span struct {
	Context
	Parent     SpanID // zero: it is the root
	Links      []Context
	Kind       Kind
	Name       string
	Start, End time.Time
	Attrs      []slog.Attr
	Failed     bool
	Error      string // what happened, without secrets
}

// Record takes a span in, or drops it. It waits for nobody.
func (t *Tracer) Record(s Span) {
	if t == nil || !t.Sampled(s.Trace) {
		return
	}
	s.bound()
	t.mu.Lock()
	room := len(t.queue) < maxQueued
	if room {
		t.queue = append(t.queue, s)
	}
	enough := len(t.queue) >= maxBatch
	t.mu.Unlock()
	if !room {
		t.dropped.WithLabelValues(full).Inc()
	}
	if enough {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// bound cuts texts, so that what waits has a size.
func (s *Span) bound() {
	s.Error = short(s.Error)
	for i, a := range s.Attrs {
		if v := a.Value; v.Kind() == slog.KindString && len(v.String()) > maxText {
			s.Attrs[i].Value = slog.StringValue(short(v.String()))
		}
	}
}

// short is the beginning of a text, in memory of its own.
func short(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// take hands out the oldest spans.
func (t *Tracer) take() []Span {
	t.mu.Lock()
	defer t.mu.Unlock()
	batch := slices.Clone(t.queue[:min(len(t.queue), maxBatch)])
	t.queue = slices.Delete(t.queue, 0, len(batch))
	return batch
}
