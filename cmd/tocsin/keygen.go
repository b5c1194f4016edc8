package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"tocsin/bridge/webhook"
)

type keygenFlags struct {
	kind string
	out  string
}

func newKeygenCommand(e env) *cobra.Command {
	var f keygenFlags
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a secret or a pair of keys for signing webhooks",
		Long: `Keygen makes a new random secret (whsec_…) that an endpoint and its receiver
share; or with --type ed25519 a pair of keys, of which the private one (whsk_…) is
the endpoint's alone, and the public one (whpk_…) is for whoever verifies.
They go to standard output, or with --out the secret or private key to a new file
that only you can read; a file that exists is never overwritten.`,
		Example: `  tocsin keygen --out secrets/ops
  tocsin keygen --type ed25519 --out secrets/ops.key`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return keygen(cmd, e, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "type", "hmac", "hmac, a shared secret, or ed25519, a pair of keys")
	flags.StringVar(&f.out, "out", "", "write the secret or private key to this new file, mode 0600")
	return cmd
}

func keygen(cmd *cobra.Command, e env, f keygenFlags) error {
	var text, what, public string
	switch f.kind {
	case "hmac":
		text, what = webhook.NewSecret().Reveal(), "secret"
	case "ed25519":
		key := webhook.NewPrivateKey()
		text, what, public = key.Reveal(), "private key", key.Public().String()+"\n"
	default:
		return usageError(cmd, "--type is hmac or ed25519")
	}
	if f.out == "" {
		_, err := io.WriteString(e.Stdout, text+"\n"+public)
		return err
	}
	if err := writeNewSecret(f.out, text+"\n"); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.Stdout, "wrote a new %s to %s\n%s", what, f.out, public)
	return err
}

// freeOut refuses an --out that exists, before a secret is made that would have no
// place to go to. "" is none.
func freeOut(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return refused("--out: %s exists and may be in use (choose another name, or move it away first)", path)
	}
	return nil
}

// writeNewSecret creates a file for its owner's eyes. A secret that may be lost
// in a power failure after it was shared is no good, so it is synced.
func writeNewSecret(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("--out: %s exists and may be in use (choose another name, or move it away first)", path)
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("--out: %w", err), os.Remove(path))
	}
	return nil
}
