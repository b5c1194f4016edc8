package rules

import "slices"

// Awaits reports whether the alarm is under way and an endpoint has not been told
// of it, so that [Engine.Include] would have something to do.
func (e *Engine) Awaits(key, endpoint string) bool {
	a := e.find(key)
	return a != nil && a.episode != nil && a.episode.fired != 0 && len(a.episode.told) > 0 &&
		!slices.Contains(a.episode.told, endpoint)
}

// Include has one more endpoint told of an alarm: what ev said of it, under an id
// of its own, and from then on whatever becomes of it. It reports false, and does
// nothing, when the episode that ev is of is over, or the endpoint is told of it
// already.
func (e *Engine) Include(ev Event, endpoint string, out *Output) bool {
	if !e.Awaits(ev.Alarm.Key, endpoint) {
		return false
	}
	a := e.find(ev.Alarm.Key)
	if a.episodeID() != ev.Alarm.Episode {
		return false
	}
	a.episode.told = append(slices.Clone(a.episode.told), endpoint)
	ev.ID = "evt_" + digest("include", ev.ID, endpoint)
	ev.Endpoints = []string{endpoint}
	out.Depends = max(out.Depends, a.channel.mark)
	out.Transitions = append(out.Transitions, a.transition(ev))
	return true
}

// Firing is how many alarms are under way that an endpoint is told of.
func (e *Engine) Firing(endpoint string) (n int) {
	for _, d := range e.devices {
		for _, c := range d.all() {
			for _, a := range c.alarms {
				if a.episode != nil && a.episode.fired != 0 && slices.Contains(a.episode.told, endpoint) {
					n++
				}
			}
		}
	}
	return n
}
