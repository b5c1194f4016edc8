package bridge_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge"
	"tocsin/bridge/decode"
	"tocsin/bridge/history"
	"tocsin/bridge/preset"
	"tocsin/bridge/store"
	"tocsin/bridge/webhook"
	"tocsin/broker"
	"tocsin/rules"
)

// These tests run a whole bridge in a synctest bubble: the real engine, the real
// store on a temporary folder, messages handed straight to the handler, and
// receivers that are functions. Time is the bubble's.

// devices are a source that does nothing by itself: tests call Handle.
type devices struct{}

func (devices) Run(ctx context.Context, _ broker.Handler) error {
	<-ctx.Done()
	return nil
}

// A receiver answers attempts and keeps what it accepted.
type receiver struct {
	mu       sync.Mutex
	answer   func(attempt int, m webhook.Message) webhook.Result // nil: accept
	attempts []webhook.Message
	accepted []received
	free     chan struct{} // closed by let
}

type received struct {
	ID, Type, Alarm string
	Seq             int
	Body            string
	At              time.Time
}

func (r *receiver) send(ctx context.Context, m webhook.Message) webhook.Result {
	r.mu.Lock()
	r.attempts = append(r.attempts, m)
	n, answer := len(r.attempts), r.answer
	r.mu.Unlock()
	result := webhook.Result{Verdict: webhook.Accepted, Status: 200}
	if answer != nil {
		result = answer(n, m)
	}
	if result.Status == hang {
		select {
		case <-ctx.Done():
			return webhook.Result{Verdict: webhook.Retry, Err: ctx.Err()}
		case <-r.freed():
			result = webhook.Result{Verdict: webhook.Accepted, Status: 200}
		}
	}
	if result.Verdict == webhook.Accepted && !bytes.HasPrefix(m.Body, []byte(`{"type":"batch"`)) {
		var body struct {
			Type string
			Data struct {
				Alarm struct {
					Key string
					Seq int
				}
			}
		}
		if err := json.Unmarshal(m.Body, &body); err != nil {
			return webhook.Result{Verdict: webhook.Retry, Err: err}
		}
		r.mu.Lock()
		r.accepted = append(r.accepted, received{m.ID, body.Type, body.Data.Alarm.Key, body.Data.Alarm.Seq, string(m.Body), time.Now()})
		r.mu.Unlock()
	}
	return result
}

// hang as a status makes a receiver not answer until it is let.
const hang = -1

func (r *receiver) freed() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free == nil {
		r.free = make(chan struct{})
	}
	return r.free
}

// let ends every hang.
func (r *receiver) let() { close(r.freed()) }

func failing(status int) webhook.Result {
	return webhook.Result{Verdict: webhook.Retry, Status: status, Err: fmt.Errorf("answered %d", status)}
}

func (r *receiver) list() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.accepted)
}

func (r *receiver) tried() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.attempts)
}

func (r *receiver) types() []string {
	var types []string
	for _, a := range r.list() {
		types = append(types, a.Type)
	}
	return types
}

// A world is a running bridge and everything around it.
type world struct {
	t         *testing.T
	dir       string
	endpoints map[string]*receiver
	targets   map[string]string
	retry     bridge.RetryPolicy
	topic     string
	presence  string // topic of a second source, that says who is there
	match     map[string]bridge.Match
	rules     *rules.File
	wrap      func(bridge.Store) bridge.Store
	registry  *prometheus.Registry
	revision  int // of all endpoints
	connected func(source string) bool
	loose     []string // sources whose devices are not lost with a connection
	remembers bool     // it keeps a history
	sync      bool     // endpoints are told of all alarms after a store was lost
	limit     int      // of undeclared devices
	treat     func(*bridge.Endpoint)
	hostRate  float64
	level     slog.Level // of the log that is kept

	*bridge.Bridge
	db   *store.DB
	past *history.Log
	stop context.CancelFunc
	done chan error

	running bool
	log     testLog
}

func newWorld(t *testing.T, endpoints ...string) *world {
	w := &world{t: t, dir: t.TempDir(), endpoints: map[string]*receiver{}, targets: map[string]string{}, rules: freezerRules(), level: slog.LevelWarn, log: testLog{t: t}}
	for _, name := range endpoints {
		w.endpoints[name] = new(receiver)
	}
	return w
}

// freezerRules fire above -15 at once and clear below -17; the slow rule waits
// ten minutes for another metric.
func freezerRules() *rules.File {
	quantity := func(v float64) *rules.Quantity { return &rules.Quantity{Value: v} }
	for10m := rules.Duration(10 * time.Minute)
	return &rules.File{
		Schema: 1,
		Rule: map[string]*rules.RuleDef{
			"warm": {
				Source: "rules.toml:1", Metric: "temperature", Severity: rules.Warning,
				Condition: rules.Condition{Above: quantity(-15), Clear: &rules.Clear{Range: rules.Range{Low: *quantity(-17)}, Limits: true}},
			},
			"slow": {
				Source: "rules.toml:9", Metric: "humidity", Severity: rules.Major,
				Condition: rules.Condition{Above: quantity(80)}, Timing: rules.Timing{For: &for10m},
			},
		},
	}
}

func (w *world) start() {
	w.t.Helper()
	w.create()
	w.launch()
}

// create makes a bridge that does not run yet.
func (w *world) create() {
	w.t.Helper()
	ctx := context.Background()
	decoder, err := decode.New(decode.Options{Name: "plant", Topic: cmp.Or(w.topic, "plant/{device}")})
	if err != nil {
		w.t.Fatal(err)
	}
	decoders := []*decode.Decoder{decoder}
	if w.presence != "" {
		d, err := decode.New(decode.Options{Name: "lwt", Topic: w.presence, Decoder: "presence"})
		if err != nil {
			w.t.Fatal(err)
		}
		decoders = append(decoders, d)
	}
	if w.db, err = store.Open(ctx, store.Options{Path: filepath.Join(w.dir, "data")}); err != nil {
		w.t.Fatal(err)
	}
	var s bridge.Store = w.db
	if w.wrap != nil {
		s = w.wrap(s)
	}
	o := bridge.Options{
		Program: w.compile(), Decoders: decoders, Source: devices{}, Store: s,
		Endpoints: w.destinations(), Connected: w.connected, MaxDevices: w.limit, HostRate: w.hostRate, Unattended: w.loose,
		LastAlive: w.db.LastAlive(), Born: w.db.Born(), Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: w.level})),
	}
	if w.registry != nil {
		o.Registerer = w.registry
	}
	if w.remembers {
		if w.past, err = history.Open(history.Options{Path: filepath.Join(w.dir, "history"), MinFree: -1}); err != nil {
			w.t.Fatal(err)
		}
		o.History = w.past
	}
	if w.Bridge, err = bridge.New(ctx, o); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) launch() {
	running, stop := context.WithCancel(context.Background())
	w.stop, w.done, w.running = stop, make(chan error, 1), true
	go func() { w.done <- w.Run(running) }()
	// A test that failed leaves the bridge running, and a bubble may not.
	w.t.Cleanup(func() {
		if w.running {
			_ = w.halt()
		}
	})
	synctest.Wait()
}

func (w *world) compile() *rules.Program {
	w.t.Helper()
	program, problems := rules.Compile(w.rules)
	if program == nil {
		w.t.Fatalf("rules do not compile: %v", problems)
	}
	return program
}

func (w *world) destinations() []bridge.Endpoint {
	var all []bridge.Endpoint
	for name, r := range w.endpoints {
		e := bridge.Endpoint{Name: name, Target: w.targets[name], Send: preset.Standard(r.send), Retry: w.retry, Match: w.match[name], Sync: w.sync, Revision: w.revision}
		if w.treat != nil {
			w.treat(&e)
		}
		all = append(all, e)
	}
	return all
}

// fillable gives the world a store that is full while the switch is on.
func (w *world) fillable() *atomic.Bool {
	full := new(atomic.Bool)
	w.wrap = func(s bridge.Store) bridge.Store {
		return faulty{Store: s, commit: func(bridge.Batch) error {
			if full.Load() {
				return fmt.Errorf("writing: %w", bridge.ErrFull)
			}
			return nil
		}}
	}
	return full
}

// A testLog keeps what the bridge logs and shows them with the test's.
type testLog struct {
	t     *testing.T // nil: nobody looks at them
	mu    sync.Mutex
	lines []string
}

func (l *testLog) Write(b []byte) (int, error) {
	if l.t != nil {
		l.t.Logf("%s", b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	return len(b), nil
}

// logged returns the lines that hold text.
func (w *world) logged(text string) []string {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.log.lines), func(s string) bool { return !strings.Contains(s, text) })
}

func (w *world) halt() error {
	w.running = false
	w.stop()
	err := <-w.done
	if e := w.db.Close(); err == nil {
		err = e
	}
	if w.past != nil {
		if e := w.past.Close(); err == nil {
			err = e
		}
		w.past = nil
	}
	return err
}

// A crash begins when the folder is as it will be found, and ends when attempts that
// were under way have ended.
type crash struct{ from, to time.Time }

// forgotten reports whether what was accepted at a time may be known to nobody.
func forgotten(crashes []crash, at time.Time) bool {
	const unwritten = time.Second // outcomes are on disk sooner
	return slices.ContainsFunc(crashes, func(c crash) bool { return !at.Before(c.from.Add(-unwritten)) && !at.After(c.to) })
}

// crash stops the bridge and leaves its folder as it was before: nothing that is
// done to stop well has been done.
func (w *world) crash() (c crash) {
	w.t.Helper()
	c.from = time.Now()
	aside := filepath.Join(w.t.TempDir(), "aside")
	if err := os.CopyFS(aside, os.DirFS(w.dir)); err != nil {
		w.t.Fatal(err)
	}
	const alive = "data/lock" // its time says when the process lived
	if info, err := os.Stat(filepath.Join(w.dir, alive)); err == nil {
		if err := os.Chtimes(filepath.Join(aside, alive), info.ModTime(), info.ModTime()); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.halt(); err != nil {
		w.t.Fatal(err)
	}
	w.dir, c.to = aside, time.Now()
	return c
}

// send hands a reading in and waits for its receipt.
func (w *world) send(device, metric string, value float64) error {
	receipt := w.Handle(broker.Message{
		Topic: "plant/" + device, Payload: fmt.Appendf(nil, `{%q:%v}`, metric, value),
		QoS: 1, Received: time.Now(),
	})
	if receipt == nil {
		return nil
	}
	return receipt(context.Background())
}

func (w *world) mustSend(device, metric string, value float64) {
	w.t.Helper()
	time.Sleep(time.Millisecond) // so that no two readings share a time
	if err := w.send(device, metric, value); err != nil {
		w.t.Fatalf("%s %s=%v was refused: %v", device, metric, value, err)
	}
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

var errBoom = errors.New("boom")
