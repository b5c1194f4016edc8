package config

import (
	"path/filepath"
	"strings"
	"testing"
)

// Headers may be secrets: they cross no network without a warning, and a collector on
// this machine is across none.
func TestHeadersForACollectorInTheClearAreWarnedOf(t *testing.T) {
	f := func(otlp string, want bool) {
		t.Helper()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "secret"), []byte("Bearer abcdef0123456789"))
		write(t, filepath.Join(dir, "tocsin.toml"), []byte("[tracing]\notlp = \""+otlp+"\"\nheaders = { Authorization = { file = \"secret\" } }\n"))
		c, problems := Load(filepath.Join(dir, "tocsin.toml"), Options{})
		if c == nil {
			t.Fatal(problems)
		}
		got := false
		for _, p := range problems {
			got = got || strings.Contains(p.Fact, "in the clear")
		}
		if got != want {
			t.Errorf("%s: warned of: %v, want %v", otlp, got, want)
		}
	}
	f("http://otlp.example.com:4318", true)
	f("http://[2001:db8::1]:4318", true)
	f("https://otlp.example.com", false)
	f("http://localhost:4318", false)
	f("http://127.0.0.1", false)
	f("http://[::1]:4318", false)
}
