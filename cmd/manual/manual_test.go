package manual

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func command() *cobra.Command {
	nothing := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "pump", Short: "Move water", Long: "Pump moves water.\n\n  tank   where it *goes*_\n  well   from <there>\n\nIt takes [test.\"A\"] and $HOME.", RunE: nothing, Version: "1"}
	sub := &cobra.Command{Use: "start NAME", Short: "Start one", Example: "  pump start well_1 -v\n", RunE: nothing}
	sub.Flags().BoolP("verbose", "v", false, "say `more` than *usual*")
	sub.Flags().String("at", "a_b_c", "when")
	hidden := &cobra.Command{Use: "secret", Hidden: true, RunE: nothing}
	root.AddCommand(sub, hidden)
	return root
}

func written(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := Write(command(), "1.2", dir)
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(name)] = string(text)
	}
	return pages
}

func TestEachCommandThatHelpListsHasAPage(t *testing.T) {
	pages := written(t, filepath.Join(t.TempDir(), "man1"))
	if len(pages) != 2 || pages["pump.1"] == "" || pages["pump-start.1"] == "" {
		t.Errorf("%d pages: %v", len(pages), pages)
	}
}

func TestSameProgramWritesTheSamePages(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	dir := t.TempDir()
	first := written(t, dir)
	t.Setenv("SOURCE_DATE_EPOCH", "")
	for name, text := range written(t, dir) { // over those that exist
		if text != first[name] || !strings.Contains(text, `"1" "" "pump 1.2"`) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// What man shows is what -h shows: markup of Markdown or roff in it is none.
func TestAPageShowsTheTextOfTheHelp(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("mandoc is not installed (apt-get install mandoc)")
	}
	dir := t.TempDir()
	written(t, dir)
	for name, want := range map[string][]string{
		"pump.1":       {"tank   where it *goes*_\n", "well   from <there>\n", `It takes [test."A"] and $HOME.`, "--version"},
		"pump-start.1": {"say more than *usual*", `--at="a_b_c"`, "pump start well_1 -v", "-v, --verbose\n"},
	} {
		shown, err := exec.CommandContext(t.Context(), mandoc, "-T", "ascii", filepath.Join(dir, name)).Output()
		if err != nil {
			t.Fatal(err)
		}
		text := overstruck(string(shown))
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s does not show %q:\n%s", name, w, text)
			}
		}
	}
}

// overstruck is what is read of text that a terminal prints over itself.
func overstruck(s string) string {
	var b []rune
	for _, c := range s {
		if c == '\b' {
			b = b[:len(b)-1]
			continue
		}
		b = append(b, c)
	}
	return string(b)
}
