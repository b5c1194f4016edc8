package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/config"
	"tocsin/bridge/history"
	"tocsin/rules"
)

type recordFlags struct {
	config string
	from   string
	out    string
	since  time.Duration
	length time.Duration
}

func newRecordCommand(e env) *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "record",
		Short: "Capture telemetry into a file, for backtest and testgen",
		Long: `Record copies readings, and what else the bridge hears, from the store of the bridge
on this machine into one file: those of the past as far as --since reaches, and then
those that come, until it is stopped or --for is over. The bridge need not run for
the past alone.

The bridge keeps readings for as long as store.history says; a recording keeps them
for as long as you like.`,
		Example: "  tocsin record --out freezers.rec --since 2h --for 30m",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.out == "" {
				return usageError(cmd, "needs --out FILE")
			}
			return runRecord(cmd.Context(), e, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", defaultConfig, "configuration file")
	flags.StringVar(&f.from, "history", "", "`DIR or FILE` to copy from (default: the store's folder)")
	flags.StringVar(&f.out, "out", "", "`FILE` to write; it must not exist")
	flags.DurationVar(&f.since, "since", 0, "begin this long ago (0: now)")
	flags.DurationVar(&f.length, "for", 0, "stop after this long (0: when stopped; with --since alone, at once)")
	return cmd
}

func runRecord(ctx context.Context, e env, f recordFlags) (err error) {
	path := f.from
	if path == "" {
		cfg, problems := config.Load(f.config, config.Options{Getenv: e.LookupEnv, NoSecrets: true})
		if err := writeProblems(e.Stderr, problems, true); err != nil {
			return err
		}
		if cfg == nil {
			return &exitError{code: exitUsage}
		}
		if cfg.Store.History.Keep == 0 {
			return refused("record: store.history.keep is 0, so the bridge keeps no readings (set it to as long as you want to look back)")
		}
		path = historyFolder(cfg)
	}
	if _, err := os.Stat(path); err != nil {
		return refused("record: %v (run the bridge first, or name a recording by --history)", err)
	}
	file, err := os.OpenFile(f.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return refused("--out: %v (name a file that does not exist yet)", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	recorder, err := history.NewRecorder(file)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	r := recording{recorder: recorder, path: path, from: time.Now().Add(-f.since)}
	err = r.follow(ctx, f)
	if last := recorder.Flush(); err == nil {
		err = last
	}
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	fmt.Fprintf(e.Stdout, "%s: %s\n", cleanLine(f.out), count(r.taken, "input"))
	return nil
}

// A recording copies what a history holds, again and again, each input once.
type recording struct {
	recorder *history.Recorder
	path     string
	from     time.Time
	last     time.Time // Now of the newest input taken
	same     int       // how many were taken that have it
	taken    int
}

// follow copies until it is time to stop. What the bridge hears is in its history
// a second later.
func (r *recording) follow(ctx context.Context, f recordFlags) error {
	if f.length > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, f.length)
		defer stop()
	}
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		if err := r.copy(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		if f.length == 0 && f.since > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return r.copy(context.WithoutCancel(ctx))
		case <-every.C:
		}
	}
}

func (r *recording) copy(ctx context.Context) error {
	skip := r.same
	var damage *history.Problem
	for in, err := range history.ReplayFile(ctx, r.path, later(r.from, r.last)) {
		switch {
		case errors.As(err, &damage):
			continue
		case err != nil:
			return err
		case in.Now.Before(r.last):
			continue
		case in.Now.Equal(r.last):
			if skip > 0 {
				skip--
				continue
			}
			r.same++
		default:
			r.last, r.same, skip = in.Now, 1, 0
		}
		if err := r.take(in); err != nil {
			return err
		}
	}
	return nil
}

func (r *recording) take(in rules.Input) error {
	r.taken++
	return r.recorder.Record(in)
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
