package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	sim "tocsin/firmware-sim"
)

func newRunCommand(getenv func(string) string) *cobra.Command {
	var o sim.Options
	var given files
	var quiet bool
	cmd := &cobra.Command{
		Use:   "run PROFILE",
		Short: "Play a profile: a built-in one by its name, or a TOML file",
		Long: `Plays a profile until its schedule ends or Ctrl-C. A device keeps what the
broker has not acknowledged and sends it again; nothing is skipped.

Time in a profile is simulated and runs --speed times as fast as real time; the
stamps in payloads are real. The same seed makes the same messages.`,
		Example: `  firmware-sim run freezer-store --speed 10
  firmware-sim run mine.toml --broker mqtts://broker.example.com -u sensors --duration 5m --ledger sent.jsonl`,
		Args: oneProfile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Password == "" {
				o.Password = getenv("FIRMWARE_SIM_PASSWORD")
			}
			if !quiet {
				o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			}
			return play(cmd, args[0], given, quiet, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Broker, "broker", "mqtt://127.0.0.1:1883", "where to connect: mqtt://HOST:PORT or mqtts://HOST:PORT")
	f.IntVar(&o.Devices, "devices", 0, "how many devices in all (default: as the profile says)")
	f.Uint64Var(&o.Seed, "seed", 7, "decides every random draw")
	f.Float64Var(&o.Speed, "speed", 1, "simulated time over real time")
	f.DurationVar(&o.Duration, "duration", 0, "real time to play (default: without end)")
	f.IntVar(&o.Limit, "limit", 0, "readings to take in all (default: without limit)")
	f.DurationVar(&o.KeepAlive, "keep-alive", 30*time.Second, "the longest silence that devices promise the broker, in real time")
	given.trust.flags(f)
	f.StringVar(&given.control, "control", "", "take faults at run time at this loopback `ADDRESS`, "+sim.ControlAddress+" for example")
	f.StringVar(&given.ledger, "ledger", "", "write what was sent and acknowledged to this `FILE`; it is overwritten")
	f.StringVarP(&o.Username, "username", "u", "", "user name of every device")
	f.StringVarP(&o.Password, "pw", "P", "", "password; better in the environment, as FIRMWARE_SIM_PASSWORD")
	f.Uint8Var(&o.QoS, "qos", 1, "0, 1 or 2; nothing is promised of what is sent at 0")
	f.BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	return cmd
}

// files are what a run is given beside its profile; empty: none.
type files struct {
	ledger, control string
	trust           trust
}

// trust are the files that secure connections.
type trust struct{ ca, cert, key string }

func (t *trust) flags(f *pflag.FlagSet) {
	f.StringVar(&t.ca, "cafile", "", "trust the authorities in this PEM `FILE` instead of the system's")
	f.StringVar(&t.cert, "cert", "", "PEM `FILE` of the certificate that is shown to the broker")
	f.StringVar(&t.key, "key", "", "PEM `FILE` of its key")
}

func (t *trust) load() (*tls.Config, error) { return sim.LoadTLS(t.ca, t.cert, t.key) }

func play(cmd *cobra.Command, profile string, given files, quiet bool, o sim.Options) (err error) {
	p, err := sim.Load(profile)
	if err != nil {
		return usageError{err}
	}
	if o.TLS, err = given.trust.load(); err != nil {
		return usageError{err}
	}
	if err := o.Check(); err != nil {
		return usageError{err}
	}
	if given.ledger != "" {
		file, err := os.OpenFile(given.ledger, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // #nosec G304 -- the user names the file
		if err != nil {
			return usageError{fmt.Errorf("ledger: %w", err)}
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		o.Ledger = file
	}
	if given.control != "" {
		if o.Control, err = sim.ListenControl(given.control); err != nil {
			return usageError{err}
		}
		if !quiet {
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "control %s\n", o.Control.Addr()); err != nil {
				return errors.Join(err, o.Control.Close())
			}
		}
	}
	if !quiet {
		o.Observe = (&narrator{w: cmd.OutOrStdout(), faults: make(map[string][]string)}).observe
	}
	sum, err := sim.Run(cmd.Context(), p, o)
	if err != nil || quiet {
		return err
	}
	return summarise(cmd.OutOrStdout(), p, o, sum)
}

// A narrator tells what changes: a fault begins or ends, an alarm is due.
type narrator struct {
	w      io.Writer
	faults map[string][]string // of each device, as it was told
}

func (n *narrator) observe(m sim.Sent) {
	for _, f := range m.Faults {
		if !slices.Contains(n.faults[m.Device], f) {
			n.tell(m, f+" begins")
		}
	}
	for _, f := range n.faults[m.Device] {
		if !slices.Contains(m.Faults, f) {
			n.tell(m, f+" ends")
		}
	}
	if len(m.Faults) > 0 {
		n.faults[m.Device] = m.Faults
	} else {
		delete(n.faults, m.Device)
	}
	for _, c := range m.Expected {
		if c.Type == sim.Fired || c.Type == sim.Resolved {
			n.tell(m, c.Type+" is due from "+c.Rule)
		}
	}
}

func (n *narrator) tell(m sim.Sent, what string) {
	// Output that cannot be written must not end a run, whose ledger is what counts.
	_, _ = fmt.Fprintf(n.w, "%s %s: %s\n", m.At.Format("15:04:05.000"), m.Device, what)
}

func summarise(w io.Writer, p *sim.Profile, o sim.Options, sum sim.Summary) error {
	acked := fmt.Sprintf("%d acknowledged", sum.Acked)
	if o.QoS == 0 {
		acked = "none acknowledged at QoS 0"
	}
	_, err := fmt.Fprintf(w, "%s: %d devices sent %d messages in %s, %s; %d connections broke\n",
		p.Name, sum.Devices, sum.Sent, sum.Took.Round(time.Millisecond), acked, sum.Lost)
	if err == nil && len(p.Expect) > 0 {
		_, err = fmt.Fprintf(w, "expected: %d alarms fired, %d resolved\n", sum.Fired, sum.Resolved)
	}
	return err
}
