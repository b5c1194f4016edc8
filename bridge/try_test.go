package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

func trialOf(topic string, every time.Duration, payloads ...string) bridge.Trial {
	t := bridge.Trial{Trace: true}
	for i, p := range payloads {
		m := bridge.TrialMessage{Topic: topic, Payload: []byte(p)}
		if i > 0 {
			m.After = every
		}
		t.Messages = append(t.Messages, m)
	}
	return t
}

// A trial says for each message what was read, what became of the alarm and who would
// be told, and leaves what runs as it was.
func TestTrialShowsWhatWouldHappenAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		w.mustSend("a", "temperature", -10) // which a trial knows nothing of
		synctest.Wait()
		before := w.endpoints["ops"].tried()

		tried, err := w.Try(t.Context(), trialOf("plant/a", time.Minute, `{"temperature":-20}`, `{"temperature":-10}`, `{"temperature":`, `{"temperature":-20}`))
		if err != nil || len(tried.Steps) != 4 || tried.Cut != "" {
			t.Fatalf("%+v, %v", tried, err)
		}
		for i, want := range []struct{ state, event string }{{"inactive", ""}, {"firing", "alarm.fired"}, {"", ""}, {"inactive", "alarm.resolved"}} {
			s := tried.Steps[i]
			state, event := "", ""
			for _, why := range s.Why {
				if why.Rule.ID == "warm" {
					state = why.State
				}
			}
			for _, ev := range s.Events {
				event += string(ev.Type)
				equal(t, "told", ev.Endpoints, []string{"ops"})
			}
			if state != want.state || event != want.event || s.At.Sub(tried.Begin) != time.Duration(i)*time.Minute {
				t.Errorf("step %d: %s %q at %s, want %+v", i, state, event, s.At, want)
			}
		}
		if bad := tried.Steps[2]; len(bad.Unused) != 1 || bad.Unused[0].Reason != "json" || bad.Unused[0].Source != "plant" {
			t.Errorf("%+v", bad)
		}
		time.Sleep(time.Minute)
		if n := w.endpoints["ops"].tried(); n != before {
			t.Errorf("a trial sent %d messages", n-before)
		}
		if list, _ := w.Rejects(); len(list) != 0 {
			t.Errorf("a trial is counted: %+v", list)
		}
		if a, err := w.Alarm(t.Context(), "warm/a"); err != nil || a.State != "firing" {
			t.Errorf("%+v, %v", a, err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// What waits for ten minutes is told when they are over, at a step of its own.
func TestTimeGoesOnAfterATrialsLastMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		trial := trialOf("plant/a", 5*time.Minute, `{"humidity":90}`, `{"humidity":91}`)
		trial.Rule = "slow"
		tried, err := w.Try(t.Context(), trial)
		if err != nil || len(tried.Steps) != 2 || len(tried.Pending) != 1 || tried.Pending[0] != "slow" {
			t.Fatalf("%+v, %v", tried, err)
		}
		trial.Wait = 8 * time.Minute
		if tried, err = w.Try(t.Context(), trial); err != nil || len(tried.Steps) != 4 || len(tried.Pending) != 0 {
			t.Fatalf("%+v, %v", tried, err)
		}
		fired, end := tried.Steps[2], tried.Steps[3]
		if fired.Topic != "" || len(fired.Events) != 1 || fired.At.Sub(tried.Begin) != 10*time.Minute || fired.Why[0].State != "firing" || end.At.Sub(tried.Begin) != 13*time.Minute || len(end.Why) != 1 {
			t.Errorf("%+v\n%+v", fired, end)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTrialSaysWhyNothingCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		tried, err := w.Try(t.Context(), trialOf("hall/a", 0, `1`))
		if u := tried.Steps[0].Unused; err != nil || len(u) != 1 || u[0].Reason != "unmatched" || !strings.Contains(u[0].Detail, "plant reads plant/{device}") {
			t.Errorf("%+v, %v", tried, err)
		}
		trial := trialOf("plant/a", 0, `{"temperature":1}`)
		trial.Rule = "slow"
		if tried, err = w.Try(t.Context(), trial); err != nil || !strings.Contains(tried.Steps[0].Note, "it is about humidity") {
			t.Errorf("%+v, %v", tried, err)
		}
		trial.Messages = append(trial.Messages, bridge.TrialMessage{Topic: "plant/a", At: time.Now().Add(-time.Hour)})
		if _, err = w.Try(t.Context(), trial); !errors.Is(err, bridge.ErrTrial) || !strings.Contains(err.Error(), "messages[1]") {
			t.Error(err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// Reminders every second over a year would keep a processor busy for long.
func TestTrialIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rules.Rule["warm"].Renotify = &rules.Renotify{rules.Duration(time.Second)}
		w.start()
		trial := trialOf("plant/a", 0, `{"temperature":1}`)
		trial.Wait = 300 * 24 * time.Hour
		tried, err := w.Try(t.Context(), trial)
		if err != nil || tried.Cut == "" || len(tried.Steps) > 1000 {
			t.Errorf("%d steps, %q, %v", len(tried.Steps), tried.Cut, err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Try(gone, trial); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// The rules that run are judged by twice at once. (Run with -race.)
// Many rules that change their minds at every message would be an answer of some
// hundred megabytes.
func TestTrialOfManyRulesIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.start()
		file := &rules.File{Schema: 1, Rule: map[string]*rules.RuleDef{}}
		for i := range 500 {
			file.Rule[fmt.Sprintf("warm-%d", i)] = &rules.RuleDef{
				Source: "rules.toml:1", Metric: "temperature", Condition: rules.Condition{Above: &rules.Quantity{Value: -15}},
			}
		}
		program, problems := rules.Compile(file)
		if program == nil {
			t.Fatal(problems)
		}
		var payloads []string
		for range 100 {
			payloads = append(payloads, `{"temperature":-10}`, `{"temperature":-20}`)
		}
		trial := trialOf("plant/a", time.Minute, payloads...)
		trial.Program, trial.Rule = program, "warm-1"
		tried, err := w.Try(t.Context(), trial)
		events := 0
		for i := range tried.Steps {
			events += len(tried.Steps[i].Events)
		}
		if err != nil || !strings.Contains(tried.Cut, "events") || events != 5000 || len(tried.Steps) != 11 {
			t.Errorf("%d steps with %d events, %q, %v", len(tried.Steps), events, tried.Cut, err)
		}
	})
}

func TestTrialsAreSafeBesideWhatRuns(t *testing.T) {
	w := newWorld(t)
	w.log.t = nil
	synctest.Test(t, func(t *testing.T) {
		w.start()
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				for j := range 50 {
					if i == 0 {
						w.mustSend(fmt.Sprint("d", j), "temperature", float64(-20+j%10))
					} else if _, err := w.Try(t.Context(), trialOf(fmt.Sprint("plant/d", j), time.Minute, `{"temperature":-10}`, `{"humidity":99}`)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
