package rules

import (
	"slices"
	"strconv"
	"time"
)

// A store that is lost takes with it who was told of what. An engine on a new one
// warms up: an alarm whose condition holds when it is judged for the first time is
// told as one that may have begun long before, and when every device has had the
// time to report, whoever asked for it is told which alarms there are, so that what
// they hold open beside those can be closed.

// A warmth is how far an engine has got with that.
type warmth struct {
	born int64 // Options.Born; 0 where nothing is missing
	from int64 // the same on our clock, should that have been set back since
	over bool
	kept bool // what was recalled is of this store
}

const (
	unknownWarm = int64(10 * time.Minute) // where nothing says how often a device reports
	longestWarm = int64(time.Hour)        // for all alarms together
	latestSync  = int64(24 * time.Hour)   // after that nobody needs it: see warmUp
)

// Warming reports whether the engine's store is so new that alarms may be under
// way which have not been seen yet.
func (e *Engine) Warming() bool { return e.warm.born != 0 && !e.warm.over }

// warmth is for how long after the start an alarm counts as not seen before.
func (e *Engine) warmth(a *instance) int64 {
	if a.rule.gaugesSilence() {
		if g := &a.rule.gauges[a.rule.rungs[0].gauge]; g.source == silence && g.silent > 0 {
			return 2 * int64(g.silent) // it cannot fire sooner than after one
		}
	}
	return first(a.channel.device.staleAfter(a.rule), unknownWarm)
}

// warmFor is for how long the engine warms up, by what is known now.
func (e *Engine) warmFor() int64 {
	longest := int64(0)
	for _, r := range e.program.rules {
		if after := int64(r.staleAfter); !r.disabled {
			longest = max(longest, first(after, unknownWarm))
		}
	}
	for _, d := range e.devices {
		for _, c := range d.all() {
			for _, a := range c.alarms {
				longest = max(longest, d.staleAfter(a.rule))
			}
		}
	}
	return min(longest, longestWarm)
}

// warmUp tells what there is to be told when the engine has warmed up. It may do
// so again after a crash, for as long as a day: what is told has the same id then.
func (e *Engine) warmUp(at int64, out *Output) {
	w := &e.warm
	if !e.Warming() || e.rehearsing {
		return
	}
	if until := w.from + e.warmFor(); at < until {
		e.chores = until
		return
	}
	if w.over = true; at < w.from+latestSync {
		e.tellSync(at, out)
	}
}

// seen reports whether an alarm has been judged since the store is there, and
// something was known then. Of silence nothing is, until the device is heard.
func (e *Engine) seen(a *instance) bool {
	switch {
	case a.rule.plain:
		return a.channel.seen
	case a.rule.gaugesOf(silence):
		return a.channel.device.contact >= e.warm.from
	}
	return a.extra != nil && a.extra.seen
}

// coldUntil is until when what an alarm fires for may be older than the store; 0
// where it is not.
func (e *Engine) coldUntil(a *instance) int64 {
	if e.warm.born == 0 || e.seen(a) {
		return 0
	}
	if until := e.warm.from + e.warmth(a); e.now < until {
		return until
	}
	return 0
}

// firstSeen marks an alarm whose condition holds when it is judged for the first
// time since the store is there: nobody knows since when it does.
func (e *Engine) firstSeen(a *instance, was standing, answered bool) {
	if was.phase == inactive && a.episode != nil && a.busy() && e.coldUntil(a) != 0 {
		a.episode.unseen = true
	}
	if !a.rule.plain && answered {
		a.extra.seen = e.now >= e.warm.from
	}
}

// A Sync lists the alarms that are under way, pending ones included. The lists of
// all parts together are complete.
type Sync struct {
	Since  time.Time    `json:"since"` // what was told before is not known any more
	Part   int          `json:"part"`  // 1, 2, …
	Parts  int          `json:"parts"`
	Alarms []EventAlarm `json:"alarms"`
}

// A part is bounded so that a receiver can take it in at once.
const (
	maxSyncAlarms = 200
	maxSyncBytes  = 48 << 10 // of keys: devices may have long names
)

// tellSync tells each endpoint that asks for it which alarms it has been told of,
// or would be if nothing muted them.
func (e *Engine) tellSync(at int64, out *Output) {
	if e.options.Sync == nil {
		return
	}
	names := union(e.options.Sync(), nil)
	lists := make(map[string][]EventAlarm, len(names))
	for a := range e.instances() {
		if a.episode == nil || len(names) == 0 {
			continue
		}
		alarm, to := a.synced(), a.episode.told
		if a.episode.severity == Unset && !a.rule.shadow {
			to = e.options.Route(a.probe())
		}
		for _, name := range to {
			if _, asked := slices.BinarySearch(names, name); asked {
				lists[name] = append(lists[name], alarm)
			}
		}
	}
	for _, name := range names {
		parts := split(lists[name])
		for i, part := range parts {
			out.Transitions = append(out.Transitions, Transition{Events: []Event{e.syncEvent(name, i+1, parts, part, len(lists[name]), at)}})
		}
	}
}

func (e *Engine) syncEvent(name string, n int, parts [][]EventAlarm, part []EventAlarm, all int, at int64) Event {
	number, of := strconv.Itoa(n), strconv.Itoa(len(parts))
	since := wall(e.warm.from)
	title := strconv.Itoa(all) + " alarms are under way"
	if all == 1 {
		title = "1 alarm is under way"
	}
	if len(parts) > 1 {
		title += " (part " + number + " of " + of + ")"
	}
	return Event{
		ID:   "evt_" + digest("sync", stamp(e.warm.born), name, number, of),
		Type: AlarmSync, At: wall(at), Title: title,
		Because:   "the store is new since " + clock(since, wall(at)) + ": what was told of before then and is not listed is not in alarm any more",
		Sync:      &Sync{Since: since, Part: n, Parts: len(parts), Alarms: part},
		Endpoints: []string{name},
	}
}

// synced is how an alarm stands, in an event that lists it.
func (a *instance) synced() EventAlarm {
	ep, s := a.episode, a.standing()
	alarm := EventAlarm{
		Key: a.toldKey(), State: s.phase.String(), Severity: s.severity,
		Acked: ep.acked, Relapses: ep.relapses, FirstSeen: ep.unseen,
	}
	if ep.fired != 0 {
		alarm.Episode, alarm.Seq, alarm.StartedAt = a.episodeID(), a.seq, wall(a.started)
		return alarm
	}
	since := int64(0)
	for i := range ep.rungs {
		if t := &ep.rungs[i]; t.running {
			since = sooner(since, t.since)
		}
	}
	alarm.StartedAt = wall(since)
	return alarm
}

// probe is enough of an event to find out who would be told that an alarm fired.
func (a *instance) probe() *Event {
	s := a.standing()
	return &Event{
		Type: AlarmFired, Alarm: EventAlarm{Key: a.toldKey(), Severity: s.severity}, Rule: a.rule.public(),
		Device: a.channel.device.public(), Notify: a.rule.rungs[max(0, s.top)].notify,
	}
}

// split cuts a list into parts of bounded size; an empty list is one empty part.
func split(list []EventAlarm) [][]EventAlarm {
	parts := [][]EventAlarm{{}}
	size := 0
	for _, alarm := range list {
		last := len(parts) - 1
		if n := len(parts[last]); n > 0 && (n == maxSyncAlarms || size+len(alarm.Key) > maxSyncBytes) {
			parts, size, last = append(parts, nil), 0, last+1
		}
		parts[last] = append(parts[last], alarm)
		size += len(alarm.Key)
	}
	return parts
}
