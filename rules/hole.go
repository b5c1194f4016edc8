package rules

import (
	"cmp"
	"slices"
	"time"
)

// A hole is a stretch of event time without a reading, between two that came.
// Only there can a reading of the past tell anything new: elsewhere it is one that
// was judged when it came. What a device has kept of that time is judged from
// where things stood when it began, and on through all that came after it, as long
// as that is remembered: up to the present.
type hole struct {
	gap
	end    value   // of the reading after it
	before *before // what was known when it began; nil if nothing was
	past   []dated // what has come of it since, in order of time
	tail   []point // what came after it, while it is the newest
	cut    bool    // that was too much: tail is empty
	told   []tale  // what was told of that time
}

// before is what was known of a channel when a hole began.
type before struct {
	last, prev point
	clock      Clock
	at         int64 // when last came, on the bridge's clock
	carried    float64
	alarms     []State // those that were under way
	over       int64   // for how long before the hole windowed has every reading
	windowed   []mark
}

// A dated reading is one of the past: what it says, and whose clock says when.
type dated struct {
	point
	clock Clock
}

// A mark is a reading as windows hold it.
type mark struct {
	at int64
	v  float64
}

// A tale is an episode that was told, when it was or as one of the past.
type tale struct {
	rule       string
	began, end int64
	past       bool
}

const (
	maxHoles    = 8   // of a channel; of older ones nothing is told any more
	maxTail     = 128 // readings after a hole
	maxTales    = 256
	maxWindowed = 512
)

// follow notes that a reading goes on from the last, or, if that is longer ago than
// a device that reports would leave, that nothing is known of the time between.
func (e *Engine) follow(c *channel, p point) {
	from, n := c.last.at, len(c.holes)
	if c.opens(p.at, int64(e.program.late)) {
		if n == maxHoles {
			c.holes = slices.Delete(c.holes, 0, 1)
		}
		if n > 2 { // windows are large, and what is that old rarely comes
			if b := c.holes[len(c.holes)-2].before; b != nil {
				b.over, b.windowed = 0, nil
			}
		}
		h := hole{gap: gap{from, p.at}, end: p.value, cut: true}
		if from != 0 && c.backfills() {
			h.before, h.cut = e.known(c), false
		}
		c.holes = append(c.holes, h)
		return
	}
	if !c.trails() {
		return
	}
	if h := &c.holes[n-1]; len(h.tail) < maxTail {
		h.tail = append(h.tail, p)
	} else {
		c.closeHole()
	}
}

// closeHole closes the newest hole: what came after it is not known whole.
func (c *channel) closeHole() {
	n := len(c.holes)
	c.holes = append(c.holes[:n-1], c.holes[n-1].close()...)
	c.holes, c.trailing = c.holes[max(0, len(c.holes)-maxHoles):], false
}

// trails reports whether what comes after the newest hole is kept with it.
func (c *channel) trails() bool { n := len(c.holes); return n > 0 && !c.holes[n-1].cut }

// opens reports whether a new reading leaves a hole behind it.
func (c *channel) opens(at, late int64) bool {
	from := c.last.at
	if from == 0 {
		return true
	}
	if at-from <= late {
		return false
	}
	every, _ := c.device.interval()
	return at-from > 3*int64(every)
}

// backfills reports whether any alarm of the channel is told of the past.
func (c *channel) backfills() bool {
	return slices.ContainsFunc(c.alarms, func(a *instance) bool { return a.rule.backfill })
}

// known is what is known of a channel just before the reading after a hole.
func (e *Engine) known(c *channel) *before {
	b := &before{last: c.last, prev: c.prev, clock: c.clock, at: c.at, carried: c.carried}
	for _, a := range c.alarms {
		if a.episode == nil || a.episode.noData || !a.rule.backfill {
			continue
		}
		s := a.state()
		down := int64(0)
		for _, g := range e.gaps {
			to := g.to
			if f := a.episode.frozen; f != 0 {
				to = min(to, f)
			}
			if g.from >= c.at {
				down += max(0, to-g.from)
			}
		}
		for i := range s.Levels { // as if the time since had not gone by
			l := &s.Levels[i]
			l.Uncovered = max(0, l.Uncovered-time.Duration(down))
		}
		b.alarms = append(b.alarms, s)
	}
	if w := c.longest(); w != nil {
		b.over, b.windowed = w.over, slices.Clone(w.left)
		for at, v := range w.Until(c.last.at) {
			b.windowed = append(b.windowed, mark{at, v})
		}
		if n := len(b.windowed) - maxWindowed; n > 0 {
			b.windowed = slices.Clone(b.windowed[n:])
			b.over = c.last.at - b.windowed[0].at
		}
	}
	return b
}

// pass lets time go by without a reading. Should it turn out to be a hole, what
// the window held when that began is wanted again. Time goes by until all that came
// has left, and no further: what a device has kept in a hole has its place in the
// window, whoever looked meanwhile.
func (s *span) pass(c *channel, now int64) {
	now = s.reach(c, now)
	if s.Count() > 0 && s.Oldest() <= now-s.over && s.Exact() {
		for at, v := range s.Until(now - s.over) {
			s.left = append(s.left, mark{at, v})
		}
		s.left = s.left[max(0, len(s.left)-maxWindowed-1):]
	}
	s.Advance(now)
}

// reach is how far a window has gone on its channel's axis at a moment of ours.
func (s *span) reach(c *channel, now int64) int64 { return min(c.axis(now), s.Newest()+s.over) }

// place takes in a reading that is not the newest of its channel, if it does not
// leave as it comes.
func (e *Engine) place(c *channel, s *span, at int64, v float64) bool {
	s.pass(c, e.gone())
	return at > s.reach(c, e.now)-s.over && s.Add(at, v)
}

// longest is the longest of the windows that hold their readings as they are.
func (c *channel) longest() *span {
	var longest *span
	for _, w := range c.windows {
		if w.Exact() && (longest == nil || w.over > longest.over) {
			longest = w
		}
	}
	return longest
}

// hole is the hole that a time lies in; nil for none.
func (c *channel) hole(at int64) *hole {
	for i := range c.holes {
		if h := &c.holes[i]; h.from < at && at < h.to {
			return h
		}
	}
	return nil
}

// take takes a reading of the past in, unless it is a repetition.
func (h *hole) take(p dated) bool {
	i, found := slices.BinarySearchFunc(h.past, p, func(a, b dated) int { return cmp.Compare(a.at, b.at) })
	for ; found && i < len(h.past) && h.past[i].at == p.at; i++ {
		if h.past[i].value == p.value {
			return false
		}
	}
	h.past = slices.Insert(h.past, i, p)
	return true
}

// begin has a channel whose first readings came in another order begin with an
// earlier one: it has been taken in, and is no more of the past when it is repeated.
func (h *hole) begin(p point) {
	h.to, h.end = p.at, p.value
	h.past = slices.DeleteFunc(h.past, func(of dated) bool { return of.at >= p.at })
}

// close is what is left of a hole when its readings are forgotten: the stretches
// of which nothing has come.
func (h *hole) close() []hole {
	if b := h.before; b != nil {
		b.over, b.windowed = 0, nil
	}
	left := hole{gap: h.gap, end: h.end, before: h.before, cut: true, told: h.told}
	if len(h.past) == 0 {
		return []hole{left}
	}
	first, last := h.past[0], h.past[len(h.past)-1]
	right := hole{gap: gap{last.at, h.to}, end: h.end, cut: true, told: slices.Clone(h.told)}
	right.before = &before{last: last.point, clock: last.clock, at: last.at}
	left.to, left.end = first.at, first.value
	return []hole{left, right}
}

// tell notes that an episode was told which may lie in a hole, or begin there.
func (h *hole) tell(t tale) {
	if len(h.told) == maxTales {
		h.told = slices.Delete(h.told, 0, 1)
	}
	h.told = append(h.told, t)
}

// lived notes that an episode of the present has ended: a reading of the past must
// not tell of it again.
func (c *channel) lived(a *instance) {
	end := a.ended
	if end < a.started { // a person ended it
		end = max(a.started, c.last.at)
	}
	if n := len(c.holes); n > 0 && !c.holes[n-1].cut {
		c.holes[n-1].tell(tale{a.rule.id, a.started, end, false})
	}
}

// tells reports whether an episode of an alarm in that time has been told, or is
// part of one that was. One that went on when people were told of its end is news,
// unless it is the same episode: that begins, and is told, once.
func (a *instance) tells(from, to int64) bool {
	if a.started != 0 && (from == a.started || to > a.started && (a.episode != nil && a.episode.fired != 0 || to <= a.ended)) {
		return true
	}
	for i := range a.channel.holes {
		for _, t := range a.channel.holes[i].told {
			if t.rule == a.rule.id && from <= t.end && to >= t.began && (t.past || to <= t.end || from == t.began) {
				return true
			}
		}
	}
	return false
}

// untold is when an episode starts that would start at that time, if nothing had
// been told of it: what goes on after an end that people know is another one.
func (a *instance) untold(start int64) int64 {
	for i := range a.channel.holes {
		for _, t := range a.channel.holes[i].told {
			if t.rule == a.rule.id && t.began <= start && (t.past && start <= t.end || start == t.began) {
				start = max(start, t.end) + 1
			}
		}
	}
	return start
}
