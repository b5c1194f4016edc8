package rules

import "testing"

// However often an alarm is looked at while what it measures stays the same, its
// events carry a few points, and none of them twice in a row.
func TestEvidenceOfWhatStaysTheSameIsShort(t *testing.T) {
	s := newScene(t, hotOnly+"[rule.both]\nwhen = \"temperature > 5 and humidity > 1\"\nfresh = \"1d\"\nrenotify = \"2h\"\n[metric.humidity]\n")
	s.play("0m d temperature=6\n0m..190m/1m d humidity=2")
	last := s.events[len(s.events)-1]
	if n := len(last.Evidence); last.Type != AlarmReminder || last.Rule.ID != "both" || n == 0 || n > maxEvidence {
		t.Fatalf("%s of %s has %d points of evidence", last.Type, last.Rule.ID, n)
	}
	for i, p := range last.Evidence[1:] {
		if p == last.Evidence[i] {
			t.Fatalf("point %d is there twice: %v", i, p)
		}
	}
}

// A device's clock is judged whether or not a rule looks at what it measures.
func TestSkewNeedsNoOtherRule(t *testing.T) {
	tell(t, "schema = 1\n[rule.clock]\nskew = \"1m\"\n", "0m..30m/1m d temperature=1 age=-50m", "3m fired warning clock/d")
}
