package survey_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bridge/config"
	"tocsin/bridge/decode"
	"tocsin/bridge/survey"
	"tocsin/broker"
	"tocsin/rules"
	"tocsin/rules/ruletest"
)

var begun = time.Date(2026, 11, 6, 12, 0, 0, 0, time.UTC)

// fatal is what a testing.T and a rapid.T have in common.
type fatal interface {
	Helper()
	Fatalf(string, ...any)
	Errorf(string, ...any)
}

// loaded writes a proposal into a folder and loads it.
func loaded(t fatal, dir string, p *survey.Proposal) *config.Config {
	t.Helper()
	for name, text := range map[string]string{
		"tocsin.toml":         "schema = 1\nrules = [\"rules/*.toml\"]\n\n" + p.Sources + "\n[endpoint.ops]\nurl = \"https://alerts.example.com/hook\"\nsecret = { file = \"secrets/ops\" }\n",
		"rules/observed.toml": p.Rules,
		"secrets/ops":         "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatalf("%v", err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatalf("%v", err)
		}
	}
	cfg, problems := config.Load(filepath.Join(dir, "tocsin.toml"), config.Options{})
	for _, problem := range problems {
		if problem.Warning && !strings.Contains(p.Rules, "\n[rule.") {
			continue // that there is no rule is warned of
		}
		t.Errorf("%s", problem.Long())
	}
	if cfg == nil || problems.Errors() > 0 {
		t.Fatalf("the proposal is refused:\n%s\n%s", p.Sources, p.Rules)
	}
	return cfg
}

// played is how many messages the sources of a configuration refused, took twice or
// did not take, and the alarms that they made.
func played(t fatal, cfg *config.Config, traffic []broker.Message) (refused, twice, untaken int, told []string) {
	t.Helper()
	var decoders []*decode.Decoder
	for name, s := range cfg.Sources {
		d, err := decode.New(decode.Options{Name: name, Topic: s.Topic, Decoder: s.Decoder, Records: s.Records,
			Device: s.Device, Metric: s.Metric, Value: s.Value, Unit: s.Unit, Rename: s.Rename})
		if err != nil {
			t.Fatalf("%v", err)
		}
		decoders = append(decoders, d)
	}
	engine := rules.NewEngine(cfg.Rules, rules.Options{})
	var out rules.Output
	for _, m := range traffic {
		taken := 0
		for _, d := range decoders {
			if !d.Match(m.Topic) {
				continue
			}
			taken++
			var batch decode.Batch
			if err := d.Decode(m, &batch); err != nil {
				refused++
			}
			for i := range batch.Samples {
				engine.Step(rules.Input{Now: m.Received, Sample: &batch.Samples[i]}, &out)
			}
			for i := range batch.Presence {
				if batch.Presence[i].Status == rules.Online {
					engine.Step(rules.Input{Now: m.Received, Presence: &batch.Presence[i]}, &out)
				}
			}
		}
		if taken > 1 {
			twice++
		}
		if taken == 0 {
			untaken++
		}
	}
	for _, tr := range out.Transitions {
		for i := range tr.Events {
			told = append(told, string(tr.Events[i].Type)+" "+tr.Events[i].Alarm.Key)
		}
	}
	return refused, twice, untaken, told
}

// uncommented is a file of rules with its suggestions taken.
func uncommented(text string) string {
	return regexp.MustCompile(`(?m)^#(\S)`).ReplaceAllString(text, "$1")
}

func at(seconds int, topic, payload string) broker.Message {
	return broker.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Received: begun.Add(time.Duration(seconds) * time.Second)}
}

// every level, payload and place of a fleet, as fleets are.
func fleet(t *rapid.T) []broker.Message {
	name := rapid.StringMatching(`[a-zA-Z0-9][a-zA-Z0-9:_.$-]{0,8}`)
	odd := rapid.SampledFrom([]string{"", " ", "a b", "é", "{x}", "#x", "\u202e", "\"q\"", "\\", "${HOME}", "$$", "status", "temperature", "x'"})
	level := rapid.OneOf(name, name, name, odd)
	number := rapid.OneOf(rapid.Float64Range(-100, 100), rapid.Float64(), rapid.Just(0.0))
	metricName := rapid.OneOf(rapid.SampledFrom([]string{"temperature", "humidity", "battery", "rssi", "time", "ts", "state", "id", "device", "a.b", "x y", "pressure_kPa"}), name, odd)
	var traffic []broker.Message
	for range rapid.IntRange(1, 4).Draw(t, "fleets") {
		shape := rapid.SliceOfN(rapid.SampledFrom([]string{"fixed", "fixed", "varies", "few"}), 1, 5).Draw(t, "shape")
		fixed := rapid.SliceOfN(level, len(shape), len(shape)).Draw(t, "fixed")
		pool := rapid.SliceOfN(level, 1, rapid.SampledFrom([]int{2, 5, 40}).Draw(t, "size")).Draw(t, "pool")
		metrics := rapid.SliceOfN(metricName, 1, 4).Draw(t, "metrics")
		payload := rapid.SampledFrom([]string{"json", "json", "scalar", "text", "word", "records", "binary", "mixed"}).Draw(t, "payload")
		for i := range rapid.IntRange(1, 60).Draw(t, "messages") {
			levels := make([]string, len(shape))
			for j, s := range shape {
				levels[j] = fixed[j]
				if s == "varies" {
					levels[j] = rapid.SampledFrom(pool).Draw(t, "level")
				} else if s == "few" {
					levels[j] = rapid.SampledFrom(pool[:min(2, len(pool))]).Draw(t, "level")
				}
			}
			topic := strings.Join(levels, "/")
			if strings.ContainsAny(topic, "+#") || topic == "" || strings.HasPrefix(topic, "$") {
				continue
			}
			traffic = append(traffic, at(i, topic, body(t, payload, metrics, number)))
		}
	}
	return traffic
}

func body(t *rapid.T, payload string, metrics []string, number *rapid.Generator[float64]) string {
	value := func() string {
		return rapid.OneOf(
			rapid.Map(number, func(v float64) string { return fmt.Sprint(v) }),
			rapid.SampledFrom([]string{"true", "false", "null", `"on"`, `"23"`, `"\u0000"`, `{"deep":[1,{"x":2}]}`}),
		).Draw(t, "value")
	}
	object := func() string {
		var parts []string
		for _, m := range metrics {
			if !strings.Contains(strings.Join(parts, ","), fmt.Sprintf("%q:", m)) {
				parts = append(parts, fmt.Sprintf("%q:%s", m, value()))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	switch payload {
	case "json":
		return object()
	case "records":
		return "[" + object() + "," + object() + "]"
	case "scalar":
		return fmt.Sprint(number.Draw(t, "number"))
	case "text":
		return rapid.SampledFrom([]string{"on", "off", "21.5 °C", "5 V", "online", "nan", " "}).Draw(t, "text")
	case "word":
		return rapid.SampledFrom([]string{"online", "offline", "lost"}).Draw(t, "word")
	case "binary":
		return "\x00\xff\x01"
	}
	return body(t, rapid.SampledFrom([]string{"json", "records", "scalar", "text", "word", "binary"}).Draw(t, "of"), metrics, number)
}

// Whatever devices send, what is proposed is accepted, takes no message twice,
// refuses only what it says that it refuses, and alarms nobody, with and without
// the limits that it suggests.
func TestWhatIsProposedIsRightForWhatWasSeen(t *testing.T) {
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		traffic := fleet(t)
		s, err := survey.New(survey.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range traffic {
			s.Take(m)
		}
		p := s.Propose()
		if len(p.Found) == 0 {
			return
		}
		dir := filepath.Join(root, fmt.Sprint(n))
		defer os.RemoveAll(dir)
		lost, whole := 0, 0
		for _, src := range p.Found {
			lost, whole = lost+src.Lost, whole+src.Messages
		}
		for _, suggestions := range []bool{false, true} {
			if suggestions {
				p.Rules = uncommented(p.Rules)
			}
			cfg := loaded(t, dir, p)
			refused, twice, untaken, told := played(t, cfg, traffic)
			if refused > lost || twice > 0 || untaken > len(traffic)-whole || len(told) > 0 {
				t.Errorf("refused %d, of which it tells %d; %d twice; %d not taken of %d, of which it tells %d; told %v\n%s\n%s",
					refused, lost, twice, untaken, len(traffic), len(traffic)-whole, told, p.Sources, p.Rules)
			}
			for _, result := range ruletest.RunAll(cfg.RuleFile, cfg.Rules) {
				if !result.Passed() {
					t.Errorf("%s\n%s", result.String(), p.Rules)
				}
			}
		}
	})
}
