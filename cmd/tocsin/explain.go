package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge"
	"tocsin/rules"
)

func newExplainCommand(e env) *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use:   "explain DEVICE [RULE]",
		Short: "Say why a device's alarms stand as they do",
		Long: `Explain asks the running bridge why the alarms of a device stand as they do: what was
read, what it is compared with and where that is written, what would fire and clear
each level, and what keeps it from being told: by whom an alarm that fires was
accepted, for whom it waits and why, and who is not told. DEVICE may also be a group's
value, or the key of an alarm as tocsin alarms prints it.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError(cmd, fmt.Sprintf("takes a device and perhaps a rule, got %d arguments", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runExplain(cmd.Context(), e, f, args) },
	}
	f.add(cmd)
	return cmd
}

func runExplain(ctx context.Context, e env, f clientFlags, args []string) error {
	c, err := newClient(e, f)
	if err != nil {
		return err
	}
	answer, err := c.explain(ctx, args)
	if isMissing(err) {
		var alarm bridge.Alarm
		if len(args) == 1 && c.ask(ctx, []string{"alarms", args[0]}, nil, &alarm) == nil {
			answer, err = c.explain(ctx, []string{alarm.Device, alarm.Rule}) // its key was named
		} else {
			err = c.unexplained(ctx, args, err)
		}
	}
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	var x explained
	if err := json.Unmarshal(answer, &x); err != nil {
		return fmt.Errorf("reading the answer: %w (is it a bridge of this version?)", err)
	}
	if x.Tellings, err = c.tellings(ctx, x.Alarms); err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	if !f.asJSON {
		return writeExplained(e.Stdout, x)
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(answer, &whole); err != nil {
		return fmt.Errorf("reading the answer: %w (is it a bridge of this version?)", err)
	}
	if whole["told"], err = json.Marshal(x.Tellings); err != nil {
		return err
	}
	return writeIndented(e.Stdout, whole)
}

// explain asks about a device, and perhaps one rule.
func (c *apiClient) explain(ctx context.Context, args []string) ([]byte, error) {
	query := url.Values{}
	if len(args) == 2 {
		query.Set("rule", args[1])
	}
	return c.do(ctx, http.MethodGet, []string{"devices", args[0], "explain"}, query, nil)
}

// explained is what is known of a device's alarms.
type explained struct {
	Alarms   []rules.Explanation
	Tellings []telling
}

func writeExplained(w io.Writer, x explained) error {
	var b strings.Builder
	for i := range x.Alarms {
		if i > 0 {
			fmt.Fprintln(&b)
		}
		writeExplanation(&b, &x.Alarms[i], x.Tellings)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeExplanation prints one alarm: how it stands, and then a line for each
// thing that is known.
func writeExplanation(w io.Writer, x *rules.Explanation, tellings []telling) {
	head := cleanLine(x.Key) + "  " + cleanLine(x.State)
	if x.Severity != rules.Unset {
		head += " " + x.Severity.String()
	}
	if !x.Since.IsZero() {
		head += " since " + stamped(x.Since)
	}
	fmt.Fprintln(w, head)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(t, "  %s\t%s\n", name, cleanLine(text))
		}
	}
	if r := x.Reading; r != nil {
		line("reading", fmt.Sprintf("%s %s at %s (%s clock, %s)", r.Metric, strings.TrimSpace(fmt.Sprint(r.Value, " ", r.Unit)), stamped(r.At), r.Clock, r.Quality))
	}
	for _, o := range x.Operands {
		line("asks for", strings.TrimSuffix(fmt.Sprintf("%s: %s (%s)", o.Name, o.Value, o.Why), " ()"))
	}
	line("compared", x.Measured)
	line("device", heard(x))
	for _, l := range x.Levels {
		line(l.Severity.String(), spellLevel(&l))
		line("", "fires: "+l.Fires)
		line("", "clears: "+l.Clears)
	}
	if !x.Unknown.IsZero() {
		line("unknown", "since "+stamped(x.Unknown))
	}
	if !x.Warming.IsZero() {
		line("warming", "until "+stamped(x.Warming)+": the store is new, and how the alarm stood before is not known")
	}
	line("held", x.Held)
	line("muted", x.Muted)
	told := "told"
	for _, to := range tellings {
		if to.Alarm == x.Key {
			line(told, to.Endpoint+": "+to.Text)
			told = ""
		}
	}
	if told != "" {
		line(told, strings.Join(x.Told, ", "))
	}
	if x.Acked {
		line("acknowledged", cmp.Or(x.AckedBy, "by whom was not said"))
	}
	for _, trace := range x.Traces {
		line("last "+trace.Outcome, fmt.Sprintf("%s at %s: %s", trace.Key, stamped(trace.At), trace.Text))
	}
	line("rule", strings.TrimSpace(x.Rule.Source+"  "+x.Rule.Runbook))
	_ = t.Flush() // it writes to memory
}

func spellLevel(l *rules.LevelExplanation) string {
	s := "off"
	if l.On {
		s = "on"
	}
	s += ", now " + l.Holds + ": " + l.Condition
	var from []string
	for _, part := range []string{l.From, l.Source} {
		if part != "" {
			from = append(from, part)
		}
	}
	if len(from) > 0 {
		s += " (" + strings.Join(from, ", ") + ")"
	}
	if !l.Running.IsZero() {
		s += "; runs since " + stamped(l.Running)
		if !l.Deadline.IsZero() {
			s += " until " + stamped(l.Deadline)
		}
	}
	return s
}

// heard is what is known of a device beside its readings.
func heard(x *rules.Explanation) string {
	var parts []string
	if !x.Heard.IsZero() {
		parts = append(parts, "last heard "+stamped(x.Heard))
	}
	if x.Every != "" {
		parts = append(parts, "reports every "+x.Every)
	}
	if x.Skew != "" {
		if ahead, fast := strings.CutPrefix(x.Skew, "-"); fast {
			parts = append(parts, "its clock is "+ahead+" ahead")
		} else {
			parts = append(parts, "its clock is "+x.Skew+" behind")
		}
	}
	if x.Presence != "" {
		parts = append(parts, x.Presence)
	}
	return strings.Join(parts, ", ")
}

func stamped(t time.Time) string { return t.UTC().Format(time.RFC3339) }
