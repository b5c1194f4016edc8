package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tocsin/rules"
)

func newRulesCommand(e env) *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use:   "rules [ID]",
		Short: "List the rules, those first that never matched or never fired",
		Long: `Rules asks the running bridge how each of its rules fares: how many devices, or
groups, it looks at, how often it has fired, and how near it came. Those that may
not do what they were written for come first:

  never matched  it looks at no device that was ever heard of
  never judged   nothing that it looks at was ever known
  never fired    it has judged readings, and none was beyond its limit for long enough

With ID it says all that is known of one rule.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError(cmd, fmt.Sprintf("takes the id of one rule at most, got %d arguments", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path := append([]string{"rules"}, args...)
			if len(args) == 1 {
				return get(cmd.Context(), e, f, path, writeRule)
			}
			return get(cmd.Context(), e, f, path, writeRules)
		},
	}
	f.add(cmd)
	return cmd
}

// ruleList is the answer that lists rules.
type ruleList struct{ Rules []rules.Health }

func writeRules(w io.Writer, list ruleList) error {
	if len(list.Rules) == 0 {
		return noneError("there is no rule")
	}
	slices.SortStableFunc(list.Rules, func(a, b rules.Health) int {
		return cmp.Or(cmp.Compare(concern(&a), concern(&b)), strings.Compare(a.Rule, b.Rule))
	})
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "RULE\tSTATE\tDEVICES\tFIRED\tNEAREST\tLIMIT")
	for i := range list.Rules {
		x := &list.Rules[i]
		limit := x.Limit
		if x.Nearest != nil {
			limit = x.Nearest.Limit
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\n", cleanLine(x.Rule), stateOf(x), x.Alarms, x.Fired, cleanLine(nearestOf(x)), cleanLine(limit))
	}
	return t.Flush()
}

// concern orders rules by how much they need looking after: least is most.
func concern(x *rules.Health) int {
	if i := slices.Index([]string{"unmatched", "unjudged", "silent"}, x.State); i >= 0 {
		return i
	}
	return 3
}

// stateOf is a rule's state in the list's words.
func stateOf(x *rules.Health) string {
	state := cleanLine(x.State)
	switch x.State {
	case "unmatched":
		state = "never matched"
	case "unjudged":
		state = "never judged"
	case "silent":
		state = "never fired"
	case "firing":
		state += " " + strconv.Itoa(x.Firing)
	case "recovering":
		state += " " + strconv.Itoa(x.Recovering)
	case "pending":
		state += " " + strconv.Itoa(x.Pending)
	}
	if x.Shadow {
		state += ", shadow"
	}
	if x.Errors > 0 {
		state += ", " + count(x.Errors, "error")
	}
	return state
}

// nearestOf is how near a rule came: in value, and in time where it waits.
func nearestOf(x *rules.Health) string {
	var parts []string
	if n := x.Nearest; n != nil {
		parts = append(parts, strings.TrimSpace(strconv.FormatFloat(n.Value, 'g', 6, 64)+" "+n.Unit)+" ("+n.Device+")")
	}
	if m := x.NearMiss; m != nil {
		parts = append(parts, fmt.Sprintf("%d%% of %s", int(m.Share*100), m.For))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

func writeRule(w io.Writer, x rules.Health) error {
	fmt.Fprintf(w, "%s  %s\n", cleanLine(x.Rule), stateOf(&x))
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(t, "  %s\t%s\n", name, cleanLine(text))
		}
	}
	line("condition", x.Condition)
	alarms := count(x.Alarms, "device or group")
	if x.Alarms != 1 {
		alarms = strconv.Itoa(x.Alarms) + " devices or groups"
	}
	line("looks at", alarms+fmt.Sprintf(": %d pending, %d firing, %d recovering", x.Pending, x.Firing, x.Recovering))
	if x.Since.IsZero() {
		line("judged", "never")
	} else {
		line("judged", "since "+stamped(x.Since))
	}
	line("fired", count(x.Fired, "time")+", and kept from being told "+count(x.Muted, "time"))
	if n := x.Nearest; n != nil {
		line("nearest", n.Text+", at "+stamped(n.At))
	}
	if m := x.NearMiss; m != nil {
		line("near miss", m.Text+", until "+stamped(m.At))
	}
	for _, trace := range x.Traces {
		line("last "+trace.Outcome, fmt.Sprintf("%s at %s: %s", trace.Key, stamped(trace.At), trace.Text))
	}
	line("rule", x.Source)
	return t.Flush()
}
