package main

import (
	"encoding/json"
	"fmt"
	"io"

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
	)
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Report everything wrong with a configuration, all at once",
		Long: `Check reads the configuration and the rules it names as "tocsin run" would, and
reports everything that run would refuse, and what is only suspicious as a warning.
FILE is the same as -c FILE.

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
			_, problems := config.Load(path, config.Options{Getenv: e.LookupEnv})
			write := writeReport
			if asJSON {
				write = writeJSONReport
			}
			if err := write(e, path, problems, quiet); err != nil {
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
	return cmd
}

// writeReport prints the problems where errors go and the count where results go.
func writeReport(e env, path string, problems config.Problems, quiet bool) error {
	if err := writeProblems(e.Stderr, problems, quiet); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.Stdout, "%s: %s, %s\n", cleanLine(path),
		count(problems.Errors(), "error"), count(problems.Warnings(), "warning"))
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
}

func writeJSONReport(e env, path string, problems config.Problems, quiet bool) error {
	report := jsonReport{
		Config:   path,
		Errors:   problems.Errors(),
		Warnings: problems.Warnings(),
		Problems: []config.Problem{}, // an empty list, never null
	}
	for _, p := range problems {
		if !p.Warning || !quiet {
			report.Problems = append(report.Problems, p)
		}
	}
	enc := json.NewEncoder(e.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(report)
}

// count puts a number before a noun: 1 error, 2 errors.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
