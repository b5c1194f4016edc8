package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tocsin/rules"
)

func appendAll(l *Log, from, to int) {
	for i := from; i < to; i++ {
		l.Append(reading(i))
	}
}

func TestWhatWasAppendedIsReplayedInOrderAfterRestarts(t *testing.T) {
	dir := t.TempDir()
	for round := range 4 {
		l := open(t, dir)
		wantNumbers(t, l.Replay(ctx(), time.Time{}), upTo(0, round*5000))
		appendAll(l, round*5000, round*5000+5000)
		shut(t, l)
	}
	l := open(t, dir)
	wantNumbers(t, l.Replay(ctx(), time.Time{}), upTo(0, 20_000))
	wantNumbers(t, l.Replay(ctx(), reading(12_345).Now), upTo(12_345, 20_000))
	wantNumbers(t, l.ReplayFrom(ctx(), 7777), upTo(7777, 20_000))
	wantNumbers(t, l.ReplayFrom(ctx(), l.Position()), nil)
	wantNumbers(t, ReplayFile(ctx(), dir, time.Time{}), upTo(0, 20_000))
	wantNumbers(t, ReplayFile(ctx(), segmentFiles(t, dir)[1], time.Time{}), upTo(5000, 10_000))
	shut(t, l)
}

func TestReplayEndsWithItsReader(t *testing.T) {
	l := open(t, t.TempDir())
	appendAll(l, 0, 1000)
	l.flush(true)
	n := 0
	for range l.Replay(ctx(), time.Time{}) {
		if n++; n == 10 {
			break
		}
	}
	if n != 10 {
		t.Errorf("%d were read", n)
	}
	shut(t, l)
}

func TestSegmentThatIsBeingWrittenIsRead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := range 10 {
		appendAll(l, i*100, i*100+100)
		l.flush(true)
		wantNumbers(t, l.Replay(ctx(), time.Time{}), upTo(0, i*100+100))
		wantNumbers(t, ReplayFile(ctx(), dir, time.Time{}), upTo(0, i*100+100))
	}
	shut(t, l)
}

func TestTicksAreNotKept(t *testing.T) {
	l := open(t, t.TempDir())
	l.Append(rules.Input{Now: time.Unix(1_800_000_000, 0)})
	if p := l.Position(); p != 0 {
		t.Errorf("position %d after a tick", p)
	}
	shut(t, l)
	if files := segmentFiles(t, l.options.Path); len(files) > 0 {
		t.Errorf("there are %v", files)
	}
}

func TestFilesAreForTheUserAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "history")
	l := open(t, dir)
	appendAll(l, 0, 10)
	if err := l.WriteSnapshot(SnapshotInfo{}, records("a")); err != nil {
		t.Fatal(err)
	}
	shut(t, l)
	for path, want := range map[string]os.FileMode{
		dir: 0o700, segmentFiles(t, dir)[0]: 0o600, filepath.Join(dir, snapshotFile): 0o600, filepath.Join(dir, "lock"): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

func TestFolderBelongsToOneProcess(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	if second, err := Open(Options{Path: dir}); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("Open of an open folder = %v, %v", second, err)
	}
	shut(t, l)
	shut(t, open(t, dir))
}

func TestRunWritesEverySecond(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, dir)
		runs, stop := context.WithCancel(ctx())
		done := make(chan error)
		go func() { done <- l.Run(runs) }()
		for i := range 10 {
			l.Append(reading(i))
			time.Sleep(time.Second)
			synctest.Wait()
			wantNumbers(t, ReplayFile(ctx(), dir, time.Time{}), upTo(0, i+1))
		}
		// What fills a block does not wait for the second.
		appendAll(l, 10, 100_000)
		synctest.Wait()
		if got, _ := numbers(t, ReplayFile(ctx(), dir, time.Time{})); len(got) < 50_000 {
			t.Errorf("only %s were written", short(got))
		}
		l.Append(reading(100_000))
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantNumbers(t, ReplayFile(ctx(), dir, time.Time{}), upTo(0, 100_001))
		shut(t, l)
	})
}

// Rotation and retention depend on time and size alone.
func TestOldSegmentsAreDeleted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, dir, func(o *Options) { o.Keep = time.Hour })
		done := make(chan error)
		runs, stop := context.WithCancel(ctx())
		go func() { done <- l.Run(runs) }()
		for range 150 { // a reading a minute
			in := reading(0)
			in.Now = time.Now()
			l.Append(in)
			time.Sleep(time.Minute)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		var first time.Time
		n := 0
		for in, err := range l.Replay(ctx(), time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 1 {
				first = in.Now
			}
		}
		// A segment is ten minutes long, and goes when all of it is too old.
		if age := time.Since(first); age < time.Hour || age > 75*time.Minute {
			t.Errorf("the oldest input is %v old, an hour is kept", age)
		}
		if n := len(segmentFiles(t, dir)); n < 6 || n > 8 {
			t.Errorf("%d segments in an hour", n)
		}
		shut(t, l)
	})
}

func TestHistoryStaysWithinItsSize(t *testing.T) {
	const most = 1 << 20
	dir := t.TempDir()
	registry := prometheus.NewRegistry()
	limited := func(o *Options) { o.MaxBytes, o.Registerer = most, registry }
	l := open(t, dir, limited)
	noise := rand.New(rand.NewPCG(1, 1)) // #nosec G404 -- does not compress
	for i := range 400_000 {
		in := reading(i)
		in.Sample.Num = noise.Float64()
		l.Append(in)
		if i%10_000 == 0 {
			l.flush(true)
			l.tidy(time.Unix(0, 0))
			var size int64
			for _, f := range segmentFiles(t, dir) {
				info, err := os.Stat(f)
				if err != nil {
					t.Fatal(err)
				}
				size += info.Size()
			}
			if size > most {
				t.Fatalf("%d bytes, %d are allowed", size, most)
			}
			if size != l.bytes.Load() {
				t.Fatalf("%d bytes, and %d are counted", size, l.bytes.Load())
			}
		}
	}
	shut(t, l)
	if n := len(segmentFiles(t, dir)); n < 4 {
		t.Errorf("only %d segments are left", n)
	}
	l = open(t, dir, limited) // metrics can be registered again
	inputs, problems := collect(t, l.Replay(ctx(), time.Time{}))
	if len(inputs) < 20_000 || len(problems) > 0 {
		t.Errorf("%d inputs are left, %v", len(inputs), problems)
	}
	shut(t, l)
}

func TestWhatFindsNoRoomIsCountedAndToldToReaders(t *testing.T) {
	dir := t.TempDir()
	registry := prometheus.NewRegistry()
	l := open(t, dir, func(o *Options) { o.Registerer = registry })
	// Nobody writes. Texts are long, so that the buffer is soon full.
	text := strings.Repeat("x", 64<<10)
	appendText := func(i int) {
		in := reading(i)
		in.Sample.Kind, in.Sample.Text = rules.Text, text
		l.Append(in)
	}
	const n = 200 // of 64 KiB: 12.5 MiB
	for i := range n {
		appendText(i)
	}
	taken := int(l.Position())
	if l.waiting+len(l.encoder.buf) > bufferBytes+maxRaw {
		t.Errorf("%d bytes are waiting", l.waiting+len(l.encoder.buf))
	}
	if taken < 120 || taken > 135 {
		t.Errorf("%d of %d were taken; 8 MiB are 128 of them", taken, n)
	}
	l.flush(true)
	for i := range 10 {
		appendText(n + i)
	}
	shut(t, l)
	if got := testutil.ToFloat64(l.metrics.dropped.WithLabelValues("buffer")); got != float64(n-taken) {
		t.Errorf("%v are counted, %d were left out", got, n-taken)
	}
	got, problems := numbers(t, ReplayFile(ctx(), dir, time.Time{}))
	if diff := cmp.Diff(append(upTo(0, taken), upTo(n, n+10)...), got); diff != "" {
		t.Error(diff)
	}
	if len(problems) != 1 || problems[0].Lost != uint64(n-taken) {
		t.Errorf("problems %v, want one of %d lost", problems, n-taken)
	}
}

func TestInputThatIsTooLargeIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	appendAll(l, 0, 10)
	large := rules.Input{Now: reading(10).Now}
	for i := range 40 {
		large.Batch = append(large.Batch, rules.Sample{Device: fmt.Sprint("unheard-of-", i), Text: strings.Repeat("x", 32<<10)})
	}
	l.Append(large)
	appendAll(l, 10, 20)
	shut(t, l)
	if got := testutil.ToFloat64(l.metrics.dropped.WithLabelValues("size")); got != 1 {
		t.Errorf("%v are counted", got)
	}
	got, problems := numbers(t, ReplayFile(ctx(), dir, time.Time{}))
	if diff := cmp.Diff(upTo(0, 20), got); diff != "" {
		t.Error(diff)
	}
	if len(problems) != 1 || problems[0].Lost != 1 {
		t.Errorf("problems %v", problems)
	}
}

func TestRangeHasTheNewestReadingsByTheirOwnTime(t *testing.T) {
	l := open(t, t.TempDir())
	// Two days of a reading a minute; those of an hour were held back, and came
	// a day later.
	start := time.Unix(1_800_000_000, 0).UTC()
	var held []rules.Sample
	for i := range 2 * 24 * 60 {
		at := start.Add(time.Duration(i) * time.Minute)
		s := rules.Sample{Device: "a", Metric: "t", Num: float64(i), At: at, Received: at}
		if i >= 600 && i < 660 {
			held = append(held, s)
			continue
		}
		l.Append(rules.Input{Now: at, Sample: &s})
		for _, other := range []rules.Sample{
			{Device: "b", Metric: "t"}, {Device: "a", Metric: "h"}, {Device: "a", Metric: "t", Invalid: "nan"},
			{Device: "a", Metric: "t", Flags: rules.Retained}, // of unknown age
		} {
			other.At, other.Received, other.Num = at, at, -1
			l.Append(rules.Input{Now: at, Sample: &other})
		}
		if i == 660+24*60 {
			l.Append(rules.Input{Now: at, Batch: held})
		}
		if i%7 == 0 {
			l.flush(true)
		}
		if i%500 == 0 {
			l.disk.Lock()
			l.rotate()
			l.disk.Unlock()
		}
	}
	l.flush(true)
	check := func(from, to, limit, first, end int) {
		t.Helper()
		got, err := l.Range(ctx(), "a", "t", start.Add(time.Duration(from)*time.Minute), start.Add(time.Duration(to)*time.Minute), limit)
		if err != nil {
			t.Fatal(err)
		}
		var want []rules.Point
		for i := first; i < end; i++ {
			want = append(want, rules.Point{At: start.Add(time.Duration(i) * time.Minute), Value: float64(i)})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("from %d to %d, at most %d (-want +got):\n%s", from, to, limit, diff)
		}
	}
	check(0, 5000, 5000, 0, 2880)
	check(0, 5000, 10, 2870, 2880)
	check(590, 700, 1000, 590, 700) // whole, with what came late
	check(590, 640, 20, 620, 640)
	check(100, 100, 10, 0, 0)
	check(100, 200, 0, 0, 0)
	check(-500, 3, 100, 0, 3)
	check(4000, 5000, 100, 0, 0)
	shut(t, l)
}

// The newest are not in the block that was written last, nor in the one with the
// newest of all.
func TestRangeLooksForTheNewestInEveryBlock(t *testing.T) {
	l := open(t, t.TempDir())
	start := time.Unix(1_800_000_000, 0).UTC()
	for _, block := range [][]int{{1, 2}, {50, 80, 90}, {5, 100}, {3, 4}} {
		for _, i := range block {
			at := start.Add(time.Duration(i) * time.Second)
			l.Append(rules.Input{Now: start.Add(time.Hour), Sample: &rules.Sample{Device: "a", Metric: "m", Num: float64(i), At: at}})
		}
		l.flush(true)
	}
	got, err := l.Range(ctx(), "a", "m", start, start.Add(time.Hour), 2)
	if err != nil {
		t.Fatal(err)
	}
	var want []rules.Point
	for _, i := range []int{90, 100} {
		want = append(want, rules.Point{At: start.Add(time.Duration(i) * time.Second), Value: float64(i)})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	shut(t, l)
}

func TestRangeShowsWhatAMetricIs(t *testing.T) {
	l := open(t, t.TempDir())
	at := time.Unix(1_800_000_000, 0).UTC()
	for i, s := range []rules.Sample{{Kind: rules.Text, Text: "open"}, {Kind: rules.Bool, Num: 1}, {Num: 21.5}} {
		s.Device, s.Metric, s.At = "a", "m", at.Add(time.Duration(i))
		l.Append(rules.Input{Now: at, Sample: &s})
	}
	l.flush(true)
	got, err := l.Range(ctx(), "a", "m", at, at.Add(time.Second), 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []rules.Point{{At: at, Value: "open"}, {At: at.Add(1), Value: true}, {At: at.Add(2), Value: 21.5}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	shut(t, l)
}

// Engines append while files are written, read and deleted. It is for the race
// detector.
func TestEverythingAtOnce(t *testing.T) {
	l := open(t, t.TempDir(), func(o *Options) { o.MaxBytes = 256 << 10 })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for i := range 30 {
			appendAll(l, i*1000, i*1000+1000)
			if err := l.WriteSnapshot(SnapshotInfo{Position: l.Position()}, records("a", "b")); err != nil {
				t.Error(err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-stopped:
			running = false
		default:
		}
		l.flush(true)
		l.tidy(time.Unix(0, 0))
		last := -1
		for in, err := range l.Replay(ctx(), time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n := number(in); n <= last {
				t.Fatalf("%d after %d", n, last)
			} else {
				last = n
			}
		}
		if _, err := l.Range(ctx(), "device-7", "temperature", time.Time{}, time.Unix(1<<40, 0), 10); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, l)
}
