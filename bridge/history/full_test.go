package history

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// smallDisk mounts a file system of a few MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("a disk that is full takes root on Linux, to mount a small one")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "none", dir).CombinedOutput(); err != nil { // #nosec G204 -- a folder of the test
		t.Skipf("a disk that is full takes a small one, and none can be mounted here: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil { // #nosec G204 -- as above
			t.Errorf("unmounting: %v %s", err, out)
		}
	})
	return dir
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path) // #nosec G304 -- of the test
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFullDiskStopsRecordingUntilThereIsSpace(t *testing.T) {
	mnt := smallDisk(t)
	dir, filler := filepath.Join(mnt, "history"), filepath.Join(mnt, "filler")
	var told bytes.Buffer
	l := open(t, dir, func(o *Options) { o.Log = logTo(&told) })
	save(t, l, SnapshotInfo{Position: 1}, "a")
	var kept []int
	at := 0
	more := func(keep bool) {
		// Large enough that a block does not fit into what is left of a page.
		for i := at; i < at+2000; i++ {
			in := reading(i)
			in.Sample.Text = strings.Repeat(fmt.Sprint(i), 20)
			l.Append(in)
			if keep {
				kept = append(kept, i)
			}
		}
		at += 2000
		l.flush(true)
	}
	more(true)
	for round := range 3 {
		told.Reset()
		fill(t, filler)
		for range 5 {
			more(false)
		}
		if err := l.WriteSnapshot(SnapshotInfo{Position: 2}, records(strings.Repeat("no room ", 1000))); err == nil {
			t.Error("a snapshot was written on a full disk")
		}
		if n := strings.Count(told.String(), "history is not recorded"); n != 1 {
			t.Errorf("told %d times: %s", n, &told)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			shut(t, l)
			l = open(t, dir, func(o *Options) { o.Log = logTo(&told) })
		}
		more(true)
		if n := strings.Count(told.String(), "history is recorded again"); n != 1 && round != 1 {
			t.Errorf("told %d times: %s", n, &told)
		}
		if info, got := snapshot(t, l); info.Position != 1 || !slices.Equal(got, []string{"a"}) {
			t.Errorf("snapshot %+v, %v", info, got)
		}
	}
	if got := testutil.ToFloat64(l.metrics.dropped.WithLabelValues("disk")); got != 10_000 {
		t.Errorf("%v are counted since the restart, 10000 were left out", got)
	}
	shut(t, l)
	got, problems := numbers(t, ReplayFile(ctx(), dir, time.Time{}))
	if !slices.Equal(got, kept) {
		t.Errorf("read %s, want %s", short(got), short(kept))
	}
	lost := uint64(0)
	for _, p := range problems {
		lost += p.Lost
		if !strings.Contains(p.Fact, "not recorded") {
			t.Error(p)
		}
	}
	if lost != 20_000 { // of the round with the restart, nobody was left to tell
		t.Errorf("readers are told of %d lost, want 20000", lost)
	}
}

func TestHistoryLeavesSpaceToOthers(t *testing.T) {
	mnt := smallDisk(t)
	l := open(t, filepath.Join(mnt, "history"), func(o *Options) { o.MinFree = 3 << 20 })
	noise := rand.New(rand.NewPCG(1, 1)) // #nosec G404 -- does not compress
	for i := range 200 {
		for j := range 200 {
			in := reading(i*200 + j)
			in.Sample.Text = fmt.Sprint(noise.Uint64(), noise.Uint64(), noise.Uint64())
			l.Append(in)
		}
		l.flush(true)
	}
	free, known := freeBytes(mnt)
	if !known || free < 3<<20-64<<10 {
		t.Errorf("%d bytes are left, 3 MiB should be", free)
	}
	if l.stopped == nil || !strings.Contains(l.stopped.Error(), "3 are left to others") {
		t.Errorf("it says %v", l.stopped)
	}
	shut(t, l)
}

// A fleet of which every reading is of another device is the worst there is.
func TestMemoryIsBounded(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	l := open(t, t.TempDir())
	in := reading(0)
	for i := range 700_000 {
		in.Sample.Device = fmt.Sprint("device-", i)
		l.Append(in)
	}
	if l.missing == 0 {
		t.Fatal("the buffer is not full")
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("%d MiB are held", grown>>20)
	} else {
		t.Logf("%.1f MiB are held for %d inputs", float64(grown)/(1<<20), l.Position())
	}
	shut(t, l)
}
