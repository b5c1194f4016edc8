package rules

import (
	"math"
	"slices"
	"strings"
	"time"
)

// An Explanation says everything that is known of why an alarm stands as it does.
type Explanation struct {
	Key      string      `json:"key"`
	Device   EventDevice `json:"device"`
	Rule     EventRule   `json:"rule"`
	State    string      `json:"state"`             // inactive, pending, firing, recovering
	Severity Severity    `json:"severity,omitzero"` // none while it is inactive
	Since    time.Time   `json:"since,omitzero"`    // of the episode, on the device's clock
	Title    string      `json:"title,omitempty"`   // as it would be told now; none while it is inactive
	Because  string      `json:"because,omitempty"` // why it stands as it does; none while it is inactive

	Reading  *EventReading `json:"reading,omitempty"`
	Measured string        `json:"measured"`           // what is compared, for people; "unknown" while it is
	Operands []Operand     `json:"operands,omitempty"` // what an expression asks for
	Heard    time.Time     `json:"heard,omitzero"`     // when the device was last heard of
	Every    string        `json:"every,omitempty"`    // how often it reports, declared or learned
	Skew     string        `json:"skew,omitempty"`     // how far its clock is behind ours
	Presence string        `json:"presence,omitempty"`
	Warming  time.Time     `json:"warming,omitzero"` // until then an alarm that holds may have begun before the store was new
	Unknown  time.Time     `json:"unknown,omitzero"` // since when nothing is known

	Levels []LevelExplanation `json:"levels"`

	Unit     string    `json:"unit,omitempty"`  // of what is compared
	Peak     *Point    `json:"peak,omitempty"`  // the worst of this episode
	Held     string    `json:"held,omitempty"`  // why it may not start now
	Muted    string    `json:"muted,omitempty"` // why it may not be told of now
	Told     []string  `json:"told,omitempty"`  // who was told of this episode
	Acked    bool      `json:"acked,omitempty"`
	AckedBy  string    `json:"acked_by,omitempty"`
	Episode  string    `json:"episode,omitempty"`
	Evidence []Point   `json:"evidence,omitempty"`
	Traces   []Trace   `json:"traces,omitempty"` // of this alarm: the last of each outcome, as far as it is known
	NextLook time.Time `json:"next_look,omitzero"`

	edges []string // see Retold
}

// A LevelExplanation is one level of the ladder.
type LevelExplanation struct {
	Severity  Severity  `json:"severity"`
	On        bool      `json:"on"`
	Condition string    `json:"condition"`         // in words, for included
	Limit     any       `json:"limit,omitempty"`   // a number, two for a range, a text, texts; none where there is no such thing
	Clear     any       `json:"clear,omitempty"`   // likewise, below or above which it clears
	From      string    `json:"from,omitempty"`    // whose limit it is: rule, level, override, attribute
	Source    string    `json:"source,omitempty"`  // file:line of the limit
	Holds     string    `json:"holds"`             // true, false, unknown
	Fires     string    `json:"fires"`             // what would make it fire
	Clears    string    `json:"clears"`            // and clear
	Running   time.Time `json:"running,omitzero"`  // since when a timer runs
	Deadline  time.Time `json:"deadline,omitzero"` // and until when
}

// A Trace is how a rule last came to an outcome.
type Trace struct {
	Outcome string    `json:"outcome"` // fired, cleared, suppressed, error
	At      time.Time `json:"at,omitzero"`
	Key     string    `json:"key"`
	Text    string    `json:"text"`
}

// Explain says why the alarms of a device stand as they do: those of one rule, or
// with "" of all rules that look at it. A group is named by its value. It is as of
// now, or of what is due and has not happened yet: to look further ahead would let
// readings leave before that is judged.
func (e *Engine) Explain(device, rule string, now time.Time) []Explanation {
	var list []Explanation
	all := e.about(device)
	slices.SortFunc(all, func(a, b *instance) int { return strings.Compare(a.key(), b.key()) })
	e.asOf(now, func() {
		for _, a := range all {
			if rule == "" || a.rule.id == rule {
				list = append(list, e.explain(a))
			}
		}
	})
	return list
}

// Describe is an alarm in words, as an explanation has them, found by its key: the
// title, and why it stands as it does. Both are empty while it is inactive, and for
// one that no rule makes.
func (e *Engine) Describe(key string, now time.Time) (title, because string) {
	if a := e.find(key); a != nil && !a.rule.disabled {
		e.asOf(now, func() { title, because = e.words(a) })
	}
	return title, because
}

// shadowMute is why nobody is told of a rule that is only tried out.
const shadowMute = "shadow"

// hushed reports whether nobody is told of an alarm since its rule is only tried out.
// Who was told before it was is told what follows.
func (a *instance) hushed() bool {
	return a.rule.shadow && (a.episode == nil || len(a.episode.told) == 0)
}

// Glance is what the stored state of an alarm, found by its key, does not have: its
// newest reading, of which there is none at the zero time, and why nobody is told,
// where its rule is the reason.
func (e *Engine) Glance(key string) (last any, at time.Time, muted string) {
	a := e.find(key)
	if a == nil {
		return nil, time.Time{}, ""
	}
	if a.hushed() {
		muted = shadowMute
	}
	s := a.state()
	return s.Last, s.LastAt, muted
}

// asOf looks at alarms as of now, or of what is due and has not happened yet.
func (e *Engine) asOf(now time.Time, look func()) {
	was, at := e.now, now.UnixNano()
	if next := e.Next(); !next.IsZero() {
		at = min(at, next.UnixNano())
	}
	e.now = max(e.now, at)
	look()
	e.now = was
}

// words are what would be told of an alarm now.
func (e *Engine) words(a *instance) (title, because string) {
	ep, now := a.episode, a.standing()
	if ep == nil || now.phase == inactive {
		return "", ""
	}
	decider := max(now.top, 0)
	if now.phase == pending {
		for i := range ep.rungs { // the worst on its way in, whose severity it has
			if ep.rungs[i].running {
				decider = i
			}
		}
	}
	s := saying{typ: AlarmFired}
	switch {
	case ep.stale:
		s.typ = AlarmStale
	case now.held && ep.returned:
		s.typ = AlarmReturned
	case now.held:
		s.typ = AlarmFlapping
	}
	g, t := &a.rule.rungs[decider], &ep.rungs[decider]
	s.values = e.values(a, s, g)
	if s.typ == AlarmReturned { // when it cleared was told, and is not known any more
		return a.title(g, now.severity, false), g.clearText + untilSeen
	}
	if s.typ == AlarmFired && t.on && !t.running && !ep.noData && !a.rule.gaugesOf(silence) {
		return a.title(g, now.severity, false), e.lasting(a, s, g)
	}
	return a.title(g, now.severity, false), e.because(a, s, g, t, now, e.now)
}

// lasting says why an alarm goes on, where [Engine.because] says why it began. It
// says nothing that the next reading changes, since people look at it for a while.
func (e *Engine) lasting(a *instance, s saying, g *rung) string {
	when := wall(e.now)
	text := g.text + ", in alarm since " + clock(wall(a.started), when)
	if s.values != "" {
		text += "; " + s.values
	}
	if peak := a.episode.peak; peak.at != 0 {
		text += "; peak " + a.show(g, peak.value) + " at " + clock(wall(peak.at), when)
	}
	return text
}

// about are the alarms of a device, or of the groups of that value.
func (e *Engine) about(device string) []*instance {
	var all []*instance
	if d := e.devices[device]; d != nil {
		for _, c := range d.all() {
			for _, a := range c.alarms {
				if !a.rule.disabled {
					all = append(all, a)
				}
			}
		}
	}
	for name, g := range e.groups {
		if name.value == device {
			all = append(all, g.self.alarms...)
		}
	}
	return all
}

func (e *Engine) explain(a *instance) Explanation {
	d, ep, s := a.channel.device, a.episode, a.standing()
	next, _ := a.moment()
	x := Explanation{
		Key: a.toldKey(), Device: d.public(), Rule: a.rule.public(), State: s.phase.String(), Severity: s.severity,
		Reading: a.reading(), Measured: "unknown", Heard: wall(d.contact), Muted: e.muting(a), NextLook: wall(next),
	}
	if x.Muted == "" && a.hushed() {
		x.Muted = shadowMute
	}
	x.Warming = wall(e.coldUntil(a))
	if every, ok := d.interval(); ok {
		x.Every = written(every)
	}
	if d.skews != nil {
		if skew, ok := d.skews.Median(); ok {
			x.Skew = skew.String()
		}
	}
	if d.presence != StatusUnknown {
		x.Presence = d.presence.String()
	}
	if a.extra != nil && !a.rule.plain {
		if held, _ := e.heldBack(a); held {
			x.Held = e.whyHeld(a)
		}
	}
	for i := range a.rule.rungs {
		x.Levels = append(x.Levels, e.explainLevel(a, i))
	}
	x.Operands = e.operands(a)
	if m := e.now0(a); m.known {
		g := &a.rule.rungs[0]
		x.Measured = a.show(g, m.value)
		if a.rule.evidence() != g.kind {
			x.Measured = truthOf(m.value.num != 0).String()
		}
	}
	if text := e.silence(a, e.now); text != "" {
		x.Measured = text
	}
	x.Unit = a.rule.rungs[0].measured
	x.Title, x.Because = e.words(a)
	if ep != nil {
		if ep.peak.at != 0 {
			x.Peak = &Point{wall(ep.peak.at), ep.peak.value.num}
		}
		x.Unknown, x.Told, x.Acked, x.AckedBy = wall(ep.frozen), slices.Clone(ep.told), ep.acked, ep.ackedBy
		x.Evidence = ep.points(a.rule.evidence())
		if ep.fired != 0 {
			x.Since, x.Episode = wall(a.started), a.episodeID()
		}
	}
	for _, t := range e.counts[a.rule.index].health.traces {
		if t.Outcome != "" && t.Key == x.Key {
			x.Traces = append(x.Traces, t)
		}
	}
	if a.started != 0 {
		x.edges = edgesOf(a.episodeID(), a.seq)
	}
	return x
}

// now0 measures what the lowest rung compares.
func (e *Engine) now0(a *instance) measurement {
	if a.rule.plain || len(a.rule.gauges) == 0 {
		return measurement{value: a.channel.last.value, known: a.channel.last.at != 0}
	}
	if a.channel.metric != nil && a.channel.last.at == 0 {
		return measurement{}
	}
	return e.measure(a, a.rule.rungs[0].gauge)
}

func (e *Engine) explainLevel(a *instance, i int) LevelExplanation {
	g := &a.rule.rungs[i]
	l := LevelExplanation{
		Severity: g.severity, Condition: g.sentence, Limit: g.limit, Clear: g.clear, From: g.limitFrom, Source: first(g.limitAt, a.rule.source),
		Fires: g.text, Clears: g.clearText, Holds: unknown.String(),
	}
	if g.hold > 0 {
		l.Fires += " for " + written(g.hold)
	}
	if g.clearHold > 0 {
		l.Clears += " for " + written(g.clearHold)
	}
	if len(a.rule.gauges) > 0 && a.rule.gauges[g.gauge].source == silence {
		l.Fires += e.silentFrom(a, i)
	}
	m := measurement{value: a.channel.last.value, known: a.channel.last.at != 0}
	if !a.rule.plain && (a.channel.metric == nil || m.known) {
		m = e.measure(a, g.gauge)
	}
	fires, _ := g.truths(m)
	l.Holds = fires.String()
	if ep := a.episode; ep != nil {
		t := &ep.rungs[i]
		l.On = t.on
		if t.running {
			l.Running, l.Deadline = wall(t.since), wall(t.deadline)
		}
	}
	return l
}

// whyHeld says what keeps an alarm from starting.
func (e *Engine) whyHeld(a *instance) string {
	r := a.rule
	if e.cooling(a) {
		return "cooldown until " + wall(a.extra.fired+int64(r.cooldown)).Format(time.RFC3339)
	}
	if c := r.calendar; c != nil && c.off {
		if open, _ := c.open(e.now); !open {
			return "schedule " + c.name
		}
	}
	if slices.Contains(r.unless, a.channel.device.presence.String()) {
		return "unless " + a.channel.device.presence.String()
	}
	if r.unlessWhen > 0 {
		return "unless " + r.gauges[r.unlessWhen-1].when.String()
	}
	return "unless"
}

func (t truth) String() string { return [...]string{"unknown", "false", "true"}[t] }

// forecast is what {limit:RULE} and {eta} of a title come to: another rule's limit
// for the device, and how long it takes to get there at the present rate.
func (a *instance) forecast(p titlePart) string {
	name := p.text
	if name == "" {
		for _, part := range a.rule.title {
			if part.name == "limit" {
				name = part.text
			}
		}
	}
	d := a.channel.device
	var other *instance
	for _, c := range d.all() {
		for _, b := range c.alarms {
			if b.rule.id == name && !b.rule.disabled {
				other = b
			}
		}
	}
	if other == nil {
		return "?"
	}
	g := &other.rule.rungs[0]
	if p.name == "limit" {
		return g.threshold
	}
	ep, own := a.episode, &a.rule.rungs[0]
	per := a.rule.gauges[own.gauge].per
	if ep == nil || per == 0 || ep.last.value.num == 0 || a.channel.metric == nil {
		return "?"
	}
	seconds := (g.lo - a.channel.last.value.num) / ep.last.value.num * per
	if seconds < 0 || seconds > 1e7 || math.IsNaN(seconds) {
		return "?"
	}
	return spell(time.Duration(seconds) * time.Second)
}
