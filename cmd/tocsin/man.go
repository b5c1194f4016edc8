package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tocsin/cmd/manual"
)

func newManCommand(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "man [DIR]",
		Short: "Write the man pages",
		Long: `Man writes the help of every command as man pages into a folder, man/man1 if none is
named. Files that exist are written anew.`,
		Example: `  tocsin man /usr/local/share/man/man1
  tocsin man && man -M man tocsin-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "man/man1"
			switch {
			case len(args) > 1:
				return usageError(cmd, fmt.Sprintf("takes one folder, got %d", len(args)))
			case len(args) == 1:
				dir = args[0]
			}
			files, err := manual.Write(newRootCommand(e), buildVersion(), dir)
			if err != nil {
				return fmt.Errorf("man: %w", err)
			}
			_, err = fmt.Fprintf(e.Stdout, "wrote %s to %s\n", count(len(files), "page"), cleanLine(dir))
			return err
		},
	}
}
