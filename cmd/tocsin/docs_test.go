package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	_ "time/tzdata" // the machine that tests need not have zones

	"tocsin/bridge/config"
	"tocsin/rules"
)

const reference = "../../configs/rules/README.md"

// A snippet is a block of TOML in a page that says, in its first line, which file
// it is or is part of.
type snippet struct {
	place, name, text string
	config            bool // part of tocsin.toml
}

func snippets(t *testing.T, page string) []snippet {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var list []snippet
	for _, m := range regexp.MustCompile("(?ms)^```toml\n(.*?)^```$").FindAllSubmatchIndex(text, -1) {
		s := snippet{
			place: fmt.Sprintf("%s:%d", filepath.Base(filepath.Dir(page))+"/README.md", 1+strings.Count(string(text[:m[2]]), "\n")),
			text:  string(text[m[2]:m[3]]),
		}
		first, _, _ := strings.Cut(s.text, "\n")
		name, ok := strings.CutPrefix(first, "# ")
		switch {
		case ok && strings.HasPrefix(name, "tocsin.toml"):
			s.config = true
		case ok && strings.HasPrefix(name, "rules/"):
			s.name, _, _ = strings.Cut(name, " ")
		default:
			t.Errorf("%s: the block does not begin with the name of its file, # rules/NAME.toml or # tocsin.toml", s.place)
			continue
		}
		list = append(list, s)
	}
	return list
}

// folder writes a configuration that has the snippet in it, and what it leaves
// out: the main file's own tables, or the secret that it names.
func (s snippet) folder(t *testing.T) (main string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	complete := func(text string) string {
		if strings.Contains("\n"+text, "\nschema") {
			return text
		}
		return "schema = 1\n" + text
	}
	config := "schema = 1\nrules = [\"rules/*.toml\"]\n" +
		"[source.plant]\ntopic = \"plant/{device}/telemetry\"\ndecoder = \"json\"\n" +
		"[endpoint.ops]\nurl = \"https://alerts.example.com/hook\"\nsecret = { file = \"secrets/ops\" }\n"
	rule := ""
	switch {
	case s.config && strings.Contains(s.text, "\nschema"):
		config = s.text
	case s.config:
		config += s.text // a part of it
	default:
		rule = complete(s.text)
	}
	if !strings.Contains(rule, "[rule.") { // a bridge without rules is warned of
		write("rules/other.toml", complete("[rule.oven-hot]\nmetric = \"oven\"\nabove = 220\n"))
	}
	write("tocsin.toml", config)
	if rule != "" {
		write("rules/example.toml", rule)
	}
	var out strings.Builder
	if code := run(context.Background(), env{
		Args: []string{"keygen", "--out", filepath.Join(dir, "ops")}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
		LookupEnv: func(string) (string, bool) { return "", false },
	}); code != 0 {
		t.Fatalf("keygen: exit %d: %s", code, out.String())
	}
	secret, err := os.ReadFile(filepath.Join(dir, "ops"))
	if err != nil {
		t.Fatal(err)
	}
	write("secrets/ops", string(secret))
	return filepath.Join(dir, "tocsin.toml")
}

// What the pages print can be copied: it loads without a warning, and the tests
// in it pass.
func TestSnippetsOfThePagesLoad(t *testing.T) {
	for _, page := range []string{"../../README.md", reference} {
		list := snippets(t, page)
		if len(list) == 0 {
			t.Errorf("%s has no block of TOML", page)
		}
		for _, s := range list {
			file := s.folder(t)
			_, problems := config.Load(file, config.Options{Getenv: func(string) (string, bool) { return "", false }})
			for _, p := range problems {
				t.Errorf("%s: %s", s.place, p.Long())
			}
			if len(problems) > 0 || !strings.Contains(s.text, "[test.") {
				continue
			}
			var out strings.Builder
			if code := run(context.Background(), env{
				Args: []string{"test", "-q", "-c", file}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
				LookupEnv: func(string) (string, bool) { return "", false },
			}); code != 0 {
				t.Errorf("%s: tests: exit %d: %s", s.place, code, out.String())
			}
		}
	}
}

// words are what a page sets in type: every word between backquotes, and every
// part of one with dots.
func words(t *testing.T, page string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var code []string
	prose := regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(string(text), "")
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(prose, -1) {
		code = append(code, m[1])
	}
	known := map[string]bool{}
	for _, w := range regexp.MustCompile(`[A-Za-z_][A-Za-z_.]*`).FindAllString(strings.Join(code, " "), -1) {
		known[w] = true
		for part := range strings.SplitSeq(w, ".") {
			known[part] = true
		}
	}
	return known
}

// keysOf collects the keys of a table and of all tables in it, with the path of
// the first table that has them.
func keysOf(t reflect.Type, path string, into map[string]string) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		keysOf(t.Elem(), path, into)
		return
	case reflect.Struct:
	default:
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("toml")
		switch {
		case f.Anonymous:
			keysOf(f.Type, path, into)
		case key != "" && key != "-":
			if into[key] == "" {
				into[key] = path + "." + key
			}
			keysOf(f.Type, path+"."+key, into)
		}
	}
}

func TestReferenceNamesEveryKeyOfARuleFile(t *testing.T) {
	keys := map[string]string{}
	keysOf(reflect.TypeFor[rules.File](), "file", keys)
	if len(keys) < 100 {
		t.Fatalf("only %d keys were found: are rule files decoded in another way?", len(keys))
	}
	known := words(t, reference)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !known[key] {
			t.Errorf("%s: %s is not mentioned", reference, keys[key])
		}
	}
}

// What an endpoint can be told of, and with which fields, is in the reference.
func TestReferenceNamesEveryEvent(t *testing.T) {
	known := words(t, reference)
	for _, typ := range []rules.Type{
		rules.AlarmFired, rules.AlarmEscalated, rules.AlarmDeescalated, rules.AlarmReminder, rules.AlarmReturned,
		rules.AlarmResolved, rules.AlarmCancelled, rules.AlarmOccurred, rules.AlarmFlapping, rules.AlarmFlapEnded,
		rules.AlarmStale, rules.AlarmAcked, rules.AlarmUnacked, rules.AlarmShelved, rules.AlarmUnshelved, rules.AlarmFlood, rules.AlarmSync,
		rules.DeviceOnline, rules.DeviceOffline, rules.DeviceNew, rules.DeviceChatty, rules.SourceDisconnected, rules.SourceReconnected,
		rules.DevicesNearLimit, rules.DevicesBelowLimit,
		rules.ReadingMatched, rules.ConfigRejected, rules.TestPing,
		rules.EndpointFailing, rules.EndpointDisabled, rules.EndpointRecovered, rules.EndpointDropped, rules.EndpointDigest, rules.Heartbeat,
	} {
		if !known[string(typ)] {
			t.Errorf("%s: the event %s is not mentioned", reference, typ)
		}
	}
	var fields func(reflect.Type)
	fields = func(typ reflect.Type) {
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[rules.Point]() {
			return
		}
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name == "" || name == "-" {
				continue
			}
			if !known[name] {
				t.Errorf("%s: the field %s of an event is not mentioned", reference, name)
			}
			fields(typ.Field(i).Type)
		}
	}
	fields(reflect.TypeFor[rules.Event]())
}
