package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// upgrade opens a store and returns what it logs.
func upgrade(t *testing.T, dir string) (log string) {
	t.Helper()
	var b bytes.Buffer
	d, err := Open(t.Context(), Options{Path: dir, Log: slog.New(slog.NewTextHandler(&b, nil))})
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if _, err := d.Log().Endpoints(t.Context()); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	return b.String()
}

// alter changes a file as another program does that has it open.
func alter(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := connect(path, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// holds says what a file of schema 1 holds, if it is whole and as that version left it.
func holds(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir() // SQLite may write where it reads
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, databaseFile)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var sound, mode, said string
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&sound); err != nil || sound != "ok" {
		t.Fatalf("%s: %s, %v", path, sound, err)
	}
	if err := db.QueryRow(`PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Fatalf("%s: its log is %q, %v: the earlier version cannot do with that", path, mode, err)
	}
	if err := db.QueryRow(`SELECT 'schema ' || (SELECT user_version FROM pragma_user_version) || ', ' ||
		(SELECT group_concat(id) FROM (SELECT id FROM event ORDER BY num)) || ', ' || (SELECT count(*) FROM delivery)`).Scan(&said); err != nil {
		t.Fatal(err)
	}
	return said
}

const fixtureHolds = "schema 1, delivered,dead,retried,aside,untried, 4"

func names(t *testing.T, dir, pattern string) (all []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range all {
		all[i] = filepath.Base(name)
	}
	return all
}

func TestOlderFileIsCopiedBeforeItIsChanged(t *testing.T) {
	dir := older(t)
	mine := filepath.Join(dir, "tocsin.db.schema-notes")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log := upgrade(t, dir)
	to := filepath.Join(dir, "tocsin.db.schema1")
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "store is upgraded, and was copied as it was") || !strings.Contains(log, to) {
		t.Errorf("logs\n%s", log)
	}
	info, err := os.Stat(to)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if got := holds(t, to); got != fixtureHolds {
		t.Errorf("the copy holds %s, want %s", got, fixtureHolds)
	}
	if log := upgrade(t, dir); log != "" {
		t.Errorf("a second start logs\n%s", log)
	}
	if again, err := os.Stat(to); err != nil || !os.SameFile(info, again) || !again.ModTime().Equal(info.ModTime()) {
		t.Errorf("a second start touches the copy: %v", err)
	}
	if got := names(t, dir, "tocsin.db?*"); !slices.Equal(got, []string{"tocsin.db.schema-notes", "tocsin.db.schema1"}) {
		t.Errorf("in the folder are %q", got)
	}
	if err := os.WriteFile(to, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if size, err := open(t, dir).size(); err != nil || size > 32<<20 {
		t.Errorf("the store is %d bytes large, with the copy (%v)", size, err)
	}
}

// An earlier version that was killed leaves its newest work in the log.
func TestCopyHasWhatWasOnlyInTheLog(t *testing.T) {
	from, dir := older(t), t.TempDir()
	db, err := connect(filepath.Join(from, databaseFile), 1024)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE event SET id = 'newest' WHERE id = 'untried'`); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{databaseFile, databaseFile + "-wal"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	upgrade(t, dir)
	if got, want := holds(t, filepath.Join(dir, "tocsin.db.schema1")), strings.Replace(fixtureHolds, "untried", "newest", 1); got != want {
		t.Errorf("the copy holds %s, want %s", got, want)
	}
}

// Who goes back does as the log says, and as a program says that is too old.
func TestWayBackLeadsBack(t *testing.T) {
	dir := older(t)
	upgrade(t, dir)
	path := filepath.Join(dir, databaseFile)
	alter(t, path, "PRAGMA user_version = 99")
	refuses(t, dir, "newer tocsin", "(start that version; or, to go back, remove tocsin.db-wal, rename tocsin.db.schema1 to tocsin.db, and start the earlier version: what came since is lost)")
	_ = os.Remove(path + "-wal") // it was folded into the file when that was closed
	if err := os.Rename(path+".schema1", path); err != nil {
		t.Fatal(err)
	}
	if log := upgrade(t, dir); !strings.Contains(log, "copied as it was") {
		t.Errorf("an upgrade after that logs\n%s", log)
	}
	d := open(t, dir)
	if n := drain(t, d, "ops"); n != 3 {
		t.Errorf("%d delivered, want 3", n)
	}
	audit(t, d, nil)
}

// A copy of the same is not made twice; one of something else does not stay.
func TestOneCopyIsKeptAndItIsOfWhatIsThere(t *testing.T) {
	dir := older(t)
	path := filepath.Join(dir, databaseFile)
	alter(t, path, "CREATE TABLE kept (a)") // in the way of the upgrade
	refuses(t, dir, "kept already exists")
	first, err := os.Stat(path + ".schema1")
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, "kept already exists")
	if second, err := os.Stat(path + ".schema1"); err != nil || !os.SameFile(first, second) {
		t.Errorf("each start that fails makes a copy: %v", err)
	}
	alter(t, path, "DROP TABLE kept", "UPDATE event SET id = 'newest' WHERE id = 'untried'")
	for _, name := range []string{"schema0", "schema3", "schema3-wal", "schema3-shm", "schema2.new"} {
		if err := os.WriteFile(path+"."+name, []byte("left of another upgrade"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	upgrade(t, dir)
	if got, want := holds(t, path+".schema1"), strings.Replace(fixtureHolds, "untried", "newest", 1); got != want {
		t.Errorf("the copy holds %s, want %s", got, want)
	}
	if got := names(t, dir, "tocsin.db.*"); !slices.Equal(got, []string{"tocsin.db.schema1"}) {
		t.Errorf("in the folder are %q", got)
	}
}

// Whenever a start is killed before its upgrade is done, a copy is whole or not there,
// and the next start makes up for it.
func TestKilledUpgradeLeavesAWholeCopyOrNone(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	steps := map[string]int{"rename,renameat,renameat2": 1, "unlink,unlinkat": 3, "fsync,fdatasync": 4, "utimensat": 2, "ftruncate": 4, "pwrite64": 8}
	killed, wholes := 0, 0
	for calls, most := range steps {
		for n := 1; n <= most; n++ {
			dir := older(t)
			for _, name := range []string{".schema0", ".schema1.new"} { // something to remove
				if err := os.WriteFile(filepath.Join(dir, databaseFile+name), []byte("left of another upgrade"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := startCommand(t, "upgrade", "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls,
				"-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", calls, 1+(n-1)*(n-1)), os.Args[0], dir)
			c.read(math.MaxInt)
			done := c.cmd.Wait() == nil
			if !done {
				killed++
			}
			to := filepath.Join(dir, "tocsin.db.schema1")
			if _, err := os.Stat(to); err == nil {
				wholes++
				if got := holds(t, to); got != fixtureHolds {
					t.Fatalf("killed at %s %d, the copy holds %s", calls, n, got)
				}
			} else if done {
				t.Fatalf("the upgrade was done without a copy: %v", err)
			}
			upgrade(t, dir)
			if got := holds(t, to); got != fixtureHolds {
				t.Fatalf("started again after %s %d, the copy holds %s", calls, n, got)
			}
			if got := names(t, dir, "tocsin.db.*"); !slices.Equal(got, []string{"tocsin.db.schema1"}) {
				t.Errorf("after %s %d, in the folder are %q", calls, n, got)
			}
		}
	}
	if killed < 8 {
		t.Skipf("strace has killed %d times: it cannot trace here", killed)
	}
	t.Logf("%d killed, %d with a copy", killed, wholes)
}

// A copy that cannot be made keeps nobody from being told of alarms.
func TestUpgradeGoesOnWithoutACopy(t *testing.T) {
	check := func(t *testing.T, dir, log string) {
		t.Helper()
		if strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "store is upgraded without a copy, there is no way back to the earlier version") {
			t.Errorf("logs\n%s", log)
		}
		if got := names(t, dir, "tocsin.db.*"); len(got) > 0 {
			t.Errorf("in the folder are %q", got)
		}
		d := open(t, dir)
		audit(t, d, []string{"delivered", "dead", "retried", "aside", "untried"})
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Run("no room", func(t *testing.T) {
		dir := onFullDisk(t, 5<<20, 0)
		log := upgrade(t, dir)
		check(t, dir, log)
		if !strings.Contains(log, "MiB are free where the copy would want 6 MiB") {
			t.Errorf("logs\n%s", log)
		}
	})
	t.Run("no room but for an earlier copy", func(t *testing.T) {
		dir := onFullDisk(t, 0, 5<<20)
		upgrade(t, dir)
		if got := names(t, dir, "tocsin.db.*"); !slices.Equal(got, []string{"tocsin.db.schema1"}) {
			t.Errorf("in the folder are %q", got)
		}
	})
	for _, fault := range []string{"pwrite64:error=ENOSPC", "pwrite64:error=EIO:when=3", "fsync:error=EIO", "fsync:error=EDQUOT", "rename,renameat:error=EPERM"} {
		t.Run(fault, func(t *testing.T) {
			if _, err := exec.LookPath("strace"); err != nil {
				t.Skip("strace is not installed")
			}
			dir := older(t)
			calls, _, _ := strings.Cut(fault, ":")
			c := startCommand(t, "upgrade", "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls, "-e", "inject="+fault,
				"-P", filepath.Join(dir, "tocsin.db.schema1.new"), os.Args[0], dir)
			var log strings.Builder
			if _, err := c.out.WriteTo(&log); err != nil {
				t.Fatal(err)
			}
			if err := c.cmd.Wait(); err != nil {
				t.Skipf("strace cannot trace here: %v", err)
			}
			check(t, dir, log.String())
		})
	}
}

// onFullDisk is the folder of a store of 3 MiB of schema 1, on a disk of 12 MiB of
// which others have taken some, and a copy of an earlier upgrade.
func onFullDisk(t *testing.T, others, copied int) (dir string) {
	t.Helper()
	mnt := mount(t, "-t", "tmpfs", "-o", "size=12m", "none")
	from := filepath.Join(older(t), databaseFile)
	alter(t, from, "CREATE TABLE pad (b)", "INSERT INTO pad VALUES (zeroblob(3000000))")
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(mnt, "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{
		filepath.Join(dir, databaseFile): text, filepath.Join(mnt, "filler"): make([]byte, others), filepath.Join(dir, databaseFile+".schema0"): make([]byte, copied),
	} {
		if len(text) == 0 {
			continue
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Who asks for a stop while a large file is copied does not wait for the rest of it,
// and what there is of it is in nobody's way.
func TestStopEndsACopy(t *testing.T) {
	dir := older(t)
	path := filepath.Join(dir, databaseFile)
	db, err := connect(path, 1024)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := copyPages(ctx, conn, path+".schema1.new"); !errors.Is(err, context.Canceled) {
		t.Errorf("copying = %v", err)
	}
	if _, err := makeCopy(t.Context(), conn, path, path+".schema1", false); err != nil {
		t.Error(err)
	}
	if got := holds(t, path+".schema1"); got != fixtureHolds {
		t.Errorf("the copy holds %s", got)
	}
	if info, err := os.Stat(path + ".schema1"); err != nil || time.Since(info.ModTime()) > time.Hour {
		t.Errorf("a copy of a file with a log has the time of the file: %v", err)
	}
}
