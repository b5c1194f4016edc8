package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/api"
)

func newRejectedCommand(e env) *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use:   "rejected",
		Short: "List the input that was not used: from whom, how often, and why",
		Long: `Rejected asks the running bridge what input it could not use since it was started:
messages that no source reads, payloads that are no document, readings that came too
late. There is one line for each source and reason, the newest first; with --json the
beginning of the newest payload stands beside it. tocsin preview shows what becomes of
a message.`,
		Example: "  tocsin rejected --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), e, f, []string{"rejects"}, writeRejected)
		},
	}
	f.add(cmd)
	return cmd
}

// rejected is the answer that lists what was not used.
type rejected struct {
	Since   time.Time        `json:"since"`
	Rejects []api.RejectView `json:"rejects"`
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
	return t.Flush()
}
