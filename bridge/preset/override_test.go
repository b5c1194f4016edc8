package preset

import (
	"strings"
	"testing"

	"tocsin/rules"
)

func TestEndpointAddsToWhatItsPresetSends(t *testing.T) {
	p, _ := Find("jira")
	d := mustNew(t, Options{Preset: "jira", URL: "https://example.atlassian.net", With: with(p), Override: map[string]any{
		"request": map[string]any{"create": map[string]any{"body": map[string]any{"fields": map[string]any{
			"components": []any{map[string]any{"name": "{{ .device.labels.site }}"}}, "summary": "{{ .severity }}",
		}}}},
		"on": map[string]any{"update": []any{}, "note": "create"},
	}})
	requests, err := d.Preview(Sample(rules.AlarmFired), false)
	if err != nil || len(requests) != 2 {
		t.Fatalf("%v %v", requests, err)
	}
	body := string(requests[1].Body)
	for _, want := range []string{`"components":[{"name":"lyon"}]`, `"summary":"major"`, `"issuetype":{"name":"Incident"}`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s lacks %s", body, want)
		}
	}
	if requests, _ := d.Preview(Sample(rules.AlarmReminder), false); len(requests) != 0 {
		t.Errorf("an update is told by %v", requests)
	}
	if requests, _ := d.Preview(Sample(rules.DeviceOffline), false); len(requests) != 1 {
		t.Errorf("a note is told by %v", requests)
	}
}

// Neither a preview that hides them nor any error or print shows a parameter.
func TestSecretParameterIsShownNowhere(t *testing.T) {
	for _, name := range Names() {
		p, _ := Find(name)
		d := mustNew(t, Options{Preset: name, URL: "https://example.com/canary-path?sig=canary", With: with(p)})
		for _, typ := range sampleTypes() {
			requests, err := d.Preview(Sample(typ), false)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range requests {
				shown := string(r.Body) + r.Method
				for _, values := range r.Header {
					shown += strings.Join(values, " ")
				}
				if p.URLSecret {
					shown += r.URL
				}
				// A credential in base64 hides nothing.
				for _, secret := range []string{"canary", "Y2FuYXJ5"} {
					if strings.Contains(shown, secret) {
						t.Errorf("%s: %s shows a secret: %s %v", name, r.Name, shown, r.Header)
					}
				}
			}
		}
	}
}
