package api

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The description is one that tools of others take without a word. Before:
// npm ci in testdata/node, as make setup does.
func TestDescriptionPassesTheLintersOfOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: starting the linters takes seconds (run without -short)")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIP: node is not installed")
	}
	h := controlled(t, withEveryRoute(Options{}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/openapi.yaml", nil))
	lint := func(document []byte, script string, args ...string) (string, error) {
		t.Helper()
		if _, err := os.Stat(filepath.Join("testdata/node", script)); err != nil {
			t.Skip("SKIP: a linter is not installed (run npm ci in bridge/api/testdata/node)")
		}
		file := filepath.Join(t.TempDir(), "openapi.yaml")
		if err := os.WriteFile(file, document, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), node, append([]string{script, "lint", file}, args...)...)
		cmd.Dir = "testdata/node"
		cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "NO_COLOR=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, linter := range [][]string{
		{"node_modules/@stoplight/spectral-cli/dist/index.js", "--ruleset", "spectral.yaml", "--fail-severity", "hint"},
		{"node_modules/@redocly/cli/bin/cli.js", "--config", "redocly.yaml"},
	} {
		if out, err := lint(w.Body.Bytes(), linter[0], linter[1:]...); err != nil {
			t.Errorf("%s: %v\n%s", linter[0], err, out)
		}
		broken := bytes.Replace(w.Body.Bytes(), []byte("type: http"), []byte("type: magic"), 1)
		if out, err := lint(broken, linter[0], linter[1:]...); err == nil {
			t.Errorf("%s: takes anything\n%s", linter[0], out)
		}
	}
}
