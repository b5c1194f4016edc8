//go:build linux

package torture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// needsRoot is why nothing can be mounted here.
func needsRoot() string {
	if os.Geteuid() != 0 {
		return "only root may do this"
	}
	return ""
}

// needsAll is the first reason of several, if there is one.
func needsAll(needs ...func() string) func() string {
	return func() string {
		for _, n := range needs {
			if why := n(); why != "" {
				return why
			}
		}
		return ""
	}
}

// needsTorture is why what takes long is left out.
func needsTorture() string {
	if !long() {
		return "takes long: set TOCSIN_TORTURE"
	}
	return ""
}

// inject has system calls of the running bridge fail, or be slow, as strace's
// --inject says, until the returned function is called or the bridge has ended. With
// paths only calls on those files count. strace counts calls for each thread.
func (s *stage) inject(calls, fault string, paths ...string) (heal func()) {
	s.Helper()
	args := []string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + calls + ":" + fault}
	for _, p := range paths {
		args = append(args, "-P", p)
	}
	pid := s.b.pid()
	cmd := exec.Command("strace", append(args, "-p", fmt.Sprint(pid))...)
	cmd.Stderr = s.b
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	end := func(how syscall.Signal) {
		_ = syscall.Kill(cmd.Process.Pid, how)
		<-ended
	}
	s.Cleanup(func() { end(syscall.SIGKILL) })
	s.eventually("strace holds every thread", func() bool { return !s.b.alive() || traced(pid, cmd.Process.Pid) })
	return func() {
		// Let go in the middle of a call that is to fail, it fails as one that does not exist.
		s.b.signal(syscall.SIGSTOP)
		s.eventually("every thread has stopped", func() bool { return !s.b.alive() || held(pid, cmd.Process.Pid) })
		end(syscall.SIGINT)
		s.b.signal(syscall.SIGCONT)
	}
}

// held reports whether every thread of a process has stopped, and its tracer has seen
// to that and waits for what comes next: otherwise a call may be half way through.
func held(pid, by int) bool {
	waits := func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", by))
		return err != nil || strings.Contains(string(text), "\nState:\tS (sleeping)")
	}
	return waits() && stopped(pid, "t (tracing stop)") && waits()
}

// traced reports whether every thread of a process is traced by another.
func traced(pid, by int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), fmt.Sprintf("\nTracerPid:\t%d\n", by)) {
			return false
		}
	}
	return true
}

// storeFiles are those that hold what is acknowledged, and the recent readings.
func (s *stage) storeFiles() (paths []string) {
	s.Helper()
	for _, pattern := range []string{"data/*", "data/history/*"} {
		found, err := filepath.Glob(s.path(pattern))
		if err != nil {
			s.Fatal(err)
		}
		paths = append(paths, found...)
	}
	return append(paths, s.path("data/reserve"))
}

// mountDisk mounts a new file system of some megabytes as the store's folder, to go
// with the scene.
func (s *stage) mountDisk(kind string, size int64) {
	s.Helper()
	data := s.path("data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = syscall.Unmount(data, syscall.MNT_DETACH) })
	if kind == "tmpfs" {
		if err := syscall.Mount("tmpfs", data, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", size)); err != nil {
			s.Skipf("SKIP %s %s: a file system cannot be mounted here: %v", s.scene.row, s.scene.name, err)
		}
		return
	}
	image := s.path("disk.img")
	s.write("disk.img", "")
	if err := os.Truncate(image, size<<20); err != nil {
		s.Fatal(err)
	}
	s.run("mkfs.ext4", "-q", "-m", "0", image)
	s.attach()
}

// attach mounts the image again, after whatever has befallen it.
func (s *stage) attach() {
	s.Helper()
	if out, err := exec.Command("mount", "-o", "loop,errors=remount-ro", s.path("disk.img"), s.path("data")).CombinedOutput(); err != nil {
		s.Skipf("SKIP %s %s: a file system cannot be mounted here: %s", s.scene.row, s.scene.name, out)
	}
}

// unmount takes the data folder's file system away, once the system lets it go. Scenes
// that live in namespaces have a copy of every mount, and with it the file system as
// it is: while one has, mounting the image would bring that back.
func (s *stage) unmount() {
	s.Helper()
	s.eventually("the file system is let go", func() bool { return exec.Command("umount", s.path("data")).Run() == nil })
	if !within(4*deadline, func() bool { return s.run("losetup", "-j", s.path("disk.img")) == "" }) {
		s.Fatalf("somebody holds %s, and it cannot be mounted anew", s.path("disk.img"))
	}
}

// run runs a command that must succeed.
func (s *stage) run(args ...string) string {
	s.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		s.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
