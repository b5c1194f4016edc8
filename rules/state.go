package rules

import "time"

// A State is what must be remembered about one alarm: written to the store with
// every transition, and given back to [Engine.Restore] at start. It is encoded
// as JSON, so that the store's file can be read with any tool; a field may be
// added, never given another meaning.
type State struct {
	Key    string `json:"-"`               // "rule/instance", the alarm's key
	Rule   string `json:"rule"`            // rule id
	Device string `json:"device"`          // instance
	Group  bool   `json:"group,omitempty"` // it is a group of devices, and no device

	Labels map[string]string `json:"labels,omitempty"` // of the device, as samples told them

	Revision string `json:"revision,omitempty"` // of the rule that it was judged by

	Levels []LevelState `json:"levels"` // by ascending severity, as the rule lists them

	Episode   string    `json:"episode,omitempty"` // current or last
	Seq       int       `json:"seq,omitempty"`     // of the last event told in it
	ToldAs    string    `json:"told_as,omitempty"` // the rule's id when the episode began, if another
	StartedAt time.Time `json:"started_at,omitzero"`
	FiredAt   time.Time `json:"fired_at,omitzero"`
	Relapses  int       `json:"relapses,omitempty"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Told      []string  `json:"told,omitempty"` // endpoints that were told of this episode

	// What was told lags behind how the alarm stands while it is muted.
	Severity Severity  `json:"severity,omitzero"` // as last told; unset while fired has not been told
	ToldAt   time.Time `json:"told_at,omitzero"`  // when fired was told
	Muted    string    `json:"muted,omitempty"`   // why not

	Acked        bool        `json:"acked,omitempty"`
	AckedBy      string      `json:"acked_by,omitempty"`
	Reminder     time.Time   `json:"reminder,omitzero"` // when the next one is due
	Reminded     int         `json:"reminded,omitempty"`
	Raised       Severity    `json:"raised,omitzero"` // by escalations
	Escalated    int         `json:"escalated,omitempty"`
	Returned     bool        `json:"returned,omitempty"` // latched: the condition has cleared
	ReturnedTold bool        `json:"returned_told,omitempty"`
	Flapping     bool        `json:"flapping,omitempty"`
	Flips        []time.Time `json:"flips,omitempty"`   // when it came and went
	Unknown      time.Time   `json:"unknown,omitzero"`  // since when nothing is known
	StaleAt      time.Time   `json:"stale_at,omitzero"` // when that has been too long
	Stale        bool        `json:"stale,omitempty"`   // and for too long
	StaleTold    bool        `json:"stale_told,omitempty"`
	FirstSeen    bool        `json:"first_seen,omitempty"` // its condition held at the first look since the store was new
	NoData       bool        `json:"no_data,omitempty"`    // it fired because of that
	Cooldown     time.Time   `json:"cooldown,omitzero"`    // when the last episode began, for rules with cooldown
	Shelved      *Shelving   `json:"shelved,omitempty"`
	Contact      time.Time   `json:"contact,omitzero"` // a silence alarm: the contact that was the last; at rest the one that ended it, or a later one

	LastAt      time.Time `json:"last_at,omitzero"` // event time of the newest sample judged
	Last        any       `json:"last,omitempty"`
	LastClock   Clock     `json:"last_clock,omitempty"`
	Unit        string    `json:"unit,omitempty"` // of the values, where only the payload says it
	ValueAtFire any       `json:"value_at_fire,omitempty"`
	Peak        *Point    `json:"peak,omitempty"`
	Evidence    []Point   `json:"evidence,omitempty"`
	Counted     [2]int    `json:"counted,omitzero"`   // samples that held the condition, of samples seen, since it began
	Measured    *Point    `json:"measured,omitempty"` // what the rule compares, as it was last
}

// A Shelving is an operator's wish to hear nothing of an alarm for a while.
type Shelving struct {
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until"`
}

// A LevelState is one rung of an alarm's severity ladder.
type LevelState struct {
	Severity Severity `json:"severity"`
	On       bool     `json:"on,omitempty"` // its condition has held for its time

	// A timer runs while the level is on its way in (On false) or out (On true).
	Since     time.Time     `json:"since,omitzero"`      // event time at which it started
	Deadline  time.Time     `json:"deadline,omitzero"`   // on the bridge's clock; downtime moves it
	Uncovered time.Duration `json:"uncovered,omitempty"` // downtime since Since that no sample speaks for
	Samples   int           `json:"samples,omitempty"`   // consecutive samples that held
	Wait      time.Duration `json:"wait,omitempty"`      // for how long it runs, by the rule
}

// A Transition is one change of one alarm: its new state and what is to be told
// about it, in order. State and events are written together or not at all.
type Transition struct {
	State  State
	Events []Event

	channel *channel // nil where no rule claims the alarm
}

// An Output collects what a step decided. It is reused from step to step:
// [Engine.Step] appends, [Output.Reset] empties.
type Output struct {
	Transitions []Transition

	// Depends is the highest mark ever given, by [Output.Stamp], to the alarms
	// that these steps looked at, or to others of the same device and metric. What they decided is safe once everything up
	// to that mark is.
	Depends uint64

	// Problems are samples that were not judged, by reason, for counters.
	Problems []string
}

// Reset empties o, keeping its memory.
func (o *Output) Reset() {
	clear(o.Transitions)
	o.Transitions = o.Transitions[:0]
	o.Problems = o.Problems[:0]
	o.Depends = 0
}

// Stamp marks what o's transitions changed with the caller's commit number.
func (o *Output) Stamp(mark uint64) {
	for i := range o.Transitions {
		if c := o.Transitions[i].channel; c != nil {
			c.mark = mark
		}
	}
}
