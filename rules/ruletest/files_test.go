package ruletest

import (
	"path/filepath"
	"testing"
	_ "time/tzdata" // the machine that tests need not have zones

	"github.com/BurntSushi/toml"

	"tocsin/rules"
)

// The rule files in testdata say in their own words what the engine does.
func TestRuleFilesPassTheirOwnTests(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rule files: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			f := new(rules.File)
			meta, err := toml.DecodeFile(name, f)
			if err != nil {
				t.Fatal(err)
			}
			if keys := meta.Undecoded(); len(keys) > 0 {
				t.Fatalf("unknown keys %v", keys)
			}
			for _, def := range f.Test {
				def.Source = name
			}
			p := compile(t, f)
			results := RunAll(f, p)
			for i := range results {
				if r := &results[i]; !r.Passed() {
					t.Error(r.String())
				}
			}
			c := Cover(f, p, results)
			if ids := c.Untested(); len(ids) > 0 {
				t.Errorf("rules without a test: %v", ids)
			}
			for _, k := range c.Keys {
				if len(k.Rules) > 0 && len(k.Tests) == 0 {
					t.Errorf("key %s is used by %v, and no test exercises it", k.Key, k.Rules)
				}
			}
		})
	}
}
