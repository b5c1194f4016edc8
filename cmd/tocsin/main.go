// Command tocsin takes telemetry from devices over MQTT, judges it by rules,
// and tells endpoints by signed webhook what happened.
//
// This package is where the parts meet the person at the terminal: flags,
// output, exit codes, signals. What the program does is in the packages below.
//
// Concurrency: a command runs in main's goroutine and ends everything it
// started before it returns.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // a machine without zone files has zones all the same

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(untilSignal(), processEnv())) }

// untilSignal returns a context that ends at the first SIGINT or SIGTERM. The
// second one then finds the default handler and ends the process.
//
// A closed standard output is an error of the write and not the end: a bridge
// does not stop because nobody reads its first lines.
func untilSignal() context.Context {
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// Exit codes. They are public: scripts branch on them.
const (
	exitFailed = 1
	exitUsage  = 2 // bad usage or configuration
)

// An env is everything a command may touch of the process around it.
type env struct {
	Args      []string // without the program's name
	Stdin     io.Reader
	Stdout    io.Writer
	Stderr    io.Writer
	LookupEnv func(string) (string, bool)
}

// processEnv is the process's own. What the standard library logs by itself a
// receiver may have written, so it goes nowhere.
func processEnv() env {
	log.SetOutput(io.Discard)
	return env{
		Args:      os.Args[1:],
		Stdin:     os.Stdin,
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
		LookupEnv: os.LookupEnv,
	}
}

// run executes the command that e.Args name until it is done or ctx ends, and
// returns the exit code. An error is printed here, once.
func run(ctx context.Context, e env) int {
	root := newRootCommand(e)
	err := addCompletions(e, root)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		return 0
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{code: exitFailed, err: err}
	}
	if exit.err != nil {
		fmt.Fprintf(e.Stderr, "tocsin: %s\n", cleanText(err.Error()))
	}
	return exit.code
}

func newRootCommand(e env) *cobra.Command {
	root := &cobra.Command{
		Use:   "tocsin",
		Short: "From device telemetry over MQTT to signed webhooks",
		Long: "Tocsin takes telemetry from devices over MQTT, judges it by rules written in\n" +
			"TOML, and tells the right endpoints by signed webhook what happened: never\n" +
			"lost, and in order for each alarm.",
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          refuseRoot,
	}
	root.SuggestionsMinimumDistance = 2
	root.SetArgs(e.Args)
	root.SetIn(e.Stdin)
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
	root.SetVersionTemplate("tocsin {{.Version}}\n")
	// The root runs only to refuse; its usage is that of the commands.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable .HasParent}}", 1))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err.Error()) })
	root.AddCommand(
		newRunCommand(e),
		newDemoCommand(e),
		newInitCommand(e),
		newCheckCommand(e),
		newTestCommand(e),
		newBacktestCommand(e),
		newRecordCommand(e),
		newTestgenCommand(e),
		newPlanCommand(e),
		newExplainCommand(e),
		newAlarmsCommand(e),
		newRulesCommand(e),
		newDevicesCommand(e),
		newEndpointsCommand(e),
		newDeliveriesCommand(e),
		newDoctorCommand(e),
		newPreviewCommand(e),
		newRejectedCommand(e),
		newReplayCommand(e),
		newTailCommand(e),
		newTokensCommand(e),
		newAuditCommand(e),
		newListenCommand(e),
		newVerifyCommand(e),
		newKeygenCommand(e),
		newHashPasswordCommand(e),
		newManCommand(e),
		newSchemaCommand(e),
		newVersionCommand(e),
	)
	return root
}

// refuseRoot answers tocsin without a command, or with one that does not exist.
func refuseRoot(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		cmd.SetOut(cmd.ErrOrStderr())
		if err := cmd.Help(); err != nil {
			return err
		}
		return &exitError{code: exitUsage}
	}
	remedy := "tocsin -h lists the commands"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		remedy = fmt.Sprintf("did you mean %q? %s", near[0], remedy)
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("unknown command %q (%s)", args[0], remedy)}
}

// An exitError ends the program with a code. Without err everything there is to
// say has been printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError refuses how a command was called. Its place is the command, its
// remedy the command's help.
func usageError(cmd *cobra.Command, fact string) error {
	return &exitError{code: exitUsage, err: fmt.Errorf("%s: %s (%s -h shows how)", cmd.Name(), fact, cmd.CommandPath())}
}

// refused is a usage or configuration error whose text has place, fact and
// remedy already.
func refused(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// noArgs refuses arguments that are not flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError(cmd, fmt.Sprintf("takes no argument, got %q", args[0]))
}
