package main

import (
	"context"
	"log/slog"
	"os"
	"testing"

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
	open, locked := broker(t, ""), broker(t, "sesame")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("BROKER", open)
			e.Setenv("LOCKED", locked)
			return nil
		},
	})
}

func broker(t *testing.T, password string) (address string) {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
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
	return "mqtt://" + l.Address()
}

func TestEndedContextEndsARunWithoutEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code := run(ctx, []string{"run", "freezer-store", "--broker", broker(t, "")}, nil, t.Output(), t.Output(), os.Getenv)
	if code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}
