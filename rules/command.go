package rules

import "strings"

// command does to an alarm what an operator asks for. What cannot be done is a
// problem of the output, in words.
func (e *Engine) command(c *Command, out *Output) {
	a := e.find(c.Key)
	if a == nil || a.rule.disabled {
		out.Problems = append(out.Problems, "there is no alarm "+c.Key)
		return
	}
	out.Depends = max(out.Depends, a.channel.mark)
	if wrong := e.do(a, c, out); wrong != "" {
		out.Problems = append(out.Problems, c.Key+": "+wrong)
	}
}

// find looks an alarm up by its key, or by the one that receivers were told.
func (e *Engine) find(key string) *instance {
	id, name, ok := strings.Cut(key, "/")
	if !ok {
		return nil
	}
	r := first(e.program.byID[id], e.program.formerly[id])
	if r == nil {
		return e.toldAs(id, name)
	}
	if r.subject == ofGroup {
		if g := e.groups[groupName{r.across, name}]; g != nil {
			return g.alarm(r)
		}
		return nil
	}
	if d := e.devices[name]; d != nil {
		return d.alarm(r)
	}
	return nil
}

// toldAs finds the alarm of an episode that began under a name which its rule has
// lost since, and that no file remembers.
func (e *Engine) toldAs(id, name string) *instance {
	for _, a := range e.about(name) {
		if a.toldAs() == id {
			return a
		}
	}
	return nil
}

func (e *Engine) do(a *instance, c *Command, out *Output) string {
	was, ep := a.standing(), a.episode
	firing := ep != nil && ep.fired != 0
	switch c.Verb {
	case Ack, Unack, Reset:
		if !firing {
			return "is not firing"
		}
	}
	var s saying
	switch c.Verb {
	case Ack:
		if ep.acked {
			return "is acknowledged already"
		}
		ep.acked, ep.ackedBy, s.typ = true, strings.Clone(c.By), AlarmAcked
	case Unack:
		if !ep.acked {
			return "is not acknowledged"
		}
		ep.acked, ep.ackedBy, s.typ = false, "", AlarmUnacked
		if len(a.rule.renotify) > 0 {
			ep.reminder = e.now + int64(a.rule.renotify[min(ep.reminded, len(a.rule.renotify)-1)])
		}
	case Shelve:
		until := nanos(c.Until)
		if until <= e.now {
			return "cannot be shelved until a time that has passed"
		}
		a.more().shelved = &shelving{by: strings.Clone(c.By), reason: strings.Clone(c.Reason), until: until}
		s.typ, s.until = AlarmShelved, c.Until.UTC()
	case Unshelve:
		if a.extra == nil || a.extra.shelved == nil {
			return "is not shelved"
		}
		a.extra.shelved, s.typ = nil, AlarmUnshelved
	case Reset:
		if !a.rule.latch || !ep.returned {
			return "is not latched, or its condition has not cleared"
		}
		ep.reset = true
	default:
		return "cannot be told to " + string(c.Verb)
	}
	s.by, s.reason = strings.Clone(c.By), strings.Clone(c.Reason)
	if ep != nil && (c.Verb == Ack || c.Verb == Reset) {
		ep.returned = false // a latched alarm that is clear ends with this
	}
	e.settleWith(a, was, e.now, &s, out)
	return ""
}
