package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/api"
)

// askEndpoints sends a request about one endpoint, or about all.
func askEndpoints(ctx context.Context, e env, f *clientFlags, method string, path []string, query url.Values, body any) ([]byte, error) {
	c, err := newClient(e, *f)
	if err != nil {
		return nil, err
	}
	answer, err := c.do(ctx, method, append([]string{"endpoints"}, path...), query, body)
	if err != nil {
		return nil, fmt.Errorf("endpoints: %w", err)
	}
	return answer, nil
}

type addFlags struct {
	name, description, preset, region, payload, link, rate, secret, out string

	types, severity, sign []string
	labels, headers, with map[string]string
	verify                bool
}

func newEndpointAdd(e env, f *clientFlags) *cobra.Command {
	var a addFlags
	cmd := &cobra.Command{
		Use: "add [URL]", Short: "Register an endpoint with the running bridge",
		Long: `Add registers an endpoint while the bridge runs, beside those in its configuration. A
URL is enough: it is told of every alarm then. The secret that messages are signed
with is made by the bridge and shown this once, or written to a new file with --out.

The URL has to be https and lead to a public address, unless http.registration in the
configuration says more. With --verify the receiver has to answer a challenge first;
tocsin listen answers it.`,
		Example: `  tocsin endpoints add https://alerts.example.com/hook --types 'alarm.*' --severity critical
  tocsin endpoints add https://hooks.slack.com/services/T/B/X --preset slack --label site=lyon`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 0 && a.preset == "" {
				return usageError(cmd, fmt.Sprintf("takes one URL, got %d (only a preset that has a URL of its own needs none)", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return registerEndpoint(cmd.Context(), e, f, &a, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&a.name, "name", "", "what to call it (default: made of the host)")
	flags.StringSliceVar(&a.types, "types", nil, "event types it is told of, joined by commas; * stands for any characters")
	flags.StringSliceVar(&a.severity, "severity", nil, "severities of the alarms: info, warning, major, critical")
	flags.StringToStringVar(&a.labels, "label", nil, "NAME=VALUE of device or rule; may be repeated")
	flags.StringVar(&a.description, "description", "", "for people")
	flags.StringVar(&a.preset, "preset", "", "how it wants to be told (default: standard)")
	flags.StringVar(&a.region, "region", "", "of a preset that has several")
	flags.StringToStringVar(&a.with, "with", nil, "NAME=VALUE, a parameter of the preset, or NAME=@FILE that holds it; may be repeated")
	flags.StringVar(&a.payload, "payload", "", "whole or thin")
	flags.StringVar(&a.link, "link", "", "where people look alarms up")
	flags.StringSliceVar(&a.sign, "sign", nil, "how messages are signed: standard, github, stripe, rfc9421")
	flags.StringToStringVar(&a.headers, "header", nil, "X-NAME=VALUE, sent with every request; may be repeated")
	flags.StringVar(&a.rate, "rate", "", "attempts at most, as 30/m")
	flags.StringVar(&a.secret, "secret", "", "@FILE that holds the secret to sign with (default: the bridge makes one)")
	flags.BoolVar(&a.verify, "verify", false, "have the receiver prove first that it wants to be one")
	flags.StringVar(&a.out, "out", "", "write the secret to this new file, mode 0600")
	return cmd
}

func registerEndpoint(ctx context.Context, e env, f *clientFlags, a *addFlags, args []string) error {
	if err := freeOut(a.out); err != nil {
		return err
	}
	body, err := a.body(args)
	if err != nil {
		return err
	}
	answer, err := askEndpoints(ctx, e, f, http.MethodPost, nil, nil, body)
	if err != nil {
		return err
	}
	return showMade(e, f, answer, a.out)
}

// body is the registration that the flags ask for.
func (a *addFlags) body(args []string) (map[string]any, error) {
	body := map[string]any{}
	if len(args) > 0 {
		body["url"] = args[0]
	}
	for key, text := range map[string]string{
		"name": a.name, "description": a.description, "preset": a.preset, "region": a.region, "payload": a.payload, "link": a.link, "rate": a.rate,
	} {
		if text != "" {
			body[key] = text
		}
	}
	for key, list := range map[string][]string{"types": a.types, "severity": a.severity, "sign": a.sign} {
		if len(list) > 0 {
			body[key] = list
		}
	}
	for key, table := range map[string]map[string]string{"labels": a.labels, "headers": a.headers} {
		if len(table) > 0 {
			body[key] = table
		}
	}
	if a.verify {
		body["verify"] = true
	}
	if a.secret != "" {
		path, ok := strings.CutPrefix(a.secret, "@")
		if !ok {
			return nil, refused("--secret: takes @FILE (others on this machine see what is written on a command line)")
		}
		secret, err := textOf(path)
		if err != nil {
			return nil, refused("--secret: %v", err)
		}
		body["secret"] = secret
	}
	with := map[string]any{}
	for name, text := range a.with {
		if path, ok := strings.CutPrefix(text, "@"); ok {
			read, err := textOf(path)
			if err != nil {
				return nil, refused("--with %s: %v", name, err)
			}
			text = read
		}
		with[name] = text
	}
	if len(with) > 0 {
		body["with"] = with
	}
	return body, nil
}

// textOf is what a file says, without white space around it.
func textOf(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// showMade shows an endpoint that has a new secret, this once, or writes the secret
// to a file.
func showMade(e env, f *clientFlags, answer []byte, out string) error {
	var made api.EndpointMade
	if err := json.Unmarshal(answer, &made); err != nil || made.Name == "" {
		return errors.New("endpoints: the answer names no endpoint (is it a bridge of this version?)")
	}
	if out != "" && made.Secret != "" {
		if err := writeNewSecret(out, made.Secret+"\n"); err != nil {
			return fmt.Errorf("%w; endpoint %s is registered, and its secret is lost (tocsin endpoints rotate %[2]s makes another)", err, made.Name)
		}
		_, err := fmt.Fprintf(e.Stdout, "%s is registered; wrote its secret to %s\n", cleanLine(made.Name), out)
		return err
	}
	return show(e, f.asJSON, answer, func(w io.Writer, made api.EndpointMade) error {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintf(t, "endpoint\t%s\nurl\t%s\n", cleanLine(made.Name), cleanLine(made.URL))
		if made.Secret != "" {
			fmt.Fprintf(t, "secret\t%s\n", cleanLine(made.Secret))
		}
		if err := t.Flush(); err != nil || made.Secret == "" {
			return err
		}
		_, err := fmt.Fprintln(e.Stderr, "the secret is shown this once: give it to the receiver, which verifies messages by it")
		return err
	})
}

func newEndpointRotate(e env, f *clientFlags) *cobra.Command {
	var keep, out string
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Give a registered endpoint another secret, and show it this once", Args: oneEndpoint,
		Long: `Rotate makes another secret for an endpoint that was registered. Messages are signed
with the old one as well until --keep is over, so that the receiver can change in
between without missing one.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := freeOut(out); err != nil {
				return err
			}
			answer, err := actOn(cmd.Context(), e, f, []string{args[0], "rotate"}, map[string]string{"keep": keep})
			if err != nil {
				return err
			}
			return showMade(e, f, answer, out)
		},
	}
	cmd.Flags().StringVar(&keep, "keep", "24h", "how long the old secret signs as well, 7d at most")
	cmd.Flags().StringVar(&out, "out", "", "write the secret to this new file, mode 0600")
	return cmd
}

func newEndpointRemove(e env, f *clientFlags) *cobra.Command {
	var discard, yes bool
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Remove an endpoint that was registered", Args: oneEndpoint,
		Long: `Remove takes away an endpoint that was registered while the bridge ran; one in the
configuration is removed there. An endpoint that is owed something is not removed
unless --discard says that it is not to be sent; that is counted first, and asked for;
--yes does not ask.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if discard && !yes {
				answer, err := askEndpoints(cmd.Context(), e, f, http.MethodGet, args, nil, nil)
				if err != nil {
					return err
				}
				var v api.EndpointView
				if err := json.Unmarshal(answer, &v); err != nil {
					return fmt.Errorf("endpoints: reading the answer: %w (is it a bridge of this version?)", err)
				}
				if v.Owed > 0 {
					fmt.Fprintf(e.Stderr, "%s not to be sent to %s\n", count(v.Owed, "delivery"), args[0])
					if err := confirm(e); err != nil {
						return err
					}
				}
			}
			answer, err := askEndpoints(cmd.Context(), e, f, http.MethodDelete, args, url.Values{"discard": {strconv.FormatBool(discard)}}, nil)
			if err != nil {
				return err
			}
			return show(e, f.asJSON, answer, func(w io.Writer, r api.Removed) error {
				_, err := fmt.Fprintf(w, "%s is removed, %s discarded\n", args[0], count(r.Discarded, "delivery"))
				if err == nil && r.Owed > 0 {
					_, err = fmt.Fprintf(w, "%s still owed to it (tocsin endpoints discard %s ends them)\n", count(r.Owed, "delivery"), args[0])
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&discard, "discard", false, "do not send it what it is owed")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func newEndpointShow(e env, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show what an endpoint is, who owns it, and how it fares", Args: oneEndpoint,
		RunE: func(cmd *cobra.Command, args []string) error {
			return get(cmd.Context(), e, *f, []string{"endpoints", args[0]}, writeEndpoint)
		},
	}
}

func writeEndpoint(w io.Writer, v api.EndpointView) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, cleanLine(value))
		}
	}
	line("endpoint", v.Name)
	line("description", v.Description)
	line("state", strings.TrimSpace(v.Condition+" "+endpointNote(&v.EndpointStatus)))
	line("url", v.URL)
	line("preset", v.Preset)
	line("types", cmp.Or(strings.Join(v.Types, " "), "alarm.*"))
	line("severity", strings.Join(v.Severity, " "))
	for _, name := range slices.Sorted(maps.Keys(v.Labels)) {
		line("label", name+" = "+v.Labels[name])
	}
	line("signed", strings.Join(v.Sign, " "))
	for _, s := range v.Secrets {
		until := "signs"
		if !s.NotAfter.IsZero() {
			until = "signs until " + s.NotAfter.Local().Format(time.DateTime)
		}
		line("secret", until)
	}
	line("parameters", strings.Join(v.Parameters, " "))
	line("headers", strings.Join(v.Headers, " "))
	line("owed", fmt.Sprintf("%d, %d given up", v.Owed, v.Dead))
	if !v.Last.At.IsZero() {
		line("last attempt", agoText(v.Last.At))
	}
	line("written", v.Place)
	if r := v.Registered; r != nil {
		line("registered", r.At.Local().Format(time.DateTime)+" by "+r.By)
		if !r.Changed.IsZero() {
			line("changed", r.Changed.Local().Format(time.DateTime)+" by "+r.Changer)
		}
		if !r.Verified.IsZero() {
			line("verified", r.Verified.Local().Format(time.DateTime))
		}
	}
	return t.Flush()
}
