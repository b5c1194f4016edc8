package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tocsin/cmd/manual"
	sim "tocsin/firmware-sim"
)

func newListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the built-in profiles",
		Args:  noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
			for _, name := range sim.Builtin() {
				p, err := sim.Load(name)
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(w, "%s\t%s\n", name, p.Summary); err != nil {
					return err
				}
			}
			return w.Flush()
		},
	}
}

func newShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show PROFILE",
		Short: "Print a profile's TOML, to read or to start from",
		Args:  oneProfile,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, _, err := sim.Source(args[0])
			if err != nil {
				return usageError{err}
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}

func newVerifyCommand() *cobra.Command {
	var ledger, received string
	var except []string
	cmd := &cobra.Command{
		Use:   "verify --ledger FILE --received FILE",
		Short: "Compare what was sent and acknowledged with what a receiver got",
		Long: `Compares the ledger of a run with the webhooks that a receiver wrote down, one
JSON object a line with the webhook-id as "id" and the body as "body", as
"tocsin listen --out FILE" writes them. The receiver must have been owed every
event, and be owed none any more: what the bridge is still going to deliver looks
lost. Exits 1 if something was lost, changed, doubled, out of order, or came
without a cause. The same event twice under one id is allowed, and counted. Devices
that the bridge does not read, because it does not know their format for example,
are named with --except.`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return verify(cmd.OutOrStdout(), ledger, received, except)
		},
	}
	cmd.Flags().StringVar(&ledger, "ledger", "", "the `FILE` that run --ledger wrote")
	cmd.Flags().StringVar(&received, "received", "", "the `FILE` that the receiver wrote")
	cmd.Flags().StringArrayVar(&except, "except", nil, "leave out devices that match this `GLOB`; may be repeated")
	return cmd
}

func verify(w io.Writer, ledger, received string, except []string) error {
	if ledger == "" || received == "" {
		return usageError{fmt.Errorf("verify: a file is missing (give both --ledger FILE and --received FILE)")}
	}
	sent, err := os.Open(ledger) // #nosec G304 -- the user names the file
	if err != nil {
		return usageError{fmt.Errorf("ledger: %w", err)}
	}
	defer sent.Close()            // #nosec G307 -- only read
	got, err := os.Open(received) // #nosec G304 -- the user names the file
	if err != nil {
		return usageError{fmt.Errorf("received: %w", err)}
	}
	defer got.Close() // #nosec G307 -- only read
	report, err := sim.Verify(sent, got, except...)
	if err != nil {
		return usageError{err}
	}
	for _, f := range report.Findings {
		alarm := f.Alarm
		if alarm == "" {
			alarm = "-"
		}
		if _, err := fmt.Fprintf(w, "%s: %s: %s\n", f.Kind, alarm, f.Detail); err != nil {
			return err
		}
	}
	verdict := "every promise was kept"
	if !report.OK() {
		verdict = fmt.Sprintf("%d broken promises", len(report.Findings))
	}
	if _, err := fmt.Fprintf(w, "%d messages sent, %d acknowledged; %d events due, %d more possible; %d received, %d other, %d repeats: %s\n",
		report.Messages, report.Acked, report.Expected, report.Open, report.Received, report.Other, report.Repeats, verdict); err != nil {
		return err
	}
	if !report.OK() {
		return errBroken
	}
	return nil
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "firmware-sim", version())
			return err
		},
	}
}

func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the man pages into a folder",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("man: takes one folder, not %d (as in firmware-sim man /usr/local/share/man/man1)", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := manual.Write(cmd.Root(), version(), args[0])
			if err != nil {
				return fmt.Errorf("man: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %d pages to %s\n", len(files), args[0])
			return err
		},
	}
}

// version is what the toolchain recorded of the source that this was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	return v + " " + info.GoVersion
}
