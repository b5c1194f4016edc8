//go:build linux

package torture

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A plant is a bug that is put into the bridge, and what has to notice it.
type plant struct {
	name  string
	file  string
	edits []string // old text and new text in turns; each old text is there once
	more  string   // is added to the file's end
	scene string   // a pattern for go test -run, below TestTorture
	names promise
}

// plants are the mistakes that a bridge like this one is most likely to make. All nine
// promises are broken by one of them.
func plants() []plant {
	return []plant{
		{
			name: "acknowledges before it has stored", file: "broker/conn.go",
			edits: []string{"if err := c.broker.wait(m.receipt); err != nil {", "if err := error(nil); err != nil {"},
			scene: "F1/kill--9-at-random$", names: durable,
		},
		{
			name: "drops what finds the disk full", file: "bridge/judge.go",
			edits: []string{"func refuse(context.Context) error { return errRefused }", "func refuse(context.Context) error { return nil }"},
			scene: "F5/full-disk", names: durable,
		},
		{
			name: "tells an alarm's newest event first", file: "bridge/store/schedule.go",
			edits: []string{"\t\tl.condense(ln, rows)\n\t\tln.leased = true\n", "\t\tl.condense(ln, rows)\n\t\tif n := len(ln.items) - 1; n > 0 {\n\t\t\tln.items[0], ln.items[n] = ln.items[n], ln.items[0]\n\t\t}\n\t\tln.leased = true\n"},
			scene: "F12/server-errors", names: delivered,
		},
		{
			name: "draws another id for each attempt", file: "bridge/preset/notice.go",
			edits: []string{"ID: batch[0].ID, Body: batch[0].Envelope()", `ID: batch[0].ID + time.Now().Format(".000000000")[1:], Body: batch[0].Envelope()`},
			scene: "F11/receiver-whose-answers-are-lost", names: delivered,
		},
		{
			name: "makes another body for each attempt", file: "bridge/preset/notice.go",
			edits: []string{"body = n.At.UTC().AppendFormat(", "body = time.Now().UTC().AppendFormat("},
			scene: "F11/receiver-whose-answers-are-lost", names: delivered,
		},
		{
			name: "gives up after the first attempt", file: "bridge/lane.go",
			edits: []string{"\t\to.Fate = Retry\n", "\t\to.Fate = Dead\n"},
			scene: "F12/server-errors", names: delivered,
		},
		{
			name: "does not know alarms after a start", file: "bridge/judge.go",
			edits: []string{`range b.store.States(ctx, "")`, `range b.store.States(ctx, "\xff")`},
			scene: "F1/kill--9-at-random$", names: unmoved,
		},
		{
			name: "forgets alarms at a reload", file: "bridge/reload.go",
			edits: []string{"\tnow, inputs := b.wake(nil)\n\tb.engine.Reload(", "\tnow, inputs := b.wake(nil)\n\tb.engine = rules.NewEngine(r.Program, rules.Options{Route: b.route, Sync: b.synced, Born: b.born, MaxDevices: b.limit})\n\tb.engine.Reload("},
			scene: "F19", names: unmoved,
		},
		{
			name: "takes time in which it stood still for silence", file: "bridge/clock.go",
			edits: []string{"Gap: &rules.Gap{From: since, To: now}", "Gap: &rules.Gap{From: now, To: now}"},
			scene: "F18/suspended-for-longer-than-a-device-may-be-silent", names: unmoved,
		},
		{
			name: "ends with a stack when the folder is refused", file: "cmd/tocsin/serve.go",
			edits: []string{"\t\treturn err // it says that it is the store's\n", "\t\tpanic(err)\n"},
			scene: "F9/two-processes-on-one-folder", names: plain,
		},
		{
			name: "ends with a failure when it is asked to stop", file: "cmd/tocsin/serve.go",
			edits: []string{"\treturn errors.Join(err, <-served)\n", "\treturn errors.Join(err, <-served, ctx.Err())\n"},
			scene: "F21/SIGTERM-under-load", names: plain,
		},
		{
			name: "makes one attempt at a time, whoever it is for", file: "bridge/lane.go",
			edits: []string{"\t\t\tl.try(ctx, e, &a, notices)\n", "\t\t\tplanted.Lock()\n\t\t\tl.try(ctx, e, &a, notices)\n\t\t\tplanted.Unlock()\n"},
			more:  "\nvar planted sync.Mutex\n",
			scene: "F11/receiver-cut-off", names: unharmed,
		},
		{
			name: "leaves a goroutine behind for each attempt", file: "bridge/lane.go",
			edits: []string{"\t\t\tl.try(ctx, e, &a, notices)\n", "\t\t\tgo func() { select {} }()\n\t\t\tl.try(ctx, e, &a, notices)\n"},
			scene: "F18/suspended$", names: bounded,
		},
		{
			name: "writes passwords into its log", file: "broker/admit.go",
			edits: []string{"\te.grant(c, name, e.users[name])\n\treturn nil\n", "\te.grant(c, name, e.users[name])\n\te.log.Info(\"a client is let in\", \"user\", name, \"password\", string(pk.Connect.Password))\n\treturn nil\n"},
			scene: "F18/suspended$", names: discreet,
		},
		{
			name: "does not look whether there is space again", file: "bridge/judge.go",
			edits: []string{"\t\terr := b.store.Commit(ctx, Batch{Probe: true})\n", "\t\terr := ErrFull\n"},
			scene: "F5/full-disk", names: healed,
		},
		{
			name: "says that it is ready whatever happens", file: "bridge/api/handler.go",
			edits: []string{"\t\tstatus := http.StatusOK\n\t\tif len(reasons) > 0 {\n", "\t\tstatus := http.StatusOK\n\t\tif false {\n"},
			scene: "F5/full-disk", names: outspoken,
		},
	}
}

// A harness that would let such a bridge pass is worth nothing.
func TestPlantedBugsAreFoundAndNamed(t *testing.T) {
	if os.Getenv("TOCSIN_TORTURE") == "" {
		t.Skip("SKIP planted bugs: each is a build and a scene, a quarter of an hour in all (set TOCSIN_TORTURE=1)")
	}
	if os.Getenv(binaryVariable) != "" {
		t.Skip("SKIP planted bugs: another bridge is tortured")
	}
	for _, p := range plants() {
		t.Run(strings.ReplaceAll(p.name, " ", "-"), func(t *testing.T) {
			out := p.torture(t)
			if !strings.Contains(out, "--- FAIL: TestTorture/") {
				t.Fatalf("nobody notices that it %s:\n%s", p.name, end(out))
			}
			if !strings.Contains(out, string(p.names)) {
				t.Errorf("a bridge that %s breaks %q, and nobody says so:\n%s", p.name, p.names, end(out))
			}
		})
	}
}

// Every old text is where it was: a plant that does not grow proves nothing.
func TestPlantsFitTheCode(t *testing.T) {
	broken := map[promise]bool{}
	for _, p := range plants() {
		if _, err := p.grow(".."); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		broken[p.names] = true
	}
	for _, p := range []promise{durable, delivered, unmoved, plain, unharmed, bounded, discreet, healed, outspoken} {
		if !broken[p] {
			t.Errorf("no plant breaks %q", p)
		}
	}
}

// grow is the file with the bug in it.
func (p *plant) grow(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, p.file))
	if err != nil {
		return "", err
	}
	grown := string(text)
	for edit := range slices.Chunk(p.edits, 2) {
		if n := strings.Count(grown, edit[0]); n != 1 {
			return "", fmt.Errorf("%s has %q %d times, and a plant wants it once (the code has changed: plant the bug anew)", p.file, edit[0], n)
		}
		grown = strings.Replace(grown, edit[0], edit[1], 1)
	}
	return grown + p.more, nil
}

// torture builds a bridge with the bug, plays the scene with it and returns what was said.
func (p *plant) torture(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	grown, err := p.grow(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "tocsin")
	overlay, err := layOver(dir, map[string]string{filepath.Join(root, p.file): write(t, dir, "grown.go", grown)})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := building("go", "build", "-pgo=off", "-overlay", overlay, "-o", binary, "tocsin/cmd/tocsin").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "-test.run", "^TestTorture$/"+p.scene, "-test.v", "-test.failfast")
	cmd.Env = append(os.Environ(), binaryVariable+"="+binary, "TOCSIN_SEEDS=5", "TOCSIN_SEED=", "TOCSIN_REPORT=", "TOCSIN_KEEP=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = deadline
	_ = cmd.Run() // how it ends is in what it says
	return out.String()
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func end(text string) string { return text[max(0, len(text)-4000):] }
