package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/BurntSushi/toml"

	"tocsin/bridge"
	"tocsin/bridge/decode"
	"tocsin/bridge/history"
	"tocsin/bridge/preset"
	"tocsin/bridge/store"
	"tocsin/bridge/webhook"
	"tocsin/broker"
	"tocsin/rules"
)

const liveRules = `
schema = 1
[defaults]
renotify = ["7m"]
[rule.hot]
metric    = "temperature"
above     = 5
clear     = 3
for       = "1m"
clear_for = "30s"
[rule.hot.level.critical]
above = 9
[rule.mean]
metric = "temperature"
agg    = "avg"
over   = "5m"
above  = 4
[rule.rising]
metric     = "temperature"
rate_above = "0.5 /min"
over       = "4m"
[rule.silent]
silent = "3m"
[rule.often]
metric  = "humidity"
above   = 80
repeats = { count = 3, within = "10m" }
latch   = true
[rule.many]
devices = "d*"
when    = "temperature > 6 and humidity > 60"
`

// A quietSource does nothing by itself: messages are handed to the bridge.
type quietSource struct{}

func (quietSource) Run(ctx context.Context, _ broker.Handler) error {
	<-ctx.Done()
	return nil
}

// What receivers are told live, across a restart, is what an engine tells that is
// given the history that the bridge wrote: the same events, to the byte.
func TestTheHistoryOfABridgeTellsWhatItsReceiversWereTold(t *testing.T) {
	seed := uint64(18)
	_, _ = fmt.Sscan(os.Getenv("TOCSIN_SEED"), &seed) // another one, where that is set
	file := new(rules.File)
	if _, err := toml.Decode(liveRules, file); err != nil {
		t.Fatal(err)
	}
	program, problems := rules.Compile(file)
	if program == nil {
		t.Fatal(problems)
	}
	dir := t.TempDir()
	live := map[string]string{}
	var ended time.Time
	var mu sync.Mutex
	send := func(_ context.Context, m webhook.Message) webhook.Result {
		var body struct{ Data json.RawMessage }
		if err := json.Unmarshal(m.Body, &body); err != nil {
			return webhook.Result{Verdict: webhook.Retry, Err: err}
		}
		mu.Lock()
		defer mu.Unlock()
		live[m.ID] = string(body.Data)
		return webhook.Result{Verdict: webhook.Accepted, Status: 200}
	}
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 1))
		for range 2 {
			liveRun(t, dir, program, send, r)
			ended = time.Now()
			time.Sleep(90 * time.Second) // it is down
		}
	})
	told := replayed(t, filepath.Join(dir, "history"), program, ended)
	if len(live) < 100 {
		t.Errorf("%d events are too few to compare", len(live))
	}
	missed := 0
	for _, id := range slices.Sorted(maps.Keys(told)) {
		if told[id] != live[id] {
			if missed++; missed <= 3 {
				t.Errorf("seed %d, %s:\nhistory %s\nlive    %s", seed, id, apart(told[id], live[id]), apart(live[id], told[id]))
			}
		}
		delete(live, id)
	}
	missed = 0
	for id, body := range live {
		if missed++; missed <= 3 {
			t.Errorf("seed %d, %s was told live alone: %.400s", seed, id, body)
		}
	}
	t.Logf("seed %d: %d events", seed, len(told))
}

// apart is a text in short, and what follows where it goes apart from another.
func apart(text, other string) string {
	at := 0
	for at < min(len(text), len(other)) && text[at] == other[at] {
		at++
	}
	return text[:min(len(text), 190)] + " … " + text[max(0, min(len(text), at)-60):min(len(text), at+120)]
}

// liveRun is a bridge from its start to its stop, with messages of half an hour.
func liveRun(t *testing.T, dir string, program *rules.Program, send func(context.Context, webhook.Message) webhook.Result, r *rand.Rand) {
	t.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{Path: filepath.Join(dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	past, err := history.Open(history.Options{Path: filepath.Join(dir, "history"), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	d, err := decode.New(decode.Options{Name: "plant", Topic: "plant/{device}"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bridge.New(ctx, bridge.Options{
		Program: program, Decoders: []*decode.Decoder{d}, Source: quietSource{}, Store: db, History: past, LastAlive: db.LastAlive(),
		Endpoints: []bridge.Endpoint{{Name: "ops", Send: preset.Standard(send)}}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	done, begun := make(chan error, 1), time.Now()
	go func() { done <- b.Run(running) }()
	synctest.Wait()
	temperature := [8]float64{}
	for range 1500 {
		time.Sleep(time.Duration(r.IntN(2400)+1) * time.Millisecond)
		i := r.IntN(len(temperature))
		if i == 3 && r.IntN(4) > 0 {
			continue // it is silent at times
		}
		temperature[i] += r.NormFloat64() + (3-temperature[i])*0.05
		payload := fmt.Appendf(nil, `{"temperature":%.1f,"humidity":%d}`, temperature[i], 40+r.IntN(50))
		if r.IntN(30) == 0 {
			payload = []byte(`{"temperature":"NaN","humidity":null}`)
		}
		receipt := b.Handle(broker.Message{Topic: fmt.Sprint("plant/d", i), Payload: payload, QoS: 1, Received: time.Now()})
		if receipt != nil {
			if err := receipt(ctx); err != nil {
				t.Errorf("refused: %v", err)
			}
		}
		if r.IntN(60) == 0 {
			c := rules.Command{Verb: rules.Ack, Key: fmt.Sprintf("often/d%d", i), By: "anna"}
			_ = b.Command(ctx, c) // most find nothing to do
		}
	}
	time.Sleep(10*time.Second - time.Since(begun)%time.Second) // to a tick: what is due after it is not told any more
	synctest.Wait()
	stop()
	if err := <-done; err != nil {
		t.Errorf("the bridge ended: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := past.Close(); err != nil {
		t.Error(err)
	}
}

// replayed is what an engine tells of the history in a folder, by id.
func replayed(t *testing.T, path string, program *rules.Program, ended time.Time) map[string]string {
	t.Helper()
	past, err := history.Open(history.Options{Path: path, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := past.Close(); err != nil {
			t.Error(err)
		}
	}()
	engine := rules.NewEngine(program, rules.Options{Route: func(ev *rules.Event) []string {
		if ev.Alarm.Key == "" {
			return nil
		}
		return []string{"ops"}
	}})
	told := map[string]string{}
	var out rules.Output
	step := func(in rules.Input) {
		out.Reset()
		engine.Step(in, &out)
		for _, tr := range out.Transitions {
			for i := range tr.Events {
				body, err := tr.Events[i].AppendJSON(nil)
				if err != nil {
					t.Fatal(err)
				}
				told[tr.Events[i].ID] = string(bytes.TrimSpace(body))
			}
		}
	}
	for in, err := range past.Replay(context.Background(), time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		step(in)
	}
	step(rules.Input{Now: ended}) // history has no ticks
	return told
}
