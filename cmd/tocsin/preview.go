package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge"
	"tocsin/bridge/config"
	"tocsin/bridge/preset"
	"tocsin/rules"
)

type previewFlags struct {
	path           string
	topic, message string
	hold, every    time.Duration
	reveal, asJSON bool
}

func newPreviewCommand(e env) *cobra.Command {
	var f previewFlags
	cmd := &cobra.Command{
		Use:   "preview -t TOPIC -m MESSAGE",
		Short: "Show the requests that a message would cause, and send nothing",
		Long: `Preview takes one message through the configuration, as a bridge would that had
heard of nothing before: what its source makes of it, what each rule decides, who
is told, and with which request, signed, as a curl command. Nothing is sent and no
bridge is asked.

A rule with for waits; --hold repeats the message for so long, and shows what is
told then. Secrets in URLs, headers and bodies are hidden; with --reveal they are
not, and the commands can be run as they are.

-m @FILE reads the message from a file, and -m - from standard input.`,
		Example: `  tocsin preview -t plant/freezer-1/telemetry -m '{"temperature": -12}'
  tocsin preview -t plant/freezer-1/telemetry -m '{"temperature": -12}' --hold 10m`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPreview(cmd.Context(), e, f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.path, "config", "c", defaultConfig, "the main file")
	flags.StringVarP(&f.topic, "topic", "t", "", "the message's topic")
	flags.StringVarP(&f.message, "message", "m", "", "the message's payload")
	flags.DurationVar(&f.hold, "hold", 0, "repeat the message for so long")
	flags.DurationVar(&f.every, "every", time.Minute, "with --hold, how often")
	flags.BoolVar(&f.reveal, "reveal", false, "show secrets")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

// A previewed is what a message would cause.
type previewed struct {
	Sources []previewedSource `json:"sources"`
	Events  []previewedEvent  `json:"events"`
	Pending []string          `json:"pending"`       // rules whose condition holds and that wait
	Cut     string            `json:"cut,omitempty"` // why not all of it was played
}

// A previewedSource is what one source makes of the message.
type previewedSource struct {
	Name     string               `json:"name"`
	Readings []rules.EventReading `json:"readings"`
	Devices  []string             `json:"devices"`
	Problems []string             `json:"problems"`
}

// A previewedEvent is one event, and the requests that tell it.
type previewedEvent struct {
	Type     rules.Type         `json:"type"`
	After    string             `json:"after"` // the message
	Alarm    string             `json:"alarm,omitempty"`
	Title    string             `json:"title"`
	Because  string             `json:"because"`
	Requests []previewedRequest `json:"requests"`
}

// A previewedRequest is one request to one endpoint.
type previewedRequest struct {
	Endpoint string `json:"endpoint"`
	bridge.Request
}

func runPreview(ctx context.Context, e env, f previewFlags) error {
	switch {
	case f.topic == "":
		return refused("preview: there is no topic (as in: -t plant/freezer-1/telemetry)")
	case f.hold < 0 || f.every <= 0 || f.hold/f.every > 100_000:
		return refused("--hold, --every: %v every %v is no way to repeat a message (as in --hold 10m --every 1m)", f.hold, f.every)
	}
	payload, err := f.payload(e)
	if err != nil {
		return err
	}
	cfg, problems := config.Load(f.path, config.Options{Getenv: e.LookupEnv})
	if problems.Errors() > 0 {
		return errors.Join(writeProblems(e.Stderr, problems, false), &exitError{code: exitUsage})
	}
	p, err := preview(ctx, cfg, f, payload)
	if err != nil {
		return err
	}
	if f.asJSON {
		return writeIndented(e.Stdout, p)
	}
	return p.write(e.Stdout, f)
}

func (f *previewFlags) payload(e env) ([]byte, error) {
	const most = 16 << 20
	name, file := strings.CutPrefix(f.message, "@")
	switch {
	case f.message == "-":
		return io.ReadAll(io.LimitReader(e.Stdin, most))
	case file:
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, refused("-m: %v (write @FILE for a file, or the message itself)", err)
		}
		return text, nil
	}
	return []byte(f.message), nil
}

// preview plays the message to an engine of its own.
func preview(ctx context.Context, cfg *config.Config, f previewFlags, payload []byte) (*previewed, error) {
	decoders, err := openDecoders(cfg)
	if err != nil {
		return nil, err
	}
	var endpoints []bridge.Endpoint
	told := make(map[string]destination)
	for _, name := range slices.Sorted(maps.Keys(cfg.Endpoints)) {
		d, err := newDestination(name, cfg.Endpoints[name], nil)
		if err != nil {
			return nil, err
		}
		defer d.sender.Close()
		told[name] = d
		endpoints = append(endpoints, d.Endpoint)
	}
	trial := bridge.Trial{Program: cfg.Rules, Decoders: decoders, Endpoints: endpoints, Begin: time.Now()}
	for after := time.Duration(0); after <= f.hold; after += f.every {
		m := bridge.TrialMessage{Topic: f.topic, Payload: payload, After: f.every}
		if after == 0 {
			m.After = 0
		}
		trial.Messages = append(trial.Messages, m)
	}
	tried, err := bridge.Try(ctx, trial)
	if err != nil {
		return nil, err
	}
	p := &previewed{Sources: sourcesOf(&tried.Steps[0], cfg.Rules), Events: []previewedEvent{}, Pending: append([]string{}, tried.Pending...), Cut: tried.Cut}
	for i := range tried.Steps {
		s := &tried.Steps[i]
		for j := range s.Events {
			p.Events = append(p.Events, tellOf(&s.Events[j], s.At.Sub(tried.Begin), told, f.reveal))
		}
	}
	return p, nil
}

// sourcesOf is what each source made of the message.
func sourcesOf(s *bridge.TriedStep, program *rules.Program) []previewedSource {
	list := []previewedSource{}
	for _, name := range s.Read {
		p := previewedSource{Name: name, Readings: []rules.EventReading{}, Devices: []string{}, Problems: []string{}}
		heard := func(device string) {
			if !slices.Contains(p.Devices, device) {
				p.Devices = append(p.Devices, device)
			}
		}
		for i := range s.Readings {
			if r := &s.Readings[i]; r.Source == name {
				heard(r.Device)
				p.Readings = append(p.Readings, bridge.ReadingOf(r))
				if problem := unaskedText(r.Metric, program); problem != "" && !slices.Contains(p.Problems, problem) {
					p.Problems = append(p.Problems, problem)
				}
			}
		}
		for _, x := range s.Presence {
			if x.Source == name {
				heard(x.Device)
			}
		}
		for _, u := range s.Unused {
			if u.Source == name {
				p.Problems = append(p.Problems, cmp.Or(u.Detail, u.Reason))
			}
		}
		list = append(list, p)
	}
	return list
}

// unaskedText says that no rule asks for a metric, and "" where one does.
func unaskedText(metric string, program *rules.Program) string {
	near := program.NearestMetric(metric)
	switch {
	case slices.Contains(program.Metrics(), metric):
		return ""
	case near != "":
		return fmt.Sprintf("no rule asks for %s (did you mean %s?)", metric, near)
	}
	return "no rule asks for " + metric
}

func tellOf(ev *rules.Event, after time.Duration, told map[string]destination, reveal bool) previewedEvent {
	p := previewedEvent{
		Type: ev.Type, After: after.String(), Alarm: ev.Alarm.Key, Title: ev.Title, Because: ev.Because,
		Requests: []previewedRequest{},
	}
	data, err := ev.AppendJSON(nil)
	for _, name := range ev.Endpoints {
		d, ok := told[name]
		if !ok {
			continue
		}
		if err != nil {
			p.Requests = append(p.Requests, previewedRequest{name, bridge.Request{Error: err.Error()}})
			continue
		}
		for _, r := range d.requests(preset.Notice{ID: ev.ID, Type: ev.Type, Alarm: ev.Alarm.Key, At: ev.At, Data: data}, reveal) {
			p.Requests = append(p.Requests, previewedRequest{name, r})
		}
	}
	return p
}

// write prints the preview for people.
func (p *previewed) write(w io.Writer, f previewFlags) error {
	var b bytes.Buffer
	if len(p.Sources) == 0 {
		fmt.Fprintf(&b, "no source reads the topic %s (tocsin.toml: add one with a topic that matches)\n", cleanLine(f.topic))
	}
	for _, s := range p.Sources {
		fmt.Fprintf(&b, "source %s: %s of %s\n", s.Name, count(len(s.Readings), "reading"), cleanLine(strings.Join(s.Devices, ", ")))
		for _, r := range s.Readings {
			fmt.Fprintf(&b, "  %s = %s\n", cleanLine(r.Metric), cleanLine(valueText(r)))
		}
		for _, problem := range s.Problems {
			fmt.Fprintf(&b, "  not used: %s\n", cleanLine(problem))
		}
	}
	if len(p.Pending) > 0 {
		fmt.Fprintf(&b, "waiting: %s (--hold shows what is told when the wait is over; tocsin check says how long it is)\n", strings.Join(p.Pending, ", "))
	}
	if p.Cut != "" {
		fmt.Fprintf(&b, "not all of it was played: %s\n", cleanLine(p.Cut))
	}
	if len(p.Events) == 0 {
		fmt.Fprintln(&b, "nobody is told of anything")
	}
	for _, ev := range p.Events {
		fmt.Fprintf(&b, "\n# %s after %s: %s\n#   %s\n", ev.Type, ev.After, cleanLine(ev.Title), cleanLine(ev.Because))
		if len(ev.Requests) == 0 {
			fmt.Fprintln(&b, "#   nobody is told (no endpoint's match selects it)")
		}
		for _, r := range ev.Requests {
			r.write(&b)
		}
	}
	if !f.reveal && slices.ContainsFunc(p.Events, func(ev previewedEvent) bool { return len(ev.Requests) > 0 }) {
		fmt.Fprintln(&b, "\n# secrets are hidden, in URLs all behind the host; --reveal shows them")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// write prints the request as a curl command.
func (r *previewedRequest) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "# to %s", r.Endpoint)
	if r.Name != "event" && r.Name != "" {
		fmt.Fprintf(b, ", request %s", r.Name)
	}
	b.WriteByte('\n')
	if r.Error != "" {
		fmt.Fprintf(b, "#   cannot be made: %s\n", cleanLine(r.Error))
		return
	}
	fmt.Fprintf(b, "curl -X %s %s", r.Method, shellQuoted(r.URL))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, v := range r.Header[name] {
			fmt.Fprintf(b, " \\\n  -H %s", shellQuoted(strings.ToLower(name)+": "+v))
		}
	}
	if r.Body != "" {
		fmt.Fprintf(b, " \\\n  --data-raw %s", shellQuoted(r.Body))
	}
	b.WriteByte('\n')
}

// shellQuoted is a text as one word of a shell.
func shellQuoted(s string) string { return "'" + strings.ReplaceAll(cleanText(s), "'", `'\''`) + "'" }
