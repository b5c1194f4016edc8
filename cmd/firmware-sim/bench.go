package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"tocsin/firmware-sim/bench"
)

func newBenchCommand(getenv func(string) string) *cobra.Command {
	var o bench.Options
	var given trust
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Send a broker as much as it takes, and time its acknowledgements",
		Long: `Sends a broker as much as it takes, or --rate messages in a second, and prints how
many it acknowledged, how long that took, what this program itself used, and which
of the two was the limit. It plays no devices: each connection sends JSON of --size
bytes with a number.

With --rate a latency counts from when the message was due, so that a broker that
stalls is charged for all that had to wait.`,
		Example: `  firmware-sim bench --conns 1000 --qos 1 --duration 10s
  firmware-sim bench --conns 50 --window 64 --qos 1
  firmware-sim bench --conns 100 --rate 20000`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Password == "" {
				o.Password = getenv("FIRMWARE_SIM_PASSWORD")
			}
			var err error
			if o.TLS, err = given.load(); err != nil {
				return usageError{err}
			}
			if err := o.Check(); err != nil {
				return usageError{err}
			}
			r, err := bench.Run(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("bench: %w", err)
			}
			return tellBench(cmd.OutOrStdout(), o, r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Broker, "broker", "mqtt://127.0.0.1:1883", "where to connect: mqtt://HOST:PORT or mqtts://HOST:PORT")
	f.IntVar(&o.Conns, "conns", 1, "connections")
	f.Uint8Var(&o.QoS, "qos", 1, "0, 1 or 2; at 0 nothing is acknowledged")
	f.Float64Var(&o.Rate, "rate", 0, "messages a second of all connections together (0: as many as go)")
	f.IntVar(&o.Size, "size", 200, "bytes of a payload")
	f.IntVar(&o.Window, "window", 1, "unacknowledged messages of a connection: 1 as a device, 64 as a gateway")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "how long to send")
	f.StringVar(&o.Topic, "topic", "bench/%05d/telemetry", "where connection number %d sends")
	f.StringVarP(&o.Username, "username", "u", "", "user name of every connection")
	f.StringVarP(&o.Password, "pw", "P", "", "password; better in the environment, as FIRMWARE_SIM_PASSWORD")
	given.flags(f)
	return cmd
}

func tellBench(w io.Writer, o bench.Options, r bench.Result) error {
	done, what := r.Acked, "acknowledged"
	if o.QoS == 0 {
		done, what = r.Sent, "sent"
	}
	seconds := r.Took.Seconds()
	_, err := fmt.Fprintf(w, "%d connections in %s; %d messages of %d bytes %s in %s: %.0f a second\n",
		o.Conns, r.Connecting.Round(time.Millisecond), done, o.Size, what, r.Took.Round(time.Millisecond), float64(done)/max(seconds, 1e-9))
	if err == nil && r.Latencies.Count() > 0 {
		l := &r.Latencies
		_, err = fmt.Fprintf(w, "latency p50 %s  p95 %s  p99 %s  p99.9 %s  max %s\n",
			short(l.Percentile(50)), short(l.Percentile(95)), short(l.Percentile(99)), short(l.Percentile(99.9)), short(l.Max()))
	}
	if err == nil && done > 0 {
		_, err = fmt.Fprintf(w, "own CPU %s: %.0f %% of one core, %.2f µs a message\n",
			r.CPU.Round(time.Millisecond), 100*r.CPU.Seconds()/max(seconds, 1e-9), float64(r.CPU.Microseconds())/float64(done))
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "limit: %s\n", tellLimit(r))
	}
	if r.Broken > 0 {
		return errors.Join(err, fmt.Errorf("bench: %d of %d connections broke: %w", r.Broken, o.Conns, r.FirstError))
	}
	return err
}

// tellLimit says what held it up, and how to find the broker's limit where that
// was not it.
func tellLimit(r bench.Result) string {
	remedy := map[bench.Limit]string{
		bench.OfProgram: "; give it a machine of its own, or fewer --conns and a wider --window",
		bench.OfWindow:  "; raise --conns or --window",
		bench.OfRate:    "; raise --rate",
	}
	return fmt.Sprintf("%s (%s%s)", r.Limit, r.Seen, remedy[r.Limit])
}

// short is a latency in three digits or so.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
