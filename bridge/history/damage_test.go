package history

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"tocsin/rules"
)

// written makes a folder with one segment of some blocks of ten readings, and
// says where the blocks end.
func written(t testing.TB, blocks int) (dir string, ends []int64) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, dir)
	for i := range blocks {
		appendAll(l, i*10, i*10+10)
		l.flush(true)
		ends = append(ends, l.segments[0].size)
	}
	shut(t, l)
	return dir, ends
}

func TestTornTailCostsNothingBeforeIt(t *testing.T) {
	dir, ends := written(t, 5)
	path := segmentFiles(t, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(whole) {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		kept, clean := 0, size == len(magic)
		for i, end := range ends {
			if int64(size) >= end {
				kept, clean = i+1, int64(size) == end
			}
		}
		got, problems := numbers(t, ReplayFile(ctx(), path, time.Time{}))
		if !slices.Equal(got, upTo(0, kept*10)) {
			t.Fatalf("%d bytes: read %s, want the first %d", size, short(got), kept*10)
		}
		if clean != (len(problems) == 0) {
			t.Fatalf("%d bytes: problems %v", size, problems)
		}
		if size%37 != 0 {
			continue
		}
		// The next process goes on after it.
		l := open(t, dir)
		appendAll(l, 1000, 1010)
		shut(t, l)
		got, _ = numbers(t, l.Replay(ctx(), time.Time{}))
		if !slices.Equal(got, append(upTo(0, kept*10), upTo(1000, 1010)...)) {
			t.Fatalf("%d bytes: read %v", size, got)
		}
		if damaged := testutil.ToFloat64(l.metrics.damaged); clean != (damaged == 0) {
			t.Fatalf("%d bytes: %v damaged segments are counted", size, damaged)
		}
		for _, f := range segmentFiles(t, dir)[1:] {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFlippedBitCostsAtMostItsBlockOrWhatFollows(t *testing.T) {
	dir, ends := written(t, 5)
	path := segmentFiles(t, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 3)) // #nosec G404 -- the same every time
	for at := len(magic); at < len(whole); at++ {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1 << random.IntN(8)
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		block, begin := 0, int64(len(magic))
		for block < len(ends) && int64(at) >= ends[block] {
			begin = ends[block]
			block++
		}
		want := upTo(0, block*10)
		if int64(at) >= begin+headerBytes { // its payload: those after it are read
			want = append(want, upTo(block*10+10, 50)...)
		}
		got, problems := numbers(t, ReplayFile(ctx(), path, time.Time{}))
		if !slices.Equal(got, want) || len(problems) != 1 {
			t.Fatalf("byte %d: read %v and %v, want %v", at, got, problems, want)
		}
	}
}

func TestDamageIsCountedOnceAndReadAround(t *testing.T) {
	dir, ends := written(t, 5)
	path := segmentFiles(t, dir)[0]
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), ends[1]+headerBytes+4); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	l := open(t, dir, func(o *Options) { o.Log = logTo(&told) })
	for range 3 {
		got, problems := numbers(t, l.Replay(ctx(), time.Time{}))
		if !slices.Equal(got, append(upTo(0, 20), upTo(30, 50)...)) || len(problems) != 1 || problems[0].Lost != 10 {
			t.Fatalf("read %v and %v", got, problems)
		}
		points, err := l.Range(ctx(), "device-41", "temperature", time.Time{}, time.Unix(1<<40, 0), 10)
		if err != nil || len(points) != 1 {
			t.Fatalf("Range = %v, %v", points, err)
		}
	}
	if got := testutil.ToFloat64(l.metrics.damaged); got != 1 {
		t.Errorf("%v damaged segments are counted", got)
	}
	if n := strings.Count(told.String(), "history is damaged"); n != 1 {
		t.Errorf("told %d times: %s", n, &told)
	}
	shut(t, l)
}

// A segment of which nothing can be read hides nothing, and does not stay for ever.
func TestUnreadableSegmentStandsInNobodysWay(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		l := open(t, dir)
		appendAll(l, i*100, i*100+100)
		shut(t, l)
	}
	if err := os.WriteFile(segmentFiles(t, dir)[1], []byte("gone"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, func(o *Options) { o.Keep = time.Second })
	for from, want := range map[int][]int{
		50:  append(upTo(50, 100), upTo(200, 300)...),
		150: upTo(200, 300),
		250: upTo(250, 300),
	} {
		if got, _ := numbers(t, l.Replay(ctx(), reading(from).Now)); !slices.Equal(got, want) {
			t.Errorf("from %d: read %s, want %s", from, short(got), short(want))
		}
	}
	for second, want := range map[int]int{199: 3, 202: 1} {
		if l.tidy(reading(second).Now); len(segmentFiles(t, dir)) > want {
			t.Errorf("after %d seconds there are %d segments, want %d", second, len(segmentFiles(t, dir)), want)
		}
	}
	shut(t, l)
}

func TestFileThatIsNoHistorySaysSo(t *testing.T) {
	for content, want := range map[string]string{
		"":                          "ends before it begins",
		"schema = 1\n":              "this is no history",
		"tocsinh\x02 of tomorrow":   "version 2, and this program reads version 1",
		magic + "too short a block": "the file ends within a block",
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, problems := collect(t, ReplayFile(ctx(), path, time.Time{}))
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), want) || !strings.Contains(problems[0].Error(), path) {
			t.Errorf("%q: %v, want %q", content, problems, want)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "nothing"), t.TempDir()} {
		n := 0
		for _, err := range ReplayFile(ctx(), path, time.Time{}) {
			if n++; err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("reading %s: %v", path, err)
			}
		}
		if n != 1 {
			t.Errorf("%d errors", n)
		}
	}
}

func TestReadersStopWithTheirContext(t *testing.T) {
	dir, _ := written(t, 5)
	stopped, stop := context.WithCancel(ctx())
	defer stop()
	n := 0
	for in, err := range ReplayFile(stopped, dir, time.Time{}) {
		switch {
		case err == nil:
			if n++; number(in) == 5 {
				stop()
			}
		case !errors.Is(err, context.Canceled):
			t.Fatal(err)
		}
	}
	if n > 10 {
		t.Errorf("%d inputs were read, a block has 10", n)
	}
	l := open(t, dir)
	if _, err := l.Range(stopped, "device-1", "temperature", time.Time{}, time.Now(), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Range = %v", err)
	}
	shut(t, l)
}

func TestDeletedFolderIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	l := open(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var none []rules.Point
	if got, err := l.Range(ctx(), "a", "b", time.Time{}, time.Now(), 1); err != nil || !slices.Equal(got, none) {
		t.Errorf("Range = %v, %v", got, err)
	}
	appendAll(l, 0, 10)
	shut(t, l)
	wantNumbers(t, ReplayFile(ctx(), dir, time.Time{}), upTo(0, 10))
}
