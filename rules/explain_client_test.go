package rules

import (
	"encoding/json"
	"testing"
)

// Clients read an explanation with the type it is written with.
func TestExplanationOfAnAlarmAtRestCanBeReadAgain(t *testing.T) {
	b, err := json.Marshal(&Explanation{Key: "warm/freezer-1", State: "inactive"})
	if err != nil {
		t.Fatal(err)
	}
	var x Explanation
	if err := json.Unmarshal(b, &x); err != nil {
		t.Errorf("%s: %v", b, err)
	}
}
