package preset

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tocsin/rules"
)

// sampleTypes are the events that every destination is tried with when it is
// configured: what would not do at night does not load by day.
func sampleTypes() []rules.Type {
	return []rules.Type{
		rules.AlarmFired, rules.AlarmEscalated, rules.AlarmDeescalated, rules.AlarmReminder, rules.AlarmReturned,
		rules.AlarmResolved, rules.AlarmCancelled, rules.AlarmOccurred, rules.AlarmFlapping, rules.AlarmFlapEnded,
		rules.AlarmStale, rules.AlarmAcked, rules.AlarmUnacked, rules.AlarmShelved, rules.AlarmUnshelved,
		rules.AlarmSync, rules.AlarmFlood, rules.DeviceOnline, rules.DeviceOffline, rules.DeviceNew, rules.DeviceChatty,
		rules.SourceDisconnected, rules.SourceReconnected, rules.DevicesNearLimit, rules.DevicesBelowLimit,
		rules.ReadingMatched, rules.ConfigRejected, rules.TestPing,
		rules.EndpointFailing, rules.EndpointDisabled, rules.EndpointRecovered, rules.EndpointDropped, rules.EndpointDigest, rules.Heartbeat,
	}
}

// Sample is an event of a type as it could come: of a freezer that is too warm.
func Sample(t rules.Type) Notice {
	e := sampleEvent(t)
	data, _ := json.Marshal(e) // nothing in it cannot be written
	return Notice{ID: e.ID, Type: t, Alarm: e.Alarm.Key, At: e.At, Data: data}
}

func sampleEvent(t rules.Type) rules.Event {
	at := time.Date(2026, 11, 6, 14, 12, 10, 400e6, time.UTC)
	e := rules.Event{ID: "evt_SAMPLE", Type: t, At: at, Because: "above -12 °C since 14:02:10", Title: "freezer-07 at -11.2 °C, limit -12 °C"}
	switch kind := KindOf(t); {
	case t == rules.EndpointFailing || t == rules.EndpointDisabled || t == rules.EndpointRecovered || t == rules.EndpointDropped || t == rules.EndpointDigest:
		e.Endpoint = &rules.EventEndpoint{Name: "chat", Reason: "answered 503 Service Unavailable", Since: at, Owed: 12}
	case t == rules.SourceDisconnected || t == rules.SourceReconnected:
		e.Source = "plant"
	case t == rules.DevicesNearLimit || t == rules.DevicesBelowLimit:
	case kind != Note || t == rules.AlarmOccurred || t == rules.AlarmUnacked || t == rules.AlarmShelved || t == rules.AlarmUnshelved:
		sampleAlarm(&e, kind, at)
	case t == rules.ReadingMatched:
		sampleAlarm(&e, kind, at)
		e.Alarm = rules.EventAlarm{}
	case t == rules.AlarmFlood:
		e.Flood = &rules.Flood{Since: at, Fired: 312, Firing: 12, Severity: map[string]int{"major": 312}, Rules: map[string]int{"freezer-warm": 312}, Alarms: []string{"freezer-warm/freezer-07"}}
	case t == rules.DeviceOnline || t == rules.DeviceOffline || t == rules.DeviceNew || t == rules.DeviceChatty:
		e.Device = rules.EventDevice{ID: "freezer-07"}
	}
	return e
}

func sampleAlarm(e *rules.Event, kind Kind, at time.Time) {
	e.Alarm = rules.EventAlarm{
		Key: "freezer-warm/freezer-07", Episode: "ep_SAMPLE", Seq: 1, State: "firing", Severity: rules.Major, StartedAt: at.Add(-10 * time.Minute),
	}
	e.Rule = rules.EventRule{ID: "freezer-warm", Revision: "b3:91ac", Source: "rules/cold-chain.toml:68"}
	e.Device = rules.EventDevice{ID: "freezer-07", Labels: map[string]string{"site": "lyon"}}
	e.Reading = &rules.EventReading{Metric: "temperature", Value: -11.2, Unit: "°C", At: at, Clock: "device", Quality: "good"}
	e.Condition = &rules.EventCondition{Text: "temperature above -12 °C for 10m", Limit: -12.0, Clear: -14.0}
	e.Evidence = []rules.Point{{At: at.Add(-time.Minute), Value: -11.7}, {At: at, Value: -11.2}}
	switch {
	case kind == Resolve:
		e.Alarm.State, e.Alarm.Seq, e.Reason, e.Duration = "inactive", 2, "cleared", "10m0s"
		e.Peak = &rules.Point{At: at, Value: -10.9}
	case kind == Acknowledge:
		e.Alarm.Acked, e.By = true, "ana"
	case e.Type == rules.AlarmReminder:
		e.Reminder = 1
	case e.Type == rules.AlarmShelved:
		e.Until = new(at.Add(time.Hour))
	}
}

// try renders every request for every event, as if all that can be known were.
func (d *Destination) try(bad *problems) {
	seen := map[string]bool{}
	for _, t := range sampleTypes() {
		n := Sample(t)
		s, err := d.scope(&n, true)
		if err != nil {
			bad.add(nil, err.Error(), "")
			return
		}
		known := map[string]any{}
		for _, q := range d.requests {
			for _, c := range slices.Concat(q.keep, q.take) {
				known[c.name] = "1"
			}
		}
		s["kept"] = known
		for _, name := range d.steps(t) {
			err := d.render(d.requests[name], s, n.ID)
			if err == nil {
				continue
			}
			path := []string{"request", name}
			var at *leafError
			if errors.As(err, &at) {
				path, err = append(path, at.path...), at.err
			}
			if key := fmt.Sprint(path); !seen[key] {
				seen[key] = true
				bad.add(path, fmt.Sprintf("cannot be written for %s: %v", t, err), "default and has do without what an event lacks")
			}
		}
	}
}

// render renders everything of a request.
func (d *Destination) render(q *request, s scope, id string) error {
	if _, err := (&memory{known: s["kept"].(map[string]any)}).wants(q, s); err != nil {
		return err
	}
	for _, c := range slices.Concat(q.keep, q.take) {
		_, err := c.leaf.string(s)
		if c.answer {
			_, err = c.path(s)
		}
		if err != nil {
			return &leafError{[]string{"keep", c.name}, err}
		}
	}
	_, err := d.message(q, s, id)
	return err
}
