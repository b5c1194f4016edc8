package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// childVariable names what this binary does when it is run again, as a process
// that may be killed.
const childVariable = "TOCSIN_STORE_CHILD"

func TestMain(m *testing.M) {
	switch mode := os.Getenv(childVariable); mode {
	case "":
		os.Exit(m.Run())
	case "commit":
		os.Exit(commitForEver(os.Args[1], os.Args[2]))
	case "attempt":
		os.Exit(attemptAndHang(os.Args[1]))
	case "hold":
		os.Exit(hold(os.Args[1]))
	case "upgrade":
		os.Exit(openAndClose(os.Args[1]))
	default:
		fmt.Fprintln(os.Stderr, "no such child:", mode)
		os.Exit(2)
	}
}

func torture() bool { return os.Getenv("TOCSIN_TORTURE") != "" }

// rounds is how often a random test is repeated.
func rounds(short, long int) int {
	if torture() {
		return long
	}
	return short
}

// event makes an event of an alarm, with a body of some size.
func event(id, alarm string, endpoints ...string) rules.Transition {
	return rules.Transition{
		State: rules.State{Key: alarm, Rule: "rule", Episode: id},
		Events: []rules.Event{{
			ID: id, Type: rules.AlarmFired, At: time.Now(), Title: strings.Repeat("too warm ", 50), Endpoints: endpoints,
		}},
	}
}

func open(t testing.TB, dir string) *DB {
	t.Helper()
	d, err := Open(context.Background(), Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func commit(t testing.TB, d *DB, ts ...rules.Transition) {
	t.Helper()
	if err := d.Commit(context.Background(), bridge.Batch{Transitions: ts}); err != nil {
		t.Fatal(err)
	}
}

// eventually asks until done says so. The bound is for what never happens.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// A child is this binary in another process. Its acknowledgements are the lines
// it prints, "ok ID", each after the commit has returned.
type child struct {
	cmd  *exec.Cmd
	out  *bufio.Reader
	acks []string
	last string // the last other line
}

func start(t testing.TB, mode string, args ...string) *child {
	t.Helper()
	return startCommand(t, mode, append([]string{os.Args[0]}, args...)...)
}

func startCommand(t testing.TB, mode string, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(args[0], args[1:]...)}
	c.cmd.Env = append(os.Environ(), childVariable+"="+mode)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.kill() })
	return c
}

// read reads until n more commits are acknowledged, or to the end.
func (c *child) read(n int) {
	for n > 0 {
		line, err := c.out.ReadString('\n')
		if err != nil {
			return // a line without an end is no acknowledgement
		}
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "ok "); ok {
			c.acks = append(c.acks, id)
			n--
		} else {
			c.last = line
		}
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_, _ = io.Copy(io.Discard, c.out)
	_ = c.cmd.Wait()
}

const childAlarms = 10

// commitForEver commits, and delivers at one endpoint of two, until it is killed
// or the store breaks.
func commitForEver(dir, name string) int {
	ctx := context.Background()
	d, err := Open(ctx, Options{Path: dir})
	if err != nil {
		fmt.Println("open:", err)
		return 1
	}
	go func() {
		for {
			due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 5})
			if err != nil {
				return
			}
			var outcomes []bridge.Outcome
			for _, e := range due {
				outcomes = append(outcomes, bridge.Outcome{
					Event: e.Event, Endpoint: "x", Fate: bridge.Fate(e.Event % 3), Due: time.Now(), Attempt: e.Attempt + 1, At: time.Now(),
				})
			}
			if d.Finish(ctx, outcomes) != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // in a process of its own, no test waits for it; more than the disk takes would only wait in memory
		}
	}()
	for i := 0; ; i += childAlarms {
		var ts []rules.Transition
		for j := i; j < i+1+i/childAlarms%childAlarms; j++ {
			ts = append(ts, event(fmt.Sprintf("%s-%06d", name, j), fmt.Sprintf("rule/%d", j%childAlarms), "x", "y"))
		}
		if err := d.Commit(ctx, bridge.Batch{Transitions: ts}); err != nil {
			fmt.Println("commit:", err)
			return afterwards(d, ts)
		}
		for _, t := range ts {
			fmt.Println("ok", t.State.Episode)
		}
	}
}

// afterwards looks at a store that has broken.
func afterwards(d *DB, ts []rules.Transition) int {
	ctx := context.Background()
	_, _, claimed := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 1})
	for _, err := range []error{
		d.Commit(ctx, bridge.Batch{Transitions: ts}), claimed, d.Finish(ctx, nil), d.Close(),
	} {
		if !errors.Is(err, ErrBroken) {
			fmt.Println("not broken:", err)
			return 1
		}
	}
	fmt.Println("broken")
	return 0
}

// attemptAndHang is handed what is due, says which attempt it is, and is never
// done with it.
func attemptAndHang(dir string) int {
	ctx := context.Background()
	d, err := Open(ctx, Options{Path: dir})
	if err != nil {
		fmt.Println("open:", err)
		return 1
	}
	due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 10})
	if err != nil {
		fmt.Println("claim:", err)
		return 1
	}
	for _, e := range due {
		fmt.Printf("ok %s %d\n", e.ID, e.Attempt)
	}
	fmt.Println("ok all")
	_, _ = io.Copy(io.Discard, os.Stdin)
	select {}
}

// hold keeps a store open until its input ends.
func hold(dir string) int {
	if _, err := Open(context.Background(), Options{Path: dir}); err != nil {
		fmt.Println("open:", err)
		return 1
	}
	fmt.Println("ok open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	select {}
}

// openAndClose opens a store and prints what it logs.
func openAndClose(dir string) int {
	d, err := Open(context.Background(), Options{Path: dir, Log: slog.New(slog.NewTextHandler(os.Stdout, nil))})
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		fmt.Println("open:", err)
		return 1
	}
	return 0
}

// unwritten reports whether outcomes wait, none of them in a transaction.
func unwritten(d *DB) bool {
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.waiting()
}

// audit checks what must hold in every store at every start: the file is sound,
// state and event were written together, every counter is exact, and every
// acknowledged event is there.
func audit(t *testing.T, d *DB, acknowledged []string) {
	t.Helper()
	ctx := context.Background()
	d.writing.Lock() // nothing is under way
	defer d.writing.Unlock()
	var sound string
	if err := d.read.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&sound); err != nil || sound != "ok" {
		t.Fatalf("integrity_check: %s %v", sound, err)
	}
	newest := make(map[string]string)
	there := make(map[string]bool)
	rows, err := d.read.QueryContext(ctx, `SELECT id, alarm FROM event ORDER BY num`)
	if err != nil {
		t.Fatal(err)
	}
	if err := each(rows, func() error {
		var id, alarm string
		err := rows.Scan(&id, &alarm)
		newest[alarm], there[id] = id, true
		return err
	}); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for _, id := range acknowledged {
		if !there[id] {
			lost++
		}
	}
	if lost > 0 {
		t.Fatalf("%d of %d acknowledged events are lost", lost, len(acknowledged))
	}
	states := make(map[string]string)
	for s, err := range d.States(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		states[s.Key] = s.Episode
	}
	if !maps.Equal(states, newest) {
		t.Fatalf("states %v do not belong to the newest events %v", states, newest)
	}
	for name, l := range d.byName {
		var found record
		if err := d.read.QueryRowContext(ctx, `SELECT
			(SELECT count(*) FROM event e WHERE instr(eps, ?1) > 0
				AND NOT EXISTS (SELECT 1 FROM delivery WHERE event = e.num AND ep = ?2 AND state <> 0)),
			(SELECT coalesce(sum(length(CAST(payload AS BLOB))), 0) FROM event e WHERE instr(eps, ?1) > 0
				AND NOT EXISTS (SELECT 1 FROM delivery WHERE event = e.num AND ep = ?2 AND state <> 0)),
			(SELECT count(*) FROM delivery WHERE ep = ?2 AND state = 2)`, epToken(l.num), l.num).Scan(&found.owed, &found.bytes, &found.dead); err != nil {
			t.Fatal(err)
		}
		w := l.written
		if found.owed != w.owed || found.bytes != w.bytes || found.dead != w.dead {
			t.Fatalf("%s: counted %d owed of %d bytes and %d dead, the file says %d of %d and %d",
				name, found.owed, found.bytes, found.dead, w.owed, w.bytes, w.dead)
		}
	}
}

// drain delivers everything that is owed and says how much that was. It checks
// the order of each alarm, which in these tests is the order of ids.
func drain(t *testing.T, d *DB, endpoint string) (n int) {
	t.Helper()
	ctx := context.Background()
	last := make(map[string]int64)
	for {
		due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: endpoint, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		if len(due) == 0 {
			return n
		}
		var outcomes []bridge.Outcome
		for _, e := range due {
			if e.Event <= last[e.Alarm] {
				t.Fatalf("%s is told event %d after %d", e.Alarm, e.Event, last[e.Alarm])
			}
			last[e.Alarm] = e.Event
			outcomes = append(outcomes, bridge.Outcome{Event: e.Event, Endpoint: endpoint, Attempt: e.Attempt + 1, Status: 204, At: time.Now()})
		}
		n += len(due)
		if err := d.Finish(ctx, outcomes); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs a command of the system and skips the test when it is missing or may
// not do what is asked.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Skipf("%s %v is not possible here: %v: %s", name, args, err, out)
	}
}

func root(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount file systems")
	}
}

// mount mounts a file system until the test ends.
func mount(t *testing.T, args ...string) (dir string) {
	t.Helper()
	root(t)
	dir = filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", append(slices.Clone(args), dir)...)
	t.Cleanup(func() { unmount(t, dir) })
	return dir
}

func unmount(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "umount "+dir, func() bool {
		out, err := exec.Command("umount", dir).CombinedOutput()
		return err == nil || strings.Contains(string(out), "not mounted")
	})
}
