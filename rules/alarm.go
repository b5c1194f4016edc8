package rules

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// Inside an engine, times are nanoseconds since 1970: on the bridge's clock
// ("now", "due") or on that of the samples ("at", "since").

// An instance is one alarm: a rule and a device. At rest it is small, because
// there may be a million; what an episode needs is allocated while it lasts.
type instance struct {
	rule    *rule
	channel *channel
	started int64 // of the current or last episode; 0 if there was none
	due     int64 // next timer, 0 for none
	place   int   // in Engine.timers
	seq     int   // of the last event in the episode
	episode *episode
}

// An episode is what an alarm carries from its first true reading until it is
// at rest again.
type episode struct {
	rungs       []timer // one for each of the rule's
	fired       int64
	relapses    int
	told        []string
	held, seen  int // samples that held the condition, of samples seen, until it fired
	valueAtFire value
	peak        point
	evidence    []point
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
// if none is), and the severity of that, or of the highest on its way in.
type standing struct {
	phase    phase
	top      int
	severity Severity
}

func (a *instance) standing() standing {
	s := standing{top: -1}
	if a.episode == nil {
		return s
	}
	leaving := true
	for i := range a.episode.rungs {
		switch t := &a.episode.rungs[i]; {
		case t.on:
			s = standing{firing, i, a.rule.rungs[i].severity}
			leaving = leaving && t.running
		case t.running && s.top < 0:
			s.phase, s.severity = pending, a.rule.rungs[i].severity
		}
	}
	if s.phase == firing && leaving {
		s.phase = recovering
	}
	return s
}

// wait is for how long, and in how many samples, the rung's present question
// must be answered with yes: for and samples on the way in, clear_for out.
func (g *rung) wait(on bool) (time.Duration, int) {
	if on {
		return g.clearHold, 1
	}
	return g.hold, g.samples
}

// A judgement is one sample in front of one alarm.
type judgement struct {
	now, at int64
	value   value
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
	t.samples++
	// The samples may have gone further than our clock, as in a batch that was
	// kept back: what they have covered is not waited for again.
	uncovered := max(0, t.uncovered-j.ahead)
	held := j.at - t.since - uncovered
	t.deadline = min(t.deadline, j.now+int64(wait)-held)
	if t.samples >= need && j.now >= t.deadline {
		t.uncovered = uncovered // as far as it lies before the end
		t.flip(j.at)
		return true
	}
	return changed || need > 1 && t.samples <= need
}

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
	if _, need := g.wait(t.on); !t.running || t.samples < need {
		return 0
	}
	return t.deadline
}

// nextDue is when the alarm's earliest timer runs out; 0 for none.
func (a *instance) nextDue() int64 {
	next := int64(0)
	if a.episode == nil {
		return next
	}
	for i := range a.episode.rungs {
		if d := a.episode.rungs[i].due(&a.rule.rungs[i]); d != 0 && (next == 0 || d < next) {
			next = d
		}
	}
	return next
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

// witness records a sample in the episode: evidence, peak and counts. Nothing of
// it needs to be on disk at once: it only makes the words of an event better.
func (a *instance) witness(j *judgement) {
	ep := a.episode
	p := point{j.at, j.value}
	if len(ep.evidence) == 0 && j.before.at != 0 && a.standing().phase == firing {
		ep.evidence = append(ep.evidence, j.before) // fired at once: show where it came from
	}
	ep.top(&a.rule.rungs[0], p)
	if len(ep.evidence) == maxEvidence {
		ep.thin()
	}
	ep.evidence = append(ep.evidence, p)
	if ep.fired == 0 {
		ep.held++
		ep.seen++
	}
}

// maxEvidence bounds the points an event carries.
const maxEvidence = 16

// thin halves the evidence, keeping the first point and the peak.
func (ep *episode) thin() {
	kept := ep.evidence[:0]
	for i, p := range ep.evidence {
		if i%2 == 0 || p == ep.peak {
			kept = append(kept, p)
		}
	}
	ep.evidence = kept
}

// renew makes an episode of what is pending when another has just ended: it
// takes over the timers, and what has been seen since they began.
func (a *instance) renew() {
	old := a.episode
	ep := &episode{rungs: old.rungs}
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

// state is a snapshot that shares nothing that changes with the engine.
func (a *instance) state() State {
	c := a.channel
	kind := c.metric.kind
	s := State{
		Key:       a.rule.id + "/" + c.device.id,
		Rule:      a.rule.id,
		Device:    c.device.id,
		Labels:    c.device.learnt,
		Levels:    make([]LevelState, len(a.rule.rungs)),
		Seq:       a.seq,
		StartedAt: wall(a.started),
		LastAt:    wall(c.last.at),
		LastClock: c.clock,
	}
	if a.started != 0 {
		s.Episode = a.episodeID()
	}
	if c.last.at != 0 {
		s.Last = kind.public(c.last.value)
		if c.metric.unit == "" {
			s.Unit = c.unit()
		}
	}
	for i := range a.rule.rungs {
		s.Levels[i].Severity = a.rule.rungs[i].severity
	}
	ep := a.episode
	if ep == nil {
		return s
	}
	for i, t := range ep.rungs {
		l := &s.Levels[i]
		l.On = t.on
		if t.running {
			l.Since, l.Deadline, l.Uncovered, l.Samples = wall(t.since), wall(t.deadline), time.Duration(t.uncovered), t.samples
		}
	}
	s.Relapses, s.Told, s.FiredAt = ep.relapses, slices.Clone(ep.told), wall(ep.fired)
	s.Counted = [2]int{ep.held, ep.seen}
	if ep.fired != 0 {
		s.ValueAtFire = kind.public(ep.valueAtFire)
	}
	if ep.peak.at != 0 {
		s.Peak = &Point{wall(ep.peak.at), kind.public(ep.peak.value)}
	}
	s.Evidence = ep.points(kind)
	return s
}

func (ep *episode) points(kind Kind) []Point {
	list := make([]Point, len(ep.evidence))
	for i, p := range ep.evidence {
		list[i] = Point{wall(p.at), kind.public(p.value)}
	}
	return list
}

// restore undoes state. A level that the rule no longer has gives its place to
// the nearest one below, or else above: an alarm that was told stays on until
// its readings end it.
func (a *instance) restore(s *State) {
	a.started, a.seq = nanos(s.StartedAt), s.Seq
	ep := &episode{rungs: make([]timer, len(a.rule.rungs))}
	active := false
	for _, l := range s.Levels {
		t := timer{on: l.On}
		if !l.Since.IsZero() {
			t = timer{on: l.On, running: true, since: nanos(l.Since), deadline: nanos(l.Deadline), uncovered: int64(l.Uncovered), samples: l.Samples}
		}
		i := slices.IndexFunc(a.rule.rungs, func(g rung) bool { return g.severity == l.Severity })
		if i < 0 {
			if !l.On {
				continue
			}
			t, i = timer{on: true}, 0
			for i+1 < len(a.rule.rungs) && a.rule.rungs[i+1].severity < l.Severity {
				i++
			}
			if ep.rungs[i].on {
				continue
			}
		}
		ep.rungs[i] = t
		active = active || t.on || t.running
	}
	a.episode = nil
	if !active {
		return
	}
	kind := a.channel.metric.kind
	keep := func(p Point) (point, bool) {
		v, ok := kind.private(p.Value)
		return point{nanos(p.At), v}, ok
	}
	ep.fired, ep.relapses, ep.told = nanos(s.FiredAt), s.Relapses, slices.Clone(s.Told)
	ep.held, ep.seen = s.Counted[0], s.Counted[1]
	ep.valueAtFire, _ = kind.private(s.ValueAtFire)
	if s.Peak != nil {
		if p, ok := keep(*s.Peak); ok {
			ep.peak = p
		}
	}
	for _, p := range s.Evidence {
		if p, ok := keep(p); ok && len(ep.evidence) < maxEvidence {
			ep.evidence = append(ep.evidence, p)
		}
	}
	a.episode = ep
}

// episodeID names the current or last episode after what began it.
func (a *instance) episodeID() string {
	var started [8]byte
	binary.BigEndian.PutUint64(started[:], uint64(a.started))
	return "ep_" + digest("episode", a.rule.id, a.channel.device.id, string(started[:]))
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
