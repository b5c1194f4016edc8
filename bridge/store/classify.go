package store

import "tocsin/rules"

// A class is what an event tells of its alarm, and how badly it stands: what
// supersedes what, and what is dropped first, is decided by it.
type class uint8

const (
	apart  class = iota // tells nothing that another event could make stale
	remark              // on a state that stays as it is
	state               // of the alarm, in the midst of an episode
	begin               // of an episode
	end                 // of an episode

	kinds = 8 // the severity is above these
)

func (c class) kind() class              { return c % kinds }
func (c class) severity() rules.Severity { return rules.Severity(c / kinds) }

func classify(t rules.Type, s rules.Severity) class {
	return kindOf(t) + kinds*class(s)
}

func kindOf(t rules.Type) class {
	switch t {
	case rules.AlarmFired:
		return begin
	case rules.AlarmResolved, rules.AlarmCancelled:
		return end
	case rules.AlarmEscalated, rules.AlarmDeescalated, rules.AlarmReturned, rules.AlarmFlapping, rules.AlarmFlapEnded, rules.AlarmStale,
		rules.DeviceOnline, rules.DeviceOffline, rules.SourceDisconnected, rules.SourceReconnected:
		return state
	case rules.AlarmReminder, rules.AlarmAcked, rules.AlarmUnacked, rules.AlarmShelved, rules.AlarmUnshelved:
		return remark
	}
	return apart
}

// classFrom is the class of a stored event. One of an older store has none, and
// its severity is not known without its body: it is taken for a critical one.
func classFrom(c int64, t rules.Type) class {
	if c < 0 {
		return classify(t, rules.Critical)
	}
	return class(c) // #nosec G115 -- it was written by classify
}
