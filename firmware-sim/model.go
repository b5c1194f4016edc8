package sim

import "time"

// Expect describes a rule of the bridge in the simplest form there is: a limit,
// a value at which it clears, and how long it must last. It is all that the
// simulator knows of rules, and it knows it by itself.
type Expect struct {
	Metric string   `toml:"metric" json:"metric"`
	Above  *float64 `toml:"above" json:"above,omitempty"`
	Below  *float64 `toml:"below" json:"below,omitempty"`
	Clear  *float64 `toml:"clear" json:"clear,omitempty"` // default: the limit
	For    Duration `toml:"for" json:"for,omitzero"`      // in real time, as the bridge counts it
}

// What a crossing is. The first two must be told; of the others, which only a
// rule with a For has, nobody is told.
const (
	Fired     = "alarm.fired"
	Resolved  = "alarm.resolved"
	Pending   = "alarm.pending"
	Cancelled = "alarm.pending_cancelled"
)

// A Crossing is a change of an alarm: a reading crosses a limit.
type Crossing struct {
	Rule    string    `json:"rule"`
	Type    string    `json:"type"`
	At      time.Time `json:"at"`         // the stamp of the reading that decided
	Started time.Time `json:"started_at"` // the stamp of the first reading beyond the limit
	// Maybe is true where the readings leave it open: the limit was crossed for
	// about as long as the rule asks for, and ended between two readings.
	Maybe bool `json:"maybe,omitempty"`
}

// A watch is one alarm: a rule at a device.
type watch struct {
	Expect
	rule   string
	metric string
	state  state
	since  time.Time // of the first reading beyond the limit
	maybe  bool      // whether it fired is open
}

type state uint8

const (
	quiet state = iota
	pending
	firing
)

func newWatch(rule string, e Expect) *watch {
	return &watch{Expect: e, rule: rule, metric: e.Metric}
}

// see takes the next reading.
func (w *watch) see(v float64, at time.Time) []Crossing {
	var told []Crossing
	if w.state == quiet && w.beyond(v) {
		w.state, w.since, w.maybe = pending, at, false
		if w.For > 0 {
			told = append(told, w.crossing(Pending, at))
		}
	}
	lasted := at.Sub(w.since) >= time.Duration(w.For)
	switch {
	case w.state == pending && lasted:
		// Beyond the limit at both ends it has certainly fired. If it came back in
		// the meantime, the bridge's own timer may have been faster.
		w.state, w.maybe = firing, !w.beyond(v)
		told = append(told, w.crossing(Fired, at))
	case w.state == pending && !w.beyond(v):
		w.state = quiet
		told = append(told, w.crossing(Cancelled, at))
	}
	if w.state == firing && w.cleared(v) {
		w.state = quiet
		told = append(told, w.crossing(Resolved, at))
	}
	return told
}

func (w *watch) crossing(kind string, at time.Time) Crossing {
	return Crossing{Rule: w.rule, Type: kind, At: at, Started: w.since, Maybe: w.maybe}
}

func (w *watch) beyond(v float64) bool {
	if w.Above != nil {
		return v > *w.Above
	}
	return v < *w.Below
}

func (w *watch) cleared(v float64) bool {
	if w.beyond(v) {
		return false
	}
	switch {
	case w.Clear == nil:
		return true
	case w.Above != nil:
		return v <= *w.Clear
	}
	return v >= *w.Clear
}
