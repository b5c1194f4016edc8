package history

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func records(all ...string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, r := range all {
			if !yield([]byte(r)) {
				return
			}
		}
	}
}

func snapshot(t testing.TB, l *Log) (SnapshotInfo, []string) {
	t.Helper()
	info, all, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(r))
	}
	return info, got
}

func save(t testing.TB, l *Log, info SnapshotInfo, all ...string) {
	t.Helper()
	if err := l.WriteSnapshot(info, records(all...)); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotComesBackWhole(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	if info, got := snapshot(t, l); info != (SnapshotInfo{}) || len(got) > 0 {
		t.Errorf("a new folder has a snapshot: %v, %v", info, got)
	}
	at := time.Unix(1_800_000_000, 7).UTC()
	want := []string{"", "a", strings.Repeat("large ", 100_000), "\x00"}
	for i := range 20_000 {
		want = append(want, fmt.Sprint("record ", i))
	}
	appendAll(l, 0, 10)
	save(t, l, SnapshotInfo{At: at, Position: l.Position()}, "older")
	save(t, l, SnapshotInfo{At: at, Position: l.Position()}, want...)
	shut(t, l)
	l = open(t, dir)
	info, got := snapshot(t, l)
	if info != (SnapshotInfo{At: at, Position: 10}) || !slices.Equal(got, want) {
		t.Errorf("%+v with %d records, want %d", info, len(got), len(want))
	}
	shut(t, l)
}

func TestCleanSnapshotIsCleanOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	save(t, l, SnapshotInfo{Clean: true}, "a")
	shut(t, l)
	l = open(t, dir)
	if info, got := snapshot(t, l); !info.Clean || !slices.Equal(got, []string{"a"}) {
		t.Errorf("after a clean stop: %+v, %v", info, got)
	}
	_ = l.lock.Close() // the process is gone without a word
	l = open(t, dir)
	if info, got := snapshot(t, l); info.Clean || !slices.Equal(got, []string{"a"}) {
		t.Errorf("after a crash: %+v, %v", info, got)
	}
	shut(t, l)
}

func TestNewerSnapshotBeatsACleanOne(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	save(t, l, SnapshotInfo{Clean: true}, "a")
	save(t, l, SnapshotInfo{}, "b")
	shut(t, l)
	l = open(t, dir)
	if info, got := snapshot(t, l); info.Clean || !slices.Equal(got, []string{"b"}) {
		t.Errorf("%+v, %v", info, got)
	}
	shut(t, l)
}

// A snapshot is on the disk at once, and the inputs before it a second later.
// Those that a crash loses meanwhile are in the snapshot; what comes after the
// crash is not, and must not be taken for them.
func TestPositionsGoOnAfterASnapshotThatIsAhead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	appendAll(l, 0, 10)
	l.flush(true)
	appendAll(l, 10, 20)
	save(t, l, SnapshotInfo{Position: l.Position()}, "a")
	_ = l.lock.Close() // the process is gone without a word
	l = open(t, dir)
	appendAll(l, 100, 110)
	shut(t, l)
	l = open(t, dir)
	info, _ := snapshot(t, l)
	wantNumbers(t, l.ReplayFrom(ctx(), info.Position), upTo(100, 110))
	wantNumbers(t, l.Replay(ctx(), time.Time{}), append(upTo(0, 10), upTo(100, 110)...))
	shut(t, l)
}

func TestFailedSnapshotLeavesTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	save(t, l, SnapshotInfo{Position: 3}, "a")
	err := l.WriteSnapshot(SnapshotInfo{Position: 4}, records("b", strings.Repeat("x", inputBytes+1)))
	if err == nil || !strings.Contains(err.Error(), "1048577 bytes, and 1048576 are allowed") {
		t.Errorf("WriteSnapshot = %v", err)
	}
	if exists(filepath.Join(dir, temporaryFile)) {
		t.Error("half a snapshot is left")
	}
	shut(t, l)
	// A crash on the way leaves half a file under another name.
	if err := os.WriteFile(filepath.Join(dir, temporaryFile), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	if info, got := snapshot(t, l); info.Position != 3 || !slices.Equal(got, []string{"a"}) {
		t.Errorf("%+v, %v", info, got)
	}
	shut(t, l)
}

// Damage is found before a record is used, wherever it is.
func TestDamagedSnapshotIsAnError(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	save(t, l, SnapshotInfo{At: time.Unix(1_800_000_000, 0)}, "a", "b", "c")
	path := filepath.Join(dir, snapshotFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := func(what string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, all, err := l.Snapshot()
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "delete it") {
			t.Errorf("%s: Snapshot = %v", what, err)
		}
		for r, err := range all {
			t.Errorf("%s: a record %q (%v)", what, r, err)
		}
	}
	for i := range whole {
		broken(fmt.Sprint("cut at byte ", i), whole[:i])
		flipped := bytes.Clone(whole)
		flipped[i] ^= 4
		broken(fmt.Sprint("flipped at byte ", i), flipped)
	}
	shut(t, l)
	shut(t, open(t, dir)) // and no reason not to begin
}

func FuzzSnapshot(f *testing.F) {
	var file bytes.Buffer
	if err := writeSnapshot(&file, SnapshotInfo{Position: 7}, records("a", "b")); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes(), []byte("\x01a\x01b"))
	f.Fuzz(func(t *testing.T, data, payload []byte) {
		_, _ = readInfo(bytes.NewReader(data))
		_ = checkSnapshot(bytes.NewReader(data))
		size := 0
		_, _ = eachRecord(payload, func(r []byte, _ error) bool {
			size += len(r) + 1
			return true
		})
		if size > len(payload) {
			t.Fatalf("records of %d bytes in %d", size, len(payload))
		}
	})
}
