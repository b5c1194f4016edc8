//go:build linux

package torture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// gofail makes the comments of the form "gofail: var name struct{}" points at which a
// program can be held. It comes from the module proxy, and no program of ours needs it.
const gofail = "go.etcd.io/gofail@v0.2.0"

// pointScenes kill at named points of the program.
func pointScenes() []scene {
	return []scene{
		{row: "F1", name: "killed at named points", needs: heldBinary, strike: func(s *stage) {
			s.killAtPoints("storeOpened", "beforeIntake", "beforeCommit", "transactionWritten", "transactionSynced", "beforeReceipts",
				"beforeAcknowledgement", "beforeOutcome", "afterOutcome", "beforeOutcomesAlone")
		}},
		{row: "F1", name: "killed at named points with another broker", mosquitto: true, needs: heldBinary, strike: func(s *stage) {
			s.killAtPoints("beforeUpstreamAcknowledgement", "beforeReceipts", "beforeUpstreamAcknowledgement")
		}},
	}
}

// errNoTool says that gofail could not be had, which is not for us to mend.
var errNoTool = errors.New(gofail + " did not do")

// heldBinary says why there can be no program that can be held; "" if there can.
func heldBinary() string {
	if _, err := builtHeld(); errors.Is(err, errNoTool) {
		return err.Error()
	}
	return ""
}

// builtHeld builds tocsin with its points, once. Files that have some are changed in a
// copy and laid over the tree, and what they import is required by another go.mod.
var builtHeld = sync.OnceValues(func() (path string, err error) {
	dir, err := bench()
	if err != nil {
		return "", err
	}
	top, err := run("", "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return "", err
	}
	top = strings.TrimSpace(top)
	var copies []string
	replace := map[string]string{}
	for _, folder := range []string{"bridge", "broker"} {
		err := filepath.WalkDir(filepath.Join(top, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(text, []byte("// gofail: var ")) {
				return err
			}
			to := dir + strings.TrimPrefix(path, top)
			copies, replace[path] = append(copies, to), to
			binding := strings.TrimSuffix(to, ".go") + ".fail.go"
			replace[strings.TrimSuffix(path, ".go")+".fail.go"] = binding
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				return err
			}
			return os.WriteFile(to, text, 0o600)
		})
		if err != nil {
			return "", err
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(top, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			return "", err
		}
	}
	overlay, err := layOver(dir, replace)
	if err != nil {
		return "", err
	}
	mod := "-modfile=" + filepath.Join(dir, "go.mod")
	path = filepath.Join(dir, "tocsin")
	for _, args := range [][]string{
		append([]string{"run", gofail, "enable"}, copies...),
		{"get", mod, strings.Replace(gofail, "@", "/runtime@", 1)},
	} {
		if _, err := run(top, "go", args...); err != nil {
			return "", fmt.Errorf("%w: %w", errNoTool, err)
		}
	}
	_, err = run(top, "go", "build", mod, "-pgo=off", "-overlay", overlay, "-o", path, "./cmd/tocsin")
	return path, err
})

// layOver writes what the Go tool takes for -overlay: files, and what stands in for them.
func layOver(dir string, replace map[string]string) (path string, err error) {
	list, err := json.Marshal(struct{ Replace map[string]string }{replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

// run runs a command and returns what it wrote.
func run(dir, name string, args ...string) (string, error) {
	cmd := building(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %.500s", strings.Join(args[:2], " "), err, out)
	}
	return string(out), nil
}

// killAtPoints kills the bridge at each of these points, in an order that the seed
// gives: it is held there, others go on for a moment, and then it is killed.
func (s *stage) killAtPoints(points ...string) {
	s.Helper()
	rounds, most := 1, 6
	if long() {
		rounds, most = 40, 100
	}
	binary, err := builtHeld()
	if err != nil {
		s.Fatal(err)
	}
	s.b.kill()
	for range rounds {
		for _, i := range s.draw.Perm(len(points)) {
			s.killAtPoint(binary, points[i], s.draw.IntN(most))
		}
	}
}

// killAtPoint kills the bridge when it has passed a point so often and is there again.
func (s *stage) killAtPoint(binary, point string, passed int) {
	s.Helper()
	if point == "storeOpened" || point == "beforeIntake" {
		passed = 0 // a process is there once
	}
	addr := freeAddress(s)
	s.start("env", fmt.Sprintf("GOFAIL_FAILPOINTS=%s=%d*off->1*sleep(600000)", point, passed), "GOFAIL_HTTP="+addr, "HELD="+binary,
		"sh", "-c", `shift; exec "$HELD" "$@"`, "sh") // instead of the binary that comes first
	held := within(deadline, func() bool {
		return httpText("http://"+addr+"/"+point+"/count") == fmt.Sprint(passed+1)
	})
	if !held {
		s.Errorf("it never was at %s for the %dth time, so nothing was tried\n%s", point, passed+1, s.tail())
	}
	if s.draw.IntN(2) == 0 {
		s.goOn(100 * time.Millisecond)
	}
	s.b.kill()
}

// httpText is what is answered; "" if nothing is.
func httpText(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(text)
}
