package main

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browserDeadline bounds one script of testdata/page. A browser has its own, shorter
// ones, which say what was waited for.
const browserDeadline = 4 * time.Minute

// A person does all of it in a browser: the scripts of testdata/page drive Debian's
// Chromium through the page of a bridge that really runs, with devices that really
// publish and receivers that really answer. What a script needs of the world around
// the page it asks a stage for.
//
// TOCSIN_SCREENSHOTS names a folder that pictures are kept in, of every view and of
// the moment in which something failed.
func TestPageInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: a browser takes a minute (run without -short)")
	}
	chromium, node := browser(t)
	scripts, err := filepath.Glob("testdata/page/*.test.mjs")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("there are no scripts (%v)", err)
	}
	for _, script := range scripts {
		script = filepath.Base(script)
		t.Run(strings.TrimSuffix(script, ".test.mjs"), func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			control := httptest.NewServer(s)
			t.Cleanup(control.Close)
			pictures := os.Getenv("TOCSIN_SCREENSHOTS")
			if pictures == "" {
				pictures = t.TempDir()
			}
			ctx, cancel := context.WithTimeout(t.Context(), browserDeadline)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, "--test", "--test-reporter=spec", script)
			cmd.Dir = "testdata/page"
			cmd.Env = append(os.Environ(), "NO_COLOR=1", "CHROMIUM="+chromium, "STAGE="+control.URL, "SCREENSHOTS="+pictures)
			cmd.WaitDelay = 5 * time.Second
			out, err := s.run(cmd)
			if err != nil {
				t.Errorf("%s: %v\n%s\nlog of tocsin, its end:\n%s", script, err, out, tailOf(s.log(), 40))
				return
			}
			t.Logf("%s", out)
		})
	}
}

// browser returns where Chromium and node are.
func browser(t *testing.T) (chromium, node string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIP: no node on this machine")
	}
	if _, err := os.Stat("testdata/page/node_modules"); err != nil {
		t.Skip("SKIP: testdata/page/node_modules is missing (npm ci --prefix cmd/tocsin/testdata/page)")
	}
	chromium, err = exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIP: no chromium on this machine (Debian package chromium)")
	}
	return chromium, node
}

// tailOf is the last n lines of a text.
func tailOf(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
