package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// tenRules are rules of different families and metrics.
func tenRules() string {
	var b strings.Builder
	b.WriteString("schema = 1\n")
	for i := range 10 {
		fmt.Fprintf(&b, "[rule.r%d]\nmetric = \"m%d\"\nabove = %d\nclear = %d\nfor = \"%dm\"\n", i, i, i+10, i+5, i)
	}
	return b.String()
}

func idlePlant(t testing.TB) string {
	dir := plant(t, embedded("127.0.0.1:0"), webhook.NewSecret(), "http://127.0.0.1:9/hook")
	writeFiles(t, dir, map[string]string{"rules/cold.toml": tenRules()})
	return dir
}

func TestIdleBridgeIsSmall(t *testing.T) {
	info, err := os.Stat(tocsinBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	if mib := float64(info.Size()) / (1 << 20); mib > 40 {
		t.Errorf("the stripped binary has %.1f MiB, want at most 40", mib)
	} else {
		t.Logf("binary: %.1f MiB", mib)
	}
	p := startTocsin(t, idlePlant(t))
	p.waitReady()
	if rss := p.memory(); rss > 40 {
		t.Errorf("idle, %d MiB are resident, want at most 40", rss)
	} else {
		t.Logf("resident: %d MiB", rss)
	}
}

// BenchmarkStart measures from the start of the process to "ready", on an empty
// store, and beside it the same for "tocsin version", which opens nothing.
func BenchmarkStart(b *testing.B) {
	binary := tocsinBinary(b)
	var ready, version time.Duration
	for b.Loop() {
		dir := idlePlant(b)
		begun := time.Now()
		p := startTocsin(b, dir)
		p.waitReady()
		ready += time.Since(begun)
		p.kill()
		if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
			b.Fatal(err)
		}
		begun = time.Now()
		runVersion(b, binary)
		version += time.Since(begun)
	}
	b.ReportMetric(ready.Seconds()*1e3/float64(b.N), "ms-to-ready")
	b.ReportMetric(version.Seconds()*1e3/float64(b.N), "ms-version")
	b.ReportMetric(0, "ns/op")
}
