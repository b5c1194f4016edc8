package trace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// What was written to a collector by an earlier version must be joined by a later one.
func TestIdsAreMadeOfTheEventAlone(t *testing.T) {
	c := Of("evt_AAAA")
	if got, want := c.Trace.String()+" "+c.Span.String(), "0d4f555445a65b0415a884562ad639bb ad2d972b2f88aa6c"; got != want {
		t.Errorf("the ids of evt_AAAA are %s, not %s", got, want)
	}
	if other := Of("evt_AAAB"); other.Trace == c.Trace || other.Span == c.Span {
		t.Errorf("two events share ids: %v", other)
	}
	if commit := Commit("evt_AAAA"); commit.Trace != c.Trace || commit.Span == c.Span {
		t.Errorf("the commit is %v in the trace of %v", commit, c)
	}
	if a, b := c.Child(), c.Child(); a.Trace != c.Trace || a.Span == b.Span || a.Span == (SpanID{}) {
		t.Errorf("children are %v and %v", a, b)
	}
}

func TestParentIsReadAsW3CHasIt(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	c, ok := ParseParent(good)
	if tr := (&Tracer{threshold: threshold(1)}); !ok || tr.Parent(c) != good {
		t.Errorf("%s is read as %v %v", good, c, ok)
	}
	for s, want := range map[string]bool{
		good:                              true,
		"00" + good[2:54] + "0":           true,
		"cc" + good[2:] + "-what-will-be": true,
		"cc" + good[2:] + ".what-will-be": false,
		good + "-more":                    false,
		"ff" + good[2:]:                   false,
		strings.ToUpper(good):             false,
		good[:54]:                         false,
		"":                                false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
		"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01": false,
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": false,
	} {
		if _, ok := ParseParent(s); ok != want {
			t.Errorf("%q is taken: %v", s, ok)
		}
	}
}

func FuzzParent(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := ParseParent(s)
		if !ok {
			return
		}
		written := (&Tracer{}).Parent(c)
		if again, ok := ParseParent(written); !ok || again != c {
			t.Errorf("%q is read as %v and written as %q", s, c, written)
		}
	})
}

func TestSameTracesAreKeptByEveryProcess(t *testing.T) {
	half := &Tracer{threshold: threshold(0.5)}
	kept := 0
	for i := range 1000 {
		c := Of("evt_" + strings.Repeat("x", i))
		sampled := half.Sampled(c.Trace)
		if sampled {
			kept++
		}
		if flag := half.Parent(c)[53:]; (flag == "01") != sampled {
			t.Fatalf("a trace that is kept (%v) has the flags %s", sampled, flag)
		}
	}
	if kept < 400 || kept > 600 {
		t.Errorf("%d of 1000 traces are kept at 0.5", kept)
	}
	if all := (&Tracer{threshold: threshold(1)}); !all.Sampled(ID{15: 1, 8: 0xff, 9: 0xff}) {
		t.Error("a ratio of 1 leaves one out")
	}
}

func TestTracerThatIsOffDoesNothing(t *testing.T) {
	var off *Tracer
	allocs := testing.AllocsPerRun(100, func() {
		off.Record(Span{})
		if off.Parent(Context{}) != "" || !off.Attr("evt_1").Equal(slog.Attr{}) || off.Sampled(ID{}) {
			t.Error("it says something")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	off.Run(t.Context())
}

func TestTargetIsWhatCollectorsListenOn(t *testing.T) {
	for from, want := range map[string]string{
		"http://127.0.0.1:4318":             "http://127.0.0.1:4318/v1/traces",
		"http://127.0.0.1:4318/":            "http://127.0.0.1:4318/v1/traces",
		"https://otlp.example.com/tenant/7": "https://otlp.example.com/tenant/7/v1/traces",
		"https://example.com/v1/traces":     "https://example.com/v1/traces",
		"127.0.0.1:4318":                    "",
		"grpc://127.0.0.1:4317":             "",
		"http://user:pass@127.0.0.1:4318":   "",
		"http://127.0.0.1:4318?key=1":       "",
		"http://":                           "",
	} {
		u, err := Target(from)
		if (err != nil) != (want == "") || err == nil && u.String() != want {
			t.Errorf("%s leads to %v, %v", from, u, err)
		}
		if err != nil && strings.Contains(err.Error(), "pass@") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

// A request under way at the stop is not given up to be made again.
func TestStopSendsEachSpanOnce(t *testing.T) {
	c := &collector{}
	c.answer = func(int, *http.Request) (int, []byte) {
		time.Sleep(1500 * time.Millisecond) // the first is under way for half a second when it is asked to stop
		return http.StatusOK, nil
	}
	inBubble(t, c, Options{Grace: 5 * time.Second}, func(tr *Tracer) {
		tr.Record(span("one"))
		time.Sleep(1500 * time.Millisecond)
		tr.Record(span("two"))
	})
	if got := c.names(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("%q arrived", got)
	}
}

// A collector of the wire's own messages, which takes what it is told to take.
type collector struct {
	answer func(n int, r *http.Request) (status int, body []byte) // n requests were before

	mu       sync.Mutex
	requests int
	spans    []*collectorpb.ExportTraceServiceRequest
	header   http.Header
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	n := c.requests
	c.requests++
	c.header = r.Header
	c.mu.Unlock()
	status, answer := http.StatusOK, []byte(nil)
	if c.answer != nil {
		status, answer = c.answer(n, r)
	}
	if status == http.StatusOK {
		m := new(collectorpb.ExportTraceServiceRequest)
		if err := proto.Unmarshal(body, m); err != nil {
			status = http.StatusBadRequest
		}
		c.mu.Lock()
		c.spans = append(c.spans, m)
		c.mu.Unlock()
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// RoundTrip has it asked without a socket, in a bubble.
func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (c *collector) names() (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.spans {
		for _, rs := range m.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					names = append(names, s.Name)
				}
			}
		}
	}
	return names
}

func newTracer(t *testing.T, o Options) *Tracer {
	t.Helper()
	if o.URL == "" {
		o.URL = "http://127.0.0.1:4318"
	}
	tr, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func (t *Tracer) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue)
}

func (t *Tracer) lost(reason string) float64 {
	return testutil.ToFloat64(t.dropped.WithLabelValues(reason))
}

func TestSpansArriveAsTheyWere(t *testing.T) {
	c := &collector{}
	server := httptest.NewServer(c)
	defer server.Close()
	tr := newTracer(t, Options{
		URL: server.URL, Headers: map[string]string{"x-tenant": "lyon"}, Service: "tocsin-lyon", Version: "1.2.3", Registerer: prometheus.NewRegistry(),
	})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { tr.Run(ctx) })

	root, start := Of("evt_1"), time.Unix(1700000000, 5)
	tr.Record(Span{
		Context: root.Child(), Parent: root.Span, Links: []Context{Of("evt_2")}, Kind: Client, Name: "deliver ops", Start: start, End: start.Add(time.Second),
		Attrs:  []slog.Attr{slog.String("a", "\xff"), slog.Int("n", 7), slog.Bool("b", true), slog.Float64("f", 0.5), slog.String("empty", ""), slog.String("long", strings.Repeat("x", 4000))},
		Failed: true, Error: "answered 503",
	})
	stop()
	running.Wait()

	if len(c.spans) != 1 || c.header.Get("X-Tenant") != "lyon" || c.header.Get("Content-Type") != "application/x-protobuf" {
		t.Fatalf("%d requests arrived, the last with %v", len(c.spans), c.header)
	}
	rs := c.spans[0].ResourceSpans[0]
	s := rs.ScopeSpans[0].Spans[0]
	switch {
	case rs.Resource.Attributes[0].Value.GetStringValue() != "tocsin-lyon", rs.Resource.Attributes[1].Value.GetStringValue() != "1.2.3":
		t.Errorf("the resource is %v", rs.Resource)
	case !bytes.Equal(s.TraceId, root.Trace[:]), !bytes.Equal(s.ParentSpanId, root.Span[:]), len(s.Links) != 1,
		s.StartTimeUnixNano != 1700000000_000000005, s.EndTimeUnixNano != 1700000001_000000005, s.Kind.String() != "SPAN_KIND_CLIENT",
		s.Status.Message != "answered 503", s.Status.Code.String() != "STATUS_CODE_ERROR":
		t.Errorf("the span is %v", s)
	case len(s.Attributes) != 5, s.Attributes[0].Value.GetStringValue() != "\uFFFD", s.Attributes[1].Value.GetIntValue() != 7,
		!s.Attributes[2].Value.GetBoolValue(), s.Attributes[3].Value.GetDoubleValue() != 0.5, len(s.Attributes[4].Value.GetStringValue()) > 300:
		t.Errorf("its attributes are %v", s.Attributes)
	}
	if testutil.ToFloat64(tr.exported) != 1 {
		t.Error("it is not counted")
	}
}

// inBubble runs a tracer beside a collector, and stops it at the end.
func inBubble(t *testing.T, c *collector, o Options, do func(tr *Tracer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr := newTracer(t, o)
		tr.transport = c
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { tr.Run(ctx) })
		do(tr)
		stop()
		running.Wait()
	})
}

func span(name string) Span {
	return Span{Context: Of(name), Name: name, Start: time.Now(), End: time.Now()}
}

func TestUnavailableCollectorIsAskedAgain(t *testing.T) {
	c := &collector{answer: func(n int, _ *http.Request) (int, []byte) {
		if n < 3 {
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusOK, nil
	}}
	var log bytes.Buffer
	inBubble(t, c, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(tr *Tracer) {
		tr.Record(span("one"))
		time.Sleep(30 * time.Second)
		if got := c.names(); len(got) != 1 || c.requests != 4 {
			t.Errorf("%v arrived in %d requests", got, c.requests)
		}
	})
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("that was told in %d lines:\n%s", n, &log)
	}
}

func TestRefusedSpansAreCountedAndNotSentAgain(t *testing.T) {
	c := &collector{answer: func(n int, _ *http.Request) (int, []byte) {
		if n == 0 {
			return http.StatusUnauthorized, nil
		}
		partial, _ := proto.Marshal(&collectorpb.ExportTraceServiceResponse{
			PartialSuccess: &collectorpb.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "too old"},
		})
		return http.StatusOK, partial
	}}
	inBubble(t, c, Options{}, func(tr *Tracer) {
		tr.Record(span("one"))
		time.Sleep(5*time.Second + every/2) // and not while a batch is taken
		tr.Record(span("two"))
		tr.Record(span("three"))
		time.Sleep(5 * time.Second)
		if lost := tr.lost(refused); lost != 2 || testutil.ToFloat64(tr.exported) != 1 || c.requests != 2 {
			t.Errorf("%v are refused, %v taken, in %d requests", lost, testutil.ToFloat64(tr.exported), c.requests)
		}
	})
}

// Whoever records is the bridge at work.
func TestCollectorThatHangsHoldsNobodyUp(t *testing.T) {
	const many, late = 10_000, 3 * maxBatch
	c := &collector{answer: func(_ int, r *http.Request) (int, []byte) {
		<-r.Context().Done()
		return http.StatusGatewayTimeout, nil
	}}
	var tr *Tracer
	inBubble(t, c, Options{}, func(running *Tracer) {
		tr = running
		began := time.Now()
		for range many {
			tr.Record(span("one"))
		}
		if time.Since(began) != 0 || tr.waiting() > maxQueued || tr.lost(full) < many-maxQueued-maxBatch {
			t.Errorf("after %v %d spans wait and %v are dropped", time.Since(began), tr.waiting(), tr.lost(full))
		}
		time.Sleep(10 * time.Minute)
		if n := tr.waiting(); n != 0 || tr.lost(full)+tr.lost(unreachable) != many {
			t.Errorf("ten minutes later %d wait, and %v were given up", n, tr.lost(unreachable))
		}
		for range late {
			tr.Record(span("last"))
		}
	})
	if lost := tr.lost(full) + tr.lost(unreachable); lost != many+late {
		t.Errorf("%v of %d were counted as lost in the end", lost, many+late)
	}
}

func TestStopSendsWhatIsLeft(t *testing.T) {
	c := &collector{}
	inBubble(t, c, Options{}, func(tr *Tracer) {
		for range maxBatch + 7 {
			tr.Record(span("last"))
		}
	})
	if n := len(c.names()); n != maxBatch+7 {
		t.Errorf("%d arrived", n)
	}
}

func TestSecretsOfHeadersAreNotTold(t *testing.T) {
	var log bytes.Buffer
	c := roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, errors.New(`malformed HTTP response "POST CANARY-SECRET"`)
	})
	synctest.Test(t, func(t *testing.T) {
		tr := newTracer(t, Options{Headers: map[string]string{"Authorization": "CANARY-SECRET"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		tr.transport = c
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		tr.Record(span("one"))
		tr.Run(ctx)
	})
	if log.Len() == 0 || strings.Contains(log.String(), "CANARY") {
		t.Errorf("the log says %s", &log)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
