package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/bridge/config"
	"tocsin/rules"
	"tocsin/rules/ruletest"
)

type testFlags struct {
	path     string
	run      string
	coverage bool
	asJSON   bool
	quiet    bool
	verbose  bool
}

func newTestCommand(e env) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Run the tests that stand beside the rules",
		Long: `Test runs the [test."NAME"] tables of the rule files, in virtual time and on the
same engine as the bridge, and says of each that fails what was expected and what
came. It needs no running bridge and none of its secrets, and tells nobody.

It exits with 0 when all pass, with 1 when one fails, and with 2 when the
configuration is wrong.`,
		Example: "  tocsin test -c tocsin.toml --run 'freezer' --coverage",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return runTests(e, f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.path, "config", "c", defaultConfig, "configuration file")
	flags.StringVar(&f.run, "run", "", "run only the tests whose name matches this regular expression")
	flags.BoolVar(&f.coverage, "coverage", false, "say which rules, levels, overrides and keys the tests exercise")
	flags.BoolVar(&f.asJSON, "json", false, "print the results as JSON")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print failures only")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print the events of every test")
	return cmd
}

func runTests(e env, f testFlags) error {
	pattern, err := regexp.Compile(f.run)
	if err != nil {
		return refused("--run: %v (use the syntax of RE2)", err)
	}
	cfg, problems := config.Load(f.path, config.Options{Getenv: e.LookupEnv, NoSecrets: true})
	if err := writeProblems(e.Stderr, problems, true); err != nil {
		return err
	}
	if cfg == nil {
		return &exitError{code: exitUsage}
	}
	file := *cfg.RuleFile
	file.Test = map[string]*rules.TestDef{}
	for name, def := range cfg.RuleFile.Test {
		if pattern.MatchString(name) {
			file.Test[name] = def
		}
	}
	if len(file.Test) == 0 && f.run != "" {
		return refused("--run: no test of %s matches %q", f.path, f.run)
	}
	report := testReport{Config: f.path, Results: ruletest.RunAll(&file, cfg.Rules)}
	if f.coverage {
		c := ruletest.Cover(&file, cfg.Rules, report.Results)
		report.Coverage = &c
	}
	if f.asJSON {
		err = report.writeJSON(e.Stdout)
	} else {
		err = report.write(e, f)
	}
	if err == nil && report.failed() > 0 {
		return &exitError{code: exitFailed}
	}
	return err
}

// A testReport is what test prints.
type testReport struct {
	Config   string
	Results  []ruletest.Result
	Coverage *ruletest.Coverage // nil: not asked for
}

func (r *testReport) failed() int {
	n := 0
	for i := range r.Results {
		if !r.Results[i].Passed() {
			n++
		}
	}
	return n
}

// write prints the report for people, failures where errors go.
func (r *testReport) write(e env, f testFlags) error {
	colour := paletteFor(e.Stdout, e.LookupEnv)
	for i := range r.Results {
		t := &r.Results[i]
		switch {
		case !t.Passed():
			fmt.Fprintln(e.Stderr, cleanText(t.String()))
		case !f.quiet:
			fmt.Fprintf(e.Stdout, "%s %s\n", colour.good("ok"), cleanLine(t.Name))
		}
		if f.verbose {
			for _, ev := range t.Events {
				fmt.Fprintf(e.Stdout, "     %-8s %s %s: %s\n", ev.At.Sub(t.Start), strings.TrimPrefix(string(ev.Type), "alarm."),
					cleanLine(ev.Alarm.Key), cleanLine(ev.Because))
			}
		}
	}
	if r.Coverage != nil {
		writeCoverage(e.Stdout, r.Coverage, colour)
	}
	n := r.failed()
	_, err := fmt.Fprintf(e.Stdout, "%s: %s, %d passed, %d failed\n", cleanLine(r.Config), count(len(r.Results), "test"), len(r.Results)-n, n)
	return err
}

// writeCoverage prints what the tests reach, and what they do not.
func writeCoverage(w io.Writer, c *ruletest.Coverage, colour palette) {
	for _, r := range c.Rules {
		mark := colour.good("✓")
		if len(r.Tests) == 0 {
			mark = colour.bad("✗")
		}
		fmt.Fprintf(w, "%s rule %s: %s\n", mark, r.ID, count(len(r.Tests), "test"))
		for kind, parts := range map[string][]ruletest.PartCovered{"level": r.Levels, "override": r.Overrides} {
			for _, p := range parts {
				if len(p.Tests) == 0 && len(r.Tests) > 0 {
					fmt.Fprintf(w, "  %s %s %s is reached by no test\n", colour.bad("✗"), kind, cleanLine(p.Name))
				}
			}
		}
	}
	var used, missed []string
	for _, k := range c.Keys {
		switch {
		case len(k.Tests) > 0:
			used = append(used, k.Key)
		case len(k.Rules) > 0:
			missed = append(missed, k.Key)
		}
	}
	fmt.Fprintf(w, "keys: %d of the %d that the rules use are exercised\n", len(used), len(used)+len(missed))
	slices.Sort(missed)
	for _, k := range missed {
		fmt.Fprintf(w, "  %s %s\n", colour.bad("✗"), k)
	}
}

// The names of this JSON are public.
type (
	jsonTests struct {
		Config   string             `json:"config"`
		Passed   int                `json:"passed"`
		Failed   int                `json:"failed"`
		Tests    []jsonTest         `json:"tests"`
		Coverage *ruletest.Coverage `json:"coverage,omitempty"`
	}
	jsonTest struct {
		Name     string        `json:"name"`
		Source   string        `json:"source,omitempty"`
		Passed   bool          `json:"passed"`
		Error    string        `json:"error,omitempty"`
		Failures []string      `json:"failures,omitempty"`
		Events   []rules.Event `json:"events"`
	}
)

func (r *testReport) writeJSON(w io.Writer) error {
	out := jsonTests{Config: r.Config, Failed: r.failed(), Tests: []jsonTest{}, Coverage: r.Coverage}
	out.Passed = len(r.Results) - out.Failed
	for i := range r.Results {
		t := &r.Results[i]
		j := jsonTest{Name: t.Name, Source: t.Source, Passed: t.Passed(), Failures: t.Failures, Events: t.Events}
		if t.Err != nil {
			j.Error = t.Err.Error()
		}
		if j.Events == nil {
			j.Events = []rules.Event{}
		}
		out.Tests = append(out.Tests, j)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
