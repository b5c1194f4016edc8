package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever fills in the endpoint that init writes as a comment has one that is right.
func TestTheChatThatInitWritesIsRight(t *testing.T) {
	dir := t.TempDir()
	if code, _, errs := runHere(t.Context(), "", nil, "init", filepath.Join(dir, "try")); code != 0 {
		t.Fatal(errs)
	}
	main := filepath.Join(dir, "try", "tocsin.toml")
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	before, chat, found := strings.Cut(string(text), "#[endpoint.chat]\n")
	if !found {
		t.Fatal("init writes no [endpoint.chat]")
	}
	filled := before + "[endpoint.chat]\n" + strings.ReplaceAll("\n"+chat, "\n#", "\n")
	if err := os.WriteFile(main, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := runHere(t.Context(), "", nil, "check", "-c", main); code != 0 || !strings.Contains(out, "0 errors, 0 warnings") {
		t.Errorf("check: exit %d: %s%s", code, out, errs)
	}
}
