package bridge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A try is one attempt at the endpoint that has a hard time.
type try struct {
	at       time.Time // when it began
	id       string
	alarm    string
	started  time.Time // of the alarm's episode
	seq      int
	accepted bool
}

// A hardTime is an endpoint whose fortune changes.
type hardTime struct {
	mu    sync.Mutex
	mode  string
	tries []try
	asked time.Time // when it asked to be left alone
	floor time.Time // until when
	early []string  // attempts that began in between
}

const floorOf429 = 90 * time.Second

func (h *hardTime) send(ctx context.Context, batch []preset.Notice) preset.Reply {
	var ev rules.Event
	_ = json.Unmarshal(batch[0].Data, &ev)
	h.mu.Lock()
	now := time.Now()
	if now.Before(h.floor) && now.After(h.asked) {
		h.early = append(h.early, fmt.Sprintf("%v: asked at %v for %v", now, h.asked, h.floor))
	}
	h.tries = append(h.tries, try{now, ev.ID, ev.Alarm.Key, ev.Alarm.StartedAt, ev.Alarm.Seq, false})
	mine, mode := len(h.tries)-1, h.mode
	h.mu.Unlock()
	select { // an answer takes a moment
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return preset.Reply{Result: webhook.Result{Err: ctx.Err()}}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch mode {
	case "accept":
		h.tries[mine].accepted = true
		return preset.Reply{Result: webhook.Result{Verdict: webhook.Accepted, Status: 200}}
	case "429":
		h.asked, h.floor = time.Now(), time.Now().Add(floorOf429)
		return preset.Reply{Result: webhook.Result{Status: 429, RetryAfter: floorOf429, Err: errBoom}}
	case "timeout":
		h.mu.Unlock()
		select {
		case <-time.After(15 * time.Second):
		case <-ctx.Done():
		}
		h.mu.Lock()
		return preset.Reply{Result: webhook.Result{Err: context.DeadlineExceeded}}
	}
	return preset.Reply{Result: webhook.Result{Status: 503, Err: errBoom}}
}

// Whatever an endpoint answers, and whenever the process is killed, stopped or
// told to pause: in the end the endpoint has accepted every event, those of an
// alarm in order, none twice but for a crash, and was left alone when it asked.
func TestNothingIsLostSwappedOrRepeatedWhateverHappens(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	if os.Getenv("TOCSIN_TORTURE") != "" {
		rounds = 500
	}
	for seed := range rounds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { hardTimes(t, rand.New(rand.NewPCG(uint64(seed), 1))) }) // #nosec G115 -- small
		})
	}
}

func hardTimes(t *testing.T, r *rand.Rand) {
	h := &hardTime{mode: "accept"}
	w := newWorld(t, "ops", "log", "sms")
	w.remembers = r.IntN(2) == 0
	w.match = map[string]bridge.Match{"sms": {Types: []string{"test.ping"}}}
	w.treat = func(e *bridge.Endpoint) {
		if e.Name == "ops" {
			e.Send = h.send
			e.Breaker = bridge.Breaker{Failures: 3, Open: 30 * time.Second, MaxOpen: 5 * time.Minute}
			e.Fallback = bridge.Fallback{To: "sms", After: 2 * time.Minute}
		}
	}
	w.start()
	var crashes []crash
	warm := make([]bool, 6)
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for range 120 {
		switch pick("send", "send", "send", "send", "wait", "wait", "mode", "mode", "crash", "restart", "pause") {
		case "send":
			i := r.IntN(len(warm))
			warm[i] = !warm[i]
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", map[bool]float64{true: -12, false: -18}[warm[i]])
		case "wait":
			time.Sleep(time.Duration(r.Int64N(int64([]time.Duration{time.Second, time.Minute, 10 * time.Minute}[r.IntN(3)]))))
		case "mode":
			h.mu.Lock()
			h.mode = pick("accept", "accept", "503", "503", "429", "timeout")
			h.mu.Unlock()
		case "crash":
			h.mu.Lock()
			floor := h.floor
			h.mu.Unlock()
			crashes = append(crashes, w.crash())
			h.mu.Lock()
			h.floor = floor // what was answered after the crash nobody has heard
			h.mu.Unlock()
			w.start()
		case "restart":
			if err := w.halt(); err != nil {
				t.Fatal(err)
			}
			w.start()
		case "pause":
			if err := w.Pause(t.Context(), "ops", "maintenance"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			h.mu.Lock()
			h.floor = time.Time{} // an operator overrules it
			h.mu.Unlock()
			if _, err := w.Enable(t.Context(), "ops", bridge.ResumeAll, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.mu.Lock()
	h.mode = "accept"
	h.mu.Unlock()
	time.Sleep(2 * time.Hour)
	h.check(t, w.endpoints["log"], crashes)
	toldToItsEnd(t, w.endpoints["sms"], warm)
	backlog, err := w.db.Log().Backlog(t.Context(), "ops")
	if err != nil || backlog.Count != 0 || backlog.Dead != 0 {
		t.Errorf("in the end it is owed %+v, %v", backlog, err)
	}
	if err := w.halt(); err != nil {
		t.Fatal(err)
	}
}

func (h *hardTime) check(t *testing.T, log *receiver, crashes []crash) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, early := range h.early {
		t.Errorf("an attempt began although the endpoint had asked to be left alone: %s", early)
	}
	first := map[string]try{}
	last := map[string]try{} // by alarm
	for _, a := range h.tries {
		if !a.accepted {
			continue
		}
		if was, again := first[a.id]; again {
			if !forgotten(crashes, was.at) {
				t.Errorf("%s was accepted at %v and again at %v, with no crash in between", a.id, was.at, a.at)
			}
			continue
		}
		first[a.id] = a
		if l, ok := last[a.alarm]; ok && (a.started.Before(l.started) || a.started.Equal(l.started) && a.seq <= l.seq) {
			t.Errorf("%s: %v seq %d was accepted after %v seq %d", a.alarm, a.started, a.seq, l.started, l.seq)
		}
		last[a.alarm] = a
	}
	for _, want := range log.list() {
		if _, ok := first[want.ID]; !ok {
			t.Errorf("%s %s was never accepted", want.Alarm, want.Type)
		}
	}
}

// toldToItsEnd checks that who was told of a start by a fallback was told of the
// end, once the alarm is at rest.
func toldToItsEnd(t *testing.T, r *receiver, warm []bool) {
	last := map[string]string{}
	for _, got := range r.list() {
		last[got.Alarm] = got.Type
	}
	for i, on := range warm {
		alarm := fmt.Sprintf("warm/freezer-%d", i)
		if typ := last[alarm]; !on && typ != "" && typ != "alarm.resolved" {
			t.Errorf("the fallback was told %s of %s last, and it is over", typ, alarm)
		}
	}
}
