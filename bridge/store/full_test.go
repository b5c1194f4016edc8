package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// onSmallDisks runs a test on file systems that can be filled.
func onSmallDisks(t *testing.T, do func(t *testing.T, dir string)) {
	t.Run("tmpfs", func(t *testing.T) {
		do(t, mount(t, "-t", "tmpfs", "-o", "size=12m", "none"))
	})
	t.Run("ext4", func(t *testing.T) {
		root(t)
		image := filepath.Join(t.TempDir(), "image")
		f, err := os.Create(image)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(24<<20), f.Close()); err != nil {
			t.Fatal(err)
		}
		run(t, "mkfs.ext4", "-q", "-m", "0", image)
		do(t, mount(t, "-o", "loop", image))
	})
}

// fill takes all the space there is.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	_ = f.Sync() // the error, if any, is the full disk
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFullDiskRefusesAndHeals(t *testing.T) {
	onSmallDisks(t, func(t *testing.T, mnt string) {
		ctx := context.Background()
		dir, filler := filepath.Join(mnt, "store"), filepath.Join(mnt, "filler")
		d := open(t, dir)
		made := 0
		var acknowledged, refused []string
		attempt := func() error {
			var ts []rules.Transition
			for range 20 {
				ts = append(ts, event(fmt.Sprintf("full-%06d", made), fmt.Sprintf("rule/%d", made%7), "x", "y"))
				made++
			}
			err := d.Commit(ctx, bridge.Batch{Transitions: ts})
			for _, tr := range ts {
				if err == nil {
					acknowledged = append(acknowledged, tr.State.Episode)
				} else {
					refused = append(refused, tr.State.Episode)
				}
			}
			return err
		}
		for range 10 {
			if err := attempt(); err != nil {
				t.Fatal(err)
			}
		}
		for round := range rounds(2, 10) {
			fill(t, filler)
			var err error
			for range 2000 { // the log may have room in itself
				if err = attempt(); err != nil {
					break
				}
			}
			if !errors.Is(err, bridge.ErrFull) || errors.Is(err, ErrBroken) {
				t.Fatalf("round %d: Commit on a full disk = %v", round, err)
			}
			for range 3 {
				if err := d.Commit(ctx, bridge.Batch{}); !errors.Is(err, bridge.ErrFull) {
					t.Fatalf("round %d: probe of a full disk = %v", round, err)
				}
			}
			// What is owed is read, delivered, and remembered as delivered.
			if n := drain(t, d, "x"); n == 0 {
				t.Fatal("nothing was claimed on a full disk")
			}
			eventually(t, "outcomes are written on a full disk", func() bool { return !unwritten(d) })
			audit(t, d, acknowledged)
			if round%2 == 1 { // the process is restarted meanwhile
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				fill(t, filler)
				d = open(t, dir)
				if err := attempt(); !errors.Is(err, bridge.ErrFull) {
					t.Fatalf("Commit after a restart on a full disk = %v", err)
				}
				if n := drain(t, d, "x"); n > 0 {
					t.Errorf("%d delivered again", n)
				}
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if err := d.Commit(ctx, bridge.Batch{}); err != nil {
				t.Fatalf("round %d: probe with space = %v", round, err)
			}
			if err := attempt(); err != nil {
				t.Fatalf("round %d: Commit with space = %v", round, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = open(t, dir)
		audit(t, d, acknowledged)
		var found int
		if err := d.read.QueryRow(`SELECT count(*) FROM event`).Scan(&found); err != nil || found != len(acknowledged) {
			t.Errorf("%d events, %d were acknowledged and %d refused (%v)", found, len(acknowledged), len(refused), err)
		}
		if n := drain(t, d, "y"); n != len(acknowledged) {
			t.Errorf("%d delivered of %d acknowledged", n, len(acknowledged))
		}
		t.Logf("%d acknowledged, %d refused", len(acknowledged), len(refused))
	})
}

func TestOutcomesWaitWhenThereIsNoSpaceAtAll(t *testing.T) {
	onSmallDisks(t, func(t *testing.T, mnt string) {
		ctx := context.Background()
		dir, filler := filepath.Join(mnt, "store"), filepath.Join(mnt, "filler")
		d := open(t, dir)
		commit(t, d, event("1", "rule/a", "x"), event("2", "rule/b", "x"))
		fill(t, filler)
		for i := 0; ; i++ {
			if err := d.Commit(ctx, bridge.Batch{Transitions: []rules.Transition{event(fmt.Sprint("big", i), "rule/c", "y")}}); err != nil {
				break
			}
		}
		fill(t, filler) // the reserve, too
		if n := drain(t, d, "x"); n != 2 {
			t.Fatalf("%d delivered, want 2", n)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		eventually(t, "outcomes are written", func() bool { return !unwritten(d) })
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = open(t, dir)
		if n := drain(t, d, "x"); n > 0 {
			t.Errorf("%d delivered again", n)
		}
	})
}

func TestReadOnlyDiskIsRefusedWithARemedy(t *testing.T) {
	mnt := mount(t, "-t", "tmpfs", "-o", "size=12m", "none")
	dir := filepath.Join(mnt, "store")
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-o", "remount,ro", mnt)
	refuses(t, dir, "read-only file system", "choose another store.path")
	refuses(t, filepath.Join(mnt, "another"), "read-only file system", "choose another store.path")
}

func refuses(t *testing.T, dir string, parts ...string) {
	t.Helper()
	d, err := Open(context.Background(), Options{Path: dir})
	if err == nil {
		_ = d.Close()
		t.Errorf("Open succeeds, want an error with %q", parts)
		return
	}
	for _, part := range append(parts, "opening store "+dir) {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("Open = %v, want it to say %q", err, part)
		}
	}
}

func TestFileThatIsNotOursIsRefusedWithARemedy(t *testing.T) {
	with := func(do func(t *testing.T, path string)) string {
		dir := t.TempDir()
		d := open(t, dir)
		for i := range 50 {
			commit(t, d, event(fmt.Sprint(i), fmt.Sprint("rule/", i), "x"))
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		do(t, filepath.Join(dir, databaseFile))
		return dir
	}
	scribble := func(path string, at int64, size int) {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(strings.Repeat("x", size)), at); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	sql := func(path string, statements ...string) {
		pool, err := connect(path, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if _, err := pool.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
	}
	refuses(t, with(func(_ *testing.T, path string) { scribble(path, 0, 100) }), "damaged or is no database", "restore a backup")
	refuses(t, with(func(_ *testing.T, path string) { scribble(path, 100, 4000) }), "damaged or is no database", "restore a backup")
	refuses(t, with(func(_ *testing.T, path string) { sql(path, "PRAGMA application_id = 7") }), "another program", "choose another store.path")
	refuses(t, with(func(_ *testing.T, path string) { sql(path, "PRAGMA user_version = 99") }), "newer tocsin", "99")
	refuses(t, with(func(_ *testing.T, path string) {
		sql(path, "INSERT INTO delivery (event, ep, state, attempt, due, status, error, at) VALUES (1, 77, 0, 1, 0, 0, '', 0)")
	}), "endpoint number 77", "restore a backup")
	refuses(t, "", "store.path")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, file, "not a directory")

	// Damage further in shows when it is met, as an error that ends the store.
	dir := with(func(t *testing.T, path string) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		scribble(path, 20<<10, int(info.Size())-20<<10)
	})
	d, err := Open(context.Background(), Options{Path: dir})
	if err != nil {
		if !strings.Contains(err.Error(), "damaged") {
			t.Error(err)
		}
		return
	}
	for _, err = range d.States(context.Background(), "") {
		if err != nil {
			break
		}
	}
	if err == nil {
		_, _, err = d.Claim(context.Background(), bridge.Ask{Endpoint: "x", Limit: 100})
	}
	if !errors.Is(err, ErrBroken) {
		t.Errorf("reading a damaged file = %v", err)
	}
}

func TestLastAliveIsWhenTheProcessBeforeRan(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if !d.LastAlive().IsZero() {
		t.Errorf("a new store was alive at %v", d.LastAlive())
	}
	path := filepath.Join(dir, lockFile)
	mtime := func() time.Time {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	age := func() {
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
	}
	age()
	if err := d.Commit(t.Context(), bridge.Batch{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lock is touched", func() bool { return mtime().After(past) })
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	closed := mtime()
	age()
	// A process that cannot open the store did not run.
	backup, err := os.ReadFile(filepath.Join(dir, databaseFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, databaseFile), []byte(strings.Repeat("no", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, "damaged")
	if err := os.WriteFile(filepath.Join(dir, databaseFile), backup, 0o600); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	if got := d.LastAlive(); !got.Equal(past) || closed.Before(past) {
		t.Errorf("LastAlive = %v, want %v", got, past)
	}
}

// With a clock that was set back since, what a process stores is earlier than when the
// one before was last alive. Killed before it has marked that it lives, it would leave
// timers that seem to have run out while somebody listened.
func TestProcessMarksThatItLivesWithItsFirstCommit(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	path, ahead := filepath.Join(dir, lockFile), time.Now().Add(time.Hour)
	if err := os.Chtimes(path, ahead, ahead); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(t.Context(), bridge.Batch{Probe: true}); err != nil {
		t.Fatal(err)
	}
	marked := func() time.Time {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	if at := marked(); !at.After(time.Now()) {
		t.Errorf("a probe says that the process lives, at %v", at)
	}
	if err := d.Commit(t.Context(), bridge.Batch{}); err != nil {
		t.Fatal(err)
	}
	if at := marked(); at.After(time.Now()) {
		t.Errorf("after its first commit the process lives at %v", at)
	}
}

// Writes to a file that was deleted succeed, and are gone with the process.
func TestRemovedFilesBreakTheStore(t *testing.T) {
	for _, name := range []string{lockFile, databaseFile, databaseFile + "-wal", databaseFile + "-shm"} {
		dir := t.TempDir()
		d := open(t, dir)
		if err := d.Commit(t.Context(), bridge.Batch{}); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is missed", func() bool { return errors.Is(d.Commit(t.Context(), bridge.Batch{}), ErrBroken) })
	}
}

// Nothing is heard while nothing can be stored. A process that is restarted then
// has to know since when, or it takes the silence for the devices'.
func TestFullDiskIsNoTimeOfHearing(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	commit(t, d, event("e", "rule/1", "x"))
	full := func(turn func()) {
		d.writing.Lock()
		defer d.writing.Unlock()
		turn()
	}
	full(func() { d.surrender(syscall.ENOSPC) })
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	lock := filepath.Join(dir, lockFile)
	if err := os.Chtimes(lock, past, past); err != nil {
		t.Fatal(err)
	}
	marked := func() bool {
		d.touch()
		info, err := os.Stat(lock)
		if err != nil {
			t.Fatal(err)
		}
		return !info.ModTime().Equal(past)
	}
	if marked() {
		t.Error("a process that stores nothing marks that it hears")
	}
	if err := d.Commit(t.Context(), bridge.Batch{Probe: true}); err != nil {
		t.Fatal(err)
	}
	if marked() {
		t.Error("there is space again, and the process marks that it hears before it does")
	}
	commit(t, d)
	if !marked() {
		t.Error("the process hears again, and does not mark it")
	}
}
