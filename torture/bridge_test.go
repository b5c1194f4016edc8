//go:build linux

package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadline bounds everything that is waited for.
const deadline = 30 * time.Second

// workshop is a folder for what is built, once for all cases.
var workshop = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "tocsin-torture-") })

// bench makes a folder in the workshop.
func bench() (string, error) {
	dir, err := workshop()
	if err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, "")
}

// builtBridge builds tocsin once for all cases.
var builtBridge = sync.OnceValues(func() (string, error) {
	dir, err := bench()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tocsin")
	_, err = run("", "go", "build", "-o", path, "tocsin/cmd/tocsin")
	return path, err
})

func TestMain(m *testing.M) {
	if code, ok := secluded(); ok {
		os.Exit(code)
	}
	if err := settleIn(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if dir, err := workshop(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// binaryVariable names another tocsin to torture, such as one with a planted bug.
const binaryVariable = "TOCSIN_TORTURED"

func bridgeBinary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(binaryVariable); path != "" {
		return path
	}
	path, err := builtBridge()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A bridge is a running tocsin, maybe under a wrapper such as strace. It is the head
// of a process group of its own, by which it is ended with all that it started.
type bridge struct {
	t       testing.TB
	cmd     *exec.Cmd
	wrapped bool
	began   time.Time
	ready   chan struct{}
	exited  chan struct{}

	mu     sync.Mutex
	log    bytes.Buffer
	listen map[string]string // addresses by what is spoken there, once ready
}

func (b *bridge) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

// said is what it wrote on standard error.
func (b *bridge) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

// startBridge runs the binary with a configuration.
func startBridge(t testing.TB, config string, env []string, wrapper ...string) *bridge {
	t.Helper()
	args := append(wrapper, bridgeBinary(t), "run", "-c", config)
	b := &bridge{
		t: t, cmd: exec.Command(args[0], args[1:]...), wrapped: len(wrapper) > 0, began: time.Now(),
		ready: make(chan struct{}), exited: make(chan struct{}), listen: map[string]string{},
	}
	b.cmd.Stderr = b
	b.cmd.Env = append(os.Environ(), env...)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // it does not outlive a test that was killed
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go b.watch(stdout)
	t.Cleanup(b.kill)
	return b
}

func (b *bridge) watch(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 3 && fields[0] == "listening":
			b.mu.Lock()
			b.listen[fields[1]] = fields[2]
			b.mu.Unlock()
		case len(fields) == 1 && fields[0] == "ready":
			close(b.ready)
		}
	}
	_ = b.cmd.Wait()
	close(b.exited)
}

func (b *bridge) address(of string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.listen[of]
}

// pid is that of tocsin itself.
func (b *bridge) pid() int {
	pid := b.cmd.Process.Pid
	if !b.wrapped {
		return pid
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if fields := strings.Fields(string(children)); len(fields) > 0 {
		pid, _ = strconv.Atoi(fields[0])
	}
	return pid
}

// signal sends tocsin itself a signal.
func (b *bridge) signal(s syscall.Signal) { _ = syscall.Kill(b.pid(), s) }

// kill ends it at once, as kill -9 does.
func (b *bridge) kill() {
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	<-b.exited
}

// stop asks it to end, and returns its exit code.
func (b *bridge) stop() int {
	b.t.Helper()
	b.signal(syscall.SIGTERM)
	return b.ended()
}

// ended waits for its end, and returns its exit code.
func (b *bridge) ended() int {
	b.t.Helper()
	select {
	case <-b.exited:
	case <-time.After(deadline):
		b.signal(syscall.SIGQUIT) // which has it say where its goroutines are
		select {
		case <-b.exited:
		case <-time.After(deadline):
		}
		b.t.Fatalf("tocsin does not end:\n%s", b.said())
	}
	return b.cmd.ProcessState.ExitCode()
}

func (b *bridge) alive() bool {
	select {
	case <-b.exited:
		return false
	default:
		return true
	}
}

// get asks its HTTP server. Its status is 0 if there was no answer.
func (b *bridge) get(path string) (status int, body string) { return b.ask(http.MethodGet, path) }

// post asks its API to do something.
func (b *bridge) post(path string) (status int, body string) { return b.ask(http.MethodPost, path) }

func (b *bridge) ask(method, path string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+b.address("http")+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// answer asks its API and reads the answer into v.
func (b *bridge) answer(path string, v any) error {
	status, body := b.get("/api/v1/" + path)
	if status != http.StatusOK {
		return fmt.Errorf("%s is answered %d: %.300s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// metric is the sum of the samples of a metric whose labels include all of those.
func (b *bridge) metric(name string, labels ...string) float64 {
	_, text := b.get("/metrics")
	return sample(text, name, labels)
}

// sample reads a page of metrics.
func sample(text, name string, labels []string) (sum float64) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		fits := true
		for _, l := range labels {
			fits = fits && strings.Contains(rest, l)
		}
		if fits {
			v, _ := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
			sum += v
		}
	}
	return sum
}

// A footprint is what a process holds.
type footprint struct{ rss, goroutines, files int } // rss in MiB

func (b *bridge) footprint() (f footprint, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.pid()))
	if err != nil {
		return f, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				return f, err
			}
			f.rss = kib / 1024
		}
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.pid()))
	f.files, f.goroutines = len(files), int(b.metric("go_goroutines"))
	return f, err
}
