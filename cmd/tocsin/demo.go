package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/config"
	"tocsin/bridge/webhook"
	sim "tocsin/firmware-sim"
)

// The demo's configuration is written to its folder as it is here, so that what
// a person finds there is what ran.
var (
	//go:embed demo/tocsin.toml
	demoConfig string
	//go:embed demo/rules.toml
	demoRules string
)

type demoFlags struct {
	duration time.Duration
	devices  int
	speed    float64
	seed     uint64
	verbose  bool
}

func newDemoCommand(e env) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a simulated fleet, the bridge, and a receiver that verifies",
		Long: `Demo starts a bridge, a fleet of simulated freezers and a receiver in one process,
in a temporary folder and on loopback only, and tells what happens. It stops on
Ctrl-C and leaves nothing behind.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), e, f) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.duration, "duration", 0, "stop after this long (default: on Ctrl-C)")
	flags.IntVar(&f.devices, "devices", 0, "how many freezers (default: as the profile says)")
	flags.Float64Var(&f.speed, "speed", 20, "simulated seconds in a second")
	flags.Uint64Var(&f.seed, "seed", 7, "decides every random value")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show the bridge's log and every webhook's headers and body")
	return cmd
}

// check refuses what cannot be played.
func (f demoFlags) check() error {
	switch {
	case f.duration < 0:
		return refused("--duration: %v is negative (leave it out to play until Ctrl-C)", f.duration)
	case f.devices < 0 || f.devices > 1000:
		return refused("--devices: %d is no fleet for a demo (1 to 1000; firmware-sim plays more)", f.devices)
	case !(f.speed > 0 && f.speed <= 1000):
		return refused("--speed: %v is not a speed (more than 0, at most 1000)", f.speed)
	}
	return nil
}

func runDemo(ctx context.Context, e env, f demoFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	if f.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.duration)
		defer cancel()
	}
	// A terminal that is closed and a reader that has seen enough end it too.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	colours := paletteFor(e.Stdout, e.LookupEnv)
	e.Stdout = &watchedWriter{e.Stdout, stop}
	dir, err := os.MkdirTemp("", "tocsin-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	profile, err := sim.Load("freezer-store")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	secret := webhook.NewSecret()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := writeDemo(dir, "http://"+ln.Addr().String()+"/hook", secret); err != nil {
		return errors.Join(fmt.Errorf("demo: %w", err), ln.Close())
	}
	load := func(path string) (*config.Config, config.Problems) {
		return config.Load(path, config.Options{Getenv: e.LookupEnv})
	}
	cfg, problems := load(filepath.Join(dir, "tocsin.toml"))
	if problems.Errors() > 0 {
		return errors.Join(writeProblems(e.Stderr, problems, false), ln.Close(), &exitError{code: exitFailed})
	}
	log := slog.New(slog.DiscardHandler)
	if f.verbose {
		log = newLogger(e, slog.LevelDebug, "text")
	}
	a, err := assemble(ctx, cfg, assemblyOptions{log: log, load: load})
	if err != nil {
		return errors.Join(fmt.Errorf("demo: %w", err), ln.Close())
	}
	d := &demo{f: f, dir: dir, a: a, profile: profile, secret: secret, ln: ln, out: e.Stdout, palette: colours}
	return d.play(ctx)
}

// A watchedWriter calls lost when nobody reads any more.
type watchedWriter struct {
	io.Writer
	lost func()
}

func (w *watchedWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if err != nil {
		w.lost()
	}
	return n, err
}

// writeDemo writes the configuration that the demo runs.
func writeDemo(dir, url string, secret webhook.Secret) error {
	files := map[string]string{
		"tocsin.toml":         strings.ReplaceAll(demoConfig, "RECEIVER", url),
		"rules/freezers.toml": demoRules,
		"secrets/receiver":    secret.Reveal() + "\n",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// A demo is the play and its narrator.
type demo struct {
	f       demoFlags
	dir     string
	a       *assembly
	profile *sim.Profile
	secret  webhook.Secret
	ln      net.Listener
	palette palette

	mu    sync.Mutex // one line at a time
	out   io.Writer
	shown bool // a webhook has been shown in full
	sent  int
	told  int
}

// play runs receiver, bridge and fleet until ctx ends, and stops them in the
// opposite order.
func (d *demo) play(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	background := context.WithoutCancel(ctx)
	receiving, stopReceiver := context.WithCancel(background)
	bridging, stopBridge := context.WithCancel(background)
	defer stopReceiver()
	defer stopBridge()

	part := func(run func() error) <-chan error {
		done := make(chan error, 1)
		go func() {
			err := run()
			if err != nil {
				stop(err)
			}
			done <- err
		}()
		return done
	}
	r := newReceiver(receiverOptions{Secrets: []webhook.Secret{d.secret}, Observe: d.receive})
	received := part(func() error { return r.Serve(receiving, d.ln) })
	ready := make(chan struct{})
	bridged := part(func() error { return d.a.serve(bridging, func() { close(ready) }) })
	simulated := part(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-ready:
		}
		d.introduce()
		_, err := sim.Run(ctx, d.profile, sim.Options{
			Broker: "mqtt://" + d.listener("mqtt"), QoS: 1, Devices: d.f.devices,
			Seed: d.f.seed, Speed: d.f.speed, Observe: d.observe,
		})
		return err
	})
	<-ctx.Done()
	err := <-simulated
	stopBridge()
	err = errors.Join(err, <-bridged)
	stopReceiver()
	err = errors.Join(err, <-received)
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, "\nstopped: %d readings taken in, %d webhooks verified\n", d.sent, d.told)
	return err
}

func (d *demo) listener(name string) string {
	for _, l := range d.a.listeners() {
		if l.name == name {
			return l.addr
		}
	}
	return ""
}

func (d *demo) introduce() {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, `Freezers report their temperature over MQTT. A rule fires above -15 °C and clears
below -17 °C. A receiver verifies every webhook it is sent. Ctrl-C ends it all.

  page      http://%[2]s/  (open it: what burns, why, and who was told)
  broker    mqtt://%[1]s
  health    http://%[2]s/readyz  and /metrics
  receiver  http://%[3]s/hook
  files     %[4]s  (tocsin.toml, rules/, secrets/)

`, d.listener("mqtt"), d.listener("http"), d.ln.Addr(), d.dir)
}

// observe counts readings; it is told of each once the broker acknowledged it.
func (d *demo) observe(sim.Sent) {
	d.mu.Lock()
	d.sent++
	d.mu.Unlock()
}

// receive tells of a webhook: the first in full, the others in a line.
func (d *demo) receive(got reception) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if got.Verified && !got.Repeat {
		d.told++
	}
	p := receptionPrinter{
		out: d.out, palette: d.palette, verifying: true,
		bodies: d.f.verbose || !d.shown, headers: d.f.verbose || !d.shown,
	}
	d.shown = true
	p.print(got)
}
