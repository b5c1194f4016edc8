package rules

import (
	"math"
	"strconv"
	"time"
)

type outcome uint8

const (
	firedOutcome outcome = iota
	clearedOutcome
	suppressed
	errored
	outcomes
)

var outcomeNames = [outcomes]string{"fired", "cleared", "suppressed", "error"}

// A health remembers of a rule what it came to, and how near it has come to
// firing. It is kept while readings are judged, so it takes a comparison for each
// of them and an allocation for none.
type health struct {
	since  int64 // when a reading was first put before it, on the bridge's clock
	counts [outcomes]int
	traces [outcomes]Trace
	near   nearness
	miss   miss
}

// A nearness is the reading that came nearest to the limit of the lowest level.
type nearness struct {
	known  bool
	beyond bool // the limit, or at it where that fires
	short  float64
	value  float64
	at     int64
	device string
	limit  string // that of the device, in words
	unit   string
}

// A miss is the condition that held longest without becoming an alarm.
type miss struct {
	share  float64
	held   int64
	hold   time.Duration
	at     int64
	device string
}

// saw notes a reading that was judged by a rule that looks at nothing else.
func (h *health) saw(a *instance, v value) {
	if !h.near.known || a.rule.rungs[0].short(v.num) < h.near.short {
		h.weigh(a, v.num, a.channel.at)
	}
}

// weigh notes what was put before a rule.
func (h *health) weigh(a *instance, v float64, now int64) {
	if h.since == 0 {
		h.since = now
	}
	g := &a.rule.rungs[0]
	if short := g.short(v); short < h.near.short || !h.near.known && short == short {
		h.near = nearness{
			known: true, beyond: short < 0 || short == 0 && g.fires(value{num: v}) == yes, short: short, value: v, at: now,
			device: a.channel.device.id, limit: g.text, unit: g.measured,
		}
	}
}

// short is how much a value is short of firing, in its own unit: negative for one
// that is beyond the limit, and without end where there is none, so that nothing
// comes nearer.
func (c *condition) short(v float64) float64 {
	switch c.op {
	case above, atLeast:
		return c.lo - v
	case below, atMost:
		return v - c.lo
	case outside:
		return min(v-c.lo, c.hi-v)
	case inside:
		return max(c.lo-v, v-c.hi)
	}
	return math.Inf(-1)
}

// missed notes an alarm that was on its way in and did not come, by what its
// lowest level waits for.
func (h *health) missed(a *instance) {
	ep, g := a.episode, &a.rule.rungs[0]
	if len(ep.evidence) == 0 || g.hold <= 0 || g.share > 0 {
		return
	}
	held := ep.last.at - ep.evidence[0].at
	share := min(1, float64(held)/float64(g.hold))
	if g.samples > 1 { // it waits for both; the reading that ended it is counted too
		share = min(share, float64(ep.held-1)/float64(g.samples))
	}
	if share > h.miss.share {
		h.miss = miss{share: share, held: held, hold: g.hold, at: ep.last.at, device: a.channel.device.id}
	}
}

// noteTold notes what is told of an alarm. What a rehearsal tells may never have
// happened: that is for the store to say, see [Engine.Recite].
func (e *Engine) noteTold(a *instance, ev *Event) {
	h := &e.counts[a.rule.index].health
	switch o, t := traced(ev); {
	case o == outcomes:
	case e.rehearsing:
		e.retold.add(h, o, ev.ID)
	default:
		h.counts[o]++
		h.traces[o] = t
	}
}

// traced is the outcome that an event tells, and as what it is noted; outcomes for
// an event that tells none.
func traced(ev *Event) (outcome, Trace) {
	o, key := outcomes, ev.Alarm.Key
	switch ev.Type {
	case AlarmFired, AlarmOccurred:
		o = firedOutcome
	case ReadingMatched:
		o, key = firedOutcome, ev.Rule.ID+"/"+ev.Device.ID
	case AlarmResolved, AlarmCancelled:
		o = clearedOutcome
	}
	if o == outcomes || ev.Muted != "" {
		return outcomes, Trace{}
	}
	return o, Trace{Outcome: outcomeNames[o], At: ev.At, Key: key, Text: ev.Because}
}

// noteMuted notes that an alarm which fires may not be told of.
func (e *Engine) noteMuted(a *instance, at int64, mute string) {
	h := &e.counts[a.rule.index].health
	if e.rehearsing { // whether it still is, its stored state says
		h.counts[suppressed]++
		return
	}
	h.trace(suppressed, a.toldKey(), at, "muted: "+mute)
}

// refuse notes a device that the rule cannot judge.
func (h *health) refuse(r *rule, d *device, at int64, text string) {
	h.trace(errored, r.id+"/"+d.id, at, text)
}

func (h *health) trace(o outcome, key string, at int64, text string) {
	h.counts[o]++
	h.traces[o] = Trace{Outcome: outcomeNames[o], At: wall(at), Key: key, Text: text}
}

// full notes a device that a rule has no room for.
func (e *Engine) full(r *rule, d *device) {
	e.counts[r.index].health.refuse(r, d, e.now, "is not looked at: the rule has "+strconv.Itoa(e.counts[r.index].instances)+" alarms, and may have no more")
}

// unfit notes why a rule that is disabled for a device is, unless that was meant.
func (e *Engine) unfit(r *rule, d *device) {
	why := "is not looked at: the overrides that apply to it make no rule"
	if name := r.missing(d.def); name != "" {
		why = "is not looked at: it has no attribute " + name + " to compare with"
	} else if r.def.Enabled != nil && !*r.def.Enabled {
		return
	}
	e.counts[r.index].health.refuse(r, d, e.now, why)
}

// A Health says how a rule fares: whether it ever judged anything, fired, or came
// near to it. Counts survive reloads and
// restarts; what it could not be made to look at is found out again.
type Health struct {
	Rule   string `json:"rule"`
	Source string `json:"source,omitempty"` // file:line

	// State is how the rule stands: disabled, unmatched (it looks at nothing that was
	// heard of), unjudged (what it looks at was never known), firing, recovering,
	// pending, silent (it has judged, and never fired) or quiet.
	State      string `json:"state"`
	Shadow     bool   `json:"shadow,omitempty"` // nobody is told of it
	Alarms     int    `json:"alarms"`           // devices, or groups of them, that it looks at
	Pending    int    `json:"pending"`
	Firing     int    `json:"firing"`
	Recovering int    `json:"recovering"`

	Since  time.Time `json:"since,omitzero"` // when it first judged a reading
	Fired  int       `json:"fired"`          // episodes, or readings for a rule that forwards
	Muted  int       `json:"muted"`          // times that a firing alarm was kept from being told
	Errors int       `json:"errors"`         // devices that it could not be made to look at

	Condition string    `json:"condition"` // of the lowest level, in words
	Limit     string    `json:"limit"`     // the same without what is measured
	Nearest   *Nearest  `json:"nearest,omitempty"`
	NearMiss  *NearMiss `json:"near_miss,omitempty"`
	Traces    []Trace   `json:"traces,omitempty"` // the last of each outcome
}

// A Nearest is the reading, or what was measured of readings, that came nearest
// to the limit of a rule's lowest level, or went furthest beyond it.
type Nearest struct {
	Device string    `json:"device"` // or group
	Value  float64   `json:"value"`
	Short  float64   `json:"short"` // of the limit, in the same unit; negative beyond it
	Unit   string    `json:"unit,omitempty"`
	Limit  string    `json:"limit"` // that of this device
	At     time.Time `json:"at"`
	Text   string    `json:"text"` // all of it, for people
}

// A NearMiss is the condition that held for the longest part of its for without
// becoming an alarm.
type NearMiss struct {
	Device string    `json:"device"`
	Share  float64   `json:"share"` // of for, 0 … 1
	Held   string    `json:"held"`
	For    string    `json:"for"`
	At     time.Time `json:"at"`
	Text   string    `json:"text"`
}

// Health reports how every rule fares, by ascending id.
func (e *Engine) Health() []Health {
	list := make([]Health, 0, len(e.program.rules))
	for i, r := range e.program.rules {
		list = append(list, r.health(&e.counts[i]))
	}
	return list
}

func (r *rule) health(c *ruleCount) Health {
	h, g := &c.health, &r.rungs[0]
	x := Health{
		Rule: r.id, Source: r.source, Shadow: r.shadow, Alarms: c.looked, Since: wall(h.since),
		Fired: h.counts[firedOutcome], Muted: h.counts[suppressed], Errors: h.counts[errored],
		Condition: g.sentence, Limit: g.text, Nearest: h.near.public(), NearMiss: h.miss.public(),
	}
	for severity := Unset; severity <= Critical; severity++ {
		x.Pending += c.standing[severity][pending]
		x.Firing += c.standing[severity][firing]
		x.Recovering += c.standing[severity][recovering]
	}
	for _, t := range h.traces {
		if t.Outcome != "" {
			x.Traces = append(x.Traces, t)
		}
	}
	x.State = x.state(r.disabled)
	return x
}

func (x *Health) state(disabled bool) string {
	switch {
	case disabled:
		return "disabled"
	case x.Firing > 0:
		return "firing"
	case x.Recovering > 0:
		return "recovering"
	case x.Pending > 0:
		return "pending"
	case x.Alarms == 0:
		return "unmatched"
	case x.Since.IsZero() && x.Fired == 0:
		return "unjudged"
	case x.Fired == 0 && x.Muted == 0:
		return "silent"
	}
	return "quiet"
}

func (n *nearness) public() *Nearest {
	if !n.known || math.IsInf(n.short, 0) {
		return nil
	}
	x := &Nearest{Device: n.device, Value: n.value, Short: n.short, Unit: n.unit, Limit: n.limit, At: wall(n.at)}
	side := " short of it"
	if n.beyond {
		side = " beyond it"
	}
	x.Text = withUnit(shown(n.value), n.unit) + " of " + n.device + "; fires " + n.limit + ", " + withUnit(shown(math.Abs(n.short)), n.unit) + side
	return x
}

func (m *miss) public() *NearMiss {
	if m.share <= 0 {
		return nil
	}
	x := &NearMiss{Device: m.device, Share: m.share, Held: spell(time.Duration(m.held)), For: written(m.hold), At: wall(m.at)}
	x.Text = m.device + " held for " + x.Held + " of " + x.For + " (" + strconv.Itoa(int(m.share*100)) + "%)"
	return x
}
