package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Verdict says what an attempt means for the message.
type Verdict uint8

// Retry is the zero Verdict: whatever is not known to be better is tried again.
const (
	Retry    Verdict = iota // not accepted, perhaps later
	Accepted                // the receiver answered 2xx: it has the message
	Gone                    // the receiver answered 410: it wants no more of them
	Refused                 // this message will never be accepted; Send says so of one that cannot be sent
)

func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case Gone:
		return "gone"
	case Refused:
		return "refused"
	}
	return "retry"
}

// A Result is how one attempt ended.
type Result struct {
	Verdict    Verdict
	Status     int           // HTTP status; 0 when there was no answer
	Header     http.Header   // of the answer: another's text, bounded to 64 KiB
	Err        error         // nil when accepted; one line without secrets, the URL cut after its host
	Skew       time.Duration // how far the receiver's clock is ahead of ours, by its Date; negative: behind
	RetryAfter time.Duration // the receiver wants to be left alone for so long; 0: it did not say
	Body       []byte        // the beginning of the answer's body: another's bytes, to be escaped when shown
	Truncated  bool          // Body is not the whole body
	Reused     bool          // the attempt went over a connection that was already open, which may have been dead
	Unsure     bool          // the request was written and no answer came: it may have been taken
	Held       bool          // nothing was sent, and nothing failed: it is to be sent after RetryAfter
	Took       time.Duration

	Timing     Timing
	Addr       netip.AddrPort // what was connected to: the endpoint, or its proxy
	TLSVersion uint16         // as crypto/tls numbers them; 0: no TLS, or no answer
	CertExpiry time.Time      // when the certificates that vouch for the endpoint end, as last seen; zero: not seen
}

// Send makes one attempt and returns within the endpoint's timeout, or sooner
// when ctx ends. It never follows a redirect. An answer's status decides: a 2xx
// whose body then breaks or drips is accepted all the same.
func (s *Sender) Send(ctx context.Context, m Message) Result {
	start := time.Now()
	r := s.send(ctx, m, start)
	r.Took = time.Since(start)
	return r
}

func (s *Sender) send(parent context.Context, m Message, now time.Time) Result {
	if err := s.checkMessage(m); err != nil {
		return Result{Verdict: Refused, Err: s.wrap(err)} // it will be as unfit the next time
	}
	ctx, cancel := context.WithTimeout(parent, s.timeout)
	defer cancel()
	if s.gate != nil {
		if held := s.pass(ctx); held != nil {
			return *held
		}
		now = time.Now()
	}
	x := exchange{Message: m, now: now}
	x.Body, x.encoding = s.packer.pack(m.Body)
	return s.attempt(parent, ctx, &x)
}

// An exchange is a request of an attempt.
type exchange struct {
	Message              // Body is as it goes out
	encoding string      // of Body; empty: none
	header   http.Header // that no message may set
	who      Credential
	now      time.Time
}

// attempt sends a request, and once more if only our token was too old.
// Its deadline is in ctx, which parent may end before.
func (s *Sender) attempt(parent, ctx context.Context, x *exchange) Result {
	var err error
	if x.who, err = s.authorize(ctx, Credential{}); err != nil {
		return s.withoutToken(parent, ctx, err)
	}
	r := s.exchange(parent, ctx, x)
	if s.tokens == nil || r.Status != http.StatusUnauthorized {
		return r
	}
	if x.who, err = s.authorize(ctx, x.who); err != nil {
		return s.withoutToken(parent, ctx, err)
	}
	if r = s.exchange(parent, ctx, x); r.Status == http.StatusUnauthorized {
		r.Err = s.wrap(errors.New("answered 401 Unauthorized to a fresh access token (may its client do this?)"))
	}
	return r
}

// exchange sends one request and reads its answer.
func (s *Sender) exchange(parent, ctx context.Context, x *exchange) Result {
	var p progress
	req, err := s.request(httptrace.WithClientTrace(ctx, p.trace()), x.Message, x.now)
	if err != nil {
		return Result{Err: s.wrap(err)}
	}
	if x.encoding != "" {
		req.Header["Content-Encoding"] = []string{x.encoding}
	}
	for name, values := range x.header {
		req.Header[name] = values
	}
	if !x.who.IsZero() {
		req.Header[s.auth.Header] = []string{x.who.Reveal()}
	}
	resp, err := s.carrier.RoundTrip(req)
	r := Result{CertExpiry: s.seen.time()}
	p.note(&r)
	if err != nil {
		r.Err, r.Unsure = s.wrap(s.explain(parent, ctx, &p, err)), p.reached(stepAnswer)
		return r
	}
	defer func() { _ = resp.Body.Close() }() // unread, it closes the connection: nothing is drained

	r.Status, r.Header, r.Skew = resp.StatusCode, resp.Header, skew(resp.Header, x.now, time.Now())
	if resp.TLS != nil {
		r.TLSVersion = resp.TLS.Version
	}
	if r.Status >= 200 { // a 101 has no end
		r.Body, r.Truncated = readBody(resp, s.responseBytes)
		r.Body = s.hider.hide(r.Body, r.Truncated, append(s.tokens.known(), x.who)...)
	}
	switch {
	case r.Status >= 200 && r.Status < 300:
		r.Verdict = Accepted
	case r.Status == http.StatusGone:
		r.Verdict = Gone
		r.Err = s.wrap(errors.New("answered 410 Gone: it wants no more messages"))
	default:
		r.RetryAfter = retryAfter(resp.Header.Values("Retry-After"), x.now, s.retryAfterMax)
		r.Err = s.wrap(refused(resp))
	}
	return r
}

func (s *Sender) checkMessage(m Message) error {
	if m.ID == "" || len(m.ID) > 256 || !visible(m.ID) || strings.ContainsAny(m.ID, ". ") {
		return fmt.Errorf("nothing was sent: message id %s must be 1 to 256 visible characters without a dot", clip(m.ID))
	}
	if !visible(m.ContentType) {
		return errors.New("nothing was sent: content type contains a control character")
	}
	if m.URL != nil && (m.URL.Scheme != s.url.Scheme || m.URL.Host != s.url.Host || m.URL.User != nil) {
		return errors.New("nothing was sent: the request is for another host than the endpoint's")
	}
	if !isToken(cmp.Or(m.Method, http.MethodPost)) {
		return fmt.Errorf("nothing was sent: %s is no method", clip(m.Method))
	}
	for name, values := range m.Header {
		switch {
		case !isToken(name) || http.CanonicalHeaderKey(name) != name:
			return fmt.Errorf("nothing was sent: %s is no name of a header", clip(name))
		case reserved(name):
			return fmt.Errorf("nothing was sent: header %s is not a message's to set", clip(name))
		case slices.ContainsFunc(values, func(v string) bool { return !visible(v) }):
			return fmt.Errorf("nothing was sent: header %s contains a character that is not visible ASCII", clip(name))
		}
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110, as methods and the names of
// headers are.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if !isAlnum(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// reserved are the headers that say how a message is framed, signed and by whom.
func reserved(name string) bool {
	switch name {
	case "Host", "Content-Length", "Content-Encoding", "Content-Type", "User-Agent", "Transfer-Encoding", "Te", "Trailer",
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Upgrade", "Expect", "Accept-Encoding",
		headerHub, headerHubDelivery, headerStripe, headerDigest, headerInput, headerMessage:
		return true
	}
	return strings.HasPrefix(name, "Webhook-")
}

// request is built by hand: the URL is parsed already, and there is no cookie,
// no referrer and no redirect to prepare for.
func (s *Sender) request(ctx context.Context, m Message, now time.Time) (*http.Request, error) {
	signing := toSign{
		id: m.ID, ts: strconv.FormatInt(now.Unix(), 10),
		method: cmp.Or(m.Method, http.MethodPost), body: m.Body,
	}
	sig, err := s.signing.standard(&signing, now)
	if err != nil {
		return nil, err
	}
	contentType := m.ContentType
	if contentType == "" {
		contentType = "application/json"
	}
	v := [...]string{contentType, m.ID, signing.ts, sig}
	u := s.url
	if m.URL != nil {
		u = m.URL
	}
	req := &http.Request{
		Method: signing.method,
		URL:    u,
		Host:   s.host,
		Header: http.Header{
			"User-Agent":    s.userAgent,
			"Content-Type":  v[0:1:1],
			headerID:        v[1:2:2],
			headerTimestamp: v[2:3:3],
		},
		ContentLength: int64(len(m.Body)),
		// Lets the transport start over when it finds a kept connection closed
		// before it wrote a byte. It never repeats what a receiver may have seen.
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.Body)), nil },
	}
	if len(m.Body) == 0 {
		req.Body = http.NoBody
	} else {
		req.Body = io.NopCloser(bytes.NewReader(m.Body))
	}
	if s.signing.webhook {
		req.Header[headerSignature] = v[3:4:4]
	}
	for name, values := range s.headers {
		req.Header[name] = values
	}
	if m.Trace != "" {
		req.Header[headerTrace] = []string{m.Trace}
	}
	for name, values := range m.Header {
		req.Header[name] = values
	}
	if s.signing.others {
		signing.target = targetURI(u)
		if err := s.signing.other(req.Header, &signing, now); err != nil {
			return nil, err
		}
	}
	return req.WithContext(ctx), nil
}

// readBody reads at most limit bytes. An error cuts the body short and nothing
// else: the status has been said.
func readBody(resp *http.Response, limit int) (body []byte, truncated bool) {
	if resp.ContentLength == 0 {
		return nil, false
	}
	if n := resp.ContentLength; n > 0 && n <= int64(limit) {
		body = make([]byte, n)
		got, err := io.ReadFull(resp.Body, body)
		return body[:got], err != nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if len(body) > limit {
		return body[:limit:limit], true
	}
	return body, err != nil
}

func refused(resp *http.Response) error {
	answer := strconv.Itoa(resp.StatusCode)
	if t := http.StatusText(resp.StatusCode); t != "" {
		answer += " " + t
	}
	if resp.StatusCode < 300 || resp.StatusCode > 399 || resp.StatusCode == http.StatusNotModified {
		return errors.New("answered " + answer)
	}
	to := "nowhere"
	if u, err := url.Parse(resp.Header.Get("Location")); err == nil && u.Host != "" {
		to = "host " + clip(u.Host)
	} else if err == nil && u.Path != "" {
		to = "another path"
	}
	return fmt.Errorf("answered %s to %s, and redirects are not followed (set url to where it should go)", answer, to)
}

func (s *Sender) wrap(err error) error { return fmt.Errorf("%s: %w", s.shown, err) }

// explain turns the transport's error into one that says what was being done.
func (s *Sender) explain(parent, ctx context.Context, p *progress, err error) error {
	var (
		blocked *blockedError
		notTLS  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &blocked):
		return blocked
	case parent.Err() != nil:
		return fmt.Errorf("given up while %s: %w", p, context.Cause(parent))
	// The clock of a dialer or of a socket may ring before the context's.
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return &attemptError{fmt.Sprintf("no answer within %s, given up while %s", s.timeout, p), context.DeadlineExceeded}
	case errors.As(err, &notTLS):
		return &attemptError{"what listens there does not speak TLS (is the port right, or is it plain http?)", err}
	}
	return &attemptError{clean(p.String() + ": " + unquoted(err)), err}
}

// unquoted is the text of a transport's error without what it quotes of the
// answer: who answers with our own request would have us print its URL. What is
// quoted of certificates was never ours.
func unquoted(err error) string {
	text := err.Error()
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		return text
	}
	text, _, _ = strings.Cut(text, `"`)
	if before, _, ok := strings.Cut(text, "header line:"); ok {
		text = before + "header line"
	}
	return strings.TrimRight(text, " :=")
}

// An attemptError keeps what a caller may branch on under a text that is safe to
// print: the transport quotes receivers in its errors, certificates included.
type attemptError struct {
	text  string
	cause error
}

func (e *attemptError) Error() string { return e.text }
func (e *attemptError) Unwrap() error { return e.cause }

// clean makes one line of bounded length of a text that contains others' bytes.
func clean(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
