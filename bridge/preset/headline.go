package preset

import (
	"strings"

	"tocsin/rules"
)

// headline is the title behind what has happened: a title says how things stand, and
// that an alarm of which nothing is heard any more stands as it did reads like
// another one. Events about no alarm, and of one that is cancelled, have titles that
// say what has happened.
func headline(t rules.Type, severity, reason, title string) string {
	if word := happened(t, severity, reason); word != "" {
		return strings.ToUpper(word[:1]) + word[1:] + ": " + title
	}
	return title
}

func happened(t rules.Type, severity, reason string) string {
	switch t {
	case rules.AlarmFired:
		return severity
	case rules.AlarmEscalated:
		return "now " + severity
	case rules.AlarmDeescalated:
		return "down to " + severity
	case rules.AlarmReminder:
		return "still " + severity
	case rules.AlarmReturned:
		return "back to normal, not acknowledged"
	case rules.AlarmResolved:
		return ended(reason)
	case rules.AlarmOccurred:
		return "was in alarm"
	case rules.AlarmFlapping:
		return "flapping"
	case rules.AlarmFlapEnded:
		return "no longer flapping"
	case rules.AlarmStale:
		return "no data"
	case rules.AlarmAcked:
		return "acknowledged"
	case rules.AlarmUnacked:
		return "no longer acknowledged"
	case rules.AlarmShelved:
		return "shelved"
	case rules.AlarmUnshelved:
		return "no longer shelved"
	case rules.ReadingMatched:
		return "reading"
	}
	return ""
}

// ended says of an end that it was none of the device's doing, where that is so.
func ended(reason string) string {
	switch reason {
	case "rule_changed":
		return "ended, rule changed"
	case "schedule":
		return "ended, outside of its schedule"
	case "no_data":
		return "ended, no data"
	case "reset":
		return "ended, reset"
	}
	return "resolved"
}
