//go:build linux

package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// outerVariable names the network of this machine to a process that has one of its own.
const outerVariable = "TOCSIN_OUTER_NETWORK"

// secluded runs the tests once more with a network and mounts of their own, and returns
// what they end with; false where there can be none, or these are they. Partitions come
// and go with addresses, and a browser that is told of new addresses gives up what it
// loads: that would fail the tests of the page beside us. And a disk that another
// process has taken along into its mounts cannot be put away.
func secluded() (code int, ok bool) {
	if os.Getuid() != 0 || os.Getenv(outerVariable) != "" {
		return 0, false
	}
	runtime.LockOSThread() // the child is to end with this thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=/proc/%d/ns/net", outerVariable, os.Getpid()))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, false // the machine gives none: scenes that need one say so
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	go func() {
		for s := range asked {
			_ = cmd.Process.Signal(s)
		}
	}()
	err := cmd.Wait()
	if ended := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &ended) || ended.ExitCode() <= 0) {
		fmt.Fprintln(os.Stderr, "the tests in a network of their own:", err)
		return 1, true
	}
	return cmd.ProcessState.ExitCode(), true
}

// settleIn has the addresses of this machine answer in a network that is new, and keeps
// mounts to ourselves.
func settleIn() error {
	if os.Getenv(outerVariable) == "" {
		return nil
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	return nil
}

// building is a command that may have to fetch modules: it has the network of this
// machine.
func building(name string, args ...string) *exec.Cmd {
	if outer := os.Getenv(outerVariable); outer != "" {
		return exec.Command("nsenter", append([]string{"--net=" + outer, name}, args...)...)
	}
	return exec.Command(name, args...)
}
