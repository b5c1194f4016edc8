package rules

import "time"

// Type names what an event tells. The names are public: receivers switch on them.
type Type string

const (
	AlarmFired       Type = "alarm.fired"
	AlarmEscalated   Type = "alarm.escalated"
	AlarmDeescalated Type = "alarm.deescalated"
	AlarmReminder    Type = "alarm.reminder"
	AlarmReturned    Type = "alarm.returned" // latched: the condition has cleared
	AlarmResolved    Type = "alarm.resolved"
	AlarmCancelled   Type = "alarm.cancelled"
	AlarmOccurred    Type = "alarm.occurred" // a whole episode of the past
	AlarmFlapping    Type = "alarm.flapping"
	AlarmFlapEnded   Type = "alarm.flap_ended"
	AlarmStale       Type = "alarm.stale"
	AlarmAcked       Type = "alarm.acked"
	AlarmUnacked     Type = "alarm.unacked"
	AlarmShelved     Type = "alarm.shelved"
	AlarmUnshelved   Type = "alarm.unshelved"
	AlarmSync        Type = "alarm.sync"  // all alarms under way, after what was known of them had been lost
	AlarmFlood       Type = "alarm.flood" // a summary of alarms that were not told one by one

	DeviceOnline       Type = "device.online"
	DeviceOffline      Type = "device.offline"
	DeviceNew          Type = "device.new"
	DeviceChatty       Type = "device.chatty" // it sends more than max_rate
	SourceDisconnected Type = "source.disconnected"
	SourceReconnected  Type = "source.reconnected"
	DevicesNearLimit   Type = "devices.near_limit"  // few more undeclared devices will be taken in
	DevicesBelowLimit  Type = "devices.below_limit" // there is room again
	ReadingMatched     Type = "reading.matched"     // a rule with forward = true
	ConfigRejected     Type = "config.rejected"
	TestPing           Type = "test.ping"

	// About an endpoint, to others.
	EndpointFailing   Type = "endpoint.failing"
	EndpointDisabled  Type = "endpoint.disabled"
	EndpointRecovered Type = "endpoint.recovered"
	EndpointDropped   Type = "endpoint.dropped"

	// To an endpoint, about itself; they are sent and not stored.
	EndpointDigest Type = "endpoint.digest" // before what was held in an outage
	Heartbeat      Type = "heartbeat"       // nothing else was sent for a while
)

// Severity orders alarms; its zero value is Unset.
type Severity uint8

const (
	Unset Severity = iota
	Info
	Warning
	Major
	Critical
)

// An Event is what a receiver is told: the "data" of a webhook body. Its JSON
// form is public, see the README. ID is derived by hash from what happened, so
// judging the same input twice makes the same event.
type Event struct {
	ID        string          `json:"id"`
	Type      Type            `json:"type"`
	At        time.Time       `json:"at"`
	Alarm     EventAlarm      `json:"alarm,omitzero"` // none in events about devices, sources and readings
	Rule      EventRule       `json:"rule,omitzero"`
	Device    EventDevice     `json:"device,omitzero"`
	Reading   *EventReading   `json:"reading,omitempty"`
	Condition *EventCondition `json:"condition,omitempty"`
	Because   string          `json:"because"`
	Evidence  []Point         `json:"evidence,omitempty"`
	Title     string          `json:"title"`

	// Only in alarm.resolved and alarm.cancelled.
	ValueAtFire any    `json:"value_at_fire,omitempty"`
	Peak        *Point `json:"peak,omitempty"`
	Duration    string `json:"duration,omitempty"` // "10m0s"

	// Why: cleared, acked, reset, no_data, rule_changed, rule_removed,
	// rule_disabled of an end; unacked, relapsed, and what an operator wrote.
	Reason string `json:"reason,omitempty"`

	EndedAt   *time.Time `json:"ended_at,omitempty"`   // alarm.occurred
	DelayedBy string     `json:"delayed_by,omitempty"` // alarm.fired, when it was muted until now: "4m30s"
	Muted     string     `json:"muted,omitempty"`      // why nobody was told
	Reminder  int        `json:"reminder,omitempty"`   // alarm.reminder: 1, 2, …
	Explains  []string   `json:"explains,omitempty"`   // devices whose silence this one's explains
	By        string     `json:"by,omitempty"`         // the operator
	Until     *time.Time `json:"until,omitempty"`      // alarm.shelved
	Source    string     `json:"source,omitempty"`     // source.disconnected and source.reconnected
	Flood     *Flood     `json:"flood,omitempty"`      // alarm.flood
	Sync      *Sync      `json:"sync,omitempty"`       // alarm.sync
	Devices   *Headcount `json:"devices,omitempty"`    // devices.near_limit and devices.below_limit

	InsteadOf string         `json:"instead_of,omitempty"` // alarm.fired and alarm.escalated: the endpoint that has not accepted it in time
	Endpoint  *EventEndpoint `json:"endpoint,omitempty"`   // endpoint.failing, endpoint.disabled, endpoint.recovered, endpoint.dropped and endpoint.digest

	// Notify is whom the rule, or the level that decided, asks to be told: empty
	// leaves it to each endpoint's own filter. Endpoints is who is owed this
	// event. Neither is part of what they read.
	Notify    []string `json:"-"`
	Endpoints []string `json:"-"`
}

// EventAlarm identifies the alarm and says how it stands. Key is the
// deduplication key of one (rule, instance); Episode of one firing of it.
type EventAlarm struct {
	Key       string    `json:"key"`
	Episode   string    `json:"episode"`
	Seq       int       `json:"seq"` // 1 is fired; increases by 1 in an episode
	State     string    `json:"state"`
	Severity  Severity  `json:"severity"`
	StartedAt time.Time `json:"started_at"`
	Acked     bool      `json:"acked"`
	Relapses  int       `json:"relapses"`

	// The condition held when it was judged for the first time on a new store: it
	// may have begun before StartedAt, and may have been told of under another
	// episode.
	FirstSeen bool `json:"first_seen_after_restart,omitempty"`
}

// EventRule says which rule spoke, in which revision, and where it is written.
type EventRule struct {
	ID       string            `json:"id"`
	Revision string            `json:"revision"`
	Source   string            `json:"source,omitempty"` // file:line
	Runbook  string            `json:"runbook,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
}

// EventDevice is the device an alarm is about.
type EventDevice struct {
	ID     string            `json:"id"`
	Labels map[string]string `json:"labels,omitempty"`
	Via    string            `json:"via,omitempty"`
}

// EventReading is the sample that decided. Value is a float64, a bool or a string.
type EventReading struct {
	Metric  string    `json:"metric"`
	Value   any       `json:"value"`
	Unit    string    `json:"unit,omitempty"`
	At      time.Time `json:"at"`
	Clock   string    `json:"clock"`
	Quality string    `json:"quality"`
}

// EventCondition is what was asked of the reading, in words and in numbers.
type EventCondition struct {
	Text      string `json:"text"`
	Limit     any    `json:"limit,omitempty"`
	Clear     any    `json:"clear,omitempty"`
	LimitFrom string `json:"limit_from,omitempty"`
}

// A Point is a sample reduced to what a chart needs; in JSON it is [time, value].
type Point struct {
	At    time.Time
	Value any
}

// EventEndpoint is the endpoint that an event is about.
type EventEndpoint struct {
	Name      string     `json:"name"`
	Reason    string     `json:"reason"`
	Since     time.Time  `json:"since"` // when it began to fail, or was switched off
	Owed      int        `json:"owed"`  // deliveries that wait for it
	Oldest    *time.Time `json:"oldest,omitempty"`
	LastError string     `json:"last_error,omitempty"`
	Dropped   int        `json:"dropped,omitempty"` // endpoint.dropped: since it was told last
	Firing    *int       `json:"firing,omitempty"`  // endpoint.digest after an outage: alarms under way that it is told of
	Folded    *Folded    `json:"folded,omitempty"`  // endpoint.digest: what it stands for; without it, what was held follows
}

// A Folded says what endpoint.digest stands for: events beyond the endpoint's
// budget, which are not told one by one.
type Folded struct {
	Events   int            `json:"events"`
	Alarms   int            `json:"alarms"`   // they are of
	Open     int            `json:"open"`     // of these: those of which no end is among them
	Types    map[string]int `json:"types"`    // of the events
	Severity map[string]int `json:"severity"` // of the alarms
	Newest   []FoldedEvent  `json:"newest"`   // of each alarm, the worst first; not all of them
}

// A FoldedEvent is one event that a digest tells.
type FoldedEvent struct {
	ID       string    `json:"id"`
	Type     Type      `json:"type"`
	Alarm    string    `json:"alarm,omitempty"`
	Severity string    `json:"severity,omitempty"`
	At       time.Time `json:"at"`
	Title    string    `json:"title"`
}

// A Flood says what alarm.flood stands for: alarms that fired and were not told
// one by one.
type Flood struct {
	Since    time.Time      `json:"since"`
	Fired    int            `json:"fired"` // since the last summary
	Firing   int            `json:"firing"`
	Over     bool           `json:"over"` // what is still firing is told now
	Severity map[string]int `json:"severity"`
	Rules    map[string]int `json:"rules"`
	Alarms   []string       `json:"alarms"` // keys of the first of them
}
