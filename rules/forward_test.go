package rules

import (
	"fmt"
	"testing"
	"time"
)

// A rule that forwards what comes passes it on as it came: numbers, texts and
// booleans of one metric alike. What is no reading is not passed on.
func TestForwardedReadingsAreAsTheyCame(t *testing.T) {
	e := NewEngine(mustCompile(t, readFile(t, `
[rule.pass]
metric  = "payload"
forward = true
title   = "{device}: {value:.1}"
`)), Options{Route: func(*Event) []string { return []string{"ops"} }})
	at := start
	tell := func(s Sample) string {
		at = at.Add(time.Minute)
		s.Device, s.Metric, s.At, s.Received = "d", "payload", at, at
		var out Output
		e.Step(Input{Now: at, Sample: &s}, &out)
		for _, tr := range out.Transitions {
			for _, ev := range tr.Events {
				if ev.Type == ReadingMatched {
					return fmt.Sprintf("%T %v %s, %s; %s", ev.Reading.Value, ev.Reading.Value, ev.Reading.Unit, ev.Title, ev.Because)
				}
			}
		}
		return ""
	}
	for _, want := range []struct {
		sample Sample
		told   string
	}{
		{Sample{Num: 21.55}, "float64 21.55 , d: 21.6; payload is 21.55: any reading"},
		{Sample{Kind: Text, Text: "idle"}, `string idle , d: idle; payload is "idle": any reading`},
		{Sample{Kind: Text, Text: "21.5"}, `string 21.5 , d: 21.5; payload is "21.5": any reading`},
		{Sample{Kind: Bool, Num: 1}, "bool true , d: true; payload is true: any reading"},
		{Sample{Kind: Bool}, "bool false , d: false; payload is false: any reading"},
		{Sample{Num: 3, Unit: "bar"}, "float64 3 bar, d: 3.0; payload is 3: any reading"},
		{Sample{Num: nan()}, ""},
		{Sample{Kind: Text}, ""},
	} {
		if got := tell(want.sample); got != want.told {
			t.Errorf("%+v:\n got %s\nwant %s", want.sample, got, want.told)
		}
	}
	// What is remembered of a reading is what it was.
	var states []any
	for _, v := range []value{{num: 21.5}, {text: "21.5"}, {num: 1, text: boolMark}, {text: boolMark}} {
		public := asCame.public(v)
		back, ok := asCame.private(public)
		if !ok || back != v {
			t.Errorf("%v is remembered as %v", v, back)
		}
		states = append(states, public)
	}
	if got := fmt.Sprintf("%#v", states); got != `[]interface {}{21.5, "21.5", true, false}` {
		t.Errorf("told as %s", got)
	}
}

// Where another rule says what the metric is, that holds for all.
func TestAnotherRuleSaysWhatAForwardedReadingIs(t *testing.T) {
	p := mustCompile(t, readFile(t, `
[rule.pass]
metric  = "level"
forward = true
[rule.high]
metric = "level"
above  = 5
`))
	if k := p.byID["pass"].metric.kind; k != Number {
		t.Errorf("level is a %v", k)
	}
}
