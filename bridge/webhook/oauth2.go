package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An OAuth2 says where access tokens come from: by the client's own credentials,
// or by a refresh token if there is one (RFC 6749, sections 4.4 and 6).
type OAuth2 struct {
	TokenURL     string // https, and guarded as the endpoint's own URL is
	ClientID     string
	ClientSecret Credential
	RefreshToken Credential     // a newer one that is answered replaces it until the process ends
	Scopes       []string       //
	Audience     string         // some ask for it
	InHeader     bool           // client id and secret go by HTTP Basic, not in the form
	Scheme       string         // before the token; empty: Bearer
	RootCAs      *x509.CertPool // who may vouch for the token's server; nil: the system's
}

func (o *OAuth2) check() error {
	u, err := CheckURL(o.TokenURL, true)
	switch {
	case err != nil:
		return fmt.Errorf("oauth2.token_url: %w", err)
	case u.Scheme != "https":
		return errors.New("oauth2.token_url is http, and a token is never asked for in the clear (use https)")
	case o.ClientID == "":
		return errors.New("oauth2.client_id is missing")
	case !isToken(cmp.Or(o.Scheme, "Bearer")):
		return fmt.Errorf("oauth2.scheme %s is not one word (Bearer is what nearly all want)", clip(o.Scheme))
	case o.ClientSecret.IsZero() && o.RefreshToken.IsZero():
		return errors.New("oauth2 has neither a client secret nor a refresh token, and one of them is needed")
	}
	return nil
}

const (
	maxTokenAnswer = 64 << 10
	maxToken       = 16 << 10 // servers refuse longer headers
	mostGiven      = 8
	tokenMargin    = time.Minute
)

// tokens keeps one access token for all attempts of an endpoint. Whoever needs a
// new one first gets it for all who are waiting.
type tokens struct {
	OAuth2
	url       *url.URL
	userAgent []string
	most      time.Duration // that a Retry-After may ask for
	transport *http.Transport

	mu      sync.Mutex
	token   Credential // as Authorization carries it
	until   time.Time  // when token is to be replaced; zero: when it is refused
	refresh Credential
	given   []Credential // by the server, the newest last: who shows them need not show the last one
	call    *tokenCall   // under way
}

type tokenCall struct {
	done  chan struct{}
	token Credential // token and err: once done
	err   error
}

func newTokens(o *Options, g *guard) *tokens {
	a := o.Auth.OAuth2
	if a == nil {
		return nil
	}
	u, _ := CheckURL(a.TokenURL, true) // it has been checked
	trusted := *o
	trusted.RootCAs, trusted.Pins, trusted.Concurrency = a.RootCAs, nil, 1 // the pins are the endpoint's
	return &tokens{
		OAuth2: *a, url: u, userAgent: []string{o.UserAgent}, most: orDefault(o.RetryAfterMax, DefaultRetryAfterMax),
		transport: newTransport(&trusted, g, new(expiry)), refresh: a.RefreshToken,
	}
}

// get returns a token that is not the refused one.
func (t *tokens) get(ctx context.Context, refused Credential) (Credential, error) {
	for {
		t.mu.Lock()
		if !t.token.IsZero() && t.token != refused && (t.until.IsZero() || time.Now().Before(t.until)) {
			defer t.mu.Unlock()
			return t.token, nil
		}
		call := t.call
		if call == nil {
			call = &tokenCall{done: make(chan struct{})}
			t.call = call
			t.mu.Unlock()
			t.do(ctx, call)
			return call.token, call.err
		}
		t.mu.Unlock()
		select {
		case <-ctx.Done():
			return Credential{}, ctx.Err()
		case <-call.done:
		}
		if ended := errors.Is(call.err, context.Canceled) || errors.Is(call.err, context.DeadlineExceeded); !ended {
			return call.token, call.err
		}
		if ctx.Err() != nil {
			return Credential{}, ctx.Err()
		} // who asked ran out of time, and we have not
	}
}

func (t *tokens) do(ctx context.Context, call *tokenCall) {
	answer, err := t.fetch(ctx)
	t.mu.Lock()
	if call.err = err; err == nil {
		call.token = NewCredential(cmp.Or(t.Scheme, "Bearer") + " " + answer.AccessToken)
		t.token, t.until = call.token, answer.until(time.Now())
		if answer.RefreshToken != "" {
			t.refresh = NewCredential(answer.RefreshToken)
			t.given = append(t.given, t.refresh)
		}
		t.given = append(t.given, call.token)
		t.given = t.given[max(0, len(t.given)-mostGiven):]
	}
	t.call = nil
	t.mu.Unlock()
	close(call.done)
}

// known are what the server gave us, as far as that is remembered.
func (t *tokens) known() []Credential {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clip(t.given) // what is appended later is not in it
}

// A tokenAnswer is what is read of a token's response.
type tokenAnswer struct {
	AccessToken  string      `json:"access_token"`
	RefreshToken string      `json:"refresh_token"`
	ExpiresIn    json.Number `json:"expires_in"` // seconds; some write them as text
	Error        string      `json:"error"`
}

// until is a little before the token ends, so that it does not end on its way.
func (a *tokenAnswer) until(now time.Time) time.Time {
	seconds, err := strconv.ParseFloat(string(a.ExpiresIn), 64)
	if err != nil || !(seconds > 0) || seconds > 1e9 {
		return time.Time{}
	}
	life := time.Duration(seconds * float64(time.Second))
	return now.Add(life - min(tokenMargin, life/10))
}

// A tokenRefusal is an answer without a token.
type tokenRefusal struct {
	text  string
	after time.Duration // to be left alone for
}

func (e *tokenRefusal) Error() string { return e.text }

// A tokenTrip is no answer, and how far it came.
type tokenTrip struct {
	p   *progress
	err error
}

func (e *tokenTrip) Error() string { return e.err.Error() }
func (e *tokenTrip) Unwrap() error { return e.err }

func (t *tokens) fetch(ctx context.Context) (*tokenAnswer, error) {
	var p progress
	resp, err := t.transport.RoundTrip(t.request(httptrace.WithClientTrace(ctx, p.trace())))
	if err != nil {
		return nil, &tokenTrip{&p, err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer+1))
	if err != nil {
		return nil, &tokenTrip{&p, err}
	}
	var answer tokenAnswer
	bad := json.Unmarshal(body, &answer) // the status says more, if it is not 200
	refuse := func(text string) error {
		return &tokenRefusal{text, retryAfter(resp.Header.Values("Retry-After"), time.Now(), t.most)}
	}
	switch {
	case isErrorCode(answer.Error):
		return nil, refuse(fmt.Sprintf("%v: %s", refused(resp), answer.Error))
	case resp.StatusCode != http.StatusOK:
		return nil, refuse(refused(resp).Error())
	case len(body) > maxTokenAnswer:
		return nil, refuse("answered with more than 64 KiB")
	case bad != nil || answer.AccessToken == "":
		return nil, refuse("answered without an access_token in JSON (is token_url right?)")
	case !visible(answer.AccessToken) || len(answer.AccessToken) > maxToken:
		return nil, refuse("answered with a token that no header can carry")
	}
	return &answer, nil
}

// isErrorCode reports whether s is one as RFC 6749 and its extensions have them,
// all in words. Anything else may be what we asked with.
func isErrorCode(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

func (t *tokens) request(ctx context.Context) *http.Request {
	t.mu.Lock()
	refresh := t.refresh
	t.mu.Unlock()
	form := url.Values{"grant_type": {"client_credentials"}}
	if !refresh.IsZero() {
		form = url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}}
	}
	if len(t.Scopes) > 0 {
		form.Set("scope", strings.Join(t.Scopes, " "))
	}
	if t.Audience != "" {
		form.Set("audience", t.Audience)
	}
	header := http.Header{"User-Agent": t.userAgent, "Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	if t.InHeader { // each is form-encoded first: RFC 6749, section 2.3.1
		header["Authorization"] = []string{Basic(url.QueryEscape(t.ClientID), NewCredential(url.QueryEscape(t.ClientSecret.Reveal()))).Value.Reveal()}
	} else {
		form.Set("client_id", t.ClientID)
		if !t.ClientSecret.IsZero() {
			form.Set("client_secret", t.ClientSecret.Reveal())
		}
	}
	body := []byte(form.Encode())
	req := &http.Request{
		Method: http.MethodPost, URL: t.url, Host: t.url.Host, Header: header, ContentLength: int64(len(body)),
		Body:    io.NopCloser(bytes.NewReader(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	return req.WithContext(ctx)
}

// authorize returns the value of the header that says who we are; none if
// nothing does. A token that was refused is replaced.
func (s *Sender) authorize(ctx context.Context, refused Credential) (Credential, error) {
	if s.tokens == nil {
		return s.auth.Value, nil
	}
	return s.tokens.get(ctx, refused)
}

// withoutToken is the result of an attempt that had no token to begin with.
func (s *Sender) withoutToken(parent, ctx context.Context, err error) Result {
	var (
		no   *tokenRefusal
		trip *tokenTrip
		r    Result
	)
	switch {
	case errors.As(err, &no):
		r.RetryAfter = no.after
		err = errors.New(string(s.hider.hide([]byte(no.text), false, s.tokens.known()...)))
	case errors.As(err, &trip):
		err = s.explain(parent, ctx, trip.p, trip.err)
	default:
		err = s.explain(parent, ctx, &progress{step: stepAnswer}, err)
	}
	r.Err = s.wrap(fmt.Errorf("no access token from %s: %w", shown(s.tokens.url), err))
	return r
}
