//go:build linux

package torture

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// powerScenes lose what was written and not synced.
func powerScenes() []scene {
	return []scene{
		{row: "F3", name: "power failure", needs: needsRoot, before: func(s *stage) { s.mountDisk("ext4", 256) }, strike: failPower},
		{row: "F3", name: "torn end of the log", needs: strace, strike: tearLog},
	}
}

// failPower has the power fail, again and again: the file system keeps what was
// synced, and nothing else. A file that was not synced shows that it is so.
func failPower(s *stage) {
	failures := 3
	if long() {
		failures = 40
	}
	for i, tried := 0, 0; tried < failures; i++ {
		if i == 3*failures {
			s.Skipf("SKIP F3 power failure: what was not synced has survived %d of %d failures", i-tried, i)
		}
		s.goOn(500 * time.Millisecond)
		control := s.path(fmt.Sprintf("data/control-%d", i))
		if err := os.WriteFile(control, bytes.Repeat([]byte("not synced "), 1000), 0o600); err != nil {
			s.Fatal(err)
		}
		s.freeze()
		s.powerOff()
		s.b.kill()
		s.unmount()
		s.attach()
		if info, err := os.Stat(control); err != nil || info.Size() == 0 {
			tried++ // or the system has written everything by itself
		}
		s.startReady()
	}
}

// freeze stops every thread of the bridge between two calls: a sync that is under way
// while the file system is shut down may report success for what is lost, which a
// power failure cannot.
func (s *stage) freeze() {
	s.Helper()
	s.b.signal(syscall.SIGSTOP)
	s.eventually("every thread has stopped", func() bool { return stopped(s.b.pid(), "T (stopped)") })
}

// stopped reports whether each thread of a process is in a state. In "T (stopped)" it is
// in no system call.
func stopped(pid int, state string) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), "\nState:\t"+state) {
			return false
		}
	}
	return true
}

// powerOff shuts the file system down without writing its journal.
func (s *stage) powerOff() {
	s.Helper()
	const (
		shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN
		noLogFlush = uint32(2)  // EXT4_GOING_FLAGS_NOLOGFLUSH
	)
	f, err := os.Open(s.path("data"))
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	flags := noLogFlush
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		s.Skipf("SKIP F3 power failure: this file system cannot be shut down: %v", errno)
	}
}

// tearLog leaves a transaction in the log that was never synced, so that nobody was
// told of it, and of which the disk has kept what it liked.
func tearLog(s *stage) {
	wal := s.path("data/tocsin.db-wal")
	tears := []struct {
		what string
		do   func(text []byte, at int) []byte // at is within the transaction
	}{
		{"cut off", func(text []byte, at int) []byte { return text[:at] }},
		{"zeroes", func(text []byte, at int) []byte { clear(text[at:]); return text }},
		{"garbage", func(text []byte, at int) []byte { s.garble(text[at:]); return text }},
		{"a hole", func(text []byte, at int) []byte { clear(text[at:min(at+4096, len(text))]); return text }},
	}
	s.b.kill()
	torn := 0
	for tries := 0; torn < len(tears); tries++ {
		if tries == 40 {
			s.Fatalf("%d kills left %d torn transactions, and %d are wanted", tries, torn, len(tears))
		}
		s.start(s.killer(syncs, 4+s.draw.IntN(10))...)
		s.dies(3 * time.Second)
		if !strings.Contains(s.killedAt(), "tocsin.db-wal") {
			continue
		}
		text, err := os.ReadFile(wal)
		if err != nil {
			s.Fatal(err)
		}
		ends := commits(text)
		if len(ends) < 2 {
			continue
		}
		from, to := ends[len(ends)-2], ends[len(ends)-1]
		tear, at := tears[torn], from+s.draw.IntN(to-from)
		s.Logf("%s from byte %d of %d to %d", tear.what, at, from, to)
		text = tear.do(text[:to], at)
		if err := os.WriteFile(wal, text, 0o600); err != nil {
			s.Fatal(err)
		}
		torn++
	}
}

// garble writes over it what the seed says.
func (s *stage) garble(text []byte) {
	for i := range text {
		text[i] = byte(s.draw.Uint32())
	}
}
