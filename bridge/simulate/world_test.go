package simulate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/decode"
	"tocsin/bridge/history"
	"tocsin/bridge/preset"
	"tocsin/bridge/store"
	"tocsin/bridge/webhook"
	"tocsin/broker"
)

// A world is a bridge and everything around it. One goroutine, the driver, makes
// the steps of a plan happen; the devices have one each.
type world struct {
	t         *testing.T
	plan      plan
	devices   []*device
	receivers map[string]*receiver
	over      chan struct{}
	began     time.Time
	trace     []string
	kills     []time.Time // what was accepted until then nobody may know of
	acked     map[string]string
	rules     string // of the plan, or changed
	moved     map[string]int
	n         int // of the step
	talking   sync.WaitGroup

	mu        sync.Mutex // guards what follows
	life      *life      // nil between two processes
	dir       string     // what a process finds
	linked    bool
	full      bool
	fullSince time.Time
	slow      bool
	deaf      []span          // when nobody listened, the last without an end while that lasts
	down      []span          // when there was no process
	stuck     time.Time       // since when nothing could be stored; zero: it can be
	inHand    map[string]bool // what the last process was about to store when it vanished: alarm and type
	complains []string
}

// A span of time; without an end it goes on.
type span struct{ from, to time.Time }

// A life is one process, from its start until it has ended or vanished.
type life struct {
	*bridge.Bridge
	w      *world
	db     *store.DB
	past   *history.Log
	door   *door
	source broker.Handler // of somebody else's broker; guarded by the world
	doomed string         // kill-before or kill-after the commits that are left; guarded by the world
	left   int
	stuck  bool // a commit was refused, and none was accepted since; guarded by the world

	vanished atomic.Bool
	dead     chan struct{} // closed when it vanishes
	since    time.Time
	stop     context.CancelFunc
	done     chan error
}

func newWorld(t *testing.T, p plan) *world {
	w := &world{
		t: t, plan: p, receivers: map[string]*receiver{}, over: make(chan struct{}), began: time.Now(),
		acked: map[string]string{}, rules: p.rules, moved: map[string]int{}, inHand: map[string]bool{}, dir: t.TempDir(), linked: true,
	}
	for _, name := range []string{"log", "ops", "crm", "sms"} {
		secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
		if err != nil {
			t.Fatal(err)
		}
		w.receivers[name] = &receiver{w: w, name: name, secret: secret, answer: "accept", takes: answerTime + time.Duration(len(w.receivers))*time.Millisecond/2, bodies: map[string]string{}}
	}
	for i := range p.devices {
		w.devices = append(w.devices, &device{w: w, id: fmt.Sprint("d", i), apart: time.Duration(i+1) * time.Millisecond, wake: make(chan struct{}, 1)})
	}
	return w
}

// wrong takes note of a promise that was broken.
func (w *world) wrong(promise, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.complains) < 12 {
		w.complains = append(w.complains, fmt.Sprintf("%s: step %d, %v: %s", promise, w.n, time.Since(w.began), fmt.Sprintf(format, args...)))
	}
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%v "+format, append([]any{time.Since(w.began)}, args...)...))
}

// story is all that was noted, in an order of its own: what happens at one moment has
// none.
func (w *world) story() []string {
	slices.Sort(w.trace)
	return w.trace
}

// sum is a short name for a story.
func sum(story []string) string {
	h := sha256.Sum256([]byte(strings.Join(story, "\n")))
	return hex.EncodeToString(h[:8])
}

// answering is the process that devices can reach.
func (w *world) answering() *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.linked || w.life == nil || w.life.gone() || time.Since(w.life.since) < time.Second {
		return nil
	}
	return w.life
}

// listening brings deaf and down up to date. The caller holds mu.
func (w *world) listening() {
	up := w.life != nil && !w.life.gone()
	w.down = follow(w.down, up)
	w.deaf = follow(w.deaf, up && (w.linked || !w.plan.external) && !w.life.stuck)
}

// follow ends the last span, or begins one.
func follow(list []span, over bool) []span {
	n := len(list)
	on := n > 0 && list[n-1].to.IsZero()
	switch {
	case over && on:
		list[n-1].to = time.Now()
	case !over && !on:
		list = append(list, span{from: time.Now()})
	}
	return list
}

func (l *life) gone() bool { return l.vanished.Load() }

func (l *life) handler() broker.Handler {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.source
}

// Run implements [bridge.Source] for somebody else's broker.
func (l *life) Run(ctx context.Context, handle broker.Handler) error {
	l.w.mu.Lock()
	l.source = handle
	l.w.mu.Unlock()
	<-ctx.Done()
	l.w.mu.Lock()
	l.source = nil
	l.w.mu.Unlock()
	return nil
}

// start begins a process on what the last one left.
func (w *world) start() {
	l, err := w.begin()
	if err != nil {
		w.wrong("P8 heals alone", "it does not start: %v", err)
		return
	}
	before := w.told(l)
	running, stop := context.WithCancel(context.Background())
	l.stop, l.done = stop, make(chan error, 1)
	w.mu.Lock()
	w.life = l
	w.listening()
	w.mu.Unlock()
	go func() { l.done <- l.Bridge.Run(running) }()
	synctest.Wait()
	w.same("P3 a restart tells nothing", before, w.withoutInHand(w.told(l), len(before)))
	for _, d := range w.devices {
		d.rouse()
	}
}

func (w *world) begin() (l *life, err error) {
	ctx := context.Background()
	l = &life{w: w, door: newDoor(), dead: make(chan struct{}), since: time.Now()}
	w.dateLock()
	if l.db, err = store.Open(ctx, store.Options{Path: filepath.Join(w.dir, "data")}); err != nil {
		return nil, err
	}
	if l.past, err = history.Open(history.Options{Path: filepath.Join(w.dir, "history"), MinFree: -1}); err != nil {
		return nil, err
	}
	decoder, err := decode.New(decode.Options{Name: "plant", Topic: "plant/{device}"})
	if err != nil {
		return nil, err
	}
	program, err := compile(w.rules)
	if err != nil {
		return nil, err
	}
	var source bridge.Source = l
	if !w.plan.external {
		if source, err = broker.NewEmbedded(broker.EmbeddedOptions{Listener: l.door, Anonymous: broker.AnonymousAlways, Clients: l.attend}); err != nil {
			return nil, err
		}
	}
	alive := l.db.LastAlive()
	if !w.stuck.IsZero() && w.stuck.Before(alive) {
		alive = w.stuck // a store whose disk is full does not mark that it lives
	}
	o := bridge.Options{
		Program: program, Decoders: []*decode.Decoder{decoder}, Source: source, Store: disk{l.db, l}, History: l.past,
		Endpoints: w.endpoints(l), LastAlive: alive, Born: l.db.Born(), Seed: w.plan.seed + 1, Unattended: []string{"plant"},
	}
	if w.plan.external {
		o.Connected = func(string) bool { w.mu.Lock(); defer w.mu.Unlock(); return w.linked }
	}
	l.Bridge, err = bridge.New(ctx, o)
	return l, err
}

// dateLock gives the store's mark of life, which is the time of a file, the time of
// the bubble where the system made it: it has not been written since.
func (w *world) dateLock() {
	path := filepath.Join(w.dir, "data", "lock")
	if info, err := os.Stat(path); err == nil && info.ModTime().After(time.Now()) {
		if err := os.Chtimes(path, w.began, w.began); err != nil {
			w.wrong("the harness", "%v", err)
		}
	}
}

func (l *life) attend(ev broker.ClientEvent) {
	if l.Bridge != nil {
		l.Client(ev)
	}
}

// endpoints are those of the plan, each with a sender of its own. What the bridge
// does by its ticks happens at whole seconds of a life, so that none of their times is
// of whole seconds: what comes first of two things at one moment is drawn by no seed.
func (w *world) endpoints(l *life) []bridge.Endpoint {
	all := []bridge.Endpoint{{Name: "log", Match: bridge.Match{Types: []string{"*"}}}, {Name: "sms", Match: bridge.Match{Types: []string{"test.ping"}}}}
	for name, t := range map[string]treatment{"ops": w.plan.ops, "crm": w.plan.crm} {
		e := bridge.Endpoint{
			Name: name, Match: bridge.Match{Types: []string{"alarm.*"}},
			Stale: t.stale, Batch: bridge.Batching{Max: t.batch, Wait: 1900 * time.Millisecond}, Concurrency: t.atOnce, Rate: t.rate,
			Breaker: bridge.Breaker{Failures: t.failures, Open: 30 * time.Second, MaxOpen: 5 * time.Minute},
			Backlog: bridge.Bounds{Count: t.backlog}, Budget: bridge.Budget{Events: t.budget}, Digest: t.digest, Heartbeat: t.beat,
			Retry: bridge.RetryPolicy{GiveUpAfter: t.giveUp, Steady: true},
		}
		if t.fallback {
			e.Fallback = bridge.Fallback{To: "sms", After: 2*time.Minute + 700*time.Millisecond}
		}
		all = append(all, e)
	}
	for i := range all {
		e := &all[i]
		r := w.receivers[e.Name]
		url := fmt.Sprintf("https://%s-%d.example/hook", e.Name, w.moved[e.Name])
		s, err := webhook.New(webhook.Options{Name: e.Name, URL: url, Secrets: []webhook.Secret{r.secret}, Transport: line{r, l}})
		if err != nil {
			w.t.Fatal(err)
		}
		e.Target, e.Send, e.Revision = url, preset.Standard(s.Send), w.moved[e.Name]
	}
	return all
}

// die makes a process vanish as it stands. What it has written is what the next
// one finds.
func (w *world) die(l *life) {
	if l == nil || l.vanished.Swap(true) {
		return
	}
	aside := w.t.TempDir()
	if err := copyFolder(aside, w.dir); err != nil {
		w.wrong("the harness", "copying: %v", err)
	}
	w.mu.Lock()
	w.dir = aside
	w.kills = append(w.kills, time.Now())
	w.listening()
	w.mu.Unlock()
	close(l.dead)
	l.door.cut()
	w.shake(time.Now().Add(-time.Second))
}

// shake has the receivers forget what they asked for since a moment, which a process
// that has ended may not have written down: nor anything while the disk was full.
func (w *world) shake(since time.Time) {
	w.mu.Lock()
	if full := w.fullSince.Add(-time.Second); w.full && full.Before(since) {
		since = full
	}
	w.mu.Unlock()
	for _, r := range w.receivers {
		r.shaken(since)
	}
}

// hadInHand notes what a process was about to store when it vanished. Where it comes of
// readings that were stored before, the next one tells it.
func (w *world) hadInHand(b bridge.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range b.Transitions {
		for _, e := range t.Events {
			w.inHand[t.State.Key+" "+string(e.Type)] = true
		}
	}
}

// withoutInHand leaves that out of what was told beyond the first n.
func (w *world) withoutInHand(told []bridge.DeliveryInfo, n int) []bridge.DeliveryInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = min(n, len(told))
	rest := slices.DeleteFunc(told[n:], func(d bridge.DeliveryInfo) bool { return w.inHand[d.Alarm+" "+string(d.Type)] })
	clear(w.inHand)
	return told[:n+len(rest)]
}

// copyFolder copies files with their times, which say when the process lived.
func copyFolder(to, from string) error {
	return filepath.Walk(from, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if info.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if strings.HasSuffix(path, "-shm") { // it is made of the log, and no part of what is kept
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(target, b, 0o600); err != nil {
			return err
		}
		return os.Chtimes(target, info.ModTime(), info.ModTime())
	})
}

// bury ends what is left of the process: it stops in order, or it has vanished
// and whatever it still does reaches nobody.
func (w *world) bury() {
	w.mu.Lock()
	l := w.life
	w.mu.Unlock()
	if l == nil {
		return
	}
	l.stop()
	err := <-l.done
	vanished := l.gone()
	w.mu.Lock()
	w.life = nil
	w.listening()
	w.mu.Unlock()
	errClose, errPast := l.db.Close(), l.past.Close()
	if !vanished && (err != nil || errClose != nil || errPast != nil) {
		w.wrong("P8 heals alone", "it does not stop well: %v, %v, %v", err, errClose, errPast)
	}
	l.door.cut()
	w.shake(time.Now())
}

// instant is let go by before a process vanishes in a commit: whatever else happens at
// that moment has happened then, in whatever order.
const instant = 100 * time.Microsecond

// A disk is the store of a process, with what befalls it.
type disk struct {
	bridge.Store
	l *life
}

func (d disk) Commit(ctx context.Context, b bridge.Batch) error {
	w := d.l.w
	w.mu.Lock()
	full, slow, doomed := w.full, w.slow, ""
	if len(b.Transitions) > 0 && d.l.doomed != "" {
		if d.l.left--; d.l.left <= 0 {
			doomed = d.l.doomed
		}
	}
	if full {
		d.l.stuck, w.stuck = true, cmp.Or(w.stuck, time.Now())
	}
	w.listening()
	w.mu.Unlock()
	if d.l.gone() {
		return errKilled
	}
	if slow {
		time.Sleep(300 * time.Millisecond)
	}
	if full {
		return fmt.Errorf("writing: %w", bridge.ErrFull)
	}
	if doomed == "kill-before" {
		time.Sleep(instant)
		w.die(d.l)
	}
	if d.l.gone() {
		w.hadInHand(b)
		return errKilled
	}
	err := d.Store.Commit(ctx, b)
	if doomed == "kill-after" {
		time.Sleep(instant)
		w.die(d.l)
	}
	if d.l.gone() {
		return errKilled
	}
	if err == nil && !b.Probe {
		w.mu.Lock()
		d.l.stuck, w.stuck = false, time.Time{}
		w.listening()
		w.mu.Unlock()
	}
	return err
}
