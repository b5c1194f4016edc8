package webhook

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A tokenServer hands out t1, t2, … and keeps what it was asked with.
type tokenServer struct {
	*httptest.Server
	roots *authority
	asked atomic.Int64
	last  atomic.Pointer[http.Request] // its form is parsed
}

// newTokenServer answers as answer does, or with a token when answer is nil or
// returns false.
func newTokenServer(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int64) bool) *tokenServer {
	t.Helper()
	s := &tokenServer{roots: newAuthority(t)}
	s.Server = tlsServer(t, &tls.Config{Certificates: []tls.Certificate{s.roots.issue(t, nil)}}, false, func(w http.ResponseWriter, r *http.Request) {
		n := s.asked.Add(1)
		_ = r.ParseForm()
		s.last.Store(r)
		if answer == nil || !answer(w, r, n) {
			_, _ = fmt.Fprintf(w, `{"access_token":"t%d","token_type":"Bearer","expires_in":3600}`, n)
		}
	})
	return s
}

func (s *tokenServer) oauth2() *OAuth2 {
	return &OAuth2{TokenURL: s.URL + "/token?canary=canary", ClientID: "tocsin", ClientSecret: NewCredential("canary s&cret"), RootCAs: s.roots.pool}
}

// guarded is a receiver that lets pass who has one of its tokens.
func guardedReceiver(t *testing.T, tokens ...string) (at string, heard *atomic.Int64) {
	t.Helper()
	heard = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		for _, token := range tokens {
			if r.Header.Get("Authorization") == "Bearer "+token {
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, heard
}

func withOAuth2(o2 *OAuth2) func(*Options) { return func(o *Options) { o.Auth.OAuth2 = o2 } }

func TestTokenIsAskedForOnceAndKept(t *testing.T) {
	at, heard := guardedReceiver(t, "t1")
	for _, inHeader := range []bool{false, true} {
		server := newTokenServer(t, nil)
		o2 := server.oauth2()
		o2.Scopes, o2.Audience, o2.InHeader = []string{"a", "b"}, "https://api", inHeader
		s := newTestSender(t, at, withOAuth2(o2))
		for range 3 {
			if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
				t.Fatalf("%+v", r)
			}
		}
		if n := server.asked.Load(); n != 1 {
			t.Errorf("%d tokens for three attempts", n)
		}
		got := server.last.Load()
		want := url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}, "audience": {"https://api"}}
		basic := ""
		if inHeader {
			basic = "Basic " + base64.StdEncoding.EncodeToString([]byte("tocsin:canary+s%26cret"))
		} else {
			want["client_id"], want["client_secret"] = []string{"tocsin"}, []string{"canary s&cret"}
		}
		if got.Method != http.MethodPost || got.PostForm.Encode() != want.Encode() || got.Header.Get("Authorization") != basic {
			t.Errorf("asked with %s %v %v", got.Method, got.PostForm, got.Header)
		}
		server.Close() // what is kept is enough
		if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
			t.Errorf("%+v", r)
		}
	}
	if heard.Load() != 8 {
		t.Errorf("%d requests, want 8", heard.Load())
	}
}

func TestRefusedTokenIsReplacedOnceAtOnce(t *testing.T) {
	server := newTokenServer(t, nil)
	at, heard := guardedReceiver(t, "t2")
	s := newTestSender(t, at, withOAuth2(server.oauth2()))
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted || heard.Load() != 2 || server.asked.Load() != 2 {
		t.Errorf("%+v after %d requests and %d tokens", r, heard.Load(), server.asked.Load())
	}
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted || heard.Load() != 3 || server.asked.Load() != 2 {
		t.Errorf("the new token is not kept: %+v", r)
	}

	server = newTokenServer(t, nil)
	at, heard = guardedReceiver(t)
	r := newTestSender(t, at, withOAuth2(server.oauth2())).Send(t.Context(), message())
	if r.Verdict != Retry || r.Status != 401 || heard.Load() != 2 || server.asked.Load() != 2 {
		t.Errorf("%+v after %d requests and %d tokens", r, heard.Load(), server.asked.Load())
	}
	wantErr(t, r, "401 Unauthorized to a fresh access token")
}

func TestTokenIsReplacedBeforeItEnds(t *testing.T) {
	server := newTokenServer(t, nil)
	at, heard := guardedReceiver(t, "t1", "t2")
	s := newTestSender(t, at, withOAuth2(server.oauth2()))
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Fatalf("%+v", r)
	}
	if left := time.Until(s.tokens.until); left < 58*time.Minute || left > 59*time.Minute {
		t.Errorf("a token of an hour is kept for %v", left)
	}
	s.tokens.until = time.Now()
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted || heard.Load() != 2 || server.asked.Load() != 2 {
		t.Errorf("%+v after %d requests and %d tokens", r, heard.Load(), server.asked.Load())
	}

	now := time.Now()
	for seconds, want := range map[string]time.Duration{"60": 54 * time.Second, "3600": 59 * time.Minute, "10.5": 9450 * time.Millisecond, "86400": 24*time.Hour - time.Minute} {
		if got := (&tokenAnswer{ExpiresIn: json.Number(seconds)}).until(now).Sub(now); got != want {
			t.Errorf("expires_in %s: kept for %v, want %v", seconds, got, want)
		}
	}
	for _, seconds := range []string{"", "0", "-5", "NaN", "1e400", "Infinity", "1e10", "soon"} {
		if got := (&tokenAnswer{ExpiresIn: json.Number(seconds)}).until(now); !got.IsZero() {
			t.Errorf("expires_in %q: until %v, want until it is refused", seconds, got)
		}
	}
}

func TestAttemptsShareOneToken(t *testing.T) {
	const attempts = 16
	waiting := make(chan struct{})
	server := newTokenServer(t, func(http.ResponseWriter, *http.Request, int64) bool { <-waiting; return false })
	at, heard := guardedReceiver(t, "t1")
	s := newTestSender(t, at, func(o *Options) { o.Auth.OAuth2, o.Concurrency = server.oauth2(), attempts })
	var wg sync.WaitGroup
	for range attempts {
		wg.Go(func() {
			if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
				t.Errorf("%+v", r)
			}
		})
	}
	close(waiting)
	wg.Wait()
	if server.asked.Load() != 1 || heard.Load() != attempts {
		t.Errorf("%d tokens for %d requests", server.asked.Load(), heard.Load())
	}
}

// Who asked for the token may be cut off; who waits for it is not.
func TestTokenOutlivesWhoAskedForIt(t *testing.T) {
	asked := make(chan struct{}, 2)
	server := newTokenServer(t, func(w http.ResponseWriter, r *http.Request, n int64) bool {
		asked <- struct{}{}
		if n == 1 {
			<-r.Context().Done()
			return true
		}
		return false
	})
	at, _ := guardedReceiver(t, "t2")
	s := newTestSender(t, at, withOAuth2(server.oauth2()))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if r := s.Send(ctx, message()); r.Verdict != Retry || !errors.Is(r.Err, context.Canceled) {
			t.Errorf("the one that was cut off: %+v", r)
		}
	})
	<-asked
	wg.Go(func() {
		if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
			t.Errorf("the one that waited: %+v", r)
		}
	})
	cancel()
	wg.Wait()
}

func TestRefreshTokenIsUsedAndReplaced(t *testing.T) {
	server := newTokenServer(t, func(w http.ResponseWriter, r *http.Request, n int64) bool {
		_, _ = fmt.Fprintf(w, `{"access_token":"t%d","expires_in":"3600","refresh_token":"r%d"}`, n, n)
		return true
	})
	at, _ := guardedReceiver(t, "t2")
	o2 := server.oauth2()
	o2.RefreshToken, o2.Scheme = NewCredential("r0"), "Bearer"
	s := newTestSender(t, at, withOAuth2(o2))
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Fatalf("%+v", r)
	}
	got := server.last.Load().PostForm
	if got.Get("grant_type") != "refresh_token" || got.Get("refresh_token") != "r1" {
		t.Errorf("the second token was asked for with %v", got)
	}
}

func TestNothingIsSentWithoutAToken(t *testing.T) {
	at, heard := guardedReceiver(t, "t1")
	send := func(o2 *OAuth2) Result {
		t.Helper()
		r := newTestSender(t, at, func(o *Options) { o.Auth.OAuth2, o.Timeout = o2, time.Second }).Send(t.Context(), message())
		if r.Verdict != Retry || r.Status != 0 || r.Err == nil {
			t.Fatalf("%+v", r)
		}
		if strings.Contains(r.Err.Error(), "canary") || strings.Contains(r.Err.Error(), "/token") {
			t.Errorf("the error leaks: %v", r.Err)
		}
		wantErr(t, r, at+"/...: no access token from https://127.0.0.1:")
		return r
	}
	f := func(status int, body, want string) Result {
		t.Helper()
		server := newTokenServer(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
			w.Header().Set("Location", "https://127.0.0.1/elsewhere")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		})
		r := send(server.oauth2())
		wantErr(t, r, want)
		if server.asked.Load() != 1 {
			t.Errorf("%s: asked %d times", want, server.asked.Load())
		}
		return r
	}
	f(400, `{"error":"invalid_client","error_description":"canary"}`, "answered 400 Bad Request: invalid_client")
	f(200, `{"error":"bad_verification_code"}`, "answered 200 OK: bad_verification_code")
	f(401, `{"error":"canary is\u001b[31m wrong"}`, "answered 401 Unauthorized")
	f(400, `{"error":"canary+s%26cret"}`, "answered 400 Bad Request") // what it was asked with
	f(200, `{}`, "without an access_token")
	f(200, `<html>canary`, "without an access_token")
	f(200, `{"access_token":"a\r\nX-Evil: 1"}`, "no header can carry")
	f(200, `{"access_token":"`+strings.Repeat("x", maxToken+1)+`"}`, "no header can carry")
	f(200, `{"access_token":"`+strings.Repeat("x", maxTokenAnswer)+`"}`, "more than 64 KiB")
	f(302, "", "redirects are not followed")
	f(500, "canary", "answered 500")
	if r := f(429, "", "answered 429"); r.RetryAfter != 7*time.Second {
		t.Errorf("left alone for %v", r.RetryAfter)
	}

	stuck := newTokenServer(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		<-r.Context().Done()
		return true
	})
	wantErr(t, send(stuck.oauth2()), "no answer within 1s, given up while waiting for the answer")
	down := newTokenServer(t, nil)
	down.Close()
	wantErr(t, send(down.oauth2()), "connection refused")
	unverified := newTokenServer(t, nil)
	o2 := unverified.oauth2()
	o2.RootCAs = newAuthority(t).pool
	wantErr(t, send(o2), "unknown authority")
	if unverified.asked.Load() != 0 {
		t.Error("a server that nobody vouches for was told the secret")
	}
	if heard.Load() != 0 {
		t.Errorf("%d requests reached the endpoint", heard.Load())
	}
}

func TestTokenServerIsGuardedLikeTheEndpoint(t *testing.T) {
	server := newTokenServer(t, nil)
	s := newTestSender(t, "http://api.test./", func(o *Options) {
		o.Auth.OAuth2, o.AllowCIDRs = server.oauth2(), nil
		o.Resolver = names{"api.test": always("1.1.1.1")}.resolver()
	})
	wantBlocked(t, "a token server on loopback", s.Send(t.Context(), message()))
	if server.asked.Load() != 0 {
		t.Error("the token server was reached")
	}
}

func TestOAuth2ThatCannotWorkIsRefused(t *testing.T) {
	good := OAuth2{TokenURL: "https://login.example.com/token", ClientID: "a", ClientSecret: NewCredential("b")}
	f := func(want string, change func(*OAuth2)) {
		t.Helper()
		o2 := good
		change(&o2)
		o := Options{URL: "https://example.com", Secrets: []Secret{NewSecret()}, Auth: Auth{OAuth2: &o2}}
		if _, err := New(o); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("", func(*OAuth2) {})
	f("", func(o *OAuth2) { o.ClientSecret, o.RefreshToken = Credential{}, NewCredential("r") })
	f("oauth2.token_url is http", func(o *OAuth2) { o.TokenURL = "http://login.example.com/token" })
	f("oauth2.token_url: url is empty", func(o *OAuth2) { o.TokenURL = "" })
	f("client_id", func(o *OAuth2) { o.ClientID = "" })
	f("neither", func(o *OAuth2) { o.ClientSecret = Credential{} })
	f("scheme", func(o *OAuth2) { o.Scheme = "a b" })
}
