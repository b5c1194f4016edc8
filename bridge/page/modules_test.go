package page

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIP: node is not installed")
	}
	return path
}

// Each script is one that parses, as the kind that the page loads it as.
func TestModulesParse(t *testing.T) {
	files, err := filepath.Glob("assets/*.js")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		kind := "module"
		if filepath.Base(name) == "theme.js" {
			kind = "commonjs"
		}
		cmd := exec.CommandContext(t.Context(), node(t), "--check", "--input-type="+kind, "-")
		cmd.Stdin = strings.NewReader(string(text))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// What does not touch the document is tested where there is none.
func TestModulesDoAsTheySay(t *testing.T) {
	tests, err := filepath.Glob("testdata/*.test.mjs")
	if err != nil || len(tests) == 0 {
		t.Fatal(tests, err)
	}
	// The assets are modules because the page says so; node has to be told.
	dir := t.TempDir()
	for _, pattern := range []string{"assets/*.js", "testdata/*.test.mjs"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type":"module"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node(t), append([]string{"--test"}, tests...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TZ=Europe/Paris", "NO_COLOR=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
