package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
)

// From a burst on, the answer says how long to wait, and after that it is another.
func TestWhoAsksTooOftenIsToldWhenToAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(&Options{Rates: Rates{Address: Rate{0.5, 3}}}, true)
		from := func(address, path string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "http://localhost"+path, nil)
			r.RemoteAddr = address
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		for i := range 3 {
			if w := from("192.0.2.1:"+strconv.Itoa(1000+i), "/nothing"); w.Code != http.StatusNotFound {
				t.Fatalf("request %d: %d", i, w.Code)
			}
		}
		w := from("192.0.2.1:2000", "/nothing")
		checkProblem(t, w)
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "2" {
			t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		if w := from("192.0.2.2:1", "/nothing"); w.Code != http.StatusNotFound {
			t.Errorf("another address: %d", w.Code)
		}
		if w := from("192.0.2.1:1", "/healthz"); w.Code != http.StatusOK {
			t.Errorf("health: %d", w.Code)
		}
		time.Sleep(2 * time.Second)
		if w := from("192.0.2.1:1", "/nothing"); w.Code != http.StatusNotFound {
			t.Errorf("after waiting: %d", w.Code)
		}
	})
}

// A token is counted wherever it is sent from, and no other with it.
func TestTokenIsCountedOverAddresses(t *testing.T) {
	b, stop := bridged(t, t.TempDir())
	defer stop()
	h := newHandler(&Options{Bridge: b, Token: NewToken(secret), Rates: Rates{Token: Rate{1e-9, 4}}}, true)
	one, two := makeToken(t, h, "one", bridge.ScopeRead).Token, makeToken(t, h, "two", bridge.ScopeRead).Token
	var got []int
	for i, token := range []string{one, one, one, one, one, two} {
		r := httptest.NewRequest("GET", "http://localhost/api/v1/alarms", nil)
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got = append(got, w.Code)
	}
	if fmt.Sprint(got) != "[200 200 200 200 429 200]" {
		t.Errorf("%v", got)
	}
}

// Guesses are answered a few times. Whoever has a token at the same address is let
// in all the while, and what is turned away for its number is not written down.
func TestGuessesAreCounted(t *testing.T) {
	b, stop := bridged(t, t.TempDir())
	defer stop()
	h := newHandler(&Options{Bridge: b, Token: NewToken(secret), Rates: Rates{Refused: Rate{1e-9, 5}}}, true)
	codes := make(map[int]int)
	for i := range 50 {
		codes[ask(t, h, "guess"+strconv.Itoa(i), "POST", "/api/v1/reload", "").Code]++
	}
	if codes[401] != 5 || codes[429] != 45 {
		t.Errorf("%v", codes)
	}
	if n := len(audited(t, h, 1000, "")); n != 5 {
		t.Errorf("%d entries", n)
	}
}

func TestAddressIsThatOfItsNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:5":            "192.0.2.1",
		"[::ffff:192.0.2.1]:5":   "192.0.2.1",
		"[2001:db8:1:2:3::4]:5":  "2001:db8:1:2::/64",
		"[2001:db8:1:2:ff::1]:9": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5":       "fe80::/64",
		"[::1]:5":                "::/64",
		"@":                      "@",
	} {
		if got := addressOf(&http.Request{RemoteAddr: address}); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// A limiter holds so many and no more. Those that it has no room for share one
// bucket, and who is idle makes room.
func TestLimiterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Rate{1, 2}, Rate{})
		for i := range maxLimited {
			l.take(strconv.Itoa(i))
		}
		var waits []string
		for _, who := range []string{"a", "b", "c", "0", "0"} {
			waits = append(waits, l.take(who).String())
		}
		if got := strings.Join(waits, " "); got != "0s 0s 1s 0s 1s" || len(l.of) != maxLimited {
			t.Errorf("waits %s with %d", got, len(l.of))
		}
		time.Sleep(time.Minute)
		l.take("d")
		if len(l.of) != 1 {
			t.Errorf("%d are kept of the idle", len(l.of))
		}
	})
}
