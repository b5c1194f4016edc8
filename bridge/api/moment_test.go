package api

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"

	"tocsin/bridge"
)

// Some of these cannot be written as JSON, so that a token with such an end made the
// list of tokens impossible to read; others are another time once they are counted in
// nanoseconds, so that a replay since the year 9999 was one of everything.
func TestTimesOfNoAgeAreDeclined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := lively(t, Options{Token: NewToken("the token of the file")})
		for _, at := range []string{"9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59Z", "2263-01-01T00:00:00Z", "1600-01-01T00:00:00Z", "0000-01-01T00:00:00+12:00"} {
			for _, r := range [][3]string{
				{"POST", "tokens", `{"name":"far","scope":"read","ends":"` + at + `"}`},
				{"POST", "alarms/warm/x/shelve", `{"until":"` + at + `"}`},
				{"POST", "replay", `{"endpoint":"ops","since":"` + at + `"}`},
				{"POST", "try", `{"messages":[{"topic":"plant/a","payload":"{}","at":"` + at + `"}]}`},
				{"GET", "deliveries?since=" + url.QueryEscape(at), ""},
				{"GET", "alarms?since=" + url.QueryEscape(at), ""},
				{"GET", "audit?until=" + url.QueryEscape(at), ""},
			} {
				if w := ask(t, h, "the token of the file", r[0], prefix+r[1], r[2]); w.Code != http.StatusBadRequest {
					t.Errorf("%s %s %s: %d %s", r[0], r[1], r[2], w.Code, w.Body)
				}
			}
		}
		if w := ask(t, h, "the token of the file", "GET", prefix+"tokens", ""); w.Code != http.StatusOK {
			t.Errorf("the tokens: %d %s", w.Code, w.Body)
		}
	})
}

// What was done is known, even if it cannot be told to whom asked for it.
func TestWhatEndsInAPanicIsAudited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h := lively(t, Options{Reload: func(context.Context) (Reloaded, error) { panic("a defect") }})
		func() {
			defer func() { _ = recover() }() // as net/http does
			ask(t, h, "", "POST", prefix+"reload", "")
		}()
		entries, err := b.Access().Audited(t.Context(), bridge.AuditQuery{Limit: 10})
		if err != nil || len(entries) != 1 || entries[0].Status != http.StatusInternalServerError {
			t.Errorf("the audit log has %+v, %v", entries, err)
		}
	})
}
