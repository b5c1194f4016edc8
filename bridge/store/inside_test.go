package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"tocsin/bridge"
	"tocsin/rules"
)

func TestOutcomeReachesTheDiskWithoutACommit(t *testing.T) {
	ctx := context.Background()
	d := open(t, t.TempDir())
	commit(t, d, event("1", "rule/a", "x"))
	due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	finished := time.Now()
	if err := d.Finish(ctx, []bridge.Outcome{{Event: due[0].Event, Endpoint: "x", Status: 200, Attempt: 1, At: finished}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the outcome is in the file", func() bool {
		var state, status int
		return d.read.QueryRow(`SELECT state, status FROM delivery`).Scan(&state, &status) == nil && state == stateDelivered && status == 200
	})
	t.Logf("on disk after %v", time.Since(finished))
}

func TestFolderIsOurOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b ?#%41")
	d := open(t, dir)
	commit(t, d, event("1", "rule/a", "x"))
	for path, want := range map[string]fs.FileMode{
		"": 0o700, databaseFile: 0o600, databaseFile + "-wal": 0o600, databaseFile + "-shm": 0o600, lockFile: 0o600, reserveFile: 0o600, begunFile: 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
	}
}

func TestClosedStoreSaysSo(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx := context.Background()
	registry := prometheus.NewRegistry()
	dir := t.TempDir()
	for range 2 { // metrics go with the store
		d, err := Open(ctx, Options{Path: dir, Registerer: registry})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := testutil.GatherAndCount(registry, "tocsin_commit_seconds", "tocsin_store_bytes"); n != 2 || err != nil {
			t.Errorf("%d metrics, %v", n, err)
		}
		for range 2 {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		_, _, claimed := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 1})
		_, listed := d.Log().Endpoints(ctx)
		_, counted := d.Log().Backlog(ctx, "x")
		errs := []error{d.Commit(ctx, bridge.Batch{}), claimed, d.Finish(ctx, nil), listed, counted, d.Log().Trim(ctx, time.Now(), 1)}
		for _, err := range d.States(ctx, "") {
			errs = append(errs, err)
		}
		for i, err := range errs {
			if !errors.Is(err, fs.ErrClosed) {
				t.Errorf("call %d after Close: %v", i, err)
			}
		}
	}
}

// TestLogStaysBounded writes several times what the log may hold.
func TestLogStaysBounded(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	n := 0
	for range rounds(40, 400) {
		var ts []rules.Transition
		for range 200 {
			tr := event(fmt.Sprintf("%06d", n), fmt.Sprint("rule/", n%50), "x")
			tr.Events[0].Because = strings.Repeat("because ", 500)
			ts = append(ts, tr)
			n++
		}
		commit(t, d, ts...)
	}
	info, err := os.Stat(filepath.Join(dir, databaseFile+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	if limit := int64(6 * checkpointPages * page); info.Size() > limit {
		t.Errorf("the log has %d bytes, more than %d", info.Size(), limit)
	}
	t.Logf("log of %d MiB after %d events", info.Size()>>20, n)
}

// TestDeadEndpointCostsNoMemory leaves a long backlog on disk.
func TestDeadEndpointCostsNoMemory(t *testing.T) {
	d := open(t, t.TempDir())
	n := 0
	for range rounds(20, 200) {
		var ts []rules.Transition
		for range 500 {
			ts = append(ts, event(fmt.Sprintf("%07d", n), fmt.Sprint("rule/", n), "dead"))
			n++
		}
		commit(t, d, ts...)
	}
	l := d.byName["dead"]
	if len(l.lines) > maxLines || l.held > maxHeld || !l.behind {
		t.Errorf("%d lines of %d deliveries are in memory", len(l.lines), l.held)
	}
	if len(d.tail.events) > tailEvents || d.tail.bytes > tailBytes || len(d.tail.events) != len(d.tail.order) {
		t.Errorf("%d events of %d bytes are in memory", len(d.tail.events), d.tail.bytes)
	}
	if got := drain(t, d, "dead"); got != n {
		t.Errorf("%d delivered, want %d", got, n)
	}
	if len(l.lines)+l.held+len(l.leased)+l.fresh.Len()+l.retry.Len() > 0 {
		t.Errorf("something is left in memory: %+v", l)
	}
}

// TestOneFailingAlarmCannotStopALane lets one alarm be owed more than a lane
// holds alarms.
func TestOneFailingAlarmCannotStopALane(t *testing.T) {
	ctx := context.Background()
	d := open(t, t.TempDir())
	commit(t, d, event("first", "rule/bad", "x"))
	due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Finish(ctx, []bridge.Outcome{{Event: due[0].Event, Endpoint: "x", Fate: bridge.Retry, Due: time.Now().Add(time.Hour), Attempt: 1}}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		var ts []rules.Transition
		for j := range maxLines / 8 {
			ts = append(ts, event(fmt.Sprintf("%d-%d", i, j), "rule/bad", "x"))
		}
		commit(t, d, ts...)
	}
	commit(t, d, event("other", "rule/good", "x"))
	due, _, err = d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 10})
	if err != nil || len(due) != 1 || due[0].ID != "other" {
		t.Errorf("Claim = %v, %v", due, err)
	}
}

// TestCursorPassesWhatIsSettled looks at how much a start would have to read again.
func TestCursorPassesWhatIsSettled(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	d := open(t, dir)
	commit(t, d, event("1", "rule/a", "x", "y"), event("2", "rule/b", "x"))
	due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Finish(ctx, []bridge.Outcome{
		{Event: due[0].Event, Endpoint: "x", Fate: bridge.Retry, Due: time.Now().Add(time.Hour), Attempt: 1},
		{Event: due[1].Event, Endpoint: "x", Attempt: 1},
	}); err != nil {
		t.Fatal(err)
	}
	commit(t, d, event("3", "rule/a", "x"), event("4", "rule/c", "z"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	for name, want := range map[string]int64{"x": 4, "y": 0, "z": 3} {
		if got := d.byName[name].cursor; got != want {
			t.Errorf("cursor of %s = %d, want %d", name, got, want)
		}
	}
	audit(t, d, []string{"1", "2", "3", "4"})
}

func TestIdleStoreIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("reads the memory of the whole process")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := open(t, t.TempDir())
	commit(t, d, event("1", "rule/a", "x"))
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("an idle store holds %d bytes of heap", grown)
	}
}

// TestRefusedOutcomesAreKeptAndTheNewestCounts limits the database instead of
// the disk: SQLite refuses in the same words.
func TestRefusedOutcomesAreKeptAndTheNewestCounts(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	d := open(t, dir)
	const n = 600
	var ts []rules.Transition
	for i := range n {
		ts = append(ts, event(fmt.Sprint(i), fmt.Sprint("rule/", i), "x"))
	}
	commit(t, d, ts...)
	limit := func(pages string) {
		d.writing.Lock()
		defer d.writing.Unlock()
		if _, err := d.w.conn.ExecContext(ctx, "PRAGMA max_page_count = "+pages); err != nil {
			t.Fatal(err)
		}
	}
	finish := func(fate bridge.Fate) {
		due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: n})
		if err != nil || len(due) != n {
			t.Fatalf("%d claimed: %v", len(due), err)
		}
		var outcomes []bridge.Outcome
		for _, e := range due {
			outcomes = append(outcomes, bridge.Outcome{Event: e.Event, Endpoint: "x", Fate: fate, Due: time.Now(), Attempt: e.Attempt + 1,
				Error: strings.Repeat("connection refused ", 5)})
		}
		if err := d.Finish(ctx, outcomes); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // SQLite makes it as many as there are
	finish(bridge.Retry)
	if err := d.flush(ctx, false); !errors.Is(err, bridge.ErrFull) {
		t.Fatalf("flush = %v", err)
	}
	if err := d.flush(ctx, true); !errors.Is(err, bridge.ErrFull) || !unwritten(d) {
		t.Fatalf("flush = %v", err)
	}
	finish(bridge.Delivered)
	limit("4294967294")
	eventually(t, "outcomes are written", func() bool { return !unwritten(d) })
	if err := d.Commit(ctx, bridge.Batch{}); err != nil {
		t.Errorf("probe = %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	if left := drain(t, d, "x"); left > 0 {
		t.Errorf("%d delivered again", left)
	}
	var rows, attempts int
	if err := d.read.QueryRow(`SELECT count(*), sum(attempt) FROM delivery WHERE state = 1`).Scan(&rows, &attempts); err != nil ||
		rows != n || attempts != 2*n {
		t.Errorf("%d rows of %d attempts, %v", rows, attempts, err)
	}
}

// TestNothingIsLeasedWhileTooManyOutcomesWait bounds what a full disk costs.
func TestNothingIsLeasedWhileTooManyOutcomesWait(t *testing.T) {
	ctx := context.Background()
	d := open(t, t.TempDir())
	commit(t, d, event("1", "rule/a", "x"))
	d.mu.Lock()
	for i := range int64(maxWaiting) {
		d.next.rows[rowKey{1000 + i, 1}] = row{state: stateDelivered}
	}
	d.mu.Unlock()
	due, next, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 1})
	if len(due) > 0 || next.IsZero() || err != nil {
		t.Errorf("Claim = %v, %v, %v", due, next, err)
	}
	d.mu.Lock()
	clear(d.next.rows)
	d.mu.Unlock()
	if due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 1}); len(due) != 1 || err != nil {
		t.Errorf("Claim = %v, %v", due, err)
	}
}

// TestReplayIsPastWhatItLookedThrough would find a replay that looks for what
// comes before each of its slices from the beginning.
func TestReplayIsPastWhatItLookedThrough(t *testing.T) {
	ctx := context.Background()
	d := open(t, t.TempDir())
	var ts []rules.Transition
	for i := range 2 * changeSlice {
		ts = append(ts, event(fmt.Sprint(i), fmt.Sprint("rule/", i%7), "x"))
	}
	commit(t, d, ts...)
	s := bridge.Selection{Endpoint: "x"}
	if n, err := d.Log().Discard(ctx, s); n != len(ts) || err != nil {
		t.Fatal(n, err)
	}
	if n, err := d.Log().Replay(ctx, s); n != len(ts) || err != nil {
		t.Fatal(n, err)
	}
	if l := d.byName["x"]; l.cursor != d.last {
		t.Errorf("the lane stands at %d of %d", l.cursor, d.last)
	}
	if n := drain(t, d, "x"); n != len(ts) {
		t.Errorf("%d delivered, want %d", n, len(ts))
	}
	audit(t, d, nil)
}
