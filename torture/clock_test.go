//go:build linux

package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// clockScenes are about time.
func clockScenes() []scene {
	return []scene{
		{row: "F17", name: "clock jumps", needs: setClock, before: byDeviceClock, strike: clockJumps},
		{row: "F17", name: "clock drifts", needs: setClock, before: byDeviceClock, strike: clockDrifts},
		{row: "F17", name: "started before the stored time", needs: setClock, before: byDeviceClock, strike: startedBefore},
	}
}

// setClock says why no program is built whose clock can be set; "" if one is.
func setClock() string {
	if !long() {
		return "the standard library is built anew for a program whose clock can be set (TOCSIN_TORTURE=1 does it)"
	}
	return ""
}

// clockSource is laid into package time: the wall clock of the program is as many
// seconds ahead as a file says. The monotonic clock is left alone, as it is when the
// clock of a machine is set.
const clockSource = `package time

import (
	"sync/atomic"
	"syscall"
)

var wallShift atomic.Int64

func init() {
	path, ok := syscall.Getenv("TOCSIN_TEST_CLOCK")
	if !ok {
		return
	}
	readShift(path)
	go func() {
		for {
			Sleep(20 * Millisecond)
			readShift(path)
		}
	}()
}

func readShift(path string) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	var buf [32]byte
	n, err := syscall.Read(fd, buf[:])
	_ = syscall.Close(fd)
	if err != nil || n == 0 {
		return
	}
	var shift, sign int64 = 0, 1
	for _, c := range buf[:n] {
		switch {
		case c == '-':
			sign = -1
		case '0' <= c && c <= '9':
			shift = shift*10 + int64(c-'0')
		}
	}
	wallShift.Store(sign * shift)
}
`

// builtWithClock builds tocsin, once, on a package time whose wall clock can be set.
// Go asks the kernel for the time past every library that could be put in its way.
var builtWithClock = sync.OnceValues(func() (path string, err error) {
	dir, err := bench()
	if err != nil {
		return "", err
	}
	root, err := run("", "go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	original := filepath.Join(strings.TrimSpace(root), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	const anchor = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), anchor) != 1 {
		return "", fmt.Errorf("%s has another Now than this test knows", original)
	}
	replace := map[string]string{}
	for name, content := range map[string]string{
		"time.go": strings.Replace(string(text), anchor, anchor+"\tsec += wallShift.Load()\n", 1), "shift.go": clockSource,
	} {
		replace[filepath.Join(filepath.Dir(original), name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := layOver(dir, replace)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "tocsin")
	_, err = run("", "go", "build", "-pgo=off", "-overlay", overlay, "-o", path, "tocsin/cmd/tocsin")
	return path, err
})

// byDeviceClock has the bridge trust the clocks of its devices, which nobody sets, and
// receivers take signatures of any time.
func byDeviceClock(s *stage) {
	s.ops.anyTime, s.canary.anyTime = true, true
	s.write("tocsin.toml", strings.Replace(s.configuration(), `decoder = "json"`, "decoder = \"json\"\nclock = \"device\"", 1))
	binary, err := builtWithClock()
	if err != nil {
		s.Fatal(err)
	}
	s.set(0)
	s.scene.wrapper = []string{"env", "TOCSIN_TEST_CLOCK=" + s.path("clock"), "BINARY=" + binary, "sh", "-c", `shift; exec "$BINARY" "$@"`, "sh"}
}

// set has the clock of the bridge be so far ahead.
func (s *stage) set(ahead time.Duration) {
	s.Helper()
	s.write("clock.next", fmt.Sprint(int64(ahead/time.Second), "\n"))
	if err := os.Rename(s.path("clock.next"), s.path("clock")); err != nil {
		s.Fatal(err)
	}
}

const year = 365 * 24 * time.Hour

// clockJumps sets the clock ahead and back, and again while an endpoint fails: what it
// is owed comes neither at once nor never.
func clockJumps(s *stage) {
	for _, ahead := range []time.Duration{time.Hour, -2 * time.Hour, year, 0} {
		s.set(ahead)
		s.hears(utterance{log: "a gap in time"})
		s.goesOn()
	}
	s.ops.behave(answers(503))
	came := s.ops.requests()
	s.eventually("the endpoint is tried", func() bool { return s.ops.requests() > came })
	for _, ahead := range []time.Duration{time.Hour, -2 * time.Hour} {
		came, began := s.ops.requests(), time.Now()
		s.set(ahead)
		s.goOn(2 * time.Second)
		if n, most := s.ops.requests()-came, 40+40*int(time.Since(began)/time.Second); n > most {
			s.Errorf("%s: %d requests in %v after the clock was set %v ahead", bounded, n, time.Since(began), ahead)
		}
		s.goesOn()
	}
	s.ops.behave(nil)
	came = s.ops.requests()
	s.eventually("the endpoint is told again", func() bool { return s.ops.requests() > came+5 })
	s.set(0)
}

// clockDrifts has the clock run fast, and then slow, by a second in each fifth of one.
func clockDrifts(s *stage) {
	for i := range 30 {
		s.set(time.Duration(min(i, 30-i)) * time.Second)
		pause(200 * time.Millisecond)
	}
	s.set(0)
	s.goesOn()
}

// startedBefore starts the bridge with a clock behind what it has stored, after a stop
// and after a kill.
func startedBefore(s *stage) {
	if code := s.b.stop(); code != 0 {
		s.Errorf("%s: exit code %d after SIGTERM:\n%s", plain, code, s.tail())
	}
	s.set(-2 * time.Hour)
	s.startReady(s.scene.wrapper...)
	s.goesOn()
	s.b.kill()
	s.set(-year)
	s.startReady(s.scene.wrapper...)
	s.goesOn()
	s.b.kill()
	s.set(0)
	s.startReady(s.scene.wrapper...)
}
