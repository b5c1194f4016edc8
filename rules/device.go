package rules

import (
	"slices"
	"strings"
	"time"

	"tocsin/rules/window"
)

// groupName names the devices that have a value of a label in common.
type groupName struct{ across, value string }

// variantName names what overrides make of a rule for some devices.
type variantName struct {
	rule int
	key  string
}

// device finds a device, or makes it: this is where rules about devices and
// groups of devices are bound to it.
func (e *Engine) device(id string) *device {
	d := e.devices[id]
	if d == nil {
		id = strings.Clone(id) // it may be part of a large message
		d = &device{id: id, def: e.program.devices[id], listening: e.deaf, bucket: e.program.bucket(id)}
		e.devices[id] = d
		e.presences[d.presence]++
		e.adopt(d)
		e.bindDevice(d)
	}
	return d
}

// meet makes the device of a sample or a presence at first sight, with its
// labels; nil when there is no room for it.
func (e *Engine) meet(id, source string, labels map[string]string, retained bool, out *Output) *device {
	if e.registered() >= e.options.MaxDevices {
		out.Problems = append(out.Problems, "devices")
		return nil
	}
	d := e.device(id)
	d.listening = max(d.listening, e.now)
	if len(labels) > 0 {
		if !retained {
			d.heard = labels
		}
		e.label(d, labels, !retained)
	}
	e.announce(d, source, out)
	e.crowding(e.now, out)
	return d
}

// adopt finds out by which device this one is connected, and which by it.
func (e *Engine) adopt(d *device) {
	if d.def != nil && d.def.Via != "" && d.parent == nil {
		if p := e.devices[d.def.Via]; p != nil {
			d.parent = p
			p.children = append(p.children, d)
		}
	}
	for id, def := range e.program.devices {
		if def.Via != d.id {
			continue
		}
		if c := e.devices[id]; c != nil && c.parent == nil {
			c.parent = d
			d.children = append(d.children, c)
		}
	}
	slices.SortFunc(d.children, func(a, b *device) int { return strings.Compare(a.id, b.id) })
}

// contacted notes that a device has been heard of: its silence ends. Only what is
// newer than anything before teaches how often it reports, and how its clock
// goes: not the past, and not what is repeated.
func (e *Engine) contacted(d *device, s *Sample, at int64, out *Output) {
	if d.link == nil || d.link.name != s.Source {
		d.link = e.link(s.Source)
	}
	if at > d.newest && at < latest*int64(time.Second) {
		d.newest = at
		if s.Flags&(Historical|Dup) == 0 && !e.past && !e.isPast {
			if e.now-d.taught >= lesson {
				was := d.learned
				d.teach(e.now, at, s)
				if d.learned != was {
					e.queueSilent(d) // it is missed at another time now
				}
				e.askSkews(d)
			}
		}
	}
	here := d.presence == StatusUnknown || d.presence == Online
	if here && (d.contact == e.now || len(d.silent) == 0) {
		d.contact = e.now
		return
	}
	late := len(d.children) > 0 && d.overdue(e.now)
	d.contact = e.now
	if !here {
		e.setPresence(d, Online, "a reading came", out)
	}
	for _, a := range d.silent {
		if a.episode != nil || a.due == 0 {
			e.queue(a, false)
		}
		if late && a.rule.explained {
			e.nudgeChildren(d, a.rule, 0)
		}
	}
}

// queueSilent has the alarms looked at that are about a device's silence.
func (e *Engine) queueSilent(d *device) {
	for _, a := range d.silent {
		e.queue(a, false)
	}
}

// overdue reports whether a device has been quiet for longer than it is between
// two reports.
func (d *device) overdue(now int64) bool {
	every, known := d.interval()
	return !known || now-d.contact > 2*int64(every)
}

// askSkews has the alarms looked at that are about the device's clock, whichever
// of its metrics the reading was of.
func (e *Engine) askSkews(d *device) {
	if d.self == nil || d.skews == nil {
		return
	}
	for _, a := range d.self.alarms {
		if a.rule.gauges[0].source == skewness {
			e.queue(a, true)
		}
	}
}

// lesson is how often a device is learned from at most: what comes more closely is
// one contact.
const lesson = int64(time.Second)

// rhythm learns from a contact how often the device reports. What the gaps come to
// is worked out anew while they are few, and with every sixteenth contact then: at
// once, so that it does not matter who asks when.
func (d *device) rhythm(now int64) {
	if d.gaps == nil {
		d.gaps = new(window.Gaps)
	}
	d.gaps.Add(now)
	if d.lessons++; d.lessons%16 == 0 || d.gaps.Count() < 16 {
		d.learned = 0
		if !d.gaps.Irregular() {
			every, _ := d.gaps.Interval()
			d.learned = int64(every)
		}
	}
}

// teach learns from a reading how often the device reports, and how far its clock
// is behind ours.
func (d *device) teach(now, at int64, s *Sample) {
	d.taught = now
	if d.def == nil || d.def.Every == nil {
		d.rhythm(now)
	}
	if s.Clock == ClockDevice {
		if d.skews == nil {
			d.skews = new(window.Skews)
		}
		d.skews.Add(s.Received.UnixNano(), at)
	}
}

// interval is how often a device reports: declared, or learned; false if neither
// is known.
func (d *device) interval() (time.Duration, bool) {
	if d.def != nil && d.def.Every != nil && *d.def.Every > 0 {
		return time.Duration(*d.def.Every), true
	}
	return time.Duration(d.learned), d.learned != 0
}

// staleAfter is for how long a reading speaks for the present; 0 for ever.
func (d *device) staleAfter(r *rule) int64 {
	if r.staleAfter > 0 {
		return int64(r.staleAfter)
	}
	return d.patience()
}

// patience is for how long a reading speaks for the present where no rule says.
func (d *device) patience() int64 {
	if d.group {
		return 0
	}
	if every, ok := d.interval(); ok {
		return max(3*int64(every), minStale)
	}
	return 0
}

// minStale is the shortest time after which a reading is too old, unless a rule
// says so: a network may hold a message up for seconds.
const minStale = int64(10 * time.Second)

// restale has a device's alarms wait anew for their readings to become too old.
func (e *Engine) restale(d *device) {
	for _, c := range d.all() {
		for _, a := range c.alarms {
			if a.episode != nil || a.rule.noData == fireAlarm {
				e.schedule(a)
			}
		}
	}
}

// announce tells of a device that was never seen and that no file declares.
func (e *Engine) announce(d *device, source string, out *Output) {
	if e.program.devices[d.id] != nil {
		return
	}
	ev := e.deviceEvent(d, DeviceNew, "first heard of, through source "+source)
	e.tellOutside(ev, out)
}

// reach is how a device's silence is judged: since when, and from when on it
// means something. It is unknown while nobody could hear the device.
type reach struct {
	since    int64 // last contact, or since when it is listened for
	deadline int64 // silent from then on; 0 where nothing says how often it reports
	deaf     bool
	lost     bool // its presence says so
}

// lostGrace is for how long a device that went away may come back unnoticed.
const lostGrace = int64(30 * time.Second)

// autoSilent is the shortest silence that auto takes notice of.
const autoSilent = 2 * time.Minute

func (d *device) reach(e *Engine, g *gauge, hold time.Duration) reach {
	if e.ears(d).isDown() {
		return reach{deaf: true}
	}
	r := reach{since: d.contact}
	if d.contact == 0 {
		r.since = max(d.listening, e.begun)
	}
	if (d.presence == Lost || d.presence == Offline) && d.presenceAt >= d.contact {
		r.lost, r.since = true, d.presenceAt
		r.deadline = d.presenceAt
		if hold == 0 {
			r.deadline += lostGrace + e.missed(d, r.since)
		}
		return r
	}
	silent := g.silent
	every, known := d.interval()
	if silent == 0 {
		if !known {
			return r
		}
		silent = max(3*every, autoSilent)
	}
	grace := silent
	if known {
		grace = min(silent, max(2*every, time.Minute))
	}
	if d.contact == 0 {
		silent = grace
	}
	r.deadline = max(e.graced(d, int64(grace)), r.since+int64(silent)+e.missed(d, r.since))
	return r
}

// returned gives the devices behind one that is back the time to report
// themselves.
func (e *Engine) returned(d *device, depth int) {
	for _, c := range d.children {
		c.listening = e.now
		if depth < maxDepth {
			e.returned(c, depth+1)
		}
		e.queueSilent(c)
	}
}

// maxDepth bounds how many parents stand behind one another.
const maxDepth = 8

// A link is a source's connection to its devices.
type link struct {
	name  string
	since int64 // connected since
	down  int64 // since when it is not; 0 while it is
	told  bool  // that it is down
	gaps  []gap // when it was not, before
}

// linkGrace is for how long a source may be away unnoticed.
const linkGrace = int64(30 * time.Second)

func (e *Engine) link(name string) *link {
	l := e.links[name]
	if l == nil {
		l = &link{name: name} // from the configuration, and no part of a message
		e.links[name] = l
	}
	return l
}

// relink takes in that a source began or ceased to hear its devices. While it is
// deaf, no timer of their silence runs, and afterwards they get their grace.
func (e *Engine) relink(in *Link, out *Output) {
	l := e.link(in.Source)
	switch {
	case !in.Connected && l.down == 0:
		l.down = e.now
		e.away++
	case in.Connected && l.down != 0:
		if l.told {
			e.tellOutside(e.sourceEvent(l, SourceReconnected, e.now), out)
		}
		l.gaps = addGap(l.gaps, gap{l.down, e.now})
		l.down, l.told, l.since = 0, false, e.now
		e.away--
	case in.Connected && l.since == 0:
		l.since = e.now
		return
	default:
		return
	}
	for _, d := range e.sortedDevices() {
		if d.link != nil && d.link != l {
			continue
		}
		if d.link != nil {
			e.unfreeze(d, out)
		}
		e.restale(d)
		for _, a := range d.silent {
			e.queue(a, false)
			if a.rule.explained { // until when it may explain its children's silence is another time now
				e.nudgeChildren(d, a.rule, 0)
			}
		}
		e.queueHeeding(d)
	}
}

// linkDue is when it is time to tell that a source is away; 0 for none.
func (e *Engine) linkDue() int64 {
	due := int64(0)
	if e.away == 0 {
		return due
	}
	for _, l := range e.links {
		if l.down != 0 && !l.told {
			due = sooner(due, l.down+linkGrace)
		}
	}
	return e.awake(due)
}

func (e *Engine) reportLinks(at int64, out *Output) {
	if e.away == 0 {
		return
	}
	for _, l := range sortedMap(e.links) { // the order of events is the same in every run
		if l.down != 0 && !l.told && l.down+linkGrace <= at {
			l.told = true
			e.tellOutside(e.sourceEvent(l, SourceDisconnected, at), out)
		}
	}
}
