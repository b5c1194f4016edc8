package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A crashing run keeps what is on disk beside the stored states: a snapshot, and
// the inputs that came after it.
type crashing struct {
	*run
	memory [][]byte
	states []State
	past   []Input
}

func newCrashing(t tb, p *Program) *crashing {
	r := &crashing{run: newRun(t, p, Options{})}
	r.step(Input{Now: start})
	return r
}

// step takes an input in, and records it.
func (r *crashing) step(in Input) {
	r.t.Helper()
	r.run.step(in)
	r.past = append(r.past, in)
}

// snapshot writes down what the engine knows.
func (r *crashing) snapshot() {
	r.t.Helper()
	r.memory, r.states = snapshot(r.t, r.e)
	r.past = nil
}

// crash replaces the engine by one that knows what a crash leaves behind: the
// last snapshot, the inputs recorded since, and the last transition of each alarm.
func (r *crashing) crash(p *Program) {
	r.t.Helper()
	e := NewEngine(p, Options{})
	for _, record := range r.memory {
		if err := e.Recall(record); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, s := range r.states {
		e.Recollect(s)
	}
	for _, in := range r.past {
		e.Rehearse(in)
	}
	for _, text := range sortedBytes(r.stored) {
		var s State
		if err := json.Unmarshal(text, &s); err != nil {
			r.t.Fatal(err)
		}
		if s.Rule == "" {
			continue // of an event that is no alarm's
		}
		e.Restore(s)
	}
	r.e = e
}

// away is downtime after a crash.
func (r *crashing) away(down *Gap) {
	r.t.Helper()
	r.step(Input{Now: down.To, Gap: down})
}

// sortedBytes are what a map holds, in order of its keys.
func sortedBytes(m map[string][]byte) [][]byte {
	var list [][]byte
	for _, key := range sortedKeys(m) {
		list = append(list, m[key])
	}
	return list
}

func sortedKeys(m map[string][]byte) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// decisions are what a run told, as far as a crash may change nothing of it: what
// was told of each alarm, and of what is none, in order, when, and to whom.
func (r *run) decisions() []string {
	var list []string
	for i := range r.events {
		ev := &r.events[i]
		list = append(list, fmt.Sprint(ev.Alarm.Key, " ", ev.Type, " ", ev.Alarm.Seq, " ", ev.At.Sub(start), " ", ev.Alarm.Severity, " ", ev.ID, " ", ev.Endpoints, " muted=", ev.Muted, " relapses=", ev.Alarm.Relapses))
	}
	slices.SortStableFunc(list, func(a, b string) int {
		x, _, _ := strings.Cut(a, " ")
		y, _, _ := strings.Cut(b, " ")
		return strings.Compare(x, y)
	})
	return list
}

// delayed is an input, and all that it says of time, so much later.
func delayed(in Input, by time.Duration) Input {
	in.Now = in.Now.Add(by)
	shift := func(s Sample) Sample {
		s.At, s.Received = s.At.Add(by), s.Received.Add(by)
		return s
	}
	if in.Sample != nil {
		s := shift(*in.Sample)
		in.Sample = &s
	}
	for i := range in.Batch {
		in.Batch[i] = shift(in.Batch[i])
	}
	if in.Gap != nil {
		in.Gap = &Gap{in.Gap.From.Add(by), in.Gap.To.Add(by)}
	}
	if in.Command != nil {
		c := *in.Command
		c.Until = c.Until.Add(by)
		in.Command = &c
	}
	return in
}

// I4: a crash at whatever moments, with snapshots at whatever moments, changes
// nothing but words.
func TestWhateverTheRulesACrashChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p := drawFile(t)
		story := drawInputs(t, storyLength)
		a, b := begun(t, p), newCrashing(t, p)
		late, how := time.Duration(0), ""
		for i := range story {
			story[i] = delayed(story[i], late)
			in := story[i]
			a.step(in)
			b.step(in)
			switch rapid.IntRange(0, 11).Draw(t, "crash") {
			case 8:
				how += fmt.Sprint(" snapshot after ", i+1)
				b.snapshot()
			case 9, 10:
				how += fmt.Sprint(" crash after ", i+1)
				b.crash(p)
			case 11:
				how += fmt.Sprint(" crash and downtime after ", i+1)
				down := &Gap{in.Now, in.Now.Add(rapid.SampledFrom([]time.Duration{time.Second, 4 * time.Minute, time.Hour}).Draw(t, "down"))}
				a.step(Input{Now: down.To, Gap: down})
				b.crash(p)
				b.away(down)
				late += down.To.Sub(down.From)
			}
		}
		later(story, a)
		later(story, b.run)
		differ(t, file, story, "crashes:"+how, a.decisions(), b.decisions())
		checkStandings(t, b.run)
	})
}

// I1 and I2 over crashes in which what came last is lost, or all that was recorded.
func TestWhateverTheRulesEveryEpisodeIsToldWholeOverCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p := drawFile(t)
		story := drawInputs(t, storyLength)
		r := newCrashing(t, p)
		for _, in := range story {
			r.step(in)
			if rapid.IntRange(0, 4).Draw(t, "crash") == 4 {
				r.past = r.past[:rapid.IntRange(0, len(r.past)).Draw(t, "recorded")]
				r.crash(p)
				r.away(&Gap{in.Now, in.Now.Add(time.Second)})
			}
		}
		later(story, r.run)
		// What is no alarm's is not in the states: it may be told again, under its id.
		r.events = slices.DeleteFunc(r.events, func(ev Event) bool { return ev.Alarm.Key == "" })
		checkWhole(t, r.run, file, story)
		checkStandings(t, r.run)
	})
}

// crashAnywhere plays a story, and then with a crash after each thing that happens
// in it, from snapshots before each: what is told is the same.
func crashAnywhere(t *testing.T, rules, story string, want ...string) {
	t.Helper()
	tell(t, rules, "0s tick\n"+story, want...).crashes(t, story)
}

// crashes plays what a scene has played, with a crash after each thing that happened.
func (s *scene) crashes(t *testing.T, story string) {
	t.Helper()
	told := s.decisions()
	for at := range s.inputs {
		for kept := range at + 1 {
			r := &crashing{run: newRun(t, s.e.program, Options{})}
			for i, in := range s.inputs {
				r.step(in)
				if i == kept {
					r.snapshot()
				}
				if i == at {
					r.crash(s.e.program)
				}
			}
			if got := r.decisions(); !slices.Equal(got, told) {
				t.Errorf("%s\ncrash after %d, snapshot after %d: told\n  %s\nwant\n  %s", story, at, kept, strings.Join(got, "\n  "), strings.Join(told, "\n  "))
				return
			}
		}
	}
}

// A contact that has ended a silence is known by the end of the alarm, where it was
// not recorded yet.
func TestAContactThatEndedASilenceOutlivesACrash(t *testing.T) {
	const rules = "[rule.quiet]\nsilent = \"5m\"\n"
	s := tell(t, rules, "0s tick\n1m d x=1\n20m d x=1", "6m fired warning quiet/d", "20m resolved warning quiet/d")
	for recorded := range s.inputs {
		r := &crashing{run: newRun(t, s.e.program, Options{})}
		for _, in := range s.inputs {
			r.step(in)
		}
		r.past = r.past[:recorded]
		r.crash(s.e.program)
		known := len(r.events)
		r.away(&Gap{minutes(20), minutes(21)})
		r.tick(minutes(25.9))
		if len(r.events) > known {
			t.Errorf("with %d inputs recorded it fires %v after the device was heard", recorded, r.events[known].At.Sub(minutes(20)))
		}
		if r.tick(minutes(60)); len(r.events) != known+1 {
			t.Errorf("with %d inputs recorded an hour of silence is told %d times", recorded, len(r.events)-known)
		}
	}
}

// What stands still while the source is away has the time to go on that it was
// given when the source came back.
func TestACrashForgetsNoReturnOfASource(t *testing.T) {
	const rules = "[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\nabove = 2\n"
	crashAnywhere(t, rules, `
		0s up plant
		0s d x=3
		10s down plant
		30m up plant
		40m tick`,
		"0s fired warning hot/d", "33m stale warning hot/d")
	crashAnywhere(t, rules+"for = \"10m\"\n", `
		0s up plant
		0s d x=3
		10s down plant
		30m up plant
		31m d x=3
		33m d x=3
		34m gap 10s
		35m..38m/1m d x=3
		60m tick`,
		"38m10s fired warning hot/d", "41m stale warning hot/d")
}

// What our clock has stamped goes back with it, of alarms at rest too.
func TestACrashForgetsNoClockThatWasSetBack(t *testing.T) {
	crashAnywhere(t, "[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\nabove = 2\nno_data = \"fire\"\n", `
		9m d x=3 clock=arrival
		10m d x=1 clock=arrival
		11m back 6m
		20m tick`,
		"9m fired warning hot/d", "10m resolved warning hot/d", "7m fired warning hot/d reason=no_data")
}

// What is due at the end of a life is told as of then, though it is told in the
// next.
func TestWhatWasDueBeforeACrashIsToldAsOfThen(t *testing.T) {
	s := newScene(t, "[device.d]\nevery = \"1m\"\n[schedule.early]\nhours = [\"00:00-14:10\"]\n[rule.hot]\nmetric = \"x\"\nabove = 2\nschedule = \"early\"\nstale_after = \"1d\"\n[rule.hot.escalate.unacked]\nafter = \"5m\"\nseverity = \"critical\"\n")
	s.play("0s d x=3")
	s.restart(s.e.program)
	s.step(Input{Now: minutes(20), Gap: &Gap{minutes(6), minutes(20)}})
	if got, want := brief(&s.events[len(s.events)-1]), "5m escalated critical hot/d reason=unacked"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// A parent whose source is away explains nothing, whoever noticed when.
func TestACrashForgetsNobodyWhoWaitedForAParent(t *testing.T) {
	crashAnywhere(t, "[device.gw]\nevery = \"1m\"\n[device.b]\nvia = \"gw\"\n[rule.gone]\nsilent = \"5m\"\nexplain_by = \"via\"\n", `
		0s up plant
		0s..2m/1m gw x=1
		330s down plant
		6m tick
		20m tick`,
		"5m30s fired warning gone/b delayed=30s")
}

// So it does of one that had only been on its way, of which an older state is stored:
// what comes after is not older than that.
func TestACrashForgetsNoClockThatWasSetBackUnderAnAlarmThatNeverFired(t *testing.T) {
	const (
		rules  = "[rule.low]\nmetric = \"x\"\nat_most = -3\nsamples = 2\n[rule.hot]\nmetric = \"x\"\nabove = 2\n"
		before = "0s tick\n9m d x=-5 clock=arrival\n10m d x=3 clock=arrival\n11m back 6m"
		after  = "6m d x=1 clock=arrival"
	)
	s := tell(t, rules, before, "10m fired warning hot/d")
	s.play(after)
	s.expect("6m resolved warning hot/d")
	s.crashes(t, before+"\n"+after)

	s = newScene(t, rules)
	s.play(strings.Replace(before, "11m", "10m reload\n11m", 1))
	for _, text := range sortedBytes(s.stored) {
		var state State
		if err := json.Unmarshal(text, &state); err != nil {
			t.Fatal(err)
		}
		if at := state.LastAt.Sub(start); at != 4*time.Minute {
			t.Errorf("after a reload, %s is stored with a reading of %s, want 4m: %s", state.Rule, at, text)
		}
	}
}
