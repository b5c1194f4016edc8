package rules

import (
	"strings"
	"testing"
)

// Whoever is woken by an expression is told what it was made of, when it begins
// and when it ends, and not only that it holds.
func TestExpressionSaysWhatItWasMadeOf(t *testing.T) {
	const file = "schema = 1\n[metric.temperature]\nunit = \"°C\"\n[rule.mold]\nwhen = \"humidity > 80 and avg(temperature, 10m) > 20 and not (venting ?? false)\"\nclear = \"humidity < 60\"\n"
	for _, c := range []struct{ story, typ, because string }{
		{"0s d temperature=25 humidity=85", "alarm.fired",
			"humidity > 80 and avg(temperature, 10m) > 20 and not (venting ?? false) at 14:00:00; humidity 85, avg(temperature, 10m) 25 °C, venting unknown"},
		{"0s d temperature=25 humidity=85\n1m d humidity=50", "alarm.resolved",
			"humidity < 60 at 14:01:00; humidity 50; in alarm for 1m 0s"},
	} {
		s := newScene(t, file)
		s.play(c.story)
		last := s.events[len(s.events)-1]
		if string(last.Type) != c.typ || last.Because != c.because {
			t.Errorf("after %q\n got %s: %s\nwant %s: %s", c.story, last.Type, last.Because, c.typ, c.because)
		}
	}
}

// An alarm that cannot be judged says which of the things it asks for is not
// known, and why.
func TestExplanationNamesWhatIsNotKnown(t *testing.T) {
	s := newScene(t, "schema = 1\n[device.d]\nevery = \"1m\"\n[rule.r]\nwhen = \"a > 1 and b > 2 and rate(c, 5m) > 1 and prev(a) > 0 and @limit > 1 and online\"\n")
	s.play("0s d a=2\n10m d c=1")
	got := map[string]string{}
	for _, o := range s.e.Explain("d", "r", s.now)[0].Operands {
		got[o.Name] = strings.TrimSpace(o.Value + " " + o.Why)
	}
	want := map[string]string{
		"a":           "unknown the last reading, of 14:00:00, is older than 3m",
		"b":           "unknown never heard of",
		"rate(c, 5m)": "unknown too few readings",
		"prev(a)":     "unknown the last reading, of 14:00:00, is older than 3m",
		"@limit":      "unknown the device has none",
		"online":      "unknown nothing has said whether it is",
	}
	for name, why := range want {
		if got[name] != why {
			t.Errorf("%s: got %q, want %q", name, got[name], why)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}
