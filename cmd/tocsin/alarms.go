package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge"
	"tocsin/rules"
)

type alarmFlags struct {
	clientFlags
	state, severity, device, rule, since string
	limit                                int

	by, reason string
	length     time.Duration
	until      string
}

func newAlarmsCommand(e env) *cobra.Command {
	var f alarmFlags
	cmd := &cobra.Command{
		Use:   "alarms",
		Short: "List alarms under way, and take care of them",
		Long: `Alarms lists the alarms of the running bridge that are pending, firing or
recovering; with --state inactive, those that are not, each with its last episode.
The commands below take care of one of them; KEY is as the list has it.`,
		Example: `  tocsin alarms --severity critical
  tocsin alarms --state all --since 24h`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listAlarms(cmd.Context(), e, f) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.state, "state", "", "only those that are pending, firing, recovering or inactive; or all")
	flags.StringVar(&f.severity, "severity", "", "only those of this severity")
	flags.StringVar(&f.device, "device", "", "only those of this device, or group")
	flags.StringVar(&f.rule, "rule", "", "only those of this rule")
	flags.StringVar(&f.since, "since", "", "only those that began in the last so long, as 2h, or since a time, as 2026-01-02T15:04:05Z")
	flags.IntVar(&f.limit, "limit", 1000, "at most so many; 0 lists all")
	for _, v := range []struct {
		verb  rules.Verb
		short string
	}{
		{rules.Ack, "Say that somebody takes care of it: no more reminders"},
		{rules.Unack, "Take an acknowledgement back"},
		{rules.Shelve, "Tell nobody of it until a time"},
		{rules.Unshelve, "Tell of it again"},
		{rules.Reset, "End a latched alarm whose condition has cleared"},
	} {
		sub := &cobra.Command{
			Use:   string(v.verb) + " KEY",
			Short: v.short,
			Args: func(cmd *cobra.Command, args []string) error {
				if len(args) != 1 {
					return usageError(cmd, fmt.Sprintf("takes the key of one alarm, got %d", len(args)))
				}
				return nil
			},
			RunE: func(cmd *cobra.Command, args []string) error {
				return commandAlarm(cmd.Context(), e, f, v.verb, args[0])
			},
		}
		sub.Flags().StringVar(&f.by, "by", "", "who does it (default: the user's name)")
		sub.Flags().StringVar(&f.reason, "reason", "", "why")
		if v.verb == rules.Shelve {
			sub.Flags().DurationVar(&f.length, "for", 0, "for how long, as 2h30m")
			sub.Flags().StringVar(&f.until, "until", "", "until when, as 2026-01-02T15:04:05Z")
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

func listAlarms(ctx context.Context, e env, f alarmFlags) error {
	l := listing{name: "alarms", since: f.since, limit: f.limit, nothing: "no alarm is under way",
		query: filter(map[string]string{"state": f.state, "severity": f.severity, "device": f.device, "rule": f.rule})}
	if len(l.query) > 0 || f.since != "" {
		l.nothing = "there is no such alarm"
	}
	return list(ctx, e, f.clientFlags, l, writeAlarms)
}

func writeAlarms(w io.Writer, alarms []bridge.Alarm) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSTATE\tSEVERITY\tSINCE\tVALUE\tNOTE")
	for i := range alarms {
		a := &alarms[i]
		since := "-"
		if !a.StartedAt.IsZero() {
			since = stamped(a.StartedAt)
		}
		if !a.EndedAt.IsZero() {
			since += " to " + stamped(a.EndedAt)
		}
		value := "-"
		if a.Value != nil {
			value = strings.TrimSpace(fmt.Sprint(a.Value, " ", a.Unit))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", cleanLine(a.Key), cleanLine(a.State), a.Severity, since, cleanLine(value), cleanLine(noteOf(a)))
	}
	return t.Flush()
}

// noteOf is what else there is to know of an alarm.
func noteOf(a *bridge.Alarm) string {
	var notes []string
	if a.Acked {
		note := "acknowledged"
		if a.AckedBy != "" {
			note += " by " + a.AckedBy
		}
		notes = append(notes, note)
	}
	if a.Shelved != nil {
		notes = append(notes, "shelved until "+stamped(a.Shelved.Until))
	}
	if a.Muted != "" {
		notes = append(notes, "muted: "+a.Muted)
	}
	if a.Stale {
		notes = append(notes, "nothing is heard any more")
	}
	return strings.Join(notes, "; ")
}

func commandAlarm(ctx context.Context, e env, f alarmFlags, verb rules.Verb, key string) error {
	c, err := newClient(e, f.clientFlags)
	if err != nil {
		return err
	}
	if f.by == "" {
		f.by = userName(e)
	}
	body := map[string]any{"by": f.by, "reason": f.reason}
	if verb == rules.Shelve {
		until, err := f.end(time.Now())
		if err != nil {
			return err
		}
		body["until"] = until
	}
	if _, err := c.do(ctx, http.MethodPost, []string{"alarms", key, string(verb)}, nil, body); err != nil {
		return fmt.Errorf("alarms: %w", err)
	}
	words := map[rules.Verb]string{
		rules.Ack: "is acknowledged", rules.Unack: "is not acknowledged any more", rules.Unshelve: "is not shelved any more", rules.Reset: "is reset",
	}[verb]
	if verb == rules.Shelve {
		words = "is shelved until " + stamped(body["until"].(time.Time))
	}
	if f.by != "" {
		words += ", by " + cleanLine(f.by)
	}
	return did(e, f.asJSON, deed{"alarms " + string(verb), key}, words)
}

// userName is who types commands, as the system knows them; "" where it does not.
func userName(e env) string {
	if name, _ := e.LookupEnv("USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// end is when shelving ends.
func (f alarmFlags) end(now time.Time) (time.Time, error) {
	switch {
	case (f.length != 0) == (f.until != ""):
		return time.Time{}, refused("alarms shelve: it is not clear until when (give --for or --until, one of them)")
	case f.length < 0:
		return time.Time{}, refused("--for: %v is negative (write how long from now, as 2h)", f.length)
	case f.length > 0:
		return now.Add(f.length), nil
	}
	until, err := time.Parse(time.RFC3339, f.until)
	switch {
	case err != nil:
		return time.Time{}, refused("--until: %q is no time (as in 2026-01-02T15:04:05Z)", f.until)
	case !until.After(now):
		return time.Time{}, refused("--until: %s has gone by (write a time to come)", f.until)
	}
	return until, nil
}
