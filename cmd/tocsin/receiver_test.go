package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"tocsin/bridge/webhook"
)

const testBody = `{"type":"alarm.fired","timestamp":"2026-11-06T14:12:10.400Z","data":{"id":"evt_1","title":"freezer-07 is warm"}}`

// serveReceiver serves a receiver on a free port until the test ends.
func serveReceiver(t *testing.T, o receiverOptions) (url string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- newReceiver(o).Serve(ctx, ln) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("the receiver ended with %v", err)
		}
	})
	return "http://" + ln.Addr().String() + "/hook", stop
}

// post signs body for id, now, and sends it. It follows no redirect.
func post(t *testing.T, url string, secret webhook.Secret, id, body string) (*http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("webhook-signature", webhook.Sign(secret, id, now, []byte(body)))
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err == nil {
		t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

func mustPost(t *testing.T, url string, secret webhook.Secret, id, body string) int {
	t.Helper()
	resp, err := post(t, url, secret, id, body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// collector keeps what a receiver observed; it is read after the answers came.
type collector struct{ got []reception }

func (c *collector) observe(r reception) { c.got = append(c.got, r) }

func (c *collector) last() reception { return c.got[len(c.got)-1] }

func TestReceiverAcceptsOnlyWhatVerifies(t *testing.T) {
	secret := webhook.NewSecret()
	var seen collector
	url, _ := serveReceiver(t, receiverOptions{Secrets: []webhook.Secret{webhook.NewSecret(), secret}, Observe: seen.observe})

	if status := mustPost(t, url, secret, "evt_1", testBody); status != http.StatusOK {
		t.Errorf("a good request is answered %d", status)
	}
	if got := seen.last(); !got.Verified || got.Type != "alarm.fired" || got.Title != "freezer-07 is warm" || got.ID != "evt_1" {
		t.Errorf("a good request is seen as %+v", got)
	}
	if status := mustPost(t, url, webhook.NewSecret(), "evt_2", testBody); status != http.StatusUnauthorized {
		t.Errorf("a request with another's signature is answered %d", status)
	}
	if got := seen.last(); got.Verified || !errors.Is(got.Problem, webhook.ErrSignature) {
		t.Errorf("a request with another's signature is seen as %+v", got)
	}
}

func TestReceiverKnowsRetriesFromRepeats(t *testing.T) {
	secret := webhook.NewSecret()
	var seen collector
	// With this seed the first answer is bad and the next two are good.
	url, _ := serveReceiver(t, receiverOptions{
		Secrets: []webhook.Secret{secret}, Faults: mustFaults(t, "500:0.5"), Seed: seedFor(t, 0.5, "xoo"), Observe: seen.observe,
	})
	f := func(body string, status, attempt int, repeat, changed bool) {
		t.Helper()
		if got := mustPost(t, url, secret, "evt_1", body); got != status {
			t.Errorf("answered %d, want %d", got, status)
		}
		got := seen.last()
		if got.Attempt != attempt || got.Repeat != repeat || got.Changed != changed {
			t.Errorf("attempt %d repeat %t changed %t, want %d %t %t", got.Attempt, got.Repeat, got.Changed, attempt, repeat, changed)
		}
	}
	f(testBody, 500, 1, false, false)
	if got := mustPost(t, url, webhook.NewSecret(), "evt_1", "forged"); got != 401 {
		t.Errorf("a forged request is answered %d", got)
	}
	f(testBody, 200, 2, false, false)
	f(testBody+" ", 200, 3, true, true)
}

func TestReceiverForgetsTheOldestIDFirst(t *testing.T) {
	r := newReceiver(receiverOptions{})
	see := func(id string) reception {
		got := reception{ID: id, Status: http.StatusOK}
		r.take(&got)
		return got
	}
	see("first")
	for i := range maxSeen - 1 {
		see(strconv.Itoa(i))
	}
	if !see("first").Repeat {
		t.Error("an id was forgotten before the memory was full")
	}
	see("one more")
	if len(r.seen) != maxSeen {
		t.Errorf("%d ids are remembered, and %d is the limit", len(r.seen), maxSeen)
	}
	if see("first").Repeat {
		t.Error("the oldest id is still remembered")
	}
}

func TestRecordVerifiesAgainToTheByte(t *testing.T) {
	secret := webhook.NewSecret()
	var record bytes.Buffer
	url, stop := serveReceiver(t, receiverOptions{Secrets: []webhook.Secret{secret}, Record: &record})
	bodies := []string{
		testBody,
		"{\n  \"type\" : \"a<b>&c\", \"n\": 1.0, \"10\": 1, \"9\": 2\n}\n",
		"not JSON \xff",
	}
	for i, body := range bodies {
		if status := mustPost(t, url, secret, "evt_"+strconv.Itoa(i), body); status != http.StatusOK {
			t.Fatalf("answered %d", status)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	hook, err := standard.NewWebhook(secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(record.Bytes(), []byte("\n")), []byte("\n"))
	if len(lines) != len(bodies) {
		t.Fatalf("%d lines for %d requests", len(lines), len(bodies))
	}
	for i, text := range lines {
		var line recordLine
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if string(line.Raw) != bodies[i] || !line.Verified || line.Status != http.StatusOK {
			t.Errorf("line %d is %s", i+1, text)
		}
		header := http.Header{}
		for name, value := range line.Headers {
			header.Set(name, value)
		}
		if err := hook.Verify(line.Raw, header); err != nil {
			t.Errorf("line %d does not verify with another library: %v", i+1, err)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// What is not on record is not accepted: the record is what tests judge by.
func TestRequestIsNotAcceptedWithoutItsRecord(t *testing.T) {
	secret := webhook.NewSecret()
	url, _ := serveReceiver(t, receiverOptions{Secrets: []webhook.Secret{secret}, Record: fullDisk{}})
	if status := mustPost(t, url, secret, "evt_1", testBody); status != http.StatusInternalServerError {
		t.Errorf("answered %d", status)
	}
}

func TestReceiverTakesOnlyPostsOfABoundedSize(t *testing.T) {
	url, _ := serveReceiver(t, receiverOptions{})
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET is answered %d", resp.StatusCode)
	}
	resp, err = http.Post(url, "application/json", strings.NewReader(strings.Repeat(" ", maxReceived+1)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body over the limit is answered %d", resp.StatusCode)
	}
}

func TestReceiverAnswersBadlyAsTold(t *testing.T) {
	secret := webhook.NewSecret()
	request := func(t *testing.T, faults string) (*http.Response, error) {
		url, _ := serveReceiver(t, receiverOptions{Secrets: []webhook.Secret{secret}, Faults: mustFaults(t, faults)})
		return post(t, url, secret, "evt_1", testBody)
	}
	status := func(faults string, want int, header, value string) {
		t.Run(faults, func(t *testing.T) {
			resp, err := request(t, faults)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != want || resp.Header.Get(header) != value {
				t.Errorf("answered %d, %s: %q", resp.StatusCode, header, resp.Header.Get(header))
			}
		})
	}
	status("410:1", 410, "", "")
	status("429/2s:1", 429, "Retry-After", "2")
	status("302:1", 302, "Location", "/followed")
	status("slow/1ms:1", 200, "", "")

	for _, faults := range []string{"reset:1", "close:1"} {
		t.Run(faults, func(t *testing.T) {
			if resp, err := request(t, faults); err == nil {
				t.Errorf("answered %d, and no answer was asked for", resp.StatusCode)
			}
		})
	}
	t.Run("big:1", func(t *testing.T) {
		resp, err := request(t, "big:1")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.CopyN(io.Discard, resp.Body, 8<<20); err != nil {
			t.Errorf("a body without end ended after %d bytes: %v", n, err)
		}
	})
	t.Run("drip:1", func(t *testing.T) {
		resp, err := request(t, "drip:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 2)); err != nil {
			t.Errorf("the first bytes did not come: %v", err)
		}
	})
}

// A receiver that hangs must still stop.
func TestHangingAnswersEndWhenTheReceiverStops(t *testing.T) {
	secret := webhook.NewSecret()
	arrived := make(chan struct{})
	url, stop := serveReceiver(t, receiverOptions{
		Secrets: []webhook.Secret{secret}, Faults: mustFaults(t, "hang:1"),
		Observe: func(reception) { close(arrived) },
	})
	answered := make(chan error, 1)
	go func() {
		_, err := post(t, url, secret, "evt_1", testBody)
		answered <- err
	}()
	<-arrived
	select {
	case err := <-answered:
		t.Fatalf("answered (%v), and it should hang", err)
	default:
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("a hanging request was answered after all")
	}
}

func mustFaults(t *testing.T, s string) []fault {
	t.Helper()
	faults, err := parseFaults(s)
	if err != nil {
		t.Fatal(err)
	}
	return faults
}

// seedFor finds a seed that draws faults of probability p in this pattern: x is
// a fault, o is none.
func seedFor(t *testing.T, p float64, pattern string) uint64 {
	t.Helper()
	for seed := range uint64(1000) {
		r := newReceiver(receiverOptions{Seed: seed})
		got := ""
		for range pattern {
			if r.draw.Float64() < p {
				got += "x"
			} else {
				got += "o"
			}
		}
		if got == pattern {
			return seed
		}
	}
	t.Fatal("no seed below 1000 draws " + pattern)
	return 0
}

// The signature is of the bytes that came; people read what they stand for.
func TestPackedBodiesAreVerifiedAsTheyCameAndShownUnpacked(t *testing.T) {
	secret := webhook.NewSecret()
	var seen collector
	url, _ := serveReceiver(t, receiverOptions{Secrets: []webhook.Secret{secret}, Observe: seen.observe})
	f := func(packed []byte, title, text string) {
		t.Helper()
		now := time.Now()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("content-encoding", "gzip")
		req.Header.Set("webhook-id", "evt_1")
		req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		req.Header.Set("webhook-signature", webhook.Sign(secret, "evt_1", now, packed))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := seen.last(); !got.Verified || got.Title != title || string(got.Text) != text || !bytes.Equal(got.Body, packed) {
			t.Errorf("seen as %+v", got)
		}
	}
	pack := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(text)); err != nil || z.Close() != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	f(pack(testBody), "freezer-07 is warm", testBody)
	f([]byte("no gzip"), "", "no gzip")
	large := pack(strings.Repeat(" ", maxReceived+1))
	f(large, "", string(large))
}
