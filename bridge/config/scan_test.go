package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/rogpeppe/go-internal/txtar"

	"tocsin/rules"
)

// paths lists every key and every element of a tree.
func paths(path []string, value any) (all []string) {
	if len(path) > 0 {
		all = append(all, pathKey(path))
	}
	each := func(key string, v any) { all = append(all, paths(under(path, key), v)...) }
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			each(key, v)
		}
	case []map[string]any:
		for i, v := range value {
			each(strconv.Itoa(i), v)
		}
	case []any:
		for i, v := range value[:min(len(value), maxElements)] {
			each(strconv.Itoa(i), v)
		}
	}
	return all
}

// checkPlaces holds the scanner to the library: where that one accepts a text,
// this one has a place for all that is in it, inside the text.
func checkPlaces(t *testing.T, text string) {
	t.Helper()
	s := scan(text)
	for path, p := range s.places {
		for _, at := range []span{p.key, p.value} {
			if at.start < 0 || at.start > at.end || at.end > len(text) {
				t.Fatalf("%q is placed at %v of a text of %d bytes", path, at, len(text))
			}
		}
	}
	if s.deep >= 0 || invalidByte(text) >= 0 {
		return
	}
	tree := map[string]any{}
	if _, err := toml.Decode(text, &tree); err != nil {
		return
	}
	for _, path := range paths(nil, tree) {
		if _, ok := s.places[path]; !ok {
			t.Fatalf("no place for %q in:\n%s", path, text)
		}
	}
}

func TestEveryKeyHasAPlace(t *testing.T) {
	for _, text := range []string{
		"", "#", "a=1", "a = 1 # x\r\nb = 2", "a.b.\"c d\".'e' = [1, [2, {x = 3}], \"#]\"]",
		"a = 2026-11-22 10:00:00\nb = 1979-05-27T07:32:00Z", "a = \"\"\"x\"\"y\\\"\"\"\"\"\nb = '''x''y'''''\nc=1",
		"[a]\n[a.b]\nc = { d = 1, e.f = \"}\" }\n[[x]]\ny=1\n[[x]]\n[x.z]\nw=1\n[[x.v]]\nu=1\n[[x.v]]\n",
		"a = [\n 1, # one\n 2,\n]\n[ b . c ]\nd = {}\n", "\"\" = 1\n[\"x\\u00e9\\e\\x41\"]\nb=inf\nc=-nan\nd=0xff\n",
		"a = { b = 1,\n c = 2 }\n", strings.Repeat("a = [", 20), "a = [" + strings.Repeat("1,", maxElements+9) + "]\nb = 1",
	} {
		checkPlaces(t, text)
	}
}

func TestValuesAreFoundWhereTheyAre(t *testing.T) {
	text := "a = 1\n[b.\"c.d\"]\n  key  =  \"v\" # x\nlist = [ 1, { x = true } ]\n[[t]]\nu = 2000-01-01 00:00:00 \n"
	places := scan(text).places
	f := func(value string, path ...string) {
		t.Helper()
		p, ok := places[pathKey(path)]
		if got := text[p.value.start:p.value.end]; !ok || got != value {
			t.Errorf("%v is found to be %q, and is %q", path, got, value)
		}
	}
	f("1", "a")
	f(`b."c.d"`, "b")
	f(`[b."c.d"]`, "b", "c.d")
	f(`"v"`, "b", "c.d", "key")
	f("[ 1, { x = true } ]", "b", "c.d", "list")
	f("1", "b", "c.d", "list", "0")
	f("true", "b", "c.d", "list", "1", "x")
	f("[[t]]", "t", "0")
	f("2000-01-01 00:00:00", "t", "0", "u")
}

// The scanner knows what the library knows, and ends on what it does not.
func FuzzScan(f *testing.F) {
	eachTOML(f, func(text []byte) { f.Add(string(text)) })
	f.Add("a = \"\"\"\n\\")
	f.Add("[[[[")
	f.Fuzz(func(t *testing.T, text string) { checkPlaces(t, strings.TrimPrefix(text, "\uFEFF")) })
}

// eachTOML calls add with every file of the archives.
func eachTOML(f *testing.F, add func(text []byte)) {
	f.Helper()
	archives, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if strings.HasSuffix(file.Name, ".toml") {
				add(file.Data)
			}
		}
	}
}

// The law of Load: whatever a file holds, it does not panic, it ends, and every
// problem points into a file that is there.
func FuzzLoad(f *testing.F) {
	eachTOML(f, func(text []byte) { f.Add(text) })
	f.Add([]byte("a = \"\"\"\n\xff"))
	f.Add([]byte("[[[["))
	f.Fuzz(func(t *testing.T, text []byte) {
		setUp(t, &txtar.Archive{})
		fuzzed := func(name string) {
			old, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			write(t, name, text)
			config, problems := Load("tocsin.toml", Options{Getenv: lookup(nil)})
			if config == nil != (problems.Errors() > 0) {
				t.Fatalf("a configuration: %v, and errors: %v", config != nil, problems)
			}
			for _, p := range problems {
				checkProblem(t, p)
			}
			write(t, name, old)
		}
		fuzzed("tocsin.toml")
		fuzzed("rules/cold.toml")
	})
}

// The law of rule files: whatever bytes one holds, Load ends, tells the same twice,
// points into the file, and knows where everything is that it took.
func FuzzLoadRules(f *testing.F) {
	eachTOML(f, func(text []byte) { f.Add(text) })
	for _, text := range []string{
		"[rule.a]\nwhen = \"\"\"\na > \\\n 3\"\"\"\n", "[rule.a.override.\"\\u0000\"]\nabove = 3\n", "[test.\"\"]\nstep = [{}, [], 3]\n",
		"[maintenance.m]\nfrom = 0000-01-01T00:00:00\nto = 9999-12-31T23:59:59.999999999Z\n[defaults]\ntimezone = \"Africa/Monrovia\"\n",
		"rule.a.\"b.c\".above = 3\n", "[[rule.a.level]]\n", "[rule.a]\nclear = [[[[1]]]]\nsilent = {}\nschedule.not.not = 3\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		setUp(t, &txtar.Archive{})
		write(t, "rules/cold.toml", text)
		c, problems := Load("tocsin.toml", Options{Getenv: lookup(nil)})
		_, again := Load("tocsin.toml", Options{Getenv: lookup(nil)})
		if !slices.Equal(problems, again) {
			t.Fatalf("told twice, and not the same:\n%v\n%v", problems, again)
		}
		for _, p := range problems {
			checkProblem(t, p)
		}
		if c == nil {
			return
		}
		for id, rule := range c.RuleFile.Rule {
			if place := c.RuleFile.Place([]string{"rule", id}); place == "" || place != rule.Source {
				t.Fatalf("rule %q is at %q, and at %q", id, place, rule.Source)
			}
		}
	})
}

func checkProblem(t *testing.T, p Problem) {
	t.Helper()
	b, err := os.ReadFile(p.File)
	if err != nil {
		t.Fatalf("%v is in no file: %v", p, err)
	}
	lines := strings.Split(strings.TrimPrefix(string(b), "\uFEFF"), "\n")
	if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len([]rune(lines[p.Line-1]))+1 {
		t.Fatalf("%v is outside of its file, which has %d lines", p, len(lines))
	}
	if p.Fact == "" || p.Remedy == "" {
		t.Fatalf("no fact or no remedy: %#v", p)
	}
}

// A key is either obeyed or announced for later, not both, and not twice.
func TestLaterKeysAreNotInTheSchema(t *testing.T) {
	f := func(list []later, schema reflect.Type) {
		t.Helper()
		seen := map[string]bool{}
		for _, l := range list {
			if l.remedy == "" || seen[l.path] || inSchema(schema, strings.Split(l.path, ".")) {
				t.Errorf("%q has no remedy, is listed twice, or is in the schema as well", l.path)
			}
			seen[l.path] = true
		}
	}
	f(laterMain(), reflect.TypeFor[Config]())
	if !inSchema(reflect.TypeFor[rules.File](), keys("rule.*.level.*.above")) {
		t.Error("the test does not find what is in the schema")
	}
}

// inSchema reports whether a pattern leads to a field.
func inSchema(t reflect.Type, pattern []string) bool {
	for len(pattern) > 0 {
		switch t.Kind() {
		case reflect.Pointer:
			t = t.Elem()
		case reflect.Map, reflect.Slice:
			if pattern[0] != "*" {
				t = t.Elem() // a list that may be one element
				continue
			}
			t, pattern = t.Elem(), pattern[1:]
		case reflect.Struct:
			f, ok := schemaOf(t)[pattern[0]]
			if !ok {
				return false
			}
			t, pattern = t.FieldByIndex(f).Type, pattern[1:]
		default:
			return false
		}
	}
	return true
}
