package rules

import "testing"

// An alarm of the past is told by how bad it was, in whatever order its readings
// came, and not by the reading that followed it. That it waited for the rest of
// its message is no suppression.
func TestAlarmOfThePastIsToldByItsWorst(t *testing.T) {
	const file = "schema = 1\n[rule.hot]\nmetric = \"t\"\nabove = 30\n"
	for _, story := range []string{
		"60m batch d t -50m=20 -40m=35 -30m=38 -20m=31 -10m=20 0s=21",
		"5m d t=20\n60m d t=21\n61m batch d t -50m=20 -41m=35 -31m=38 -21m=31 -11m=20",
	} {
		s := newScene(t, file)
		s.play(story)
		last := s.events[len(s.events)-1]
		if want := "d: t 38, limit 30"; last.Type != AlarmOccurred || last.Title != want {
			t.Errorf("after %q\n got %s: %s\nwant alarm.occurred: %s", story, last.Type, last.Title, want)
		}
		for _, x := range s.e.Explain("d", "hot", s.now)[0].Traces {
			if x.Outcome == "suppressed" {
				t.Errorf("after %q it counts as suppressed: %s", story, x.Text)
			}
		}
	}
}
