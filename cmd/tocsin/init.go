package main

import (
	"context"
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
	var f observeFlags
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a configuration to start from",
		Long: `Init writes into a folder (this one, if none is named) what a bridge needs: a
commented tocsin.toml, a first rule with its test, a new secret, the schemas for
your editor, and a systemd unit. The result runs as it is, and tells a receiver
on this machine. A file that exists is never overwritten.

With --observe it looks at live traffic first, and proposes sources, metrics and
rules for what it saw: at a broker that is named as for mosquitto_sub, in a session of
its own that takes nothing from anybody, or else at what devices send to this machine.
No rule of it has fired on what was seen; limits are written as suggestions, well
outside of it. It says what cannot be decoded, and why.`,
		Example: `  tocsin init try
  tocsin run -c try/tocsin.toml
  tocsin init --observe 60s --host broker.example.com -t 'plants/#' -u me plants`,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 1 {
				return usageError(cmd, fmt.Sprintf("takes one folder, got %d", len(args)))
			}
			if len(args) == 1 {
				dir = args[0]
			}
			if err := f.check(cmd, e); err != nil {
				return err
			}
			return initialise(cmd.Context(), e, dir, f)
		},
	}
	f.add(cmd)
	return cmd
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

func initialise(ctx context.Context, e env, dir string, f observeFlags) error {
	files, err := filesOfInit(dir)
	if err != nil {
		return err
	}
	if f.length > 0 { // it may write this one too
		files = append(files, newFile{"rules/observed.toml", "", 0o644}, newFile{"secrets/mqtt", "", 0o600})
	}
	for _, file := range files { // nothing is written beside what is there
		name := filepath.Join(dir, filepath.FromSlash(file.name))
		switch _, err := os.Lstat(name); {
		case err == nil:
			return fmt.Errorf("%s exists, and nothing was written (name another folder, as in: tocsin init try)", name)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	var seen *observed
	if f.length > 0 {
		files = files[:len(files)-2]
		if seen, err = observe(ctx, e, f); err != nil {
			return err
		}
		if !f.asJSON {
			if err := seen.write(e.Stdout); err != nil {
				return err
			}
		}
		if err := seen.nothing(f); err != nil {
			return err
		}
		if files, err = seen.fill(files, f); err != nil {
			return err
		}
	}
	for _, file := range files {
		if err := writeFresh(dir, file); err != nil {
			return err
		}
		name := filepath.Join(dir, filepath.FromSlash(file.name))
		if seen != nil {
			seen.Files = append(seen.Files, name)
		}
		if !f.asJSON {
			fmt.Fprintln(e.Stdout, "wrote", name)
		}
	}
	if f.asJSON {
		return writeIndented(e.Stdout, seen)
	}
	return next(e, dir, seen != nil)
}

// next says what to do with what was written.
func next(e env, dir string, observed bool) error {
	in := ""
	if dir != "." {
		in = "  cd " + dir + "\n"
	}
	if observed {
		_, err := fmt.Fprintf(e.Stdout, `
Next: read rules/observed.toml, take what is right of its suggestions, and

%[1]s  tocsin check
  tocsin test
  tocsin listen --secret @secrets/ops      a receiver that verifies, in a terminal of its own
  tocsin run                               the bridge

`, in)
		return err
	}
	_, err := fmt.Fprintf(e.Stdout, `
Next, each in a terminal of its own:

%[1]s  tocsin listen --secret @secrets/ops      a receiver that verifies
%[1]s  tocsin run                               the bridge
  mosquitto_pub -t plant/freezer-1/telemetry -m '{"temperature": -12}' -q 1

The alarm is at the receiver, and in a browser at http://127.0.0.1:8080. To have it in
your chat, fill in [endpoint.chat] at the end of tocsin.toml and save; the bridge reads it
at once, and tocsin endpoints test chat tries it.

`, in)
	return err
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
