package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The text of a rule file is compiled beside what the configuration defines, and says
// where it is wrong as a file would.
func TestTextOfRulesStandsInThePlaceOfTheFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.toml"), []byte(`
[defaults]
notify = ["ops"]
[metric.temperature]
unit = "°C"
[schedule.night]
timezone = "UTC"
days = ["mon-sun"]
hours = ["22:00-06:00"]
[rule.old]
metric = "temperature"
above = "-15 °C"
`))
	write(t, filepath.Join(dir, "tocsin.toml"), []byte(`
schema = 1
rules = ["rules.toml"]
[source.plant]
topic = "plant/{device}"
[endpoint.ops]
url = "https://hooks.example.com/x"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
`))
	t.Setenv("TOCSIN_CANARY", "CANARY")
	c, problems := Load(filepath.Join(dir, "tocsin.toml"), Options{})
	if c == nil {
		t.Fatal(problems)
	}
	before, _ := os.ReadFile(filepath.Join(dir, "rules.toml"))
	f := func(text string, want ...string) {
		t.Helper()
		program, problems := c.CompileText("playground.toml", text)
		if (program == nil) != (problems.Errors() > 0) || len(problems) != len(want) {
			t.Fatalf("%s: %v", text, problems)
		}
		for i, p := range problems {
			if !strings.Contains(p.String(), want[i]) {
				t.Errorf("%s: %s, want %s", text, p, want[i])
			}
		}
	}
	f("[rule.new]\nmetric = \"temperature\"\nabove = \"5 °F\"\nschedule = \"night\"\n")
	f("[rule.new]\nmetric = \"temperature\"\nabove = \"5 bar\"\n", "playground.toml:3:")
	f("[rule.new]\nmetric = \"temperature\"\nabove = 5\nnotify = [\"opps\"]\n", `playground.toml:4:11: rule "new" notify[0]: there is no endpoint "opps"`)
	f("[rule.new]\nmetric = \"temperature\"\nabove = 5\nsuppress_if = [\"old\"]\n", "old")
	f("[rule.new]\nmetrik = \"temperature\"\nabove = 5\n", "playground.toml:2:1")
	f("[rule.new\n", "playground.toml:1")
	f("", "there is no rule")
	f("\x00\xff", "playground.toml")
	f("[rule.new]\nmetric = \"temperature\"\nabove = 5\ntitle = \"${TOCSIN_CANARY}\"\n", "unknown placeholder {TOCSIN_CANARY}") // no variable is read
	f("rules = [\"/etc/passwd\"]\n", "playground.toml:1")
	f("[metric.temperature]\nunit = \"°F\"\n[rule.new]\nmetric = \"temperature\"\nabove = 5\n")
	program, _ := c.CompileText("playground.toml", "\n\n[rule.new]\nmetric = \"temperature\"\nabove = 5\n")
	if infos := program.Rules(); len(infos) != 1 || infos[0].Source != "playground.toml:3" {
		t.Errorf("%+v", infos)
	}
	if again, problems := Load(c.Path, Options{}); again == nil || len(c.RuleFile.Rule) != 1 || len(c.RuleFile.Metric) != 1 || c.RuleFile.Metric["temperature"].Unit != "°C" {
		t.Errorf("what runs has changed: %v %s", problems, before)
	}
}
