package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	sim "tocsin/firmware-sim"
)

// A remote asks a run that is under way.
type remote struct {
	address string
	getenv  func(string) string
}

func (r *remote) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.address, "control", "", "`ADDRESS` of the run (default $FIRMWARE_SIM_CONTROL, or "+sim.ControlAddress+")")
}

func newFaultCommand(getenv func(string) string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fault",
		Short: "Set or clear a fault while a run with --control is under way",
		Args:  noArgument,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("fault: say what to do (firmware-sim fault set freezer-03 offline 5m, or fault clear freezer-03)")}
		},
	}
	cmd.AddCommand(newFaultSetCommand(getenv), newFaultClearCommand(getenv))
	return cmd
}

func newFaultSetCommand(getenv func(string) string) *cobra.Command {
	r := &remote{getenv: getenv}
	cmd := &cobra.Command{
		Use:   "set DEVICE|GLOB|FLEET/GROUP KIND [SIGNAL] [KEY=VALUE ...] [DURATION]",
		Short: "Let a fault befall devices",
		Long: `Lets a fault befall devices of a run that was started with --control, at once.
The kind and its keys are those of a [fault.NAME] table of a profile; one that
touches a signal is followed by its name. Without a duration the fault lasts until
it is cleared. Durations are simulated time.`,
		Example: `  firmware-sim fault set freezer-03 stuck temperature 5m
  firmware-sim fault set 'freezer-*' offset temperature add=12 over=30s 2m
  firmware-sim fault set lyon/2 offline`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError{errors.New("fault set: says which devices and which kind (firmware-sim fault set freezer-03 offline 5m)")}
			}
			return r.print(cmd, http.MethodPost, "/fault", faultTable(args))
		},
	}
	r.flag(cmd)
	return cmd
}

func newFaultClearCommand(getenv func(string) string) *cobra.Command {
	r := &remote{getenv: getenv}
	cmd := &cobra.Command{
		Use:   "clear DEVICE|GLOB [KIND|NAME]",
		Short: "End the faults of devices: all, or those of a kind or a name",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError{errors.New("fault clear: says which devices, and at most one kind (firmware-sim fault clear freezer-03 stuck)")}
			}
			q := url.Values{"device": {args[0]}}
			if len(args) == 2 {
				q.Set("kind", args[1])
			}
			return r.print(cmd, http.MethodDelete, "/fault?"+q.Encode(), "")
		},
	}
	r.flag(cmd)
	return cmd
}

func newStatusCommand(getenv func(string) string) *cobra.Command {
	r := &remote{getenv: getenv}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how far a run with --control has got, and which faults last",
		Args:  noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := r.ask(cmd, http.MethodGet, "/status", "")
			if err != nil {
				return err
			}
			if asJSON {
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			var s sim.Status
			if err := json.Unmarshal(text, &s); err != nil {
				return fmt.Errorf("status: %w", err)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	r.flag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(w io.Writer, s sim.Status) error {
	if _, err := fmt.Fprintf(w, "%s: %s simulated at speed %v, seed %d; %d devices, %d cannot connect; %d sent, %d acknowledged, %d connections broke\n",
		s.Profile, s.Simulated, s.Speed, s.Seed, s.Devices, s.Down, s.Sent, s.Acked, s.Lost); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, f := range s.Faults {
		ends := "until it is cleared"
		if f.Ends != "" {
			ends = "for " + f.Ends
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%d devices\t%s\n", f.Name, strings.TrimSpace(f.Kind+" "+f.Signal), f.Whom, f.Devices, ends); err != nil {
			return err
		}
	}
	return table.Flush()
}

// faultTable writes the arguments of fault set as the table of a profile.
func faultTable(args []string) string {
	whom := "device"
	if strings.Contains(args[0], "/") {
		whom = "group"
	}
	var b strings.Builder
	line := func(key, value string) { fmt.Fprintf(&b, "%s = %s\n", key, value) }
	line(whom, strconv.Quote(args[0]))
	line("kind", strconv.Quote(args[1]))
	for _, a := range args[2:] {
		key, value, pair := strings.Cut(a, "=")
		_, notDuration := time.ParseDuration(a)
		switch {
		case pair:
			line(key, literal(value))
		case notDuration == nil:
			line("for", strconv.Quote(a))
		default:
			line("signal", strconv.Quote(a))
		}
	}
	return b.String()
}

// literal is a value as TOML has it: a number (a fault's own are with a point
// where they may have one), a truth, else a text.
func literal(value string) string {
	if value == "true" || value == "false" {
		return value
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil {
		return value
	}
	return strconv.Quote(value)
}

// print sends a request and says how many devices it reached.
func (r *remote) print(cmd *cobra.Command, method, target, body string) error {
	text, err := r.ask(cmd, method, target, body)
	if err != nil {
		return err
	}
	var done struct {
		Devices int `json:"devices"`
	}
	if err := json.Unmarshal(text, &done); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d devices\n", done.Devices)
	return err
}

func (r *remote) ask(cmd *cobra.Command, method, target, body string) ([]byte, error) {
	address := cmp.Or(r.address, r.getenv("FIRMWARE_SIM_CONTROL"), sim.ControlAddress)
	ctx := cmd.Context()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+target, strings.NewReader(body))
	if err != nil {
		return nil, usageError{fmt.Errorf("control %q: not an address (write 127.0.0.1:PORT)", address)}
	}
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("control: no run answers at %s (start one with run --control %s): %w", address, address, errors.Unwrap(err))
	}
	defer resp.Body.Close() // #nosec G307 -- only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, usageError{errors.New(string(bytes.TrimSpace(text)))}
	}
	return text, nil
}
