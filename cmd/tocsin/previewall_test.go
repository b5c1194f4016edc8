package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Whoever writes an endpoint looks at its requests before anybody is told
// anything, whichever the preset: as a command for a shell, without its secrets.
func TestPreviewShowsARequestOfEveryPreset(t *testing.T) {
	files, err := filepath.Glob("../../configs/endpoints/*.toml")
	if err != nil || len(files) < 30 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			dir := t.TempDir()
			files := map[string]string{
				"tocsin.toml":     "schema = 1\nrules = [\"rules/*.toml\"]\n[source.plant]\ntopic = \"plant/{device}\"\n" + string(text),
				"rules/warm.toml": "schema = 1\n[rule.warm]\nmetric = \"temperature\"\nabove = -15\nseverity = \"critical\"\n",
			}
			for i, m := range regexp.MustCompile(`file = "([^"]+)"`).FindAllSubmatch(text, -1) {
				files[string(m[1])] = fmt.Sprintf("whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ%04d", i)
			}
			writeFiles(t, dir, files)
			code, out, errs := previewIn(t, dir, "-t", "plant/freezer-1", "-m", `{"temperature": -12}`)
			if code != 0 || !strings.Contains(out, "curl") || !strings.Contains(out, "freezer-1") {
				t.Errorf("exit %d:\n%s%s", code, out, errs)
			}
			if strings.Contains(out+errs, "Q0FOQVJZ") || strings.Contains(out+errs, "CANARY") {
				t.Errorf("shows a secret:\n%s", out)
			}
		})
	}
}
