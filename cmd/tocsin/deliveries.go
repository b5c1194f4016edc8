package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/api"
)

type deliveriesFlags struct {
	clientFlags
	endpoint, alarm, device, typ, state, since string
	limit                                      int
}

func newDeliveriesCommand(e env) *cobra.Command {
	var f deliveriesFlags
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "List deliveries: what was sent to whom, and what became of it",
		Long: `Deliveries asks the running bridge for its log of deliveries, the newest first.
A delivery is one event for one endpoint; its ID is that of the event, @, and the
name of the endpoint. States are waiting, delivered, dead (given up), cancelled,
superseded and dropped.`,
		Example: `  tocsin deliveries --endpoint ops --state dead
  tocsin deliveries show evt_K3FQMO2ILFFP7UHFYTIKR3YE@ops
  tocsin deliveries replay evt_K3FQMO2ILFFP7UHFYTIKR3YE@ops`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listDeliveries(cmd.Context(), e, f) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.endpoint, "endpoint", "", "only those for this endpoint")
	flags.StringVar(&f.alarm, "alarm", "", "only those of this alarm, by its key")
	flags.StringVar(&f.device, "device", "", "only those about this device")
	flags.StringVar(&f.typ, "type", "", "only events of this type, as alarm.fired")
	flags.StringVar(&f.state, "state", "", "only those in this state")
	flags.StringVar(&f.since, "since", "", "only those of the last so long, as 2h, or since a time, as 2026-01-02T15:04:05Z")
	flags.IntVar(&f.limit, "limit", 50, "at most so many; 0 lists all")
	one := func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError(cmd, fmt.Sprintf("takes the ID of one delivery, got %d", len(args)))
		}
		return nil
	}
	cmd.AddCommand(&cobra.Command{
		Use: "show ID", Short: "Show a delivery: its event, and every attempt with its answer", Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			return get(cmd.Context(), e, f.clientFlags, []string{"deliveries", args[0]}, writeDelivery)
		},
	}, &cobra.Command{
		Use: "replay ID", Short: "Send a delivery again, under its ID", Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(e, f.clientFlags)
			if err != nil {
				return err
			}
			if _, err := c.do(cmd.Context(), http.MethodPost, []string{"deliveries", args[0], "replay"}, nil, nil); err != nil {
				return fmt.Errorf("deliveries: %w", err)
			}
			return did(e, f.asJSON, deed{"deliveries replay", args[0]}, "is owed again")
		},
	})
	return cmd
}

func listDeliveries(ctx context.Context, e env, f deliveriesFlags) error {
	err := list(ctx, e, f.clientFlags, listing{name: "deliveries", since: f.since, limit: f.limit, nothing: "there is no such delivery",
		query: filter(map[string]string{"endpoint": f.endpoint, "alarm": f.alarm, "device": f.device, "type": f.typ, "state": f.state}),
	}, writeDeliveries)
	if err != nil {
		return err
	}
	return noteSwitchedOff(ctx, e, &f.clientFlags, f.endpoint)
}

// timeFlag reads how long ago, or when; "" is the zero time.
func timeFlag(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, refused("%s: %q is no time (as in 2h, or 2026-01-02T15:04:05Z)", name, text)
	}
	return at, nil
}

func writeDeliveries(w io.Writer, deliveries []api.DeliveryView) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "OWED SINCE\tID\tTYPE\tALARM\tSTATE\tTRIES\tANSWER")
	for i := range deliveries {
		d := &deliveries[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", d.Committed.Local().Format(time.DateTime), cleanLine(d.ID), cleanLine(string(d.Type)),
			cmp.Or(cleanLine(d.Alarm), "-"), d.State, d.Tries, cleanLine(answerOf(d)))
	}
	return t.Flush()
}

// answerOf is how the last attempt ended, in a few words.
func answerOf(d *api.DeliveryView) string {
	switch {
	case d.Error != "":
		return d.Error
	case d.Status != 0:
		return strconv.Itoa(d.Status) + " " + http.StatusText(d.Status)
	}
	return "-"
}

func writeDelivery(w io.Writer, d api.DeliveryDetail) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, cleanLine(value))
		}
	}
	line("delivery", d.ID)
	line("type", string(d.Type))
	line("alarm", d.Alarm)
	line("owed since", d.Committed.Local().Format(time.RFC3339))
	line("state", string(d.State))
	line("sent as", d.SentAs)
	if !d.Due.IsZero() {
		line("next attempt", d.Due.Local().Format(time.RFC3339))
	}
	line("error", d.Error)
	for _, a := range d.Attempts {
		ended := a.Error
		if ended == "" {
			ended = fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status))
		}
		line(fmt.Sprintf("attempt %d", a.Number), fmt.Sprintf("%s  %s  took %s", a.At.Local().Format(time.RFC3339), ended, a.Took))
		if a.Answer != "" {
			cut := ""
			if a.Cut {
				cut = " …"
			}
			line("", "answered: "+clipped(a.Answer, 500)+cut)
		}
	}
	for _, r := range d.Requests {
		line("request", cmp.Or(r.Error, r.Method+" "+r.URL))
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			line("", strings.ToLower(name)+": "+strings.Join(r.Header[name], ", "))
		}
	}
	line("event", string(d.Data))
	return t.Flush()
}

// clipped is the beginning of a text.
func clipped(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
