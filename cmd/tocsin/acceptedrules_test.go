package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tocsin/bridge/config"
	"tocsin/rules"
)

// maxLooks bounds how often an engine may have something to do within a minute in
// which it hears a dozen readings: nothing that a rule file can say makes it busy
// by itself.
const maxLooks = 20_000

// FuzzAcceptedRules plays a few readings to whatever rules are accepted: none
// makes the engine panic, go round in circles, or tell what has no number.
func FuzzAcceptedRules(f *testing.F) {
	for _, dir := range []string{"../../configs/rules", "../../rules/testdata/language", "../../rules/ruletest/testdata"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.toml"))
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text, int64(len(text)))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, seed int64) {
		dir := t.TempDir()
		for name, content := range map[string]string{"tocsin.toml": acceptedMain, "rules.toml": string(text)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cfg, _ := config.Load(filepath.Join(dir, "tocsin.toml"), config.Options{})
		if cfg == nil {
			return
		}
		play(t, cfg, seed)
	})
}

const acceptedMain = `
schema = 1
rules  = ["rules.toml"]
[source.all]
topic = "{device}"
[http]
listen = ""
[endpoint.ops]
url    = "https://example.com/hook"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
[endpoint.oncall]
url    = "https://example.com/hook"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
[endpoint.crm]
url    = "https://example.com/hook"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
`

func play(t *testing.T, cfg *config.Config, seed int64) {
	devices := append(slices.Sorted(maps.Keys(cfg.RuleFile.Device)), "one", "two")
	metrics := append(slices.Sorted(maps.Keys(cfg.RuleFile.Metric)), "temperature")
	for _, r := range cfg.Rules.Rules() {
		if r.Metric != "" {
			metrics = append(metrics, r.Metric)
		}
	}
	e := rules.NewEngine(cfg.Rules, rules.Options{})
	var out rules.Output
	now := time.Date(2026, 3, 29, 0, 59, 0, 0, time.UTC)
	random := uint64(seed)
	next := func(n int) int {
		random = random*6364136223846793005 + 1442695040888963407
		return int(random>>33) % n
	}
	for range 40 {
		until := now.Add(time.Duration(1+next(90)) * time.Second)
		looks := 0
		for due := e.Next(); !due.IsZero() && !due.After(until); due = e.Next() {
			e.Step(rules.Input{Now: due}, &out)
			if looks++; looks > maxLooks {
				t.Fatalf("the engine has had something to do %d times within %v", looks, until.Sub(now))
			}
		}
		now = until
		s := rules.Sample{
			Source: "all", Device: devices[next(len(devices))], Metric: metrics[next(len(metrics))],
			Labels: map[string]string{"room": "a", "site": "lyon"}, At: now, Received: now,
			Num: float64(next(400)-200) / 3, Flags: rules.Flags(next(2)),
		}
		if next(4) == 0 {
			s.Kind, s.Text = rules.Text, fmt.Sprint("v", next(3))
		}
		e.Step(rules.Input{Now: now, Sample: &s}, &out)
	}
	for i := range out.Transitions {
		for j := range out.Transitions[i].Events {
			if _, err := out.Transitions[i].Events[j].AppendJSON(nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	e.Reload(cfg.Rules, now, nil, &out)
	_ = e.Health()
	for _, d := range devices {
		_ = e.Explain(d, "", now)
	}
}
