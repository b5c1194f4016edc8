//go:build linux

package torture

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// A report is what became of each scene.
type report struct {
	mu    sync.Mutex
	lines []*line // in the order of scenes
}

// A line is what became of one scene, over its seeds.
type line struct {
	scene    string // "F5/full-disk"
	seeds    int
	failed   int
	skipped  int
	messages int // acknowledged
	events   int // accepted by the endpoint that is told of everything
	took     time.Duration
}

// add begins a scene's line.
func (r *report) add(scene string) *line {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &line{scene: scene}
	r.lines = append(r.lines, l)
	return l
}

// note takes down how one seed of a scene ended.
func (r *report) note(l *line, t *testing.T, took time.Duration, messages, events int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.seeds++
	l.took += took
	l.messages += messages
	l.events += events
	switch {
	case t.Failed():
		l.failed++
	case t.Skipped():
		l.skipped++
	}
}

// String is the table.
func (r *report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "seeds\tfailed\tskipped\tmessages\tevents\tseconds\t  scene")
	var sum line
	for _, l := range r.lines {
		if l.seeds > 0 {
			l.write(w)
		}
		sum.seeds, sum.failed, sum.skipped = sum.seeds+l.seeds, sum.failed+l.failed, sum.skipped+l.skipped
		sum.messages, sum.events, sum.took = sum.messages+l.messages, sum.events+l.events, sum.took+l.took
	}
	sum.scene = "all"
	sum.write(w)
	_ = w.Flush() // into memory
	return text.String()
}

func (l *line) write(w *tabwriter.Writer) {
	fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%.0f\t  %s\n", l.seeds, l.failed, l.skipped, l.messages, l.events, l.took.Seconds(), l.scene)
}

// tell writes the table where TOCSIN_REPORT says, and into the log.
func (r *report) tell(t *testing.T) {
	t.Helper()
	t.Logf("\n%s", r)
	if path := os.Getenv("TOCSIN_REPORT"); path != "" {
		if err := os.WriteFile(path, []byte(r.String()), 0o600); err != nil { // #nosec G703 -- named by who runs the test
			t.Error(err)
		}
	}
}

func TestReportCountsSeedsAndFailures(t *testing.T) {
	r := &report{}
	kill, full := r.add("F1/kill"), r.add("F5/full")
	r.add("F9/never-run")
	r.note(kill, t, time.Second, 100, 50)
	r.note(kill, t, 2*time.Second, 10, 5)
	r.note(full, t, 4*time.Second, 1, 1)
	kill.failed = 1
	if got, want := r.String(), `
  seeds  failed  skipped  messages  events  seconds  scene
      2       1        0       110      55        3  F1/kill
      1       0        0         1       1        4  F5/full
      3       1        0       111      56        7  all
`; got != want[1:] {
		t.Errorf("%s", got)
	}
}
