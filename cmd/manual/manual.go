// Package manual writes man pages of a program's commands. They say what the
// commands' help says, and nothing else: there is no second text to go out of date.
//
// It adds no date, so that the same program writes the same pages.
package manual

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// Write writes a page for root and for each command below it into a folder, which
// it makes, and returns the names of the files. It changes the texts of the
// commands, and so is the last thing to be done with them.
func Write(root *cobra.Command, version, dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- everybody may read a manual
		return nil, err
	}
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	var files []string
	var write func(*cobra.Command) error
	write = func(cmd *cobra.Command) error {
		text, err := page(cmd, version)
		if err != nil {
			return err
		}
		name := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
		if err := os.WriteFile(name, text, 0o644); err != nil { // #nosec G306 -- as above
			return err
		}
		files = append(files, name)
		for _, sub := range cmd.Commands() {
			if !sub.IsAvailableCommand() {
				continue
			}
			if err := write(sub); err != nil {
				return err
			}
		}
		return nil
	}
	return files, write(root)
}

// page is the page of one command.
func page(cmd *cobra.Command, version string) ([]byte, error) {
	cmd.DisableAutoGenTag = true
	cmd.Long = markdown(cmd.Long)
	cmd.NonInheritedFlags().VisitAll(plain) // flags of several commands are looked at once
	var b bytes.Buffer
	root := cmd.Root().Name()
	never := time.Unix(0, 0).UTC()
	err := doc.GenMan(cmd, &doc.GenManHeader{Section: "1", Date: &never, Source: root + " " + version, Manual: root}, &b)
	if err != nil {
		return nil, fmt.Errorf("the page of %s: %w", cmd.CommandPath(), err)
	}
	return []byte(tidy(strings.Replace(b.String(), never.Format(`"Jan 2006"`), `""`, 1))), nil
}

// tidy indents what flags mean with requests of the page instead of tabs, which
// no column is set for, and leaves out the default of a flag that is off.
func tidy(text string) string {
	var b strings.Builder
	example := false
	for line := range strings.Lines(text) {
		switch meaning, indented := strings.CutPrefix(line, "\t"); {
		case strings.HasPrefix(line, ".EX"), strings.HasPrefix(line, ".EE"):
			example = strings.HasPrefix(line, ".EX")
			b.WriteString(line)
		case indented && !example:
			b.WriteString(".RS 4\n" + meaning + ".RE\n")
		default:
			b.WriteString(strings.Replace(line, "[=false]", "", 1))
		}
	}
	return b.String()
}

// markdown makes the text of a help page mean in Markdown what it shows on a
// terminal: what is indented stays as it is, and no character is markup.
func markdown(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") {
			b.WriteString("\t" + strings.TrimPrefix(line, "  "))
		} else {
			b.WriteString(escape(line))
		}
	}
	return b.String()
}

// plain does the same for what a flag means. Backquotes name its value on a
// terminal; a page has no use for them.
func plain(f *pflag.Flag) {
	f.Usage = escape(strings.ReplaceAll(f.Usage, "`", ""))
}

// escape puts a backslash before what is markup in Markdown.
func escape(s string) string {
	var b strings.Builder
	for _, c := range s {
		if strings.ContainsRune("\\`*_<>[]{}#", c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}
