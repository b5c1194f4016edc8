package rules

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// A device that sends more than its max_rate is coalesced, and never deaf: of what
// exceeds the rate, each metric's new extremes and changes are judged when they
// come, and its newest reading when a tenth of a second is over. What lies between
// those says nothing that a limit, or a person, would want to know.

// slotLength is how long a reading that is no news may wait to be judged.
const slotLength = int64(100 * time.Millisecond)

// A bucket holds what is left of a device's max_rate, on the bridge's clock. A
// token comes back every each; an empty bucket is full again after depth.
type bucket struct {
	each, depth int64

	full   int64 // when it will be full, if nothing is taken
	since  int64 // when it was full last
	count  int64 // readings since then
	chatty bool  // it has been empty since then
}

// minBurst is how many readings may come at once, however low the rate: one
// message may have as many fields.
const minBurst = 10

// bucket is a full one for a device, nil where nothing bounds it.
func (p *Program) bucket(id string) *bucket {
	r := p.rate(id)
	if r.Count == 0 {
		return nil
	}
	each := int64(float64(r.Per) / r.Count)
	return &bucket{each: each, depth: max(int64(10*time.Second), minBurst*each)}
}

// rate is a device's max_rate.
func (p *Program) rate(id string) MaxRate {
	switch def := p.devices[id]; {
	case def != nil && def.MaxRate != nil:
		return *def.MaxRate
	case p.maxRate != nil:
		return *p.maxRate
	}
	return MaxRate{}
}

// take takes a token, and reports whether there was one.
func (b *bucket) take(now int64) bool {
	if b.full <= now {
		b.full, b.since, b.count, b.chatty = now, now, 0, false
	}
	b.count++
	if b.full+b.each > now+b.depth {
		return false
	}
	b.full += b.each
	return true
}

// A slot is what there is beyond the rate of one channel, until a tenth of a
// second is over: on our clock, and on that of the readings. A device that sends
// what it has kept has as many slots as it has tenths to tell of.
type slot struct {
	open      bool
	from      int64   // event time of its first reading
	low, high float64 // of the readings of it that were judged
	last      point   // the newest, which waits; at is 0 without one
	clock     Clock   // of last
}

// excess is the slots that are open, which end together.
type excess struct {
	open []*channel
	due  int64
}

// coalesced takes care of a reading that is not to be judged now, or not as the
// newest. It reports false for one that is.
func (e *Engine) coalesced(c *channel, v value, at int64, s *Sample, out *Output) bool {
	waits := c.slot != nil && c.slot.last.at != 0
	if waits && c.slot.last == (point{at, v}) {
		return true // the same again
	}
	bounded := !e.past && !c.metric.event && s.Flags&Retained == 0
	if bounded && !c.device.bucket.take(e.now) {
		if !e.openSlot(c, at).news(c, v) {
			e.chatter(c.device, out)
			c.slot.hold(point{at, v}, s.Clock, out)
			return true
		}
	}
	if c.slot != nil && c.slot.open {
		c.slot.low, c.slot.high = min(c.slot.low, v.num), max(c.slot.high, v.num)
	}
	if !waits {
		return false
	}
	if e.judgeLast(c, out); at < c.judged {
		e.behind(c, v, at, s, out)
		return true
	}
	return false
}

// news reports whether a reading beyond the rate may not wait. A counter that
// rises is none: its last reading counts the others in.
func (sl *slot) news(c *channel, v value) bool {
	newest := c.last
	if sl.last.at != 0 {
		newest = sl.last
	}
	switch {
	case newest.at == 0, sl.low > sl.high: // the first of its slot
		return true
	case c.metric.counter:
		return v.num < newest.value.num
	case c.metric.kind == Number:
		return v.num < sl.low || v.num > sl.high
	}
	return v != newest.value
}

// hold keeps a reading that is no news, if none waits that is newer.
func (sl *slot) hold(p point, clock Clock, out *Output) {
	if sl.last.at != 0 {
		out.Problems = append(out.Problems, "chatty")
		if p.at < sl.last.at {
			return
		}
	}
	sl.last, sl.clock = p, clock
}

// openSlot is a channel's slot for a time, which begins anew if it has none.
func (e *Engine) openSlot(c *channel, at int64) *slot {
	if c.slot == nil {
		c.slot = new(slot)
	}
	sl := c.slot
	if !sl.open {
		sl.open = true
		sl.begin(at)
		e.excess.open = append(e.excess.open, c)
		e.slotDue()
	} else if at < sl.from-slotLength || at >= sl.from+slotLength {
		sl.begin(at)
	}
	return sl
}

// begin forgets what was judged: the next reading is the first.
func (sl *slot) begin(at int64) { sl.from, sl.low, sl.high = at, math.Inf(1), math.Inf(-1) }

// slotDue sees to it that slots end.
func (e *Engine) slotDue() {
	if e.excess.due == 0 && len(e.excess.open) > 0 {
		e.excess.due = (e.now/slotLength + 1) * slotLength
	}
}

// closeSlots judges what has waited, in the same order in every run.
func (e *Engine) closeSlots(out *Output) {
	list := e.excess.open
	slices.SortFunc(list, func(a, b *channel) int {
		return cmp.Or(cmp.Compare(a.device.id, b.device.id), cmp.Compare(a.metric.name, b.metric.name))
	})
	for _, c := range list {
		c.slot.open = false
		e.judgeLast(c, out)
	}
	clear(list)
	e.excess = excess{open: list[:0]}
}

// judgeLast judges the reading that waits, if one does.
func (e *Engine) judgeLast(c *channel, out *Output) {
	p := c.slot.last
	if p.at == 0 {
		return
	}
	c.slot.last = point{}
	if p.at < c.judged || p.at == c.judged && p == c.last {
		return // judged before a crash
	}
	past := e.past
	e.past = false // whatever the reading at hand is
	e.live(c, p.value, p.at, &Sample{Clock: c.slot.clock}, out)
	e.past = past
}

// chatter tells that a device has begun to send so much more than it may that readings wait.
func (e *Engine) chatter(d *device, out *Output) {
	b := d.bucket
	if b.chatty {
		return
	}
	b.chatty = true
	limit := e.program.rate(d.id)
	within := "at once"
	if took := time.Duration(e.now - b.since); took > 0 {
		rate := MaxRate{Count: float64(b.count) * float64(limit.Per) / float64(took), Per: limit.Per}
		if rate.Count >= 100 {
			rate.Count = math.Round(rate.Count)
		}
		within = "within " + spell(took) + " (" + rate.String() + ")"
	}
	e.tellOutside(e.deviceEvent(d, DeviceChatty, fmt.Sprintf("%d readings %s, and max_rate is %s: of what exceeds it, each metric's lowest, highest and last reading in 100ms is judged; "+
		"if the device is meant to send so much, write a higher max_rate in [device.%s]", b.count, within, limit, d.id)), out)
}

// rewind moves what our clock has stamped.
func (sl *slot) rewind(by int64) {
	if sl != nil && sl.clock == ClockArrival {
		shift(by, &sl.from, &sl.last.at)
	}
}

// appendExcess writes what is beyond a device's rate.
func (d *device) appendExcess(b []byte) []byte {
	bk := d.bucket
	b = appendBool(b, bk != nil)
	if bk != nil {
		b = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, bk.full), bk.since), bk.count)
		b = appendBool(b, bk.chatty)
	}
	var open []*channel
	for _, c := range d.channels {
		if c.slot != nil && c.slot.open {
			open = append(open, c)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(open)))
	for _, c := range open {
		sl := c.slot
		b = append(appendText(b, c.metric.name), byte(c.metric.kind), byte(sl.clock))
		b = appendFloat(appendFloat(binary.AppendVarint(b, sl.from), sl.low), sl.high)
		b = appendValue(binary.AppendVarint(b, sl.last.at), sl.last.value)
	}
	return b
}

// recallExcess takes that back. A reading that waits is judged even where nothing
// bounds the device any more.
func (e *Engine) recallExcess(d *device, r *reader) {
	if len(r.b) == 0 {
		return // written before there was a rate
	}
	if r.bool() {
		kept := bucket{full: r.int(), since: r.int(), count: r.int(), chatty: r.bool()}
		if b := d.bucket; b != nil && r.err == nil {
			kept.each, kept.depth = b.each, b.depth
			kept.full = min(kept.full, e.now+b.depth) // it may have been deeper
			*b = kept
		}
	}
	for range r.count(20) {
		m := e.program.metrics[r.text()]
		kind := Kind(r.byte())
		kept := slot{open: true, clock: Clock(r.byte()), from: r.int(), low: r.float(), high: r.float(), last: point{r.int(), r.value()}}
		if m != nil && m.kind == kind && r.err == nil {
			c := e.bind(d, m, math.MaxInt)
			c.slot = &kept
			e.excess.open = append(e.excess.open, c)
			e.slotDue()
		}
	}
}
