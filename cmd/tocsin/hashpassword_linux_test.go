package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo-terminal: what is written to keyboard is typed on
// tty, and what tty shows is read from keyboard.
func openTerminal(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return keyboard, tty
}

// A typist answers each question with the next line, once it is asked.
type typist struct {
	keyboard *os.File
	lines    []string
	asked    bytes.Buffer
}

func (ty *typist) Write(p []byte) (int, error) {
	ty.asked.Write(p)
	if bytes.HasSuffix(p, []byte(": ")) && len(ty.lines) > 0 {
		if _, err := ty.keyboard.WriteString(ty.lines[0] + "\n"); err != nil {
			return 0, err
		}
		ty.lines = ty.lines[1:]
	}
	return len(p), nil
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func TestPasswordIsNotShownOnATerminal(t *testing.T) {
	keyboard, tty := openTerminal(t)
	user := &typist{keyboard: keyboard, lines: []string{"correct horse", "correct horse"}}
	got, err := readPassword(t.Context(), env{Stdin: tty, Stderr: user})
	if err != nil || got != "correct horse" {
		t.Fatalf("read %q, %v", got, err)
	}
	if !echoes(t, tty) {
		t.Error("the terminal was left without echo")
	}
	// Everything shown so far comes before this mark.
	if _, err := tty.WriteString("MARK"); err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	buf := make([]byte, 256)
	for !strings.Contains(shown.String(), "MARK") {
		n, err := keyboard.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(buf[:n])
	}
	if strings.Contains(shown.String(), "horse") {
		t.Errorf("the terminal showed %q", &shown)
	}
}

func TestInterruptedQuestionLeavesTheTerminalAsItWas(t *testing.T) {
	_, tty := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	_, err := readPassword(ctx, env{Stdin: tty, Stderr: new(bytes.Buffer)})
	if err == nil || err.Error() != "interrupted" {
		t.Errorf("ended with %v", err)
	}
	if !echoes(t, tty) {
		t.Error("the terminal was left without echo")
	}
}
