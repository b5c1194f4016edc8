package ruletest

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"tocsin/rules"
)

// calm is how long an alarm must have been over for the next one not to be the
// same again, and how long an episode lasts that may have been noise.
const calm = 10 * time.Minute

// maxEpisodes bounds the episodes that are kept of a rule, maxMoves the moves
// across its limit.
const (
	maxEpisodes = 10_000
	maxMoves    = 100_000
)

// A Report is what rules would have made of recorded inputs.
type Report struct {
	From, To time.Time // of the bridge's clock
	Inputs   int
	Unused   map[string]int // readings that were not judged, by reason
	Rules    []RuleReport   // by id
}

// A RuleReport is what one rule would have made of them.
type RuleReport struct {
	ID, Source string
	Summary
	List   []Episode // the first 10,000, by the time they fired
	Advice []Advice  // changes that would have made fewer episodes, calmest last
}

// A Summary counts the episodes of a rule, over all its alarms.
type Summary struct {
	Episodes  int
	Flaps     int // of them, those that fired within 10 minutes of the end of the last
	Reminders int
	Muted     int           // episodes beside those, that nobody would have been told of
	InAlarm   time.Duration // together, from when they fired, or would have if their readings had not come late
	Longest   time.Duration
}

// An Episode is one firing of one alarm.
type Episode struct {
	ID             string // as events carry it
	Rule, Instance string // instance is a device, or what a group has in common
	Severity       rules.Severity
	Started, Fired time.Time
	Ended          time.Time // zero: in alarm until the last input
	Reason         string    // why it ended

	occurred time.Time // when it fired, or would have if its readings had not come late
}

// Advice is a change of one key of a rule, and what the same inputs would have
// made of it.
type Advice struct {
	Key   string // "for" or "clear"
	Value string // as a rule file has it
	Summary
}

// Backtest plays recorded inputs to the rules of a file. Where a rule flaps, it
// plays them again with a longer for, and with a wider deadband, and reports what
// would have been calmer: measured on the inputs, not reckoned. That is at most
// one more pass, in which all rules that flap are changed at once; a rule that
// asks for another that flaps is judged beside that one's change.
//
// The inputs must be the same each time they are ranged over; an error of theirs
// ends the test. Inputs are not kept.
func Backtest(file *rules.File, program *rules.Program, inputs iter.Seq2[rules.Input, error]) (Report, error) {
	base := newTally(program)
	noise := newNoise(file)
	report := Report{Unused: base.unused}
	for in, err := range inputs {
		if err != nil {
			return Report{}, fmt.Errorf("reading what was recorded: %w", err)
		}
		if report.Inputs == 0 {
			report.From = in.Now
		}
		report.Inputs++
		noise.take(in)
		if err := base.take(in); err != nil {
			return Report{}, err
		}
	}
	base.close()
	report.To = base.now
	for _, info := range program.Rules() {
		r := RuleReport{ID: info.ID, Source: info.Source, List: base.lists[info.ID]}
		if s := base.sums[info.ID]; s != nil {
			r.Summary = *s
		}
		report.Rules = append(report.Rules, r)
	}
	return report, advise(file, inputs, noise, report.Rules)
}

// A tally counts what an engine tells.
type tally struct {
	engine *rules.Engine
	out    rules.Output
	now    time.Time
	unused map[string]int

	sums    map[string]*Summary
	lists   map[string][]Episode
	open    map[string]*Episode  // by the alarm's key
	pending map[string]bool      // alarms that wait out their for
	ended   map[string]time.Time // the last one, by the alarm's key
}

func newTally(program *rules.Program) *tally {
	return &tally{
		engine: rules.NewEngine(program, rules.Options{}), unused: map[string]int{},
		sums: map[string]*Summary{}, lists: map[string][]Episode{}, open: map[string]*Episode{}, pending: map[string]bool{}, ended: map[string]time.Time{},
	}
}

// take gives the engine one input, after the timers that ended before it.
func (t *tally) take(in rules.Input) error {
	until := in.Now
	if in.Gap != nil {
		until = in.Gap.From // nobody was there to see them end after that
	}
	if err := drain(t.engine, until, func(due time.Time) error { t.step(rules.Input{Now: due}); return nil }); err != nil {
		return err
	}
	t.step(in)
	return nil
}

func (t *tally) step(in rules.Input) {
	t.now = in.Now
	t.out.Reset()
	t.engine.Step(in, &t.out)
	for i := range t.out.Transitions {
		for j := range t.out.Transitions[i].Events {
			t.event(&t.out.Transitions[i].Events[j])
		}
		state := &t.out.Transitions[i].State
		if waits := slices.ContainsFunc(state.Levels, func(l rules.LevelState) bool { return !l.On && !l.Since.IsZero() }); waits {
			t.pending[state.Key] = true
		} else {
			delete(t.pending, state.Key)
		}
	}
	for _, reason := range t.out.Problems {
		t.unused[reason]++
	}
}

func (t *tally) event(ev *rules.Event) {
	id, key := ev.Rule.ID, ev.Alarm.Key
	if id == "" || key == "" {
		return
	}
	sum := t.sums[id]
	if sum == nil {
		sum = &Summary{}
		t.sums[id] = sum
	}
	if ev.Muted != "" {
		if ev.Type == rules.AlarmFired {
			sum.Muted++
		}
		return
	}
	switch ev.Type {
	case rules.AlarmFired:
		sum.Episodes++
		e := newEpisode(ev, ev.At)
		e.occurred = t.occurred(ev)
		if last, ok := t.ended[key]; ok && e.occurred.Sub(last) < calm {
			sum.Flaps++
		}
		t.open[key] = e
	case rules.AlarmOccurred: // beside the one that may be under way
		sum.Episodes++
		e := newEpisode(ev, ev.Alarm.StartedAt)
		e.Ended, e.Reason = e.Started, ev.Reason
		if ev.EndedAt != nil {
			e.Ended = *ev.EndedAt
		}
		if last, ok := t.ended[key]; ok && e.Fired.After(last) && e.Fired.Sub(last) < calm {
			sum.Flaps++
		}
		if t.ended[key].Before(e.Ended) {
			t.ended[key] = e.Ended
		}
		t.count(e, sum, e.Ended)
	case rules.AlarmReminder:
		sum.Reminders++
	case rules.AlarmResolved, rules.AlarmCancelled:
		t.end(key, sum, ev.At, ev.Reason)
	default:
		if e := t.open[key]; e != nil {
			e.Severity = max(e.Severity, ev.Alarm.Severity)
		}
	}
}

// occurred is when an alarm fired. One that nothing was known of before, and whose
// readings had begun long ago when they came, is one of the past which goes on: its
// readings say how long it had lasted, whatever the device's clock shows.
func (t *tally) occurred(ev *rules.Event) time.Time {
	if ev.Reading == nil || ev.DelayedBy != "" || t.pending[ev.Alarm.Key] {
		return ev.At
	}
	return ev.At.Add(-max(0, ev.Reading.At.Sub(ev.Alarm.StartedAt)))
}

func newEpisode(ev *rules.Event, fired time.Time) *Episode {
	id, key := ev.Rule.ID, ev.Alarm.Key
	return &Episode{
		ID: ev.Alarm.Episode, Rule: id, Instance: key[min(len(key), len(id)+1):],
		Severity: ev.Alarm.Severity, Started: ev.Alarm.StartedAt, Fired: fired, occurred: fired,
	}
}

// end ends the open episode of an alarm.
func (t *tally) end(key string, sum *Summary, at time.Time, reason string) {
	e := t.open[key]
	if e == nil {
		return // it fired before the first input
	}
	delete(t.open, key)
	t.ended[key] = at
	e.Ended, e.Reason = at, reason
	t.count(e, sum, at)
}

func (t *tally) count(e *Episode, sum *Summary, until time.Time) {
	lasted := until.Sub(e.occurred)
	sum.InAlarm += lasted
	sum.Longest = max(sum.Longest, lasted)
	if len(t.lists[e.Rule]) < maxEpisodes {
		t.lists[e.Rule] = append(t.lists[e.Rule], *e)
	}
}

// close counts the episodes that go on at the last input.
func (t *tally) close() {
	for _, key := range slices.Sorted(maps.Keys(t.open)) {
		e := t.open[key]
		t.count(e, t.sums[e.Rule], t.now)
	}
	for _, list := range t.lists {
		slices.SortStableFunc(list, func(a, b Episode) int { return a.Fired.Compare(b.Fired) })
	}
}
