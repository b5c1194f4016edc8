package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge"
	"tocsin/bridge/config"
	"tocsin/bridge/decode"
	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
	"tocsin/broker"
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
		RunE: func(cmd *cobra.Command, _ []string) error { return runPreview(e, f) },
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
	Pending []string          `json:"pending"` // rules whose condition holds and that wait
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
	Endpoint string      `json:"endpoint"`
	Name     string      `json:"request"`
	Method   string      `json:"method"`
	URL      string      `json:"url"`
	Header   http.Header `json:"header"`
	Body     string      `json:"body"`
	Error    string      `json:"error,omitempty"`
}

func runPreview(e env, f previewFlags) error {
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
	p, err := preview(cfg, f, payload)
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
func preview(cfg *config.Config, f previewFlags, payload []byte) (*previewed, error) {
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
	engine := rules.NewEngine(cfg.Rules, rules.Options{Route: func(ev *rules.Event) []string { return bridge.Route(endpoints, ev) }})
	p := &previewed{Sources: []previewedSource{}, Events: []previewedEvent{}, Pending: []string{}}
	begun := time.Now()
	for after := time.Duration(0); after <= f.hold; after += f.every {
		p.play(engine, decoders, broker.Message{Topic: f.topic, Payload: payload, QoS: 1, Received: begun.Add(after)}, begun, told, f.reveal)
	}
	for c := range engine.Alarms() {
		if c.State == "pending" {
			p.Pending = append(p.Pending, c.Rule)
		}
	}
	slices.Sort(p.Pending)
	return p, nil
}

// play hands the message to the engine once.
func (p *previewed) play(engine *rules.Engine, decoders []*decode.Decoder, m broker.Message, begun time.Time, told map[string]destination, reveal bool) {
	first := m.Received.Equal(begun)
	var out rules.Output
	for _, d := range decoders {
		if !d.Match(m.Topic) {
			continue
		}
		var batch decode.Batch
		s := previewedSource{Name: d.Name(), Readings: []rules.EventReading{}, Devices: []string{}, Problems: []string{}}
		if err := d.Decode(m, &batch); err != nil {
			s.Problems = append(s.Problems, err.Error())
		}
		for _, problem := range batch.Problems {
			s.Problems = append(s.Problems, problem.Detail)
		}
		for i := range batch.Samples {
			sample := &batch.Samples[i]
			if !slices.Contains(s.Devices, sample.Device) {
				s.Devices = append(s.Devices, sample.Device)
			}
			s.Readings = append(s.Readings, readingOf(sample))
			engine.Step(rules.Input{Now: m.Received, Sample: sample}, &out)
		}
		for i := range batch.Presence {
			engine.Step(rules.Input{Now: m.Received, Presence: &batch.Presence[i]}, &out)
		}
		s.Problems = append(s.Problems, out.Problems...)
		out.Problems = out.Problems[:0]
		if first {
			p.Sources = append(p.Sources, s)
		}
	}
	for i := range out.Transitions {
		for j := range out.Transitions[i].Events {
			p.Events = append(p.Events, tellOf(&out.Transitions[i].Events[j], m.Received.Sub(begun), told, reveal))
		}
	}
}

// readingOf is a reading as its source made it.
func readingOf(s *rules.Sample) rules.EventReading {
	r := rules.EventReading{Metric: s.Metric, Value: s.Num, Unit: s.Unit, At: s.At, Clock: s.Clock.String(), Quality: "good"}
	switch {
	case s.Kind == rules.Bool:
		r.Value = s.Num != 0
	case s.Kind == rules.Text:
		r.Value = s.Text
	}
	if s.Invalid != "" {
		r.Quality = s.Invalid
	}
	return r
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
			p.Requests = append(p.Requests, previewedRequest{Endpoint: name, Error: err.Error()})
			continue
		}
		p.Requests = append(p.Requests, d.requests(preset.Notice{ID: ev.ID, Type: ev.Type, Alarm: ev.Alarm.Key, At: ev.At, Data: data}, reveal)...)
	}
	return p
}

// requests are those of one event, each signed as it would be now.
func (d *destination) requests(n preset.Notice, reveal bool) (list []previewedRequest) {
	whole, err := d.told.Preview(n, true)
	if err != nil {
		return []previewedRequest{{Endpoint: d.Name, Error: err.Error()}}
	}
	shown := whole
	if !reveal {
		if shown, err = d.told.Preview(n, false); err != nil {
			return []previewedRequest{{Endpoint: d.Name, Error: err.Error()}}
		}
	}
	for i, w := range whole {
		r := previewedRequest{Endpoint: d.Name, Name: w.Name, Method: cmp.Or(w.Method, http.MethodPost), URL: shown[i].URL, Body: string(shown[i].Body)}
		to, err := url.Parse(w.URL)
		if err == nil {
			var req *http.Request
			req, err = d.sender.Preview(webhook.Message{ID: n.ID, Body: w.Body, ContentType: w.ContentType, Method: w.Method, URL: to, Header: w.Header}, time.Now())
			if err == nil {
				r.Header = d.header(req.Header, shown[i].Header, reveal)
			}
		}
		if err != nil {
			r.Error = err.Error()
		}
		list = append(list, r)
	}
	return list
}

// header is that of the request with the credential, each hidden unless revealed.
func (d *destination) header(sent, shown http.Header, reveal bool) http.Header {
	sent = sent.Clone()
	maps.Copy(sent, shown)
	auth := d.config.Auth.Webhook()
	credential := auth.Value.Reveal()
	switch {
	case auth.OAuth2 != nil:
		credential = cmp.Or(auth.OAuth2.Scheme, "Bearer") + " <an access token>"
	case credential != "" && !reveal:
		credential = "<secret>"
	}
	if credential != "" {
		sent[http.CanonicalHeaderKey(cmp.Or(auth.Header, "Authorization"))] = []string{credential}
	}
	return sent
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
