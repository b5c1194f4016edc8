package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge"
	"tocsin/bridge/api"
)

func newEndpointsCommand(e env) *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use:   "endpoints",
		Short: "List endpoints: how they fare, and what they are owed",
		Long: `Endpoints asks the running bridge how its endpoints fare:

  active        what is due is sent
  failing       the last attempt failed
  open          it failed again and again, and is left alone for a while
  half_open     it is tried with one message
  paused        an operator has switched it off
  disabled      it answered that it wants no more
  unconfigured  it has left the configuration, and is owed something

What an endpoint is owed is kept in every state, within its limits.backlog.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), e, f, []string{"endpoints"}, writeEndpoints)
		},
	}
	f.add(cmd)
	cmd.AddCommand(newEndpointTest(e, &f), newEndpointEnable(e, &f), newEndpointDisable(e, &f), newEndpointDiscard(e, &f),
		newEndpointAdd(e, &f), newEndpointShow(e, &f), newEndpointRotate(e, &f), newEndpointRemove(e, &f))
	return cmd
}

func oneEndpoint(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError(cmd, fmt.Sprintf("takes the name of one endpoint, got %d", len(args)))
	}
	return nil
}

// actOn has the bridge do something to an endpoint.
func actOn(ctx context.Context, e env, f *clientFlags, path []string, body any) ([]byte, error) {
	c, err := newClient(e, *f)
	if err != nil {
		return nil, err
	}
	answer, err := c.do(ctx, http.MethodPost, append([]string{"endpoints"}, path...), nil, body)
	if err != nil {
		return nil, fmt.Errorf("endpoints: %w", err)
	}
	return answer, nil
}

func newEndpointTest(e env, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Send it a test.ping, as it is sent everything else", Args: oneEndpoint,
		Long: `Test has the running bridge send an endpoint a test.ping over the same path as every
event: with its URL, credentials, signatures and limits. It says how long each part
took, what was answered, and how far the receiver's clock is off. It exits with 1
unless the message was accepted.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := actOn(cmd.Context(), e, f, []string{args[0], "test"}, nil)
			if err != nil {
				return err
			}
			var t api.Tested
			if err := show(e, f.asJSON, answer, writeTested); err != nil {
				return err
			}
			if err := noteSwitchedOff(cmd.Context(), e, f, args[0]); err != nil {
				return err
			}
			if err := json.Unmarshal(answer, &t); err != nil || !t.Accepted {
				return &exitError{code: exitFailed}
			}
			return nil
		},
	}
}

func writeTested(w io.Writer, r api.Tested) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, cleanLine(value))
		}
	}
	verdict := "accepted"
	if !r.Accepted {
		verdict = "NOT accepted: " + map[string]string{
			"retry": "an event would be tried again", "refused": "an event would be given up", "gone": "the endpoint would be disabled",
		}[r.Verdict]
	}
	line("verdict", verdict)
	line("error", r.Error)
	if r.Status != 0 {
		line("status", fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status)))
	}
	line("address", r.Address)
	line("lookup", r.Lookup)
	line("connect", r.Connect)
	tls := r.TLS
	if r.TLSVersion != "" {
		tls = strings.TrimSpace(tls + " " + r.TLSVersion)
	}
	line("tls", tls)
	if !r.CertExpiry.IsZero() {
		line("certificate", "ends "+r.CertExpiry.Local().Format(time.DateTime))
	}
	line("answer after", r.Answer)
	line("in all", r.Took)
	if r.Skew != "" {
		line("clock", "the receiver's is ahead of ours by "+r.Skew)
	}
	line("retry after", r.RetryAfter)
	line("body", clipped(r.Body, 500))
	return t.Flush()
}

func newEndpointDisable(e env, f *clientFlags) *cobra.Command {
	var by, reason string
	cmd := &cobra.Command{
		Use: "disable NAME", Aliases: []string{"pause"}, Short: "Send it nothing until it is enabled; what it is owed is kept", Args: oneEndpoint,
		RunE: func(cmd *cobra.Command, args []string) error {
			if by == "" {
				by = userName(e)
			}
			if _, err := actOn(cmd.Context(), e, f, []string{args[0], "disable"}, map[string]string{"by": by, "reason": reason}); err != nil {
				return err
			}
			return did(e, f.asJSON, deed{"endpoints disable", args[0]}, "is paused; what it is owed is kept, and sent after tocsin endpoints enable "+cleanLine(args[0]))
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "who does it (default: the user's name)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever looks at it later")
	return cmd
}

func newEndpointEnable(e env, f *clientFlags) *cobra.Command {
	var send string
	var yes bool
	cmd := &cobra.Command{
		Use: "enable NAME", Aliases: []string{"resume"}, Short: "Send it what it is owed, and what is to come", Args: oneEndpoint,
		Long: `Enable switches an endpoint on that was paused, or has answered 410 Gone. Of what it
is owed it is sent all, or with --send the latest state of each alarm, or nothing
(discard). What is not sent is counted first, and asked for; --yes does not ask.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var r struct{ Discarded int }
			var answer []byte
			ask := func(dry bool) (err error) {
				answer, err = actOn(cmd.Context(), e, f, []string{args[0], "enable"}, map[string]any{"send": send, "dry_run": dry})
				if err != nil {
					return err
				}
				return json.Unmarshal(answer, &r)
			}
			if send != "all" {
				if err := ask(true); err != nil {
					return err
				}
				if r.Discarded > 0 {
					fmt.Fprintf(e.Stderr, "%s not to be sent to %s\n", count(r.Discarded, "delivery"), args[0])
					if !yes {
						if err := confirm(e); err != nil {
							return err
						}
					}
				}
			}
			if err := ask(false); err != nil {
				return err
			}
			return show(e, f.asJSON, answer, func(w io.Writer, _ any) error {
				_, err := fmt.Fprintf(w, "%s is enabled, %s discarded\n", args[0], count(r.Discarded, "delivery"))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&send, "send", "all", "what it is sent of what it is owed: all, latest or discard")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func newEndpointDiscard(e env, f *clientFlags) *cobra.Command {
	var alarm, reason string
	var latest, yes bool
	cmd := &cobra.Command{
		Use: "discard NAME", Short: "Do not send it what it is owed", Args: oneEndpoint,
		Long: `Discard ends what waits for an endpoint as cancelled, also for one that has left the
configuration. What is being sent at that moment is left alone. It is counted first,
and asked for; --yes does not ask. Replay sends it after all.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var r api.Replayed
			ask := func(dry bool) ([]byte, error) {
				answer, err := actOn(cmd.Context(), e, f, []string{args[0], "discard"}, map[string]any{
					"alarm": alarm, "latest": latest, "reason": reason, "dry_run": dry,
				})
				if err != nil {
					return nil, err
				}
				return answer, json.Unmarshal(answer, &r)
			}
			if _, err := ask(true); err != nil {
				return err
			}
			if r.Deliveries > 0 && !yes {
				fmt.Fprintf(e.Stderr, "%s not to be sent to %s\n", count(r.Deliveries, "delivery"), args[0])
				if err := confirm(e); err != nil {
					return err
				}
			}
			answer, err := ask(false)
			if err != nil {
				return err
			}
			return show(e, f.asJSON, answer, func(w io.Writer, r api.Replayed) error {
				_, err := fmt.Fprintf(w, "%s discarded\n", count(r.Deliveries, "delivery"))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&alarm, "alarm", "", "only what is of this alarm, by its key")
	cmd.Flags().BoolVar(&latest, "latest", false, "keep the newest state of each alarm")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the log")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// endpointList is the answer that lists endpoints.
type endpointList struct{ Endpoints []bridge.EndpointStatus }

func writeEndpoints(w io.Writer, list endpointList) error {
	if len(list.Endpoints) == 0 {
		return noneError("there is no endpoint")
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "ENDPOINT\tSTATE\tOWED\tOLDEST\tDEAD\tLAST ATTEMPT\tNOTE")
	for i := range list.Endpoints {
		s := &list.Endpoints[i]
		oldest, last := "-", "-"
		if !s.Oldest.IsZero() {
			oldest = agoText(s.Oldest)
		}
		if !s.Last.At.IsZero() {
			last = agoText(s.Last.At)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%s\t%s\n", cleanLine(s.Name), cleanLine(s.Condition), s.Owed, oldest, s.Dead, last, cleanLine(endpointNote(s)))
	}
	return t.Flush()
}

// noteSwitchedOff says of endpoints that are sent nothing why, since when, and what to
// do about it; "" is all.
func noteSwitchedOff(ctx context.Context, e env, f *clientFlags, name string) error {
	if f.asJSON {
		return nil
	}
	c, err := newClient(e, *f)
	if err != nil {
		return err
	}
	var list endpointList
	if err := c.ask(ctx, []string{"endpoints"}, nil, &list); err != nil {
		return fmt.Errorf("endpoints: %w", err)
	}
	for i := range list.Endpoints {
		s := &list.Endpoints[i]
		switch {
		case name != "" && name != s.Name:
		case s.Condition == "paused" || s.Condition == "disabled":
			fmt.Fprintf(e.Stderr, "%s is %s and sent no events: %s (tocsin endpoints enable %[1]s)\n", cleanLine(s.Name), s.Condition, cleanLine(endpointNote(s)))
		case s.Condition == "open":
			fmt.Fprintf(e.Stderr, "%s is left alone for a while: %s (tocsin endpoints test %[1]s tries it)\n", cleanLine(s.Name), cleanLine(endpointNote(s)))
		}
	}
	return nil
}

// endpointNote is why an endpoint is not active, and until when it is left alone.
func endpointNote(s *bridge.EndpointStatus) string {
	note := s.Reason
	if !s.Since.IsZero() {
		note += ", since " + s.Since.Local().Format(time.DateTime)
	}
	if !s.Until.IsZero() {
		note += fmt.Sprintf(", waits until %s (%s)", s.Until.Local().Format(time.TimeOnly), s.WaitsFor)
	}
	if b := s.Budget; b != nil && (b.Folded > 0 || b.Left == 0) {
		note += ", its budget is spent"
		if b.Folded > 0 {
			note += fmt.Sprintf(": %s for a digest", count(b.Folded, "event"))
		}
		if !b.Digest.IsZero() {
			note += " at " + b.Digest.Local().Format(time.TimeOnly)
		}
	}
	if len(note) > 1 && note[0] == ',' {
		note = note[2:]
	}
	return note
}
