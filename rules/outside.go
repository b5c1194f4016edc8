package rules

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Events that are no alarm's: about devices, sources, single readings, the past,
// and many alarms at once. They change no state; who is told, if anybody, decides
// whether they are made.

func (e *Engine) tellOutside(ev Event, out *Output) {
	if ev.Endpoints = e.options.Route(&ev); len(ev.Endpoints) > 0 {
		out.Transitions = append(out.Transitions, Transition{Events: []Event{ev}})
	}
}

func (e *Engine) deviceEvent(d *device, typ Type, why string) Event {
	return Event{
		ID:   "evt_" + digest("device", d.id, string(typ), stamp(e.now)),
		Type: typ, At: wall(e.now), Device: d.public(),
		Because: strings.Map(printable, why),
		Title:   d.id + " is " + strings.TrimPrefix(string(typ), "device."),
	}
}

func (e *Engine) sourceEvent(l *link, typ Type, at int64) Event {
	ev := Event{
		ID:   "evt_" + digest("source", l.name, string(typ), stamp(at)),
		Type: typ, At: wall(at), Source: l.name,
		Because: "not connected since " + clock(wall(l.down), wall(at)),
		Title:   "source " + l.name + " is disconnected",
	}
	if typ == SourceReconnected {
		ev.Title = "source " + l.name + " is connected again"
		ev.Duration = whole(time.Duration(at - l.down)).String()
		ev.Because = "was not connected for " + spell(time.Duration(at-l.down)) + "; no device counts as silent for that"
	}
	return ev
}

// stamp is a time as part of an id.
func stamp(at int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(at))
	return string(b[:])
}

// forward tells a reading that a rule passes on.
func (e *Engine) forward(a *instance, out *Output) {
	c, r := a.channel, a.rule
	g := &r.rungs[0]
	ep := &episode{rungs: make([]timer, len(r.rungs)), last: c.last}
	a.episode = ep // for the title
	ev := Event{
		ID:   "evt_" + digest("matched", r.id, c.device.id, c.metric.name, stamp(c.last.at), c.last.value.text, stamp(int64(math.Float64bits(c.last.value.num)))),
		Type: ReadingMatched, At: wall(e.now), Rule: r.public(), Device: c.device.public(), Reading: a.reading(),
		Because: c.metric.name + " is " + c.metric.show(c.last.value), Notify: g.notify,
		Title: a.title(g, g.severity, false),
	}
	a.episode = nil
	if g.text != "" {
		ev.Condition = &EventCondition{Text: g.sentence, Limit: g.limit, LimitFrom: g.limitFrom}
		ev.Because += ": " + g.text
	}
	if r.shadow {
		return
	}
	e.noteTold(a, &ev)
	e.tellOutside(ev, out)
}

// tellOccurred tells of an episode of the past, from what was told apart of its
// start and of its end.
func (e *Engine) tellOccurred(a *instance, began, ended *Event, end int64, out *Output) {
	ev := *ended
	ev.Type, ev.At, ev.Alarm.Seq = AlarmOccurred, wall(e.now), 1
	ev.ID = eventID(ev.Alarm.Episode, 1, AlarmOccurred)
	ev.Alarm.Severity = max(began.Alarm.Severity, ended.Alarm.Severity)
	at := wall(end)
	ev.EndedAt = &at
	ev.Condition, ev.Evidence = began.Condition, began.Evidence
	ev.Because = "readings that came late: from " + clock(began.Alarm.StartedAt, at) + " to " + clock(at, at) + ", " + began.Because
	if ev.Endpoints = nil; !a.rule.shadow {
		ev.Notify = began.Notify
		ev.Endpoints = e.options.Route(&ev)
	}
	e.noteTold(a, &ev)
	out.Transitions = append(out.Transitions, a.transition(ev))
}

// maxFloodKeys bounds the alarms that a summary lists.
const maxFloodKeys = 50

// tellFlood tells in one event of alarms that are held back, to everybody who
// would have been told of one of them.
func (e *Engine) tellFlood(held []*instance, over bool, at int64, out *Output) {
	f := &Flood{
		Since: wall(e.flood.begun), Fired: e.flood.held, Firing: len(held), Over: over,
		Severity: map[string]int{}, Rules: map[string]int{}, Alarms: []string{},
	}
	for _, a := range held {
		s := a.standing().severity
		f.Severity[s.String()]++
		f.Rules[a.rule.id]++
		if len(f.Alarms) < maxFloodKeys {
			f.Alarms = append(f.Alarms, a.toldKey())
		}
	}
	to := e.flood.to
	title := "flood of alarms: " + strconv.Itoa(f.Fired) + " fired, " + strconv.Itoa(f.Firing) + " are firing"
	if over {
		title += "; it is over"
	}
	ev := Event{
		ID:   "evt_" + digest("flood", stamp(e.flood.begun), stamp(at)),
		Type: AlarmFlood, At: wall(at), Title: title, Flood: f, Endpoints: slices.Clone(to),
		Because: "more than " + strconv.Itoa(e.program.flood.startEvents) + " alarms fired within " + written(e.program.flood.startWithin),
	}
	if len(to) > 0 {
		out.Transitions = append(out.Transitions, Transition{Events: []Event{ev}})
	}
}
