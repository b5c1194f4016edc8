package survey_test

import (
	"fmt"
	"strings"
	"testing"

	"tocsin/bridge/survey"
	"tocsin/broker"
)

// What is beyond the bounds of a proposal is said in it, not left out in silence.
func TestWhatIsTooMuchForAProposalIsNamed(t *testing.T) {
	s, err := survey.New(survey.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 15 { // 225 patterns that have nothing in common
		for j := range 15 {
			s.Take(broker.Message{Topic: fmt.Sprintf("a%d/b%d/c", i, j), Payload: fmt.Appendf(nil, `{"m%d_%d":1}`, i, j), Received: begun})
		}
	}
	p := s.Propose()
	told := 0
	for _, source := range p.Found {
		told += source.Messages - source.Lost
	}
	for _, fault := range p.Faults {
		told += fault.Messages
	}
	if messages, _ := s.Seen(); told != messages || len(p.Found) != 200 {
		t.Errorf("%d sources; %d of %d messages are accounted for", len(p.Found), told, messages)
	}
	loaded(t, t.TempDir(), p)

	if s, err = survey.New(survey.Options{}); err != nil {
		t.Fatal(err)
	}
	var fields []string
	for i := range 70 {
		fields = append(fields, fmt.Sprintf(`"m%d":%d`, i, i))
	}
	s.Take(broker.Message{Topic: "plants/p1/telemetry", Payload: []byte("{" + strings.Join(fields, ",") + "}"), Received: begun})
	if p = s.Propose(); !strings.Contains(p.Rules, "# Not all metrics are here") {
		t.Errorf("nothing is said of metrics that are not looked at:\n%s", p.Rules)
	}
	loaded(t, t.TempDir(), p)
}
