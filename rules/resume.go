package rules

import (
	"time"
)

// Resume says, after the last Restore or after the process was suspended, that
// nobody listened between from and to, on the bridge's clock. That time counts
// neither for nor against a timer that was running, unless samples stamped in
// it arrive later and say how it was. Nobody is told anything; the changed
// timers are in the transitions of the next Step, which should come, and be
// committed, before the new run is itself recorded as alive.
//
// When to is before from, our clock was set back. Timers go on for as long as
// they would have, and readings that only our clock has stamped go back with it.
func (e *Engine) Resume(from, to time.Time) {
	g := gap{nanos(from), nanos(to)}
	if g.from <= 0 || g.to == g.from {
		return
	}
	if !e.rehearsing {
		e.rehearsal()
	}
	e.begin(max(g.from, g.to)) // nothing but states was left, or nothing
	if g.to < g.from {
		e.rewind(g)
		return
	}
	e.now = max(e.now, g.from)
	e.deaf = max(e.deaf, g.to)
	for _, d := range e.devices {
		if d.gaps != nil {
			d.gaps.Skip() // the gap under way is our own
		}
	}
	e.gaps, e.absent = addGap(e.gaps, g), addGap(e.absent, g)
	e.flood.due = e.awake(e.flood.due)
	e.excess.due = e.awake(e.excess.due)
	for a := range e.instances() {
		if a.episode != nil && a.shift(g) {
			e.shifted = append(e.shifted, a)
		}
		e.schedule(a)
	}
	for _, d := range e.sortedDevices() {
		for _, c := range d.all() {
			for _, a := range c.alarms {
				if x := a.extra; a.rule.heeds() || x != nil && x.wake > g.from && x.wake < g.to {
					a.more().wake = g.to // nobody looked
					e.schedule(a)
				}
			}
		}
	}
	e.now = max(e.now, g.to) // nothing is looked at as it was in the gap
}

// shift moves the timers that were running in the gap by as much of it as they
// were; one that had run out before is left to end at its own time. Reminders
// that were missed are one now.
func (a *instance) shift(g gap) bool {
	changed := false
	if r := &a.episode.reminder; *r > g.from && *r < g.to {
		*r, changed = g.to, true
	}
	if s := &a.episode.staleAt; *s > g.from && !a.channel.device.unheard() { // or the source's return moves it
		*s, changed = *s+g.to-max(g.from, min(a.episode.frozen, g.to)), true
	}
	if a.episode.flapping { // quiet is what was heard
		flips := a.extra.flips
		if last := flips[len(flips)-1]; last+int64(a.rule.flap.hold) > g.from {
			flips[len(flips)-1], changed = last+g.to-max(g.from, last), true
		}
	}
	for i := range a.episode.rungs {
		t := &a.episode.rungs[i]
		wait, _ := a.rule.rungs[i].wait(t.on)
		from, to := max(g.from, t.deadline-int64(wait)), g.to
		if f := a.episode.frozen; f != 0 { // since then it stands still already
			to = min(to, f)
		}
		if t.running && t.deadline > g.from && from < to {
			lost := to - from
			t.deadline += lost
			t.uncovered += lost
			changed = true
		}
	}
	return changed
}

// rewind moves everything that our clock has stamped by as much as it was set
// back. Downtime before that was told on the old clock and is forgotten: what no
// sample has covered by now stays uncovered.
func (e *Engine) rewind(g gap) {
	by := g.to - g.from
	e.now, e.gaps = g.to, nil
	for _, d := range e.devices {
		d.rewind(by)
	}
	shift(by, &e.begun)
	e.deaf += by
	shiftGaps(by, e.absent)
	for _, l := range e.links {
		shift(by, &l.since, &l.down)
		shiftGaps(by, l.gaps)
	}
	shift(by, &e.flood.begun, &e.flood.due, &e.chores, &e.warm.from)
	e.excess.due = 0
	e.slotDue()
	for i := range e.flood.recent {
		shift(by, &e.flood.recent[i])
	}
	e.rewindExtras(by)
	for a := range e.instances() {
		if a.episode == nil {
			stamped := a.channel.clock == ClockArrival && a.channel.last.at != 0
			if x := a.extra; stamped || a.rule.gaugesOf(silence) || x != nil && (x.fired != 0 || len(x.flips) > 0) {
				e.shifted = append(e.shifted, a)
			}
			continue
		}
		shift(by, &a.episode.frozen, &a.episode.staleAt, &a.episode.reminder, &a.episode.toldAt)
		for i := range a.episode.rungs {
			t := &a.episode.rungs[i]
			if !t.running {
				continue
			}
			t.deadline += by
			if a.channel.clock == ClockArrival {
				t.since += by
			}
		}
		e.shifted = append(e.shifted, a)
		e.schedule(a)
	}
}

// rewindExtras moves what alarms wait for beside their timers.
func (e *Engine) rewindExtras(by int64) {
	for _, d := range e.sortedDevices() {
		for _, c := range d.all() {
			for _, a := range c.alarms {
				x := a.extra
				if x == nil {
					continue
				}
				shift(by, &x.wake, &x.fired)
				for i := range x.flips {
					shift(by, &x.flips[i])
				}
				e.schedule(a)
			}
		}
	}
}

// rewind moves what our clock has stamped of a device.
func (d *device) rewind(by int64) {
	shift(by, &d.contact, &d.listening, &d.presenceAt, &d.taught)
	arrival := false
	for _, c := range d.channels {
		shift(by, &c.at, &c.patientAt)
		if c.clock == ClockArrival {
			arrival = arrival || c.last.at != 0
			shift(by, &c.last.at, &c.prev.at, &c.judged)
		}
		c.slot.rewind(by)
	}
	if arrival {
		shift(by, &d.newest)
	}
	if d.gaps != nil {
		d.gaps.Skip()
	}
	if b := d.bucket; b != nil {
		shift(by, &b.full, &b.since)
	}
}

// shift moves times that are set.
func shift(by int64, times ...*int64) {
	for _, t := range times {
		if *t != 0 {
			*t += by
		}
	}
}

// downtime says how much of it a sample proves to have been covered, and how
// much lies after the sample. A sample stamped in a gap comes from a device that
// kept its readings for us, and speaks for the time since the one before.
func (e *Engine) downtime(before, at int64) (bridged, ahead int64) {
	for _, g := range e.gaps {
		if g.from < at && at <= g.to {
			bridged += at - max(before, g.from)
		}
		ahead += max(0, g.to-max(g.from, at))
	}
	return bridged, ahead
}
