package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){"tocsin": main})
}

// tidy removes the binary that tests built.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	code := t.M.Run()
	if !wasBuilt.Load() {
		return code
	}
	if path, err := builtBinary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	return code
}

// TestScripts runs the program as its users do. A script's name is what it shows.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "heard": heardHour},
	})
}

// exits CODE COMMAND… runs a command like exec, and wants that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// runHere runs the program in this process, as another program or a test may.
func runHere(ctx context.Context, stdin string, vars map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, env{
		Args:   args,
		Stdin:  strings.NewReader(stdin),
		Stdout: &out,
		Stderr: &errs,
		LookupEnv: func(name string) (string, bool) {
			v, ok := vars[name]
			return v, ok
		},
	})
	return code, out.String(), errs.String()
}

func TestErrorsArePrintedOnceOnStandardErrorInOneLine(t *testing.T) {
	f := func(args ...string) {
		t.Helper()
		code, stdout, stderr := runHere(t.Context(), "", nil, args...)
		if code != exitUsage {
			t.Errorf("%q: exit code %d, want %d", args, code, exitUsage)
		}
		if stdout != "" {
			t.Errorf("%q: wrote %q to standard output", args, stdout)
		}
		if !strings.HasPrefix(stderr, "tocsin: ") || strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, ")\n") {
			t.Errorf("%q: %q is not one line of place, fact and remedy", args, stderr)
		}
	}
	f("chekc")
	f("check", "x", "y")
	f("check", "--config")
	f("version", "--nonsense")
	f("verify", "-x")
	f("listen", "--seed", "many")
	f("listen", "--fault", "500")
	f("listen", "--addr", "0.0.0.0:0")
	f("verify", "--body", "b")
	f("keygen", "now")
}

// A terminal obeys what is printed, whoever wrote it.
func TestErrorsCarryNoTerminalEscapes(t *testing.T) {
	_, _, stderr := runHere(t.Context(), "", nil, "\x1b]0;owned\x07")
	if strings.ContainsAny(stderr, "\x1b\x07") {
		t.Errorf("%q carries an escape sequence", stderr)
	}
}
