package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"
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
			return showDelivery(cmd.Context(), e, f.clientFlags, args[0])
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
			_, err = fmt.Fprintf(e.Stdout, "%s is owed again\n", args[0])
			return err
		},
	})
	return cmd
}

// deliveryList is the answer that lists deliveries.
type deliveryList struct {
	Deliveries []api.DeliveryView `json:"deliveries"`
	Next       string             `json:"next,omitempty"`
}

func listDeliveries(ctx context.Context, e env, f deliveriesFlags) error {
	c, err := newClient(e, f.clientFlags)
	if err != nil {
		return err
	}
	query := url.Values{}
	for name, value := range map[string]string{"endpoint": f.endpoint, "alarm": f.alarm, "device": f.device, "type": f.typ, "state": f.state} {
		if value != "" {
			query.Set(name, value)
		}
	}
	since, err := timeFlag("--since", f.since, time.Now())
	if err != nil {
		return err
	}
	if !since.IsZero() {
		query.Set("since", since.Format(time.RFC3339Nano))
	}
	list := deliveryList{Deliveries: []api.DeliveryView{}}
	for {
		most := 1000
		if f.limit > 0 {
			most = min(most, f.limit-len(list.Deliveries))
		}
		query.Set("limit", strconv.Itoa(most))
		answer, err := c.do(ctx, http.MethodGet, []string{"deliveries"}, query, nil)
		if err != nil {
			return fmt.Errorf("deliveries: %w", err)
		}
		var page deliveryList
		if err := json.Unmarshal(answer, &page); err != nil {
			return fmt.Errorf("deliveries: reading the answer: %w (is it a bridge of this version?)", err)
		}
		list.Deliveries, list.Next = append(list.Deliveries, page.Deliveries...), page.Next
		if page.Next == "" || f.limit > 0 && len(list.Deliveries) >= f.limit {
			break
		}
		query.Set("cursor", page.Next)
	}
	answer, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return show(e, f.asJSON, answer, writeDeliveries)
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

func writeDeliveries(w io.Writer, list deliveryList) error {
	if len(list.Deliveries) == 0 {
		_, err := fmt.Fprintln(w, "there is no such delivery")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "OWED SINCE\tID\tTYPE\tALARM\tSTATE\tTRIES\tANSWER")
	for i := range list.Deliveries {
		d := &list.Deliveries[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", d.Committed.Local().Format(time.DateTime), cleanLine(d.ID), cleanLine(string(d.Type)),
			cmp.Or(cleanLine(d.Alarm), "-"), d.State, d.Tries, cleanLine(answerOf(d)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if list.Next != "" {
		_, err := fmt.Fprintln(w, "… and more (--limit 0 lists all)")
		return err
	}
	return nil
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

func showDelivery(ctx context.Context, e env, f clientFlags, id string) error {
	c, err := newClient(e, f)
	if err != nil {
		return err
	}
	answer, err := c.do(ctx, http.MethodGet, []string{"deliveries", id}, nil, nil)
	if err != nil {
		return fmt.Errorf("deliveries: %w", err)
	}
	return show(e, f.asJSON, answer, writeDelivery)
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

type replayFlags struct {
	clientFlags
	endpoint, alarm, since, until string
	latest, dead, yes, anyway     bool
}

func newReplayCommand(e env) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --endpoint NAME",
		Short: "Send an endpoint again what it was sent, or given up on",
		Long: `Replay makes deliveries that have ended owed again: under the same IDs, in order
within each alarm. It says how many first, and asks; --yes does not ask. A receiver
that looks at webhook-id knows what it has had.`,
		Example: `  tocsin replay --endpoint ops --since 2h
  tocsin replay --endpoint ops --dead --yes
  tocsin replay --endpoint ops --latest          the newest state of each alarm`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return replay(cmd.Context(), e, f) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.endpoint, "endpoint", "", "who is told again")
	flags.StringVar(&f.alarm, "alarm", "", "only of this alarm, by its key")
	flags.StringVar(&f.since, "since", "", "only what was owed in the last so long, as 2h, or since a time, as 2026-01-02T15:04:05Z")
	flags.StringVar(&f.until, "until", "", "only what was owed before, as --since")
	flags.BoolVar(&f.latest, "latest", false, "only the newest state of each alarm")
	flags.BoolVar(&f.dead, "dead", false, "only what was given up")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&f.anyway, "anyway", false, "also for an endpoint that is not configured: it waits until that is")
	return cmd
}

func replay(ctx context.Context, e env, f replayFlags) error {
	if f.endpoint == "" {
		return refused("replay: it is not clear who is to be told again (name it with --endpoint)")
	}
	now := time.Now()
	since, err := timeFlag("--since", f.since, now)
	if err != nil {
		return err
	}
	until, err := timeFlag("--until", f.until, now)
	if err != nil {
		return err
	}
	c, err := newClient(e, f.clientFlags)
	if err != nil {
		return err
	}
	body := map[string]any{"endpoint": f.endpoint, "latest": f.latest, "dead": f.dead, "anyway": f.anyway, "alarm": f.alarm}
	for name, at := range map[string]time.Time{"since": since, "until": until} {
		if !at.IsZero() {
			body[name] = at
		}
	}
	ask := func(dry bool) (n int, answer []byte, err error) {
		body["dry_run"] = dry
		if answer, err = c.do(ctx, http.MethodPost, []string{"replay"}, nil, body); err != nil {
			return 0, nil, fmt.Errorf("replay: %w", err)
		}
		var r api.Replayed
		if err := json.Unmarshal(answer, &r); err != nil {
			return 0, nil, fmt.Errorf("replay: reading the answer: %w (is it a bridge of this version?)", err)
		}
		return r.Deliveries, answer, nil
	}
	n, answer, err := ask(true)
	if err != nil {
		return err
	}
	if n > 0 {
		fmt.Fprintf(e.Stderr, "%s to be sent to %s again\n", count(n, "delivery"), f.endpoint)
		if !f.yes {
			if err := confirm(e); err != nil {
				return err
			}
		}
		if _, answer, err = ask(false); err != nil {
			return err
		}
	}
	return show(e, f.asJSON, answer, func(w io.Writer, r api.Replayed) error {
		_, err := fmt.Fprintf(w, "%s owed again\n", count(r.Deliveries, "delivery"))
		return err
	})
}

// confirm asks whoever sits at the terminal, and fails unless the answer is yes.
func confirm(e env) error {
	if in, ok := e.Stdin.(*os.File); !ok || !isatty.IsTerminal(in.Fd()) {
		return refused("there is no terminal to ask at, and nothing was done (--yes does not ask)")
	}
	fmt.Fprint(e.Stderr, "go on? [y/N] ")
	line, _ := bufio.NewReader(e.Stdin).ReadString('\n')
	if line = strings.ToLower(strings.TrimSpace(line)); line != "y" && line != "yes" {
		return &exitError{code: exitFailed}
	}
	return nil
}
