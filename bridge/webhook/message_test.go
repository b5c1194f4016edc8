package webhook

import (
	"net"
	"net/http"
	"net/url"
	"testing"
)

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestMessageChoosesMethodPathAndHeaders(t *testing.T) {
	at, requests := capture(t)
	s := newTestSender(t, at, nil)
	u := parse(t, at)
	u.Path, u.RawQuery = "/tickets/35", "by=alias"
	r := s.Send(t.Context(), Message{
		ID: "evt_1", Body: []byte("{}"), Method: http.MethodPut, URL: u, Header: http.Header{"Idempotency-Key": {"evt_1"}},
	})
	if r.Verdict != Accepted {
		t.Fatal(r.Err)
	}
	got := <-requests
	if got.method != http.MethodPut || got.target != "/tickets/35?by=alias" || got.header.Get("Idempotency-Key") != "evt_1" {
		t.Errorf("%s %s %v", got.method, got.target, got.header)
	}
	if r.Header.Get("Date") == "" {
		t.Error("the answer's header is not kept")
	}
}

func TestMessageCannotLeaveItsEndpointOrForgeItsFrame(t *testing.T) {
	at, requests := capture(t)
	s := newTestSender(t, at, nil)
	for name, m := range map[string]Message{
		"another host":   {URL: parse(t, "http://127.0.0.1:1/hook")},
		"another scheme": {URL: parse(t, "https"+at[len("http"):])},
		"a user":         {URL: parse(t, "http://a@"+at[len("http://"):])},
		"no method":      {Method: "PO ST"},
		"line end":       {Header: http.Header{"X-Device": {"a\r\nX-Evil: 1"}}},
		"bad name":       {Header: http.Header{"X Device": {"a"}}},
		"other spelling": {Header: http.Header{"x-device": {"a"}}},
		"host":           {Header: http.Header{"Host": {"example.com"}}},
		"length":         {Header: http.Header{"Content-Length": {"1"}}},
		"signature":      {Header: http.Header{"Webhook-Signature": {"v1,x"}}},
	} {
		m.ID, m.Body = "evt_1", []byte("{}")
		if r := s.Send(t.Context(), m); r.Err == nil || r.Verdict == Accepted {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if len(requests) > 0 {
		t.Error("something was sent")
	}
}

// Some receivers know us by a key in the body, or by the URL alone.
func TestUnsignedMessageCarriesItsIdAndNoSignature(t *testing.T) {
	at, requests := capture(t)
	s := newTestSender(t, at, func(o *Options) { o.Secrets, o.Unsigned = nil, true })
	if r := s.Send(t.Context(), Message{ID: "evt_1", Body: []byte("{}")}); r.Verdict != Accepted {
		t.Fatal(r.Err)
	}
	got := <-requests
	if _, signed := got.header["Webhook-Signature"]; signed || got.header.Get("Webhook-Id") != "evt_1" {
		t.Errorf("sent %v", got.header)
	}
}

// Whoever must not say a thing twice needs to know whether it may have been heard.
func TestAttemptSaysWhetherItMayHaveBeenHeard(t *testing.T) {
	hungUp := raw(t, func(net.Conn, <-chan struct{}) bool { return false })
	if r := newTestSender(t, hungUp.url, nil).Send(t.Context(), message()); !r.Unsure || r.Verdict != Retry {
		t.Errorf("without an answer: %+v", r)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + l.Addr().String()
	_ = l.Close()
	if r := newTestSender(t, at, nil).Send(t.Context(), message()); r.Unsure || r.Err == nil {
		t.Errorf("without a connection: %+v", r)
	}
	answered := raw(t, answer(status(500), false))
	if r := newTestSender(t, answered.url, nil).Send(t.Context(), message()); r.Unsure || r.Status != 500 {
		t.Errorf("with an answer: %+v", r)
	}
}
