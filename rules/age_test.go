package rules

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const ageing = `
[device.d]
every = "20s"
[rule.old]
when = "age(x) > 90s"
[rule.both]
when = "age(x) >= 1m and age(y) < 3m or not (age(y) <= 200)"
for = "10s"
[rule.in]
when = "age(x) in [10, 12.5, 30] or age(x) == 40"
[rule.far]
when = "age(x) > 3000000000 or age(y) > -9e300 and age(y) < -5"
[rule.open]
when = "age(x) + 1 > 61 or round(age(y)) == 7"
[rule.two]
when = "age(x) > age(y)"
[rule.never]
when = "(age(x) ?? 500) > 400"
`

// An age is looked at when it may have passed what it is compared with, and tells what
// it would if it were looked at every second.
func TestAgeIsLookedAtWhenItMatters(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6)) // #nosec G404 -- times of a test
	for round := range 30 {
		// With the device's own stamps a for is by their clock, which a look from ours
		// would measure otherwise: two answers to another question.
		stamped, text := round%2 == 1, ageing
		if stamped {
			text = strings.ReplaceAll(text, "for = \"10s\"\n", "")
		}
		var inputs []Input
		now := start
		for range 60 {
			now = now.Add(time.Duration(r.IntN(1_000_000_000)) * time.Duration(1+r.IntN(120)))
			if r.IntN(3) == 0 {
				now = now.Truncate(time.Second)
			}
			in := Input{Now: now}
			if r.IntN(5) > 0 {
				s := Sample{Device: "d", Metric: [...]string{"x", "y"}[r.IntN(2)], Kind: Number, At: now, Received: now}
				if stamped && r.IntN(3) == 0 {
					s.At, s.Clock = now.Add(time.Duration(r.IntN(20)-15)*time.Second), ClockDevice
				}
				in.Sample = &s
			}
			inputs = append(inputs, in)
		}
		told := func(everySecond bool) (events []Event) {
			p, problems := Compile(readFile(t, text))
			if p == nil {
				t.Fatal(problems)
			}
			if everySecond {
				for _, r := range p.rules {
					for i := range r.gauges {
						for k := range r.gauges[i].refs {
							r.gauges[i].refs[k].bounds = nil
						}
					}
				}
			}
			e, out := NewEngine(p, Options{}), Output{}
			for _, in := range inputs {
				for next := e.Next(); !next.IsZero() && next.Before(in.Now); next = e.Next() {
					e.Step(Input{Now: next}, &out)
				}
				e.Step(in, &out)
			}
			for _, tr := range out.Transitions {
				events = append(events, tr.Events...)
			}
			return events
		}
		if got, want := told(false), told(true); list(got) != list(want) {
			t.Fatalf("told\n%s\nwant\n%s", list(got), list(want))
		} else if len(want) < 10 {
			t.Fatalf("only %d events", len(want))
		}
	}
}

func list(events []Event) string {
	var b strings.Builder
	for _, ev := range events {
		b.WriteString(ev.At.Format("15:04:05.000 ") + string(ev.Type) + " " + ev.Alarm.Key + " " + ev.ID + " " + ev.Title + "\n")
	}
	return b.String()
}

// Ten thousand devices with a rule about an age cost nothing while nothing can change.
func TestAgeIsNotLookedAtInBetween(t *testing.T) {
	s := newScene(t, "[rule.old]\nwhen = \"age(x) > 90s\"\n")
	s.play("0s d x=1")
	if next := s.e.Next(); next.Sub(start) < 88*time.Second || next.Sub(start) > 91*time.Second {
		t.Errorf("looked at again after %s", next.Sub(start))
	}
	s.play("92s tick")
	if len(s.told) != 1 || s.told[0] != "1m31s fired warning old/d" {
		t.Errorf("told %q", s.told)
	}
	if next := s.e.Next(); !next.IsZero() && next.Sub(start) < time.Hour {
		t.Errorf("looked at again after %s", next.Sub(start))
	}
}
