package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"firmware-sim": func() {
			os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
		},
	})
}

// A doorman is a broker's hook that lets in who knows the password, where there
// is one.
type doorman struct {
	mochi.HookBase
	password string
}

func (d *doorman) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (d *doorman) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	return string(pk.Connect.Password) == d.password
}

func (d *doorman) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error { // scripts run at once, and their devices have the same ids
			e.Setenv("BROKER", "mqtt://"+broker(t, "", nil))
			e.Setenv("LOCKED", "mqtt://"+broker(t, "sesame", nil))
			cert, text, err := selfSigned()
			e.Setenv("SECURE", "mqtts://"+broker(t, "", &tls.Config{Certificates: cert, MinVersion: tls.VersionTLS12}))
			return errors.Join(err, os.WriteFile(filepath.Join(e.WorkDir, "ca.pem"), text, 0o600))
		},
	})
}

// selfSigned is a certificate for this machine, and as PEM for those who trust it.
func selfSigned() ([]tls.Certificate, []byte, error) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(nil, template, template, public, key)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, text, err
}

func broker(t *testing.T, password string, secure *tls.Config) (address string) {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0", TLSConfig: secure})
	for _, err := range []error{
		server.AddHook(&doorman{password: password}, nil),
		server.AddListener(l),
		server.Serve(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Address()
}

// A run is controlled over the address that it prints.
func TestFaultsAreSetWhileARunIsUnderWay(t *testing.T) {
	out, told := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"run", "freezer-store", "--broker", "mqtt://" + broker(t, "", nil), "--control", "127.0.0.1:0"}, nil, told, t.Output(), os.Getenv)
	}()
	in := bufio.NewReader(out)
	line, err := in.ReadString('\n')
	address, found := strings.CutPrefix(strings.TrimSpace(line), "control ")
	if err != nil || !found {
		t.Fatalf("%q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, in) }()
	f := func(want string, code int, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		getenv := func(string) string { return address }
		if got := run(t.Context(), args, nil, &stdout, &stderr, getenv); got != code || !regexp.MustCompile(want).MatchString(stdout.String()+stderr.String()) {
			t.Errorf("%q: exit %d, %q %q; want %d, %q", args, got, &stdout, &stderr, code, want)
		}
	}
	f(`^1 devices\n$`, 0, "fault", "set", "freezer-03", "stuck", "temperature", "5m")
	f(`^8 devices\n$`, 0, "fault", "set", "freezer-*", "offset", "temperature", "add=12", "over=30s", "2m")
	f(`^1 devices\n$`, 0, "fault", "set", "freezer-04", "reorder", "chance=0.5")
	f(`(?s)^freezer-store: .* speed 1, seed 7; 8 devices, .*\nstuck +stuck temperature +freezer-03 +1 devices +for (5m0|4m)`, 0, "status")
	f(`reorder +reorder +freezer-04 +1 devices +until it is cleared`, 0, "status")
	f(`"kind":"offset"`, 0, "status", "--json")
	f(`^8 devices\n$`, 0, "fault", "clear", "freezer-*", "offset")
	f(`^8 devices\n$`, 0, "fault", "clear", "freezer-*")
	f(`^firmware-sim: fault:3: fault.signal: no model has a signal "pressure"`, 2, "fault", "set", "freezer-03", "stuck", "pressure")
	f(`^firmware-sim: fault set: says which devices`, 2, "fault", "set")
	f(`^firmware-sim: fault clear: says which devices`, 2, "fault", "clear")
	f(`^firmware-sim: fault: say what to do`, 2, "fault")
	f(`^firmware-sim: control: no run answers at 127.0.0.1:1 \(start one with run --control 127.0.0.1:1\)`, 1, "status", "--control", "127.0.0.1:1")
	f(`^firmware-sim: control "0.0.0.0:0": not a loopback address`, 2, "run", "freezer-store", "--control", "0.0.0.0:0")
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("the run ends with %d", code)
	}
	if err := told.Close(); err != nil {
		t.Error(err)
	}
}

func TestEndedContextEndsARunWithoutEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code := run(ctx, []string{"run", "freezer-store", "--broker", "mqtt://" + broker(t, "", nil)}, nil, t.Output(), t.Output(), os.Getenv)
	if code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}
