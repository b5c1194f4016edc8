package rules

import (
	"cmp"
	"math"
	"slices"

	"tocsin/rules/expr"
	"tocsin/rules/window"
)

// Nobody hears a device while the bridge is down or the link to its source is.
// What was not heard is not known: that time makes no device silent and no reading
// older, and what is counted over it is what it is at least.

// maxGaps bounds the gaps that are remembered, ours and each link's.
const maxGaps = 16

// addGap remembers a gap. When there are too many, the two oldest become one that
// is as long as both, so that what they come to stays.
func addGap(list []gap, g gap) []gap {
	if len(list) >= maxGaps {
		list[1].from -= list[0].to - list[0].from
		list = slices.Delete(list, 0, 1)
	}
	return append(list, g)
}

func shiftGaps(by int64, list []gap) {
	for i := range list {
		list[i].from += by
		list[i].to += by
	}
}

// awake is when something is done that is due then: after the last gap, if that
// is in it.
func (e *Engine) awake(due int64) int64 {
	if n := len(e.absent); n > 0 && due > e.absent[n-1].from {
		return max(due, e.absent[n-1].to)
	}
	return due
}

// unheard reports whether nobody hears the device now.
func (d *device) unheard() bool { return d.link.isDown() }

func (l *link) isDown() bool { return l != nil && l.down != 0 }

// ears is the link by which a device would be heard; nil where it always would be.
// Nobody knows the source of one that was never heard of: it may be any of them, so
// nobody hears it while all of them are away.
func (e *Engine) ears(d *device) *link {
	if d.link != nil || d.group || len(e.links) == 0 {
		return d.link
	}
	var all *link
	for _, l := range sortedMap(e.links) {
		switch {
		case l.since == 0 && l.down == 0: // nobody says whether it hears
			return nil
		case all == nil:
			all = l
		default:
			all = e.either(all, l)
		}
	}
	return all
}

// either is a link that hears while one of two does.
func (e *Engine) either(a, b *link) *link {
	out := func(l *link) []gap {
		if l.down == 0 {
			return l.gaps
		}
		return append(slices.Clip(l.gaps), gap{l.down, math.MaxInt64})
	}
	both := &link{since: sooner(a.since, b.since)}
	for _, x := range out(a) {
		for _, y := range out(b) {
			switch from, to := max(x.from, y.from), min(x.to, y.to); {
			case from >= to:
			case to == math.MaxInt64:
				both.down = from
			default:
				both.gaps = addGap(both.gaps, gap{from, to})
			}
		}
	}
	return both
}

// missed is for how long since then nobody could hear the device.
func (e *Engine) missed(d *device, since int64) int64 {
	var room [2 * maxGaps]gap
	list := append(room[:0], e.absent...)
	if l := e.ears(d); l != nil {
		list = append(list, l.gaps...)
	}
	slices.SortFunc(list, func(a, b gap) int { return cmp.Compare(a.from, b.from) })
	missed := int64(0)
	for _, g := range list {
		if from, to := max(g.from, since), min(g.to, e.now); to > from {
			missed += to - from
			since = to
		}
	}
	return missed
}

// graced is until when a device has time to be heard: after we began to listen,
// met it, or what stands between us came back; and after an absence of ours, which
// is not made up for with more time than it took.
func (e *Engine) graced(d *device, grace int64) int64 {
	until := max(e.begun, d.listening) + grace
	last := func(list []gap) {
		for _, g := range list {
			until = max(until, g.to+min(grace, g.to-g.from))
		}
	}
	last(e.absent)
	if l := e.ears(d); l != nil {
		if last(l.gaps); len(l.gaps) == 0 && l.since != 0 {
			until = max(until, l.since+grace)
		}
	}
	return until
}

// partial reports whether a device may have sent more in a window than is counted,
// and until when at least. What is a trifle beside the window and would not be
// told of as an outage does not matter: a session keeps what came then, and a
// count of a day must be worth something on the day of a restart.
func (e *Engine) partial(c *channel, w *window.Window, now int64) (bool, int64) {
	d, over := c.device, int64(w.Over())
	link := e.ears(d)
	if link.isDown() {
		return true, 0
	}
	trifle := min(linkGrace, over/10)
	since := max(e.begun, d.listening)
	last := func(list []gap) {
		for _, g := range list {
			if g.to-g.from >= trifle {
				since = max(since, g.to)
			}
		}
	}
	if last(e.absent); link != nil {
		last(link.gaps)
	}
	whole := since + over
	if s := w.Span() + over; s > now { // it has become longer
		whole = max(whole, c.ours(s))
	}
	if whole <= e.now {
		return false, 0
	}
	return true, whole
}

// signed reports whether a reading of a window is negative, or may be by what the
// file says: then a sum of some of them is no bound of the sum of all.
func (c *channel) signed(w *window.Window) bool {
	least, _ := w.Min()
	return least < 0 || c.metric.ranged && c.metric.lo < 0
}

// adds reports whether further readings make an aggregate greater: for a sum, unless
// they are signed.
func adds(fn string) bool { return fn == "count" || fn == "sum" }

// heeds reports whether a rule measures something that is not known while nobody
// listens, or changes then: ages, counts and sums.
func (r *rule) heeds() bool {
	for i := range r.gauges {
		g := &r.gauges[i]
		if g.source == aggregate && adds(g.fn) {
			return true
		}
		for _, ref := range g.refs {
			if ref.Kind == expr.Age || ref.Kind == expr.Window && adds(ref.Func) {
				return true
			}
		}
	}
	return false
}

// queueHeeding has the alarms looked at that depend on whether a device is heard.
func (e *Engine) queueHeeding(d *device) {
	for _, c := range d.channels {
		for _, list := range [][]*instance{c.alarms, c.asked} {
			for _, a := range list {
				if a.rule.heeds() {
					e.queue(a, false)
				}
			}
		}
	}
}

// unfreeze gives what came to a standstill while nobody listened, or before, the
// time that a reading speaks for the present to go on. That is stored, as what an
// absence of ours moves is.
func (e *Engine) unfreeze(d *device, out *Output) {
	if d.unheard() {
		return
	}
	for _, c := range d.all() {
		for _, a := range c.alarms {
			if ep := a.episode; ep != nil && ep.frozen != 0 && ep.staleAt != 0 && !ep.stale {
				last := d.link.gaps[len(d.link.gaps)-1]
				ep.staleAt += last.to - max(last.from, ep.frozen)
				out.Transitions = append(out.Transitions, a.transition())
			}
		}
	}
}

// truths is what a rung makes of a measurement.
func (c *condition) truths(m measurement) (fires, clears truth) {
	fires, clears = unknown, unknown
	if m.known && (!m.partial || c.decided(false, m.value.num)) {
		fires = c.fires(m.value)
	}
	if m.known && (!m.partial || c.decided(true, m.value.num)) {
		clears = c.clears(m.value)
	}
	return fires, clears
}

// decided reports whether an answer stays what it is however much greater the
// number becomes.
func (c *condition) decided(on bool, v float64) bool {
	now := c.ask(on, value{num: v})
	for _, edge := range [...]float64{c.lo, c.hi, c.clearLo, c.clearHi, math.Inf(1)} {
		for _, x := range [...]float64{edge, math.Nextafter(edge, math.Inf(1))} {
			if x > v && c.ask(on, value{num: x}) != now {
				return false
			}
		}
	}
	return true
}
