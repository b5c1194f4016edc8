package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEventsAsReceiversReadThem keeps the public form: a change here is a change
// of the contract.
func TestEventsAsReceiversReadThem(t *testing.T) {
	var all strings.Builder
	f := func(name string, file *File, values string) {
		t.Helper()
		fmt.Fprintf(&all, "# %s: %s\n", name, values)
		for _, body := range play(t, file, values).bytes {
			var v any
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Errorf("%s: %v", body, err)
			}
			fmt.Fprintln(&all, body)
		}
		fmt.Fprintln(&all)
	}
	rule := freezer(t)
	rule.Title = "{device} at {value:.1} {unit}, limit {threshold}"
	rule.Runbook = "https://wiki.example.com/freezer-warm?a=1&b=<2>"
	rule.Labels = map[string]string{"crm_queue": "cold-chain", "a": "b"}
	f("with for and clear_for", coldFile(rule), "-20 -14.26x9 -10.9 _ -16 -18.5x6")
	f("a ladder", coldFile(ladder(t)), "-20 -14 -9x3 -13 -17.5")
	file := coldFile(freezer(t))
	file.Metric["temperature"] = &MetricDef{Type: "bool"}
	file.Rule["freezer-warm"] = &RuleDef{Metric: "temperature", Condition: Condition{Is: ptr(Scalar("true"))}, Title: "{rule} in {label.room}: {value}"}
	f("a bool", file, "OFF ON OFF")
	file = &File{Rule: map[string]*RuleDef{"state": {Metric: "temperature", Condition: Condition{In: []Scalar{"E4", "E5"}, ClearIs: ptr(Scalar("ok"))}}}}
	f("a text, and nothing declared", file, "ok E5 E4 ? ok")
	golden(t, "events.golden", all.String())
}

func TestTitles(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		file := coldFile(ladder(t))
		file.Rule["freezer-warm"].Title = text
		file.Rule["freezer-warm"].Labels = map[string]string{"queue": "cold"}
		if got := play(t, file, "-13.956").events[0].Title; got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	f("{device} at {value:.1} {unit}, limit {threshold}", "freezer-07 at -14.0 °C, limit -15 °C")
	f("{value} {value:.0} {value:+.2}", "-13.956 -14 -13.96")
	f("{severity} {rule} {metric}", "warning freezer-warm temperature")
	f("{label.room} {label.queue} {label.none}!", "cold-1 cold!")
	f("{{device}} {device}", "{device} freezer-07")
	f("plain", "plain")
	for text, want := range map[string]string{"{value:.1}": "0.0", "{value:+.1}": "+0.0", "{value}": "-0.04"} {
		p, err := parseTitle(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p[0].number(-0.04); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestNumbersAndDurationsForPeople(t *testing.T) {
	for v, want := range map[float64]string{-10.9: "-10.9", 21.123456: "21.1235", 0.00012345: "0.0001234", 1e6: "1000000", 1e20: "1e+20", 0: "0", 0.1 + 0.2: "0.3"} {
		if got := shown(v); got != want {
			t.Errorf("%v is shown as %q, want %q", v, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		10 * time.Minute: "10m 0s", 45 * time.Second: "45s", 0: "0s", 400 * time.Millisecond: "400ms",
		26*time.Hour + time.Second: "1d 2h 0m 1s", -time.Second: "0s",
	} {
		if got := spell(d); got != want {
			t.Errorf("%v is spelled %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{10 * time.Minute: "10m", 90 * time.Second: "1m30s", time.Hour: "1h", 90 * time.Minute: "1h30m"} {
		if got := written(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
	if got := clock(start.Add(-15*time.Hour), start); got != "2026-11-05 23:00:00" {
		t.Errorf("yesterday is %q", got)
	}
}

func TestAUnitThatOnlyThePayloadKnowsIsTold(t *testing.T) {
	file := &File{Rule: map[string]*RuleDef{"dry": {Metric: "soil"}}}
	file.Rule["dry"].Below, file.Rule["dry"].ClearFor = qty(t, "20"), dur(t, "1m")
	p := mustCompile(t, file)
	r := newRun(t, p, Options{})
	f := func(minute, v float64, unit string) {
		t.Helper()
		s := reading(minutes(minute), v)
		s.Metric, s.Unit = "soil", unit
		r.step(Input{Now: minutes(minute), Sample: s})
	}
	f(0, 12, "%")
	f(1, 50, "%")
	r.restart(p)
	r.tick(minutes(5)) // resolved by time, before another reading
	f(6, 12, "")
	want := []string{"% freezer-07: soil 12 %, limit 20", "% freezer-07: soil 50 %, limit 20", " freezer-07: soil 12, limit 20"}
	var got []string
	for _, ev := range r.events {
		got = append(got, ev.Reading.Unit+" "+ev.Title)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRouteDecidesAndTheToldAreRemembered(t *testing.T) {
	var asked []string
	p := mustCompile(t, coldFile(ladder(t)))
	r := newRun(t, p, Options{Route: func(ev *Event) []string {
		asked = append(asked, string(ev.Type))
		if ev.Alarm.Severity == Critical {
			return []string{"pager", "pager"}
		}
		return []string{"crm"}
	}})
	for i, v := range []float64{-14, -9, -9, -9, -13, -20} {
		r.sample(minutes(float64(i)), v)
	}
	if got := fmt.Sprint(asked); got != "[alarm.fired alarm.escalated]" {
		t.Errorf("asked for %s", got)
	}
	if got := fmt.Sprint(r.events[0].Endpoints, r.events[1].Endpoints, r.events[2].Endpoints, r.events[3].Endpoints); got != "[crm] [crm pager] [crm pager] [crm pager]" {
		t.Errorf("told %s", got)
	}
}

// Law: what a quantity prints reads back as itself.
func FuzzQuantity(f *testing.F) {
	for _, s := range []string{"-15 °C", "60%", "1e3", "5 bar", "+.5 m/s", "0x1p4", "1 5", "nan", "-0", "1e400"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var q, again Quantity
		if q.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(q.String())); err != nil || again != q {
			t.Errorf("%q is %#v, which prints %q and reads %#v (%v)", s, q, q.String(), again, err)
		}
	})
}

// Law: a duration is not negative, and what it prints reads back as itself.
func FuzzDuration(f *testing.F) {
	for _, s := range []string{"90s", "10m", "1h30m", "7d", "1d12h", "d", "-1s", "1d-1h", "106751d24h", "65535d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if again, err := ParseDuration(written(d)); err != nil || again != d || d < 0 {
			t.Errorf("%q is %v, which is written %q and reads %v (%v)", s, d, written(d), again, err)
		}
	})
}

// Law: a title either has a remedy, or renders the same with its braces doubled
// where they stood for themselves.
func FuzzTitle(f *testing.F) {
	for _, s := range []string{"{device} at {value:.1} {unit}", "{{x}}", "{", "}", "{label.a}", "{value:+.9}", "{value:}", "{}"} {
		f.Add(s)
	}
	fill := func(p titlePart) string { return "<" + p.name + ">" }
	f.Fuzz(func(t *testing.T, s string) {
		parsed, wrong := parseTitle(s)
		for _, p := range wrong {
			if p.fact == "" || p.remedy == "" {
				t.Errorf("%q: no fact or remedy", s)
			}
		}
		if wrong != nil {
			return
		}
		var back strings.Builder
		for _, p := range parsed {
			if p.name == "" {
				back.WriteString(strings.NewReplacer("{", "{{", "}", "}}").Replace(p.text))
			} else {
				back.WriteString("{" + p.name + "}")
			}
		}
		again, wrong := parseTitle(back.String())
		if wrong != nil || again.render(fill) != parsed.render(fill) {
			t.Errorf("%q became %q", s, back.String())
		}
	})
}

// The text and the field of one event say the same.
func TestDurationsOfAnEpisodeAreToldInWholeSeconds(t *testing.T) {
	s := newScene(t, bareLimit)
	s.play("0m freezer-1 temperature=-10")
	s.play("3m27.982s freezer-1 temperature=-20")
	s.play("4m freezer-1 temperature=-10\n4m0.25s freezer-1 temperature=-20")
	for i, want := range map[int]string{1: "3m27s", 3: "250ms"} {
		if got := s.events[i].Duration; got != want {
			t.Errorf("event %d lasted %q, want %q", i, got, want)
		}
	}
	if because := s.events[1].Because; !strings.Contains(because, "in alarm for 3m 27s") {
		t.Errorf("because %q, and its duration says 3m27s", because)
	}
}

func TestEndByAChangedRuleSaysSo(t *testing.T) {
	s := newScene(t, bareLimit)
	s.play("0m freezer-1 temperature=-10")
	s.change(func(f *File) {
		for _, r := range f.Rule {
			r.Above = &Quantity{Value: 0}
			r.Clear = nil
		}
	}).play("1m reload")
	if len(s.events) != 2 {
		t.Fatalf("told %q", s.told)
	}
	ev := &s.events[1]
	if ev.Type != AlarmResolved || ev.Reason != "rule_changed" || !strings.HasPrefix(ev.Because, "its rule has changed: ") {
		t.Errorf("%s, reason %q, because %q; want an end that says that its rule has changed", ev.Type, ev.Reason, ev.Because)
	}
}
