package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"tocsin/bridge/webhook"
)

func newKeygenCommand(e env) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a secret for signing webhooks",
		Long: `Keygen makes a new random secret (whsec_…) that an endpoint and its receiver
share. It goes to standard output, or with --out to a new file that only you can
read; a file that exists is never overwritten.`,
		Example: `  tocsin keygen --out secrets/ops`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			secret := webhook.NewSecret()
			if out == "" {
				_, err := fmt.Fprintln(e.Stdout, secret.Reveal())
				return err
			}
			if err := writeNewSecret(out, secret.Reveal()+"\n"); err != nil {
				return err
			}
			_, err := fmt.Fprintf(e.Stdout, "wrote a new secret to %s\n", out)
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the secret to this new file, mode 0600")
	return cmd
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
