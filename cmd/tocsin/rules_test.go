package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestRulesSayWhichNeverMatchedAndHowNearTheOthersCame(t *testing.T) {
	dir, p, l := reloadable(t)
	file := filepath.Join(dir, "rules", "cold.toml")
	save(t, file, read(t, file)+`[rule.hot]
metric = "temperature"
above  = "40 °C"
[rule.unheard]
metric = "pressure"
above  = 40
`)
	eventually(t, "reloaded", func() bool { return strings.Contains(p.log(), `"rules_added":"hot`) })
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	eventually(t, "fired", func() bool { return len(l.of(t, "warm/freezer-1")) == 1 })

	code, out, errs := p.command("rules")
	var got []string
	for line := range strings.Lines(out) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"RULE STATE DEVICES FIRED NEAREST LIMIT",
		"unheard never matched 0 0 - above 40",
		"hot never fired 1 0 -12 °C (freezer-1) above 40 °C",
		"warm firing 1 1 1 -12 °C (freezer-1) above -15 °C",
	}
	if code != 0 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d %s\n%s", code, errs, strings.Join(got, "\n"))
	}

	code, out, errs = p.command("rules", "warm")
	for _, want := range []string{"warm  firing 1", "1 device", "fired", "beyond it", "last fired  warm/freezer-1 at", "rules/cold.toml:5"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("rules warm does not say %q: %d %s%s", want, code, out, errs)
		}
	}
	if code, out, errs = p.command("rules", "warm", "--json"); code != 0 || !strings.Contains(out, `"state": "firing"`) {
		t.Errorf("as JSON: %d %s%s", code, out, errs)
	}
	if code, out, errs = p.command("rules", "--json"); code != 0 || !strings.Contains(out, `"state": "unmatched"`) {
		t.Errorf("all as JSON: %d %s%s", code, out, errs)
	}
	if code, _, errs = p.command("rules", "nothing"); code != 1 || !strings.Contains(errs, `there is no rule "nothing" (tocsin rules lists them)`) {
		t.Errorf("a rule that is not there: %d %s", code, errs)
	}
}
