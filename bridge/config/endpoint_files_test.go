package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
)

// There is an example for every preset, and each loads without a word once its
// secrets are there.
func TestExampleOfEveryPresetLoadsWithoutAWarning(t *testing.T) {
	folder, err := filepath.Abs("../../configs/endpoints")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.toml"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".toml")
		found = append(found, name)
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(t.TempDir())
			write(t, "tocsin.toml", append([]byte("schema = 1\nrules = [\"rules/*.toml\"]\n[source.plant]\ntopic = \"plant/{device}\"\n"), text...))
			write(t, "rules/cold.toml", []byte("schema = 1\n[rule.warm]\nmetric = \"temperature\"\nabove = -15\nseverity = \"critical\"\n"))
			for _, m := range regexp.MustCompile(`file = "([^"]+)"`).FindAllSubmatch(text, -1) {
				write(t, string(m[1]), []byte(webhook.NewSecret().Reveal()+"\n"))
			}
			config, problems := Load("tocsin.toml", Options{Getenv: lookup(nil)})
			for _, p := range problems {
				t.Error(p.Long())
			}
			if config == nil {
				t.FailNow()
			}
			for _, e := range config.Endpoints {
				if e.Preset != name {
					t.Errorf("it is of preset %s", e.Preset)
				}
			}
		})
	}
	for _, name := range preset.Names() {
		if !slices.Contains(found, name) {
			t.Errorf("preset %s has no example", name)
		}
	}
}
