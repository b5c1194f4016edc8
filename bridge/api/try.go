package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// A trial is bounded by its messages, by the size of its body, and by time. One is
// played at a time.
const (
	maxTried    = 200
	tryWithin   = 5 * time.Second
	playground  = "playground.toml" // what problems of a text call it
	firstPauses = time.Second       // between messages that do not say when they are
)

// TriedStep is what became of one message, or of time alone.
type TriedStep struct {
	At       time.Time            `json:"at"`
	After    string               `json:"after" doc:"since the first message"`
	Topic    string               `json:"topic,omitempty" doc:"of the message; left out of a step at which a timer ended"`
	Sources  []string             `json:"sources" doc:"that read the topic"`
	Readings []TriedReading       `json:"readings"`
	Unused   []bridge.TriedUnused `json:"unused" doc:"what was not used, and why"`
	Events   []TriedEvent         `json:"events"`
	Rules    []rules.Explanation  `json:"rules" doc:"why the alarms stand as they do after it"`
	Note     string               `json:"note,omitempty"`
}

// A TriedReading is a reading as its source made it, or what a source says of a
// device's presence.
type TriedReading struct {
	Device string `json:"device"`
	rules.EventReading
}

// A TriedEvent is an event that would be told.
type TriedEvent struct {
	Type      rules.Type     `json:"type"`
	At        time.Time      `json:"at"`
	Alarm     string         `json:"alarm,omitempty"`
	Severity  rules.Severity `json:"severity,omitzero"`
	Title     string         `json:"title"`
	Because   string         `json:"because,omitempty"`
	Muted     string         `json:"muted,omitempty" doc:"why nobody would be told"`
	Endpoints []string       `json:"endpoints" doc:"that would be told"`
}

// addTry adds the playground.
func (c *control) addTry() {
	type message struct {
		Topic   string    `json:"topic" minLength:"1" maxLength:"1024"`
		Payload string    `json:"payload"`
		At      time.Time `json:"at,omitzero" doc:"when it comes; left out: after the message before"`
		After   string    `json:"after,omitempty" doc:"how long after the message before, as in 10s or 5m; left out: 1s"`
	}
	type trying struct {
		Body struct {
			Topic    string    `json:"topic,omitempty" maxLength:"1024" doc:"of a single message"`
			Payload  string    `json:"payload,omitempty" doc:"of a single message"`
			Messages []message `json:"messages,omitempty" maxItems:"200" doc:"in the order in which they come"`
			Wait     string    `json:"wait,omitempty" doc:"how long time goes on after the last message, as in 10m"`
			Rule     string    `json:"rule,omitempty" doc:"explain this rule only"`
			Rules    string    `json:"rules,omitempty" doc:"the text of a rule file that is judged by, in place of the rules that run; it may refer to the metrics, devices, groups and schedules that run"`
		}
	}
	type tried struct {
		Steps    []TriedStep `json:"steps"`
		Pending  []string    `json:"pending" doc:"rules whose condition holds at the end, and that wait"`
		Warnings []Problem   `json:"warnings" doc:"of the text of rules"`
		Cut      string      `json:"cut,omitempty" doc:"why not all was played"`
	}
	d := does{bridge.ScopeRead, "try", "Play messages to the rules, and say what would happen; nothing is stored, and nobody is told"}
	asks(c, d, func(ctx context.Context, in *trying) (tried, error) {
		b, answer := &in.Body, tried{Steps: []TriedStep{}, Pending: []string{}, Warnings: []Problem{}}
		trial := bridge.Trial{Rule: b.Rule, Trace: true}
		if b.Topic != "" {
			trial.Messages = append(trial.Messages, bridge.TrialMessage{Topic: b.Topic, Payload: []byte(b.Payload)})
		}
		for i, m := range b.Messages {
			after, err := duration(fmt.Sprintf("messages[%d].after", i), m.After, firstPauses)
			if err != nil {
				return answer, err
			}
			if len(trial.Messages) == 0 && m.After == "" {
				after = 0
			}
			trial.Messages = append(trial.Messages, bridge.TrialMessage{Topic: m.Topic, Payload: []byte(m.Payload), At: m.At, After: after})
		}
		if len(trial.Messages) == 0 || len(trial.Messages) > maxTried {
			return answer, badRequest("messages: there are %d, from 1 to %d can be tried (send topic and payload, or messages)", len(trial.Messages), maxTried)
		}
		var err error
		if trial.Wait, err = duration("wait", b.Wait, 0); err != nil {
			return answer, err
		}
		ctx, cancel := context.WithTimeout(ctx, tryWithin)
		defer cancel()
		done, err := c.turn(ctx)
		if err != nil {
			return answer, err
		}
		defer done()
		if strings.TrimSpace(b.Rules) != "" {
			if trial.Program, answer.Warnings, err = c.compiled(b.Rules); err != nil {
				return answer, err
			}
		}
		found, err := c.bridge.Try(ctx, trial)
		if errors.Is(err, context.DeadlineExceeded) {
			return answer, badRequest("it takes more than %s (try less at once)", tryWithin)
		}
		for i := range found.Steps {
			answer.Steps = append(answer.Steps, stepOf(&found.Steps[i], found.Begin))
		}
		answer.Pending, answer.Cut = append(answer.Pending, found.Pending...), found.Cut
		return answer, err
	})
}

// compiled is the text of a rule file, compiled beside the configuration that runs.
func (c *control) compiled(text string) (*rules.Program, []Problem, error) {
	if c.compile == nil {
		return nil, nil, badRequest("rules: this bridge has no configuration to compile them beside (leave them out)")
	}
	program, problems := c.compile(playground, text)
	if program == nil {
		return nil, nil, &Rejected{Problems: problems, Of: "the rules"}
	}
	return program, append([]Problem{}, problems...), nil
}

// duration reads how long something takes.
func duration(place, text string, standard time.Duration) (time.Duration, error) {
	if text == "" {
		return standard, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, badRequest("%s: %q is no duration (write one as in 10s, 5m or 1h30m)", place, clip(text, 40))
	}
	return d, nil
}

func stepOf(s *bridge.TriedStep, begin time.Time) TriedStep {
	v := TriedStep{
		At: s.At, After: s.At.Sub(begin).String(), Topic: s.Topic, Sources: append([]string{}, s.Read...),
		Readings: []TriedReading{}, Unused: append([]bridge.TriedUnused{}, s.Unused...), Events: []TriedEvent{},
		Rules: append([]rules.Explanation{}, s.Why...), Note: s.Note,
	}
	for i := range s.Readings {
		v.Readings = append(v.Readings, TriedReading{s.Readings[i].Device, bridge.ReadingOf(&s.Readings[i])})
	}
	for _, p := range s.Presence {
		v.Readings = append(v.Readings, TriedReading{p.Device, rules.EventReading{Metric: "presence", Value: p.Status.String(), At: p.At, Quality: "good"}})
	}
	for i := range s.Events {
		ev := &s.Events[i]
		v.Events = append(v.Events, TriedEvent{
			Type: ev.Type, At: ev.At, Alarm: ev.Alarm.Key, Severity: ev.Alarm.Severity, Title: ev.Title, Because: ev.Because, Muted: ev.Muted,
			Endpoints: append([]string{}, ev.Endpoints...),
		})
	}
	return v
}
