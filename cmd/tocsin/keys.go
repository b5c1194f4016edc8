package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/bridge/webhook"
)

const secretUsage = "secret as whsec_…, public key as whpk_…, or @FILE that holds it (default: $TOCSIN_SECRET)" // #nosec G101 -- a help text

// signFlags are the flags of whoever verifies.
func signFlags(cmd *cobra.Command, sign *[]string, url *string) {
	flags := cmd.Flags()
	names := make([]string, 0, len(webhook.Schemes()))
	for _, s := range webhook.Schemes() {
		names = append(names, string(s))
	}
	flags.StringSliceVar(sign, "sign", nil, "what has to verify, all of it: "+strings.Join(names, ", ")+" (default: any)")
	flags.StringVar(url, "url", "", "the URL that senders were given, which rfc9421 signs (default: as the request says)")
}

// wanted is what requests are verified with, and how they have to be signed.
type wanted struct {
	webhook.Keys
	schemes []webhook.Scheme
}

// readKeys takes secrets and public keys from flags or, when there is none, from
// the environment. A file or a variable may hold several, as while rotating.
func readKeys(flags, sign []string, lookupEnv func(string) (string, bool)) (wanted, error) {
	var w wanted
	for _, name := range sign {
		s := webhook.Scheme(strings.TrimSpace(name))
		if !slices.Contains(webhook.Schemes(), s) {
			return w, refused("--sign: %q is no way to sign (write some of %s)", name, fmt.Sprint(webhook.Schemes()))
		}
		w.schemes = append(w.schemes, s)
	}
	if len(flags) == 0 {
		text, ok := lookupEnv("TOCSIN_SECRET")
		if !ok {
			return w, nil
		}
		return w, w.parse("TOCSIN_SECRET", text)
	}
	for _, flag := range flags {
		place, text := "--secret", flag
		if path, ok := strings.CutPrefix(flag, "@"); ok {
			data, err := os.ReadFile(path)
			if err != nil {
				return w, refused("--secret: %w", err)
			}
			place, text = path, string(data)
		}
		if err := w.parse(place, text); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *wanted) parse(place, text string) error {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return refused("%s: is empty (make a secret with: tocsin keygen)", place)
	}
	if !strings.HasPrefix(fields[0], "wh") && w.textOnly() {
		// Made elsewhere, it may be several words.
		s, err := webhook.TextSecret(strings.TrimSpace(text))
		if err != nil {
			return refused("%s: %w", place, err)
		}
		w.Secrets = append(w.Secrets, s)
		return nil
	}
	for _, field := range fields {
		if err := w.add(field); err != nil {
			return refused("%s: %w", place, err)
		}
	}
	return nil
}

// textOnly reports whether the schemes that were asked for sign with a text.
func (w *wanted) textOnly() bool {
	return len(w.schemes) > 0 && !slices.ContainsFunc(w.schemes, func(s webhook.Scheme) bool {
		return s != webhook.GitHub && s != webhook.Stripe
	})
}

func (w *wanted) add(text string) error {
	switch {
	case strings.HasPrefix(text, "whpk_"):
		k, err := webhook.ParsePublicKey(text)
		w.Public = append(w.Public, k)
		return err
	case strings.HasPrefix(text, "whsk_"): // whoever has it, has its other half
		k, err := webhook.ParsePrivateKey(text)
		w.Public = append(w.Public, k.Public())
		return err
	}
	s, err := webhook.ParseSecret(text)
	w.Secrets = append(w.Secrets, s)
	return err
}
