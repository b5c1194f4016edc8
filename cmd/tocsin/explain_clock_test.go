package main

import (
	"testing"

	"tocsin/rules"
)

func TestExplainSaysWhichWayAClockIsOff(t *testing.T) {
	for skew, want := range map[string]string{
		"59s":  "its clock is 59s behind",
		"-59s": "its clock is 59s ahead",
	} {
		if got := heard(&rules.Explanation{Skew: skew}); got != want {
			t.Errorf("heard of a skew of %s: got %q, want %q", skew, got, want)
		}
	}
}
