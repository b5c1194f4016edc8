package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/rules"
)

func TestProblemFoundAfterLoadingIsShownWhereItIsWritten(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tocsin.toml": "rules = [\"*.rules.toml\"]\n[http]\nlisten = \"\"\n[broker.embedded]\nlisten = \"127.0.0.1:0\"\n[source.plant]\ntopic = \"plant/{device}\"\n" +
			"[endpoint.ops]\nurl = \"https://alerts.example.com\"\nsecret = \"${SECRET}\"\n",
		"a.rules.toml": "[defaults]\nfor = \"1m\"\n",
		"b.rules.toml": "[rule.warm]\nmetric = \"temperature\"\nabove  = \"-15 °C\" # whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	getenv := func(string) (string, bool) { return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true }
	cfg, problems := Load(filepath.Join(dir, "tocsin.toml"), Options{Getenv: getenv})
	if cfg == nil {
		t.Fatal(problems)
	}
	f := func(path []string, want string) {
		t.Helper()
		for range 2 { // asking changes nothing
			got := cfg.RuleProblem(rules.Problem{Path: path, Fact: "is suspicious", Remedy: "look", Warning: true})
			text := strings.ReplaceAll(got.Long(), dir+string(filepath.Separator), "")
			if !strings.HasPrefix(text, want) || !got.Warning || strings.Contains(text, "whsec_Mf") {
				t.Errorf("%s, want %s", text, want)
			}
		}
	}
	f([]string{"rule", "warm", "above"}, "b.rules.toml:3:10: warning: rule \"warm\" above: is suspicious\n    2 | metric = \"temperature\"\n    3 | above  = \"-15 °C\"")
	f([]string{"rule", "warm", "for"}, "b.rules.toml:1:1: warning: rule \"warm\" for: is suspicious")
	f([]string{"defaults", "for"}, "a.rules.toml:2:7: warning: defaults.for: is suspicious")
	f([]string{"rule", "nobody"}, "tocsin.toml:1:1: warning: rule \"nobody\": is suspicious")
}
