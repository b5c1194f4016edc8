package config

import (
	"os"
	"testing"

	"tocsin/bridge/webhook"
)

// The example files do what they say: with the secrets their head asks for,
// they load without a word.
func TestExampleFilesLoadWithoutAWarning(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../configs")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, name := range []string{"secrets/ops", "secrets/oncall"} {
		write(t, name, []byte(webhook.NewSecret().Reveal()+"\n"))
	}
	config, problems := Load("tocsin.toml", Options{Getenv: lookup(nil)})
	for _, p := range problems {
		t.Error(p.Long())
	}
	if config != nil && len(config.RuleFile.Rule) == 0 {
		t.Error("there is no rule in it")
	}
}
