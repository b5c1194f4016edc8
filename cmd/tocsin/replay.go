package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"tocsin/bridge/api"
)

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
		why := ""
		if r.Deliveries == 0 {
			why = ": none of those has ended (what still waits is sent by itself; tocsin deliveries --endpoint " + cleanLine(f.endpoint) + " lists it)"
		}
		_, err := fmt.Fprintf(w, "%s owed again%s\n", count(r.Deliveries, "delivery"), why)
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
