package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/config"
	"tocsin/bridge/store"
)

type doctorFlags struct {
	path      string
	ping      bool
	integrity bool
	username  string
	password  string
	patience  time.Duration
	asJSON    bool
}

func newDoctorCommand(e env) *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what operators trip on: clock, disk, store, ports, certificates, endpoints",
		Long: `Doctor looks at what a configuration needs of the machine and of the network around
it, on the machine that runs the bridge, or is to run it:

  clock         is it set, and kept
  disk          can the store be written there, and how long a sync takes
  files         who else may read keys and data
  store         is every page of it, every event and every alarm as it was written
  history       so is every block of the readings that are kept
  limits        may as many connections be open as devices may connect
  systemd       does the unit start this configuration, and may it write to the store
  certificates  until when are ours good
  ports         can tocsin listen there, or does somebody else
  bridge        is the one that runs ready, and does it go by all that is configured
  broker        does a message come back from it
  endpoint      can it be reached: name, address, TLS, certificate

Endpoints are connected to and sent nothing; --ping sends each a test.ping. A
message of its own is published to the broker under tocsin/doctor/.

A store or a history of more than 256 MiB is looked through with --integrity alone,
for as long as that takes. Nothing is changed by it, and a bridge that runs goes on.

It exits with 0 when nothing is wrong, 1 when something is, and 2 when the
configuration cannot be used. A warning is not wrong.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), e, f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.path, "config", "c", defaultConfig, "configuration file")
	flags.BoolVar(&f.ping, "ping", false, "send each endpoint a test.ping")
	flags.BoolVar(&f.integrity, "integrity", false, "look through a store of any size")
	flags.StringVarP(&f.username, "username", "u", "", "who to be at the embedded broker, which knows no password but its hash")
	flags.StringVarP(&f.password, "pw", "P", "", "the password for that (default: the variable TOCSIN_MQTT_PASSWORD)")
	flags.DurationVar(&f.patience, "timeout", 10*time.Second, "how long each question may take")
	flags.BoolVar(&f.asJSON, "json", false, "print the findings as JSON")
	return cmd
}

// A finding is the answer to one question.
type finding struct {
	Verdict verdict `json:"verdict"`
	Place   string  `json:"place"` // what was looked at: disk, endpoint ops
	Fact    string  `json:"fact"`
	Remedy  string  `json:"remedy,omitempty"` // none when all is well
}

type verdict string

const (
	fine    verdict = "ok"
	suspect verdict = "warning"
	wrong   verdict = "error"
)

// A diagnosis is what doctor prints.
type diagnosis struct {
	Config   string    `json:"config"`
	Findings []finding `json:"findings"`
}

func (d *diagnosis) count(v verdict) (n int) {
	for _, f := range d.Findings {
		if f.Verdict == v {
			n++
		}
	}
	return n
}

func runDoctor(ctx context.Context, e env, f doctorFlags) error {
	if f.patience <= 0 {
		return refused("--timeout: %v is no time to wait for (as in --timeout 10s)", f.patience)
	}
	if f.password == "" {
		f.password, _ = e.LookupEnv("TOCSIN_MQTT_PASSWORD")
	}
	cfg, problems := config.Load(f.path, config.Options{Getenv: e.LookupEnv})
	if cfg == nil || problems.Errors() > 0 {
		if err := writeProblems(e.Stderr, problems, true); err != nil {
			return err
		}
		return &exitError{code: exitUsage}
	}
	d := diagnosis{Config: f.path, Findings: examine(ctx, cfg, f)}
	if n := problems.Warnings(); n > 0 {
		d.Findings = append([]finding{{suspect, "configuration", count(n, "warning"), "tocsin check says which"}}, d.Findings...)
	}
	write := d.write
	if f.asJSON {
		write = func(w io.Writer) error { return writeIndented(w, d) }
	}
	if err := write(e.Stdout); err != nil {
		return err
	}
	if d.count(wrong) > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

// examine asks every question.
func examine(ctx context.Context, cfg *config.Config, f doctorFlags) []finding {
	runs := store.InUse(cfg.Store.Path)
	found := examineClock(time.Now())
	found = append(found, examineDisk(cfg)...)
	found = append(found, examineModes(cfg)...)
	found = append(found, examineStore(ctx, cfg, runs, f)...)
	found = append(found, examineHistory(ctx, cfg, runs, f)...)
	found = append(found, examineLimits(cfg)...)
	found = append(found, examineUnit(cfg, unitPlaces(cfg))...)
	found = append(found, examineCertificates(cfg, time.Now())...)
	found = append(found, examinePorts(cfg, runs)...)
	found = append(found, examineBridge(ctx, cfg, runs, f)...)
	found = append(found, examineBroker(ctx, cfg, runs, f)...)
	found = append(found, examineTracing(ctx, cfg, f)...)
	return append(found, examineEndpoints(ctx, cfg, f)...)
}

// write prints the diagnosis for people.
func (d *diagnosis) write(w io.Writer) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, f := range d.Findings {
		fact := cleanLine(f.Fact)
		if f.Remedy != "" {
			fact += " (" + cleanLine(f.Remedy) + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Verdict, cleanLine(f.Place), fact)
	}
	_ = t.Flush() // it writes to memory
	fmt.Fprintf(&b, "%s: %s, %s\n", cleanLine(d.Config), count(d.count(wrong), "error"), count(d.count(suspect), "warning"))
	_, err := w.Write(b.Bytes())
	return err
}
