package main

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	_ "time/tzdata" // the machine that tests need not have zones

	"github.com/BurntSushi/toml"

	"tocsin/bridge/config"
	"tocsin/rules"
	"tocsin/rules/ruletest"
)

// example runs the program in this process with the rules of the given pattern
// under the main file of the example, and returns what it printed.
func example(t *testing.T, rules string, args ...string) (code int, printed string) {
	t.Helper()
	main, err := os.ReadFile("../../configs/tocsin.toml")
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	const all = `rules  = ["rules/*.toml"]`
	if !strings.Contains(string(main), all) {
		t.Fatalf("configs/tocsin.toml does not have %s", all)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "tocsin.toml")
	text := strings.Replace(string(main), all, `rules = ['`+filepath.ToSlash(path)+`']`, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ops", "oncall"} {
		var out strings.Builder
		if code := run(context.Background(), env{
			Args: []string{"keygen", "--out", filepath.Join(dir, "secrets", name)}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
			LookupEnv: func(string) (string, bool) { return "", false },
		}); code != 0 {
			t.Fatalf("keygen: exit %d: %s", code, out.String())
		}
	}
	var out strings.Builder
	code = run(context.Background(), env{
		Args: append(args, "-c", file), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	return code, out.String()
}

// The rules that come with the program are right and pass their own tests, each
// set alone, as people take it, and all together.
func TestRulesThatComeWithItPassTheirOwnTests(t *testing.T) {
	files, err := filepath.Glob("../../configs/rules/*.toml")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d files (%v), expected the sets of configs/rules", len(files), err)
	}
	for _, pattern := range append(files, "../../configs/rules/*.toml") {
		name := filepath.Base(pattern)
		t.Run(name, func(t *testing.T) {
			noRule := name == "defaults.toml" // which is the one thing to be warned of
			code, printed := example(t, pattern, "check")
			if code != 0 || !noRule && !strings.Contains(printed, "0 errors, 0 warnings") {
				t.Fatalf("check: exit %d: %s", code, printed)
			}
			code, printed = example(t, pattern, "test", "--quiet", "--coverage")
			if code != 0 || strings.Contains(printed, ": 0 tests\n") {
				t.Fatalf("test: exit %d: %s", code, printed)
			}
		})
	}
}

const language = "../../rules/testdata/language/"

// Each key of the language is in a rule file that says by its tests what it does.
func TestEveryKeyOfTheLanguageIsTested(t *testing.T) {
	files, err := filepath.Glob(language + "*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	tested, written := map[string]bool{}, map[string]bool{}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			file, program := loaded(t, name)
			results := ruletest.RunAll(file, program)
			for i := range results {
				if !results[i].Passed() {
					t.Error(results[i].String())
				}
			}
			c := ruletest.Cover(file, program, results)
			if ids := c.Untested(); len(ids) > 0 {
				t.Errorf("rules without a test that passes: %v", ids)
			}
			for _, key := range c.Keys {
				tested[key.Key] = tested[key.Key] || len(key.Tests) > 0
			}
			tree := map[string]any{}
			if _, err := toml.DecodeFile(name, &tree); err != nil {
				t.Fatal(err)
			}
			paths(tree, "", written)
		})
	}
	for _, key := range slices.Sorted(maps.Keys(tested)) {
		if !tested[key] {
			t.Errorf("no test exercises the key %s of a rule", key)
		}
	}
	for table, def := range map[string]reflect.Type{
		"defaults": reflect.TypeFor[rules.Defaults](), "metric.*": reflect.TypeFor[rules.MetricDef](),
		"device.*": reflect.TypeFor[rules.DeviceDef](), "group.*": reflect.TypeFor[rules.GroupDef](),
		"schedule.*": reflect.TypeFor[rules.ScheduleDef](), "maintenance.*": reflect.TypeFor[rules.MaintenanceDef](),
		"flood": reflect.TypeFor[rules.FloodDef](), "flood.start": reflect.TypeFor[rules.RateDef](), "flood.stop": reflect.TypeFor[rules.RateDef](),
	} {
		for _, f := range reflect.VisibleFields(def) {
			if key := f.Tag.Get("toml"); key != "" && !written[table+"."+key] {
				t.Errorf("no file has the key %s.%s", table, key)
			}
		}
	}
}

// loaded is a rule file and what it compiles to: nothing in it is even warned of.
func loaded(t *testing.T, name string) (*rules.File, *rules.Program) {
	t.Helper()
	dir := t.TempDir()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ops"), []byte("whsec_"+strings.Repeat("A", 43)+"=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := `schema = 1
rules = ['` + filepath.ToSlash(path) + `']
[source.plant]
topic = "plants/{site}/{device}/telemetry"
[endpoint.ops]
url    = "https://alerts.example.com/hook"
secret = { file = "ops" }
`
	if body, err := os.ReadFile(path); err != nil {
		t.Fatal(err)
	} else if strings.Contains(string(body), `"oncall"`) { // who is never told is warned of
		text += `[endpoint.oncall]
url    = "https://oncall.example.com/hook"
secret = { file = "ops" }
`
	}
	main := filepath.Join(dir, "tocsin.toml")
	if err := os.WriteFile(main, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := config.Load(main, config.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return cfg.RuleFile, cfg.Rules
}

// paths notes the keys of a tree of tables; what has a name of the user's own is
// noted as "*".
func paths(tree map[string]any, prefix string, written map[string]bool) {
	for key, value := range tree {
		table, ok := value.(map[string]any)
		written[prefix+key] = true
		if !ok {
			continue
		}
		paths(table, prefix+key+".", written)
		if prefix == "" {
			for _, named := range table {
				if named, ok := named.(map[string]any); ok {
					paths(named, key+".*.", written)
				}
			}
		}
	}
}
