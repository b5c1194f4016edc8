//go:build linux

package torture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// crashScenes end the process at chosen points: at a sync, a write, a rename, an acknowledgement.
func crashScenes() []scene {
	return slices.Concat(powerScenes(), pointScenes(), flipScenes(), []scene{
		{row: "F1", name: "killed at a sync", needs: strace, strike: killAt(syncs, 60, 12)},
		{row: "F1", name: "killed at a write", needs: strace, strike: killAt(writes, 60, 60)},
		{row: "F1", name: "killed at an acknowledgement", needs: strace, strike: killAtAcknowledgement},
		{row: "F1", name: "killed at a rename", needs: strace, strike: killAtRename},
		{row: "F2", name: "killed while starting", strike: killWhileStarting},
		{row: "F2", name: "killed at each sync of a start", needs: strace, strike: killAtEach(syncs)},
		{row: "F2", name: "killed at each write of a start", needs: strace, strike: killAtEach(writes)},
	})
}

// long reports whether what takes its time is wanted.
func long() bool { return os.Getenv("TOCSIN_TORTURE") != "" }

// strace says why it cannot be used; "" if it can.
func strace() string {
	out, err := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace=fsync", "true").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("strace cannot trace here: %v %s", err, out)
	}
	return ""
}

// Points are system calls at which a process can be killed: they are not made then.
type points struct {
	calls string
	paths []string // of the data folder; none: whatever file it is
}

var (
	syncs    = points{calls: "fsync,fdatasync"}
	writes   = points{calls: "pwrite64,write,ftruncate", paths: []string{"tocsin.db", "tocsin.db-wal", "begun"}}
	renames  = points{calls: "rename,renameat,renameat2"}
	removals = points{calls: "unlink,unlinkat"}
	sends    = points{calls: "write,writev,sendto"} // the store writes by another call
)

// killer is what the bridge has to start under so that the nth of these calls that a
// thread of it wants to make is its last. What it made before is in a file.
func (s *stage) killer(p points, n int) []string {
	args := []string{"strace", "-f", "-qq", "-yy", "-o", s.path("calls"), "-e", "trace=" + p.calls, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", p.calls, n)}
	for _, path := range p.paths {
		args = append(args, "-P", s.path(filepath.Join("data", path)))
	}
	return args
}

// killedAt is the call that was its last, as strace writes it; "" if it was not killed
// at one.
func (s *stage) killedAt() (call string) {
	s.Helper()
	text, err := os.ReadFile(s.path("calls"))
	if err != nil {
		s.Fatal(err)
	}
	begun := map[string]string{} // by thread
	for line := range strings.Lines(string(text)) {
		thread, rest, _ := strings.Cut(line, " ")
		if before, ok := strings.CutSuffix(rest, " <unfinished ...>\n"); ok {
			begun[thread] = strings.TrimSpace(before)
		}
		if before, ok := strings.CutSuffix(rest, "= ?\n"); ok {
			if call = strings.TrimSpace(before); strings.HasPrefix(call, "<... ") {
				call = begun[thread]
			}
		}
	}
	return call
}

// dies waits for the end of a bridge that is to be killed, for so long once it is
// ready, and then kills it.
func (s *stage) dies(d time.Duration) {
	select {
	case <-s.b.ready:
	case <-s.b.exited:
	case <-time.After(deadline):
	}
	within(d, func() bool { return !s.b.alive() })
	s.b.kill()
}

// killAt has the bridge killed at such a call, again and again: in the long form at
// the first, at the second, and so on up to last, in the short one at some up to soon.
func killAt(p points, last, soon int) func(*stage) {
	return func(s *stage) {
		died := 0
		s.b.kill()
		for n := range s.draws(last, soon) {
			s.start(s.killer(p, n)...)
			s.dies(2 * time.Second)
			if call := s.killedAt(); call != "" {
				died++
				s.Logf("killed at call %d: %.120s", n, call)
			}
		}
		if died == 0 {
			s.Errorf("none of these calls was made, so nothing was tried")
		}
	}
}

// draws yields which call it shall be.
func (s *stage) draws(last, soon int) func(func(int) bool) {
	return func(yield func(int) bool) {
		if long() {
			for n := 1; n <= last && yield(n); n++ {
			}
			return
		}
		for range 4 {
			if !yield(1 + s.draw.IntN(soon)) {
				return
			}
		}
	}
}

// killAtAcknowledgement kills before a message is acknowledged, though all that it
// decided is on disk. Which call that is cannot be said beforehand, so it is tried
// until it was one.
func killAtAcknowledgement(s *stage) {
	puback := regexp.MustCompile(`write\(\d+<TCP:\[` + regexp.QuoteMeta(s.mqtt) + `->[^"]*"@\\2`)
	met, wanted := 0, 1
	if long() {
		wanted = 60
	}
	s.b.kill()
	for range 20 * wanted {
		s.start(s.killer(sends, 20+s.draw.IntN(100))...)
		s.dies(2 * time.Second)
		call := s.killedAt()
		s.Logf("killed at %.120s", call)
		if puback.MatchString(call) {
			if met++; met == wanted {
				return
			}
		}
	}
	s.Errorf("of %d kills %d were before an acknowledgement, and %d were wanted: too little was tried", 20*wanted, met, wanted)
}

// killAtRename kills while files are replaced or removed, which is at a clean stop and
// at the start after it.
func killAtRename(s *stage) {
	died := 0
	for n := range s.draws(8, 4) {
		if s.draw.IntN(2) == 0 {
			s.b.stop()
		} else { // then there is nothing to be renamed before the next stop
			s.b.kill()
		}
		p := removals
		if n%2 == 0 {
			p = renames
		}
		s.start(s.killer(p, (n+1)/2)...)
		select {
		case <-s.b.ready:
			s.goOn(300 * time.Millisecond)
			s.b.signal(syscall.SIGTERM)
		case <-s.b.exited:
		case <-time.After(deadline):
		}
		s.dies(deadline)
		if call := s.killedAt(); call != "" {
			died++
			s.Logf("killed at call %d: %.120s", n, call)
		}
		s.startReady() // and then it is stopped as it should be
		s.goOn(100 * time.Millisecond)
	}
	if died == 0 {
		s.Errorf("none of these calls was made, so nothing was tried")
	}
}

// killWhileStarting kills many times in a row, before the bridge was ready.
func killWhileStarting(s *stage) {
	kills := 8
	if long() {
		kills = 200
	}
	s.b.kill()
	s.startReady()
	took := time.Since(s.b.began)
	s.b.kill()
	for range kills {
		s.start()
		select {
		case <-s.b.ready: // it was quicker than before
			took = min(took, time.Since(s.b.began))
		case <-s.b.exited:
			s.Fatalf("tocsin ended by itself while it started: %v\n%s", s.b.cmd.ProcessState, s.b.said())
		case <-time.After(time.Duration(s.draw.Int64N(int64(took)))):
		}
		s.b.kill()
	}
}

// killAtEach kills at the first of these calls, then at the second, and so on until a
// start has come through.
func killAtEach(p points) func(*stage) {
	return func(s *stage) {
		s.b.kill()
		for n := 1; ; n++ {
			s.start(s.killer(p, n)...)
			select {
			case <-s.b.ready:
				s.dies(time.Second)
				if n == 1 {
					s.Errorf("a start has made none of these calls, so nothing was tried")
				}
				return
			case <-s.b.exited:
				s.Logf("killed at call %d: %.120s", n, s.killedAt())
			case <-time.After(deadline):
				s.Fatalf("neither ready nor dead\n%s", s.tail())
			}
		}
	}
}
