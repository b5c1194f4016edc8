package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// What run cannot open it names in one line, with exit code 1, and it leaves
// nothing behind that would keep the next start from working.
func TestFailureToStartIsOneClearLine(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	secret := webhook.NewSecret()
	f := func(name, want string, prepare func(dir string)) {
		t.Run(name, func(t *testing.T) {
			dir := plant(t, embedded("127.0.0.1:0"), secret, "http://127.0.0.1:9/hook")
			prepare(dir)
			p := startTocsin(t, dir)
			<-p.exited
			if code := p.cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			log := strings.TrimSpace(p.log())
			line := log[strings.LastIndexByte(log, '\n')+1:]
			if !strings.HasPrefix(line, "tocsin: ") || !strings.Contains(line, want) {
				t.Errorf("says %q, want a line with %q", log, want)
			}
		})
	}
	replace := func(t *testing.T, dir, old, new string) {
		path := filepath.Join(dir, "tocsin.toml")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f("mqtt port in use", "address already in use", func(dir string) {
		replace(t, dir, `listen = "127.0.0.1:0"`, `listen = "`+busy.Addr().String()+`"`)
	})
	f("http port in use", "address already in use", func(dir string) {
		replace(t, dir, "[http]\nlisten = \"127.0.0.1:0\"", "[http]\nlisten = \""+busy.Addr().String()+`"`)
	})
	f("damaged database", "is damaged or is no database", func(dir string) {
		writeFiles(t, dir, map[string]string{"data/tocsin.db": strings.Repeat("no database ", 1000)})
	})
	f("another process", "data is in use by process", func(dir string) {
		startTocsin(t, dir).waitReady()
	})
}

// Who asks for a stop while it starts gets one, and no failure: a service manager
// would take that for a program that cannot run.
func TestStopWhileStartingIsNoFailure(t *testing.T) {
	dir := plant(t, embedded("127.0.0.1:0"), webhook.NewSecret(), "http://127.0.0.1:9/hook")
	for _, what := range []string{"a new store", "a store that is there"} {
		ctx, cancel := context.WithCancel(t.Context())
		if what == "a new store" {
			cancel()
		}
		time.AfterFunc(20*time.Millisecond, cancel)
		var stdout, stderr bytes.Buffer
		e := env{Args: []string{"run", "-c", filepath.Join(dir, "tocsin.toml")}, Stdout: &stdout, Stderr: &stderr, LookupEnv: os.LookupEnv}
		if code := run(ctx, e); code != 0 || !strings.Contains(stderr.String(), "stopped as asked") {
			t.Errorf("with %s: exit code %d:\n%s%s", what, code, stdout.String(), stderr.String())
		}
	}
}
