package preset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tocsin/rules"
)

// fragments are what has broken bodies and pinged everybody before.
func fragments() []string {
	return []string{
		`"`, `'`, "`", `\`, `\\`, `\"`, "\n", "\r\n", "\t", "\x00", "\x1b[31m", "</script>", "<script>", "<!channel>", "<!everyone>", "<@U1>", "<#C1>",
		"@everyone", "@here", "<@&1>", "<at>Ana</at>", "[link](https://evil.example)", "<https://evil.example|safe>", `<a href="x">`, "</b>", "&amp;", "&#60;", "%00", "%2e%2e/", "../",
		"{{", "}}", "{{ .with.token }}", "${HOME}", "*", "_", "~", "# ", "> ", "1. ", "- ", "|", "\u202e", "\u2028", "\ufeff", "é", "漢", "🧊", "a", " ", "=", "&", "?", "#", ";",
	}
}

func hostile() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return "[" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(fragments()), 1, 8).Draw(t, "fragments"), "") + "]"
	})
}

// shapeOfBody lists the paths of a decoded body, without its leaves. Tables with
// names of the user's are one.
func shapeOfBody(v any, path string, into map[string]bool) {
	into[path] = true
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			shapeOfBody(e, path+"."+k, into)
		}
	case []any:
		for i, e := range v {
			shapeOfBody(e, fmt.Sprintf("%s[%d]", path, i), into)
		}
	}
}

// leaves collects the texts of a decoded body by path.
func leaves(v any, path string, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			leaves(e, path+"."+k, into)
		}
	case []any:
		for i, e := range v {
			leaves(e, fmt.Sprintf("%s[%d]", path, i), into)
		}
	case string:
		into[path] = v
	}
}

// decoded parses a request's body as its receiver does.
func decoded(r Request) (any, error) {
	if r.ContentType == contentType("form") {
		form, err := url.ParseQuery(string(r.Body))
		table := map[string]any{}
		for name, v := range form {
			table[name] = v[0]
		}
		return table, err
	}
	if len(r.Body) == 0 {
		return nil, nil
	}
	var v any
	err := json.Unmarshal(r.Body, &v)
	return v, err
}

// undone are the texts that a field may stand for, one for each dialect.
func undone(s string) []string {
	return []string{s, strings.ReplaceAll(s, "\u200b", ""), html.UnescapeString(s), regexp.MustCompile(`\\([!-/:-@\[-`+"`"+`{-~])`).ReplaceAllString(s, "$1")}
}

// markup is what may stand in a text of Telegram and Slack, beside text.
func markup() *regexp.Regexp {
	return regexp.MustCompile(`</?b>|</?i>|</a>|<a href="[^"<>]*">|<https?://[^<>|]*\|(?:open|runbook)>`)
}

func TestHostileTextBreaksNoBodyAndIsNoMarkup(t *testing.T) {
	for _, name := range Names() {
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		d := mustNew(t, Options{Preset: name, URL: "https://example.com/hook", With: with(p)})
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				text := hostile().Draw(t, "text")
				typ := rapid.SampledFrom(sampleTypes()).Draw(t, "type")
				e := sampleEvent(typ)
				plain := notice(t, e)
				e.Title, e.Because, e.By, e.Reason, e.Device.ID = text, text, orNothing(e.By, text), orNothing(e.Reason, text), orNothing(e.Device.ID, text)
				e.Rule.ID = orNothing(e.Rule.ID, text)
				if e.Reading != nil {
					e.Reading.Value, e.Reading.Metric = "NaN"+text, text
				}
				if e.Alarm.Key != "" {
					e.Alarm.Key = text
				}
				if len(e.Device.Labels) > 0 {
					e.Device.Labels = map[string]string{"site": text}
				}
				want := preview(t, d, plain)
				got := preview(t, d, notice(t, e))
				if len(got) != len(want) {
					t.Fatalf("%d requests, and %d without the text", len(got), len(want))
				}
				seen := false
				for i, r := range got {
					seen = compare(t, d, r, want[i], text) || seen
				}
				if KindOf(typ) == Raise && !seen {
					t.Fatalf("the text is nowhere: %s", got[len(got)-1].Body)
				}
			})
		})
	}
}

func orNothing(was, text string) string {
	if was == "" {
		return ""
	}
	return text
}

func preview(t *rapid.T, d *Destination, n Notice) []Request {
	list, err := d.Preview(n, true)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// compare checks a request against one without the text, and says whether the
// text is in it.
func compare(t *rapid.T, d *Destination, r, plain Request, hostile string) bool {
	got, err := decoded(r)
	if err != nil || !utf8.Valid(r.Body) {
		t.Fatalf("no body: %v: %s", err, r.Body)
	}
	want, _ := decoded(plain)
	if d.preset.Name != "standard" { // whose evidence has another shape for a text
		a, b := map[string]bool{}, map[string]bool{}
		shapeOfBody(got, "$", a)
		shapeOfBody(want, "$", b)
		if !maps.Equal(a, b) {
			t.Fatalf("another shape:\n%v\n%v", slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
		}
	}
	at, err := url.Parse(r.URL)
	base, _ := url.Parse(plain.URL)
	if err != nil || at.Host != base.Host || strings.Count(at.EscapedPath(), "/") != strings.Count(base.EscapedPath(), "/") || len(at.Query()) != len(base.Query()) {
		t.Fatalf("another address: %s instead of %s", r.URL, plain.URL)
	}
	for name, values := range r.Header {
		if strings.ContainsFunc(values[0], func(r rune) bool { return r < ' ' || r >= 0x7f }) {
			t.Fatalf("header %s: %q", name, values[0])
		}
	}
	texts, seen := map[string]string{}, false
	leaves(got, "$", texts)
	for path, s := range texts {
		for _, u := range undone(s) {
			seen = seen || strings.Contains(u, hostile) || strings.Contains(u, line(hostile)) // in a title of one line
		}
		switch d.preset.Name {
		case "slack", "slack-bot", "telegram":
			if strings.HasSuffix(path, ".text") && strings.ContainsAny(markup().ReplaceAllString(s, ""), "<>") {
				t.Fatalf("%s is markup: %s", path, s)
			}
		}
	}
	return seen
}

// What is no text in a document becomes the sign for that, and breaks nothing.
func TestLoneSurrogatesBreakNoBody(t *testing.T) {
	for _, name := range Names() {
		p, _ := Find(name)
		d := mustNew(t, Options{Preset: name, URL: "https://example.com/hook", With: with(p)})
		n := Sample(rules.AlarmFired)
		n.Data = bytes.ReplaceAll(n.Data, []byte("freezer-07 at"), []byte(`\ud800 \udc00 1e400`))
		list, err := d.Preview(n, true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, r := range list {
			if _, err := decoded(r); err != nil || !utf8.Valid(r.Body) {
				t.Errorf("%s: %v: %s", name, err, r.Body)
			}
		}
	}
}
