package preset

import "tocsin/rules"

// A Kind is what an event asks of a destination.
type Kind string

const (
	Raise       Kind = "raise"       // an alarm begins, or something else that is going to end
	Update      Kind = "update"      // it goes on, in another way or still
	Acknowledge Kind = "acknowledge" // somebody has taken it
	Resolve     Kind = "resolve"     // it is over
	Note        Kind = "note"        // anything else worth knowing
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Raise, Update, Acknowledge, Resolve, Note} }

// KindOf says what an event asks. A type that is not known is a note.
func KindOf(t rules.Type) Kind {
	switch t {
	case rules.AlarmFired, rules.SourceDisconnected, rules.DevicesNearLimit, rules.EndpointFailing, rules.EndpointDisabled:
		return Raise
	case rules.AlarmEscalated, rules.AlarmDeescalated, rules.AlarmReminder, rules.AlarmReturned,
		rules.AlarmFlapping, rules.AlarmFlapEnded, rules.AlarmStale:
		return Update
	case rules.AlarmAcked:
		return Acknowledge
	case rules.AlarmResolved, rules.AlarmCancelled, rules.SourceReconnected, rules.DevicesBelowLimit, rules.EndpointRecovered:
		return Resolve
	}
	return Note
}
