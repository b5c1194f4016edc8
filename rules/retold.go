package rules

import "time"

// maxRetold bounds the events of a rehearsal that the store is asked for.
const maxRetold = 10_000

// What a rehearsal tells may never have happened: where the end of the history is
// lost it comes to something else, and so it does by other rules than there were. So
// it notes nothing of what rules came to. The store says what that was: its events
// are found by the ids that the rehearsal came to, and by those that stored states
// know of.

// A retold is the events that may have happened in the time of a rehearsal.
type retold struct {
	list   []rehearsedEvent
	heard  map[string]bool // those of list, once they were asked for
	stored map[*health]lastEdges
}

type rehearsedEvent struct {
	of      *health
	outcome outcome
	id      string
}

// The lastEdges of a rule are the newest beginning and the newest end of an episode
// that stored states know of.
type lastEdges struct {
	began, ended       time.Time
	beganIDs, endedIDs []string
}

// add remembers an event of the rehearsal. Of very many, the oldest are taken for
// what happened.
func (t *retold) add(h *health, o outcome, id string) {
	if len(t.list) == 2*maxRetold {
		for _, x := range t.list[:maxRetold] {
			x.of.counts[x.outcome]++
		}
		t.list = append(t.list[:0], t.list[maxRetold:]...)
	}
	t.list = append(t.list, rehearsedEvent{h, o, id})
}

// know remembers the events that a stored state knows of.
func (t *retold) know(h *health, s *State) {
	if s.Episode == "" {
		return
	}
	if t.stored == nil {
		t.stored = map[*health]lastEdges{}
	}
	x, edges := t.stored[h], edgesOf(s.Episode, s.Seq)
	if s.StartedAt.After(x.began) {
		x.began, x.beganIDs = s.StartedAt, edges[:1]
	}
	if s.FiredAt.IsZero() && s.EndedAt.After(x.ended) {
		x.ended, x.endedIDs = s.EndedAt, edges[1:]
	}
	t.stored[h] = x
	if s.Muted != "" && s.Muted != pastMute && s.FiredAt.After(h.traces[suppressed].At) {
		h.counts[suppressed] = max(h.counts[suppressed], 1)
		h.traces[suppressed] = Trace{outcomeNames[suppressed], s.FiredAt, first(s.ToldAs, s.Rule) + "/" + s.Device, "muted: " + s.Muted}
	}
}

// edgesOf are the ids of the event that told the beginning of an episode, and of
// those that may have told its end as the event numbered so.
func edgesOf(episode string, seq int) []string {
	return []string{eventID(episode, 1, AlarmFired), eventID(episode, seq, AlarmResolved), eventID(episode, seq, AlarmCancelled)}
}

// Retold are the ids of events that may have happened in the time of a rehearsal,
// after the last [Engine.Restore] and before the first [Engine.Step]. What the store
// has of them is for [Engine.Recite], in this order.
func (e *Engine) Retold() []string {
	t := &e.retold
	t.heard = make(map[string]bool, len(t.list))
	var ids []string
	for _, x := range t.list {
		if !t.heard[x.id] {
			ids, t.heard[x.id] = append(ids, x.id), true
		}
	}
	for _, r := range e.program.rules {
		x := t.stored[&e.counts[r.index].health]
		ids = append(append(ids, x.beganIDs...), x.endedIDs...)
	}
	return ids
}

// Recite notes what a rule came to in the time of a rehearsal, as the store has it.
func (e *Engine) Recite(ev *Event) {
	r := e.program.byID[ev.Rule.ID]
	o, t := traced(ev)
	if r == nil || o == outcomes {
		return
	}
	h := &e.counts[r.index].health
	if again := e.retold.heard[ev.ID]; !again && !t.At.After(h.traces[o].At) { // it was noted before the snapshot, or just now
		return
	}
	h.counts[o]++
	delete(e.retold.heard, ev.ID)
	if !t.At.Before(h.traces[o].At) {
		h.traces[o] = t
	}
}

// Recite has an explanation say what its alarm last came to as the store has it.
func (x *Explanation) Recite(ev *Event) {
	o, t := traced(ev)
	if o == outcomes {
		return
	}
	for i := range x.Traces {
		if was := &x.Traces[i]; was.Outcome == t.Outcome {
			if t.At.After(was.At) {
				*was = t
			}
			return
		}
	}
	at := 0
	if o == clearedOutcome && len(x.Traces) > 0 && x.Traces[0].Outcome == outcomeNames[firedOutcome] {
		at = 1
	}
	x.Traces = append(x.Traces[:at:at], append([]Trace{t}, x.Traces[at:]...)...)
}

// Retold are the ids of the events that told the beginning and the end of the alarm's
// episode under way, or of the last: the store may have them, for [Explanation.Recite].
func (x *Explanation) Retold() []string { return x.edges }
