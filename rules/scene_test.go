package rules

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A scene plays a story, one line of text for each thing that happens, and keeps
// what is told as lines of text:
//
//	5m pump temperature=21 door=open        readings of the device pump
//	0m..9m/1m pump temperature=21           the same, again and again
//	5m pump temperature=21 age=2m +retained readings that are older, and flags
//	5m batch pump temperature -4m=3 0s=7    one message; times relative to now
//	5m lost pump, 5m lost pump why          presence
//	5m down plant, 6m up plant              the source's connection
//	5m ack hot/pump, shelve hot/pump 1h     what people do
//	5m gap 3m                               nobody listened for the last 3m
//	5m back 3m                              our clock is set back by 3m
//	5m restart, 5m reload, 5m tick
//
// Labels come with a reading as label:room=a. An event is written
// "10m fired warning hot/pump", with what is special about it behind.
type scene struct {
	*run
	file *File
	now  time.Time
	told []string
}

func newScene(t testing.TB, rules string) *scene {
	t.Helper()
	f := readFile(t, rules)
	if f.Defaults.Notify == nil {
		f.Defaults.Notify = []string{"ops"}
	}
	for _, r := range f.Rule {
		r.Source = "rules.toml:1"
	}
	s := &scene{file: f, now: start}
	p, list := Compile(f)
	if p == nil {
		t.Fatalf("file refused:\n%s", problems(list))
	}
	s.run = newRun(t, p, Options{})
	return s
}

// tell plays a story to rules and compares what is told.
func tell(t *testing.T, rules, story string, want ...string) *scene {
	t.Helper()
	s := newScene(t, rules)
	s.play(story)
	s.expect(want...)
	return s
}

// expect compares what has been told since it was asked last.
func (s *scene) expect(want ...string) {
	s.t.Helper()
	got := s.told
	s.told = nil
	for i := range want {
		want[i] = strings.Join(strings.Fields(want[i]), " ")
	}
	if !slices.Equal(got, want) {
		s.t.(*testing.T).Errorf("told\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (s *scene) play(story string) {
	s.t.Helper()
	type action struct {
		at    time.Duration
		words []string
	}
	var list []action
	for line := range strings.Lines(story) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		when, every, _ := strings.Cut(words[0], "/")
		from, to, repeated := strings.Cut(when, "..")
		if !repeated {
			to, every = from, "1s"
		}
		for at := s.duration(from); at <= s.duration(to); at += s.duration(every) {
			list = append(list, action{at, words[1:]})
		}
	}
	slices.SortStableFunc(list, func(a, b action) int { return cmp.Compare(a.at, b.at) })
	for _, a := range list {
		s.happen(a.at, a.words)
	}
}

func (s *scene) duration(text string) time.Duration {
	s.t.Helper()
	size, negative := strings.CutPrefix(text, "-")
	d, err := ParseDuration(size)
	if err != nil {
		s.t.Fatal(err)
	}
	if negative {
		return -d
	}
	return d
}

func (s *scene) happen(at time.Duration, words []string) {
	s.t.Helper()
	s.now = start.Add(at)
	known := len(s.events)
	verb, object := words[0], ""
	if len(words) > 1 {
		object = words[1]
	}
	in := Input{Now: s.now}
	switch verb {
	case "gap":
		in.Gap = &Gap{s.now.Add(-s.duration(object)), s.now}
		s.tick(in.Gap.From)
	case "back":
		s.tick(s.now)
		in.Now = s.now.Add(-s.duration(object))
		in.Gap = &Gap{s.now, in.Now}
	default:
		s.tick(s.now)
	}
	switch verb {
	case "tick":
		s.step(in)
	case "gap", "back":
		s.step(in)
	case "restart":
		s.revive(s.e.program)
	case "reload":
		s.reload()
	case "online", "lost", "offline", "sleeping", "unknown":
		var status Status
		if err := status.UnmarshalText([]byte(verb)); err != nil {
			s.t.Fatal(err)
		}
		in.Presence = &Presence{Source: "plant", Device: object, Status: status, Reason: strings.Join(words[2:], " "), At: s.now}
		s.step(in)
	case "down", "up":
		in.Link = &Link{Source: object, Connected: verb == "up"}
		s.step(in)
	case "ack", "unack", "reset", "unshelve":
		in.Command = &Command{Verb: Verb(verb), Key: object, By: "ann"}
		s.step(in)
	case "shelve":
		in.Command = &Command{Verb: Shelve, Key: object, By: "ann", Until: s.now.Add(s.duration(words[2]))}
		s.step(in)
	case "batch":
		s.batch(in, object, words[2], words[3:])
	case "message":
		in.Batch = s.readings(object, words[2:])
		s.step(in)
	default:
		for _, sample := range s.readings(verb, words[1:]) {
			in.Sample = &sample
			s.step(in)
		}
	}
	if in.Command != nil && len(s.out.Problems) > 0 {
		s.told = append(s.told, written(at)+" refused "+s.out.Problems[0])
	}
	for i := range s.events[known:] {
		s.told = append(s.told, brief(&s.events[known+i]))
	}
}

func (s *scene) batch(in Input, device, metric string, words []string) {
	for _, w := range words {
		ago, value, _ := strings.Cut(w, "=")
		sample := *reading(s.now.Add(s.duration(ago)), scalarOf(value))
		sample.Device, sample.Metric, sample.Received = device, metric, s.now
		in.Batch = append(in.Batch, sample)
	}
	s.step(in)
}

func scalarOf(text string) any {
	if v, err := strconv.ParseFloat(text, 64); err == nil {
		return v
	}
	return text
}

// readings makes the samples of one line.
func (s *scene) readings(device string, words []string) []Sample {
	s.t.Helper()
	base := *reading(s.now, 0.0)
	base.Device = device
	var list []Sample
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		label, isLabel := strings.CutPrefix(key, "label:")
		switch {
		case isLabel:
			if base.Labels == nil {
				base.Labels = map[string]string{}
			}
			base.Labels[label] = value
		case key == "age":
			base.At = s.now.Add(-s.duration(value))
		case key == "source":
			base.Source = value
		case key == "clock" && value == "arrival":
			base.Clock = ClockArrival
		case key == "+retained":
			base.Flags |= Retained
		case key == "+historical":
			base.Flags |= Historical
		case key == "+dup":
			base.Flags |= Dup
		default:
			v := reading(s.now, scalarOf(value))
			v.Metric = key
			if bad, ok := strings.CutPrefix(value, "!"); ok {
				v.Invalid = bad
			}
			list = append(list, *v)
		}
	}
	for i := range list {
		v := list[i]
		list[i] = base
		list[i].Metric, list[i].Kind, list[i].Num, list[i].Text, list[i].Invalid = v.Metric, v.Kind, v.Num, v.Text, v.Invalid
	}
	return list
}

// snapshot is all that an engine writes on a clean stop, through JSON.
func snapshot(t tb, e *Engine) (memory [][]byte, states []State) {
	t.Helper()
	for record := range e.Memory() {
		memory = append(memory, record)
	}
	for st := range e.States() {
		text, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		var back State
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		states = append(states, back)
	}
	return memory, states
}

// revive replaces the engine by one that knows what was written on a clean stop.
func (r *run) revive(p *Program) {
	r.t.Helper()
	memory, states := snapshot(r.t, r.e)
	e := NewEngine(p, r.e.options)
	for _, record := range memory {
		if err := e.Recall(record); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, st := range states {
		if !e.Restore(st) && (phaseLeft(&st) || !st.FiredAt.IsZero()) {
			r.t.Fatalf("not restored: %s/%s", st.Rule, st.Device)
		}
	}
	r.e = e
}

// reload compiles the file again, as it is now.
func (s *scene) reload() {
	s.t.Helper()
	p, list := Compile(s.file)
	if p == nil {
		s.t.Fatalf("file refused:\n%s", problems(list))
	}
	s.out.Reset()
	s.e.Reload(p, s.now, nil, &s.out)
	s.keep()
}

// keep keeps what came out beside a step.
func (r *run) keep() {
	r.t.Helper()
	for _, tr := range r.out.Transitions {
		text, err := json.Marshal(tr.State)
		if err != nil {
			r.t.Fatal(err)
		}
		r.stored[tr.State.Key] = text
		for i := range tr.Events {
			body, err := tr.Events[i].AppendJSON(nil)
			if err != nil {
				r.t.Fatal(err)
			}
			r.events, r.bytes = append(r.events, tr.Events[i]), append(r.bytes, string(body))
		}
	}
}

// change edits the file, which a reload then reads.
func (s *scene) change(edit func(*File)) *scene {
	edit(s.file)
	return s
}

// brief is an event in a line.
func brief(ev *Event) string {
	b := written(ev.At.Sub(start)) + " " + strings.TrimPrefix(string(ev.Type), "alarm.")
	if ev.Alarm.Key != "" {
		b += " " + ev.Alarm.Severity.String() + " " + ev.Alarm.Key
	} else if ev.Device.ID != "" {
		b += " " + ev.Device.ID
	}
	note := func(name, value string) {
		if value != "" {
			b += " " + name + "=" + strings.ReplaceAll(value, " ", "_")
		}
	}
	if ev.Type == AlarmResolved && ev.Reason == "cleared" {
		ev.Reason = ""
	}
	note("reason", ev.Reason)
	if d, err := time.ParseDuration(ev.DelayedBy); err == nil {
		note("delayed", written(d))
	}
	note("muted", ev.Muted)
	note("explains", strings.Join(ev.Explains, ","))
	if ev.Reminder > 0 {
		note("n", strconv.Itoa(ev.Reminder))
	}
	if ev.Type == AlarmOccurred {
		note("from", written(ev.Alarm.StartedAt.Sub(start)))
		note("to", written(ev.EndedAt.Sub(start)))
	}
	if f := ev.Flood; f != nil {
		note("flood", fmt.Sprintf("%d/%d", f.Fired, f.Firing))
		if f.Over {
			b += " over"
		}
	}
	if ev.Alarm.FirstSeen {
		b += " first-seen"
	}
	if y := ev.Sync; y != nil {
		b += fmt.Sprintf(" %d/%d", y.Part, y.Parts)
		for _, a := range y.Alarms {
			b += " " + a.State + ":" + a.Severity.String() + ":" + a.Key
		}
	}
	note("source", ev.Source)
	if to := strings.Join(ev.Endpoints, ","); to != "ops" {
		b += " to=" + to
	}
	return b
}
