package preset

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A service stands for one that people are told through: it answers as it is
// documented to, and remembers what came.
type service struct {
	*httptest.Server
	mu    sync.Mutex
	calls []call
	next  []func(http.ResponseWriter) // what it answers instead, once each
}

// A call is a request that came.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	body         []byte
}

// json is the value at a path of the body.
func (c call) json(path string) any {
	p, err := parsePath(path)
	if err != nil {
		panic(err)
	}
	return p.find(parseAnswer(c.body))
}

func (c call) form(name string) string {
	v, err := url.ParseQuery(string(c.body))
	if err != nil {
		return err.Error()
	}
	return v.Get(name)
}

// serve starts a service. handle has the service's lock.
func serve(t testing.TB, handle func(w http.ResponseWriter, c call)) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		c := call{r.Method, r.URL.EscapedPath(), r.URL.Query(), r.Header, body}
		s.calls = append(s.calls, c)
		if len(s.next) > 0 {
			answer := s.next[0]
			s.next = s.next[1:]
			answer(w)
			return
		}
		handle(w, c)
	}))
	t.Cleanup(s.Close)
	return s
}

// instead has the next request answered in another way.
func (s *service) instead(status int, body string, header ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, func(w http.ResponseWriter) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// lost has the next request handled, and its answer lost on the way.
func (s *service) lost(handle func(w http.ResponseWriter, c call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, func(w http.ResponseWriter) {
		handle(httptest.NewRecorder(), s.calls[len(s.calls)-1])
		panic(http.ErrAbortHandler)
	})
}

func (s *service) last() call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) == 0 {
		return call{}
	}
	return s.calls[len(s.calls)-1]
}

// A receiver is an endpoint of a preset at a service, with what is kept for its alarm.
type receiver struct {
	testing.TB
	*Destination
	send sender
	kept map[string]string
}

// connect makes an endpoint; o.URL is below the service.
func connect(t testing.TB, s *service, o Options) *receiver {
	t.Helper()
	return connectAs(t, s, o, webhook.Auth{})
}

// connectAs is connect with a credential of the endpoint's own.
func connectAs(t testing.TB, s *service, o Options, auth webhook.Auth) *receiver {
	t.Helper()
	o.URL = s.URL + o.URL
	d := mustNew(t, o)
	w, err := webhook.New(webhook.Options{
		URL: d.URL(), Unsigned: true, AllowHTTP: true, AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: 20 * time.Second, Auth: auth,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return &receiver{TB: t, Destination: d, send: w.Send}
}

// notice is an event as an endpoint gets it.
func notice(t interface {
	Helper()
	Fatal(...any)
}, e rules.Event) Notice {
	t.Helper()
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return Notice{ID: e.ID, Type: e.Type, Alarm: e.Alarm.Key, At: e.At, Data: data}
}

// tell makes one attempt at telling of a sample and keeps what is to be kept.
func (r *receiver) tell(typ rules.Type, change ...func(*rules.Event)) Reply {
	r.Helper()
	e := sampleEvent(typ)
	for _, f := range change {
		f(&e)
	}
	n := notice(r, e)
	n.Kept = maps.Clone(r.kept)
	reply := r.Send(r.Context(), r.send, []Notice{n})
	if reply.Keep != nil {
		r.kept = reply.Keep
	}
	return reply
}

// accepted fails the test unless an event is accepted.
func (r *receiver) accepted(typ rules.Type, change ...func(*rules.Event)) {
	r.Helper()
	if reply := r.tell(typ, change...); reply.Verdict != webhook.Accepted {
		r.Fatalf("%s: %s: %v: %s", typ, reply.Verdict, reply.Err, reply.Body)
	}
}

// verdict fails the test unless an event meets a verdict.
func (r *receiver) verdict(want webhook.Verdict, typ rules.Type) Reply {
	r.Helper()
	reply := r.tell(typ)
	if reply.Verdict != want {
		r.Errorf("%s: %s (%v), expected %s", typ, reply.Verdict, reply.Err, want)
	}
	return reply
}

// waits fails the test unless an event is to be tried again after about a time.
func (r *receiver) waits(want time.Duration, typ rules.Type) {
	r.Helper()
	reply := r.verdict(webhook.Retry, typ)
	if d := reply.RetryAfter - want; d < -3*time.Second || d > time.Second {
		r.Errorf("%s: waits %s, expected about %s", typ, reply.RetryAfter, want)
	}
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// same reports what is not as it should be, as text.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if text(got) != text(want) {
		t.Errorf("%s is %s, expected %s", what, text(got), text(want))
	}
}

func escalate(s rules.Severity) func(*rules.Event) {
	return func(e *rules.Event) { e.Alarm.Severity = s }
}
