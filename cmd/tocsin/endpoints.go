package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge"
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
  disabled      it answered 410 Gone
  unconfigured  it has left the configuration, and is owed something

What an endpoint is owed is kept in every state.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listEndpoints(cmd.Context(), e, f) },
	}
	f.add(cmd)
	return cmd
}

func listEndpoints(ctx context.Context, e env, f clientFlags) error {
	c, err := newClient(e, f)
	if err != nil {
		return err
	}
	answer, err := c.do(ctx, http.MethodGet, []string{"endpoints"}, nil, nil)
	if err != nil {
		return fmt.Errorf("endpoints: %w", err)
	}
	return show(e, f.asJSON, answer, writeEndpoints)
}

// endpointList is the answer that lists endpoints.
type endpointList struct{ Endpoints []bridge.EndpointStatus }

func writeEndpoints(w io.Writer, list endpointList) error {
	if len(list.Endpoints) == 0 {
		_, err := fmt.Fprintln(w, "there is no endpoint")
		return err
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

// endpointNote is why an endpoint is not active, and until when it is left alone.
func endpointNote(s *bridge.EndpointStatus) string {
	note := s.Reason
	if !s.Since.IsZero() {
		note += ", since " + s.Since.Local().Format(time.DateTime)
	}
	if !s.Until.IsZero() {
		note += fmt.Sprintf(", waits until %s (%s)", s.Until.Local().Format(time.TimeOnly), s.WaitsFor)
	}
	if len(note) > 1 && note[0] == ',' {
		note = note[2:]
	}
	return note
}
