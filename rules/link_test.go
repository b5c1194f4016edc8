package rules

import (
	"slices"
	"testing"
)

func TestSourcesLostAtOneMomentAreToldInOrder(t *testing.T) {
	names := []string{"attic", "cellar", "garden", "hall", "plant"}
	for range 5 {
		e := NewEngine(newScene(t, hotOnly).e.program, Options{Route: func(*Event) []string { return []string{"ops"} }})
		var out Output
		for minute, up := range []bool{true, false} {
			for _, name := range names {
				e.Step(Input{Now: minutes(float64(minute)), Link: &Link{Source: name, Connected: up}}, &out)
			}
		}
		out.Reset()
		e.Step(Input{Now: minutes(2)}, &out)
		var told []string
		for _, tr := range out.Transitions {
			for i := range tr.Events {
				told = append(told, tr.Events[i].Source)
			}
		}
		if !slices.Equal(told, names) {
			t.Fatalf("told %q, want %q", told, names)
		}
	}
}
