package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// tell makes the event of a change, numbers it, and says who is owed it. A
// newcomer can be told of an alarm when it starts or worsens. Whoever was told
// is told everything that follows.
func (e *Engine) tell(a *instance, typ Type, was, now standing, at int64) Event {
	c, r, ep := a.channel, a.rule, a.episode
	a.seq++
	severity, phase := now.severity, now.phase
	stands, decider := now.top, now.top // the rung the alarm stands on, and the one that changed it
	switch typ {
	case AlarmDeescalated:
		decider = was.top
	case AlarmResolved:
		severity, phase = was.severity, inactive // a new episode may be pending already
		decider = slices.IndexFunc(ep.rungs, func(t timer) bool { return t.ended != 0 })
		stands = decider
	}
	g, t := &r.rungs[stands], &ep.rungs[decider]
	episode := a.episodeID()
	ev := Event{
		ID:   "evt_" + digest("event", episode, strconv.Itoa(a.seq), string(typ)),
		Type: typ,
		At:   wall(at),
		Alarm: EventAlarm{
			Key: r.id + "/" + c.device.id, Episode: episode, Seq: a.seq, State: phase.String(),
			Severity: severity, StartedAt: wall(a.started), Relapses: ep.relapses,
		},
		Rule:      r.public(),
		Device:    EventDevice{ID: c.device.id},
		Condition: &EventCondition{Text: g.sentence, Limit: g.limit, Clear: g.clear, LimitFrom: g.limitFrom},
		Evidence:  ep.points(c.metric.kind),
		Notify:    g.notify,
	}
	if c.last.at != 0 {
		ev.Reading = &EventReading{
			Metric: c.metric.name, Value: c.metric.kind.public(c.last.value), Unit: c.unit(),
			At: wall(c.last.at), Clock: c.clock.String(), Quality: "good",
		}
	}
	if d := c.device.def; d != nil {
		ev.Device.Labels, ev.Device.Via = d.Labels, d.Via
	}
	ev.Because = a.because(typ, &r.rungs[decider], t, now, at)
	ev.Title = a.title(g, severity)
	if typ == AlarmResolved {
		ev.ValueAtFire = c.metric.kind.public(ep.valueAtFire)
		ev.Duration = time.Duration(max(0, t.ended-a.started)).String()
		ev.Reason = "cleared"
		if ep.peak.at != 0 {
			ev.Peak = &Point{wall(ep.peak.at), ep.peak.value.num}
		}
	}
	if typ == AlarmFired || typ == AlarmEscalated {
		ep.told = union(ep.told, e.options.Route(&ev))
	}
	ev.Endpoints = slices.Clone(ep.told)
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
func (a *instance) because(typ Type, g *rung, t *timer, now standing, at int64) string {
	m, ep, last := a.channel.metric, a.episode, a.channel.last
	entering := typ == AlarmFired || typ == AlarmEscalated
	text, wait, need := g.clearText, g.clearHold, 1
	if entering {
		text, wait, need = g.text, g.hold, g.samples
	}
	when := wall(at)
	waited := wait > 0 || need > 1
	var s string
	if waited {
		count := fmt.Sprintf("%d samples", t.samples)
		if typ == AlarmFired {
			count = fmt.Sprintf("%d of %d samples", ep.held, ep.seen)
		}
		if t.samples == 1 && typ != AlarmFired {
			count = "1 sample"
		}
		held := spell(time.Duration(t.ended - t.since - t.uncovered))
		if t.uncovered > 0 {
			held += " without " + spell(time.Duration(t.uncovered)) + " of downtime"
		}
		s = fmt.Sprintf("%s since %s (%s, %s)", text, clock(wall(t.since), when), held, count)
	} else {
		s = fmt.Sprintf("%s at %s", text, clock(wall(t.ended), when))
		if named := entering && g.op == is || !entering && (g.op == isNot || g.clearIs != nil); !named {
			s += " (" + m.show(last.value) + ")"
		}
	}
	switch typ {
	case AlarmDeescalated:
		return s + "; now " + now.severity.String()
	case AlarmResolved:
		s += "; in alarm for " + spell(time.Duration(t.ended-a.started))
	}
	if ep.peak.at != 0 && (waited || !entering) {
		s += "; peak " + m.show(ep.peak.value) + " at " + clock(wall(ep.peak.at), when)
	}
	return s
}

// title fills in the rule's title.
func (a *instance) title(g *rung, severity Severity) string {
	c := a.channel
	return a.rule.title.render(func(p titlePart) string {
		switch p.name {
		case "device":
			return c.device.id
		case "unit":
			return c.unit()
		case "threshold":
			return g.threshold
		case "severity":
			return severity.String()
		case "rule":
			return a.rule.id
		case "metric":
			return c.metric.name
		case "value":
			switch c.metric.kind {
			case Text:
				return c.last.value.text
			case Number:
				return p.number(c.last.value.num)
			}
			return c.metric.show(c.last.value)
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
