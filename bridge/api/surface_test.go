package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/decode"
	"tocsin/bridge/preset"
	"tocsin/bridge/store"
	"tocsin/bridge/webhook"
	"tocsin/broker"
	"tocsin/rules"
)

// lively runs a bridge with a source, a rule and an endpoint until the test ends.
func lively(t *testing.T, o Options) (*bridge.Bridge, http.Handler) {
	t.Helper()
	limit := rules.Quantity{Value: -15}
	program, problems := rules.Compile(&rules.File{Schema: 1, Rule: map[string]*rules.RuleDef{
		"warm": {Source: "rules.toml:1", Metric: "temperature", Condition: rules.Condition{Above: &limit}},
	}})
	if program == nil {
		t.Fatal(problems)
	}
	source, err := decode.New(decode.Options{Name: "plant", Topic: "plant/{device}"})
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	ops := bridge.Endpoint{
		Name: "ops", Send: preset.Standard(func(context.Context, webhook.Message) webhook.Result {
			return webhook.Result{Verdict: webhook.Retry, Status: 500, Body: []byte("no\x00")}
		}),
		Requests: func(n preset.Notice) []bridge.Request {
			return []bridge.Request{{Name: "event", Method: "POST", URL: "https://ops.example.com/...", Body: string(n.Envelope())}}
		},
	}
	b, err := bridge.New(t.Context(), bridge.Options{Program: program, Decoders: []*decode.Decoder{source}, Endpoints: []bridge.Endpoint{ops}, Source: quiet{}, Store: db})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Bridge, o.Rates = b, unlimited
	return b, newHandler(&o, true)
}

func answered[T any](t *testing.T, h http.Handler, method, path, body string) (v T) {
	t.Helper()
	w := ask(t, h, "", method, prefix+path, body)
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return v
}

func TestUnusedInputIsListedWithItsPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h := lively(t, Options{})
		for _, m := range []broker.Message{
			{Topic: "plant/a", Payload: []byte(`<img src=x onerror=alert(1)> {`)},
			{Topic: "hall/a", Payload: []byte{0, 1, 0xfe}},
			{Topic: "plant/", Payload: []byte(strings.Repeat("é", 200))},
		} {
			m.Received = time.Now()
			b.Handle(m)
			time.Sleep(time.Second)
		}
		if got := answered[struct{ Sources []bridge.SourceInfo }](t, h, "GET", "sources", "").Sources; len(got) != 1 || got[0] != (bridge.SourceInfo{Name: "plant", Topic: "plant/{device}", Decoder: "json"}) {
			t.Errorf("%+v", got)
		}
		list := answered[struct {
			Since   time.Time
			Rejects []RejectView
		}](t, h, "GET", "rejects", "")
		if len(list.Rejects) != 3 || list.Since.IsZero() {
			t.Fatalf("%+v", list)
		}
		torn, binary, text := list.Rejects[0], list.Rejects[1], list.Rejects[2]
		if torn.Payload != strings.Repeat("é", 128) || torn.Bytes != 400 {
			t.Errorf("%+v", torn)
		}
		if binary.PayloadHex != "0001fe" || binary.Payload != "" || binary.Reason != "unmatched" || binary.Source != "" {
			t.Errorf("%+v", binary)
		}
		if !strings.HasPrefix(text.Payload, "<img") || text.Source != "plant" || text.Reason != "json" || text.Count != 1 || text.LastHour != 1 || text.Detail == "" {
			t.Errorf("%+v", text)
		}
	})
}

func TestMessagesAreTriedOverTheAPI(t *testing.T) {
	_, h := lively(t, Options{Compile: func(name, text string) (*rules.Program, []Problem) {
		if text != "good" {
			return nil, []Problem{{File: name, Line: 3, Column: 1, Fact: "wrong", Remedy: "right it"}}
		}
		program, _ := rules.Compile(&rules.File{Schema: 1})
		return program, []Problem{{Fact: "odd", Warning: true}}
	}})
	type tried struct {
		Steps    []TriedStep
		Pending  []string
		Warnings []Problem
	}
	one := answered[tried](t, h, "POST", "try", `{"topic":"plant/a","payload":"{\"temperature\":-10,\"door\":\"open\"}"}`)
	s := one.Steps[0]
	if len(one.Steps) != 1 || s.Sources[0] != "plant" || len(s.Readings) != 2 || s.Readings[0].Device != "a" || len(s.Events) != 1 || s.Events[0].Endpoints[0] != "ops" || s.Events[0].Type != rules.AlarmFired ||
		len(s.Rules) != 1 || s.Rules[0].State != "firing" || s.Rules[0].Rule.Source != "rules.toml:1" {
		t.Errorf("%+v", one)
	}
	many := answered[tried](t, h, "POST", "try", `{"messages":[{"topic":"plant/a","payload":"{\"temperature\":-10}"},{"topic":"plant/a","payload":"{\"temperature\":-20}"},{"topic":"x","payload":"1","after":"5m"}]}`)
	if len(many.Steps) != 3 || many.Steps[0].After != "0s" || many.Steps[1].After != "1s" || many.Steps[1].Events[0].Type != rules.AlarmResolved || many.Steps[2].After != "5m1s" || many.Steps[2].Unused[0].Reason != "unmatched" {
		t.Errorf("%+v", many)
	}
	other := answered[tried](t, h, "POST", "try", `{"topic":"plant/a","payload":"{\"temperature\":-10}","rules":"good"}`)
	if len(other.Steps[0].Events) != 0 || len(other.Warnings) != 1 {
		t.Errorf("%+v", other)
	}
	f := func(body string, status int, says string) {
		t.Helper()
		if w := ask(t, h, "", "POST", prefix+"try", body); w.Code != status || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%.80s: %d %s, want %d with %q", body, w.Code, w.Body, status, says)
		}
	}
	f(`{}`, 400, "from 1 to 200")
	f(`{"messages":[`+strings.TrimSuffix(strings.Repeat(`{"topic":"a","payload":""},`, 201), ",")+`]}`, 422, "messages")
	f(`{"topic":"a","payload":"`+strings.Repeat("x", maxBody)+`"}`, 413, "too large")
	f(`{"topic":"a","wait":"soon"}`, 400, "wait: ")
	f(`{"topic":"a","wait":"9000h"}`, 400, "more than a year")
	f(`{"messages":[{"topic":"a","payload":"","after":"-1s"}]}`, 400, "messages[0].after")
	f(`{"topic":"a","rules":"bad"}`, 422, `"line":3`)
	f(`{"topic":"a","rules":"bad"}`, 422, "the rules have 1 error")
	f(`{"topic":"a","config":"/etc/passwd"}`, 422, "unexpected property")
}

// A delivery shows what was sent beside what was answered.
func TestDeliveryShowsItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h := lively(t, Options{})
		b.Handle(broker.Message{Topic: "plant/a", Payload: []byte(`{"temperature":3}`), Received: time.Now()})
		time.Sleep(time.Second)
		list := answered[struct{ Deliveries []DeliveryView }](t, h, "GET", "deliveries", "")
		if len(list.Deliveries) != 1 {
			t.Fatalf("%+v", list)
		}
		d := answered[DeliveryDetail](t, h, "GET", "deliveries/"+list.Deliveries[0].ID, "")
		if len(d.Attempts) == 0 || d.Attempts[0].Status != 500 || len(d.Requests) != 1 || d.Requests[0].Method != "POST" || !strings.Contains(d.Requests[0].Body, `"type":"alarm.fired"`) {
			t.Errorf("%+v", d.Attempts)
		}
	})
}

// What costs a lot is done one at a time, and who waits too long is told so.
func TestCostlyAnswersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := lively(t, Options{})
		done, err := h.(*handler).control.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{"POST try", "GET series?device=a"} {
			method, path, _ := strings.Cut(call, " ")
			begun := time.Now()
			if w := ask(t, h, "", method, prefix+path, map[string]string{"POST": `{"topic":"a"}`}[method]); w.Code != 503 || time.Since(begun) != 5*time.Second {
				t.Errorf("%s: %d %s after %s", call, w.Code, w.Body, time.Since(begun))
			}
		}
		done()
		fmt.Fprint(t.Output(), answered[any](t, h, "POST", "try", `{"topic":"a"}`))
	})
}
