package simulate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bridge"
)

// The promises, each judged by the ledgers and by a model as plain as can be: of
// rule warm a device's acknowledged readings in order, of rules hot and quiet the
// time that somebody listened.

const (
	warmAbove, warmClear = -15, -17
	hotAbove             = -10
	hotFor, quietFor     = 2 * time.Minute, 15 * time.Minute
	neverFor             = 2 * time.Minute // until a device that reports every minute is missed from the start
)

// told is all that the log endpoint is owed, or was, of what the rules of the
// model decided, in order of commit.
func (w *world) told(l *life) []bridge.DeliveryInfo {
	return slices.DeleteFunc(w.deliveries(l, "log"), func(d bridge.DeliveryInfo) bool {
		rule, _, _ := strings.Cut(d.Alarm, "/")
		return !slices.Contains([]string{"warm", "hot", "quiet"}, rule)
	})
}

func (w *world) deliveries(l *life, endpoint string) (all []bridge.DeliveryInfo) {
	q := bridge.DeliveryQuery{Endpoint: endpoint, Limit: 1000}
	for {
		page, err := l.db.Log().Deliveries(w.t.Context(), q)
		if err != nil {
			w.wrong("the harness", "reading the log: %v", err)
			return all
		}
		all = append(all, page.Deliveries...)
		if q.Cursor = page.Cursor; q.Cursor == "" {
			slices.Reverse(all)
			return all
		}
	}
}

func (w *world) same(promise string, before, after []bridge.DeliveryInfo) {
	for _, d := range after[min(len(before), len(after)):] {
		w.wrong(promise, "%s %s", d.Alarm, d.Type)
	}
	if len(after) < len(before) {
		w.wrong("P1 acknowledged is durable", "%d events are gone", len(before)-len(after))
	}
}

// turns are what rule warm makes of a device's readings, and how it stands.
func turns(acked []contact) (list []string, firing bool) {
	for _, c := range acked {
		switch {
		case c.modeled && !firing && c.value > warmAbove:
			list, firing = append(list, "alarm.fired"), true
		case c.modeled && firing && c.value < warmClear:
			list, firing = append(list, "alarm.resolved"), false
		}
	}
	return list, firing
}

// judgeStep judges what must hold at every moment at which nothing happens.
func (w *world) judgeStep() {
	l := w.running()
	if l == nil || w.excused(l) || time.Since(l.since) < 15*time.Second {
		return
	}
	b, err := l.db.Log().Backlog(w.t.Context(), "log")
	if err != nil {
		w.wrong("the harness", "%v", err)
	}
	if b.Count > 0 && time.Since(b.Oldest) > 10*time.Second {
		w.wrong("P5 one endpoint hurts nobody else", "log has waited for %v, of %d", time.Since(b.Oldest), b.Count)
	}
	alarms, _, err := l.Alarms(w.t.Context(), bridge.AlarmQuery{State: "all"})
	if err != nil {
		w.wrong("the harness", "%v", err)
	}
	by := map[string]bridge.Alarm{}
	for _, a := range alarms {
		by[a.Key] = a
	}
	for _, d := range w.devices {
		acked, settled := d.settled()
		list, firing := turns(acked)
		a := by["warm/"+d.id]
		if settled && firing != (a.State == "firing" || a.State == "recovering") {
			w.wrong("P1 acknowledged is decided and durable", "warm/%s is %q after %v of the readings that were acknowledged", d.id, a.State, list)
		}
		if episode, ok := w.acked["warm/"+d.id]; ok && a.Episode == episode && a.State != "inactive" && !a.Acked {
			w.wrong("what a person asked for holds", "warm/%s was acknowledged by ann, and is not", d.id)
		}
	}
}

// foldedFor is for how long what is over a budget may wait for its digest.
const foldedFor = 15*time.Minute + slack

// judgeEnd judges the ledgers when all is well again.
func (w *world) judgeEnd() {
	l := w.running()
	if l == nil {
		return
	}
	w.judgeModel(l)
	w.judgeEpisodes(l)
	for name, t := range map[string]treatment{"log": {giveUp: 72 * time.Hour}, "ops": w.plan.ops, "crm": w.plan.crm} {
		w.judgeEndpoint(l, name, t)
	}
	for _, d := range w.devices {
		acked, settled := d.settled()
		if !settled {
			w.wrong("P8 heals alone", "%s still waits to be heard", d.id)
		}
		for _, c := range acked {
			w.note("%s acked %s at %v", d.id, c.payload, c.at.Sub(w.began))
		}
	}
	for _, d := range w.deliveries(l, "log") {
		w.note("%v %s %s %s", d.At.Sub(w.began), d.ID, d.Alarm, d.Type)
	}
	for name, r := range w.receivers {
		for _, got := range r.list() {
			w.note("%v %s accepted %s %s", got.at.Sub(w.began), name, got.id, got.Type)
		}
	}
}

// judgeModel compares what was decided with what had to be.
func (w *world) judgeModel(l *life) {
	got, ended := map[string][]string{}, map[string]time.Time{}
	for _, d := range w.told(l) {
		rule, id, _ := strings.Cut(d.Alarm, "/")
		if d.Type == "alarm.resolved" {
			ended[d.Alarm] = d.At
		}
		switch {
		case d.Type == "alarm.fired" && rule == "quiet":
			w.judgeSilence(id, d.At, ended[d.Alarm])
		case d.Type == "alarm.fired" && rule == "hot":
			w.judgeHot(id, d.At)
		}
		if d.Type == "alarm.fired" || d.Type == "alarm.resolved" {
			got[d.Alarm] = append(got[d.Alarm], string(d.Type))
		}
	}
	for _, d := range w.devices {
		acked, _ := d.settled()
		switch want, _ := turns(acked); {
		case slices.Equal(got["warm/"+d.id], want):
		case len(got["warm/"+d.id]) < len(want):
			w.wrong("P1 acknowledged is decided and durable", "warm/%s: got %v, want %v", d.id, got["warm/"+d.id], want)
		default:
			w.wrong("P2 every event, and no other", "warm/%s: got %v, want %v", d.id, got["warm/"+d.id], want)
		}
		heard := slices.ContainsFunc(acked, func(c contact) bool { return c.modeled })
		if list := got["quiet/"+d.id]; heard && (len(list) == 0 || list[len(list)-1] != "alarm.fired") {
			w.wrong("P2 every event, and no other", "quiet/%s: two hours of silence, and %v", d.id, list)
		}
	}
}

// slack is what a tick and a commit may take.
const slack = 3 * time.Second

// without is how long a span is without what others have of it.
func (w *world) without(from, to time.Time, others *[]span) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	sum := to.Sub(from)
	for _, s := range *others {
		a, b := s.from, cmp.Or(s.to, to)
		if a.Before(from) {
			a = from
		}
		if b.After(to) {
			b = to
		}
		sum -= max(0, b.Sub(a))
	}
	return sum
}

// judgeSilence judges an alarm of rule quiet, whose last ended when its device was
// heard. Of a contact that nothing was decided by, and that was not flushed when the
// process was killed, nobody knows.
func (w *world) judgeSilence(device string, at, ended time.Time) {
	if w.device(device) == nil {
		w.wrong("P3 no event by a fault", "quiet/%s fired at %v, and there is no such device", device, at.Sub(w.began))
		return
	}
	last := time.Time{}
	acked, _ := w.device(device).settled()
	for _, c := range acked {
		if c.contact && !c.at.After(at) && (!ended.Before(c.at) || !w.killedAfter(c.at)) {
			last = c.heard
		}
	}
	least := quietFor
	if last.IsZero() {
		last, least = w.began, neverFor
	}
	if n := w.without(last, at, &w.deaf); n < least-slack {
		w.wrong("I6 no silence of deaf time", "quiet/%s fired at %v: last heard at %v, and since then somebody listened for %v", device, at.Sub(w.began), last.Sub(w.began), n)
	}
}

func (w *world) judgeHot(device string, at time.Time) {
	var since time.Time
	acked, _ := w.device(device).settled()
	for _, c := range acked {
		switch {
		case !c.modeled || c.heard.After(at):
		case c.value <= hotAbove:
			if !c.at.After(at) {
				since = time.Time{}
			}
		case since.IsZero():
			since = c.heard
		}
	}
	if n := w.without(since, at, &w.down); since.IsZero() || n < hotFor-slack {
		w.wrong("P3 no event by a fault", "hot/%s fired at %v: hot since %v, and since then there was a process for %v", device, at.Sub(w.began), since.Sub(w.began), n)
	}
}

// judgeEpisodes looks at what the log endpoint, of which nothing is asked but to
// accept, was told of each alarm: I1.
func (w *world) judgeEpisodes(l *life) {
	type account struct {
		seq int
		is  string
	}
	ids, episodes, open := map[string]bool{}, map[string]*account{}, map[string]string{}
	shadowed := strings.Contains(w.plan.rules+w.plan.changed, "shadow = true")
	for _, r := range w.receivers["log"].list() {
		key := r.Data.Alarm.Key
		if ids[r.id] || key == "" || r.Data.Alarm.Episode == "" {
			continue
		}
		ids[r.id] = true
		a := episodes[r.Data.Alarm.Episode]
		if a == nil {
			a = &account{}
			episodes[r.Data.Alarm.Episode] = a
		}
		say := func(why string) {
			w.wrong("I1 an alarm is told whole", "%s %s seq %d: %s", key, r.Type, r.Data.Alarm.Seq, why)
		}
		if r.Data.Alarm.Seq <= a.seq {
			say(fmt.Sprintf("after seq %d", a.seq))
		}
		if a.is == "over" {
			say("after its end")
		}
		a.seq = r.Data.Alarm.Seq
		switch r.Type {
		case "alarm.fired":
			if a.is != "" || open[key] != "" {
				say("it fires already")
			}
			a.is, open[key] = "open", r.Data.Alarm.Episode
		case "alarm.escalated":
			if a.is == "" && shadowed { // what began unseen is told when it worsens
				a.is, open[key] = "open", r.Data.Alarm.Episode
			}
		case "alarm.occurred":
			a.is = "over"
		case "alarm.resolved", "alarm.cancelled":
			if a.is != "open" {
				say("nothing had fired")
			}
			a.is = "over"
			delete(open, key)
		}
	}
	alarms, _, err := l.Alarms(w.t.Context(), bridge.AlarmQuery{State: "all"})
	if err != nil {
		w.wrong("the harness", "%v", err)
	}
	for _, a := range alarms {
		if open[a.Key] != "" && a.State == "inactive" {
			w.wrong("I1 an alarm is told whole", "%s was told to fire, is over, and nobody was told", a.Key)
		}
		delete(open, a.Key)
	}
	for key := range open {
		w.wrong("I1 an alarm is told whole", "%s was told to fire, and is not known", key)
	}
}

// judgeEndpoint compares what an endpoint was told with what the log has of it.
func (w *world) judgeEndpoint(l *life, name string, t treatment) {
	p := &w.plan
	states := map[bridge.DeliveryState]int{}
	sent := map[string]bridge.DeliveryInfo{}
	all := w.deliveries(l, name)
	for _, d := range all {
		states[d.State]++
		sent[cmp.Or(d.SentAs, d.ID)], sent[d.ID] = d, d
	}
	heard := map[string]receipt{}
	newest := map[string]int64{} // by alarm
	replayed := name != "log" && p.did("replay")
	for _, r := range w.receivers[name].list() {
		d, known := sent[r.id]
		if !known {
			if !strings.HasPrefix(r.Type, "endpoint.") && !strings.HasPrefix(r.Type, "heartbeat") {
				w.wrong("P2 repeats carry the same id", "%s: %s %s was accepted, and no event has that id", name, r.id, r.Type)
			}
			continue
		}
		was, again := heard[r.id]
		if again && !was.lost && !replayed && !w.killedAfter(was.at) {
			w.wrong("P2 told once", "%s: %s %s was accepted at %v and again at %v", name, d.Alarm, d.Type, was.at.Sub(w.began), r.at.Sub(w.began))
		}
		heard[r.id] = r
		if !again && d.Event <= newest[d.Alarm] && !replayed {
			w.wrong("P2 order is kept", "%s: %s %s, event %d, was accepted after event %d", name, d.Alarm, d.Type, d.Event, newest[d.Alarm])
		}
		newest[d.Alarm] = max(newest[d.Alarm], d.Event)
	}
	for _, d := range all {
		_, ok := heard[cmp.Or(d.SentAs, d.ID)]
		switch {
		case d.State == bridge.DeliveryWaiting && d.Due.IsZero() && t.budget > 0 && time.Since(d.At) < foldedFor: // its digest is still to come
		case d.State == bridge.DeliveryWaiting:
			w.wrong("P2 nothing is lost", "%s: %s %s still waits, for %v", name, d.Alarm, d.Type, d.Due.Sub(w.began))
		case d.State == bridge.DeliveryDelivered && !ok && d.Status != 0:
			w.wrong("P2 nothing is lost", "%s: %s %s counts as accepted, and was not", name, d.Alarm, d.Type)
		}
	}
	may := func(state bridge.DeliveryState, because bool) {
		if states[state] > 0 && !because {
			w.wrong("P2 nothing is lost", "%s: %d are %s for no reason", name, states[state], state)
		}
	}
	own := name != "log"
	may(bridge.DeliveryDead, own && (t.giveUp < time.Hour || p.did("answer")))
	may(bridge.DeliveryCancelled, own && p.did("latest", "discard"))
	may(bridge.DeliverySuperseded, own && (t.stale != bridge.StaleAll || t.budget > 0))
	may(bridge.DeliveryDropped, own && t.backlog > 0)
}

// killedAfter reports whether a process vanished so soon after a moment that it may
// not have written down what it had learnt.
func (w *world) killedAfter(at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.kills, func(k time.Time) bool { return !k.Before(at) && k.Sub(at) < time.Second })
}
