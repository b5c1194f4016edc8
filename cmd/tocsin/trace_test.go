package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	paho5 "github.com/eclipse/paho.golang/paho"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"tocsin/bridge/trace"
	"tocsin/bridge/webhook"
)

// A traceCollector takes spans in by OTLP, as the messages of its own service.
type traceCollector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*tracepb.Span
	auth  string
}

func startTraceCollector(t *testing.T) *traceCollector {
	t.Helper()
	c := &traceCollector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m := new(collectorpb.ExportTraceServiceRequest)
		if err := proto.Unmarshal(body, m); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s %s is no request of OTLP: %v", r.Method, r.URL.Path, err)
			http.Error(w, "what?", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.auth = r.Header.Get("Authorization")
		for _, rs := range m.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// all are the spans in the order in which they arrived, and named those of a name.
func (c *traceCollector) all() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

func (c *traceCollector) named(name string) []*tracepb.Span {
	return slices.DeleteFunc(c.all(), func(s *tracepb.Span) bool { return s.Name != name })
}

func (c *traceCollector) authorization() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.auth
}

// said is an attribute of a span: a text, a number, or nil.
func said(s *tracepb.Span, key string) any {
	for _, a := range s.Attributes {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			if a.Key == key {
				return v.StringValue
			}
		case *commonpb.AnyValue_IntValue:
			if a.Key == key {
				return v.IntValue
			}
		}
	}
	return nil
}

// parents are the requests that a receiver was sent, by their traceparent.
type parents struct {
	mu     sync.Mutex
	status int
	came   []string
}

func (p *parents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.came = append(p.came, r.Header.Get("Traceparent"))
	w.WriteHeader(p.status)
}

func (p *parents) sent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.came)
}

func (p *parents) answer(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

// publish5 publishes a reading by MQTT 5, from a trace of the sender's.
func publish5(t *testing.T, addr, topic, payload, traceparent string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	c := paho5.NewClient(paho5.ClientConfig{ClientID: "d1", Conn: conn})
	if _, err := c.Connect(ctx, &paho5.Connect{ClientID: "d1", KeepAlive: 30, CleanStart: true}); err != nil {
		t.Fatal(err)
	}
	_, err = c.Publish(ctx, &paho5.Publish{Topic: topic, QoS: 1, Payload: []byte(payload), Properties: &paho5.PublishProperties{
		User: paho5.UserProperties{{Key: "traceparent", Value: traceparent}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Disconnect(&paho5.Disconnect{}); err != nil {
		t.Error(err)
	}
}

// An event is one trace, from the message to the answer that accepts it, also when
// the bridge is killed in between.
func TestTraceOfAnEventOutlivesTheProcess(t *testing.T) {
	const sender = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	c, receiver := startTraceCollector(t), &parents{status: http.StatusServiceUnavailable}
	hook := httptest.NewServer(receiver)
	t.Cleanup(hook.Close)
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), webhook.NewSecret(), hook.URL)
	tracing := "[tracing]\notlp = \"" + c.URL + "\"\nheaders = { Authorization = { file = \"secrets/otlp\" } }\n"
	addTo(t, dir, tracing)
	writeFiles(t, dir, map[string]string{"secrets/otlp": "Bearer CANARY"})

	p := startTocsin(t, dir)
	p.waitReady()
	publish5(t, addr, "plant/d1/telemetry", `{"temperature": -10}`, sender)
	eventually(t, "two failed attempts are traced", func() bool { return len(c.named("deliver ops")) >= 2 })
	if strings.Contains(p.log(), "CANARY") {
		t.Error("the log shows the header's secret")
	}
	p.kill()
	receiver.answer(http.StatusOK)
	p = startTocsin(t, dir)
	accepted := func() bool {
		return slices.ContainsFunc(c.named("deliver ops"), func(s *tracepb.Span) bool { return said(s, "tocsin.outcome") == "delivered" })
	}
	eventually(t, "the accepted attempt is traced", accepted)
	p.terminate()

	roots, commits, attempts := c.named("alarm.fired"), c.named("commit"), c.named("deliver ops")
	if len(roots) != 1 || len(commits) != 1 {
		t.Fatalf("%d roots and %d commits for one event", len(roots), len(commits))
	}
	root := roots[0]
	id, _ := said(root, "tocsin.event.id").(string)
	if made := trace.Of(id); hex.EncodeToString(root.TraceId) != made.Trace.String() || hex.EncodeToString(root.SpanId) != made.Span.String() || len(root.ParentSpanId) != 0 {
		t.Errorf("the root is not that of event %q: %v", id, root)
	}
	for key, want := range map[string]any{
		"tocsin.device": "d1", "tocsin.rule": "warm", "tocsin.alarm": "warm/d1", "tocsin.source": "plant", "tocsin.severity": "warning",
		"messaging.system": "mqtt", "messaging.destination.name": "plant/d1/telemetry", "messaging.client.id": "d1", "messaging.message.body.size": int64(20),
	} {
		if got := said(root, key); got != want {
			t.Errorf("the root's %s is %v, not %v", key, got, want)
		}
	}
	if len(root.Links) != 1 || hex.EncodeToString(root.Links[0].TraceId)+hex.EncodeToString(root.Links[0].SpanId) != sender[3:35]+sender[36:52] {
		t.Errorf("the root is linked to %v, and the sender was %s", root.Links, sender)
	}
	if root.Kind != tracepb.Span_SPAN_KIND_CONSUMER || root.StartTimeUnixNano >= root.EndTimeUnixNano || root.EndTimeUnixNano < commits[0].EndTimeUnixNano {
		t.Errorf("the root is %v, its commit %v", root, commits[0])
	}
	last := int64(0)
	for _, s := range append(commits, attempts...) {
		if !bytes.Equal(s.TraceId, root.TraceId) || !bytes.Equal(s.ParentSpanId, root.SpanId) {
			t.Errorf("%s is no child of the root: %v", s.Name, s)
		}
	}
	for _, s := range attempts {
		number, _ := said(s, "tocsin.attempt").(int64)
		if number <= last {
			t.Errorf("attempt %d comes after %d", number, last)
		}
		last = number
		if parent := "00-" + hex.EncodeToString(s.TraceId) + "-" + hex.EncodeToString(s.SpanId) + "-01"; !slices.Contains(receiver.sent(), parent) {
			t.Errorf("attempt %d is %s, and the receiver was sent %q", number, parent, receiver.sent())
		}
		failed := s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR
		if failed == (said(s, "tocsin.outcome") == "delivered") || failed != (said(s, "error.type") == "503") ||
			said(s, "tocsin.endpoint") != "ops" || said(s, "server.address") != "127.0.0.1" || s.Kind != tracepb.Span_SPAN_KIND_CLIENT {
			t.Errorf("attempt %d is %v", number, s)
		}
	}
	if got := c.authorization(); got != "Bearer CANARY" {
		t.Errorf("the collector was sent the header %q", got)
	}
}

// A batch is one attempt in the trace of its first event, linked to the others; what
// is not stored is told by its attempt alone.
func TestTraceOfABatchIsLinkedToItsEvents(t *testing.T) {
	c, receiver := startTraceCollector(t), &parents{status: http.StatusOK}
	hook := httptest.NewServer(receiver)
	t.Cleanup(hook.Close)
	dir := plant(t, embedded(freeAddr(t)), webhook.NewSecret(), hook.URL)
	addTo(t, dir, "batch = { max = 2, wait = \"50s\" }\n[tracing]\notlp = \""+c.URL+"\"\n")
	p := startTocsin(t, dir)
	p.waitReady()
	publish(t, p, "d1", `{"temperature": -10}`)
	publish(t, p, "d2", `{"temperature": -10}`)
	eventually(t, "the batch is traced", func() bool { return len(c.named("deliver ops")) == 1 && len(c.named("alarm.fired")) == 2 })
	attempt, roots := c.named("deliver ops")[0], c.named("alarm.fired")
	if said(roots[0], "tocsin.device") != "d1" {
		slices.Reverse(roots)
	}
	switch {
	case !bytes.Equal(attempt.ParentSpanId, roots[0].SpanId), !bytes.Equal(attempt.TraceId, roots[0].TraceId):
		t.Errorf("the attempt is no child of the first event: %v", attempt)
	case len(attempt.Links) != 1, !bytes.Equal(attempt.Links[0].SpanId, roots[1].SpanId), !bytes.Equal(attempt.Links[0].TraceId, roots[1].TraceId):
		t.Errorf("the attempt is linked to %v, and the second event is %v", attempt.Links, roots[1])
	}

	if code, out, errs := p.command("endpoints", "test", "ops"); code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	if p.terminate(); len(c.named("deliver ops")) != 2 {
		t.Fatalf("%d attempts are traced", len(c.named("deliver ops")))
	}
	test, sent := c.named("deliver ops")[1], receiver.sent()[1]
	if len(test.ParentSpanId) != 0 || sent != "00-"+hex.EncodeToString(test.TraceId)+"-"+hex.EncodeToString(test.SpanId)+"-01" {
		t.Errorf("a test is %v, and %s was sent", test, sent)
	}
}

// addTo appends to a configuration.
func addTo(t *testing.T, dir, text string) {
	t.Helper()
	edit(t, dir, func(have string) string { return have + text })
}

// replaceIn replaces the first of a text in a configuration.
func replaceIn(t *testing.T, dir, old, text string) {
	t.Helper()
	edit(t, dir, func(have string) string { return strings.Replace(have, old, text, 1) })
}

func edit(t *testing.T, dir string, do func(string) string) {
	t.Helper()
	path := filepath.Join(dir, "tocsin.toml")
	have, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(do(string(have))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
