package webhook

import "testing"

// A trace is no part of a message: signatures are as valid with it as without.
func TestTraceParentIsSentAndSignedByNothing(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	url, requests := capture(t)
	var o Options
	s := newTestSender(t, url, func(to *Options) { everyScheme(to); o = *to })
	for _, want := range []string{parent, ""} {
		m := message()
		m.Trace = want
		if r := s.Send(t.Context(), m); r.Verdict != Accepted {
			t.Fatal(r.Err)
		}
		c := <-requests
		if got := c.header.Get("Traceparent"); got != want {
			t.Errorf("traceparent is %q, not %q", got, want)
		}
		c.header.Del("Traceparent") // as a proxy may
		for _, scheme := range Schemes() {
			if _, err := Verify(Keys{Secrets: o.Secrets[:1], Public: []PublicKey{o.Keys[0].Public()}}, c.request(), VerifyOptions{Schemes: []Scheme{scheme}}); err != nil {
				t.Errorf("%s: %v", scheme, err)
			}
		}
	}
}
