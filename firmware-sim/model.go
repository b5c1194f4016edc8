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
	// Range is the lowest and the highest value that the rule takes for a
	// measurement; what is outside changes nothing. Empty: everything is one.
	Range []float64 `toml:"range" json:"range,omitempty"`
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
	// about as long as the rule asks for, and ended between two readings; or what
	// was sent cannot be judged, since its clock or its unit is wrong.
	Maybe bool `json:"maybe,omitempty"`
	// Slack is how much later than Started the alarm may say that it began, where
	// payloads carry no time and their arrival counts.
	Slack Duration `json:"slack,omitzero"`
}

// arrives is how late a message without a time may be taken to be sent.
const arrives = 30 * time.Second

// A watch is one alarm: a rule at a device.
type watch struct {
	Expect
	rule   string
	metric string
	slack  Duration
	state  state
	since  time.Time // of the first reading beyond the limit
	until  time.Time // of what cannot be judged, the last
	maybe  bool      // whether it fired is open
}

type state uint8

const (
	quiet state = iota
	pending
	firing
	open // nobody can say
)

func newWatch(rule string, e Expect) *watch {
	return &watch{Expect: e, rule: rule, metric: e.Metric}
}

// see takes the next reading.
func (w *watch) see(v float64, at time.Time) []Crossing {
	if w.state == open && !at.After(w.until) {
		return nil // a clock that was ahead is right again: this is older than what was heard
	}
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
	if (w.state == firing || w.state == open) && w.cleared(v) {
		end := at
		if w.state == open {
			end = latest(at, w.until)
		}
		w.state = quiet
		told = append(told, w.crossing(Resolved, end))
	}
	return told
}

// miss takes a reading without a usable value: it changes nothing, but what goes
// on without readings is then for nobody to say.
func (w *watch) miss(at time.Time) []Crossing {
	if w.state == pending {
		return w.doubt(at, at)
	}
	return nil
}

// doubt takes a reading that cannot be judged: whatever the alarm does from then
// on, until a reading that can be ends it, may be right.
func (w *watch) doubt(from, until time.Time) (told []Crossing) {
	if w.state == firing {
		w.maybe = true
		told = append(told, w.crossing(Resolved, until))
	}
	if w.state == open && from.Before(w.since) { // the clock runs backwards
		told = append(told, w.crossing(Resolved, latest(w.until, until)))
	}
	if w.state == quiet || w.state == firing || from.Before(w.since) {
		w.since, w.maybe = from, true
		told = append(told, w.crossing(Fired, from))
	}
	if w.state != open {
		w.until = until
	}
	w.state, w.maybe, w.until = open, true, latest(w.until, until)
	return told
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// outside reports whether the rule does not take a value for a measurement.
func (w *watch) outside(v float64) bool {
	return len(w.Range) == 2 && (v < w.Range[0] || v > w.Range[1])
}

func (w *watch) crossing(kind string, at time.Time) Crossing {
	return Crossing{Rule: w.rule, Type: kind, At: at, Started: w.since, Maybe: w.maybe, Slack: w.slack}
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
