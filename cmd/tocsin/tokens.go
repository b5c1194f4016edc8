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
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bridge/api"
)

func newTokensCommand(e env) *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use:   "tokens",
		Short: "List, make and revoke the tokens that may ask the bridge",
		Long: `Tokens lists who may ask the running bridge over HTTP, beside the bearer of
http.token, who may do everything. Each token has a scope:

  read   looks at alarms, devices, rules, endpoints, deliveries and metrics
  ops    and acts on alarms, endpoints and deliveries
  admin  and reloads, plans, profiles, makes and revokes tokens, reads the audit log

The bridge keeps a digest of each, when it was made and last used, and no token.`,
		Example: `  tocsin tokens create grafana --scope read
  tocsin tokens create ada --scope ops --for 2160h --out ada.token
  tocsin tokens revoke ada`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return get(cmd.Context(), e, f, []string{"tokens"}, writeTokens)
		},
	}
	f.add(cmd)
	cmd.AddCommand(newTokensCreate(e, &f), &cobra.Command{
		Use: "revoke NAME", Short: "Revoke a token, by its name or ID, from this moment on", Args: oneToken,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := askTokens(cmd.Context(), e, f, http.MethodDelete, args[0]); err != nil {
				return err
			}
			return did(e, f.asJSON, deed{"tokens revoke", args[0]}, "is revoked")
		},
	})
	return cmd
}

func oneToken(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError(cmd, fmt.Sprintf("takes the name of one token, got %d", len(args)))
	}
	return nil
}

// askTokens sends a request about tokens: below their path, or with a body.
func askTokens(ctx context.Context, e env, f clientFlags, method string, about any) ([]byte, error) {
	c, err := newClient(e, f)
	if err != nil {
		return nil, err
	}
	path, body := []string{"tokens"}, about
	if name, ok := about.(string); ok {
		path, body = append(path, name), nil
	}
	answer, err := c.do(ctx, method, path, nil, body)
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	return answer, nil
}

func newTokensCreate(e env, f *clientFlags) *cobra.Command {
	var scope, out string
	var length time.Duration
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token, and show it this once", Args: oneToken,
		Long: `Create makes a token for somebody or something, whose name stands in the audit log.
It goes to standard output, or with --out to a new file that only you can read.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if scope == "" {
				return usageError(cmd, "--scope is read, ops or admin")
			}
			if err := freeOut(out); err != nil {
				return err
			}
			wanted := map[string]any{"name": args[0], "scope": scope}
			if cmd.Flags().Changed("for") {
				if length <= 0 {
					return usageError(cmd, "--for is how long it is good, as 2160h")
				}
				wanted["ends"] = time.Now().Add(length)
			}
			answer, err := askTokens(cmd.Context(), e, *f, http.MethodPost, wanted)
			if err != nil {
				return err
			}
			var made api.TokenMade
			if err := json.Unmarshal(answer, &made); err != nil || made.Token == "" {
				return errors.New("tokens: the answer holds no token (is it a bridge of this version?)")
			}
			if out == "" {
				return show(e, f.asJSON, answer, func(w io.Writer, made api.TokenMade) error {
					_, err := fmt.Fprintln(w, made.Token)
					return err
				})
			}
			if err := writeNewSecret(out, made.Token+"\n"); err != nil {
				_, revoked := askTokens(context.WithoutCancel(cmd.Context()), e, *f, http.MethodDelete, made.ID)
				return errors.Join(err, revoked)
			}
			if f.asJSON { // without the token: that is in the file
				return writeIndented(e.Stdout, map[string]any{"id": made.ID, "name": made.Name, "scope": made.Scope, "file": out})
			}
			_, err = fmt.Fprintf(e.Stdout, "wrote the token of %s to %s\n", args[0], out)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&scope, "scope", "", "read, ops or admin")
	flags.DurationVar(&length, "for", 0, "how long it is good, as 2160h (default: until it is revoked)")
	flags.StringVar(&out, "out", "", "write the token to this new file, mode 0600")
	return cmd
}

// tokenList is the answer that lists tokens.
type tokenList struct{ Tokens []api.TokenView }

func writeTokens(w io.Writer, list tokenList) error {
	if len(list.Tokens) == 0 {
		return noneError("there is no token beside that of http.token")
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSCOPE\tSTATE\tCREATED\tLAST USED\tENDS\tID")
	for i := range list.Tokens {
		v := &list.Tokens[i]
		ends := "-"
		if !v.Ends.IsZero() {
			ends = v.Ends.Local().Format(time.DateTime)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cleanLine(v.Name), cleanLine(string(v.Scope)), cleanLine(v.State),
			v.Created.Local().Format(time.DateTime), agoText(v.Used), ends, cleanLine(v.ID))
	}
	return t.Flush()
}

func newAuditCommand(e env) *cobra.Command {
	var f clientFlags
	var who, since string
	var limit int
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List who changed what over HTTP, or tried to",
		Long: `Audit asks the running bridge for its log of requests that changed something, or would
have: who sent them (the name of a token), from where, when, what for, and how they
were answered. The newest come first. RELOAD stands for a configuration that was read
again without a request: on SIGHUP, or because a file of it was saved (file).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(cmd.Context(), e, f, listing{name: "audit", since: since, limit: limit, nothing: "there is no such request",
				query: filter(map[string]string{"who": who})}, writeAudit)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&who, "who", "", "only those sent with the token of this name")
	flags.StringVar(&since, "since", "", "only those of the last so long, as 2h, or since a time, as 2026-01-02T15:04:05Z")
	flags.IntVar(&limit, "limit", 50, "at most so many; 0 lists all")
	return cmd
}

func writeAudit(w io.Writer, requests []api.AuditView) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "AT\tWHO\tFROM\tREQUEST\tANSWER\tNOTE")
	for i := range requests {
		v := &requests[i]
		note := v.Error
		for _, name := range slices.Sorted(maps.Keys(v.Said)) {
			if v.Said[name] != "" {
				note += " " + name + "=" + v.Said[name]
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d %s\t%s\n", v.At.Local().Format(time.DateTime), cleanLine(v.Who), cleanLine(v.From),
			cleanLine(v.Method+" "+v.Path), v.Status, http.StatusText(v.Status), cmp.Or(cleanLine(note), "-"))
	}
	return t.Flush()
}
