package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/bridge/config"
)

// taplo runs the linter of TOML with the given arguments and returns its code and
// what it printed.
func taplo(t *testing.T, args ...string) (code int, printed string) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("Node is not installed")
	}
	program, err := filepath.Abs("testdata/node/node_modules/.bin/taplo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("taplo is missing (npm ci --prefix cmd/tocsin/testdata/node)")
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"lint", "--no-auto-config", "--colors", "never"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// taploFiles lints every file of the patterns, and wants no fault.
func taploFiles(t *testing.T, schema string, patterns ...string) {
	t.Helper()
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files (%v)", pattern, len(found), err)
		}
		files = append(files, found...)
	}
	if code, printed := taplo(t, append([]string{schema}, files...)...); code != 0 {
		t.Errorf("exit %d: %s", code, printed)
	}
}

// schemaFlag writes a schema to a file and names it as taplo wants.
func schemaFlag(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--schema=file://" + filepath.ToSlash(name)
}

// An editor that is built on taplo shows no fault in what we print as examples.
func TestTaploAcceptsEveryExample(t *testing.T) {
	main, ruleFile := schemaFlag(t, config.MainSchema()), schemaFlag(t, config.RulesSchema())
	taploFiles(t, main, "../../configs/tocsin.toml", "../../configs/endpoints/*.toml", "../../configs/simulator/tocsin.toml", "demo/tocsin.toml", "init/tocsin.toml")
	taploFiles(t, ruleFile, "../../configs/rules/*.toml", "../../configs/simulator/rules.toml", "demo/rules.toml", "init/rules/*.toml")
	taploFiles(t, "--no-schema", "../../bridge/preset/data/*.toml", "../../firmware-sim/profiles/*.toml")

	snippetsOf := map[bool]string{true: t.TempDir(), false: t.TempDir()} // of tocsin.toml, and of rules
	for _, page := range []string{"../../README.md", reference} {
		for i, s := range snippets(t, page) {
			text := s.text
			if !strings.Contains("\n"+text, "\nschema") {
				text = "schema = 1\n" + text // of a part, which the whole has
			}
			name := strings.NewReplacer("/", "-", ":", "-line-").Replace(s.place) + ".toml"
			if err := os.WriteFile(filepath.Join(snippetsOf[s.config], name), []byte(text), 0o600); err != nil {
				t.Fatalf("block %d of %s: %v", i, page, err)
			}
		}
	}
	taploFiles(t, main, snippetsOf[true]+"/*.toml")
	taploFiles(t, ruleFile, snippetsOf[false]+"/*.toml")
}

// What init writes names its schemas so that taplo finds them, and they find
// what is wrong.
func TestTaploFindsTheSchemasThatInitWrites(t *testing.T) {
	dir := t.TempDir()
	if code, _, errs := runHere(t.Context(), "", nil, "init", dir); code != 0 {
		t.Fatal(errs)
	}
	for _, name := range []string{"tocsin.toml", "rules/first.toml"} {
		file := filepath.Join(dir, name)
		if code, printed := taplo(t, file); code != 0 {
			t.Errorf("%s: exit %d: %s", name, code, printed)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(text, "\n[sauce.plant]\ntopic = 3\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, printed := taplo(t, file); code == 0 || !strings.Contains(printed, "sauce") {
			t.Errorf("%s with an unknown table: exit %d: %s", name, code, printed)
		}
	}
}
