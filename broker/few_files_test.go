package broker

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// fewFilesEnv makes the test binary a broker that may open 40 files.
const fewFilesEnv = "TOCSIN_TEST_FEW_FILES"

// serveWithFewFiles is the other process of [TestBrokerOutlivesALackOfFiles]. It
// ends when its standard input does.
func serveWithFewFiles() int {
	limit := syscall.Rlimit{Cur: 40, Max: 40}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		fmt.Println(err)
		return 1
	}
	e, err := NewEmbedded(EmbeddedOptions{Listen: "127.0.0.1:0", Anonymous: AnonymousLoopback})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(e.Addrs()[0])
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			fmt.Println(e.Ready())
		}
	}()
	if err := e.Run(ctx, safe); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func TestBrokerOutlivesALackOfFiles(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fewFilesEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the broker ended badly: %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	lines.Scan()
	addr := strings.TrimSpace(lines.Text())
	addr = strings.Trim(strings.TrimPrefix(addr, "{mqtt "), "}")
	ready := func() string {
		fmt.Fprintln(in)
		lines.Scan()
		return lines.Text()
	}

	var conns []net.Conn
	for i := range 120 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("connection %d to %q: %v", i, addr, err)
		}
		conns = append(conns, c)
		_, _ = c.Write(connectPacket(hello{id: fmt.Sprintf("d%d", i), clean: true}))
	}
	eventually(t, "ready while no connection is accepted", func() bool {
		return strings.Contains(ready(), "too many open files")
	})
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, "not ready again", func() bool { return ready() == "<nil>" })
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, c)
	if code, _ := w.hello(hello{id: "after", clean: true}); code != 0 {
		t.Fatalf("code %d", code)
	}
	w.publish(pub{topic: "a", qos: 1, id: 1})
	w.expectAck(tPuback, 1)
}
