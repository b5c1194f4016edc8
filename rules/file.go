package rules

import "time"

// A File is a rule file as written: the shape that bridge/config decodes TOML
// into, before [Compile] checks what it means. Several files are merged into
// one before compiling. Pointers tell "not written" from a zero.
type File struct {
	Schema      int                        `toml:"schema"`
	Defaults    Defaults                   `toml:"defaults"`
	Metric      map[string]*MetricDef      `toml:"metric"`
	Device      map[string]*DeviceDef      `toml:"device"`
	Group       map[string]*GroupDef       `toml:"group"`
	Schedule    map[string]*ScheduleDef    `toml:"schedule"`
	Maintenance map[string]*MaintenanceDef `toml:"maintenance"`
	Flood       *FloodDef                  `toml:"flood"`
	Rule        map[string]*RuleDef        `toml:"rule"`
	Test        map[string]*TestDef        `toml:"test"`

	// Place says where a key is written, as file:line, so that people can be sent
	// there; nil, or "", where nobody knows.
	Place func(path []string) string `toml:"-"`
}

// Defaults are inherited by every rule that does not say otherwise.
type Defaults struct {
	Severity Severity `toml:"severity"`
	Timing
	Behaviour
	Notify  []string          `toml:"notify"`
	Runbook string            `toml:"runbook"`
	Labels  map[string]string `toml:"labels"`

	Register string    `toml:"register"`  // auto (default): devices are known once they report | declared: only those with a [device] table
	Late     *Duration `toml:"late"`      // out-of-order tolerance, per device; default 2m
	MaxAhead *Duration `toml:"max_ahead"` // for sources that do not say; default 1m
	MaxRate  *MaxRate  `toml:"max_rate"`  // readings of one device judged one by one; default no bound
	Timezone string    `toml:"timezone"`  // IANA name, of schedules; default UTC
}

// A MetricDef says what a metric is. Outside Range a sample is invalid, not
// very high; a value listed in Invalid is a sensor's error code, unless
// InvalidJump is set and the value is within that distance of the last good one.
type MetricDef struct {
	Type        string    `toml:"type"` // number (default) | bool | text
	Kind        string    `toml:"kind"` // level (default) | event | counter
	Unit        string    `toml:"unit"`
	Range       *Range    `toml:"range"`
	Invalid     []float64 `toml:"invalid"`
	InvalidJump float64   `toml:"invalid_jump"`
	TrueIs      []string  `toml:"true_is"`
	FalseIs     []string  `toml:"false_is"`
}

// A DeviceDef describes a device that is known beforehand: it is expected to
// report from the first second.
type DeviceDef struct {
	Type    string              `toml:"type"`
	Labels  map[string]string   `toml:"labels"`
	Via     string              `toml:"via"`      // parent: its outage explains this one's
	Every   *Duration           `toml:"every"`    // reporting interval; learned otherwise
	MaxRate *MaxRate            `toml:"max_rate"` // default: that of defaults
	Attr    map[string]Quantity `toml:"attr"`     // thresholds of its own: "@name" in a rule
}

// A GroupDef names a set of devices: group:NAME in a scope. Every part that is
// written must match.
type GroupDef struct {
	Match map[string]string `toml:"match"` // type, id (a glob), or a label, and its value
}

// A ScheduleDef is a weekly calendar.
type ScheduleDef struct {
	Days     []string `toml:"days"`     // mon … sun, or ranges "mon-sat"; empty is every day
	Hours    []string `toml:"hours"`    // "08:00-20:00", across midnight too; empty is all day
	Except   []string `toml:"except"`   // dates, "2026-12-25"
	Timezone string   `toml:"timezone"` // default: that of defaults
	Outside  string   `toml:"outside"`  // mute (default): track, tell nobody | off: the condition is false
}

// A MaintenanceDef mutes alarms for a time that is known beforehand.
type MaintenanceDef struct {
	Devices Scope     `toml:"devices"`
	Rules   Scope     `toml:"rules"` // globs of rule ids; empty is all
	From    time.Time `toml:"from"`
	To      time.Time `toml:"to"`
	Reason  string    `toml:"reason"`
}

// A FloodDef collapses alarms while there are too many to be read (ISA-18.2).
type FloodDef struct {
	Start  *RateDef   `toml:"start"`  // more than that many alarms begin a flood
	Stop   *RateDef   `toml:"stop"`   // fewer end it
	Pass   []Severity `toml:"pass"`   // told one by one all the same
	Digest *Duration  `toml:"digest"` // one summary each; default 1m
}

// A RateDef is a number of events within a time.
type RateDef struct {
	Events int       `toml:"events"`
	Within *Duration `toml:"within"`
}

// A RuleDef is one [rule.ID] table.
type RuleDef struct {
	Source string `toml:"-"` // file:line of the table

	Devices Scope  `toml:"devices"`
	Except  Scope  `toml:"except"`
	Metric  string `toml:"metric"`
	Condition
	Timing
	Behaviour
	GroupBy
	Severity    Severity                `toml:"severity"`
	Notify      []string                `toml:"notify"`
	Title       string                  `toml:"title"`
	Runbook     string                  `toml:"runbook"`
	Labels      map[string]string       `toml:"labels"`
	Level       map[string]*LevelDef    `toml:"level"`    // by severity name
	Override    map[string]*OverrideDef `toml:"override"` // by device, label:…, group:… or type:…
	Escalate    map[string]*EscalateDef `toml:"escalate"`
	Flap        *FlapDef                `toml:"flap"`
	RenamedFrom string                  `toml:"renamed_from"`
}

// A LevelDef is a [rule.ID.level.SEVERITY] table: the same alarm at another
// severity. What it leaves out it takes from the rule.
type LevelDef struct {
	Condition
	Timing
	Notify []string `toml:"notify"`
}

// An OverrideDef is a [rule.ID.override.SCOPE] table: what is different for some
// devices. What it leaves out it takes from the rule.
type OverrideDef struct {
	Condition
	Timing
	Behaviour
	Severity Severity             `toml:"severity"`
	Notify   []string             `toml:"notify"`
	Level    map[string]*LevelDef `toml:"level"`
}

// A Condition is written with the keys of one family.
type Condition struct {
	// limit; the other families that measure a number compare it with these too
	Above   *Quantity `toml:"above"`
	AtLeast *Quantity `toml:"at_least"`
	Below   *Quantity `toml:"below"`
	AtMost  *Quantity `toml:"at_most"`
	Outside *Range    `toml:"outside"`
	Inside  *Range    `toml:"inside"`

	// Clear ends the alarm: one limit, two for outside and inside, an expression
	// beside when.
	Clear *Clear `toml:"clear"`

	// value
	Is      *Scalar  `toml:"is"`
	IsNot   *Scalar  `toml:"is_not"`
	In      []Scalar `toml:"in"`
	Matches *string  `toml:"matches"`
	ClearIs *Scalar  `toml:"clear_is"`

	// change: true for Hold after it
	Changed     *bool     `toml:"changed"`
	From        *Scalar   `toml:"from"`
	To          *Scalar   `toml:"to"`
	IncreasedBy *Quantity `toml:"increased_by"`
	DecreasedBy *Quantity `toml:"decreased_by"`
	Hold        *Duration `toml:"hold"`

	// trend and window
	RateAbove  *Quantity `toml:"rate_above"` // "0.5 °C/min"
	RateBelow  *Quantity `toml:"rate_below"`
	DeltaAbove *Quantity `toml:"delta_above"` // newest less oldest
	DeltaBelow *Quantity `toml:"delta_below"`
	Agg        string    `toml:"agg"` // avg min max sum count stddev spread median last pNN
	Over       *Duration `toml:"over"`
	MinSamples *int      `toml:"min_samples"` // fewer are unknown

	// deviation, silence, health
	Deviates *Deviates `toml:"deviates"`
	Silent   *Silent   `toml:"silent"`
	Flat     *Flat     `toml:"flat"`
	Invalid  *Count    `toml:"invalid"`
	Skew     *Duration `toml:"skew"`

	// expression
	When *string `toml:"when"`
}

// Deviates asks for a distance from the device's own normal.
type Deviates struct {
	Method     string    `toml:"method"`      // mad | zscore | baseline
	By         float64   `toml:"by"`          // deviations; for baseline a share of the normal value
	Baseline   *Duration `toml:"baseline"`    // how far back normal reaches
	Season     string    `toml:"season"`      // none (default) | hour (of day) | weekday | hour_of_week
	MinHistory *Duration `toml:"min_history"` // less is unknown
}

// Flat asks for a value that has not moved by more than Within for a time.
type Flat struct {
	For    Duration `toml:"for"`
	Within Quantity `toml:"within"`
}

// A Count asks for a number of occurrences within a time.
type Count struct {
	Count  int      `toml:"count"`
	Within Duration `toml:"within"`
}

// GroupBy makes one alarm of many devices.
type GroupBy struct {
	Across string    `toml:"across"` // "label:room": one instance for each value
	Reduce string    `toml:"reduce"` // avg median min max sum count spread
	Quorum *Quantity `toml:"quorum"` // "60%" of the expected members, or a number of them
	Fresh  *Duration `toml:"fresh"`  // members, and an expression's values, older than this are unknown
}

// Timing says for how long, or how often, a condition must hold.
type Timing struct {
	For          *Duration `toml:"for"`
	ForShare     *Quantity `toml:"for_share"` // "80%" of the time in for, not all of it
	ClearFor     *Duration `toml:"clear_for"`
	Samples      *int      `toml:"samples"`
	ClearSamples *int      `toml:"clear_samples"`
	Repeats      *Count    `toml:"repeats"` // the condition came true that often
}

// Behaviour is how a rule's alarms behave once they are under way, and what
// keeps them from being told.
type Behaviour struct {
	Cooldown   *Duration    `toml:"cooldown"` // at most one episode within it
	Renotify   *Renotify    `toml:"renotify"`
	NoData     string       `toml:"no_data"`     // hold (default) | fire | resolve
	StaleAfter *Duration    `toml:"stale_after"` // default three times the device's interval
	Latch      *bool        `toml:"latch"`
	Schedule   *ScheduleRef `toml:"schedule"`
	Unless     Texts        `toml:"unless"`      // presence states, or an expression: nothing starts
	SuppressIf Texts        `toml:"suppress_if"` // rules that, firing for the same device, mute this one
	ExplainBy  string       `toml:"explain_by"`  // via: a parent's outage explains this alarm
	Retained   string       `toml:"retained"`    // prime (default) | use | ignore
	Backfill   string       `toml:"backfill"`    // report (default) | ignore
	Shadow     *bool        `toml:"shadow"`      // evaluate and record, tell nobody
	Forward    *bool        `toml:"forward"`     // tell each reading that matches; no alarm
	Enabled    *bool        `toml:"enabled"`
}

// An EscalateDef raises an alarm that nobody has taken care of.
type EscalateDef struct {
	After    *Duration `toml:"after"`    // after it fired
	Unless   string    `toml:"unless"`   // acked (default) | never
	Severity Severity  `toml:"severity"` // Unset leaves it
	Notify   []string  `toml:"notify"`   // told beside those told so far
}

// A FlapDef recognises an alarm that comes and goes.
type FlapDef struct {
	Changes int       `toml:"changes"` // fired and resolved
	Within  *Duration `toml:"within"`
	Hold    *Duration `toml:"hold"` // stays firing until quiet for this long
}

// A TestDef is a [test."NAME"] table: readings, what happens beside them, and the
// events that are expected. Times are relative to the start, as in "24m".
type TestDef struct {
	Source string `toml:"-"` // file:line of the table

	Rule   string            `toml:"rule"` // events of other rules are not looked at; "" looks at all
	Device string            `toml:"device"`
	Type   string            `toml:"type"`   // of the device, where no [device] declares it
	Labels map[string]string `toml:"labels"` // of the device
	Metric string            `toml:"metric"` // of values; default: the rule's
	Start  time.Time         `toml:"start"`  // default 2026-01-01T00:00:00Z, a Thursday
	Every  Duration          `toml:"every"`  // between values; default 1m
	Values Values            `toml:"values"` // "-20x5 -14x4", or by metric
	Until  *Duration         `toml:"until"`  // the time goes on until then; default one interval after the last value
	Step   []TestStep        `toml:"step"`
	Expect []TestExpect      `toml:"expect"`
}

// Values are readings in the notation of tests, by metric; "" is the rule's own.
type Values map[string]string

// A TestStep is one thing that happens beside the readings of a test.
type TestStep struct {
	At Duration `toml:"at"`

	Device   string            `toml:"device"`   // default: the test's
	Set      map[string]Scalar `toml:"set"`      // readings by metric, at this time
	Labels   map[string]string `toml:"labels"`   // of the device
	Age      Age               `toml:"age"`      // the readings are that much older; if negative, ahead
	Retained bool              `toml:"retained"` // the readings are retained messages

	Ack      string   `toml:"ack"` // by whom
	Unack    bool     `toml:"unack"`
	Shelve   Duration `toml:"shelve"` // for how long
	Unshelve bool     `toml:"unshelve"`
	Reset    bool     `toml:"reset"` // ends a latched alarm
	Rule     string   `toml:"rule"`  // of ack … reset; default: the test's

	Presence string `toml:"presence"` // online | offline | sleeping | lost
	Source   string `toml:"source"`   // disconnected | connected

	Restart bool     `toml:"restart"` // stopped and started again
	Crash   bool     `toml:"crash"`   // killed and started again
	Down    Duration `toml:"down"`    // for how long, with restart or crash
}

// A TestExpect is one event that a test expects. What it leaves out is not
// compared.
type TestExpect struct {
	At       Duration `toml:"at"`
	Event    string   `toml:"event"` // "fired" is short for "alarm.fired"
	Rule     string   `toml:"rule"`
	Device   string   `toml:"device"`
	Severity Severity `toml:"severity"`
	Reason   string   `toml:"reason"`
	Title    string   `toml:"title"`
	Because  string   `toml:"because"` // a part of it
	To       []string `toml:"to"`      // endpoints that are told
}

// A Problem is something wrong with a rule, at a place: the keys that lead to
// it, such as ["rule", "freezer-warm", "clear"].
type Problem struct {
	Path    []string
	Fact    string
	Remedy  string
	Warning bool // worth saying, and no reason to refuse

	// At is where in the text at Path, in bytes, for an expression; Length 0 is
	// the whole value.
	Offset, Length int

	// Absent are the keys that would have made a difference and are not there:
	// if one of them was written, and could not be read, this follows from that.
	Absent [][]string
}
