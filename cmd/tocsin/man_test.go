package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestManPagesAreWithoutMistakes(t *testing.T) {
	dir := t.TempDir()
	code, out, errs := runHere(t.Context(), "", nil, "man", dir)
	if code != 0 || !strings.HasPrefix(out, "wrote ") {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "tocsin*.1"))
	if err != nil || len(pages) < 40 {
		t.Fatalf("%d pages (%v)", len(pages), err)
	}
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("mandoc is not installed (apt-get install mandoc)")
	}
	found, _ := exec.CommandContext(t.Context(), mandoc, append([]string{"-T", "lint", "-W", "warning"}, pages...)...).CombinedOutput() // its code says that it found something
	for line := range strings.Lines(string(found)) {
		if !strings.Contains(line, "missing date") { // none is meant
			t.Error(strings.TrimSpace(line))
		}
	}
}
