package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"tocsin/rules"
)

// A configuration is loaded again while the old one is in use. Nothing of the
// first call is in the second: not what was wrong, not what was right.
func TestLoadingAgainRemembersNothing(t *testing.T) {
	env := setUp(t, &txtar.Archive{})
	load := func() (*Config, string) {
		c, problems := Load("tocsin.toml", Options{Getenv: lookup(env)})
		return c, fmt.Sprint(problems)
	}
	good, err := os.ReadFile("rules/cold.toml")
	if err != nil {
		t.Fatal(err)
	}
	before, _ := load()
	if before == nil {
		t.Fatal("the base is broken")
	}
	write(t, "rules/cold.toml", []byte("[rule.x]\nabve = 3\n[group.g]\nmatch = 3\n"))
	broken, first := load()
	if _, second := load(); broken != nil || first != second {
		t.Errorf("the same file is told of in two ways:\n%s\n%s", first, second)
	}
	write(t, "rules/cold.toml", good)
	after, problems := load()
	if after == nil {
		t.Fatalf("what was good is no more: %s", problems)
	}
	if before.Rules == after.Rules || before.RuleFile == after.RuleFile || before.Endpoints["ops"] == after.Endpoints["ops"] {
		t.Error("two configurations share what they hold")
	}
	if diff := cmp.Diff(before.RuleFile.Rule["freezer-warm"], after.RuleFile.Rule["freezer-warm"]); diff != "" {
		t.Error(diff)
	}
}

func TestEverythingThatAReloadDependsOnIsWatched(t *testing.T) {
	a := &txtar.Archive{
		Comment: []byte("mkdir rules/empty\nmkdir sites/lyon\n"),
		Files: []txtar.File{
			{Name: "tocsin.toml", Data: []byte(`rules = ["rules/*.toml", "sites/*/rules.toml", "one.toml"]
[broker.embedded.user.sensors]
password = { file = "secrets/sensors" }
publish  = ["plants/#"]
[source.plant]
topic = "plants/{device}"
[http]
token = { file = "secrets/token" }
[endpoint.ops]
url    = "https://alerts.example.com/hook"
secret = [{ file = "secrets/ops" }, { env = "OLD" }]
`)},
			{Name: "sites/paris/rules.toml", Data: []byte("[rule.b]\nmetric = \"t\"\nabove = 3\n")},
			{Name: "sites/notes.txt", Data: []byte("no folder\n")},
			{Name: "one.toml", Data: []byte("[rule.c]\nmetric = \"t\"\nabove = 4\n")},
			{Name: "secrets/token", Data: []byte("0123456789abcdef0123456789abcdef\n")},
			{Name: "secrets/sensors", Data: []byte("$argon2id$v=19$m=65536,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo\n")},
		},
	}
	env := setUp(t, a)
	env["OLD"] = "whsec_bm90aGluZyBidXQgYSB0ZXN0IGtleSwgbG9uZyBlbm91Z2g="
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tocsin.toml", filepath.Join(dir, "tocsin.toml")} {
		c, problems := Load(name, Options{Getenv: lookup(env)})
		if c == nil {
			t.Fatal(problems)
		}
		var want []string
		for _, path := range []string{
			".", "one.toml", "rules", "rules/cold.toml", "secrets/ops", "secrets/sensors", "secrets/token",
			"sites", "sites/lyon", "sites/paris", "sites/paris/rules.toml", "tocsin.toml",
		} {
			want = append(want, filepath.Join(filepath.Dir(name), path))
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, Watched(c)); diff != "" {
			t.Error(diff)
		}
	}
}

// A time without an offset is meant as the people of the place read their clocks.
func TestTimeWithoutOffsetIsInTheZoneOfTheDefaults(t *testing.T) {
	env := setUp(t, &txtar.Archive{Files: []txtar.File{
		{Name: "rules/a.toml", Data: []byte("[maintenance.m]\nfrom = 2026-07-12T22:00:00\nto = 2026-12-13 04:00:00\n" +
			"[maintenance.n]\nfrom = 2026-07-12T22:00:00Z\nto = 2026-07-12T23:30:00-02:00\n")},
		{Name: "rules/b.toml", Data: []byte("[defaults]\ntimezone = \"Europe/Paris\"\n")},
	}})
	c, problems := Load("tocsin.toml", Options{Getenv: lookup(env)})
	if c == nil {
		t.Fatal(problems)
	}
	f := func(got time.Time, want string) {
		t.Helper()
		if s := got.UTC().Format(time.RFC3339); s != want {
			t.Errorf("%s is meant to be %s", s, want)
		}
	}
	m, n := c.RuleFile.Maintenance["m"], c.RuleFile.Maintenance["n"]
	f(m.From, "2026-07-12T20:00:00Z")
	f(m.To, "2026-12-13T03:00:00Z")
	f(n.From, "2026-07-12T22:00:00Z")
	f(n.To, "2026-07-13T01:30:00Z")
}

func TestPlaceOfAKeyIsToldRelativeToTheConfiguration(t *testing.T) {
	env := setUp(t, &txtar.Archive{Files: []txtar.File{
		{Name: "rules/cold.toml", Data: []byte("[rule.a]\nmetric = \"t\"\nabove = 3\n[rule.a.override.\"label:x=y\"]\nabove = 4\n[test.\"t\"]\nrule = \"a\"\n")},
		{Name: "rules/other.toml", Data: []byte("\n[defaults]\nfor = \"1m\"\n")},
	}})
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, problems := Load(filepath.Join(dir, "tocsin.toml"), Options{Getenv: lookup(env)})
	if c == nil {
		t.Fatal(problems)
	}
	for path, want := range map[string]string{
		"rule a":                             "rules/cold.toml:1",
		"rule a above":                       "rules/cold.toml:3",
		"rule a override label:x=y above":    "rules/cold.toml:5",
		"rule a override label:x=y below":    "rules/cold.toml:4",
		"defaults for":                       "rules/other.toml:3",
		"rule b above":                       "",
		"metric t unit":                      "",
		"flood":                              "",
		"rule a override type:pump severity": "rules/cold.toml:4",
	} {
		if got := c.RuleFile.Place(strings.Fields(path)); got != want {
			t.Errorf("%s is at %q, and was told at %q", path, want, got)
		}
	}
	if got := c.RuleFile.Test["t"].Source; got != "rules/cold.toml:6" {
		t.Errorf("the test is said to be at %s", got)
	}
}

// The library decodes a file that has no fault in it, too. What it makes of one is
// what this package makes of it.
func TestGoodRulesAreDecodedAsTheLibraryDoes(t *testing.T) {
	archives(t, "good", 4, func(t *testing.T, _ string, a *txtar.Archive, _ map[string]string) {
		for _, f := range a.Files {
			if !strings.HasPrefix(f.Name, "rules/") {
				continue
			}
			s := readSource(f.Name, f.Name, newReport())
			var want, got rules.File
			if _, err := toml.Decode(s.text, &want); err != nil {
				t.Fatal(err)
			}
			decoder{source: s}.decode(&got)
			if len(s.report.problems) > 0 {
				t.Fatal(s.report.problems)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s is decoded in two ways:\n%s", f.Name, diff)
			}
		}
	})
}

func TestSourcesInheritHowFarAClockMayBeAhead(t *testing.T) {
	a := txtar.Parse([]byte(`
-- tocsin.toml --
schema = 1
rules  = ["rules/*.toml"]
[source.quiet]
topic = "a/{device}"
[source.strict]
topic     = "b/{device}"
max_ahead = "5s"
[endpoint.ops]
url    = "https://example.com/hook"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
-- rules/all.toml --
[defaults]
max_ahead = "10m"
[rule.hot]
metric = "t"
above  = 1
`))
	vars := setUp(t, a)
	cfg, problems := Load("tocsin.toml", Options{Getenv: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }})
	if cfg == nil {
		t.Fatalf("refused: %v", problems)
	}
	if got := cfg.Sources["quiet"].MaxAhead; got != 10*time.Minute {
		t.Errorf("a source that says nothing takes %v, want the rules' 10m", got)
	}
	if got := cfg.Sources["strict"].MaxAhead; got != 5*time.Second {
		t.Errorf("a source that says 5s takes %v", got)
	}
}
