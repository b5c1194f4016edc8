package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/api"
)

func newRejectedCommand(e env) *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use:   "rejected [REASON]",
		Short: "List the input that was not used: from whom, how often, and why",
		Long: `Rejected asks the running bridge what input it could not use since it was started:
messages that no source reads, payloads that are no document, readings that came too
late. There is one line for each source and reason, the newest first. With REASON it
says all that is known of the newest of each: who sent it, when, and how its payload
begins; of unasked, which devices those are. tocsin preview shows what becomes of a
message.`,
		Example: `  tocsin rejected
  tocsin rejected unmatched`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError(cmd, fmt.Sprintf("takes one reason at most, got %d arguments", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return get(cmd.Context(), e, f, []string{"rejects"}, writeRejected)
			}
			c, err := newClient(e, f)
			if err != nil {
				return err
			}
			var list rejected
			if err := c.ask(cmd.Context(), []string{"rejects"}, nil, &list); err != nil {
				return fmt.Errorf("rejected: %w", err)
			}
			if list, err = list.of(args[0]); err != nil {
				return err
			}
			if f.asJSON {
				return writeIndented(e.Stdout, list)
			}
			return list.write(e.Stdout)
		},
	}
	f.add(cmd)
	return cmd
}

// rejected is the answer that lists what was not used.
type rejected struct {
	Since   time.Time         `json:"since"`
	Rejects []api.RejectView  `json:"rejects"`
	Unasked []api.UnaskedView `json:"unasked"`
}

// unaskedReason is why a device is in neither list of devices.
const unaskedReason = "unasked"

// of is the part of the list that is about one reason.
func (list rejected) of(reason string) (rejected, error) {
	var reasons []string
	for _, r := range list.Rejects {
		if !slices.Contains(reasons, r.Reason) {
			reasons = append(reasons, r.Reason)
		}
	}
	if len(reasons) == 0 {
		return list, fmt.Errorf("rejected: all input was used since %s", list.Since.Local().Format(time.DateTime))
	}
	if !slices.Contains(reasons, reason) {
		return list, fmt.Errorf("rejected: nothing was rejected as %q since %s (there is %s)", reason, list.Since.Local().Format(time.DateTime), strings.Join(reasons, ", "))
	}
	list.Rejects = slices.DeleteFunc(list.Rejects, func(r api.RejectView) bool { return r.Reason != reason })
	if reason != unaskedReason {
		list.Unasked = []api.UnaskedView{}
	}
	return list, nil
}

func writeRejected(w io.Writer, list rejected) error {
	if len(list.Rejects) == 0 {
		_, err := fmt.Fprintf(w, "all input was used since %s\n", list.Since.Local().Format(time.DateTime))
		return err
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "LAST\tSOURCE\tREASON\tCOUNT\tLAST HOUR\tTOPIC\tDETAIL")
	for i := range list.Rejects {
		r := &list.Rejects[i]
		detail := strings.TrimSpace(r.Device + " " + r.Metric)
		if detail != "" && r.Detail != "" {
			detail += ": "
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", agoText(r.Last), cleanLine(cmp.Or(r.Source, "-")), cleanLine(r.Reason), r.Count, r.LastHour,
			cleanLine(r.Topic), cleanLine(cmp.Or(detail+r.Detail, "-")))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "tocsin rejected REASON says more of one, and how its payload begins")
	return err
}

// write says all that is known, a part for each source.
func (list rejected) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, cleanLine(text))
		}
	}
	for i := range list.Rejects {
		r := &list.Rejects[i]
		if i > 0 {
			fmt.Fprintln(t)
		}
		line("reason", r.Reason)
		line("source", cmp.Or(r.Source, "none reads the topic"))
		line("count", fmt.Sprintf("%d since %s, %d in the last hour", r.Count, r.First.Local().Format(time.DateTime), r.LastHour))
		line("newest", r.Last.Local().Format(time.DateTime)+", "+agoText(r.Last))
		line("detail", r.Detail)
		line("device", r.Device)
		line("metric", r.Metric)
		line("topic", r.Topic)
		line("client", r.Client)
		switch size := count(r.Bytes, "byte"); {
		case r.PayloadHex != "":
			line("payload", size+", in hex: "+r.PayloadHex)
		case r.Payload != "":
			line("payload", size+": "+r.Payload)
		default:
			line("payload", "empty")
		}
	}
	for i, u := range list.Unasked {
		if i == 0 {
			fmt.Fprintln(t)
		}
		line(u.Device, u.Text)
	}
	return t.Flush()
}
