//go:build linux

package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// diskScenes are about the disk and the folder.
func diskScenes() []scene {
	return []scene{
		{row: "F5", name: "full disk tmpfs", needs: needsRoot, before: func(s *stage) { s.mountDisk("tmpfs", 12) }, strike: fullDisk},
		{row: "F5", name: "full disk ext4", needs: needsRoot, before: func(s *stage) { s.mountDisk("ext4", 24) }, strike: fullDisk},
		{row: "F5", name: "no space from the nth write", needs: strace, strike: noSpace},
		{row: "F5", name: "space that is promised and not given", needs: strace, strike: promisedSpace},
		{row: "F6", name: "a sync fails once", needs: strace, strike: func(s *stage) {
			s.inject("fsync,fdatasync", fmt.Sprintf("error=EIO:when=%d", 1+s.draw.IntN(8)))
			s.breaks("store is broken")
		}},
		{row: "F6", name: "no sync succeeds any more", needs: strace, strike: syncsFail},
		{row: "F6", name: "no write succeeds any more", needs: strace, strike: func(s *stage) {
			s.inject("write,pwrite64", fmt.Sprintf("error=EIO:when=%d+", 1+s.draw.IntN(8)), s.storeFiles()...)
			s.breaks("store is broken")
		}},
		{row: "F7", name: "slow sync", needs: strace, strike: func(s *stage) { slowSync(s, 200*time.Millisecond) }},
		{row: "F7", name: "very slow sync", needs: needsAll(needsTorture, strace), strike: func(s *stage) { slowSync(s, 2*time.Second) }},
		{row: "F8", name: "disk turns read-only", needs: needsRoot, before: func(s *stage) { s.mountDisk("ext4", 24) }, strike: turnsReadOnly},
		{row: "F8", name: "folder deleted", strike: folderDeleted},
		{row: "F8", name: "folder moved away", strike: folderMoved},
		{row: "F8", name: "no right to anything", needs: needsRoot, strike: noRight},
		{row: "F9", name: "two processes on one folder", strike: twoProcesses},
	}
}

// breaks judges P4 of a bridge that must end by itself, because of what has befallen
// it, and say so in its last line.
func (s *stage) breaks(fact string) {
	s.Helper()
	code := s.b.ended()
	last := lastLine(s.b.said())
	if code != 1 || !strings.HasPrefix(last, "tocsin: ") || !strings.Contains(last, fact) || !strings.HasSuffix(last, ")") {
		s.Errorf("%s: exit code %d, want 1 and a last line with %q and a remedy in parentheses:\n%s", plain, code, fact, s.tail())
	}
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// owedTo is what one endpoint is owed; -1: nobody knows.
func (s *stage) owedTo(name string) int {
	var e struct{ Owed int }
	if err := s.b.answer("endpoints/"+name, &e); err != nil {
		return -1
	}
	return e.Owed
}

// behind has ops refuse, until it is owed something.
func (s *stage) behind() {
	s.Helper()
	s.ops.behave(answers(429, "Retry-After", "1"))
	s.eventually("ops is owed something", func() bool { return s.owedTo("ops") > 20 })
}

// takesNothing judges what holds while nothing can be stored: nobody is acknowledged
// anything, no alarm moves, and what was owed before is told all the same.
func (s *stage) takesNothing() {
	s.Helper()
	s.hears(utterance{ready: "full", log: "disk is full"})
	s.ops.behave(nil)
	told := s.ops.accepted()
	s.eventually("what is owed is told while the disk is full", func() bool { return s.ops.accepted() >= told+20 })
	// A moment's space is found now and then, by the bridge before others.
	if !within(deadline, func() bool {
		before := s.fleet.acked(s)
		pause(700 * time.Millisecond)
		return s.fleet.acked(s) == before && !s.isReady()
	}) {
		s.Errorf("%s: messages are acknowledged, or it is ready, while nothing can be stored:\n%s", durable, s.tail())
	}
	if status, text := s.b.get("/healthz"); status != 200 {
		s.Errorf("%s: /healthz says %d %q, and a restart would mend nothing", plain, status, text)
	}
}

// fullDisk has something else take all the space there is, again and again, as a log
// does that grows.
func fullDisk(s *stage) {
	s.behind()
	filler, err := os.OpenFile(s.path("data/filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for size := 1 << 20; ; {
			if _, err := filler.Write(make([]byte, size)); err == nil {
				continue
			} else if size > 1 {
				size /= 2
				continue
			}
			size = 1 << 16
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	s.takesNothing()
	close(stop)
	<-stopped
	if err := filler.Close(); err != nil {
		s.Fatal(err)
	}
	if err := os.Remove(filler.Name()); err != nil {
		s.Fatal(err)
	}
}

// noSpace has every write to the store's files be refused from one on, and then
// there is space again.
func noSpace(s *stage) {
	s.behind()
	const calls = "write,pwrite64,fallocate,ftruncate"
	heal := s.inject(calls, fmt.Sprintf("error=ENOSPC:when=%d+", 1+s.draw.IntN(20)), s.storeFiles()...)
	s.hears(utterance{log: "disk is full"})
	heal() // some threads were not refused anything yet
	heal = s.inject(calls, "error=ENOSPC", s.storeFiles()...)
	s.takesNothing()
	heal()
}

// promisedSpace has a file given any size that it wants, and then nothing written. Who
// takes the promise for space tells of it in turns.
func promisedSpace(s *stage) {
	s.behind()
	heal := s.inject("write,pwrite64", "error=ENOSPC", s.storeFiles()...)
	s.takesNothing()
	s.goOn(2 * time.Second)
	for _, what := range []string{"messages are accepted again", "disk has space again"} {
		if strings.Contains(s.b.said(), what) {
			s.Errorf("%s: %q, and nothing can be written:\n%s", outspoken, what, s.tail())
		}
	}
	heal()
}

// syncsFail has no sync succeed, neither in the running process nor in the next.
func syncsFail(s *stage) {
	s.inject("fsync,fdatasync", fmt.Sprintf("error=EIO:when=%d+", 1+s.draw.IntN(8)))
	s.breaks("store is broken")
	acked := s.fleet.acked(s)
	s.start("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO")
	s.breaks("store")
	if now := s.fleet.acked(s); now != acked {
		s.Errorf("%s: %d messages were acknowledged, though nothing could be synced", durable, now-acked)
	}
}

// slowSync has each sync take so long.
func slowSync(s *stage, delay time.Duration) {
	commits, took := s.b.metric("tocsin_commit_seconds_count"), s.b.metric("tocsin_commit_seconds_sum")
	heal := s.inject("fsync,fdatasync", fmt.Sprintf("delay_exit=%d", delay.Microseconds()))
	defer heal()
	s.goesOn()
	s.eventually("commits are slow, and it says so", func() bool {
		commits, took := s.b.metric("tocsin_commit_seconds_count")-commits, s.b.metric("tocsin_commit_seconds_sum")-took
		return commits > 3 && took/commits > delay.Seconds()/2
	})
	if !s.isReady() {
		s.Errorf("%s: not ready, though all that is wrong is slowness:\n%s", unharmed, s.tail())
	}
}

// turnsReadOnly has the file system find an error in itself, at which it lets
// nobody write to it any more.
func turnsReadOnly(s *stage) {
	s.freeze()
	defer s.b.signal(syscall.SIGCONT) // when a case is left early
	device, _, _ := strings.Cut(s.run("losetup", "-j", s.path("disk.img")), ":")
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("1"), 0o200); err != nil {
		s.Skipf("SKIP %s %s: %v", s.scene.row, s.scene.name, err)
	}
	s.b.signal(syscall.SIGCONT)
	s.breaks("store is broken")
	s.fails(1, "read-only file system")
	s.unmount()
	var exit *exec.ExitError
	if out, err := exec.Command("e2fsck", "-p", s.path("disk.img")).CombinedOutput(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 1) {
		s.Fatalf("e2fsck: %v\n%s", err, out) // 1: it mended what it found
	}
	s.attach()
}

// folderDeleted has somebody remove the folder under the running bridge. What was in
// it is gone then, and nothing can be promised of it; so second names are kept of its
// files, and given back when the bridge has ended. What it went on to write is in
// them, as in the files that it held.
func folderDeleted(s *stage) {
	data, names := s.path("data"), s.path("second-names")
	s.each(data, func(path, name string, dir bool) error {
		if dir {
			return os.MkdirAll(filepath.Join(names, name), 0o700)
		}
		return os.Link(path, filepath.Join(names, name))
	})
	if err := os.RemoveAll(data); err != nil {
		s.Fatal(err)
	}
	s.breaks("removed or replaced")
	if _, err := os.Stat(filepath.Join(data, "tocsin.db")); err == nil {
		s.Errorf("%s: it went on with a new database", durable)
	}
	if err := os.RemoveAll(data); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(names, data); err != nil {
		s.Fatal(err)
	}
}

// each visits what is in a folder; name is the path below it.
func (s *stage) each(root string, visit func(path, name string, dir bool) error) {
	s.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return visit(path, name, d.IsDir())
	})
	if err != nil {
		s.Fatal(err)
	}
}

// folderMoved has somebody put an empty folder in the place of the store's.
func folderMoved(s *stage) {
	data, away := s.path("data"), s.path("away")
	if err := os.Rename(data, away); err != nil {
		s.Fatal(err)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		s.Fatal(err)
	}
	s.breaks("removed or replaced")
	if err := os.RemoveAll(data); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(away, data); err != nil {
		s.Fatal(err)
	}
}

// noRight has the bridge start without a right to one thing after the other. It runs
// as the same user, and without that user's power to pass over permissions.
func noRight(s *stage) {
	if code := s.b.stop(); code != 0 {
		s.Errorf("%s: exit code %d after SIGTERM:\n%s", plain, code, s.tail())
	}
	const nobody = 65534
	ordinary := []string{"setpriv", "--inh-caps=-all", "--bounding-set=-all"}
	for _, c := range []struct {
		what, path  string
		owner, mode int
		code        int
		fact        string
	}{
		{"somebody else's folder", "data", nobody, 0o700, 2, "permission denied"},
		{"a folder that is not writable", "data", 0, 0o500, 2, "permission denied"},
		{"somebody else's database", "data/tocsin.db", nobody, 0o600, 1, "permission denied"},
		{"a database that is not writable", "data/tocsin.db", 0, 0o400, 1, "permission denied"},
		{"somebody else's lock", "data/lock", nobody, 0o600, 1, "permission denied"},
		{"somebody else's history", "data/history", nobody, 0o700, 1, "permission denied"},
		{"a secret that is not readable", "secrets/signing", nobody, 0o600, 2, "permission denied"},
		{"a token that is not readable", "secrets/token", 0, 0o000, 2, "permission denied"},
		{"rules that are not readable", "rules/rules.toml", nobody, 0o600, 2, "permission denied"},
		{"a configuration that is not readable", "tocsin.toml", nobody, 0o600, 2, "permission denied"},
	} {
		path := s.path(c.path)
		was, err := os.Stat(path)
		if err != nil {
			s.Fatal(err)
		}
		set := func(owner int, mode fs.FileMode) {
			if err := os.Lchown(path, owner, -1); err != nil {
				s.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				s.Fatal(err)
			}
		}
		set(c.owner, fs.FileMode(c.mode)) // #nosec G115 -- they are above
		s.fails(c.code, c.fact, ordinary...)
		set(0, was.Mode().Perm())
		if s.Failed() {
			s.Fatalf("with %s", c.what)
		}
	}
	s.startReady(ordinary...) // which is right for everything that is as it should be
}

// twoProcesses has others try the folder, by three names of it, while one works there.
func twoProcesses(s *stage) {
	link := s.path("link")
	if err := os.Symlink(s.path("data"), link); err != nil {
		s.Fatal(err)
	}
	first := s.b.pid()
	for i, path := range []string{"data", "./data/../data", link} {
		name := fmt.Sprintf("second-%d.toml", i)
		s.write(name, strings.Replace(s.configuration(), `path = "data"`, fmt.Sprintf("path = %q", path), 1))
		second := startBridge(s, s.path(name), s.scene.env)
		code := second.ended()
		last := lastLine(second.said())
		if want := fmt.Sprintf("in use by process %d (", first); code != 1 || !strings.Contains(last, want) {
			s.Errorf("%s: the second process ends with %d, want 1 and a line with %q:\n%s", plain, code, want, second.said())
		}
	}
	s.goesOn()
	s.b.signal(syscall.SIGKILL) // a lock of a process that is gone holds nobody up
	<-s.b.exited
}
