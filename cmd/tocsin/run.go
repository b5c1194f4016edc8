package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/spf13/cobra"

	"tocsin/bridge/config"
)

type runFlags struct {
	path    string
	enable  []string
	quiet   bool
	verbose bool
}

func newRunCommand(e env) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the bridge",
		Long: `Run takes messages in, judges them and tells the endpoints, until it is asked to
stop by SIGINT or SIGTERM. It prints a line for each address it listens on, and
"ready" when messages can be taken in and stored. Logs go to standard error.

A saved file or SIGHUP makes it read its configuration again. Rules and endpoints
change while it runs; broker, sources, store and http are read at a start, and tocsin
doctor says what waits for one. A configuration with an error changes nothing and is
logged.`,
		Example: "  tocsin run -c /etc/tocsin/tocsin.toml",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBridge(cmd.Context(), e, f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.path, "config", "c", defaultConfig, "configuration file")
	flags.StringSliceVar(&f.enable, "enable", nil, "switch these endpoints on again, which answered 410 Gone")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "log errors only")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log everything, as log.level = \"debug\" does")
	return cmd
}

func runBridge(ctx context.Context, e env, f runFlags) error {
	load := func(path string) (*config.Config, config.Problems) {
		return config.Load(path, config.Options{Getenv: e.LookupEnv, Running: true})
	}
	cfg, problems := load(f.path)
	if err := writeProblems(e.Stderr, problems, false); err != nil {
		return err
	}
	if problems.Errors() > 0 {
		return &exitError{code: exitUsage}
	}
	level, configured := new(slog.LevelVar), (*slog.LevelVar)(nil)
	switch {
	case f.verbose:
		level.Set(slog.LevelDebug)
	case f.quiet:
		level.Set(slog.LevelError)
	default:
		level.Set(levelOf(cfg.Log.Level))
		configured = level
	}
	log := newLogger(e, level, cfg.Log.Format)
	hangup, stop := notifyHangup() // from here on it does not end the process
	defer stop()
	a, err := assemble(ctx, cfg, assemblyOptions{log: log, level: configured, enable: f.enable, load: load})
	if err != nil && ctx.Err() != nil {
		log.Info("stopped as asked, before it was ready", "while", err)
		return nil
	}
	if err != nil {
		return err
	}
	log.Info("starting", "version", buildVersion(), "config", cfg.Path, "store", cfg.Store.Path,
		"rules", len(cfg.Rules.Rules()), "endpoints", len(cfg.Endpoints))
	for _, l := range a.listeners() {
		fmt.Fprintf(e.Stdout, "listening %s %s\n", l.name, l.addr)
	}
	watching, stopWatching := context.WithCancel(ctx)
	var watched sync.WaitGroup
	watched.Go(func() { a.reloader.run(watching, hangup) })
	watched.Go(func() { watchSecrets(watching, log, a.reloader.configured) })
	err = a.serve(ctx, func() { fmt.Fprintln(e.Stdout, "ready") })
	stopWatching()
	watched.Wait()
	if err == nil {
		log.Info("stopped as asked")
	}
	return err
}
