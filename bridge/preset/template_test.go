package preset

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"tocsin/rules"
)

// own makes a destination of the standard preset with an override.
func own(t testing.TB, over map[string]any) (*Destination, []Problem) {
	t.Helper()
	return New(Options{Name: "ops", URL: "https://example.com/hook", Override: over, With: map[string]Value{"key": Hidden("canary")}})
}

// body renders the body of a sample of a type.
func body(t testing.TB, n Notice, over map[string]any) string {
	t.Helper()
	d, bad := own(t, over)
	for _, p := range bad {
		t.Fatal(p)
	}
	requests, err := d.Preview(n, true)
	if err != nil {
		t.Fatal(err)
	}
	return string(requests[0].Body)
}

func TestLeafOfOneActionKeepsItsType(t *testing.T) {
	f := func(template string, want string) {
		t.Helper()
		if got := body(t, Sample(rules.AlarmFired), map[string]any{"body": map[string]any{"x": template}}); got != want {
			t.Errorf("%s is %s, expected %s", template, got, want)
		}
	}
	f(`{{ .reading.value }}`, `{"x":-11.2}`)
	f(`{{.alarm.acked}}`, `{"x":false}`)
	f(`{{ .device.labels }}`, `{"x":{"site":"lyon"}}`)
	f(`{{ .reading.value }} °C`, `{"x":"-11.2 °C"}`)
	f(`{{ round 0 .reading.value }}`, `{"x":-11}`)
	f(`{{ .rule.runbook }}`, `{}`) // there is none
	f(`see {{ .rule.runbook }}`, `{"x":"see "}`)
	f(`{{ default "none" .rule.runbook }}`, `{"x":"none"}`)
	f(`{{ .device.labels.room }}`, `{}`)
	f(`{{ get .device.labels "site" }}`, `{"x":"lyon"}`)
	f(`{{ pick .severity "critical" 1 "major" 2 3 }}`, `{"x":2}`)
	f(`{{ unix .at }}`, `{"x":1793974330}`)
	f(`{{ date "2 Jan 15:04" .at "Europe/Paris" }}`, `{"x":"6 Nov 15:12"}`)
	f(`{{ join ", " .device.labels }}`, `{"x":"site: lyon"}`)
	f(`{{ if has .condition.limit }}limit {{ .condition.limit }}{{ else }}-{{ end }}`, `{"x":"limit -12"}`)
	f(`{{ .with.key }}`, `{"x":"canary"}`)
	f(`{{ .kind }}/{{ .key }}/{{ .severity }}`, `{"x":"raise/freezer-warm/freezer-07/major"}`)
}

func TestTableIsLeftOutWhenItsConditionComesToNothing(t *testing.T) {
	block := func(when string) map[string]any { return map[string]any{"$if": when, "a": int64(1)} }
	got := body(t, Sample(rules.AlarmFired), map[string]any{"body": map[string]any{
		"yes": block("{{ .title }}"), "no": block("{{ .rule.runbook }}"), "list": []any{block("{{ false }}"), block("{{ true }}")},
	}})
	if want := `{"list":[{"a":1}],"yes":{"a":1}}`; got != want {
		t.Errorf("got %s, expected %s", got, want)
	}
}

func TestBodyIsWrittenAsItsContentSays(t *testing.T) {
	n := Sample(rules.AlarmFired)
	f := func(content string, tree any, want string) {
		t.Helper()
		if got := body(t, n, map[string]any{"content": content, "body": tree}); got != want {
			t.Errorf("%s: %s, expected %s", content, got, want)
		}
	}
	f("form", map[string]any{"to": []any{"a b", "{{ .device.id }}"}, "n": "{{ .reading.value }}"}, "n=-11.2&to=a+b&to=freezer-07")
	f("text", "{{ .title }}!", "freezer-07 at -11.2 °C, limit -12 °C!")
	f("xml", map[string]any{"alarm": map[string]any{"@key": "{{ .key }}", "#text": "<&{{ .reading.value }}"}},
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<alarm key=\"freezer-warm/freezer-07\">&lt;&amp;-11.2</alarm>")
	f("json", "{{ .event }}", string(n.Data))
	f("json", []any{"{{ .reading.value }}", true}, "[-11.2,true]")
}

func TestLongValueGivesWayToTheMarkupAroundIt(t *testing.T) {
	l, f := parseLeaf(`<b>{{ .title }}</b> on {{ .device.id }}`, scopeShape())
	if f != nil {
		t.Fatal(f)
	}
	for limit := 30; limit < 400; limit += 7 {
		l.limit, l.dialect = limit, findDialect("telegram")
		got, err := l.string(scope{"title": strings.Repeat("å&", 200), "device": map[string]any{"id": "freezer-07"}})
		if err != nil {
			t.Fatal(err)
		}
		if n := utf8.RuneCountInString(got); n > limit || n < limit-10 || !strings.HasPrefix(got, "<b>å&amp;") || !strings.HasSuffix(got, "…</b> on freezer-07") {
			t.Errorf("limit %d: %d characters: %s", limit, n, got)
		}
		if strings.Count(got, "&") != strings.Count(got, "&amp;") {
			t.Errorf("limit %d cuts an entity: %s", limit, got)
		}
	}
}

func TestTemplateThatCouldFailAtNightDoesNotLoad(t *testing.T) {
	f := func(template, fact string) {
		t.Helper()
		_, bad := own(t, map[string]any{"body": map[string]any{"x": template}})
		if len(bad) != 1 || !strings.Contains(bad[0].Fact, fact) || strings.Join(bad[0].Path, ".") != "body.x" || bad[0].Remedy == "" {
			t.Errorf("%s: %+v, expected %q", template, bad, fact)
		}
	}
	f("{{ .tilte }}", "no event has .tilte")
	f("{{ if false }}{{ .tilte }}{{ end }}", "no event has .tilte")
	f("{{ if .tilte }}x{{ end }}", "no event has .tilte")
	f("{{ upper (lower .tilte) }}", "no event has .tilte")
	f("{{ $.tilte }}", "no event has .tilte")
	f("{{ .with.kye }}", "no event has .with.kye")
	f("{{ .alarm.key.more }}", ".alarm.key is a value")
	f("{{ . }}", "a dot without a name")
	f("{{ upcase .title }}", `no function "upcase"`)
	f("{{ printf \"%1000000000d\" 1 }}", `no function "printf"`)
	f("{{ range .evidence }}{{ end }}", `no "range"`)
	f("{{ with .title }}{{ end }}", `no "with"`)
	f("{{ define \"x\" }}{{ end }}", "")
	f("{{ template \"t\" }}", `no "template"`)
	f("{{ $x := .title }}", "no variables")
	f("{{ .title", "unclosed action")
	f("{{ date \"2006\" .title }}", "cannot be written for alarm.fired")
	f("{{ unix .device.id }}", "cannot be written for")
	f("{{ pick .severity }}", "cannot be written for")
	f("{{ _put $ .title }}", "")
}

func TestThinPayloadNamesTheEvent(t *testing.T) {
	n := Sample(rules.AlarmFired)
	d, bad := New(Options{Name: "ops", URL: "https://example.com/hook", Payload: "thin", Link: "https://tocsin.example.com/alarms/"})
	if bad != nil {
		t.Fatal(bad)
	}
	requests, err := d.Preview(n, true)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type":"alarm.fired","timestamp":"2026-11-06T14:12:10.4Z","data":{"alarm":{"episode":"ep_SAMPLE","key":"freezer-warm/freezer-07"},"at":"2026-11-06T14:12:10.4Z","id":"evt_SAMPLE","link":"https://tocsin.example.com/alarms/freezer-warm%2Ffreezer-07","type":"alarm.fired"}}`
	if got := string(requests[0].Body); got != want || !json.Valid(requests[0].Body) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
