package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/rules"
)

type devicesFlags struct {
	clientFlags
	contains string
	presence string
	alarming bool
	limit    int
}

func newDevicesCommand(e env) *cobra.Command {
	var f devicesFlags
	cmd := &cobra.Command{
		Use:   "devices [ID]",
		Short: "List devices: presence, last heard of, newest readings, alarms",
		Long: `Devices asks the running bridge which devices it has heard of, or was told to
expect. With ID it says all that is known of one; tocsin explain says why its
alarms stand as they do.`,
		Example: `  tocsin devices --alarming
  tocsin devices freezer-07`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError(cmd, fmt.Sprintf("takes the name of one device at most, got %d arguments", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return get(cmd.Context(), e, f.clientFlags, []string{"devices", args[0]}, writeDevice)
			}
			return listDevices(cmd.Context(), e, f)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.contains, "query", "q", "", "only devices whose name has this in it")
	flags.StringVar(&f.presence, "presence", "", "only devices that are online, offline, sleeping, lost or unknown")
	flags.BoolVar(&f.alarming, "alarming", false, "only devices with an alarm")
	flags.IntVar(&f.limit, "limit", 1000, "at most so many; 0 lists all")
	return cmd
}

func listDevices(ctx context.Context, e env, f devicesFlags) error {
	query := filter(map[string]string{"q": f.contains, "presence": f.presence})
	if f.alarming {
		query.Set("alarming", "true")
	}
	if err := list(ctx, e, f.clientFlags, listing{name: "devices", query: query, limit: f.limit, nothing: "there is no such device"}, writeDevices); err != nil || f.asJSON {
		return err
	}
	c, err := newClient(e, f.clientFlags)
	var others rejected
	if err == nil {
		err = c.ask(ctx, []string{"rejects"}, nil, &others)
	}
	if n := len(others.Unasked); err == nil && n > 0 {
		_, err = fmt.Fprintf(e.Stderr, "not among them: %s heard, of which no rule asks for anything (tocsin rejected unasked lists them)\n", count(n, "device"))
	}
	return err
}

func writeDevices(w io.Writer, devices []rules.DeviceReport) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tPRESENCE\tHEARD\tALARMS\tREADINGS")
	for i := range devices {
		d := &devices[i]
		alarms := "-"
		if d.Alarms > 0 {
			alarms = fmt.Sprintf("%d %s", d.Alarms, d.Severity)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", cleanLine(d.ID), cleanLine(d.Presence), agoText(d.Heard), alarms, cleanLine(readings(d.Values)))
	}
	return t.Flush()
}

// agoText says how long ago, as people do.
func agoText(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return time.Since(at).Round(time.Second).String() + " ago"
}

// readings are the first few values in a line.
func readings(values []rules.EventReading) string {
	const most = 4
	var parts []string
	for i, v := range values {
		if i == most {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, v.Metric+"="+valueText(v))
	}
	return strings.Join(parts, " ")
}

func valueText(v rules.EventReading) string {
	text := fmt.Sprint(v.Value)
	if f, ok := v.Value.(float64); ok {
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if v.Unit != "" {
		text += " " + v.Unit
	}
	return text
}

// deviceDetail is the answer that tells of one device.
type deviceDetail struct {
	rules.DeviceReport
	Rules []rules.Explanation `json:"rules"`
}

func writeDevice(w io.Writer, d deviceDetail) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, cleanLine(value))
		}
	}
	line("device", d.ID)
	line("type", d.Type)
	var labels []string
	for name, value := range d.Labels {
		labels = append(labels, name+"="+value)
	}
	slices.Sort(labels)
	line("labels", strings.Join(labels, " "))
	line("via", d.Via)
	presence := d.Presence
	if d.Why != "" {
		presence += ": " + d.Why
	}
	line("presence", presence)
	line("heard", agoText(d.Heard))
	line("reports every", d.Every)
	line("clock behind", d.Skew)
	for _, v := range d.Values {
		line(v.Metric, valueText(v)+"  "+v.At.Local().Format(time.DateTime))
	}
	for i := range d.Rules {
		line("rule "+d.Rules[i].Rule.ID, d.Rules[i].State)
	}
	return t.Flush()
}
