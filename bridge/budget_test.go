package bridge_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// thrifty is a world whose endpoint has a budget of five events an hour.
func thrifty(t *testing.T) (*world, *receiver) {
	w := newWorld(t, "ops")
	w.treat = func(e *bridge.Endpoint) {
		e.Budget = bridge.Budget{Events: 5, Per: time.Hour, Except: []rules.Severity{rules.Critical}, Digest: 10 * time.Minute}
	}
	w.rules.Rule["hot"] = &rules.RuleDef{
		Source: "rules.toml:20", Metric: "pressure", Severity: rules.Critical,
		Condition: rules.Condition{Above: &rules.Quantity{Value: 5}},
	}
	return w, w.endpoints["ops"]
}

// folded are the digests of what was folded that a receiver accepted.
func folded(t *testing.T, r *receiver) (all []rules.Folded) {
	t.Helper()
	for _, got := range r.list() {
		if got.Type == "endpoint.digest" {
			all = append(all, *notice(t, got).Folded)
		}
	}
	return all
}

func (w *world) stopped() {
	w.t.Helper()
	if err := w.halt(); err != nil {
		w.t.Fatal(err)
	}
}

func TestStormBeyondTheBudgetIsOneDigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops := thrifty(t)
		w.start()
		for i := range 100 {
			w.mustSend(fmt.Sprintf("freezer-%03d", i), "temperature", -12)
		}
		time.Sleep(30 * time.Second)
		if got := len(ops.list()); got != 5 {
			t.Fatalf("%d were told before the digest was due", got)
		}
		list, err := w.Endpoints(t.Context())
		if err != nil || list[0].Owed != 95 || list[0].Budget == nil || list[0].Budget.Left != 0 || list[0].Budget.Folded != 95 || list[0].Budget.Digest.IsZero() {
			t.Fatalf("%+v, %+v, %v", list[0], list[0].Budget, err)
		}
		time.Sleep(40 * time.Second)
		digests := folded(t, ops)
		if len(ops.list()) != 6 || len(digests) != 1 || digests[0].Events != 95 || digests[0].Alarms != 95 || digests[0].Open != 95 || len(digests[0].Newest) != 20 {
			t.Fatalf("%q: %+v", ops.types(), digests)
		}
		if list, err := w.Endpoints(t.Context()); err != nil || list[0].Owed != 0 || list[0].Budget.Folded != 0 {
			t.Errorf("after the digest: %+v, %v", list[0], err)
		}
		for i := range 100 {
			w.mustSend(fmt.Sprintf("freezer-%03d", i), "temperature", -18)
		}
		time.Sleep(time.Minute)
		if types := ops.types()[6:]; len(types) != 5 || strings.Join(types, " ") != strings.TrimSpace(strings.Repeat("alarm.resolved ", 5)) {
			t.Errorf("who was told of five alarms was told %q of their ends", types)
		}
		complete(t, &receiver{accepted: without(ops.list(), "endpoint.digest")}, 5, []string{"alarm.fired", "alarm.resolved"})
		time.Sleep(10 * time.Minute) // the digest rolls
		if digests := folded(t, ops); len(digests) != 2 || digests[1].Events != 95 || digests[1].Open != 0 {
			t.Errorf("%+v", digests)
		}
		time.Sleep(3 * time.Hour) // and ends; and there is a budget again
		before := len(ops.list())
		w.mustSend("freezer-050", "temperature", -12)
		time.Sleep(time.Minute)
		if types := ops.types()[before:]; before != 12 || len(types) != 1 || types[0] != "alarm.fired" {
			t.Errorf("%d, and then %q", before, types)
		}
		w.stopped()
	})
}

func without(list []received, typ string) (rest []received) {
	for _, r := range list {
		if r.Type != typ {
			rest = append(rest, r)
		}
	}
	return rest
}

func TestCriticalAlarmIsToldBeyondTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops := thrifty(t)
		w.start()
		for i := range 20 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		for i := range 20 {
			w.mustSend(fmt.Sprintf("boiler-%d", i), "pressure", 9)
		}
		time.Sleep(10 * time.Second)
		hot := 0
		for _, r := range ops.list() {
			if strings.HasPrefix(r.Alarm, "hot/") {
				hot++
			}
		}
		if hot != 20 || len(ops.list()) != 25 {
			t.Errorf("%d critical alarms were told, of %d", hot, len(ops.list()))
		}
		w.stopped()
	})
}

// What was spent, what waits for a digest, and when that is due outlive a crash.
func TestBudgetOutlivesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops := thrifty(t)
		w.start()
		for i := range 30 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(70 * time.Second)
		for i := range 30 {
			w.mustSend(fmt.Sprintf("cellar-%d", i), "temperature", -12)
		}
		time.Sleep(time.Second)
		for range 3 {
			w.crash()
			w.start()
			time.Sleep(time.Minute)
		}
		equal(t, "ops", ops.types(), []string{"alarm.fired", "alarm.fired", "alarm.fired", "alarm.fired", "alarm.fired", "endpoint.digest"})
		time.Sleep(10 * time.Minute)
		if digests := folded(t, ops); len(digests) != 2 || digests[1].Events != 30 {
			t.Errorf("%+v", digests)
		}
		w.stopped()
	})
}

// A store that breaks while events are folded ends the bridge, but not before the
// attempts that began with the same claim have ended.
func TestNoAttemptIsLeftBehindByAStoreThatBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops := thrifty(t)
		w.wrap = func(s bridge.Store) bridge.Store { return unfolding{s} }
		ops.answer = func(n int, _ webhook.Message) webhook.Result {
			if n <= 4 { // until more wait than may be told
				return webhook.Result{Status: hang}
			}
			return webhook.Result{Verdict: webhook.Accepted, Status: 200}
		}
		w.start()
		for i := range 20 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		synctest.Wait()
		ops.let()
		synctest.Wait()
		if err := w.halt(); !errors.Is(err, errUnfolding) {
			t.Errorf("the bridge ended with %v", err)
		}
		if got := len(ops.list()); got != 5 {
			t.Errorf("%d were told", got)
		}
	})
}

var errUnfolding = errors.New("broken")

// An unfolding is a store that breaks when something is folded.
type unfolding struct{ bridge.Store }

func (u unfolding) Finish(ctx context.Context, list []bridge.Outcome) error {
	if slices.ContainsFunc(list, func(o bridge.Outcome) bool { return o.Fate == bridge.Folded }) {
		return errUnfolding
	}
	return u.Store.Finish(ctx, list)
}

// Where the disk was full, what a digest has told ends soon after there is space.
func TestToldDigestIsWrittenDownWhenThereIsSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops := thrifty(t)
		var full atomic.Bool
		w.wrap = func(s bridge.Store) bridge.Store { return crowded{s, &full} }
		w.start()
		for i := range 30 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		full.Store(true)
		time.Sleep(2 * time.Minute)
		if digests := folded(t, ops); len(digests) != 1 {
			t.Errorf("%d digests: %q", len(digests), ops.types())
		}
		full.Store(false)
		time.Sleep(20 * time.Second)
		if list, err := w.Endpoints(t.Context()); err != nil || list[0].Owed != 0 {
			t.Errorf("%d are owed, %v", list[0].Owed, err)
		}
		w.stopped()
	})
}

// A crowded is a store whose disk may be too full to end what a digest has told.
type crowded struct {
	bridge.Store
	full *atomic.Bool
}

func (c crowded) Log() bridge.Log { return crowdedLog{c.Store.Log(), c.full} }

type crowdedLog struct {
	bridge.Log
	full *atomic.Bool
}

func (c crowdedLog) EndFold(ctx context.Context, endpoint string, mark int64, fate bridge.Fate, reason string) (int, error) {
	if c.full.Load() {
		return 0, bridge.ErrFull
	}
	return c.Log.EndFold(ctx, endpoint, mark, fate, reason)
}

// A machine may start with its clock in the past. When a digest is due is not put
// off until the clock is where it was.
func TestDigestWaitsForNoClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops := thrifty(t)
		w.start()
		for i := range 30 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(70 * time.Second)
		for i := range 30 {
			w.mustSend(fmt.Sprintf("cellar-%d", i), "temperature", -12)
		}
		time.Sleep(time.Second)
		w.stopped()
		w.setBack(24 * time.Hour)
		w.start()
		time.Sleep(11 * time.Minute)
		if digests := folded(t, ops); len(digests) != 2 || digests[1].Events != 30 {
			t.Errorf("%d digests: %q", len(digests), ops.types())
		}
		w.stopped()
	})
}

// setBack has the store of a bridge that is stopped say of deliveries and of
// endpoints what it would if the clock had been ahead by that.
func (w *world) setBack(by time.Duration) {
	w.t.Helper()
	file, err := sql.Open("sqlite", filepath.Join(w.dir, "data", "tocsin.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	later := func(member string) string {
		return fmt.Sprintf("'$.%s', strftime('%%Y-%%m-%%dT%%H:%%M:%%SZ', memo ->> '%[1]s', '%[2]f seconds')", member, by.Seconds())
	}
	_, err = file.ExecContext(w.t.Context(), fmt.Sprintf("UPDATE delivery SET at = at + %d; UPDATE endpoint SET memo = json_set(memo, %s, %s)",
		by, later("written"), later("digested")))
	if err = errors.Join(err, file.Close()); err != nil {
		w.t.Fatal(err)
	}
}

// A digest that fails is tried again, and one that is refused is given up, with
// what it would have told: nothing of it is forgotten.
func TestDigestThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops := thrifty(t)
		digest := func(answer webhook.Result) func(int, webhook.Message) webhook.Result {
			return func(_ int, m webhook.Message) webhook.Result {
				if strings.Contains(string(m.Body), `"type":"endpoint.digest"`) {
					return answer
				}
				return webhook.Result{Verdict: webhook.Accepted, Status: 200}
			}
		}
		ops.answer = digest(failing(503))
		w.start()
		for i := range 30 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(20 * time.Minute)
		if list, err := w.Endpoints(t.Context()); err != nil || list[0].Owed != 25 {
			t.Fatalf("%+v, %v", list, err)
		}
		ops.answering(nil)
		time.Sleep(20 * time.Minute)
		if digests := folded(t, ops); len(digests) != 1 || digests[0].Events != 25 {
			t.Fatalf("%+v", digests)
		}
		for i, answer := range []webhook.Result{
			{Verdict: webhook.Refused, Status: 400, Err: errBoom},
			{Verdict: webhook.Refused, Status: 422},
			{Verdict: webhook.Accepted}, // by no request
		} {
			ops.answering(digest(answer))
			for device := range 30 {
				w.mustSend(fmt.Sprintf("cellar-%d-%d", i, device), "temperature", -12)
			}
			time.Sleep(5 * time.Minute)
			if list, err := w.Endpoints(t.Context()); err != nil || list[0].Owed != 0 || list[0].Dead != 30*(i+1) {
				t.Errorf("%+v, %v", list, err)
			}
		}
		w.stopped()
	})
}

// A digest that is sent again is the same message, whatever has happened to other
// alarms since, and over a restart: its receiver knows it by its id.
func TestDigestThatIsTriedAgainHasTheSameBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops := thrifty(t)
		ops.answer = func(_ int, m webhook.Message) webhook.Result {
			if strings.Contains(string(m.Body), `"type":"endpoint.digest"`) {
				return failing(503)
			}
			return webhook.Result{Verdict: webhook.Accepted, Status: 200}
		}
		w.start()
		for i := range 30 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(5 * time.Minute)
		w.mustSend("boiler", "pressure", 9) // is told by itself
		time.Sleep(5 * time.Minute)
		w.stopped()
		w.start()
		time.Sleep(10 * time.Minute)
		w.stopped()
		sent := map[string][]string{}
		for _, m := range ops.attempts {
			if strings.Contains(string(m.Body), `"type":"endpoint.digest"`) {
				sent[m.ID] = append(sent[m.ID], string(m.Body))
			}
		}
		if len(sent) != 1 {
			t.Errorf("a digest of the same events was sent under %d ids", len(sent))
		}
		for id, bodies := range sent {
			if len(bodies) < 3 || len(slices.Compact(bodies)) != 1 {
				t.Errorf("%s: %d attempts:\n%s", id, len(bodies), strings.Join(bodies, "\n"))
			}
		}
	})
}

// What is folded while a digest is on its way is told by the next.
func TestWhatADigestDoesNotTellIsInTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops := thrifty(t)
		ops.answer = func(_ int, m webhook.Message) webhook.Result {
			if strings.Contains(string(m.Body), `"type":"endpoint.digest"`) {
				return webhook.Result{Status: hang}
			}
			return webhook.Result{Verdict: webhook.Accepted, Status: 200}
		}
		w.start()
		for i := range 30 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(2 * time.Minute)
		for i := range 7 {
			w.mustSend(fmt.Sprintf("cellar-%d", i), "temperature", -12)
		}
		time.Sleep(time.Second)
		ops.let()
		ops.answering(nil)
		time.Sleep(20 * time.Minute)
		if digests := folded(t, ops); len(digests) != 2 || digests[0].Events != 25 || digests[1].Events != 7 {
			t.Errorf("%+v", digests)
		}
		w.stopped()
	})
}

// A digest that was accepted is an alarm that was accepted; one that was not is
// one that somebody else is told of.
func TestFoldedAlarmFallsBackWhenItsDigestIsNotAccepted(t *testing.T) {
	for name, want := range map[string]int{"accepted": 0, "fails": 4} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ops", "sms")
				w.match = map[string]bridge.Match{"sms": {Types: []string{"config.rejected"}}}
				w.treat = func(e *bridge.Endpoint) {
					if e.Name == "ops" {
						e.Budget = bridge.Budget{Events: 1, Digest: 2 * time.Minute}
						e.Fallback = bridge.Fallback{To: "sms", After: 5 * time.Minute}
					}
				}
				ops := w.endpoints["ops"]
				ops.answer = func(_ int, m webhook.Message) webhook.Result {
					if want > 0 && strings.Contains(string(m.Body), `"type":"endpoint.digest"`) {
						return failing(503)
					}
					return webhook.Result{Verdict: webhook.Accepted, Status: 200}
				}
				w.start()
				for i := range 5 {
					w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
				}
				time.Sleep(20 * time.Minute)
				if got := w.endpoints["sms"].types(); len(got) != want {
					t.Errorf("the fallback was told %q", got)
				}
				w.stopped()
			})
		})
	}
}

// Without its budget, what was folded is told at once, and everything else by itself.
func TestDigestIsToldWhenTheBudgetIsTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops := thrifty(t)
		w.start()
		for i := range 30 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(time.Second)
		w.treat = nil
		w.revision++
		if _, err := w.Reload(t.Context(), bridge.Reloaded{Program: w.compile(), Endpoints: w.destinations()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if digests := folded(t, ops); len(digests) != 1 || digests[0].Events != 25 {
			t.Errorf("%q", ops.types())
		}
		w.mustSend("freezer-29", "temperature", -18)
		time.Sleep(time.Second)
		if types := ops.types(); types[len(types)-1] != "alarm.resolved" {
			t.Errorf("%q", types)
		}
		w.stopped()
	})
}

// Whatever happens when, over restarts and failures: each event is told by itself
// or counted in a digest, an alarm that was told by itself is told how it ended,
// and no hour sees more starts than the budget has.
func TestBudgetLosesNothing(t *testing.T) {
	most := 60
	if testing.Short() {
		most = 15
	}
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawTwist), 5, 25).Draw(rt, "steps")
		if runs++; runs > most {
			return // each opens stores on a disk
		}
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = budgetLoses(t, steps) })
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// A twist is something that happens to a bridge with a budget.
type twist struct {
	What     string
	Minutes  int
	Readings []toggle
}

// A toggle crosses a limit, of one rule or the other, the way that it was not
// crossed before.
type toggle struct {
	Device   int
	Critical bool
}

func drawTwist(rt *rapid.T) twist {
	s := twist{What: rapid.SampledFrom([]string{"readings", "readings", "readings", "readings", "wait", "wait", "restart", "crash", "fail", "mend"}).Draw(rt, "what")}
	switch s.What {
	case "wait":
		s.Minutes = rapid.IntRange(1, 40).Draw(rt, "minutes")
	case "readings":
		s.Readings = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) toggle {
			return toggle{rapid.IntRange(0, 11).Draw(rt, "device"), rapid.IntRange(0, 5).Draw(rt, "critical") == 0}
		}), 1, 8).Draw(rt, "readings")
	}
	return s
}

// budgetLoses says what was lost, "" for nothing.
func budgetLoses(t *testing.T, steps []twist) string {
	w, ops := thrifty(t)
	w.start()
	fires, events, failed := map[string]bool{}, 0, false
	for _, s := range steps {
		switch s.What {
		case "restart":
			w.stopped()
			w.start()
		case "crash":
			time.Sleep(time.Second) // what was accepted is on disk, or the count is another
			w.crash()
			w.start()
		case "fail":
			failed = true
			ops.answering(always(failing(503)))
		case "mend":
			ops.answering(nil)
		}
		time.Sleep(time.Duration(s.Minutes) * time.Minute)
		for _, r := range s.Readings {
			metric, alarm, values := "temperature", "warm", []float64{-12, -18}
			if r.Critical {
				metric, alarm, values = "pressure", "hot", []float64{9, 1}
			}
			device := fmt.Sprint("freezer-", r.Device)
			alarm += "/" + device
			if fires[alarm] {
				values = values[1:]
			}
			w.mustSend(device, metric, values[0])
			fires[alarm] = !fires[alarm]
			events++
		}
	}
	ops.answering(nil)
	time.Sleep(2 * time.Hour)
	w.stopped()
	if wrong := amiss(t, ops, fires, events); wrong != "" || failed {
		return wrong
	}
	return tooMany(ops)
}

// amiss compares what a receiver was told with what happened.
func amiss(t *testing.T, ops *receiver, fires map[string]bool, events int) string {
	told, seen, counted := map[string]bool{}, map[string]bool{}, 0
	for _, r := range ops.list() {
		if seen[r.ID] {
			continue // a receiver knows by the id
		}
		seen[r.ID] = true
		counted++
		switch r.Type {
		case "endpoint.digest":
			counted += notice(t, r).Folded.Events - 1
		case "alarm.fired":
			told[r.Alarm] = true
		case "alarm.resolved":
			if !told[r.Alarm] {
				return r.Alarm + " ended, and nobody was told that it fired"
			}
			told[r.Alarm] = false
		}
	}
	if counted != events {
		return fmt.Sprintf("%d events were told or counted, of %d: %q", counted, events, ops.types())
	}
	for alarm, is := range told {
		if is && !fires[alarm] {
			return alarm + " is over, and the receiver was told by itself only that it fired"
		}
	}
	return ""
}

// tooMany looks for an hour in which more alarms were told by themselves than the
// budget has. What failed and is accepted late was paid when it was tried first.
func tooMany(ops *receiver) string {
	var starts []time.Time
	for _, r := range ops.list() {
		if r.Type == "alarm.fired" && strings.HasPrefix(r.Alarm, "warm/") {
			starts = append(starts, r.At)
		}
	}
	for i := range starts {
		if i >= 5 && starts[i].Sub(starts[i-5]) < time.Hour {
			return fmt.Sprintf("six alarms were told one by one within %v", starts[i].Sub(starts[i-5]))
		}
	}
	return ""
}
