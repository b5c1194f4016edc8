package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge"
)

const (
	tailAgain  = 2 * time.Second
	tailSilent = 45 * time.Second // three signs of life
	tailLine   = 1 << 20
)

type tailFlags struct {
	clientFlags
	device, rule, endpoint string
	kinds                  []string
}

func newTailCommand(e env) *cobra.Command {
	var f tailFlags
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show what happens, as it happens: readings, events and deliveries",
		Long: `Tail shows what happens at the running bridge, a line each, until it is stopped. When
the connection is lost it comes back and goes on where it ended; what the bridge does
not know any more by then is told as a gap. Readings that come faster than they are
shown are left out, and counted.`,
		Example: `  tocsin tail --device freezer-07
  tocsin tail --kinds event --rule freezer-warm --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return tail(cmd.Context(), e, f) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.device, "device", "", "only of this device")
	flags.StringVar(&f.rule, "rule", "", "only of this rule")
	flags.StringVar(&f.endpoint, "endpoint", "", "only what this endpoint is told, or is told of it")
	flags.StringSliceVar(&f.kinds, "kinds", []string{bridge.KindReading, bridge.KindEvent, bridge.KindDelivery}, "what to show")
	return cmd
}

// tail shows the stream until ctx ends. That the first connection fails is an
// error, and that a later one is refused.
func tail(ctx context.Context, e env, f tailFlags) error {
	c, err := newClient(e, f.clientFlags)
	if err != nil {
		return err
	}
	c.http.Timeout = 0 // a stream has no end
	query := filter(map[string]string{
		"device": f.device, "rule": f.rule, "endpoint": f.endpoint, "kinds": strings.Join(f.kinds, ","),
	})
	address := c.base.JoinPath("api", "v1", "stream")
	address.RawQuery = query.Encode()
	t := &tailing{c: c, address: address.String(), out: e.Stdout, asJSON: f.asJSON, colours: paletteFor(e.Stdout, e.LookupEnv)}
	for {
		err := t.follow(ctx)
		var refused *answered
		var unwritten *unwrittenError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &unwritten):
			return unwritten.error
		case errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests, !t.began:
			return fmt.Errorf("tail: %w", err)
		case !t.told:
			fmt.Fprintf(e.Stderr, "tail: %s; coming back\n", cleanLine(err.Error()))
			t.told = true
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tailAgain):
		}
	}
}

// A tailing is one look at the stream over several connections.
type tailing struct {
	c       *apiClient
	address string
	out     io.Writer
	asJSON  bool
	colours palette

	last  string // id of the last message that has one
	began bool   // there was a connection
	told  bool   // that it was lost
}

// An unwrittenError is that nobody reads what tail shows.
type unwrittenError struct{ error }

// follow shows one connection's messages until it ends, and says why.
func (t *tailing) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(tailSilent, func() { cancel(errors.New("the bridge gives no sign of life")) })
	defer silence.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.address, nil)
	if err != nil {
		return err
	}
	if t.c.token != "" {
		req.Header.Set("Authorization", "Bearer "+t.c.token)
	}
	if t.last != "" {
		req.Header.Set("Last-Event-ID", t.last)
	}
	resp, err := t.c.http.Do(req)
	if err != nil {
		return t.c.unreached(cmp.Or(context.Cause(ctx), errors.Unwrap(err), err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return err
		}
		return t.c.problem(resp, answer)
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return fmt.Errorf("%s: answered no stream (is it a bridge of this version?)", t.c.base.Redacted())
	}
	t.began, t.told = true, false
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, tailLine)
	var m tailed
	for lines.Scan() {
		silence.Reset(tailSilent)
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			m.Kind = value
		case "id":
			m.ID = value
		case "data":
			m.Data = json.RawMessage(value)
		case "":
			if m.Kind == "end" {
				return errors.New("the bridge ended it: " + m.reason())
			}
			if err := t.show(&m); err != nil {
				return &unwrittenError{err}
			}
			t.last = cmp.Or(m.ID, t.last)
			m = tailed{}
		}
	}
	return cmp.Or(context.Cause(ctx), lines.Err(), errors.New("the connection ended"))
}

// A tailed is one message.
type tailed struct {
	Kind string          `json:"kind"`
	ID   string          `json:"id,omitempty"`
	Data json.RawMessage `json:"data"`
}

func (m *tailed) reason() string {
	var v struct{ Reason string }
	_ = json.Unmarshal(m.Data, &v) // without a reason there is none to show
	return v.Reason
}

// show prints a message, as a line.
func (t *tailing) show(m *tailed) error {
	if m.Kind == "" {
		return nil // a comment
	}
	if t.asJSON {
		line, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("reading the answer: %w (is it a bridge of this version?)", err)
		}
		_, err = t.out.Write(append(line, '\n'))
		return err
	}
	line, err := t.line(m)
	if err != nil {
		return fmt.Errorf("reading the answer: %w (is it a bridge of this version?)", err)
	}
	_, err = fmt.Fprintln(t.out, line)
	return err
}

func (t *tailing) line(m *tailed) (string, error) {
	var v struct {
		At, Due                                         time.Time
		Type, Title, Because, Outcome, Endpoint, Metric string
		Unit, Error, Took, Invalid                      string
		Alarm, Device, Value                            json.RawMessage
		Attempt, Status, Skipped                        int
	}
	if m.Kind == bridge.KindGap {
		return t.colours.bad("gap       " + cleanLine(m.reason())), nil
	}
	// Of an event's endpoint there is more to say than its name.
	if err := json.Unmarshal(m.Data, &v); err != nil && m.Kind != bridge.KindEvent {
		return "", err
	}
	at, text := v.At.Local().Format("15:04:05.000"), ""
	switch m.Kind {
	case bridge.KindReading:
		value := bytes.Trim(v.Value, `"`)
		text = fmt.Sprintf("%s %s=%s%s", bytes.Trim(v.Device, `"`), v.Metric, value, v.Unit)
		if v.Invalid != "" {
			text += " invalid: " + v.Invalid
		}
		if v.Skipped > 0 {
			text += fmt.Sprintf(" (%d before it are not shown)", v.Skipped)
		}
		return t.colours.faint(at + " reading  " + cleanLine(text)), nil
	case bridge.KindDelivery:
		text = fmt.Sprintf("%s %s to %s: %s, attempt %d", v.Type, bytes.Trim(v.Alarm, `"`), v.Endpoint, v.Outcome, v.Attempt)
		if v.Status != 0 {
			text += fmt.Sprintf(", %d", v.Status)
		}
		text += " in " + v.Took
		if v.Error != "" {
			text += ", " + v.Error
		}
		text = cleanLine(text)
		if v.Outcome != "delivered" {
			text = t.colours.bad(text)
		}
		return at + " delivery " + text, nil
	}
	return at + " event    " + cleanLine(v.Type+" "+cmp.Or(v.Title, v.Because)), nil
}
