package rules

import (
	"slices"
	"strings"
	"time"
)

// A DeviceReport is what is known of a device.
type DeviceReport struct {
	EventDevice
	Type     string    `json:"type,omitempty"`
	Declared bool      `json:"declared"` // a rule file names it
	Presence string    `json:"presence"`
	Why      string    `json:"why,omitempty"`   // the presence is what it is, in words
	Since    time.Time `json:"since,omitzero"`  // of the presence
	Heard    time.Time `json:"heard,omitzero"`  // when it was last heard of
	Every    string    `json:"every,omitempty"` // how often it reports, declared or learned
	Skew     string    `json:"skew,omitempty"`  // how far its clock is behind ours; negative is ahead

	Alarms   int            `json:"alarms"`             // that are firing or recovering
	Severity Severity       `json:"severity,omitzero"`  // of the worst of these
	Foremost string         `json:"foremost,omitempty"` // the metric that one is about; none where it is about the device
	Values   []EventReading `json:"values"`             // the newest of each metric that rules ask for, by metric
}

// A DeviceQuery selects devices. Its zero value selects all.
type DeviceQuery struct {
	Contains string // in the name, in either case
	Presence string
	Alarming bool // with an alarm that is firing or recovering
}

// A DeviceEntry is what a list of devices is ordered by.
type DeviceEntry struct {
	ID       string
	Severity Severity  // of its worst alarm that is firing or recovering
	Heard    time.Time // when it was last heard of
}

// Select finds devices, in no order. It looks at every device: with a million of
// them that takes some tenths of a second.
func (e *Engine) Select(q DeviceQuery) []DeviceEntry {
	contains := strings.ToLower(q.Contains)
	var list []DeviceEntry
	for id, d := range e.devices {
		switch {
		case d.group:
		case q.Presence != "" && d.presence.String() != q.Presence:
		case contains != "" && !strings.Contains(strings.ToLower(id), contains):
		default:
			worst, _ := d.worst()
			if !q.Alarming || worst != Unset {
				list = append(list, DeviceEntry{id, worst, wall(d.contact)})
			}
		}
	}
	return list
}

// Report is what is known of one device; false if it was never heard of and is not declared.
func (e *Engine) Report(id string) (DeviceReport, bool) {
	d := e.devices[id]
	if d == nil || d.group {
		return DeviceReport{}, false
	}
	return e.report(d), true
}

func (e *Engine) report(d *device) DeviceReport {
	r := DeviceReport{
		EventDevice: d.public(), Presence: d.presence.String(), Why: d.why, Heard: wall(d.contact),
		Since: wall(d.presenceAt), Values: []EventReading{},
	}
	r.Severity, r.Foremost = d.worst()
	if d.def != nil {
		r.Type = d.def.Type
	}
	_, r.Declared = e.program.devices[d.id]
	if every, ok := d.interval(); ok {
		r.Every = written(every)
	}
	if d.skews != nil {
		if skew, ok := d.skews.Median(); ok {
			r.Skew = skew.String()
		}
	}
	for a := range d.ownAlarms {
		if a.standing().on() {
			r.Alarms++
		}
	}
	for _, c := range d.channels {
		if c.last.at != 0 {
			r.Values = append(r.Values, *c.reading())
		}
	}
	slices.SortFunc(r.Values, func(a, b EventReading) int { return strings.Compare(a.Metric, b.Metric) })
	return r
}

// worst is the severity of the worst alarm that is firing or recovering, and the
// metric that it is about.
func (d *device) worst() (worst Severity, metric string) {
	for a := range d.ownAlarms {
		if s := a.standing(); s.on() && s.severity > worst {
			worst, metric = s.severity, ""
			if a.rule.shows != nil {
				metric = a.rule.shows.name
			}
		}
	}
	return worst, metric
}

// ownAlarms yields the alarms about a device and its metrics.
func (d *device) ownAlarms(yield func(*instance) bool) {
	for _, c := range d.channels {
		for _, a := range c.alarms {
			if !yield(a) {
				return
			}
		}
	}
	if d.self != nil {
		for _, a := range d.self.alarms {
			if !yield(a) {
				return
			}
		}
	}
}
