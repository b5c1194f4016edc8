package history

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// appendForEver appends, and says on standard output how much has been written,
// until it is killed. Now and then it takes a snapshot.
func appendForEver(dir string) int {
	l, err := Open(Options{Path: dir, MinFree: -1})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	start := int(l.Position())
	fmt.Println("from", start)
	for i := start; ; i++ {
		l.Append(reading(i))
		switch {
		case i%1000 == 999: // ahead of what is written
			if err := l.WriteSnapshot(SnapshotInfo{At: reading(i).Now, Position: l.Position()}, records(strconv.Itoa(i+1))); err != nil {
				fmt.Println(err)
				return 1
			}
			fmt.Println("snapshot", i+1)
		case i%50 == 0:
			l.flush(true)
			fmt.Println("flushed", i+1)
		}
	}
}

func TestWhatWasFlushedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	snapshot := 0
	var from []int // where each process began, and how far the one before had come
	var reached []int
	for range 5 {
		cmd := exec.Command(os.Args[0], dir) // #nosec G204 G702 -- this test
		cmd.Env = append(os.Environ(), childVariable+"=append")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		flushed, lines, last := 0, 20+rand.IntN(200), "" // #nosec G404 -- a moment, not a secret
		for s := bufio.NewScanner(out); s.Scan(); lines-- {
			last = s.Text()
			what, n, _ := strings.Cut(last, " ")
			value, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(last)
			}
			switch what {
			case "from":
				from = append(from, value)
			case "snapshot":
				snapshot = value
			case "flushed":
				flushed = value
			}
			if lines == 0 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait() // it was killed
		if flushed == 0 {
			t.Fatal("nothing was flushed: ", last)
		}
		l := open(t, dir)
		got, _ := numbers(t, l.Replay(ctx(), time.Time{}))
		if len(got) == 0 || got[len(got)-1] < flushed-1 || !slices.IsSorted(got) {
			t.Fatalf("read %s, %d were flushed", short(got), flushed)
		}
		reached = append(reached, got[len(got)-1]+1)
		// Nothing that was flushed is missing: a hole is only where a process ended.
		want := []int{}
		for i, begin := range from {
			want = append(want, upTo(begin, reached[i])...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("read %s, want %d", short(got), len(want))
		}
		info, all, err := l.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if info.Clean || int(info.Position) < snapshot {
			t.Errorf("snapshot %+v, one of %d was written", info, snapshot)
		}
		for record, err := range all {
			if err != nil || string(record) != strconv.Itoa(int(info.Position)) {
				t.Errorf("snapshot of %d holds %q (%v)", info.Position, record, err)
			}
		}
		// What is read on from the snapshot is what it has not seen.
		got, _ = numbers(t, l.ReplayFrom(ctx(), info.Position))
		want = slices.DeleteFunc(want, func(i int) bool { return i < int(info.Position) })
		if !slices.Equal(got, want) {
			t.Errorf("read %s after %d, want %d", short(got), info.Position, len(want))
		}
		if l.Position() < info.Position {
			t.Errorf("positions go on at %d, before the snapshot's %d", l.Position(), info.Position)
		}
		shut(t, l)
	}
	t.Logf("began at %v, reached %v", from, reached)
}
