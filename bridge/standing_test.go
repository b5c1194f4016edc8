package bridge

import (
	"testing"
	"time"

	"tocsin/rules"
)

// People must see what waits for them: an alarm that is latched, or flaps, is clear
// by its readings and goes on all the same.
func TestAlarmThatIsHeldStandsAsFiring(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, s := range map[string]rules.State{
		"latched":  {Returned: true},
		"flapping": {Flapping: true},
	} {
		s.FiredAt, s.Severity, s.Levels = at, rules.Critical, []rules.LevelState{{Severity: rules.Warning}, {Severity: rules.Critical}}
		if got := standing(&s); got != (Standing{"firing", rules.Critical}) {
			t.Errorf("%s: %v", name, got)
		}
	}
	ended := rules.State{FiredAt: at, EndedAt: at, Levels: []rules.LevelState{{Severity: rules.Warning}}}
	if got := standing(&ended); got.State != inactive {
		t.Errorf("one that has ended: %v", got)
	}
}
