package rules

import "time"

// reachOf is how an alarm judges the silence of its device by one of its gauges.
func (e *Engine) reachOf(a *instance, i int) reach {
	d, g := a.channel.device, &a.rule.gauges[i]
	r := d.reach(e, g, a.rule.rungs[0].hold)
	// What was never heard of is missed after its grace; that it is silent for
	// longer, as a level says, begins with our listening.
	if base := i == a.rule.rungs[0].gauge; !base && !r.lost && r.deadline != 0 {
		r.deadline = max(r.deadline, r.since+int64(g.silent)+e.missed(d, r.since))
	}
	return r
}

// silence says since when a device is silent, for a rule about that; "" for others.
func (e *Engine) silence(a *instance, at int64) string {
	if !a.rule.gaugesOf(silence) {
		return ""
	}
	d, when := a.channel.device, wall(at)
	ago := func(t int64) string { return spell(time.Duration(max(0, at-t)).Round(time.Second)) }
	var text string
	switch {
	case d.presenceAt >= d.contact && (d.presence == Lost || d.presence == Offline):
		return d.presence.String() + " since " + clock(wall(d.presenceAt), when) + because(d.why)
	case d.contact != 0:
		text = "last heard of at " + clock(wall(d.contact), when) + ", " + ago(d.contact) + " before"
	default:
		from := max(d.listening, e.begun)
		text = "never heard of, in " + ago(from) + " of listening since " + clock(wall(from), when)
	}
	if every, ok := d.interval(); ok {
		text += "; it reports every " + written(every)
	}
	return text
}

// silentFrom says when a level of a rule about silence would fire, as far as nothing
// comes before.
func (e *Engine) silentFrom(a *instance, level int) string {
	g, d := &a.rule.rungs[level], a.channel.device
	r := e.reachOf(a, g.gauge)
	switch {
	case r.deaf && d.link == nil:
		return ", which nobody can know while every source is down"
	case r.deaf:
		return ", which nobody can know while source " + d.link.name + " is down"
	case r.deadline == 0:
		return ", which is not known yet: it takes some readings at regular times, or every in [device." + d.id + "]"
	case a.episode != nil && a.episode.rungs[level].on:
		return ""
	}
	return ": at " + wall(r.deadline+int64(g.hold)).Format(time.RFC3339) + " unless it is heard of before"
}
