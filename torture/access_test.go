//go:build linux

package torture

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A bridge that is told nothing of addresses is reached from this machine alone. It has
// a network of its own here, since the addresses are those that it always has.
func TestNothingListensBeyondLoopbackByDefault(t *testing.T) {
	if out, err := exec.Command("unshare", "--net", "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Skipf("SKIP A1: it cannot be given a network of its own here: %v %s", err, out)
	}
	dir := t.TempDir()
	write(t, dir, "rules.toml", rules)
	write(t, dir, "secret", secret)
	config := write(t, dir, "tocsin.toml", `schema = 1
rules = ["rules.toml"]
[source.plant]
topic = "plant/{device}/telemetry"
[endpoint.ops]
url    = "https://ops.example/hook"
secret = { file = "secret" }
`)
	b := startBridge(t, config, nil, "unshare", "--net", "sh", "-c", `ip link set lo up && exec "$0" "$@"`)
	select {
	case <-b.ready:
	case <-b.exited:
		t.Fatal(b.said())
	case <-time.After(deadline):
		t.Fatalf("not ready:\n%s", b.said())
	}
	open := listening(t, b.pid())
	if len(open) < 2 {
		t.Errorf("it listens on %v, and wants MQTT and HTTP", open)
	}
	for _, a := range open {
		if !a.Addr().Unmap().IsLoopback() {
			t.Errorf("it listens on %v, which others can reach", a)
		}
	}
}

// listening are the addresses on which the network of a process takes connections and
// datagrams, as the kernel says.
func listening(t *testing.T, pid int) (list []netip.AddrPort) {
	t.Helper()
	for name, state := range map[string]string{"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 3 && f[3] == state {
				list = append(list, kernelAddress(t, f[1]))
			}
		}
	}
	return list
}

// kernelAddress reads "0100007F:1F90": words of four bytes as the machine has them.
func kernelAddress(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		t.Fatalf("%q is no address of the kernel", text)
	}
	return netip.AddrPortFrom(addr, uint16(n))
}

func TestAddressesOfTheKernelAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:1F90": "127.0.0.1:8080", "00000000:075B": "0.0.0.0:1883",
		"00000000000000000000000001000000:0050": "[::1]:80", "0000000000000000FFFF00000100007F:0001": "[::ffff:127.0.0.1]:1",
	} {
		if got := kernelAddress(t, text).String(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

// Whatever the umask of who starts it: what it writes is its own.
func TestFilesAreItsOwn(t *testing.T) {
	s := set(t, &scene{row: "A13", name: "files"}, 1)
	s.startReady("sh", "-c", `umask 000 && exec "$0" "$@"`)
	s.play()
	s.eventually("receivers are told", func() bool { return s.ops.accepted() > 0 })
	s.fleet.end(t)
	seen := 0
	err := filepath.WalkDir(s.path("data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen++
		if others := info.Mode().Perm() & 0o077; others != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || seen < 5 {
		t.Errorf("%d files (%v)", seen, err)
	}
}

// What it is built of is what was looked at when it was chosen.
func TestModulesAreThoseOfTheSums(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP A15 modules: every file of them is read (run without -short)")
	}
	cmd := exec.Command("go", "mod", "verify")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "all modules verified") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestForeignPackagesAreThoseOfTheLock(t *testing.T) {
	locks, err := filepath.Glob("../cmd/tocsin/testdata/*/package-lock.json")
	if err != nil || len(locks) == 0 {
		t.Fatalf("no locks: %v", err)
	}
	for _, path := range locks {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var lock struct {
			Packages map[string]struct{ Integrity string }
		}
		if err := json.Unmarshal(text, &lock); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for name, p := range lock.Packages {
			if name == "" { // the project itself
				continue
			}
			if !strings.HasPrefix(p.Integrity, "sha512-") {
				t.Errorf("%s: %s may be anything: its integrity is %q", path, name, p.Integrity)
			}
		}
	}
}

func TestVulnerabilitiesHaveAnAddress(t *testing.T) {
	text, err := os.ReadFile("../SECURITY.md")
	if err != nil || !strings.Contains(string(text), "report privately") {
		t.Errorf("SECURITY.md does not say how to report a vulnerability (%v)", err)
	}
}

// Anybody can make the same file from the same source, wherever it lies and whatever
// was built there before.
func TestBuildIsReproducible(t *testing.T) {
	if os.Getenv("TOCSIN_TORTURE") == "" {
		t.Skip("SKIP A15 reproducible build: two builds from nothing take minutes (set TOCSIN_TORTURE=1)")
	}
	var sums []string
	for _, name := range []string{"here", "some/where/else"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", `git -C "$(git rev-parse --show-toplevel)" archive HEAD | tar -x -C "$1" && cd "$1" &&
			go build -trimpath -buildvcs=false -ldflags "-s -w" -o tocsin.out ./cmd/tocsin`, "sh", dir)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOCACHE="+filepath.Join(dir, "cache"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		file, err := os.ReadFile(filepath.Join(dir, "tocsin.out"))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, fmt.Sprintf("%x", sha256.Sum256(file)))
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds of one source differ: %v", sums)
	}
}
