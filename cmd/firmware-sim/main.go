// Command firmware-sim plays a fleet of devices over MQTT, so that rules can be
// tried without hardware, and judges what came of it: run keeps a ledger of what
// was sent and acknowledged, and verify compares it with what a receiver got.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(untilSignal(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// untilSignal returns a context that ends at the first SIGINT or SIGTERM. The
// second one finds the default handler and ends the process.
func untilSignal() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the run failed, or verify found a promise broken
	exitUsage  = 2 // wrong arguments, a wrong profile, an unreadable file
)

// A usageError is the user's to mend before anything can start.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errBroken ends verify when its report has said all there is to say.
var errBroken = errors.New("promises were broken")

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	root := &cobra.Command{
		Use:   "firmware-sim",
		Short: "Play a fleet of devices over MQTT, and judge what came of it",
		Long: `Plays a fleet of devices over real MQTT, so that rules can be tried without
hardware. It keeps a ledger of what it sent and what the broker acknowledged,
and compares that with what a receiver of webhooks got.`,
		Example: `  firmware-sim run freezer-store --speed 10
  firmware-sim run freezer-store --speed 10 --duration 1m --ledger sent.jsonl
  firmware-sim fault set freezer-03 offline 5m
  firmware-sim verify --ledger sent.jsonl --received received.jsonl
  firmware-sim show freezer-store > mine.toml`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          refuse,
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (%s -h shows the flags)", err, cmd.CommandPath())}
	})
	root.AddCommand(newRunCommand(getenv), newFaultCommand(getenv), newStatusCommand(getenv), newBenchCommand(getenv), newListCommand(), newShowCommand(), newVerifyCommand(), newManCommand(), newVersionCommand())

	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errBroken) {
		return exitFailed
	}
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintf(stderr, "firmware-sim: %s\n", strings.TrimSuffix(line, "\n")) // nowhere left to complain to
	}
	if _, usage := errors.AsType[usageError](err); usage {
		return exitUsage
	}
	return exitFailed
}

// refuse answers a call without a command, or with one that does not exist.
func refuse(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q (firmware-sim -h lists the commands)", args[0])}
	}
	return usageError{errors.New("no command (try firmware-sim run freezer-store; firmware-sim -h lists the commands)")}
}

// oneProfile is the argument of the commands that take a profile.
func oneProfile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s: takes one profile, not %d (name a built-in one, see firmware-sim list, or a TOML file)", cmd.Name(), len(args))}
	}
	return nil
}

// noArgument is the argument of the others.
func noArgument(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s: takes no argument, and got %q (%s -h shows how)", cmd.Name(), args[0], cmd.CommandPath())}
	}
	return nil
}
