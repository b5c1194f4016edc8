package rules

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"math"
	"time"
)

// Inside an engine, times are nanoseconds since 1970: on the bridge's clock
// ("now", "due") or on that of the samples ("at", "since").

// An instance is one alarm: a rule and what it looks at. At rest it is small,
// because there may be a million; what an episode needs is allocated while it
// lasts, and what only some rules remember is apart.
type instance struct {
	rule    *rule // or a variant of it
	channel *channel
	started int64 // of the current or last episode, on the samples' clock; 0 if there was none
	ended   int64 // of the last one, the same
	due     int64 // when to attend to it next, 0 for never
	place   int32 // in Engine.timers
	stored  bool  // a transition has told its state, or one was restored
	counted bool  // among those whose rule looks at them, see [Engine.heed]
	seq     int   // of the last event in the episode
	episode *episode
	extra   *extra
}

// An extra is what an alarm remembers beyond readings against limits.
type extra struct {
	gauges  []gaugeMemory // by gauge of the rule
	rungs   []rungMemory  // by rung, where one has repeats or for_share
	members []*device     // of a group
	fired   int64         // when the last episode began, on the bridge's clock: cooldown
	shelved *shelving
	flips   []int64 // when it came and went, on the bridge's clock
	wake    int64   // when what it measures may change by itself, on the bridge's clock
	queued  bool    // in Engine.dirty
	sampled bool    // and that for a new sample
	nudged  bool    // or for anything else, which may have muted it until now
	seen    bool    // something was known since the store is there
}

// A shelving is an operator's wish to hear nothing of an alarm for a while.
type shelving struct {
	by, reason string
	until      int64
}

// more is the alarm's extra, made when it is first needed.
func (a *instance) more() *extra {
	if a.extra == nil {
		a.extra = &extra{}
	}
	return a.extra
}

// An episode is what an alarm carries from its first true reading until it is
// at rest again.
type episode struct {
	rungs       []timer // one for each of the rule's
	fired       int64   // when it came on, on the bridge's clock; 0 while it has not
	relapses    int
	held, seen  int   // samples that held the condition, of samples seen, until it fired
	last        point // as it was last measured
	valueAtFire value
	peak        point
	evidence    []point

	// What was told, and to whom. Told lags behind the rungs while the alarm is
	// muted, flaps or is latched.
	told     []string
	rule     string   // the id its rule had when it began, where it was renamed since
	severity Severity // as last told; Unset while fired has not been told
	toldAt   int64    // when fired was told, on the bridge's clock: escalations count from there
	muted    string   // why fired has not been told, "" otherwise
	reminder int64    // when the next reminder is due; 0 for none
	reminded int

	raised       Severity // by escalations
	escalated    int      // escalations that are done
	acked        bool
	ackedBy      string
	returned     bool // latched, and the condition has cleared
	returnedTold bool
	reset        bool  // an operator ended it
	flapping     bool  //
	frozen       int64 // since when nothing is known, on the bridge's clock; 0 while it is
	staleAt      int64 // and when that has been too long; 0 for never
	stale        bool  // and for too long
	staleTold    bool
	unseen       bool // its condition held when it was looked at for the first time: see firstSeen
	noData       bool // fired, or ended, because nothing is known
	changed      bool // ended because its rule has changed
	closed       bool // ended because its schedule has
}

// A timer is the state of one rung. While the rung is on, or running, something
// is remembered here; otherwise it is zero.
type timer struct {
	on, running bool
	since       int64 // event time at which it began to run
	deadline    int64 // on the bridge's clock; downtime moves it
	uncovered   int64 // downtime since then, which no sample speaks for
	samples     int   // samples that held since
	ended       int64 // event time at which it ran out, until the event is written
}

// A point is a sample as an episode remembers it.
type point struct {
	at    int64
	value value
}

// phase is the main state of an alarm.
type phase uint8

const (
	inactive phase = iota
	pending
	firing
	recovering
)

func (p phase) String() string {
	return [...]string{"inactive", "pending", "firing", "recovering"}[p]
}

// A standing is how an alarm stands: its phase, the highest rung that is on (-1
// if none is), and the severity of that, or of the highest on its way in. An
// alarm that is latched, or flaps, is held: firing without a rung that is on.
type standing struct {
	phase    phase
	top      int
	severity Severity
	held     bool
}

// on reports whether the alarm is firing or recovering, held or not.
func (s standing) on() bool { return s.top >= 0 || s.held }

func (a *instance) standing() standing {
	s := standing{top: -1}
	ep := a.episode
	if ep == nil {
		return s
	}
	leaving := true
	for i := range ep.rungs {
		switch t := &ep.rungs[i]; {
		case t.on:
			s = standing{phase: firing, top: i, severity: a.rule.rungs[i].severity}
			leaving = leaving && t.running
		case t.running && s.top < 0:
			s.phase, s.severity = pending, a.rule.rungs[i].severity
		}
	}
	if s.phase == firing && leaving {
		s.phase = recovering
	}
	if s.top < 0 && ep.fired != 0 && (ep.returned || ep.flapping) {
		s.phase, s.held, s.severity = firing, true, max(ep.severity, a.rule.rungs[0].severity)
	}
	if s.on() {
		s.severity = max(s.severity, ep.raised)
	}
	return s
}

// wait is for how long, and in how many samples, the rung's present question
// must be answered with yes: for and samples on the way in, clear_for and
// clear_samples out. With a share, the share itself has waited.
func (g *rung) wait(on bool) (time.Duration, int) {
	switch {
	case on:
		return g.clearHold, g.clearSamples
	case g.share > 0:
		return 0, g.samples
	}
	return g.hold, g.samples
}

// A judgement is one sample, or one look without a sample, in front of one alarm.
type judgement struct {
	now, at int64
	sample  bool
	value   value // of the channel's metric
	before  point // the sample judged before; at is 0 if there was none
	bridged int64 // downtime that this sample proves to have been covered
	ahead   int64 // downtime that lies after it
}

// judge advances one rung by a sample that holds its present question, or not.
// It reports whether there is something to remember.
func (t *timer) judge(g *rung, holds truth, j *judgement) bool {
	switch {
	case holds == unknown, holds == no && !t.running:
		return false
	case holds == no:
		*t = timer{on: t.on}
		return true
	}
	wait, need := g.wait(t.on)
	changed := false
	if !t.running {
		*t = timer{on: t.on, running: true, since: j.at, deadline: j.now + int64(wait)}
		changed = true
	} else if t.uncovered > 0 && j.bridged > 0 {
		t.uncovered = max(0, t.uncovered-j.bridged)
		changed = true
	}
	if j.sample {
		t.samples++
	}
	// The samples may have gone further than our clock, as in a batch that was
	// kept back: what they have covered is not waited for again.
	uncovered := max(0, t.uncovered-j.ahead)
	held := j.at - t.since - uncovered
	t.deadline = min(t.deadline, j.now+int64(wait)-held)
	if enough(t.samples, need) && j.now >= t.deadline {
		t.uncovered = uncovered // as far as it lies before the end
		t.flip(j.at)
		return true
	}
	return changed || need > 1 && t.samples <= need
}

// enough reports whether so many samples have held. Where one is asked for, what
// is measured without a new one is as good.
func enough(samples, need int) bool { return need <= 1 || samples >= need }

// flip ends a timer that has run its time. Since, samples and uncovered stay
// until the event is written.
func (t *timer) flip(at int64) { t.on, t.running, t.ended = !t.on, false, at }

// lapse flips a timer that runs out on our clock just then.
func (t *timer) lapse(g *rung) {
	wait, _ := g.wait(t.on)
	t.flip(t.since + int64(wait) + t.uncovered)
}

// due is when the timer runs out on our clock; 0 if it does not, or waits for
// more samples.
func (t *timer) due(g *rung) int64 {
	if _, need := g.wait(t.on); !t.running || !enough(t.samples, need) {
		return 0
	}
	return t.deadline
}

// timerDue is when the alarm's earliest timer runs out; 0 for none.
func (a *instance) timerDue() int64 {
	next := int64(0)
	if a.episode == nil || a.episode.frozen != 0 {
		return next
	}
	for i := range a.episode.rungs {
		next = sooner(next, a.episode.rungs[i].due(&a.rule.rungs[i]))
	}
	return next
}

// sooner is the earlier of two times, where 0 is never.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// join turns on the lower rungs that are on their way in when a higher one has
// come on: their condition is true, and their time would say nothing new.
func (a *instance) join() {
	var higher *timer
	for i := len(a.episode.rungs) - 1; i >= 0; i-- {
		t := &a.episode.rungs[i]
		if higher != nil && !t.on && t.running {
			t.flip(higher.ended)
		}
		if t.on && t.ended != 0 {
			higher = t
		}
	}
}

// witness records what was measured in the episode: evidence, peak and counts.
// Nothing of it needs to be on disk at once: it only makes the words of an event
// better.
func (a *instance) witness(p point, before point) {
	ep := a.episode
	if len(ep.evidence) == 0 && before.at != 0 && a.standing().phase == firing {
		ep.evidence = append(ep.evidence, before) // fired at once: show where it came from
	}
	ep.top(&a.rule.rungs[0], p)
	if n := len(ep.evidence); n == 0 || ep.evidence[n-1] != p {
		if n >= maxEvidence {
			ep.thin()
		}
		ep.evidence = append(ep.evidence, p)
	}
	if ep.fired == 0 {
		ep.held++
		ep.seen++
	}
}

// maxEvidence bounds the points an event carries.
const maxEvidence = 16

// thin halves the evidence, keeping the first point and the peak.
func (ep *episode) thin() {
	kept, peaked := ep.evidence[:0], false
	for i, p := range ep.evidence {
		peak := !peaked && p == ep.peak
		if i%2 == 0 || peak {
			kept = append(kept, p)
		}
		peaked = peaked || peak
	}
	ep.evidence = kept
}

// renew makes an episode of what is pending when another has just ended: it
// takes over the timers, and what has been seen since they began.
func (a *instance) renew() {
	old := a.episode
	ep := &episode{rungs: old.rungs, last: old.last, frozen: old.frozen}
	since := int64(math.MaxInt64)
	for _, t := range ep.rungs {
		if t.running {
			since = min(since, t.since)
			ep.held = max(ep.held, t.samples)
		}
	}
	ep.seen = ep.held
	for _, p := range old.evidence {
		if p.at >= since {
			ep.evidence = append(ep.evidence, p)
			ep.top(&a.rule.rungs[0], p)
		}
	}
	a.episode = ep
}

// top keeps the worst reading.
func (ep *episode) top(base *rung, p point) {
	if base.peaks() && (ep.peak.at == 0 || base.further(p.value.num, ep.peak.value.num)) {
		ep.peak = p
	}
}

// episodeID names the current or last episode after what began it.
func (a *instance) episodeID() string {
	var started [8]byte
	binary.BigEndian.PutUint64(started[:], uint64(a.started))
	return "ep_" + digest("episode", a.toldAs(), a.channel.device.id, string(started[:]))
}

// digest is 120 bits of a hash over its parts, in letters and digits.
func digest(parts ...string) string {
	h := sha256.New()
	var size [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write([]byte(p))
	}
	return base32.StdEncoding.EncodeToString(h.Sum(nil)[:15])
}

// wall turns inside time into outside time, in UTC; 0 is the zero time.
func wall(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// key is the alarm's name.
func (a *instance) key() string { return a.rule.id + "/" + a.channel.device.id }

// toldAs is the id of the rule in the key by which receivers tell alarms apart. An
// episode that was told under its rule's former id ends under it: it would stay
// open for ever otherwise.
func (a *instance) toldAs() string {
	if a.episode != nil && a.episode.rule != "" {
		return a.episode.rule
	}
	return a.rule.id
}

// toldKey is the key that events have.
func (a *instance) toldKey() string { return a.toldAs() + "/" + a.channel.device.id }
