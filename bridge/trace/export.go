package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	every     = time.Second      // spans wait at most for so long
	timeout   = 10 * time.Second // of a request
	patience  = time.Minute      // with a batch that is not taken
	firstWait = time.Second      // before it is sent again, doubled by each time
	maxWait   = 15 * time.Second // between two of these
	maxAnswer = 64 << 10         // bytes of an answer that are read
)

// newTransport follows no proxy and, as a bare transport, no redirect: headers may
// be secrets.
func newTransport() *http.Transport {
	return &http.Transport{
		ForceAttemptHTTP2: true, MaxIdleConns: 1, MaxConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
		TLSHandshakeTimeout: timeout, MaxResponseHeaderBytes: maxAnswer,
	}
}

// Run sends spans until ctx ends, and then what is left for as long as the grace
// allows.
func (t *Tracer) Run(ctx context.Context) {
	if t == nil {
		return
	}
	defer (&http.Client{Transport: t.transport}).CloseIdleConnections()
	flight, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	context.AfterFunc(ctx, func() {
		select {
		case <-flight.Done():
		case <-time.After(t.grace):
			cut()
		}
	})
	tick := time.NewTicker(every)
	defer tick.Stop()
	e := exporter{Tracer: t}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-t.wake:
		}
		e.drain(ctx, flight)
	}
	e.drain(ctx, flight)
	if len(e.batch) == 0 {
		e.batch = t.take()
	}
	for ; len(e.batch) > 0; e.batch = t.take() {
		e.drop(unreachable)
	}
}

// An exporter sends one batch after the other. It is Run's.
type exporter struct {
	*Tracer
	batch   []Span // that is being sent
	failing bool   // as the log has been told
}

// drain sends what waits, until flight ends. After ctx every batch has one try.
func (e *exporter) drain(ctx, flight context.Context) {
	for flight.Err() == nil {
		if len(e.batch) == 0 {
			e.batch = e.take()
		}
		if len(e.batch) == 0 || !e.send(ctx, flight) {
			return
		}
		e.batch = nil
	}
}

// send sends the batch until it is taken, refused, or was kept for long enough. It
// reports false when ctx ended before that; a request under way may go on.
func (e *exporter) send(ctx, flight context.Context) bool {
	body, err := e.resource.encode(e.batch)
	if err != nil {
		e.failed(err)
		e.drop(refused)
		return true
	}
	until := time.Now().Add(patience)
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		rejected, err := e.post(flight, body)
		var later *laterError
		switch {
		case err == nil:
			e.exported.Add(float64(len(e.batch) - rejected))
			e.dropped.WithLabelValues(refused).Add(float64(rejected))
			e.recovered()
			return true
		case flight.Err() != nil:
			return false
		}
		e.failed(err)
		if !errors.As(err, &later) {
			e.drop(refused)
			return true
		}
		pause := max(wait, later.after)
		if time.Now().Add(pause).After(until) {
			e.drop(unreachable)
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

func (e *exporter) drop(reason string) { e.dropped.WithLabelValues(reason).Add(float64(len(e.batch))) }

// failed tells once that nothing arrives, and recovered that it does again.
func (e *exporter) failed(err error) {
	if !e.failing {
		e.log.Warn("spans do not arrive; alarms and deliveries go on", "otlp", e.url.Host, "error", err)
	}
	e.failing = true
}

func (e *exporter) recovered() {
	if e.failing {
		e.log.Info("spans arrive again", "otlp", e.url.Host)
	}
	e.failing = false
}

// A laterError says that the same request may be taken at another time.
type laterError struct {
	error
	after time.Duration // 0: not said
}

func (e *laterError) Unwrap() error { return e.error }

// post makes one request. It returns how many spans the collector did not take of
// a request that it has taken.
func (e *exporter) post(ctx context.Context, body []byte) (rejected int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url.String(), bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header = e.header
	resp, err := e.transport.RoundTrip(req)
	if err != nil {
		what, _, _ := strings.Cut(err.Error(), `"`) // what is quoted of an answer may be what we sent
		return 0, &laterError{error: errors.New(strings.TrimSpace(what))}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status has been said
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return 0, &laterError{fmt.Errorf("answered %d", resp.StatusCode), time.Duration(min(max(seconds, 0), 3600)) * time.Second}
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return 0, fmt.Errorf("answered %d %s (is it an OTLP endpoint, and are its headers right?)", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return min(rejectedSpans(answer), len(e.batch)), nil
}

// Probe sends the collector a request without spans, and says why it is not taken.
func (t *Tracer) Probe(ctx context.Context) error {
	defer (&http.Client{Transport: t.transport}).CloseIdleConnections()
	_, err := (&exporter{Tracer: t}).post(ctx, nil)
	return err
}

// rejectedSpans reads partial_success.rejected_spans of an answer: field 1 of field
// 1. What cannot be read says nothing.
func rejectedSpans(answer []byte) int {
	partial, ok := field(answer, protowire.BytesType)
	if !ok {
		return 0
	}
	body, _ := protowire.ConsumeBytes(partial)
	value, ok := field(body, protowire.VarintType)
	if !ok {
		return 0
	}
	n, _ := protowire.ConsumeVarint(value)
	return int(min(n, maxBatch))
}

// field returns a message from the value of its field 1 on.
func field(message []byte, want protowire.Type) ([]byte, bool) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, false
		}
		message = message[n:]
		if number == 1 && kind == want {
			return message, true
		}
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return nil, false
		}
		message = message[n:]
	}
	return nil, false
}
