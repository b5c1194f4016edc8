package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"tocsin/bridge/webhook"
)

const (
	maxReceived = 1 << 20 // bytes of a body; ours stay below 64 KiB
	maxSeen     = 100_000 // ids remembered; the oldest is forgotten first
	stopGrace   = 2 * time.Second
)

// receiverOptions says what a receiver checks and how it behaves.
type receiverOptions struct {
	Secrets []webhook.Secret    // any may have signed; without one and a public key nothing is verified, everything accepted
	Public  []webhook.PublicKey // the same, of ed25519
	Schemes []webhook.Scheme    // all of these have to verify; none: any one of those that a request carries
	URL     string              // what senders were given; "": as requests say
	Faults  []fault             // ways to answer badly; none: always well
	Seed    uint64              // decides which requests get which fault
	Record  io.Writer           // one line of JSON a request, before it is answered; nil: none
	Observe func(reception)     // called for each request before it is answered, one at a time; nil: nobody
}

func (o *receiverOptions) verifying() bool { return len(o.Secrets)+len(o.Public) > 0 }

// A receiver is what an endpoint looks like from the other side: it verifies
// each request, recognises repeats by webhook-id, keeps a record, and answers,
// badly where it was told to.
//
// It is safe for concurrent use. Requests are recorded and observed one at a
// time, and answered at the same time.
type receiver struct {
	o receiverOptions

	mu    sync.Mutex
	draw  *rand.Rand
	seen  map[string]*sighting
	order []string // ids in seen, a ring once it is full
	next  int      // where the ring is written next
}

// A sighting is what is remembered of a webhook-id.
type sighting struct {
	body     [sha256.Size]byte
	attempts int
	accepted bool
}

// A reception is one request as it was received, and how it is answered.
type reception struct {
	At       time.Time
	ID       string // webhook-id
	Type     string // the body's type, "" when it has none
	Title    string // the event's title, "" when it has none
	Verified bool
	Found    []webhook.Finding // what became of each way in which it is signed
	Problem  error             // why it is not verified or not accepted
	Attempt  int               // how often this id has come, this time included
	Repeat   bool              // an earlier request with this id was accepted
	Changed  bool              // an earlier request with this id had another body
	Status   int               // the answer; 0: none
	Fault    string
	Method   string
	URL      string // as far as it is known: what senders were given
	Header   http.Header
	Body     []byte // as it came
	Text     []byte // the body for reading: unpacked
}

func newReceiver(o receiverOptions) *receiver {
	return &receiver{
		o:    o,
		draw: rand.New(rand.NewPCG(o.Seed, 0)), // #nosec G404 -- decides which request is answered badly, guards nothing
		seen: make(map[string]*sighting),
	}
}

// Serve answers requests on ln until ctx ends, and returns when the last is
// answered or cut off. It closes ln.
func (r *receiver) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler:           r,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(io.Discard, "", 0), // what matters of a request is observed
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		err := srv.Shutdown(grace)
		if err != nil {
			err = srv.Close()
		}
		stopped <- err
	}()
	err := srv.Serve(ln)
	cancel()
	if stopErr := <-stopped; errors.Is(err, http.ErrServerClosed) {
		return stopErr
	}
	return fmt.Errorf("serving %s: %w", ln.Addr(), err)
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch req.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		w.Header().Set("Allow", "POST, PUT, PATCH")
		http.Error(w, "webhooks come by POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxReceived))
	got := reception{
		At:      time.Now(),
		ID:      req.Header.Get("webhook-id"),
		Status:  http.StatusOK,
		Problem: err,
		Method:  req.Method,
		URL:     cmp.Or(r.o.URL, "http://"+req.Host+req.URL.RequestURI()),
		Header:  req.Header,
		Body:    body,
	}
	if err != nil {
		got.Status = http.StatusBadRequest
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			got.Status = http.StatusRequestEntityTooLarge
		}
	}
	got.Text = unpacked(req.Header, body)
	got.Type, got.Title = summary(got.Text)
	if keys := r.keys(); got.Problem == nil && len(keys.Secrets)+len(keys.Public) > 0 {
		r.verify(&got, keys)
	}
	// An answer may take as long as a fault wants; only reading had a deadline.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && got.Problem == nil {
		got.Problem, got.Status = err, http.StatusInternalServerError
	}
	if f := r.take(&got); f != nil {
		f.act(w, req, *f)
		return
	}
	if got.Status == http.StatusOK {
		proveWanted(w, &got)
		return
	}
	http.Error(w, got.Problem.Error(), got.Status)
}

// proveWanted accepts, and answers a challenge with its text, as who wants to be told
// does.
func proveWanted(w http.ResponseWriter, got *reception) {
	var m struct {
		Data struct {
			Challenge string `json:"challenge"`
		} `json:"data"`
	}
	if got.Type != "endpoint.verification" || json.Unmarshal(got.Text, &m) != nil || m.Data.Challenge == "" {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"challenge": m.Data.Challenge}) // who has gone does not want it
}

// keys are what a request may be signed with.
func (r *receiver) keys() webhook.Keys {
	r.mu.Lock()
	defer r.mu.Unlock()
	return webhook.Keys{Secrets: r.o.Secrets, Public: r.o.Public}
}

// verify looks for every signature, and says whether those that have to be there
// are.
func (r *receiver) verify(got *reception, keys webhook.Keys) {
	got.Found, got.Problem = webhook.Verify(
		keys,
		webhook.Request{Method: got.Method, URL: got.URL, Header: got.Header, Body: got.Body},
		webhook.VerifyOptions{Now: got.At, Schemes: r.o.Schemes})
	if got.Verified = got.Problem == nil; !got.Verified {
		got.Status = http.StatusUnauthorized
	}
}

// take decides the answer to one request and puts it on record. The record
// comes before the answer: what a sender was told is accepted can be shown.
func (r *receiver) take(got *reception) (f *fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if got.Status == http.StatusOK {
		f = pick(r.o.Faults, r.draw.Float64())
	}
	if f != nil {
		got.Status, got.Fault = f.status, f.name
	}
	s := r.compare(got)
	if r.o.Record != nil {
		if err := r.record(*got); err != nil {
			got.Problem, got.Status, got.Fault = err, http.StatusInternalServerError, ""
			f = nil
		}
	}
	s.accepted = s.accepted || got.Status/100 == 2
	if r.o.Observe != nil {
		r.o.Observe(*got)
	}
	return f
}

// compare sets got beside what came under its id before. What does not verify
// is not remembered: anybody can send any id.
func (r *receiver) compare(got *reception) *sighting {
	sum := sha256.Sum256(got.Body)
	stranger := got.ID == "" || got.Problem != nil
	s := r.seen[got.ID]
	if s == nil || stranger {
		s = &sighting{body: sum}
		if !stranger {
			r.remember(got.ID, s)
		}
	}
	s.attempts++
	got.Attempt = s.attempts
	got.Repeat = s.accepted
	got.Changed = s.body != sum
	return s
}

func (r *receiver) remember(id string, s *sighting) {
	if len(r.order) < maxSeen {
		r.order = append(r.order, id)
	} else {
		delete(r.seen, r.order[r.next])
		r.order[r.next] = id
		r.next = (r.next + 1) % maxSeen
	}
	r.seen[id] = s
}

// A recordLine is one line of the record. Body is for reading: JSON as it came
// but for white space. Raw is every byte of it, for verifying again.
type recordLine struct {
	ID       string            `json:"id"`
	Type     string            `json:"type"`
	At       time.Time         `json:"at"`
	Verified bool              `json:"verified"`
	Schemes  map[string]string `json:"schemes,omitempty"` // verified, or why not
	Problem  string            `json:"problem,omitempty"`
	Attempt  int               `json:"attempt"`
	Repeat   bool              `json:"repeat,omitempty"`
	Changed  bool              `json:"changed,omitempty"`
	Status   int               `json:"status"`
	Fault    string            `json:"fault,omitempty"`
	Method   string            `json:"method"`
	URL      string            `json:"url"`
	Headers  map[string]string `json:"headers"`
	Body     json.RawMessage   `json:"body"`
	Raw      []byte            `json:"raw"`
}

func (r *receiver) record(got reception) error {
	line := recordLine{
		ID: got.ID, Type: got.Type, At: got.At.UTC(), Verified: got.Verified,
		Attempt: got.Attempt, Repeat: got.Repeat, Changed: got.Changed,
		Status: got.Status, Fault: got.Fault, Method: got.Method, URL: got.URL,
		Headers: make(map[string]string, len(got.Header)), Raw: got.Body,
	}
	if got.Problem != nil {
		line.Problem = got.Problem.Error()
	}
	if len(got.Found) > 0 {
		line.Schemes = make(map[string]string, len(got.Found))
	}
	for _, f := range got.Found {
		line.Schemes[string(f.Scheme)] = "verified"
		if f.Err != nil {
			line.Schemes[string(f.Scheme)] = f.Err.Error()
		}
	}
	for name, values := range got.Header {
		line.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if json.Valid(got.Text) && utf8.Valid(got.Text) {
		line.Body = got.Text
	}
	enc := json.NewEncoder(r.o.Record) // writes a line in one call
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line); err != nil {
		return fmt.Errorf("recording %s: %w", got.ID, err)
	}
	return nil
}

// unpacked is a body as its sender wrote it. One that is not gzip, whatever its
// header says, or is too large, is left as it came.
func unpacked(h http.Header, body []byte) []byte {
	if h.Get("Content-Encoding") != "gzip" {
		return body
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body
	}
	text, err := io.ReadAll(io.LimitReader(z, maxReceived+1))
	if err != nil || len(text) > maxReceived {
		return body
	}
	return text
}

// summary reads the two fields of a body that a line of output has room for.
func summary(body []byte) (typ, title string) {
	var b struct {
		Type string `json:"type"`
		Data struct {
			Title string `json:"title"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &b) != nil {
		return "", "" // a body of another shape has neither
	}
	return b.Type, b.Data.Title
}
