package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A planted bug is one that the simulation has to find.
type planted struct {
	name    string
	edits   []edit
	promise string // that a complaint has to name
	run     string // the test that finds it; "" is the simulation
}

// An edit puts text in the place of another that a file has once.
type edit struct{ file, old, new string }

// The bugs are mistakes that somebody may make, each in the code as it is now.
var bugs = []planted{
	{
		name:    "acknowledged early",
		edits:   []edit{{"bridge/judge.go", "return g.waits(), nil", "return nil, nil"}},
		promise: "P1 acknowledged",
	},
	{
		name:    "dropped while the disk is full",
		edits:   []edit{{"bridge/judge.go", "func refuse(context.Context) error { return errRefused }", "func refuse(context.Context) error { return nil }"}},
		promise: "P1 acknowledged",
	},
	{
		name:    "an alarm's events out of order",
		edits:   []edit{{"bridge/store/schedule.go", "ln.items = slices.Insert(ln.items, at, it)", "ln.items = slices.Insert(ln.items, 1, it)"}},
		promise: "P2 order is kept",
	},
	{
		name:    "an id drawn for each attempt",
		edits:   []edit{{"bridge/lane.go", "return preset.Notice{ID: d.ID,", `return preset.Notice{ID: d.ID + time.Now().Format("150405"),`}},
		promise: "P2 repeats carry the same id",
	},
	{
		name: "an event's id drawn at random",
		edits: []edit{
			{"rules/tell.go", "import (\n", "import (\n	\"crypto/rand\"\n"},
			{"rules/tell.go", `digest("event", episode, strconv.Itoa(seq), string(typ))`, `digest("event", episode, strconv.Itoa(seq), string(typ), rand.Text())`},
		},
		promise: "I3 the same inputs, the same events",
		run:     "TestTheSameSeedIsTheSameStory",
	},
	{
		name:    "a body made anew for each attempt",
		edits:   []edit{{"bridge/lane.go", "Alarm: d.Alarm, At: d.At, Data:", "Alarm: d.Alarm, At: time.Now(), Data:"}},
		promise: "P2 one id, one body",
	},
	{
		name:    "a replay under another id",
		edits:   []edit{{"bridge/lane.go", "return preset.Notice{ID: d.ID,", `return preset.Notice{ID: d.ID + map[bool]string{true: "again"}[d.Owed.Sub(d.At) > 5*time.Minute],`}},
		promise: "P2 repeats carry the same id",
	},
	{
		name:    "state not restored",
		edits:   []edit{{"bridge/judge.go", "if !engine.Restore(s) && active {", "if active {"}},
		promise: "P2 every event, and no other",
	},
	{
		name:    "a failure that counts as accepted",
		edits:   []edit{{"bridge/lane.go", "o.Fate = Retry\n", "o.Fate = Delivered\n"}},
		promise: "P2 nothing is lost",
	},
	{
		name:    "an acceptance that is not remembered",
		edits:   []edit{{"bridge/lane.go", "o.Fate, how = Delivered, accepted", "o.Fate, o.Due, how = Retry, now.Add(time.Minute), accepted"}},
		promise: "P2 told once",
	},
	{
		name:    "Retry-After of an endpoint forgotten",
		edits:   []edit{{"bridge/owner.go", "if res.RetryAfter > 0 && until.After(l.floor) {", "if false {"}},
		promise: "P2 Retry-After is kept",
	},
	{
		name:    "Retry-After forgotten over a restart",
		edits:   []edit{{"bridge/fortune.go", "s.floor, s.digested = asLong(now, s.memo.Floor, at), asLong", "_, s.digested = 0, asLong"}},
		promise: "P2 Retry-After is kept",
	},
	{
		name:    "silence of time in which nobody listened",
		edits:   []edit{{"rules/deaf.go", "missed += to - from", "missed += 0"}, {"rules/deaf.go", "until = max(until, g.to+min(grace, g.to-g.from))", "_ = g"}},
		promise: "I6 no silence of deaf time",
	},
	{
		name:    "downtime that counts as time of hearing",
		edits:   []edit{{"bridge/judge.go", "g, inputs = b.stepGap(from, to)\n", "g, inputs = b.stepGap(to, to)\n"}},
		promise: "I6 no silence of deaf time",
	},
	{
		name:    "a reload of the same that resets",
		edits:   []edit{{"rules/reload.go", "	for s := range e.States() {\n		fresh.Restore(s)\n	}\n", ""}},
		promise: "P1 acknowledged",
	},
	{
		name: "an endpoint that stops another",
		edits: []edit{
			{"bridge/breaker.go", "// isOpen reports", "var everybodys time.Time\n\n// isOpen reports"},
			{"bridge/breaker.go", "	b.opened++\n", "	b.opened++\n	everybodys = now.Add(o.pause(b.opened))\n"},
			{"bridge/breaker.go", "	case !b.isOpen():\n", "	case now.Before(everybodys):\n		return 0, everybodys\n	case !b.isOpen():\n"},
		},
		promise: "P5 one endpoint hurts nobody else",
	},
	{
		name:    "a pause forgotten over a restart",
		edits:   []edit{{"bridge/bridge.go", "case (s.Target == e.Target || l.memo.Paused) && !enable:", "case s.Target == e.Target && !l.memo.Paused && !enable:"}},
		promise: "what a person asked for holds",
	},
}

// root is where the module is.
const root = "../.."

// apply writes the files of a bug as they would be into dir, and says which they
// are. A bug whose text is no longer in the code has to be planted elsewhere.
func (p *planted) apply(t *testing.T, dir string) map[string]string {
	t.Helper()
	replace := make(map[string]string)
	for _, e := range p.edits {
		path, err := filepath.Abs(filepath.Join(root, filepath.FromSlash(e.file)))
		if err != nil {
			t.Fatal(err)
		}
		from, changed := path, filepath.Join(dir, strings.ReplaceAll(e.file, "/", "_"))
		if replace[path] != "" {
			from = changed
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte(e.old)); n != 1 {
			t.Fatalf("%s has %d times %q (plant the bug in the code as it is now)", e.file, n, e.old)
		}
		if err := os.WriteFile(changed, bytes.Replace(text, []byte(e.old), []byte(e.new), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = changed
	}
	return replace
}

// compile makes the tests of this package with some files replaced.
func (p *planted) compile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	overlay, err := json.Marshal(map[string]any{"Replace": p.apply(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	list, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "simulate.test")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-pgo=off", "-overlay", list, "-o", binary, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("the bug does not compile: %v\n%s", err, out)
	}
	return binary
}

// Where a bug would be planted, the code is as it was when it was written.
func TestPlantedBugsFitTheCode(t *testing.T) {
	for _, p := range bugs {
		t.Run(p.name, func(t *testing.T) { p.apply(t, t.TempDir()) })
	}
}

// What finds nothing proves nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	if os.Getenv("TOCSIN_TORTURE") == "" {
		t.Skip("each bug is compiled and searched for, half a minute each; with TOCSIN_TORTURE=1 it is done")
	}
	for _, p := range bugs {
		t.Run(p.name, func(t *testing.T) {
			run := p.run
			if run == "" {
				run = "TestWhateverHappensThePromisesHold"
			}
			cmd := exec.CommandContext(t.Context(), p.compile(t), "-test.run", "^"+run+"$", "-test.timeout", "20m")
			cmd.Env = append(os.Environ(), "TOCSIN_TORTURE=", "TOCSIN_SEED=", "TOCSIN_STEPS=", "TOCSIN_SEEDS=200")
			out, err := cmd.CombinedOutput()
			if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
				t.Fatal(err)
			}
			switch {
			case err == nil:
				t.Fatal("it was not found")
			case !strings.Contains(string(out), p.promise):
				t.Fatalf("it was found, but not as %q:\n%s", p.promise, out)
			}
			t.Logf("%s", firstComplaint(string(out), p.promise))
		})
	}
}

// firstComplaint is the line that names a promise.
func firstComplaint(out, promise string) string {
	_, rest, _ := strings.Cut(out, promise)
	line, _, _ := strings.Cut(rest, "\n")
	return promise + line
}
