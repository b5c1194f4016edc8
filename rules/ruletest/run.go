package ruletest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/rules"
)

// A Result is what came of one test.
type Result struct {
	Name   string
	Source string // file:line of the test
	Rule   string // the rule it is about, "" for all of them
	Device string

	// Err is why the test could not be run, with what to change; nil if it was.
	Err error

	// Failures say what was not as expected, several lines each; none is passed.
	Failures []string

	Events     []rules.Event  // of the rule, in order
	Recorded   []rules.Event  // of the rule, that nobody was told of, because it was muted
	Unused     map[string]int // readings that were not judged, by reason
	Moved      []string       // rules whose alarms changed, by id: not all changes are events
	Start, End time.Time
}

// Passed reports whether the test ran and all was as expected.
func (r *Result) Passed() bool { return r.Err == nil && len(r.Failures) == 0 }

// String is the result for people: place, fact, and what was expected and got.
func (r *Result) String() string {
	place := "test " + strconv.Quote(r.Name)
	if r.Source != "" {
		place = r.Source + ": " + place
	}
	switch {
	case r.Err != nil:
		return place + ": " + r.Err.Error()
	case r.Passed():
		return place + " passed"
	}
	s := place + " failed\n" + strings.Join(r.Failures, "\n")
	for i := range r.Recorded {
		s += "\n  recorded, and nobody told: " + line(r.Start, &r.Recorded[i]) + ": " + r.Recorded[i].Muted
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Unused)) {
		s += fmt.Sprintf("\n  readings not judged (%s): %d", reason, r.Unused[reason])
	}
	return s
}

// RunAll runs every test of a file, by name.
func RunAll(file *rules.File, program *rules.Program) []Result {
	var results []Result
	for _, name := range slices.Sorted(maps.Keys(file.Test)) {
		results = append(results, Run(file, program, file.Test[name], name))
	}
	return results
}

// Run runs one test on the program of a file.
func Run(file *rules.File, program *rules.Program, def *rules.TestDef, name string) Result {
	result := Result{Name: name, Source: def.Source, Rule: def.Rule, Device: def.Device}
	program, err := withDevice(file, program, def)
	if err != nil {
		result.Err = err
		return result
	}
	s, err := script(file, def)
	if err != nil {
		result.Err = err
		return result
	}
	result.Start, result.End = s.start, s.start.Add(s.until)
	each, err := s.play(program, max(time.Second, (s.until/200_000).Round(time.Second)))
	if err == nil {
		var few *play
		if few, err = s.play(program, 0); err == nil {
			result.Failures = append(result.Failures, differ(s.start, each.events, few.events)...)
		}
	}
	if err != nil {
		result.Err = err
		return result
	}
	for _, ev := range each.events {
		switch {
		case def.Rule != "" && ev.Rule.ID != def.Rule && ev.Rule.ID != "":
		case ev.Muted != "":
			result.Recorded = append(result.Recorded, ev)
		default:
			result.Events = append(result.Events, ev)
		}
	}
	result.Unused, result.Moved = each.unused, slices.Sorted(maps.Keys(each.moved))
	result.Failures = append(result.Failures, each.faults...)
	result.Failures = append(result.Failures, compare(s.start, def.Expect, result.Events)...)
	return result
}

// withDevice is the program with the test's device, if only the test describes
// it: by type and labels, or else as one that the rule's devices select.
func withDevice(file *rules.File, program *rules.Program, def *rules.TestDef) (*rules.Program, error) {
	switch {
	case def.Type != "" && file.Device[def.Device] != nil:
		return nil, fmt.Errorf("type is for a device that the file does not describe, and [device.%s] is there (remove type from the test)", def.Device)
	case def.Type != "" && def.Device == "":
		return nil, errors.New(`type is there, and no device (write device = "freezer-03")`)
	case file.Device[def.Device] != nil || def.Device == "":
		return program, nil
	}
	described := &rules.DeviceDef{Type: def.Type, Labels: def.Labels}
	if def.Type == "" && def.Labels == nil {
		if described = selected(file, file.Rule[def.Rule]); described == nil {
			return program, nil
		}
	}
	copied := *file
	copied.Device = maps.Clone(file.Device)
	if copied.Device == nil {
		copied.Device = map[string]*rules.DeviceDef{}
	}
	copied.Device[def.Device] = described
	with, problems := rules.Compile(&copied)
	if with == nil {
		for _, p := range problems {
			if !p.Warning {
				return nil, fmt.Errorf("with the test's device, %s %s (%s)", strings.Join(p.Path, "."), p.Fact, p.Remedy)
			}
		}
	}
	return with, nil
}

// selected describes a device that the first pattern of a rule selects by type,
// group or label; nil where the device's name alone decides.
func selected(file *rules.File, rule *rules.RuleDef) *rules.DeviceDef {
	if rule == nil || len(rule.Devices) == 0 {
		return nil
	}
	kind, rest, _ := strings.Cut(rule.Devices[0], ":")
	match := map[string]string{}
	switch kind {
	case "type":
		match["type"] = rest
	case "label":
		name, value, _ := strings.Cut(rest, "=")
		match[name] = value
	case "group":
		match = groupMatch(file.Group[rest])
	default:
		return nil
	}
	def := &rules.DeviceDef{Labels: map[string]string{}}
	for name, value := range match {
		switch name {
		case "type":
			def.Type = value
		case "id":
		default:
			def.Labels[name] = value
		}
	}
	return def
}

// A moment is what happens at one time of a test.
type moment struct {
	at    time.Duration
	input rules.Input // but for its Now
	stop  string      // "restart" or "crash"; "" for an input
	down  time.Duration
	text  string // the step as people know it, for commands
}

// A plot is a test made ready to be played.
type plot struct {
	start    time.Time
	until    time.Duration
	maxAhead time.Duration       // how far ahead of ours a device's clock is believed
	moments  []moment            // ascending
	outside  map[rules.Type]bool // events that are no alarm's, and are expected
}

// source is where a test's readings come from.
const source = "test"

// script makes a plot of a test.
func script(file *rules.File, def *rules.TestDef) (*plot, error) {
	s := &plot{start: def.Start, maxAhead: time.Minute, outside: map[rules.Type]bool{}}
	if ahead := file.Defaults.MaxAhead; ahead != nil {
		s.maxAhead = time.Duration(*ahead)
	}
	if s.start.IsZero() {
		s.start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	every := time.Duration(def.Every)
	if every == 0 {
		every = time.Minute
	}
	if def.Rule != "" && file.Rule[def.Rule] == nil {
		return nil, fmt.Errorf("there is no rule %q (write the id of one, or remove rule to look at all)", def.Rule)
	}
	turns := map[int][]rules.Sample{} // the values of one time are one message
	for _, metric := range slices.Sorted(maps.Keys(def.Values)) {
		text := def.Values[metric]
		if metric = cmp.Or(metric, def.Metric, ruleMetric(file, def.Rule)); metric == "" {
			return nil, errors.New(`nothing says of which metric the values are (write metric = "temperature", or values = { temperature = "…" })`)
		}
		if def.Device == "" {
			return nil, errors.New(`values are there, and no device (write device = "freezer-03")`)
		}
		list, err := parseValues(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", metric, err)
		}
		for i, r := range list {
			if time.Duration(i) > math.MaxInt64/4/every {
				return nil, fmt.Errorf("%d values, one each %s, take too long (write fewer, or a shorter every)", len(list), every)
			}
			at := time.Duration(i) * every
			s.until = max(s.until, at+every)
			if !r.missing {
				turns[i] = append(turns[i], *r.sample(def.Device, metric, def.Labels, s.start.Add(at), 0))
			}
		}
	}
	for _, i := range slices.Sorted(maps.Keys(turns)) {
		s.moments = append(s.moments, moment{at: time.Duration(i) * every, input: message(turns[i])})
	}
	for i := range def.Step {
		step := &def.Step[i]
		list, err := s.step(def, step)
		if err != nil {
			return nil, fmt.Errorf("the step at %s: %w", short(time.Duration(step.At)), err)
		}
		s.moments = append(s.moments, list...)
		s.until = max(s.until, time.Duration(step.At)+every)
	}
	slices.SortStableFunc(s.moments, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	for _, e := range def.Expect {
		if !slices.Contains(eventNames(), strings.TrimPrefix(e.Event, "alarm.")) && e.Event != "" {
			return nil, fmt.Errorf("%q is no event (%s)", e.Event, eventHint(e.Event))
		}
		s.outside[rules.Type(e.Event)] = true
		if rules.Type("alarm."+e.Event) == rules.AlarmFlood {
			s.outside[rules.AlarmFlood] = true
		}
		s.until = max(s.until, time.Duration(e.At))
	}
	if def.Until != nil {
		s.until = time.Duration(*def.Until)
	}
	return s, nil
}

// eventNames are the events that a test can expect, as it writes them.
func eventNames() []string {
	var names []string
	for _, t := range []rules.Type{
		rules.AlarmFired, rules.AlarmEscalated, rules.AlarmDeescalated, rules.AlarmReminder, rules.AlarmReturned,
		rules.AlarmResolved, rules.AlarmCancelled, rules.AlarmOccurred, rules.AlarmFlapping, rules.AlarmFlapEnded,
		rules.AlarmStale, rules.AlarmAcked, rules.AlarmUnacked, rules.AlarmShelved, rules.AlarmUnshelved, rules.AlarmFlood,
		rules.DeviceOnline, rules.DeviceOffline, rules.DeviceNew, rules.DeviceChatty, rules.SourceDisconnected, rules.SourceReconnected, rules.DevicesNearLimit, rules.DevicesBelowLimit, rules.ReadingMatched,
	} {
		names = append(names, strings.TrimPrefix(string(t), "alarm."))
	}
	return names
}

func eventHint(name string) string {
	name = strings.TrimPrefix(name, "alarm.")
	for _, n := range eventNames() {
		if name == "pending" || name == "recovering" {
			return "an alarm that is " + name + " tells nobody: expect nothing, or what comes after it"
		}
		if len(name) > 2 && (strings.HasPrefix(n, name) || strings.HasPrefix(name, n)) {
			return fmt.Sprintf("did you mean %q?", n)
		}
	}
	return "one of " + strings.Join(eventNames(), ", ")
}

// ruleMetric is the metric a rule looks at; "" if it looks at several.
func ruleMetric(file *rules.File, id string) string {
	if def := file.Rule[id]; def != nil {
		return def.Metric
	}
	return ""
}

func (r reading) sample(device, metric string, labels map[string]string, now time.Time, age time.Duration) *rules.Sample {
	s := &rules.Sample{
		Source: source, Device: device, Metric: metric, Labels: labels,
		Kind: r.kind, Num: r.num, Text: r.text, Invalid: r.invalid, At: now.Add(-age), Received: now,
	}
	if age != 0 {
		s.Clock = rules.ClockDevice
	}
	return s
}

// message is the input that readings which come together are.
func message(list []rules.Sample) rules.Input {
	if len(list) == 1 {
		return rules.Input{Sample: &list[0]}
	}
	return rules.Input{Batch: list}
}

// step reads one [[step]] as the inputs it stands for.
func (s *plot) step(def *rules.TestDef, step *rules.TestStep) ([]moment, error) {
	at, now := time.Duration(step.At), s.start.Add(time.Duration(step.At))
	device, rule := cmp.Or(step.Device, def.Device), cmp.Or(step.Rule, def.Rule)
	labels := step.Labels
	if labels == nil && device == def.Device {
		labels = def.Labels
	}
	var list []moment
	var set []rules.Sample
	for _, metric := range slices.Sorted(maps.Keys(step.Set)) {
		values, err := parseValues(string(step.Set[metric]))
		if err != nil || len(values) != 1 {
			values = []reading{{kind: rules.Text, text: string(step.Set[metric])}}
		}
		age := time.Duration(step.Age)
		if -age > s.maxAhead { // such a clock is not believed: the arrival counts
			age = 0
		}
		if values[0].missing {
			return nil, fmt.Errorf("%s is set to nothing (remove it)", metric)
		}
		sample := values[0].sample(device, metric, labels, now, age)
		if step.Retained {
			sample.Flags |= rules.Retained
		}
		set = append(set, *sample)
	}
	if len(set) > 0 {
		list = append(list, moment{at: at, input: message(set)})
	}
	if step.Presence != "" {
		p := &rules.Presence{Source: source, Device: device, At: now}
		if err := p.Status.UnmarshalText([]byte(step.Presence)); err != nil {
			return nil, err
		}
		list = append(list, moment{at: at, input: rules.Input{Presence: p}})
	}
	if len(list) > 0 && device == "" {
		return nil, errors.New(`names no device (write device = "freezer-03" in the step or in the test)`)
	}
	switch step.Source {
	case "":
	case "connected", "disconnected":
		list = append(list, moment{at: at, input: rules.Input{Link: &rules.Link{Source: source, Connected: step.Source == "connected"}}})
	default:
		return nil, fmt.Errorf("source is %q (write connected or disconnected)", step.Source)
	}
	for _, c := range []struct {
		asked bool
		rules.Command
	}{
		{step.Ack != "", rules.Command{Verb: rules.Ack, By: step.Ack}},
		{step.Unack, rules.Command{Verb: rules.Unack}},
		{step.Shelve > 0, rules.Command{Verb: rules.Shelve, Until: now.Add(time.Duration(step.Shelve))}},
		{step.Unshelve, rules.Command{Verb: rules.Unshelve}},
		{step.Reset, rules.Command{Verb: rules.Reset}},
	} {
		if !c.asked {
			continue
		}
		if rule == "" || device == "" {
			return nil, fmt.Errorf("%s needs to know of which alarm (write rule and device in the step or in the test)", c.Verb)
		}
		c.Key = rule + "/" + device
		list = append(list, moment{at: at, input: rules.Input{Command: &c.Command}, text: string(c.Verb) + " of " + c.Key})
	}
	switch {
	case step.Restart && step.Crash:
		return nil, errors.New("has both restart and crash (keep one of them)")
	case step.Down > 0 && !step.Restart && !step.Crash:
		return nil, errors.New("down goes with restart or crash (write restart = true)")
	case step.Restart:
		list = append(list, moment{at: at, stop: "restart", down: time.Duration(step.Down)})
	case step.Crash:
		list = append(list, moment{at: at, stop: "crash", down: time.Duration(step.Down)})
	}
	if len(list) == 0 {
		return nil, errors.New("does nothing (write set, ack, presence, source, restart or another of its keys)")
	}
	return list, nil
}

// differ says how events depend on when ticks came: they must not.
func differ(start time.Time, each, few []rules.Event) []string {
	byAlarm := func(events []rules.Event) []rules.Event {
		return slices.SortedStableFunc(slices.Values(events), func(a, b rules.Event) int { return strings.Compare(a.Alarm.Key, b.Alarm.Key) })
	}
	each, few = byAlarm(each), byAlarm(few)
	for i := range max(len(each), len(few)) {
		a, b := "nothing", "nothing"
		var x, y []byte
		if i < len(each) {
			a, x = line(start, &each[i]), encode(&each[i])
		}
		if i < len(few) {
			b, y = line(start, &few[i]), encode(&few[i])
		}
		if bytes.Equal(x, y) {
			continue
		}
		if a == b {
			a, b = string(x), string(y)
		}
		return []string{"  events depend on when ticks come, which is a fault of tocsin and not of the rules\n    with a tick each second:  " + a + "\n    with ticks when due:      " + b}
	}
	return nil
}

func encode(ev *rules.Event) []byte {
	b, err := ev.AppendJSON(nil)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}
