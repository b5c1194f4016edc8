package rules

import (
	"path"
	"slices"
)

// attend does what is due for an alarm.
func (e *Engine) attend(a *instance, due int64, out *Output) {
	out.Depends = max(out.Depends, a.channel.mark)
	was := a.standing()
	if ep := a.episode; ep != nil {
		if s := e.staleDue(a); s != 0 && s < due {
			e.grow(a, was, due, out) // its device turned out to report more often than was known
			return
		}
		if ep.frozen == 0 {
			ran := false
			for i := range a.rule.rungs {
				if t, g := &ep.rungs[i], &a.rule.rungs[i]; t.due(g) == due {
					t.lapse(g)
					ran = true
				}
			}
			if ran {
				a.join()
				e.settle(a, was, due, true, out)
				return
			}
		}
		if s := e.staleDue(a); s != 0 && s <= due {
			e.grow(a, was, due, out)
			return
		}
	} else if a.rule.noData == fireAlarm {
		if s := e.staleDue(a); s != 0 && s <= due {
			a.open()
			e.grow(a, was, due, out)
			return
		}
	}
	if a.extra != nil && a.extra.wake != 0 && a.extra.wake < due {
		a.extra.wake = 0
		e.look(a, false, out)
		return
	}
	e.settle(a, was, due, false, out)
	if a.due == due {
		e.schedule(a)
	}
}

// nextDue is when an alarm is to be attended to next; 0 for never.
func (e *Engine) nextDue(a *instance) int64 {
	due := a.timerDue()
	if x := a.extra; x != nil {
		if !a.rule.disabled && x.wake != 0 {
			due = sooner(due, x.wake+1) // when all has come that comes just then
		}
		if x.shelved != nil {
			due = sooner(due, x.shelved.until)
		}
	}
	if s := e.staleDue(a); s != 0 {
		due = sooner(due, max(s, e.now))
	}
	ep := a.episode
	if ep == nil || ep.fired == 0 {
		return due
	}
	due = sooner(due, e.insistDue(a))
	if a.rule.explained {
		if until := e.benefit(a); until > e.now {
			due = sooner(due, until)
		}
	}
	if ep.flapping {
		due = sooner(due, a.extra.flips[len(a.extra.flips)-1]+int64(a.rule.flap.hold))
	}
	if a.rule.calendar != nil && !a.rule.calendar.off {
		_, until := a.rule.calendar.open(e.now)
		due = sooner(due, until)
	}
	return sooner(due, e.upkeepEnds(a))
}

// moment is as of when an alarm is attended to next: a measurement that changes by
// itself is looked at as of then, once that moment is over.
func (a *instance) moment() (at int64, over bool) {
	if x := a.extra; x != nil && x.wake != 0 && x.wake == a.due-1 {
		return x.wake, true
	}
	return a.due, false
}

// gone is the time that is over. What ends by itself at a moment (a reading leaves
// its window, a silence has been long enough) ends when that is over, and not before
// something that comes just then: a device that reports every minute would have lost
// the first of three readings whenever it is about to send the fourth.
func (e *Engine) gone() int64 {
	if e.over {
		return e.now
	}
	return e.now - 1
}

// insistDue is when people are told again of an alarm that they know of; 0 for
// never. What came due while it is muted waits for the end of that.
func (e *Engine) insistDue(a *instance) int64 {
	ep, due := a.episode, int64(0)
	if ep.severity == Unset {
		return 0
	}
	if !ep.acked {
		due = ep.reminder
	}
	if n := a.nextEscalation(); n != nil {
		due = sooner(due, ep.toldAt+int64(n.after))
	}
	if due != 0 && due <= e.now && e.muting(a) != "" {
		return 0
	}
	return due
}

// nextEscalation is the escalation that is due next; nil for none.
func (a *instance) nextEscalation() *escalation {
	for i := a.episode.escalated; i < len(a.rule.escalation); i++ {
		if x := &a.rule.escalation[i]; x.always || !a.episode.acked {
			return x
		}
	}
	return nil
}

// upkeepEnds is when planned maintenance of the alarm begins or ends next.
func (e *Engine) upkeepEnds(a *instance) int64 {
	next := int64(0)
	for i := range e.program.upkeep {
		u := &e.program.upkeep[i]
		if u.to > e.now && u.covers(a) {
			if u.from > e.now {
				next = sooner(next, u.from)
			} else {
				next = sooner(next, u.to)
			}
		}
	}
	return next
}

// covers reports whether maintenance is of the alarm's device and rule.
func (u *upkeep) covers(a *instance) bool {
	if len(u.rules) > 0 && !slices.ContainsFunc(u.rules, func(p string) bool {
		ok, err := path.Match(p, a.rule.id)
		return ok && err == nil
	}) {
		return false
	}
	d := a.channel.device
	return len(u.devices.scope) == 0 || u.devices.matches(d.id, d.def)
}
