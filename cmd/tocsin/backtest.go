package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/config"
	"tocsin/bridge/history"
	"tocsin/rules"
	"tocsin/rules/ruletest"
)

// historyFlags are those of commands that read what was recorded.
type historyFlags struct {
	config  string
	history string
	since   time.Duration
}

func (f *historyFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", defaultConfig, "configuration file")
	flags.StringVar(&f.history, "history", "", "`DIR or FILE` of recorded readings (default: those in the store's folder)")
	flags.DurationVar(&f.since, "since", 0, "only the readings of this last stretch of time (0: all)")
}

// open reads the configuration and finds what was recorded.
func (f *historyFlags) open(ctx context.Context, e env) (*config.Config, iter.Seq2[rules.Input, error], error) {
	cfg, problems := config.Load(f.config, config.Options{Getenv: e.LookupEnv, NoSecrets: true})
	if err := writeProblems(e.Stderr, problems, true); err != nil {
		return nil, nil, err
	}
	if cfg == nil {
		return nil, nil, &exitError{code: exitUsage}
	}
	path := f.history
	if path == "" {
		path = historyFolder(cfg)
	}
	from := time.Time{}
	if f.since > 0 {
		from = time.Now().Add(-f.since)
	}
	return cfg, damaged(e, history.ReplayFile(ctx, path, from)), nil
}

// historyFolder is where the bridge keeps recent readings.
func historyFolder(cfg *config.Config) string { return filepath.Join(cfg.Store.Path, "history") }

// damaged tells of damage in what was recorded, and goes on after it.
func damaged(e env, inputs iter.Seq2[rules.Input, error]) iter.Seq2[rules.Input, error] {
	told := map[string]bool{}
	return func(yield func(rules.Input, error) bool) {
		for in, err := range inputs {
			var p *history.Problem
			if errors.As(err, &p) {
				if !told[p.Error()] {
					told[p.Error()] = true
					fmt.Fprintf(e.Stderr, "tocsin: %s\n", cleanText(p.Error()))
				}
				continue
			}
			if !yield(in, err) {
				return
			}
		}
	}
}

func newBacktestCommand(e env) *cobra.Command {
	var (
		f      historyFlags
		asJSON bool
		list   bool
	)
	cmd := &cobra.Command{
		Use:   "backtest",
		Short: "Play recorded readings to the rules: what would have been told",
		Long: `Backtest plays recorded readings to the rules of a configuration, in virtual time
and on the same engine as the bridge: how many episodes each rule would have had,
how many of them flaps, and for how long. For rules that flap it tries a longer for
and a wider clear on the same readings, and says what would have been calmer.

Nobody is told of anything, and the recording is not changed.`,
		Example: "  tocsin backtest -c new.toml --history data/history --since 24h",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, inputs, err := f.open(cmd.Context(), e)
			if err != nil {
				return err
			}
			report, err := ruletest.Backtest(cfg.RuleFile, cfg.Rules, inputs)
			switch {
			case err != nil:
				return fmt.Errorf("backtest: %w", err)
			case report.Inputs == 0:
				return refused("backtest: nothing was recorded there (name a recording by --history, or let the bridge run with store.history)")
			case asJSON:
				return writeIndented(e.Stdout, report)
			}
			return writeBacktest(e.Stdout, &report, list)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.Flags().BoolVar(&list, "list", false, "list the episodes")
	return cmd
}

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// writeBacktest prints the report for people.
func writeBacktest(w io.Writer, r *ruletest.Report, list bool) error {
	fmt.Fprintf(w, "%s from %s to %s\n", count(r.Inputs, "input"), r.From.UTC().Format(time.RFC3339), r.To.UTC().Format(time.RFC3339))
	for _, reason := range slices.Sorted(maps.Keys(r.Unused)) {
		fmt.Fprintf(w, "not judged (%s): %d\n", cleanLine(reason), r.Unused[reason])
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RULE\tEPISODES\tFLAPS\tREMINDERS\tIN ALARM\tLONGEST")
	for i := range r.Rules {
		s := &r.Rules[i]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\n", s.ID, s.Episodes, s.Flaps, s.Reminders, rounded(s.InAlarm), rounded(s.Longest))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range r.Rules {
		s := &r.Rules[i]
		for _, a := range s.Advice {
			fmt.Fprintf(w, "%s: %s = %q would have made %s of %d, and %s in alarm instead of %s\n", s.ID, a.Key, a.Value,
				count(a.Episodes, "episode"), s.Episodes, rounded(a.InAlarm), rounded(s.InAlarm))
		}
		if !list {
			continue
		}
		for _, ep := range s.List {
			end := "under way"
			if !ep.Ended.IsZero() {
				end = ep.Ended.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%s  %s/%s  %s  %s … %s  %s\n", ep.ID, ep.Rule, cleanLine(ep.Instance), ep.Severity,
				ep.Fired.UTC().Format(time.RFC3339), end, ep.Reason)
		}
	}
	return nil
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Second) }

func newTestgenCommand(e env) *cobra.Command {
	var (
		f       historyFlags
		episode string
		name    string
	)
	cmd := &cobra.Command{
		Use:   "testgen",
		Short: "Turn a real episode into a test of its rule",
		Long: `Testgen plays recorded readings to the rules, takes the episode that is named, and
prints a [test] table with its readings and what they make of the rule today. Append
it to the rule's file, and correct what is expected if the rule was wrong.

The episode's id is in every event about it, and in the list of
"tocsin backtest --list".`,
		Example: "  tocsin testgen --episode ep_VL4FABFAYYZQZFTGF3ISO24O >> rules/cold.toml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if episode == "" {
				return usageError(cmd, "needs --episode ID")
			}
			cfg, inputs, err := f.open(cmd.Context(), e)
			if err != nil {
				return err
			}
			report, err := ruletest.Backtest(cfg.RuleFile, cfg.Rules, inputs)
			if err != nil {
				return fmt.Errorf("testgen: %w", err)
			}
			for _, r := range report.Rules {
				for _, ep := range r.List {
					if ep.ID != episode {
						continue
					}
					def, err := ruletest.TestFromEpisode(cfg.RuleFile, cfg.Rules, inputs, ep)
					if err != nil {
						return fmt.Errorf("testgen: %w", err)
					}
					if name == "" {
						name = ep.Rule + " on " + ep.Instance + ", " + ep.Started.UTC().Format(time.DateTime)
					}
					return ruletest.WriteTOML(e.Stdout, name, def)
				}
			}
			return refused("testgen: there is no episode %q in what was recorded (tocsin backtest --list names them)", episode)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&episode, "episode", "", "`ID` of the episode")
	cmd.Flags().StringVar(&name, "name", "", "name of the test (default: rule, device and time)")
	return cmd
}
