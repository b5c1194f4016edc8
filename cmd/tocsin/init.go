package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/bridge/config"
	"tocsin/bridge/webhook"
)

// What init writes is kept as the files that it writes, and is run by a test.
//
//go:embed init
var initFiles embed.FS

func newInitCommand(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a configuration to start from",
		Long: `Init writes into a folder (this one, if none is named) what a bridge needs: a
commented tocsin.toml, a first rule with its test, a new secret, the schemas for
your editor, and a systemd unit. The result runs as it is, and tells a receiver
on this machine. A file that exists is never overwritten.`,
		Example: `  tocsin init try
  tocsin run -c try/tocsin.toml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 1 {
				return usageError(cmd, fmt.Sprintf("takes one folder, got %d", len(args)))
			}
			if len(args) == 1 {
				dir = args[0]
			}
			return initialise(e, dir)
		},
	}
}

// A newFile is a file to be written.
type newFile struct {
	name string // with slashes, below the folder
	text string
	mode os.FileMode
}

// filesOfInit are what init writes, by name.
func filesOfInit(dir string) ([]newFile, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		program = "/usr/local/bin/tocsin"
	}
	files := []newFile{
		{"secrets/ops", webhook.NewSecret().Reveal() + "\n", 0o600},
		{"schema/tocsin.json", config.MainSchema(), 0o644},
		{"schema/rules.json", config.RulesSchema(), 0o644},
	}
	fill := strings.NewReplacer("@DIR@", absolute, "@TOCSIN@", program)
	err = fs.WalkDir(initFiles, "init", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := initFiles.ReadFile(name)
		files = append(files, newFile{strings.TrimPrefix(name, "init/"), fill.Replace(string(text)), 0o644})
		return err
	})
	slices.SortFunc(files, func(a, b newFile) int { return strings.Compare(a.name, b.name) })
	return files, err
}

func initialise(e env, dir string) error {
	files, err := filesOfInit(dir)
	if err != nil {
		return err
	}
	for _, f := range files { // nothing is written beside what is there
		name := filepath.Join(dir, filepath.FromSlash(f.name))
		switch _, err := os.Lstat(name); {
		case err == nil:
			return fmt.Errorf("%s exists, and nothing was written (name another folder, as in: tocsin init try)", name)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	for _, f := range files {
		if err := writeFresh(dir, f); err != nil {
			return err
		}
		fmt.Fprintln(e.Stdout, "wrote", filepath.Join(dir, filepath.FromSlash(f.name)))
	}
	in := ""
	if dir != "." {
		in = "  cd " + dir + "\n"
	}
	fmt.Fprintf(e.Stdout, `
Next, each in a terminal of its own:

%[1]s  tocsin listen --secret @secrets/ops      a receiver that verifies
%[1]s  tocsin run                               the bridge
  mosquitto_pub -t plant/freezer-1/telemetry -m '{"temperature": -12}' -q 1

`, in)
	return nil
}

// writeFresh writes a file that is not there, with its folder. What lies beside a
// secret is for its owner alone.
func writeFresh(dir string, f newFile) error {
	name := filepath.Join(dir, filepath.FromSlash(f.name))
	folder := os.FileMode(0o755)
	if path.Dir(f.name) == "secrets" {
		folder = 0o700
	}
	if err := os.MkdirAll(filepath.Dir(name), folder); err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(f.text)
	return errors.Join(err, file.Close())
}
