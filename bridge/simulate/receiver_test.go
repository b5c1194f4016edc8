package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"tocsin/bridge/webhook"
)

// A receiver answers requests as it is told to, verifies what it accepts, and
// keeps a ledger of it.
type receiver struct {
	w      *world
	name   string
	secret webhook.Secret
	takes  time.Duration // to answer, each another time

	mu       sync.Mutex // guards what follows
	answer   string
	off      bool      // an operator has switched it off
	held     time.Time // it asked to be left alone until then
	heldAt   time.Time
	accepted []receipt
	bodies   map[string]string // by id, what it was sent
}

// A receipt is one event that was accepted.
type receipt struct {
	event
	id   string // it was sent under
	at   time.Time
	lost bool // the answer was
}

// An event is what a receiver reads in it.
type event struct {
	Type      string
	Timestamp time.Time
	Data      struct {
		ID    string
		Alarm struct {
			Key, Episode string
			Seq          int
		}
		Reason string
	}
}

var (
	errHungUp = errors.New("the receiver hung up")
	errKilled = errors.New("the process is gone")
)

const (
	answerTime = 20 * time.Millisecond
	retryAfter = 90 * time.Second
)

// A line is a receiver as one process reaches it.
type line struct {
	*receiver
	life *life
}

// RoundTrip implements [http.RoundTripper].
func (r line) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if r.life.gone() {
		return nil, errKilled
	}
	answer := r.begin(req, body)
	if answer != "refuse" {
		if t := httptrace.ContextClientTrace(req.Context()); t != nil {
			t.WroteRequest(httptrace.WroteRequestInfo{})
		}
	}
	hold := r.takes
	if answer == "hang" {
		hold = time.Hour
	}
	select {
	case <-time.After(hold):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case <-r.life.dead:
		return nil, errKilled
	}
	if r.life.gone() {
		return nil, errKilled
	}
	return r.end(req, body, answer)
}

// begin judges that there is an attempt.
func (r *receiver) begin(req *http.Request, body []byte) (answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, now := req.Header.Get("Webhook-Id"), time.Now()
	if r.off {
		r.w.wrong("what a person asked for holds", "%s is sent to %s, which is paused", id, r.name)
	}
	if now.Before(r.held) && now.After(r.heldAt) {
		r.w.wrong("P2 Retry-After is kept", "%s is sent to %s %v after a 429 that asked for %v", id, r.name, now.Sub(r.heldAt), retryAfter)
	}
	if _, err := webhook.Verify(webhook.Keys{Secrets: []webhook.Secret{r.secret}}, webhook.Request{Method: req.Method, URL: req.URL.String(), Header: req.Header, Body: body}, webhook.VerifyOptions{}); err != nil {
		r.w.wrong("P2 every request verifies", "%s to %s: %v", id, r.name, err)
	}
	if was, ok := r.bodies[id]; ok && was != string(body) {
		r.w.wrong("P2 one id, one body", "%s to %s was\n%s\nand is\n%s", id, r.name, was, body)
	}
	r.bodies[id] = string(body)
	return r.answer
}

func (r *receiver) end(req *http.Request, body []byte, answer string) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	status, header := 200, http.Header{}
	switch answer {
	case "close", "refuse":
		return nil, errHungUp
	case "429":
		status = 429
		header.Set("Retry-After", fmt.Sprint(int(retryAfter/time.Second)))
		r.heldAt, r.held = time.Now(), time.Now().Add(retryAfter-time.Second)
	case "503", "422", "410", "301":
		_, _ = fmt.Sscan(answer, &status)
	case "accept", "lose":
		if err := r.accept(req.Header.Get("Webhook-Id"), body, answer == "lose"); err != nil {
			r.w.wrong("P2 every request can be read", "%s: %v: %s", r.name, err, body)
		}
		if answer == "lose" {
			return nil, errHungUp
		}
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: header, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

// accept enters a request in the ledger. The caller holds mu.
func (r *receiver) accept(id string, body []byte, lost bool) error {
	parts := []json.RawMessage{body}
	batch := bytes.HasPrefix(body, []byte(`{"type":"batch"`))
	if batch {
		var b struct{ Data []json.RawMessage }
		if err := json.Unmarshal(body, &b); err != nil {
			return err
		}
		parts = b.Data
	}
	for _, part := range parts {
		e := receipt{id: id, at: time.Now(), lost: lost}
		if err := json.Unmarshal(part, &e.event); err != nil {
			return err
		}
		if batch {
			e.id = e.Data.ID
		}
		r.accepted = append(r.accepted, e)
	}
	return nil
}

func (r *receiver) set(answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// free forgets what it asked for: somebody with a right to has overruled it.
func (r *receiver) free() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held, r.off = time.Time{}, false
}

// shaken forgets what a process that has ended may not have written down: since a
// moment, nothing could be.
func (r *receiver) shaken(unwritten time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heldAt.After(unwritten) {
		r.held = time.Time{}
	}
}

func (r *receiver) list() []receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted[:len(r.accepted):len(r.accepted)]
}
