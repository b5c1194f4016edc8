package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRetryAfterIsReadAndBounded(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	const most = 6 * time.Hour
	f := func(want time.Duration, values ...string) {
		t.Helper()
		if got := retryAfter(values, now, most); got != want {
			t.Errorf("Retry-After %q is %s, want %s", values, got, want)
		}
	}
	f(0)
	f(0, "")
	f(0, "0")
	f(120*time.Second, "120")
	f(120*time.Second, " 120 ")
	f(1500*time.Millisecond, "1.5")
	f(500*time.Millisecond, ".5")
	f(time.Second, "1.")
	f(most, "21600")
	f(most, "21601")
	f(most, "99999999999")
	f(most, strings.Repeat("9", 10000))
	f(90*time.Second, now.Add(90*time.Second).Format(http.TimeFormat))
	f(90*time.Second, now.Add(90*time.Second).Format(time.RFC850))
	f(90*time.Second, now.Add(90*time.Second).Format(time.ANSIC))
	f(most, "Fri, 31 Dec 9999 23:59:59 GMT")
	f(0, "Sun, 06 Nov 1994 08:49:37 GMT")
	f(0, "Fri, 32 Dec 2026 23:59:59 GMT")
	for _, bad := range []string{"-1", "-0", "+5", "1e3", "1e309", "Infinity", "inf", "NaN", "nan", "0x10", "1_000", "1,5", "1.2.3", ".", "soon", "1 2", "12s", "١٢", "\x00"} {
		f(0, bad)
	}
	f(60*time.Second, "60", "5")
	f(60*time.Second, "bad", "60", "-1")
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "1.5", "-1", "1e309", "Infinity", "Fri, 31 Dec 9999 23:59:59 GMT", "..", "99999999999999999999"} {
		f.Add(s, int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, v string, now int64) {
		at := time.Unix(now%(1<<40), 0)
		got := retryAfter([]string{v}, at, time.Hour)
		if got < 0 || got > time.Hour {
			t.Fatalf("%q is %s", v, got)
		}
		if twice := retryAfter([]string{v, v}, at, time.Hour); twice != got {
			t.Fatalf("once %s, twice %s", got, twice)
		}
	})
}
