package webhook

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// reply is a receiver that costs next to nothing: it counts bytes, not headers.
func reply(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				buf, have := make([]byte, 64<<10), 0
				for {
					n, err := c.Read(buf[have:])
					if err != nil {
						return
					}
					have += n
					end := bytes.Index(buf[:have], []byte("\r\n\r\n"))
					if end < 0 || have < end+4+len(benchBody) {
						continue
					}
					have = 0
					if _, err := io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
						return
					}
				}
			})
		}
	})
	b.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return "http://" + l.Addr().String() + "/hook"
}

var benchBody = []byte(`{"type":"alarm.fired","data":"` + strings.Repeat("x", 570) + `"}`)

const benchConcurrency = 16

// BenchmarkSend compares signed, guarded attempts with what forty lines of
// net/http would do: the same bodies, the same signature, the same deadline,
// the same connections. Rounds alternate within one run; the ratio is ours/plain
// in posts per second, and 1 is as good.
func BenchmarkSend(b *testing.B) {
	url := reply(b)
	secret := mustSecret(b, vectorSecret)
	s := newTestSender(b, url, func(o *Options) { o.Concurrency = benchConcurrency })
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchConcurrency, DisableCompression: true}}
	b.Cleanup(client.CloseIdleConnections)

	ours := func(ctx context.Context, id string) bool {
		return s.Send(ctx, Message{ID: id, Body: benchBody}).Verdict == Accepted
	}
	plain := func(ctx context.Context, id string) bool {
		ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(benchBody))
		if err != nil {
			return false
		}
		now := time.Now()
		req.Header.Set("content-type", "application/json")
		req.Header.Set("user-agent", "plain")
		req.Header.Set("webhook-id", id)
		req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		req.Header.Set("webhook-signature", Sign(secret, id, now, benchBody))
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return err == nil && resp.StatusCode < 300
	}
	run := func(n int, post func(context.Context, string) bool) (took, cpu time.Duration) {
		var wg sync.WaitGroup
		start, before := time.Now(), cpuTime()
		for w := range benchConcurrency {
			wg.Go(func() {
				for i := w; i < n; i += benchConcurrency {
					if !post(b.Context(), "evt_"+strconv.Itoa(i)) {
						b.Error("a post was not accepted")
						return
					}
				}
			})
		}
		wg.Wait()
		return time.Since(start), cpuTime() - before
	}
	const round = 2000
	run(round, ours)
	run(round, plain)
	var tookOurs, tookPlain, cpuOurs, cpuPlain time.Duration
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		t, c := run(round, ours)
		tookOurs, cpuOurs = tookOurs+t, cpuOurs+c
		t, c = run(round, plain)
		tookPlain, cpuPlain = tookPlain+t, cpuPlain+c
		n += round
	}
	b.ReportMetric(float64(n)/tookOurs.Seconds(), "posts/s")
	b.ReportMetric(float64(n)/tookPlain.Seconds(), "plain-posts/s")
	b.ReportMetric(tookPlain.Seconds()/tookOurs.Seconds(), "ratio")
	b.ReportMetric(float64(cpuOurs.Microseconds())/float64(n), "cpu-µs/post")
	b.ReportMetric(float64(cpuPlain.Microseconds())/float64(n), "plain-cpu-µs/post")
}

// cpuTime is of the whole process, the receiver included, which is the same for both.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkSign(b *testing.B) {
	secret := mustSecret(b, vectorSecret)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		Sign(secret, "evt_0123456789abcdef0123456789abcdef", now, benchBody)
	}
}

// BenchmarkAttempt is one attempt at a time, for its allocations.
func BenchmarkAttempt(b *testing.B) {
	s := newTestSender(b, reply(b), nil)
	b.ReportAllocs()
	for b.Loop() {
		if s.Send(b.Context(), Message{ID: "evt_1", Body: benchBody}).Verdict != Accepted {
			b.Fatal("not accepted")
		}
	}
}
