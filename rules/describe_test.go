package rules

import (
	"strings"
	"testing"
	"time"
)

// What is said of an alarm that stands as it was told is what was told of it, and
// what is said later says how it goes on.
func TestAlarmIsDescribedAsItStands(t *testing.T) {
	const file = `schema = 1
[metric.temperature]
unit = "°C"
[rule.hot]
metric = "temperature"
above  = 30
clear  = 25
for    = "1m"
title  = "{device} at {value} {unit}, limit {threshold}"
clear_for = "2m"
[rule.hot.level.critical]
above = 50
`
	s := newScene(t, file)
	f := func(at string, title string, because ...string) {
		t.Helper()
		d, err := time.ParseDuration(at)
		if err != nil {
			t.Fatal(err)
		}
		gotTitle, gotBecause := s.e.Describe("hot/d", start.Add(d))
		x := s.e.Explain("d", "hot", start.Add(d))
		if gotTitle != title || x[0].Title != gotTitle || x[0].Because != gotBecause {
			t.Errorf("at %s: %q, %q; explained as %q, %q", at, gotTitle, gotBecause, x[0].Title, x[0].Because)
		}
		for _, part := range because {
			if !strings.Contains(gotBecause, part) {
				t.Errorf("at %s: because %q, want %q", at, gotBecause, part)
			}
		}
		if len(because) == 0 && gotBecause != "" {
			t.Errorf("at %s: because %q", at, gotBecause)
		}
	}
	s.play("0s d temperature=20")
	f("1s", "")
	s.play("10s d temperature=31")
	f("20s", "d at 31 °C, limit 30 °C", "above 30 °C since", "(10s, 1 of 1 samples)")
	s.play("30s d temperature=32\n70s d temperature=33")
	f("75s", "d at 33 °C, limit 30 °C", "above 30 °C, in alarm since 14:00:10; peak 33 °C at")
	if told := s.events; len(told) != 1 || !strings.HasPrefix(told[0].Because, "above 30 °C since") {
		t.Errorf("told %v", told)
	}
	s.play("80s..141s/10s d temperature=55")
	f("141s", "d at 55 °C, limit 50 °C", "above 50 °C, in alarm since 14:00:10; peak 55 °C at")
	s.play("150s..160s/10s d temperature=20")
	f("160s", "d at 20 °C, limit 50 °C", "until", "in alarm since")
	s.play("170s..280s/10s d temperature=20")
	f("281s", "")
	if title, because := s.e.Describe("hot/nobody", start); title != "" || because != "" {
		t.Errorf("%q %q", title, because)
	}
}

func TestExplanationHasLimitsAndPeakAsNumbers(t *testing.T) {
	const file = "schema = 1\n[metric.temperature]\nunit = \"°C\"\n[rule.hot]\nmetric = \"temperature\"\nabove = 30\nclear = 25\n"
	s := newScene(t, file)
	s.play("0s d temperature=33\n10s d temperature=31")
	x := s.e.Explain("d", "hot", start.Add(time.Minute))[0]
	if l := x.Levels[0]; l.Limit != 30.0 || l.Clear != 25.0 || x.Unit != "°C" || x.Peak == nil || x.Peak.Value != 33.0 {
		t.Errorf("limit %v, clear %v, unit %q, peak %v", l.Limit, l.Clear, x.Unit, x.Peak)
	}
}

func TestLatchedAlarmIsDescribedByWhatItWaitsFor(t *testing.T) {
	const file = "schema = 1\n[metric.temperature]\nunit = \"°C\"\n[rule.hot]\nmetric = \"temperature\"\nabove = 30\nlatch = true\n"
	s := newScene(t, file)
	s.play("0s d temperature=33\n10s d temperature=20")
	const want = "at or below 30 °C; it stays in alarm until somebody acknowledges or resets it"
	if _, because := s.e.Describe("hot/d", start.Add(time.Hour)); because != want {
		t.Errorf("because %q, want %q", because, want)
	}
}
