package store

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAcknowledgedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for i := range rounds(5, 200) {
		c := start(t, "commit", dir, fmt.Sprintf("kill-%d", i))
		c.read(1 + rand.IntN(400)) // #nosec G404 -- a moment, not a secret
		_ = c.cmd.Process.Kill()
		c.read(math.MaxInt)
		c.kill()
		if len(c.acks) == 0 {
			t.Fatalf("nothing was committed: %s", c.last)
		}
		acknowledged = append(acknowledged, c.acks...)
		d := open(t, dir)
		audit(t, d, acknowledged)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged, none lost", len(acknowledged))
	d := open(t, dir)
	if n := drain(t, d, "y"); n < len(acknowledged) {
		t.Errorf("%d delivered of %d acknowledged", n, len(acknowledged))
	}
}

// TestAcknowledgedSurvivesPowerFailure stops a file system as a power failure
// does: what was not synced is gone. A file that was not synced shows that it is.
func TestAcknowledgedSurvivesPowerFailure(t *testing.T) {
	root(t)
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(256 << 20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", image)
	var acknowledged []string
	for i := range rounds(3, 40) {
		dir := mount(t, "-o", "loop", image)
		c := start(t, "commit", filepath.Join(dir, "store"), fmt.Sprintf("power-%d", i))
		c.read(1 + rand.IntN(400)) // #nosec G404 -- a moment, not a secret
		control := filepath.Join(dir, fmt.Sprintf("control-%d", i))
		if err := os.WriteFile(control, []byte(strings.Repeat("not synced ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		// The process goes with the power. It is stopped first, between two
		// calls: a sync that is under way while the file system is shut down
		// may report success for what is lost, which a power failure cannot.
		c.stop(t)
		powerOff(t, dir)
		_ = c.cmd.Process.Kill()
		c.read(math.MaxInt)
		c.kill()
		unmount(t, dir)
		acknowledged = append(acknowledged, c.acks...)

		dir = mount(t, "-o", "loop", image)
		if info, err := os.Stat(filepath.Join(dir, filepath.Base(control))); err == nil && info.Size() > 0 {
			t.Skip("what was not synced has survived: this kernel does not lose it, so the test proves nothing")
		}
		d := open(t, filepath.Join(dir, "store"))
		audit(t, d, acknowledged)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		unmount(t, dir)
	}
	t.Logf("%d acknowledged, none lost", len(acknowledged))
}

func TestFailedSyncEndsAcknowledgement(t *testing.T) {
	for _, at := range []string{"log", "database"} {
		t.Run(at, func(t *testing.T) {
			if _, err := exec.LookPath("strace"); err != nil {
				t.Skip("strace is not installed")
			}
			dir := t.TempDir()
			open(t, dir).Close() // the folder and the tables are there
			inject := "inject=fsync,fdatasync:error=EIO:when=30+"
			args := []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", inject}
			if at == "database" { // a checkpoint
				args[len(args)-1] = strings.Replace(inject, "30+", "1+", 1)
				args = append(args, "-P", filepath.Join(dir, databaseFile))
			}
			c := startCommand(t, "commit", append(args, os.Args[0], dir, "sync")...)
			c.read(math.MaxInt)
			err := c.cmd.Wait()
			if len(c.acks) == 0 {
				t.Skipf("strace cannot trace here: %s (%v)", c.last, err)
			}
			if c.last != "broken\n" || err != nil {
				t.Errorf("after %d acknowledgements: %s (%v)", len(c.acks), c.last, err)
			}
			audit(t, open(t, dir), c.acks)
			t.Logf("%d acknowledged before the sync failed, none lost", len(c.acks))
		})
	}
}

func TestSecondProcessIsToldWhoHasTheFolder(t *testing.T) {
	dir := t.TempDir()
	c := start(t, "hold", dir)
	c.read(1)
	_, err := Open(context.Background(), Options{Path: dir})
	want := fmt.Sprintf("data is in use by process %d (stop it or choose another store.path)", c.cmd.Process.Pid)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open = %v, want %q", err, want)
	}
	c.kill()
	if err := open(t, dir).Close(); err != nil {
		t.Error(err)
	}
}
