package bridge_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/preset"
	"tocsin/bridge/store"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// BenchmarkDeliverSettled delivers a backlog that lies in the store, sixteen or 64 at
// once, each outcome on disk at the end, beside a loop of net/http that posts and
// signs the same bodies and remembers nothing. Rounds alternate within one run;
// the ratio is ours/plain in posts per second, and 1 would mean that to remember
// costs nothing.
func BenchmarkDeliverSettled(b *testing.B) {
	for _, atOnce := range []int{16, 64} {
		b.Run(strconv.Itoa(atOnce), func(b *testing.B) { benchmarkDeliverSettled(b, atOnce) })
	}
}

func benchmarkDeliverSettled(b *testing.B, atOnce int) {
	const round = 12000
	var received atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		received.Add(1)
	}))
	defer receiver.Close()
	secret := webhook.NewSecret()
	sender, err := webhook.New(webhook.Options{
		URL: receiver.URL, Secrets: []webhook.Secret{secret}, AllowHTTP: true, Concurrency: atOnce,
		AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer sender.Close()
	program, problems := rules.Compile(freezerRules())
	if program == nil {
		b.Fatal(problems)
	}

	settled := func() spent {
		dir := filepath.Join(b.TempDir(), "data")
		db, err := store.Open(b.Context(), store.Options{Path: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Commit(b.Context(), bridge.Batch{Transitions: backlog(round, "ops")}); err != nil {
			b.Fatal(err)
		}
		begun, expected := spentSince(b, spent{}), received.Load()+round
		bridged, err := bridge.New(b.Context(), bridge.Options{
			Program: program, Source: devices{}, Store: db,
			Endpoints: []bridge.Endpoint{{Name: "ops", Send: preset.Standard(sender.Send), Concurrency: atOnce}},
		})
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- bridged.Run(ctx) }()
		for owed := round; owed > 0; <-time.After(time.Millisecond) {
			if received.Load() < expected {
				continue // to ask the store costs something
			}
			backlog, err := db.Log().Backlog(ctx, "ops")
			if err != nil {
				b.Fatal(err)
			}
			owed = backlog.Count
		}
		stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil { // everything settled is on disk
			b.Fatal(err)
		}
		return spentSince(b, begun)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce, DisableCompression: true}}
	defer client.CloseIdleConnections()
	plain := func() spent {
		all := backlog(round, "ops")
		begun := spentSince(b, spent{})
		var wg sync.WaitGroup
		for w := range atOnce {
			wg.Go(func() {
				for i := w; i < round; i += atOnce {
					if err := postPlain(b.Context(), client, receiver.URL, secret, &all[i].Events[0]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return spentSince(b, begun)
	}
	plain() // connections, caches
	var ours, theirs spent
	var wall, cpu []float64
	n := 0
	for b.Loop() {
		for range 3 {
			o, p := settled(), plain()
			ours, theirs = ours.plus(o), theirs.plus(p)
			wall = append(wall, p.wall.Seconds()/o.wall.Seconds())
			cpu = append(cpu, p.cpu.Seconds()/o.cpu.Seconds())
			n += round
		}
	}
	if want := int64(2*n + round); received.Load() != want {
		b.Errorf("%d requests were received, want %d", received.Load(), want)
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	b.ReportMetric(float64(n)/ours.wall.Seconds(), "posts/s")
	b.ReportMetric(float64(n)/theirs.wall.Seconds(), "plain-posts/s")
	b.ReportMetric(float64(ours.cpu.Microseconds())/float64(n), "cpu-µs/post")
	b.ReportMetric(float64(theirs.cpu.Microseconds())/float64(n), "plain-cpu-µs/post")
	b.ReportMetric(wall[len(wall)/2], "ratio")
	b.ReportMetric(cpu[len(cpu)/2], "cpu-ratio")
	b.ReportMetric(0, "ns/op")
}

// spent is time by the clock on the wall and by the processor.
type spent struct{ wall, cpu time.Duration }

func (s spent) plus(t spent) spent { return spent{s.wall + t.wall, s.cpu + t.cpu} }

// spentSince is what was spent since an earlier answer to a zero begun.
func spentSince(b *testing.B, begun spent) spent {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return spent{time.Duration(time.Now().UnixNano()) - begun.wall, time.Duration(u.Utime.Nano()+u.Stime.Nano()) - begun.cpu}
}

// backlog is what n alarms have to tell an endpoint, one event each of about 600 bytes.
func backlog(n int, endpoint string) []rules.Transition {
	at := time.Now().UTC()
	all := make([]rules.Transition, n)
	for i := range all {
		key := "warm/freezer-" + strconv.Itoa(i)
		all[i] = rules.Transition{Events: []rules.Event{{
			ID: fmt.Sprintf("evt_%016x", uint64(i+1)*0x9e3779b97f4a7c15), Type: rules.AlarmFired, At: at,
			Alarm:   rules.EventAlarm{Key: key, Episode: "ep_" + strconv.Itoa(i), Seq: 1, State: "firing", StartedAt: at},
			Because: strings.Repeat("x", 300), Title: "too warm", Endpoints: []string{endpoint},
		}}}
	}
	return all
}

func postPlain(ctx context.Context, client *http.Client, url string, secret webhook.Secret, ev *rules.Event) error {
	data, err := ev.AppendJSON(nil)
	if err != nil {
		return err
	}
	n := preset.Notice{ID: ev.ID, Type: ev.Type, At: ev.At, Data: data}
	body := n.Envelope()
	ctx, cancel := context.WithTimeout(ctx, webhook.DefaultTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	now := time.Now()
	req.Header.Set("content-type", "application/json")
	req.Header.Set("webhook-id", ev.ID)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("webhook-signature", webhook.Sign(secret, ev.ID, now, body))
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err
}
