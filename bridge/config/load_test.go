package config

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Every archive in testdata is a configuration: its files lie over those of
// testdata/base. Lines of its comment prepare what an archive cannot hold:
//
//	env NAME=VALUE         set a variable
//	chmod 0644 FILE        change a mode; secrets are 0600 otherwise
//	link TARGET NAME       make a symbolic link
//	mkdir NAME             make a folder
//	pipe NAME              make a named pipe
//	remove NAME            remove a file of the base
//	size FILE BYTES        append comments up to a size
//	hex FILE BYTES         write bytes
//	crlf FILE, bom FILE    end lines as Windows does, begin with a mark
//	repeat FILE N TEXT     write a text N times

// setUp makes the configuration of an archive the working directory, and
// returns its variables.
func setUp(t testing.TB, a *txtar.Archive) map[string]string {
	t.Helper()
	base, err := filepath.Abs("testdata/base")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, f := range a.Files {
		if f.Name != "problems" && f.Name != "config" {
			write(t, f.Name, f.Data)
		}
	}
	for _, secrets := range []string{"secrets", "tls"} {
		_ = filepath.WalkDir(secrets, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				err = os.Chmod(path, 0o600)
			}
			return err
		})
	}
	env := map[string]string{}
	for line := range strings.Lines(string(a.Comment)) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			prepare(t, env, words)
		}
	}
	return env
}

func prepare(t testing.TB, env map[string]string, words []string) {
	t.Helper()
	var err error
	switch name := words[1]; words[0] {
	case "env":
		key, value, _ := strings.Cut(words[1], "=")
		env[key] = value
	case "chmod":
		mode, _ := strconv.ParseUint(words[1], 8, 32)
		err = os.Chmod(words[2], fs.FileMode(mode))
	case "link":
		err = os.Symlink(words[1], words[2])
	case "mkdir":
		err = os.MkdirAll(name, 0o700)
	case "pipe":
		err = syscall.Mkfifo(name, 0o600)
	case "remove":
		err = os.RemoveAll(name)
	case "size":
		n, _ := strconv.Atoi(words[2])
		b, _ := os.ReadFile(name)
		for len(b) < n {
			b = append(b, "# nothing but a comment\n"...)
		}
		write(t, name, b)
	case "hex":
		var b []byte
		b, err = hex.DecodeString(words[2])
		write(t, name, b)
	case "crlf":
		b, _ := os.ReadFile(name)
		write(t, name, []byte(strings.ReplaceAll(string(b), "\n", "\r\n")))
	case "bom":
		b, _ := os.ReadFile(name)
		write(t, name, append([]byte("\xef\xbb\xbf"), b...))
	case "repeat":
		n, _ := strconv.Atoi(words[2])
		b, _ := os.ReadFile(name)
		write(t, name, append(b, strings.Repeat(words[3], n)...))
	default:
		t.Fatalf("unknown line in the comment: %q", words)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

// golden compares got with a file of the archive, or writes it there.
func golden(t *testing.T, archive string, a *txtar.Archive, name, got string) {
	t.Helper()
	for i := range a.Files {
		if a.Files[i].Name != name {
			continue
		}
		if *update {
			a.Files[i].Data = []byte(got)
			if err := os.WriteFile(archive, txtar.Format(a), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(string(a.Files[i].Data), got); diff != "" {
			t.Errorf("%s differs (run with -update to accept):\n%s", name, diff)
		}
		return
	}
	a.Files = append(a.Files, txtar.File{Name: name})
	if !*update {
		t.Fatalf("the archive has no file %q (run with -update)", name)
	}
	golden(t, archive, a, name, got)
}

// archives runs a test for each archive of a folder.
func archives(t *testing.T, folder string, atLeast int, f func(t *testing.T, archive string, a *txtar.Archive, env map[string]string)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
	if err != nil || len(files) < atLeast {
		t.Fatalf("%d archives in %s, and at least %d are needed (%v)", len(files), folder, atLeast, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			archive, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			f(t, archive, a, setUp(t, a))
		})
	}
}

func TestBrokenConfigurationIsExplained(t *testing.T) {
	archives(t, "broken", 60, func(t *testing.T, archive string, a *txtar.Archive, env map[string]string) {
		config, problems := Load("tocsin.toml", Options{Getenv: lookup(env)})
		if config != nil || problems.Errors() == 0 {
			t.Fatal("it was loaded")
		}
		var b strings.Builder
		for _, p := range problems {
			b.WriteString(p.Long() + "\n")
			if p.File == "" || p.Line < 1 || p.Column < 1 || p.Fact == "" || p.Remedy == "" {
				t.Errorf("a problem needs file, line, column, fact and remedy: %+v", p)
			}
		}
		golden(t, archive, a, "problems", b.String())
	})
}

func TestGoodConfigurationIsLoadedWithItsDefaults(t *testing.T) {
	archives(t, "good", 4, func(t *testing.T, archive string, a *txtar.Archive, env map[string]string) {
		config, problems := Load("tocsin.toml", Options{Getenv: lookup(env)})
		if config == nil {
			t.Fatalf("it was not loaded: %v", problems)
		}
		var b strings.Builder
		for _, p := range problems {
			b.WriteString(p.Long() + "\n")
		}
		for _, id := range slices.Sorted(maps.Keys(config.RuleFile.Rule)) {
			fmt.Fprintf(&b, "rule %q at %s\n", id, config.RuleFile.Rule[id].Source)
		}
		enc := json.NewEncoder(&b)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(config); err != nil {
			t.Fatal(err)
		}
		golden(t, archive, a, "config", b.String())
	})
}

// What is long in a file must not make Load slow: it runs at every start and
// every reload.
func BenchmarkLoad(b *testing.B) {
	f := func(name string, n int, table string) {
		b.Run(fmt.Sprintf("%d-%s", n, name), func(b *testing.B) {
			var text strings.Builder
			for i := range n {
				text.WriteString(strings.ReplaceAll(table, "#", strconv.Itoa(i)))
			}
			setUp(b, &txtar.Archive{Files: []txtar.File{{Name: "rules/cold.toml", Data: []byte(text.String())}}})
			b.ReportAllocs()
			b.SetBytes(int64(text.Len()))
			for b.Loop() {
				if _, problems := Load("tocsin.toml", Options{}); name != "faults" && problems.Errors() > 0 {
					b.Fatal(problems)
				}
			}
		})
	}
	const limit = "[rule.r#]\nmetric = \"temperature\"\nabove = \"# °C\"\nfor = \"10m\"\n\n"
	for _, n := range []int{10, 1000, 10_000} {
		f("rules", n, limit)
	}
	f("devices", 10_000, "[device.d#]\ntype = \"freezer\"\nlabels = { site = \"s#\" }\nattr = { max_temp = \"-# °C\" }\n")
	f("faults", 10_000, "[rule.r#]\nmetric = \"temperature\"\nabov = 3\nfor = \"ten\"\nsilnt = 3\n")
}

// So many warnings that not all are told are still warnings.
func TestManyWarningsRefuseNothing(t *testing.T) {
	var text strings.Builder
	for i := range 2 * maxProblems {
		fmt.Fprintf(&text, "[rule.r%d]\nmetric = \"temperature\"\nabove = 3\ndevices = \"type:none\"\n", i)
	}
	setUp(t, &txtar.Archive{Files: []txtar.File{{Name: "rules/many.toml", Data: []byte(text.String())}}})
	c, problems := Load("tocsin.toml", Options{})
	if c == nil || problems.Errors() != 0 || problems.Warnings() != maxProblems+1 {
		t.Errorf("loaded: %v, with %d errors and %d warnings", c != nil, problems.Errors(), problems.Warnings())
	}
}

func TestStoreInFolderThatCannotBeWrittenIsRefused(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	for _, folder := range []string{"data", "."} {
		t.Run(folder, func(t *testing.T) {
			setUp(t, &txtar.Archive{})
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(folder, 0o500); err != nil { // #nosec G302 -- a folder
				t.Fatal(err)
			}
			c, problems := Load("tocsin.toml", Options{})
			if err := os.Chmod(folder, 0o700); err != nil { // #nosec G302 -- a folder
				t.Fatal(err)
			}
			if c != nil || problems.Errors() != 1 || !strings.HasPrefix(problems[0].Place, "store") {
				t.Errorf("%v", problems)
			}
		})
	}
}
