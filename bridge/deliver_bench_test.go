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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/preset"
	"tocsin/bridge/store"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// BenchmarkDeliverSettled delivers a backlog that lies in the store, sixteen at
// once, each outcome on disk at the end, beside a loop of net/http that posts and
// signs the same bodies and remembers nothing. Rounds alternate within one run;
// the ratio is ours/plain in posts per second, and 1 would mean that to remember
// costs nothing.
func BenchmarkDeliverSettled(b *testing.B) {
	const round, atOnce = 4000, 16
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

	settled := func() time.Duration {
		dir := filepath.Join(b.TempDir(), "data")
		db, err := store.Open(b.Context(), store.Options{Path: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Commit(b.Context(), bridge.Batch{Transitions: backlog(round, "ops")}); err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
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
		for {
			owed, err := db.Log().Backlog(ctx, "ops")
			if err != nil {
				b.Fatal(err)
			}
			if owed.Count == 0 {
				break
			}
			<-time.After(time.Millisecond)
		}
		stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil { // everything settled is on disk
			b.Fatal(err)
		}
		return time.Since(begun)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce, DisableCompression: true}}
	defer client.CloseIdleConnections()
	plain := func() time.Duration {
		all := backlog(round, "ops")
		begun := time.Now()
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
		return time.Since(begun)
	}
	plain() // connections, caches
	var ours, theirs time.Duration
	n := 0
	for b.Loop() {
		ours += settled()
		theirs += plain()
		n += round
	}
	if want := int64(2*n + round); received.Load() != want {
		b.Errorf("%d requests were received, want %d", received.Load(), want)
	}
	b.ReportMetric(float64(n)/ours.Seconds(), "posts/s")
	b.ReportMetric(float64(n)/theirs.Seconds(), "plain-posts/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
	b.ReportMetric(0, "ns/op")
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
