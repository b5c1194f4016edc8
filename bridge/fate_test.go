package bridge_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"tocsin/bridge"
	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
)

// A fate is what happens to an endpoint: how it is set up, and what befalls it.
type fate struct {
	stale    bridge.Stale
	batch    int
	attempts int // at once
	failures int // that open its breaker
	backlog  int
	giveUp   time.Duration
	rate     float64
	steps    []step
}

type step struct {
	what string
	n    int           // of the alarm that changes
	by   time.Duration // that goes by, or by which the clock is set
}

func (f fate) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "stale %d, batch %d, %d at once, breaker %d, backlog %d, give up after %v, rate %v:", f.stale, f.batch, f.attempts, f.failures, f.backlog, f.giveUp, f.rate)
	for _, s := range f.steps {
		fmt.Fprintf(&b, "\n  %s %d %v", s.what, s.n, s.by)
	}
	return b.String()
}

func drawStep(t *rapid.T) step {
	s := step{what: rapid.SampledFrom([]string{
		"reading", "reading", "reading", "reading", "wait", "wait", "accept", "503", "429", "422", "410", "hang", "lose",
		"crash", "restart", "pause", "enable", "latest", "discard", "move", "replay",
	}).Draw(t, "what")}
	switch s.what {
	case "reading":
		s.n = rapid.IntRange(0, 4).Draw(t, "device")
	case "wait":
		s.by = time.Duration(rapid.Int64Range(0, int64(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 20 * time.Minute}).Draw(t, "most"))).Draw(t, "wait"))
	case "crash", "restart":
		s.by = rapid.SampledFrom([]time.Duration{0, 0, time.Hour, -time.Hour, 30 * 24 * time.Hour, -365 * 24 * time.Hour}).Draw(t, "clock")
	}
	return s
}

func drawFate(t *rapid.T) fate {
	return fate{
		stale:    rapid.SampledFrom([]bridge.Stale{bridge.StaleAll, bridge.StaleLatest, bridge.StaleCollapse}).Draw(t, "stale"),
		batch:    rapid.SampledFrom([]int{0, 3}).Draw(t, "batch"),
		attempts: rapid.SampledFrom([]int{1, 4}).Draw(t, "attempts at once"),
		failures: rapid.SampledFrom([]int{2, 1000}).Draw(t, "breaker"),
		backlog:  rapid.SampledFrom([]int{0, 0, 4}).Draw(t, "backlog"),
		giveUp:   rapid.SampledFrom([]time.Duration{10 * time.Minute, 72 * time.Hour}).Draw(t, "give up"),
		rate:     rapid.SampledFrom([]float64{0, 1}).Draw(t, "rate"),
		steps:    rapid.SliceOfN(rapid.Custom(drawStep), 5, 60).Draw(t, "steps"),
	}
}

// However an endpoint is set up, whatever it answers, and whenever the process
// dies, is paused, or finds its clock set: when all is well again, every event was
// accepted or is counted among those that were not to be; nothing was accepted
// twice but after a crash or a lost answer; and of an alarm nothing after what is
// newer.
func TestEveryEventIsAcceptedOnceAndInOrderOrCounted(t *testing.T) {
	enough := time.Now().Add(4 * time.Second)
	if !testing.Short() {
		enough = enough.Add(20 * time.Second)
	}
	if os.Getenv("TOCSIN_TORTURE") != "" {
		enough = enough.Add(time.Hour)
	}
	failed := false
	rapid.Check(t, func(rt *rapid.T) {
		f := drawFate(rt)
		if !failed && time.Now().After(enough) {
			return
		}
		var wrong []string
		synctest.Test(t, func(t *testing.T) { wrong = f.live(t) })
		if len(wrong) > 0 {
			failed = true // what is left is to find the shortest
			rt.Fatalf("%s\n%v", strings.Join(wrong, "\n"), f)
		}
	})
}

// A ledger is an endpoint that keeps what it was told.
type ledger struct {
	mu    sync.Mutex
	mode  string
	off   bool // nothing is to be sent
	told  []entry
	wrong []string
}

type entry struct {
	id   string
	at   time.Time
	lost bool // the answer was
}

func (l *ledger) send(ctx context.Context, batch []preset.Notice) preset.Reply {
	l.mu.Lock()
	mode := l.mode
	if l.off {
		l.wrong = append(l.wrong, fmt.Sprintf("%s is sent to an endpoint that is switched off", batch[0].ID))
	}
	l.mu.Unlock()
	answer := func(status int, v webhook.Verdict) preset.Reply {
		r := preset.Reply{Result: webhook.Result{Status: status, Verdict: v}}
		if v != webhook.Accepted {
			r.Err = errBoom
		}
		return r
	}
	hold := 20 * time.Millisecond
	if mode == "hang" {
		hold = 15 * time.Second
	}
	select { // an answer takes a moment
	case <-time.After(hold):
	case <-ctx.Done():
		return preset.Reply{Result: webhook.Result{Err: ctx.Err()}}
	}
	switch mode {
	case "503":
		return answer(503, webhook.Retry)
	case "429":
		r := answer(429, webhook.Retry)
		r.RetryAfter = 90 * time.Second
		return r
	case "422":
		return answer(422, webhook.Refused)
	case "410":
		return answer(410, webhook.Gone)
	case "hang":
		return preset.Reply{Result: webhook.Result{Err: context.DeadlineExceeded}}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range batch {
		l.told = append(l.told, entry{n.ID, time.Now(), mode == "lose"})
	}
	if mode == "lose" {
		return preset.Reply{Result: webhook.Result{Err: context.DeadlineExceeded, Unsure: true}}
	}
	return answer(200, webhook.Accepted)
}

func (l *ledger) set(mode string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode = mode
}

func (l *ledger) switched(off bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.off = off
}

// live runs a bridge through a fate and says what went wrong.
func (f fate) live(t *testing.T) []string {
	l := &ledger{mode: "accept"}
	w := newWorld(t, "ops", "log", "sms")
	w.log.t = nil
	w.targets["ops"] = "first"
	w.match = map[string]bridge.Match{"ops": {Types: []string{"alarm.*"}}, "log": {Types: []string{"alarm.*"}}, "sms": {Types: []string{"test.ping"}}}
	w.treat = func(e *bridge.Endpoint) {
		if e.Name != "ops" {
			return
		}
		e.Send, e.Stale, e.Batch, e.Concurrency, e.Rate = l.send, f.stale, bridge.Batching{Max: f.batch, Wait: 2 * time.Second}, f.attempts, f.rate
		e.Breaker = bridge.Breaker{Failures: f.failures, Open: 30 * time.Second, MaxOpen: 5 * time.Minute}
		e.Backlog, e.Retry.GiveUpAfter = bridge.Bounds{Count: f.backlog}, f.giveUp
		e.Fallback = bridge.Fallback{To: "sms", After: 2 * time.Minute}
	}
	w.start()
	var crashes []crash
	warm := make([]bool, 5)
	moved := 0
	for _, s := range f.steps {
		switch s.what {
		case "reading":
			warm[s.n] = !warm[s.n]
			w.mustSend(fmt.Sprintf("freezer-%d", s.n), "temperature", map[bool]float64{true: -12, false: -18}[warm[s.n]])
		case "wait":
			time.Sleep(s.by)
		case "accept", "503", "429", "422", "410", "hang", "lose":
			l.set(s.what)
		case "crash":
			crashes = append(crashes, w.crash())
			setClock(t, w.dir, s.by)
			w.start()
		case "restart":
			must(t, w.halt())
			setClock(t, w.dir, s.by)
			w.start()
		case "pause":
			must(t, w.Pause(t.Context(), "ops", "maintenance"))
			time.Sleep(20 * time.Second) // attempts under way end
			l.switched(true)
		case "enable":
			f.enable(t, w, l, bridge.ResumeAll)
		case "latest":
			f.enable(t, w, l, bridge.ResumeLatest)
		case "discard":
			f.enable(t, w, l, bridge.ResumeNone)
		case "move": // to another URL, at which a gone endpoint is not gone
			moved++
			w.targets["ops"], w.revision = fmt.Sprint("moved ", moved), w.revision+1
			w.reload()
		case "replay":
			_, err := w.Replay(t.Context(), bridge.Selection{Endpoint: "ops", Dead: true}, false)
			must(t, err)
		}
	}
	l.set("accept")
	time.Sleep(20 * time.Second) // attempts under way end
	f.enable(t, w, l, bridge.ResumeAll)
	time.Sleep(40 * time.Minute) // more than any wait that was begun, by whichever clock
	wrong := f.judge(t, w, l, crashes)
	must(t, w.halt())
	return wrong
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f fate) enable(t *testing.T, w *world, l *ledger, what bridge.Resumption) {
	l.switched(false)
	_, err := w.Enable(t.Context(), "ops", what, false)
	must(t, err)
}

// judge compares what the endpoint was told with what the log has of it.
func (f fate) judge(t *testing.T, w *world, l *ledger, crashes []crash) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := l.wrong
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	did := func(what ...string) bool {
		return slices.ContainsFunc(f.steps, func(s step) bool { return slices.Contains(what, s.what) })
	}
	states := map[bridge.DeliveryState]int{}
	byID, sent := map[string]bridge.DeliveryInfo{}, map[string]bridge.DeliveryInfo{}
	for _, d := range deliveriesOf(t, w, "ops") {
		states[d.State]++
		byID[d.ID], sent[cmp.Or(d.SentAs, d.ID)] = d, d
	}
	heard := map[string]entry{}
	newest := map[string]bridge.DeliveryInfo{} // by alarm
	for _, e := range l.told {
		was, again := heard[e.id]
		if again && !was.lost && !forgotten(crashes, was.at) {
			complain("%s was accepted at %v and again at %v", e.id, was.at, e.at)
		}
		heard[e.id] = e
		d, n := sent[e.id], newest[sent[e.id].Alarm]
		if !again && d.Event <= n.Event && !did("replay") {
			complain("%s: %s, event %d, was accepted after %s, event %d", d.Alarm, d.Type, d.Event, n.Type, n.Event)
		}
		if !again {
			newest[d.Alarm] = d
		}
	}
	for id, d := range sent {
		_, ok := heard[id]
		switch {
		case d.State == bridge.DeliveryWaiting:
			complain("%s %s still waits, for %v", d.Alarm, d.Type, d.Due)
		case d.State == bridge.DeliveryDelivered && !ok:
			complain("%s %s counts as accepted, and was not: %+v of %v", d.Alarm, d.Type, d, l.told)
		}
	}
	for _, want := range w.endpoints["log"].list() {
		if _, ok := byID[want.ID]; !ok {
			complain("%s %s is in no log", want.Alarm, want.Type)
		}
	}
	b, err := w.db.Log().Backlog(t.Context(), "ops")
	must(t, err)
	if b.Count != 0 || b.Dead != states[bridge.DeliveryDead] || b.Dropped != states[bridge.DeliveryDropped] {
		complain("the counts are %+v, and the log has %v", b, states)
	}
	may := func(state bridge.DeliveryState, because bool) {
		if states[state] > 0 && !because {
			complain("%d are %s for no reason", states[state], state)
		}
	}
	may(bridge.DeliveryDead, f.giveUp < time.Hour || did("422") || slices.ContainsFunc(f.steps, func(s step) bool { return s.by > 24*time.Hour }))
	may(bridge.DeliveryCancelled, did("latest", "discard"))
	may(bridge.DeliverySuperseded, f.stale != bridge.StaleAll)
	may(bridge.DeliveryDropped, f.backlog > 0)
	return wrong
}

func deliveriesOf(t *testing.T, w *world, endpoint string) (all []bridge.DeliveryInfo) {
	q := bridge.DeliveryQuery{Endpoint: endpoint, Limit: 1000}
	for {
		page, err := w.db.Log().Deliveries(t.Context(), q)
		must(t, err)
		all = append(all, page.Deliveries...)
		if q.Cursor = page.Cursor; q.Cursor == "" {
			return all
		}
	}
}

var instant = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

// setClock has a process that was stopped find its clock set by so much: a bubble
// has only one clock, so it is what is written of deliveries that moves the other
// way. An episode keeps its time, of which ids are made.
func setClock(t *testing.T, dir string, by time.Duration) {
	t.Helper()
	if by == 0 {
		return
	}
	data := filepath.Join(dir, "data")
	db, err := sql.Open("sqlite", filepath.Join(data, "tocsin.db"))
	must(t, err)
	defer db.Close()
	for table, columns := range map[string][]string{
		"event": {"at", "committed"}, "delivery": {"due", "at", "owed"}, "endpoint": {"since"}, "attempt": {"at"}, "kept": {"at"},
	} {
		for _, c := range columns {
			_, err := db.ExecContext(t.Context(), fmt.Sprintf("UPDATE %s SET %s = %[2]s - ? WHERE %[2]s <> 0", table, c), int64(by)) // #nosec G201 -- names above
			must(t, err)
		}
	}
	_, err = db.ExecContext(t.Context(), "UPDATE event SET sum = NULL") // it would say that somebody has changed them
	must(t, err)
	rows, err := db.QueryContext(t.Context(), "SELECT DISTINCT memo FROM endpoint")
	must(t, err)
	var memos []string
	for rows.Next() {
		var memo string
		must(t, rows.Scan(&memo))
		memos = append(memos, memo)
	}
	must(t, errors.Join(rows.Err(), rows.Close()))
	for _, memo := range memos {
		moved := instant.ReplaceAllStringFunc(memo, func(s string) string {
			at, err := time.Parse(time.RFC3339Nano, s)
			must(t, err)
			return at.Add(-by).Format(time.RFC3339Nano)
		})
		_, err := db.ExecContext(t.Context(), "UPDATE endpoint SET memo = ? WHERE memo = ?", moved, memo)
		must(t, err)
	}
	lock := filepath.Join(data, "lock")
	info, err := os.Stat(lock)
	must(t, err)
	must(t, os.Chtimes(lock, info.ModTime().Add(-by), info.ModTime().Add(-by)))
}
