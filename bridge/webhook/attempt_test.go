package webhook

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func TestAttemptVerifiesWithLibrariesThatAreNotOurs(t *testing.T) {
	url, requests := capture(t)
	old, fresh := NewSecret(), NewSecret()
	s := newTestSender(t, url, func(o *Options) { o.Secrets, o.UserAgent = []Secret{fresh, old}, "tocsin/1.2.3" })
	m := Message{ID: "evt_0123456789abcdef", Body: []byte("{\"unit\":\"°C\",\"text\":\"a\\nb \\u2028\"}\n")}
	r := s.Send(t.Context(), m)
	if r.Verdict != Accepted || r.Status != 204 || r.Err != nil || r.Took <= 0 || r.Reused {
		t.Fatalf("%+v", r)
	}
	got := <-requests
	if !bytes.Equal(got.body, m.Body) {
		t.Errorf("the body arrived as %q", got.body)
	}
	for k, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "tocsin/1.2.3", "Webhook-Id": m.ID,
		"Accept-Encoding": "", "Cookie": "", "Referer": "", "Content-Length": fmt.Sprint(len(m.Body)),
	} {
		if v := strings.Join(got.header.Values(k), "|"); v != want {
			t.Errorf("header %s is %q, want %q", k, v, want)
		}
	}
	for _, secret := range []Secret{old, fresh} {
		w, err := standardwebhooks.NewWebhook(secret.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Verify(got.body, got.header); err != nil {
			t.Errorf("the Standard Webhooks library: %v", err)
		}
		if err := verifyStandard([]Secret{secret}, got.header, got.body, VerifyOptions{}); err != nil {
			t.Error(err)
		}
	}
	if d := Diagnose(Keys{Secrets: []Secret{old}}, Request{Header: got.header, Body: append(got.body, '\n')}, Standard); !d.Proved {
		t.Errorf("diagnosed %+v", d)
	}
}

func TestEachAttemptHasTheSameIDAndItsOwnTimestamp(t *testing.T) {
	url, requests := capture(t)
	s := newTestSender(t, url, nil)
	first := s.send(t.Context(), message(), time.Unix(1614265330, 0))
	second := s.send(t.Context(), message(), time.Unix(1614265390, 999))
	a, b := <-requests, <-requests
	if first.Verdict != Accepted || second.Verdict != Accepted || !second.Reused {
		t.Fatalf("%+v, %+v", first, second)
	}
	if a.header.Get("webhook-id") != b.header.Get("webhook-id") || !bytes.Equal(a.body, b.body) {
		t.Error("another id or body in the second attempt")
	}
	if a.header.Get("webhook-timestamp") != "1614265330" || b.header.Get("webhook-timestamp") != "1614265390" {
		t.Error("the timestamp is not that of the attempt")
	}
	for _, c := range []captured{a, b} {
		want := Sign(mustSecret(t, vectorSecret), "evt_1", unix(t, c.header.Get("webhook-timestamp")), c.body)
		if got := c.header.Get("webhook-signature"); got != want {
			t.Errorf("signature %s, want %s", got, want)
		}
	}
}

func unix(t *testing.T, s string) time.Time {
	t.Helper()
	var sec int64
	if _, err := fmt.Sscan(s, &sec); err != nil {
		t.Fatal(err)
	}
	return time.Unix(sec, 0)
}

func TestStatusDecides(t *testing.T) {
	f := func(code int, verdict Verdict, wait time.Duration, header ...string) {
		t.Helper()
		s := newTestSender(t, raw(t, answer(status(code, header...), true)).url, nil)
		r := s.Send(t.Context(), message())
		if r.Verdict != verdict || r.Status != code || r.RetryAfter != wait || (r.Err == nil) != (verdict == Accepted) {
			t.Errorf("%d %v: %+v, want %s after %s", code, header, r, verdict, wait)
		}
	}
	for _, code := range []int{200, 201, 202, 203, 204, 206, 207, 226, 299} {
		f(code, Accepted, 0)
	}
	for _, code := range []int{300, 304, 399, 400, 401, 403, 404, 408, 409, 413, 418, 422, 425, 429, 451, 499, 500, 501, 502, 503, 504, 511, 599, 600, 999} {
		f(code, Retry, 0)
	}
	f(410, Gone, 0)
	f(410, Gone, 0, "Retry-After: 5")
	f(200, Accepted, 0, "Retry-After: 5")
	f(429, Retry, 120*time.Second, "Retry-After: 120")
	f(503, Retry, 1500*time.Millisecond, "Retry-After: 1.5")
	f(503, Retry, 6*time.Hour, "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT")
	f(429, Retry, 6*time.Hour, "Retry-After: 315360000")
	f(429, Retry, 0, "Retry-After: -1")
	f(429, Retry, 30*time.Second, "Retry-After: 30", "Retry-After: 2")
	if Retry.String()+Accepted.String()+Gone.String() != "retryacceptedgone" {
		t.Error("verdicts do not print")
	}
}

func TestErrorsAreOneLineWithoutSecrets(t *testing.T) {
	f := func(text string, keep bool, parts ...string) {
		t.Helper()
		receiver := raw(t, answer(text, keep))
		s := newTestSender(t, strings.Replace(receiver.url, "/hook", "/canary-path?token=canary-query", 1), nil)
		r := s.Send(t.Context(), message())
		wantErr(t, r, append(parts, "http://"+receiver.addr.String()+"/...: ")...)
		for _, leak := range []string{"canary", vectorSecret[6:16], "\n", "\x1b", "v1,"} {
			if strings.Contains(r.Err.Error(), leak) {
				t.Errorf("error %q contains %q", r.Err, leak)
			}
		}
		if len(r.Err.Error()) > 400 {
			t.Errorf("an error of %d bytes", len(r.Err.Error()))
		}
	}
	f(status(500), true, "answered 500 Internal Server Error")
	f(status(599), true, "answered 599")
	f("HTTP/1.1 418 \x1b]0;evil\x07"+strings.Repeat("x", 5000)+"\r\nContent-Length: 0\r\n\r\n", true, "answered 418")
	f("HTTP/1.1 301 X\r\nLocation: https://user:canary@evil.example/canary?canary\r\nContent-Length: 0\r\n\r\n", true, `answered 301 Moved Permanently to host "evil.example"`)
	f("HTTP/1.1 302 X\r\nLocation: /canary\r\nContent-Length: 0\r\n\r\n", true, "to another path")
	f("HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n", true, "to nowhere")
	f("HTTP/1.1 304 X\r\n\r\n", true, "answered 304 Not Modified")
	f("HTTP/1.1 302 X\r\nLocation: https://"+strings.Repeat("a", 5000)+"/\r\nContent-Length: 0\r\n\r\n", true, "…")
	f("SSH-2.0-OpenSSH_9.9\x1b[31m\r\n", false, "waiting for the answer: ", "malformed HTTP")
	f(strings.Repeat("A", 5000)+"\r\n\r\n", false, "malformed HTTP")
	f("", false, "waiting for the answer: EOF")

	refused := raw(t, answer("", false))
	gone := newTestSender(t, refused.url, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	gone.url.Host = l.Addr().String()
	wantErr(t, gone.Send(t.Context(), message()), "connecting: ", "connection refused")
}

func TestBrokenAnswersAreRetriedAndBrokenBodiesAreNot(t *testing.T) {
	f := func(text string, verdict Verdict, code int, truncated bool) {
		t.Helper()
		receiver := raw(t, answer(text, false))
		r := newTestSender(t, receiver.url, nil).Send(t.Context(), message())
		if r.Verdict != verdict || r.Status != code || r.Truncated != truncated {
			t.Errorf("%.60q: %+v", text, r)
		}
		if n := receiver.heard.Load(); n != 1 {
			t.Errorf("%.60q: %d requests, want 1", text, n)
		}
	}
	f("", Retry, 0, false)
	f("\r\n\r\n", Retry, 0, false)
	f("HTTP/1.1", Retry, 0, false)
	f("HTTP/1.1 20", Retry, 0, false)
	f("HTTP/1.1 abc OK\r\n\r\n", Retry, 0, false)
	f("HTTP/3.7 200 OK\r\nContent-Length: x\r\n\r\n", Retry, 0, false)
	f("HTTP/1.1 200 OK\r\nContent-Length: 1e15\r\n\r\n", Retry, 0, false)
	f("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", Retry, 0, false)
	f("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Retry, 0, false)
	f("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Retry, 0, false)
	f("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n", Retry, 0, false)
	f("HTTP/1.1 200 OK\r\n"+strings.Repeat("X: y\r\n", 200_000)+"\r\n", Retry, 0, false)
	f(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100_000)+status(200), Retry, 0, false)
	f(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 100_000)+status(200), Retry, 0, false)
	f("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", Retry, 101, false)
	f("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+status(204), Accepted, 204, false)

	f("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\nabc", Accepted, 200, true)
	f("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Accepted, 200, true)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", Accepted, 200, true)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", Accepted, 200, true)
	f("HTTP/1.1 500 X\r\nContent-Length: 10\r\n\r\nabc", Retry, 500, true)
	f("HTTP/1.1 200 OK\r\n\r\nuntil the end", Accepted, 200, false)
}

func TestResetMidBodyStillCounts(t *testing.T) {
	receiver := raw(t, func(c net.Conn, _ <-chan struct{}) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
		_ = c.(*net.TCPConn).SetLinger(0)
		return false
	})
	r := newTestSender(t, receiver.url, nil).Send(t.Context(), message())
	// The reset may overtake the answer: then it was none.
	if r.Status == 200 && (r.Verdict != Accepted || !r.Truncated) || r.Status == 0 && r.Verdict != Retry {
		t.Errorf("%+v", r)
	}
}

func TestBodyIsKeptUpToItsLimit(t *testing.T) {
	f := func(size, limit, want int, truncated bool) {
		t.Helper()
		for _, head := range []string{fmt.Sprintf("Content-Length: %d\r\n", size), ""} {
			body := strings.Repeat("b", size)
			s := newTestSender(t, raw(t, answer("HTTP/1.1 500 X\r\n"+head+"\r\n"+body, false)).url, func(o *Options) { o.ResponseBytes = limit })
			r := s.Send(t.Context(), message())
			if string(r.Body) != body[:want] || r.Truncated != truncated || cap(r.Body) > 2*max(limit, want, 512) {
				t.Errorf("%d bytes, limit %d: kept %d of %d, truncated %v", size, limit, len(r.Body), cap(r.Body), r.Truncated)
			}
		}
	}
	f(0, 10, 0, false)
	f(1, 10, 1, false)
	f(9, 10, 9, false)
	f(10, 10, 10, false)
	f(11, 10, 10, true)
	f(16<<10, 0, 16<<10, false)
	f(16<<10+1, 0, 16<<10, true)
}

// allocated runs f and returns how many bytes it allocated, the process over.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestEndlessAnswersCostLittle(t *testing.T) {
	const budget = 2 << 20 // bytes allocated, this process's receiver included
	zeros := make([]byte, 64<<10)
	stream := func(head string, chunk []byte) *rawServer {
		return raw(t, func(c net.Conn, _ <-chan struct{}) bool {
			_, err := io.WriteString(c, head)
			for sent := 0; err == nil && sent < 10<<30; sent += len(chunk) {
				_, err = c.Write(chunk)
			}
			return false
		})
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 160 { // 10 MiB in 10 KiB
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	chunk := append(append([]byte("10000\r\n"), zeros...), '\r', '\n')
	tiny := bytes.Repeat([]byte("1;"+strings.Repeat("e", 200)+"\r\nx\r\n"), 100)

	f := func(what string, receiver *rawServer, timeout time.Duration) Result {
		t.Helper()
		s := newTestSender(t, receiver.url, func(o *Options) { o.Timeout = timeout })
		_ = s.Send(t.Context(), Message{ID: "warm", Body: []byte("x")}) // its buffers are not the answer's
		var r Result
		if n := allocated(func() { r = s.Send(t.Context(), message()) }); n > budget {
			t.Errorf("%s: %d bytes allocated", what, n)
		}
		if len(r.Body) > DefaultResponseBytes {
			t.Errorf("%s: kept %d bytes", what, len(r.Body))
		}
		if receiver.conns.Load() != 2 || r.Reused {
			t.Errorf("%s: the connection was used again", what)
		}
		return r
	}
	const long = 20 * time.Second
	if r := f("10 GB with a length", stream("HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n", zeros), long); r.Verdict != Accepted || !r.Truncated {
		t.Errorf("%+v", r)
	}
	if r := f("10 GB without a length", stream("HTTP/1.1 500 X\r\n\r\n", zeros), long); r.Status != 500 || !r.Truncated {
		t.Errorf("%+v", r)
	}
	f("chunked for ever", stream("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk), long)
	f("chunks of one byte with long extensions", stream("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", tiny), long)
	f("headers for ever", stream("HTTP/1.1 200 OK\r\n", []byte(strings.Repeat("X: y\r\n", 1000))), long)
	f("one header for ever", stream("HTTP/1.1 200 OK\r\nX: ", bytes.Repeat([]byte("y"), 4096)), long)
	f("interim answers for ever", stream("", []byte(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100))), long)
	f("a status line for ever", stream("HTTP/1.1 200 ", bytes.Repeat([]byte("y"), 4096)), long)
	if r := f("a gzip bomb", stream("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", bomb.Bytes()), long); !bytes.HasPrefix(r.Body, []byte("\x1f\x8b")) {
		t.Error("the answer was unpacked")
	}
}

func TestOneDeadlineOverEverything(t *testing.T) {
	drip := func(head, b string) func(net.Conn, <-chan struct{}) bool {
		return func(c net.Conn, done <-chan struct{}) bool {
			_, err := io.WriteString(c, head)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for err == nil {
				select {
				case <-done:
					return false
				case <-tick.C:
					_, err = io.WriteString(c, b)
				}
			}
			return false
		}
	}
	const timeout = time.Second
	f := func(what string, handle func(net.Conn, <-chan struct{}) bool, verdict Verdict, parts ...string) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			receiver := raw(t, handle)
			s := newTestSender(t, receiver.url, func(o *Options) { o.Timeout = timeout })
			r := s.Send(t.Context(), message())
			if r.Verdict != verdict || r.Truncated != (verdict == Accepted) || receiver.heard.Load() != 1 {
				t.Errorf("%+v after %d requests", r, receiver.heard.Load())
			}
			if verdict == Accepted {
				return
			}
			wantErr(t, r, append(parts, "no answer within 1s")...)
			if !errors.Is(r.Err, context.DeadlineExceeded) {
				t.Errorf("%v is not a timeout", r.Err)
			}
		})
	}
	f("hangs", drip("", ""), Retry, "waiting for the answer")
	f("drips its header", drip("HTTP/1.1 200 OK\r\nX: ", "y"), Retry, "waiting for the answer")
	f("drips interim answers", drip("", "HTTP/1.1 102 Processing\r\n\r\n"), Retry, "waiting for the answer")
	f("drips its body", drip("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", "y"), Accepted)
	f("drips chunks", drip("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\ny\r\n"), Accepted)
	f("hangs in its body", drip("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", ""), Accepted)

	t.Run("never reads", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		s := newTestSender(t, "http://"+l.Addr().String(), func(o *Options) { o.Timeout = timeout })
		r := s.Send(t.Context(), Message{ID: "evt_1", Body: make([]byte, 16<<20)}) // more than two sockets hold
		wantErr(t, r, "no answer within 1s", "sending the request")
	})
	t.Run("black hole", func(t *testing.T) {
		t.Parallel()
		s := newTestSender(t, "http://"+blackHole(t), func(o *Options) { o.Timeout = timeout })
		wantErr(t, s.Send(t.Context(), message()), "no answer within 1s", "connecting")
	})
	t.Run("the name hangs", func(t *testing.T) {
		t.Parallel()
		s := newTestSender(t, "http://slow.test./", func(o *Options) {
			o.Timeout = 150 * time.Millisecond
			o.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}
		})
		if r := s.Send(t.Context(), message()); r.Verdict != Retry || r.Status != 0 {
			t.Errorf("%+v", r)
		} else {
			wantErr(t, r, "looking up the host")
		}
	})
}

// blackHole returns an address where connecting is never answered: a listener
// that accepts nothing and whose queue is full.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 8 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("SKIP: this kernel's listen queue does not fill up")
	return ""
}

func TestStoppingEndsAnAttempt(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("stopping")
	receiver := raw(t, func(_ net.Conn, done <-chan struct{}) bool {
		cancel(stopping)
		<-done
		return false
	})
	r := newTestSender(t, receiver.url, nil).Send(ctx, message())
	if r.Verdict != Retry || !errors.Is(r.Err, stopping) {
		t.Errorf("%+v", r)
	}
	wantErr(t, r, "given up while waiting for the answer: stopping")
	if r := newTestSender(t, receiver.url, nil).Send(ctx, message()); r.Verdict != Retry || !errors.Is(r.Err, stopping) {
		t.Errorf("with a context that had ended: %+v", r)
	}
}

func TestConnectionsAreKeptAndBounded(t *testing.T) {
	const concurrency, rounds = 8, 50
	receiver := raw(t, answer(status(200), true))
	s := newTestSender(t, receiver.url, func(o *Options) { o.Concurrency = concurrency })
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() {
			for range rounds {
				if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	wg.Wait()
	if n := receiver.conns.Load(); n > 2*concurrency || receiver.heard.Load() != concurrency*rounds {
		t.Errorf("%d connections for %d requests", n, receiver.heard.Load())
	}
}

func TestDeadKeptConnectionFailsOneAttemptAndSaysSo(t *testing.T) {
	first := true
	receiver := raw(t, func(c net.Conn, _ <-chan struct{}) bool {
		ok := first
		first = false
		if ok {
			return answer(status(200), true)(c, nil)
		}
		return false
	})
	s := newTestSender(t, receiver.url, nil)
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Fatalf("%+v", r)
	}
	r := s.Send(t.Context(), message())
	if r.Verdict != Retry || !r.Reused || receiver.heard.Load() != 2 {
		t.Errorf("%+v after %d requests", r, receiver.heard.Load())
	}
}

func TestAnswersLeaveNoTraceInLaterAttempts(t *testing.T) {
	seen := make(chan http.Header, 2)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		w.Header().Set("Set-Cookie", "a=b; Path=/")
		w.Header().Set("WWW-Authenticate", "Basic realm=x")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer srv.Close()
	s := newTestSender(t, srv.URL, nil)
	for range 2 {
		if r := s.Send(t.Context(), message()); r.Status != 401 {
			t.Fatalf("%+v", r)
		}
		if h := <-seen; len(h) != 7 || h.Get("Webhook-Hop") != "1" || h.Get("Content-Length") == "" {
			t.Errorf("headers %v", h)
		}
	}
}

func TestUnfitMessagesAreNotSent(t *testing.T) {
	receiver := raw(t, answer(status(200), true))
	s := newTestSender(t, receiver.url, nil)
	for _, id := range []string{"", "a.b", "a b", "a\r\nX-Evil: 1", "a\x00", "é", strings.Repeat("x", 257)} {
		r := s.Send(t.Context(), Message{ID: id})
		wantErr(t, r, "nothing was sent")
	}
	wantErr(t, s.Send(t.Context(), Message{ID: "a", ContentType: "x\r\nX-Evil: 1"}), "nothing was sent")
	if receiver.heard.Load() != 0 {
		t.Error("something was sent")
	}
	if r := s.Send(t.Context(), Message{ID: "a", ContentType: "text/plain"}); r.Verdict != Accepted {
		t.Errorf("an empty body: %+v", r)
	}
}

func TestNewRefusesAnEndpointThatCannotWork(t *testing.T) {
	good := Options{Name: "ops", URL: "https://example.com/x", Secrets: []Secret{NewSecret()}}
	if s, err := New(good); err != nil || s.timeout != DefaultTimeout || s.responseBytes != DefaultResponseBytes {
		t.Fatalf("%v, %v", s, err)
	}
	f := func(want string, change func(*Options)) {
		t.Helper()
		o := good
		change(&o)
		if s, err := New(o); err == nil || s != nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "endpoint ops: ") {
			t.Errorf("New: %v, %v, want an error that says %q", s, err, want)
		}
	}
	f("egress.allow_http", func(o *Options) { o.URL = "http://example.com" })
	f("signs with a secret, and there is none", func(o *Options) { o.Secrets = nil })
	f("secret is missing", func(o *Options) { o.Secrets = []Secret{NewSecret(), {}} })
	f("user agent", func(o *Options) { o.UserAgent = "a\nb" })
	f("egress.allow_cidrs", func(o *Options) { o.AllowCIDRs = slices.Grow(o.AllowCIDRs, 1)[:1] })
}

func TestSenderPrintsNoSecret(t *testing.T) {
	s := newTestSender(t, "http://127.0.0.1/canary?token=canary", nil)
	var log strings.Builder
	r := s.Send(t.Context(), Message{ID: "a.b"})
	slog.New(slog.NewTextHandler(&log, nil)).Info("attempt", "error", r.Err, "sender", s, "result", r)
	for _, leak := range []string{"canary", vectorSecret[6:16], fmt.Sprint(s.signing.secrets[0].bytes()[:4])[1:10]} {
		if strings.Contains(log.String(), leak) {
			t.Errorf("the log contains %q: %s", leak, &log)
		}
	}
}

// The dialer's own deadline is the context's, and may ring a moment before it.
func TestTimeoutOfTheDialerIsNoAnswerInTime(t *testing.T) {
	s := newTestSender(t, "http://127.0.0.1:1", func(o *Options) { o.Timeout = time.Second })
	_, err := (&net.Dialer{Deadline: time.Now().Add(-time.Second)}).DialContext(t.Context(), "tcp", "127.0.0.1:1")
	if err == nil {
		t.Fatal("a dialer without time connected")
	}
	err = s.explain(t.Context(), t.Context(), &progress{}, err)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 1s") {
		t.Errorf("%q", err)
	}
}
