package rules

import (
	"strings"
	"time"
)

// present takes in what is known of a device beside its readings.
func (e *Engine) present(p *Presence, out *Output) {
	d := e.devices[p.Device]
	if d == nil {
		if e.undeclared(p.Device, out) || len(e.program.ofDevice) == 0 && len(e.program.ofGroup) == 0 {
			return
		}
		if d = e.meet(p.Device, p.Source, nil, false, out); d == nil {
			return
		}
	}
	if d.link == nil || d.link.name != p.Source {
		d.link = e.link(p.Source)
	}
	if p.Status == Online || p.Status == Sleeping {
		d.contact = e.now
		e.queueSilent(d) // said again, it is no other presence, and contact all the same
	}
	e.setPresence(d, p.Status, p.Reason, out)
}

func (e *Engine) setPresence(d *device, s Status, reason string, out *Output) {
	if d.presence == s {
		return
	}
	was := d.presence
	e.noteStatus(d, s)
	d.why = ""
	gone := func(s Status) bool { return s == Offline || s == Lost }
	if !gone(s) || !gone(was) {
		d.presenceAt = e.now
	}
	switch {
	case gone(s) && !gone(was):
		e.tellOutside(e.deviceEvent(d, DeviceOffline, s.String()+because(reason)), out)
	case gone(was) && !gone(s):
		e.tellOutside(e.deviceEvent(d, DeviceOnline, s.String()+because(reason)), out)
	}
	if gone(s) && reason != s.String() { // an event says why; of the others nobody asks
		d.why = strings.Clone(strings.Map(printable, reason))
	}
	if d.self != nil {
		for _, a := range d.self.alarms {
			e.queue(a, false)
		}
	}
}

// noteStatus counts a device where it belongs now.
func (e *Engine) noteStatus(d *device, s Status) {
	e.presences[d.presence]--
	e.presences[s]++
	d.presence = s
}

// Presences is how many of the devices that the engine knows are present in each
// way.
func (e *Engine) Presences() map[Status]int {
	counts := make(map[Status]int, len(e.presences))
	for s, n := range e.presences {
		counts[Status(s)] = n
	}
	return counts
}

// Missed reports whether a device has been quiet for so long that it is missed
// already: an alarm says so, or it was to report several times since. What
// becomes of the connection that it was heard through says nothing new about it.
func (e *Engine) Missed(device string, now time.Time) bool {
	d := e.devices[device]
	if d == nil {
		return false
	}
	for _, a := range d.silent {
		if a.episode != nil && a.episode.fired != 0 {
			return true
		}
	}
	every, known := d.interval()
	return known && now.UnixNano()-d.contact > max(3*int64(every), int64(autoSilent))
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
