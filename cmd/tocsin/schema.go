package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tocsin/bridge/config"
)

func newSchemaCommand(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "schema [main|rules]",
		Short: "Print the JSON Schema of the configuration",
		Long: `Schema prints the JSON Schema of the main file (main, the default) or of a file of
rules, for editors that complete and check TOML. With taplo, and editors that are
built on it, the first line of a file names its schema:

  #:schema schema/tocsin.json`,
		Example: `  tocsin schema > schema/tocsin.json
  tocsin schema rules > schema/rules.json`,
		ValidArgs: []string{"main", "rules"},
		RunE: func(cmd *cobra.Command, args []string) error {
			text := config.MainSchema()
			switch {
			case len(args) > 1:
				return usageError(cmd, fmt.Sprintf("takes one argument, got %d", len(args)))
			case len(args) == 0 || args[0] == "main":
			case args[0] == "rules":
				text = config.RulesSchema()
			default:
				return usageError(cmd, fmt.Sprintf("there is no file %q, only main and rules", args[0]))
			}
			_, err := io.WriteString(e.Stdout, text)
			return err
		},
	}
}
