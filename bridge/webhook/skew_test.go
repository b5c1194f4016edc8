package webhook

import (
	"net"
	"net/http"
	"testing"
	"time"
)

func TestReceiversClockIsComparedWithOurs(t *testing.T) {
	sent := time.Date(2026, 11, 6, 14, 12, 10, 400e6, time.UTC)
	f := func(date string, took, want time.Duration) {
		t.Helper()
		if got := skew(http.Header{"Date": {date}}, sent, sent.Add(took)); got != want {
			t.Errorf("%s after %s: %s, want %s", date, took, got, want)
		}
	}
	f("", 0, 0)
	f("yesterday", 0, 0)
	f("Fri, 06 Nov 2026 14:12:10 GMT", 0, 0)
	f("Fri, 06 Nov 2026 14:12:09 GMT", 0, -400*time.Millisecond)
	f("Fri, 06 Nov 2026 14:12:20 GMT", 10*time.Second, 0)
	f("Fri, 06 Nov 2026 14:12:21 GMT", 10*time.Second, 600*time.Millisecond)
	f("Fri, 06 Nov 2026 15:12:10 GMT", 0, time.Hour-400*time.Millisecond)
	f("Fri, 06 Nov 2026 13:12:10 GMT", 0, -time.Hour+600*time.Millisecond)
	f("Friday, 06-Nov-26 15:12:10 GMT", 0, time.Hour-400*time.Millisecond)
}

func TestResultSaysHowFarTheReceiversClockIsOff(t *testing.T) {
	at := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, code := range []int{200, 500} {
		srv := raw(t, func(c net.Conn, done <-chan struct{}) bool {
			return answer(status(code, "Date: "+at), false)(c, done)
		})
		r := newTestSender(t, srv.url, nil).Send(t.Context(), message())
		if r.Skew < 59*time.Minute || r.Skew > time.Hour {
			t.Errorf("answered %d, skew %s", r.Status, r.Skew)
		}
	}
}
