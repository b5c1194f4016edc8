package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// Each way of a receiver to be bad, while another receiver is well. What the
// bad one is owed arrives once it is well again; the other never waits for it;
// memory stays bounded whatever is answered.
func TestBadReceiverLosesNothingAndHarmsNobody(t *testing.T) {
	for _, bad := range []string{"429/1s:1", "500:1", "302:1", "hang:1", "drip:1", "big:1", "reset:1", "close:1"} {
		t.Run(bad, func(t *testing.T) {
			t.Parallel()
			secret := webhook.NewSecret()
			ops := startReceiver(t, secret, bad)
			other := startReceiver(t, secret, "")
			addr := freeAddr(t)
			dir := plant(t, embedded(addr), secret, ops.url)
			addEndpoint(t, dir, "other", other.url)
			p := startTocsin(t, dir)
			p.waitReady()

			const crossings = 40
			publishCrossings(t, addr, "freezer-1", crossings/2)
			publishCrossings(t, addr, "freezer-2", crossings/2)
			eventually(t, "the other receiver was told everything", func() bool { return len(other.unique(t)) == crossings })
			eventually(t, "the bad receiver was tried", func() bool { return ops.requests() > 0 })
			ops.behave()
			eventually(t, "the receiver that is well again was told everything", func() bool { return len(ops.unique(t)) == crossings })
			for _, alarm := range []string{"warm/freezer-1", "warm/freezer-2"} {
				var want []string
				for range crossings / 4 {
					want = append(want, "alarm.fired", "alarm.resolved")
				}
				if got := ops.of(t, alarm); !slices.Equal(got, want) {
					t.Errorf("%s was told as %q", alarm, got)
				}
			}
			if rss := p.memory(); rss > 100 {
				t.Errorf("%d MiB resident", rss)
			}
		})
	}
}

// addEndpoint adds an endpoint that every event goes to, with short patience.
func addEndpoint(t *testing.T, dir, name, url string) {
	t.Helper()
	path := filepath.Join(dir, "tocsin.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	more := `limits = { timeout = "1s" }
[endpoint.` + name + `]
url    = "` + url + `"
secret = { file = "secrets/ops" }
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8"] }
`
	if err := os.WriteFile(path, append(text, more...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// publishCrossings takes a device over the limit and back until it has crossed
// n times, each reading acknowledged.
func publishCrossings(t *testing.T, addr, id string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	d := &device{addr: addr, id: id, topic: "plant/" + id + "/telemetry"}
	defer d.close()
	for i := range n {
		value := -12
		if i%2 == 1 {
			value = -20
		}
		stamp := time.Now().UTC().Format(time.RFC3339Nano)
		if err := d.deliver(ctx, fmt.Sprintf(`{"ts":%q,"temperature":%d}`, stamp, value)); err != nil {
			t.Fatalf("%s: crossing %d was not acknowledged: %v\n", id, i, err)
		}
	}
}

// memory is what the process keeps resident, in MiB.
func (p *process) memory() int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Skipf("no /proc on this system: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				p.t.Fatal(err)
			}
			return kib / 1024
		}
	}
	p.t.Fatal("/proc says nothing of VmRSS")
	return 0
}

// A disk that is really full: nothing is acknowledged, readiness says why, and
// when there is space again everything goes on with nothing lost.
func TestFullDiskAcknowledgesNothingAndHeals(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), secret, ops.url)
	data := filepath.Join(dir, "data")
	mountSmall(t, data)
	p := startTocsin(t, dir)
	p.waitReady()
	publishCrossings(t, addr, "freezer-1", 2)

	filler := filepath.Join(data, "filler")
	fill(t, filler)
	d := &device{addr: addr, id: "freezer-2", topic: "plant/freezer-2/telemetry"}
	defer d.close()
	acknowledged := 0
	// What the log file still has room for may be taken in; then nothing is.
	for n := 0; ; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		value := []int{-12, -20}[n%2]
		err := d.deliver(ctx, fmt.Sprintf(`{"ts":%q,"temperature":%d}`, time.Now().UTC().Format(time.RFC3339Nano), value))
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if acknowledged++; acknowledged > 50_000 {
			t.Fatal("a full disk took 50,000 crossings")
		}
	}
	code, reason := p.get("/readyz")
	if code != 503 || !strings.Contains(reason, "full") {
		t.Errorf("/readyz answers %d %q, want 503 and the full store", code, reason)
	}
	if code, _ := p.get("/healthz"); code != 200 {
		t.Errorf("/healthz answers %d while the disk is full, want 200", code)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready again", func() bool { code, _ := p.get("/readyz"); return code == 200 })
	// The reading that was refused comes again, and one more brings it back.
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for i := range 2 {
		value := []int{-12, -20}[(acknowledged+i)%2]
		if err := d.deliver(ctx, fmt.Sprintf(`{"ts":%q,"temperature":%d}`, time.Now().UTC().Format(time.RFC3339Nano), value)); err != nil {
			t.Fatal(err)
		}
	}
	want := acknowledged + 2
	eventually(t, "everything acknowledged was told", func() bool { return len(ops.of(t, "warm/freezer-2")) >= want })
	p.kill()
	p = startTocsin(t, dir)
	p.waitReady()
	judge(t, ops, map[string]int{"freezer-1": 2, "freezer-2": want})
	t.Logf("%d crossings taken in before the disk was full", acknowledged)
}

// mountSmall mounts a file system of a few megabytes on path.
func mountSmall(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=12m,mode=0700"); err != nil {
		t.Skipf("cannot mount a small file system here (%v): a really full disk is not tested", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
}

// fill writes until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for range 1 << 16 {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the disk does not fill up")
}

// A disk that does not sync: what it was to hold is not acknowledged, the
// process ends and says why, and after a restart nothing acknowledged is lost.
func TestFailedSyncEndsTheProcessAndLosesNothing(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace on this machine (Debian package strace): a failing sync is not tested")
	}
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), secret, ops.url)
	// The count is for each thread: from the 20th sync of any of them on, all fail.
	p := startTocsin(t, dir, strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
		"-e", "inject=fsync,fdatasync:error=EIO:when=20+")
	p.waitReady()
	d := &device{addr: addr, id: "freezer-1", topic: "plant/freezer-1/telemetry"}
	defer d.close()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	acknowledged := 0
	send := func() error {
		value := []int{-12, -20}[acknowledged%2]
		err := d.deliver(ctx, fmt.Sprintf(`{"ts":%q,"temperature":%d}`, time.Now().UTC().Format(time.RFC3339Nano), value))
		if err == nil {
			acknowledged++
		}
		return err
	}
	ended := make(chan struct{})
	go func() { <-p.exited; close(ended); cancel() }()
	for send() == nil && acknowledged < 10_000 {
	}
	select {
	case <-ended:
	case <-time.After(deadline):
		t.Fatalf("the process goes on after %d crossings although syncs fail:\n%s", acknowledged, p.log())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	log := strings.TrimSpace(p.log())
	if last := log[strings.LastIndexByte(log, '\n')+1:]; !strings.HasPrefix(last, "tocsin: ") || !strings.Contains(last, "store is broken") || !strings.HasSuffix(last, ")") {
		t.Errorf("the last line does not say that the store is broken, and what to do:\n%s", log)
	}
	ctx = t.Context()
	p = startTocsin(t, dir)
	p.waitReady()
	for range 2 {
		if err := send(); err != nil {
			t.Fatal(err)
		}
	}
	if acknowledged < 3 {
		t.Fatalf("only %d crossings were acknowledged: the syncs failed before anything was tested", acknowledged)
	}
	eventually(t, "everything acknowledged was told", func() bool { return len(ops.of(t, "warm/freezer-1")) >= acknowledged })
	judge(t, ops, map[string]int{"freezer-1": acknowledged})
	t.Logf("%d crossings acknowledged around the failure", acknowledged)
}
