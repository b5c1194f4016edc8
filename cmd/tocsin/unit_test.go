package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The unit that init writes takes from the process what it has no use for: 2.0 of
// systemd's ten points of exposure at most, most of them for having a network.
func TestUnitLeavesLittleExposed(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze on this machine")
	}
	files, err := filesOfInit("/etc/tocsin")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range files {
		if f.name == "tocsin.service" {
			writeFiles(t, dir, map[string]string{f.name: f.text})
		}
	}
	unit := filepath.Join(dir, "tocsin.service")
	if out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold=20", unit).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
