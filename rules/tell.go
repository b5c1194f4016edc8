package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A saying is what is to be told of an alarm, and what is special about it.
type saying struct {
	typ    Type
	rung   int      // deescalated: the rung that went off
	reason string   // escalated, reminder, cancelled
	notify []string // who is told beside the rule's own
	record bool     // nobody is told: it is kept for people
	muted  string   // why
	by     string   // acked …
	until  time.Time
	values string // what an expression was made of
}

// worsens reports whether newcomers may be told of the alarm by this event.
func (s saying) worsens() bool {
	return s.typ == AlarmFired || s.typ == AlarmEscalated || s.typ == AlarmOccurred
}

// tell makes the event of a change, numbers it, and says who is owed it. A
// newcomer can be told of an alarm when it starts or worsens. Whoever was told
// is told everything that follows, also by a rule that has become a shadow.
func (e *Engine) tell(a *instance, s saying, at int64) Event {
	c, r, ep := a.channel, a.rule, a.episode
	a.seq++
	if s.record && s.typ == AlarmFired {
		at = ep.fired // it is written down when it is over
	}
	now := a.standing()
	severity, phase := now.severity, now.phase
	if !now.on() && ep.severity != Unset { // it ends with this, and is told so next
		severity, phase = ep.severity, firing
	}
	stands := max(now.top, 0) // the rung the alarm stands on
	decider := stands         // and the one that changed it
	switch s.typ {
	case AlarmDeescalated:
		decider = s.rung
	case AlarmResolved, AlarmOccurred:
		severity, phase = ep.severity, inactive // a new episode may be pending already
		decider = max(0, slices.IndexFunc(ep.rungs, func(t timer) bool { return t.ended != 0 }))
		stands = decider
	case AlarmFired:
		if s.record {
			phase = inactive
		}
	}
	g, t := &r.rungs[stands], &ep.rungs[decider]
	episode := a.episodeID()
	ev := Event{
		ID:   eventID(episode, a.seq, s.typ),
		Type: s.typ,
		At:   wall(at),
		Alarm: EventAlarm{
			Key: a.toldKey(), Episode: episode, Seq: a.seq, State: phase.String(),
			Severity: severity, StartedAt: wall(a.started), Acked: ep.acked, Relapses: ep.relapses, FirstSeen: ep.unseen,
		},
		Rule:      r.public(),
		Device:    c.device.public(),
		Condition: &EventCondition{Text: g.sentence, Limit: g.limit, Clear: g.clear, LimitFrom: g.limitFrom},
		Evidence:  ep.points(r.evidence()),
		Notify:    g.notify,
		Reason:    s.reason,
		Muted:     s.muted,
	}
	ev.Reading = a.reading()
	s.values = e.values(a, s, &r.rungs[decider])
	ev.Because = e.because(a, s, &r.rungs[decider], t, now, at)
	ev.Title = a.title(g, severity, s.typ == AlarmOccurred || s.typ == AlarmResolved && e.isPast)
	switch s.typ {
	case AlarmFired:
		if late := at - ep.fired; late > 0 {
			ev.DelayedBy = whole(time.Duration(late)).String()
		}
		if r.explained {
			for _, child := range c.device.children {
				if len(ev.Explains) < maxExplained {
					ev.Explains = append(ev.Explains, child.id)
				}
			}
		}
		if ep.noData {
			ev.Reason = "no_data"
		}
	case AlarmReminder:
		ev.Reminder = ep.reminded
	case AlarmAcked, AlarmUnacked, AlarmShelved, AlarmUnshelved:
		ev.By = s.by
		if !s.until.IsZero() {
			ev.Until = &s.until
		}
	case AlarmResolved:
		a.sum(&ev, t, at)
	case AlarmOccurred:
		a.sum(&ev, t, at)
		end := wall(a.ending())
		ev.EndedAt, ev.Reason = &end, "cleared"
		ev.Because = "readings that came late: in alarm from " + clock(wall(a.started), ev.At) + " to " + clock(end, ev.At) + "; ended " + ev.Because
	}
	switch {
	case s.record:
	case s.worsens() && !r.shadow:
		if s.notify != nil {
			ev.Notify = s.notify
		}
		ep.told = union(ep.told, e.options.Route(&ev))
		fallthrough
	default:
		ev.Endpoints = slices.Clone(ep.told)
	}
	e.noteTold(a, &ev)
	return ev
}

// eventID names what is told of an episode. One that is told whole, when it is over,
// has the name of its beginning: where a crash has taken what was known of it, the
// store still knows that it was told.
func eventID(episode string, seq int, typ Type) string {
	if typ == AlarmOccurred {
		typ = AlarmFired
	}
	return "evt_" + digest("event", episode, strconv.Itoa(seq), string(typ))
}

// maxExplained bounds the devices that a parent's event lists.
const maxExplained = 100

// sum adds to the end of an episode what it came to.
func (a *instance) sum(ev *Event, t *timer, at int64) {
	ep, kind := a.episode, a.rule.evidence()
	ended := t.ended
	if ended == 0 {
		ended = a.channel.axis(at)
	}
	ev.ValueAtFire = kind.public(ep.valueAtFire)
	ev.Duration = whole(time.Duration(max(0, ended-a.started))).String()
	if ev.Reason == "" {
		ev.Reason = "cleared"
		switch {
		case ep.noData:
			ev.Reason = "no_data"
		case ep.reset:
			ev.Reason = "reset"
		case a.rule.latch && ep.acked:
			ev.Reason = "acked"
		case ep.closed:
			ev.Reason = "schedule"
		case ep.changed:
			ev.Reason = ruleChanged
		}
	}
	if ep.peak.at != 0 {
		ev.Peak = &Point{wall(ep.peak.at), ep.peak.value.num}
	}
}

// ending is when the episode at hand ended, on the samples' clock.
func (a *instance) ending() int64 {
	end := int64(0)
	for i := range a.episode.rungs {
		end = max(end, a.episode.rungs[i].ended)
	}
	return end
}

// evidence is what the points of an alarm of the rule are: what it measures, or
// the readings beside that when it measures only true or false.
func (r *rule) evidence() Kind {
	g := &r.rungs[0]
	if len(r.gauges) > 0 && g.kind == Bool && r.gauges[g.gauge].source != newest && r.shows != nil {
		return r.shows.kind
	}
	return g.kind
}

// shown is the channel whose reading an alarm's events show; nil for none.
func (a *instance) shown() *channel {
	if a.channel.metric != nil {
		return a.channel
	}
	if a.rule.shows == nil || a.channel.device.group {
		return nil
	}
	return a.channel.device.channel(a.rule.shows.name)
}

// reading is the newest reading as events show it; nil for none.
func (a *instance) reading() *EventReading {
	if c := a.shown(); c != nil && c.last.at != 0 {
		return c.reading()
	}
	ep := a.episode
	if m := a.rule.metric; m != nil && a.channel.device.group && ep != nil && ep.last.at != 0 {
		return &EventReading{
			Metric: m.name, Value: Number.public(ep.last.value), Unit: m.unit,
			At: wall(ep.last.at), Clock: ClockArrival.String(), Quality: "good",
		}
	}
	return nil
}

// reading is the newest reading as events show it.
func (c *channel) reading() *EventReading {
	return &EventReading{
		Metric: c.metric.name, Value: c.metric.kind.public(c.last.value), Unit: c.unit(),
		At: wall(c.last.at), Clock: c.clock.String(), Quality: "good",
	}
}

// public is the device as events show it.
func (d *device) public() EventDevice {
	ev := EventDevice{ID: d.id}
	if d.def != nil {
		ev.Labels, ev.Via = d.def.Labels, d.def.Via
	}
	return ev
}

// public is the rule as events show it.
func (r *rule) public() EventRule {
	return EventRule{ID: r.id, Revision: r.revision, Source: r.source, Runbook: r.runbook, Labels: r.labels}
}

// union is the sorted union of two lists of names, and shares memory with neither.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// because says in words what decided.
func (e *Engine) because(a *instance, s saying, g *rung, t *timer, now standing, at int64) string {
	ep, when := a.episode, wall(at)
	switch s.typ {
	case AlarmReminder:
		if s.reason == "relapsed" {
			return g.text + " again; not seen by anybody since it fired at " + clock(wall(ep.fired), when)
		}
		text := "still " + now.phase.String() + " after " + spell(time.Duration(at-ep.fired)) + ", and nobody has acknowledged it"
		if since := e.silence(a, at); since != "" {
			text += "; " + since
		}
		return text
	case AlarmReturned:
		return a.decided(s, g, t, now, at) + untilSeen
	case AlarmFlapping:
		return "came or went " + strconv.Itoa(a.rule.flap.changes) + " times within " + written(a.rule.flap.within) + "; it counts as firing until it has been quiet for " + written(a.rule.flap.hold)
	case AlarmFlapEnded:
		return "has neither come nor gone for " + written(a.rule.flap.hold)
	case AlarmStale:
		return a.unheard(when) + "; it stays as it was"
	case AlarmAcked, AlarmUnacked, AlarmShelved, AlarmUnshelved:
		text := strings.TrimPrefix(string(s.typ), "alarm.") + by(s.by)
		if !s.until.IsZero() {
			text += " until " + clock(s.until.UTC(), when)
		}
		return text + because(strings.Map(printable, s.reason))
	case AlarmDeescalated:
		if s.reason == ruleChanged || t.ended == 0 {
			return s.changed("was " + ep.severity.String() + "; now " + now.severity.String())
		}
	case AlarmEscalated:
		if s.reason == ruleChanged || s.reason == "" && t.ended == 0 {
			return s.changed("was " + ep.severity.String() + "; now " + now.severity.String())
		}
		if s.reason != "" {
			return "in alarm for " + spell(time.Duration(at-ep.fired)) + ", and nobody has acknowledged it; now " + now.severity.String()
		}
		if text := e.silence(a, at); text != "" {
			return text
		}
	case AlarmFired:
		if ep.noData {
			return a.unheard(when) + ", and the rule fires on that"
		}
		if text := e.silence(a, at); text != "" {
			return text
		}
	case AlarmResolved:
		if ep.noData {
			return a.unheard(when) + ", and the rule ends on that; in alarm for " + spell(time.Duration(at-ep.fired))
		}
		if ep.closed {
			return "schedule " + a.rule.calendar.name + " has closed; in alarm for " + spell(time.Duration(at-ep.fired))
		}
		if a.rule.gaugesOf(silence) {
			return "heard again at " + clock(wall(a.channel.device.contact), when) + "; in alarm for " + spell(time.Duration(at-ep.fired))
		}
		if t.ended == 0 { // not by a reading: a latched or flapping alarm that was clear already
			return "clear, and nothing holds it any more; in alarm for " + spell(time.Duration(at-ep.fired))
		}
		if ep.changed {
			return itsRuleChanged + a.decided(s, g, t, now, at)
		}
	}
	return a.decided(s, g, t, now, at)
}

// untilSeen is how a latched alarm goes on whose condition has cleared.
const untilSeen = "; it stays in alarm until somebody acknowledges or resets it"

// ruleChanged is why a level changed without a reading.
const ruleChanged = "rule_changed"

// itsRuleChanged comes before what a reload decided.
const itsRuleChanged = "its rule has changed: "

// changed puts the reason before what a level was and is.
func (s saying) changed(text string) string {
	if s.reason == ruleChanged {
		return itsRuleChanged + text
	}
	return text
}

// unheard says since when nothing of use has come.
func (a *instance) unheard(when time.Time) string {
	if a.channel.at == 0 {
		return "nothing has been known since " + clock(wall(a.episode.frozen), when)
	}
	return "no usable reading since " + clock(wall(a.channel.at), when)
}

// gaugesOf reports whether the rule's lowest rung compares what a source measures.
func (r *rule) gaugesOf(s source) bool {
	return len(r.gauges) > 0 && r.gauges[r.rungs[0].gauge].source == s
}

// decided says which condition decided, since when and on how many samples.
func (a *instance) decided(say saying, g *rung, t *timer, now standing, at int64) string {
	ep, typ := a.episode, say.typ
	entering := say.worsens() && typ != AlarmOccurred
	wait, need := g.wait(!entering)
	text := g.clearText
	if entering {
		text = g.text
	}
	when := wall(at)
	waited := wait > 0 || need > 1
	ended := t.ended
	if ended == 0 {
		ended = a.channel.axis(at)
	}
	var s string
	switch {
	case entering && t.on && t.running: // told late, or again: its timer counts towards the end by now
		s = fmt.Sprintf("%s until %s, in alarm since %s", text, clock(wall(t.since), when), clock(wall(a.started), when))
	case g.repeats != nil && !entering:
		s = fmt.Sprintf("fewer than %d times within %s at %s", g.repeats.count, written(g.repeats.within), clock(wall(ended), when))
	case g.share > 0 && entering:
		s = fmt.Sprintf("%s for %s%% of %s", text, shown(g.share*100), written(g.hold))
	case waited && t.since != 0:
		count := fmt.Sprintf("%d samples", t.samples)
		if typ == AlarmFired {
			count = fmt.Sprintf("%d of %d samples", ep.held, ep.seen)
		}
		if t.samples == 1 && typ != AlarmFired {
			count = "1 sample"
		}
		held := spell(time.Duration(ended - t.since - t.uncovered))
		if t.uncovered > 0 {
			held += " without " + spell(time.Duration(t.uncovered)) + " in which nothing was known"
		}
		s = fmt.Sprintf("%s since %s (%s, %s)", text, clock(wall(t.since), when), held, count)
	default:
		s = fmt.Sprintf("%s at %s", text, clock(wall(ended), when))
		if named := say.values != "" || entering && g.op == is || !entering && (g.op == isNot || g.clearIs != nil); !named && ep.last.at != 0 {
			s += " (" + a.show(g, ep.last.value) + ")"
		}
	}
	if say.values != "" {
		s += "; " + say.values
	}
	if g.repeats != nil && entering {
		s += fmt.Sprintf(", %d times within %s", g.repeats.count, written(g.repeats.within))
	}
	switch typ {
	case AlarmDeescalated:
		return s + "; now " + now.severity.String()
	case AlarmResolved:
		s += "; in alarm for " + spell(time.Duration(ended-a.started))
	}
	if ep.peak.at != 0 && (waited || !entering) {
		s += "; peak " + a.show(g, ep.peak.value) + " at " + clock(wall(ep.peak.at), when)
	}
	return s
}

// show writes what an alarm measures for people.
func (a *instance) show(g *rung, v value) string {
	if m := a.rule.metric; m != nil && a.rule.gauges[g.gauge].source == newest {
		return m.show(v)
	}
	switch a.rule.evidence().of(v) {
	case Bool:
		return strconv.FormatBool(v.num != 0)
	case Text:
		return strconv.Quote(v.text)
	}
	switch a.rule.gauges[g.gauge].source {
	case flatness, skewness:
		return spell(time.Duration(v.num * float64(time.Second)))
	}
	return withUnit(shown(v.num), g.measured)
}

// title fills in the rule's title. What is past is told by its worst value: the
// newest reading is of a time at which all was well again.
func (a *instance) title(g *rung, severity Severity, past bool) string {
	c := a.channel
	return a.rule.title.render(func(p titlePart) string {
		switch p.name {
		case "device":
			return c.device.id
		case "threshold":
			return g.threshold
		case "severity":
			return severity.String()
		case "rule":
			return a.rule.id
		case "condition":
			if a.rule.gaugesOf(silence) && severity != Unset && c.device.contact == 0 {
				return "never heard of" // a span that it was silent for would be one of ours
			}
			return g.sentence
		case "metric":
			if m := a.rule.shows; m != nil {
				return m.name
			}
			return ""
		case "unit":
			if s := a.shown(); s != nil && a.rule.gauges[g.gauge].source == newest {
				return s.unit()
			}
			return g.measured
		case "value":
			return a.valueText(p, g, past)
		case "limit", "eta":
			return a.forecast(p)
		}
		name := p.name[len("label."):]
		if c.device.def != nil {
			if v, ok := c.device.def.Labels[name]; ok {
				return v
			}
		}
		return a.rule.labels[name]
	})
}

func (a *instance) valueText(p titlePart, g *rung, past bool) string {
	v := value{}
	if a.episode != nil {
		v = a.episode.last.value
	}
	if s := a.shown(); s != nil && a.rule.gauges[g.gauge].source == newest {
		v = s.last.value
	}
	if past {
		if v = a.episode.valueAtFire; a.episode.peak.at != 0 {
			v = a.episode.peak.value
		}
	}
	switch a.rule.evidence().of(v) {
	case Text:
		return v.text
	case Number:
		return p.number(v.num)
	}
	if m := a.rule.shows; m != nil {
		return m.show(v)
	}
	return strconv.FormatBool(v.num != 0)
}

// AppendJSON appends the event in its public form, the same bytes each time and
// without HTML's escapes.
func (ev *Event) AppendJSON(b []byte) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(ev); err != nil {
		return b, fmt.Errorf("encoding event %s: %w", ev.ID, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// MarshalJSON implements json.Marshaler: [time, value].
func (p Point) MarshalJSON() ([]byte, error) { return json.Marshal([2]any{p.At, p.Value}) }

// UnmarshalJSON implements json.Unmarshaler.
func (p *Point) UnmarshalJSON(b []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return fmt.Errorf("reading a point: %w", err)
	}
	if err := json.Unmarshal(pair[0], &p.At); err != nil {
		return fmt.Errorf("reading a point's time: %w", err)
	}
	if err := json.Unmarshal(pair[1], &p.Value); err != nil {
		return fmt.Errorf("reading a point's value: %w", err)
	}
	return nil
}
