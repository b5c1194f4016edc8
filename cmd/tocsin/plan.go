package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tocsin/bridge"
	"tocsin/bridge/api"
	"tocsin/bridge/config"
)

func newPlanCommand(e env) *cobra.Command {
	var (
		f    clientFlags
		path string
	)
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Ask the running bridge what a changed configuration would do",
		Long: `Plan has the running bridge read its configuration again and say what a reload would
do: which rules and endpoints change, and what becomes of each alarm that is under
way. Nothing is changed and nobody is told.

NEW may be another file in the folder of the running configuration, or below it.

It exits with 0 when a reload would be accepted, and with 2 when it would not.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPlan(cmd.Context(), e, f, path) },
	}
	f.add(cmd)
	cmd.Flags().StringVarP(&path, "config", "c", "", "plan with this configuration `NEW` (default: the file that runs, as saved)")
	return cmd
}

func runPlan(ctx context.Context, e env, f clientFlags, path string) error {
	c, err := newClient(e, f)
	if err != nil {
		return err
	}
	var body any
	if path != "" {
		full, err := filepath.Abs(path)
		if err != nil {
			return fmt.Errorf("plan: %w", err)
		}
		body = map[string]string{"config": full}
	}
	answer, err := c.do(ctx, http.MethodPost, []string{"plan"}, nil, body)
	if p := (*answered)(nil); errors.As(err, &p) && len(p.Problems) > 0 {
		if err := writeProblems(e.Stderr, asProblems(p.Problems), false); err != nil {
			return err
		}
		return &exitError{code: exitUsage, err: fmt.Errorf("plan: %w", err)}
	}
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return show(e, f.asJSON, answer, writePlan)
}

func asProblems(shown []api.Problem) config.Problems {
	problems := make(config.Problems, len(shown))
	for i, p := range shown {
		problems[i] = config.Problem{File: p.File, Line: p.Line, Column: p.Column, Place: p.Place, Fact: p.Fact, Remedy: p.Remedy, Warning: p.Warning}
	}
	return problems
}

// writePlan prints a plan for people.
func writePlan(w io.Writer, p api.Planned) error {
	var b strings.Builder
	for _, problem := range asProblems(p.Warnings) {
		fmt.Fprintln(&b, cleanText(problem.String()))
	}
	writeChanges(&b, "rules", p.Changes.Rules)
	writeChanges(&b, "endpoints", p.Changes.Endpoints)
	if len(p.Definitions) > 0 {
		fmt.Fprintf(&b, "definitions: changed %s\n", cleanLine(strings.Join(p.Definitions, ", ")))
	}
	if len(p.Restart) > 0 {
		fmt.Fprintf(&b, "at the next start only: %s\n", cleanLine(strings.Join(p.Restart, ", ")))
	}
	if len(p.Alarms) > 0 {
		fmt.Fprintln(&b)
		t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "ALARM\tNOW\tTHEN\tTOLD")
		for _, a := range p.Alarms {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", cleanLine(a.Key), spellStanding(a.Before), spellStanding(a.After), spellTold(a.Told))
		}
		_ = t.Flush() // it writes to memory
		if p.More > 0 {
			fmt.Fprintf(&b, "and %d more\n", p.More)
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "%s would change, %d would go on as they are\n", count(len(p.Alarms)+p.More, "alarm"), p.Kept)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeChanges prints a line of what changes.
func writeChanges(w io.Writer, what string, c bridge.Changes) {
	if c.Empty() {
		fmt.Fprintf(w, "%s: unchanged\n", what)
		return
	}
	var parts []string
	for _, list := range []struct {
		verb  string
		names []string
	}{{"added", c.Added}, {"changed", c.Changed}, {"removed", c.Removed}} {
		if len(list.names) > 0 {
			parts = append(parts, list.verb+" "+strings.Join(list.names, ", "))
		}
	}
	for _, was := range slices.Sorted(maps.Keys(c.Renamed)) {
		parts = append(parts, "renamed "+was+" to "+c.Renamed[was])
	}
	fmt.Fprintf(w, "%s: %s\n", what, cleanLine(strings.Join(parts, "; ")))
}

func spellStanding(s bridge.Standing) string {
	if s.Severity == 0 {
		return s.State
	}
	return s.State + " " + s.Severity.String()
}

func spellTold(told []bridge.Foresaw) string {
	if len(told) == 0 {
		return "nobody"
	}
	var parts []string
	for _, ev := range told {
		to := "nobody"
		if len(ev.Endpoints) > 0 {
			to = strings.Join(ev.Endpoints, ", ")
		}
		s := string(ev.Type) + " to " + to
		if ev.Reason != "" {
			s += " (" + ev.Reason + ")"
		}
		parts = append(parts, s)
	}
	return cleanLine(strings.Join(parts, "; "))
}
