package webhook

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// The headers of CloudEvents' handshake, as net/http spells them.
const (
	headerOrigin        = "Webhook-Request-Origin"
	headerRate          = "Webhook-Request-Rate"
	headerAllowedOrigin = "Webhook-Allowed-Origin"
	headerAllowedRate   = "Webhook-Allowed-Rate"
)

// A ConsentRequest asks a receiver whether it wants to be told of anything, as
// HTTP Web Hooks of CloudEvents has it.
type ConsentRequest struct {
	Origin string // who asks: a host name, which the deliveries carry as well
	Rate   int    // requests a minute that we would like to send; 0: not said
}

// Check says why nobody could be asked so.
func (c *ConsentRequest) Check() error {
	if checkHost(c.Origin) != nil {
		return errors.New(`consent's origin is not a host name (write it alone, as in "tocsin.example.com")`)
	}
	if c.Rate < 0 {
		return errors.New("consent's rate is less than nothing")
	}
	return nil
}

// A Consent is what a receiver answered. It consents if the verdict is Accepted.
type Consent struct {
	Result
	Rate float64 // requests a minute that it allows; 0: as many as come
}

// Consent asks the receiver for its consent. A status is none: only the headers
// that name our origin and a rate are.
func (s *Sender) Consent(parent context.Context, ask ConsentRequest) Consent {
	if err := ask.Check(); err != nil {
		return Consent{Result: Result{Verdict: Refused, Err: s.wrap(err)}}
	}
	header := http.Header{headerOrigin: {ask.Origin}}
	if ask.Rate > 0 {
		header[headerRate] = []string{strconv.Itoa(ask.Rate)}
	}
	ctx, cancel := context.WithTimeout(parent, s.timeout)
	defer cancel()
	start := time.Now()
	c := Consent{Result: s.attempt(parent, ctx, &exchange{
		Message: Message{ID: "consent_" + rand.Text(), Method: http.MethodOptions}, header: header, now: start,
	})}
	c.Took = time.Since(start)
	if c.Verdict != Accepted {
		return c
	}
	var err error
	if c.Rate, err = consented(&ask, c.Header); err != nil {
		c.Verdict, c.Err = Retry, s.wrap(fmt.Errorf("answered %d, and that is no consent: %w", c.Status, err))
	}
	return c
}

func consented(ask *ConsentRequest, answer http.Header) (perMinute float64, err error) {
	origin := answer.Get(headerAllowedOrigin)
	switch {
	case origin == "":
		return 0, fmt.Errorf("WebHook-Allowed-Origin is missing (the receiver has to allow %s)", ask.Origin)
	case origin != "*" && !strings.EqualFold(origin, ask.Origin):
		return 0, fmt.Errorf("WebHook-Allowed-Origin is %s and not %s", clip(origin), ask.Origin)
	}
	allowed := answer.Get(headerAllowedRate)
	n, err := strconv.Atoi(allowed)
	switch {
	case allowed == "*", allowed == "" && ask.Rate == 0:
		return 0, nil
	case allowed == "":
		return 0, errors.New("WebHook-Allowed-Rate is missing")
	case err != nil || n < 1:
		return 0, fmt.Errorf("WebHook-Allowed-Rate is %s, and neither * nor a number of requests a minute", clip(allowed))
	}
	return float64(n), nil
}

// A gate lets nothing through before the receiver has consented, and no more
// than it consented to.
type gate struct {
	ask  ConsentRequest
	turn chan struct{} // holds whoever looks at pace
	pace *rate.Limiter // nil: not consented
}

func newGate(ask *ConsentRequest) *gate {
	if ask == nil {
		return nil
	}
	return &gate{ask: *ask, turn: make(chan struct{}, 1)}
}

// pass waits for its turn; it returns what kept it from being sent, or nil.
func (s *Sender) pass(ctx context.Context) *Result {
	g := s.gate
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return &Result{Err: s.wrap(fmt.Errorf("given up while waiting for consent: %w", context.Cause(ctx)))}
	}
	if g.pace == nil {
		c := s.Consent(ctx, g.ask)
		if c.Verdict != Accepted {
			<-g.turn
			return &c.Result
		}
		g.pace = rate.NewLimiter(rate.Inf, 1)
		if c.Rate > 0 {
			g.pace = rate.NewLimiter(rate.Limit(c.Rate/60), 1)
		}
	}
	slot := g.pace.Reserve()
	<-g.turn
	wait := slot.Delay()
	if deadline, _ := ctx.Deadline(); time.Until(deadline) < 2*wait { // too little would be left for the attempt
		slot.Cancel()
		return &Result{RetryAfter: wait, Held: true, Err: s.wrap(errors.New("nothing was sent: more is waiting than the receiver consented to"))}
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		slot.Cancel()
		return &Result{Err: s.wrap(fmt.Errorf("given up while keeping to the receiver's rate: %w", context.Cause(ctx)))}
	}
}

// Challenge proves that the receiver at the URL wants to be one: it is sent a
// random text, signed like everything, and has to answer with it, alone or as
// "challenge" in JSON. It is for endpoints whose URL was not written by the
// operator. Accepted means proved.
func (s *Sender) Challenge(ctx context.Context) Result {
	text := rand.Text()
	body, err := json.Marshal(map[string]any{
		"type": "endpoint.verification", "timestamp": time.Now().UTC().Format(time.RFC3339), "data": map[string]string{"challenge": text},
	})
	if err != nil {
		return Result{Err: s.wrap(err)}
	}
	r := s.Send(ctx, Message{ID: "verification_" + rand.Text(), Body: body})
	if r.Verdict != Accepted {
		return r
	}
	var answer struct {
		Challenge string `json:"challenge"`
	}
	got := strings.TrimSpace(string(r.Body))
	if json.Unmarshal(r.Body, &answer) == nil {
		got = answer.Challenge
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(text)) != 1 {
		r.Verdict, r.Err = Retry, s.wrap(fmt.Errorf("answered %d without the challenge it was sent", r.Status))
	}
	return r
}

// Public says how an attempt ended to somebody who may register an endpoint and
// is not the operator. What could not be connected to is one text, whether there
// is nothing, something that refuses, or something that the guard keeps private:
// who may choose URLs must not learn from us what listens on our network.
func (r *Result) Public() string {
	switch {
	case r.Verdict == Accepted:
		return "accepted"
	case r.Status != 0:
		return strings.TrimSpace("answered " + strconv.Itoa(r.Status) + " " + http.StatusText(r.Status))
	case r.Verdict == Refused:
		return "the message cannot be sent to this endpoint"
	}
	return "the endpoint could not be reached"
}
