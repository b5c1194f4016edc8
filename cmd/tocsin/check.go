package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/bridge/config"
)

// defaultConfig is the file that commands read without -c.
const defaultConfig = "tocsin.toml"

func newCheckCommand(e env) *cobra.Command {
	var (
		path   string
		asJSON bool
		quiet  bool
		alone  bool
	)
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Report everything wrong with a configuration, all at once",
		Long: `Check reads the configuration and the rules it names as "tocsin run" would, and
reports everything that run would refuse, and what is only suspicious as a warning.
FILE is the same as -c FILE.

Where the bridge keeps a history of readings, check plays those of the last 24 hours
to the rules, at most 5,000,000, and warns of rules that do not fit how the devices
really behave: a limit that noise crosses, a for shorter than the interval, a metric
that nobody sends, silent = "auto" on what reports at irregular times.

It exits with 0 when run would start, and with 2 when it would not.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usageError(cmd, fmt.Sprintf("takes one file, got %q besides", args[1]))
			case len(args) == 1 && cmd.Flags().Changed("config"):
				return usageError(cmd, fmt.Sprintf("takes one file, got -c %q and %q", path, args[0]))
			case len(args) == 1:
				path = args[0]
			}
			r := checked{path: path, quiet: quiet}
			cfg, problems := config.Load(path, config.Options{Getenv: e.LookupEnv})
			if r.problems = problems; cfg != nil && !alone {
				r.problems, r.history = lintHistory(cmd.Context(), cfg, problems)
			}
			write := writeReport
			if asJSON {
				write = writeJSONReport
			}
			if err := write(e, &r); err != nil {
				return err
			}
			if problems.Errors() > 0 {
				return &exitError{code: exitUsage}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&path, "config", "c", defaultConfig, "configuration file")
	flags.BoolVar(&asJSON, "json", false, "print the report as JSON")
	flags.BoolVarP(&quiet, "quiet", "q", false, "leave warnings out")
	flags.BoolVar(&alone, "no-history", false, "do not look at what the bridge heard lately")
	return cmd
}

// A checked is what check found.
type checked struct {
	path     string
	problems config.Problems
	quiet    bool      // say nothing of warnings
	history  *lookedAt // nil: there is none
}

// writeReport prints the problems where errors go and the count where results go.
func writeReport(e env, r *checked) error {
	if err := writeProblems(e.Stderr, r.problems, r.quiet); err != nil {
		return err
	}
	if !r.quiet {
		if err := r.history.write(e.Stderr); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(e.Stdout, "%s: %s, %s\n", cleanLine(r.path),
		count(r.problems.Errors(), "error"), count(r.problems.Warnings(), "warning"))
	return err
}

// writeProblems prints problems with the lines they are about.
func writeProblems(w io.Writer, problems config.Problems, quiet bool) error {
	for _, p := range problems {
		if p.Warning && quiet {
			continue
		}
		if _, err := fmt.Fprintln(w, cleanText(p.Long())); err != nil {
			return err
		}
	}
	return nil
}

// A jsonReport is what check --json prints; its names are public.
type jsonReport struct {
	Config   string           `json:"config"`
	Errors   int              `json:"errors"`
	Warnings int              `json:"warnings"`
	Problems []config.Problem `json:"problems"`
	History  *lookedAt        `json:"history,omitempty"`
}

func writeJSONReport(e env, r *checked) error {
	report := jsonReport{
		Config:   r.path,
		Errors:   r.problems.Errors(),
		Warnings: r.problems.Warnings(),
		Problems: []config.Problem{}, // an empty list, never null
		History:  r.history,
	}
	for _, p := range r.problems {
		if !p.Warning || !r.quiet {
			report.Problems = append(report.Problems, p)
		}
	}
	return writeIndented(e.Stdout, report)
}

// count puts a number before a noun: 1 error, 2 errors.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "ry"); ok {
		return fmt.Sprintf("%d %sries", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
