package rules

import (
	"math"
	"slices"
	"time"

	"tocsin/rules/expr"
	"tocsin/rules/window"
)

// Alarms that look at one reading compare it as it comes. All others measure:
// something is computed of several readings, of their absence, or of other
// alarms, and may change with time alone. Each measurement says until when it
// holds, and the alarm is looked at again then, on the bridge's clock; so what is
// decided does not depend on when ticks come.

// A gaugeMemory is what a gauge remembers from reading to reading.
type gaugeMemory struct {
	run   window.Run       // flatness
	marks *window.Marks    // invalidity
	base  *window.Baseline // deviation
	value float64          // deviation: of the newest reading
	known bool
	at    int64   // changed, and deviation's next: the last one, in event time; silence: the contact that was the last
	next  float64 // deviation: the newest reading, which is normal unless it began an alarm
}

// A rungMemory is what a rung remembers from look to look.
type rungMemory struct {
	marks *window.Marks // repeats: when the condition came true, in event time
	was   truth
	share []stretch // for_share: how the condition stood, in event time
}

// A stretch is a stretch of time that begins at at and ends where the next begins.
type stretch struct {
	at   int64
	held truth
}

func (g *gauge) remembers() bool {
	switch g.source {
	case changed, flatness, invalidity, deviation, silence:
		return true
	}
	return false
}

// axis is a channel's own time at a moment of ours: its newest reading's, and
// what has gone by since it came. A device whose clock is wrong by an hour has
// windows like any other.
func (c *channel) axis(now int64) int64 {
	if c.last.at == 0 {
		return now
	}
	return c.last.at + now - c.at
}

// ours turns a time on the channel's axis into one on the bridge's clock.
func (c *channel) ours(at int64) int64 {
	if c.last.at == 0 {
		return at
	}
	return at - c.last.at + c.at
}

// observe lets a gauge take a new reading in, before it is asked.
func (e *Engine) observe(a *instance, v float64, at int64) {
	if a.extra == nil || len(a.extra.gauges) == 0 {
		return
	}
	for i := range a.rule.gauges {
		g, m := &a.rule.gauges[i], &a.extra.gauges[i]
		switch g.source {
		case flatness:
			m.run.Add(at, v, g.within)
		case changed:
			if g.change.happened(a.channel) {
				m.at = at
			}
		case deviation:
			e.deviate(a, g, m, v, at)
		}
	}
}

// deviate measures a reading by what is normal. The one before has become part of
// that by now, unless an alarm has begun with it or is under way: what is wrong
// for long must not become normal.
func (e *Engine) deviate(a *instance, g *gauge, m *gaugeMemory, v float64, at int64) {
	d := g.deviates
	if m.base == nil {
		m.base = window.NewBaseline(window.BaselineOptions{Span: d.baseline, Slots: d.slots(), MinHistory: d.minHistory})
	}
	if m.at != 0 && a.episode == nil {
		m.base.Add(m.at, d.slot(m.at), m.next)
	}
	m.at, m.next = at, v
	m.value, m.known = m.base.Score(at, d.slot(at), v, d.way())
}

func (d *deviates) way() window.Method {
	switch d.method {
	case "zscore":
		return window.ZScore
	case "baseline":
		return window.Relative
	}
	return window.Mad
}

func (d *deviates) slots() int {
	switch d.season {
	case "hour":
		return 24
	case "weekday":
		return 7
	case "hour_of_week":
		return 7 * 24
	}
	return 1
}

// slot is the season a time belongs to, in UTC.
func (d *deviates) slot(at int64) int {
	hours := at / int64(time.Hour)
	day := (hours/24 + 4) % 7 // 1970 began on a Thursday
	switch d.season {
	case "hour":
		return int(hours % 24)
	case "weekday":
		return int(day)
	case "hour_of_week":
		return int(day*24 + hours%24)
	}
	return 0
}

// happened reports whether the newest reading is the change that is asked for.
func (ch *change) happened(c *channel) bool {
	if ch.moment != nil {
		return ch.moment.fires(c.last.value) == yes
	}
	if c.prev.at == 0 && !(c.metric.event && ch.from == nil && ch.by == 0) {
		return false
	}
	was, is := c.prev.value, c.last.value
	if c.metric.event { // two of the same are two
		return (ch.from == nil || *ch.from == was) && (ch.to == nil || *ch.to == is)
	}
	switch {
	case ch.by > 0:
		return is.num-was.num >= ch.by
	case ch.by < 0:
		return is.num-was.num <= ch.by
	}
	return was != is && (ch.from == nil || *ch.from == was) && (ch.to == nil || *ch.to == is)
}

// A measurement is what a gauge says, and for how long.
type measurement struct {
	value   value
	known   bool
	partial bool  // a count or a sum, and it may be more: nobody has watched its whole stretch
	at      int64 // event time since when it is so, where the gauge knows better
	until   int64 // on the bridge's clock; 0 for as long as nothing happens
}

// measure asks a gauge of an alarm.
func (e *Engine) measure(a *instance, i int) measurement {
	g, c := &a.rule.gauges[i], a.channel
	switch g.source {
	case expression:
		return e.evaluate(a, g)
	case silence:
		return e.quiet(a, i)
	case skewness:
		if d := c.device; d.skews != nil {
			skew, ok := d.skews.Median()
			return measurement{value: value{num: math.Abs(skew.Seconds())}, known: ok}
		}
		return measurement{}
	}
	if a.rule.subject == ofGroup {
		return e.reduce(a, g)
	}
	if (g.ages() || g.source == changed && !a.rule.gaugesSilence()) && e.outdated(a) {
		return measurement{}
	}
	return e.gaugeOf(a, i, c)
}

// ages reports whether what is measured says nothing of the present once the
// newest reading is too old to. That readings leave a window is no news of their
// device then. How many came is known all the same.
func (g *gauge) ages() bool {
	switch g.source {
	case aggregate:
		return !g.counts()
	case newest, slope, delta, deviation, flatness:
		return true
	}
	return false
}

// counts reports whether none is as good a measurement as some.
func (g *gauge) counts() bool {
	return g.source == aggregate && g.fn == "count" && g.minSamples == 0
}

// outdated reports whether the newest reading of an alarm's metric is too old to
// speak for the present.
func (e *Engine) outdated(a *instance) bool {
	c := a.channel
	if c.metric.event {
		return false
	}
	after := a.patience()
	return after > 0 && e.now >= e.heard(c, after)+after
}

// gaugeOf asks a gauge of one channel.
func (e *Engine) gaugeOf(a *instance, i int, c *channel) measurement {
	g := &a.rule.gauges[i]
	if g.source == newest {
		return measurement{value: c.last.value, known: c.last.at != 0}
	}
	if g.over > 0 {
		return e.windowed(c, int64(g.over), g.fn, g.quantile, g.minSamples, g.source, g.per)
	}
	m := &a.extra.gauges[i]
	switch g.source {
	case flatness:
		if c.last.at == 0 {
			return measurement{}
		}
		// From reading to reading: that nothing comes is not that nothing moves.
		return measurement{value: value{num: float64(c.last.at-m.run.Since()) / 1e9}, known: true}
	case changed:
		end := m.at + int64(g.change.hold)
		held := m.at != 0 && c.axis(e.now) < end
		out := measurement{value: truthValue(held), known: c.last.at != 0}
		if held {
			out.until = c.ours(end)
		}
		return out
	case invalidity:
		if m.marks == nil {
			return measurement{known: true}
		}
		out := measurement{value: value{num: float64(m.marks.Within(e.now, g.count.within))}, known: true}
		if int(out.value.num) == g.count.count { // the oldest is one of them
			out.until = m.marks.Oldest() + int64(g.count.within)
		}
		return out
	case deviation:
		return measurement{value: value{num: m.value}, known: m.known}
	}
	return measurement{}
}

func truthValue(b bool) value {
	if b {
		return value{num: 1}
	}
	return value{}
}

// windowed asks a window of a channel.
func (e *Engine) windowed(c *channel, over int64, fn string, quantile float64, min_ int, src source, per float64) measurement {
	w := c.span(over)
	if w == nil || c.last.at == 0 {
		return measurement{}
	}
	now := c.axis(e.now)
	w.pass(now)
	out := measurement{}
	if adds(fn) {
		out.partial, out.until = e.partial(c, w.Window, now)
	}
	n := w.Count()
	if n > 0 {
		out.until = sooner(out.until, c.ours(w.Oldest()+over))
	}
	need := max(min_, 1)
	if src == delta || fn == "delta" {
		need = max(need, 2) // a reading differs from another one
	}
	if (src == slope || fn == "rate") && w.Newest()-w.Oldest() < over/10 {
		return out // what a burst rose by in milliseconds says nothing of minutes
	}
	if n < need {
		if fn == "count" && min_ == 0 {
			out.known = true
		}
		return out
	}
	var v float64
	ok := true
	switch src {
	case slope:
		v, ok = w.Slope()
		v *= per
	case delta:
		v, ok = w.Delta()
	default:
		v, ok = apply(w.Window, fn, quantile)
	}
	out.value, out.known = value{num: v}, ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	return out
}

// apply asks a window for a function of its readings.
func apply(w *window.Window, fn string, quantile float64) (float64, bool) {
	switch fn {
	case "avg":
		return w.Avg()
	case "min":
		return w.Min()
	case "max":
		return w.Max()
	case "sum":
		return w.Sum()
	case "count":
		return float64(w.Count()), true
	case "first":
		return w.First()
	case "last":
		return w.Last()
	case "stddev":
		return w.Stddev()
	case "spread":
		return w.Spread()
	case "median":
		return w.Quantile(0.5)
	case "quantile":
		return w.Quantile(quantile)
	case "rate":
		return w.Slope()
	case "delta":
		return w.Delta()
	}
	return 0, false
}

// quiet measures whether a device has been silent for too long. Once an alarm is
// on, only a contact ends it, and not that we were deaf meanwhile.
func (e *Engine) quiet(a *instance, i int) measurement {
	d, g := a.channel.device, &a.rule.gauges[i]
	m := &a.extra.gauges[i]
	r := d.reach(e, g, a.rule.rungs[0].hold)
	on := a.episode != nil && a.episode.fired != 0
	// What was never heard of is missed after its grace; that it is silent for
	// longer, as a level says, begins with our listening.
	base := i == a.rule.rungs[0].gauge
	if !base && !r.lost && r.deadline != 0 {
		r.deadline = max(r.deadline, r.since+int64(g.silent)+e.missed(d, r.since))
	}
	switch {
	case r.deaf:
		return measurement{}
	case on && !r.lost && d.contact == m.at && (base || d.contact != 0):
		return measurement{value: value{num: 1}, known: true}
	case r.deadline == 0 && on && !r.lost: // it was lost, and is there again
		return measurement{known: true}
	case r.deadline == 0:
		return measurement{}
	case e.now >= r.deadline:
		m.at = d.contact
		return measurement{value: value{num: 1}, known: true, at: r.deadline}
	}
	return measurement{known: true, until: r.deadline}
}

// fresh is for how long a reading of a channel is used by an expression or a
// group: what the rule says, or three times its device's interval; 0 for ever.
func (a *instance) fresh(c *channel) int64 {
	if a.rule.fresh > 0 {
		return int64(a.rule.fresh)
	}
	if every, ok := c.device.interval(); ok {
		return 3 * int64(every)
	}
	return 0
}

// reduce makes one number of what a group's devices measure. It is unknown while
// too few of them are fresh.
func (e *Engine) reduce(a *instance, g *gauge) measurement {
	values := e.sorted[:0]
	out := measurement{}
	total := 0.0
	for _, d := range a.extra.members {
		c := d.channel(a.rule.metric.name)
		if c == nil || c.last.at == 0 {
			continue
		}
		if fresh := a.fresh(c); fresh > 0 {
			end := c.at + fresh
			if end <= e.now {
				continue
			}
			out.until = sooner(out.until, end)
		}
		m := measurement{value: c.last.value, known: true}
		if g.over > 0 {
			m = e.windowed(c, int64(g.over), g.fn, g.quantile, g.minSamples, g.source, g.per)
			out.until = sooner(out.until, m.until)
		}
		if m.known {
			values = append(values, m.value.num)
			total += m.value.num
			out.partial = out.partial || m.partial
		}
	}
	e.sorted = values
	n := len(values)
	if !a.rule.quorate(n, len(a.extra.members)) {
		return out
	}
	if a.rule.reduce == "count" {
		return measurement{value: value{num: float64(n)}, known: true, until: out.until}
	}
	if n == 0 || out.partial && a.rule.reduce == "spread" {
		return out
	}
	out.known = true
	switch a.rule.reduce {
	case "sum":
		out.value.num = total
	case "min":
		out.value.num = slices.Min(values)
	case "max":
		out.value.num = slices.Max(values)
	case "spread":
		out.value.num = slices.Max(values) - slices.Min(values)
	case "median":
		slices.Sort(values)
		out.value.num = (values[(n-1)/2] + values[n/2]) / 2
	default:
		out.value.num = total / float64(n)
	}
	return out
}

// quorate reports whether n of the expected devices are enough.
func (g *group) quorate(n, expected int) bool {
	if g.quorumShare {
		return float64(n)*100 >= g.quorum*float64(expected)
	}
	return float64(n) >= g.quorum
}

// evaluate asks an expression: its slots are filled first.
func (e *Engine) evaluate(a *instance, g *gauge) measurement {
	out := measurement{}
	e.slots = e.slots[:0]
	for i := range g.refs {
		v, until := e.operand(a, &g.refs[i])
		e.slots = append(e.slots, v)
		out.until = sooner(out.until, until)
	}
	v := g.when.Eval(e.slots)
	out.value, out.known = value{num: v.Num}, v.Known
	return out
}

// operand is the value of one slot, and until when it is that.
func (e *Engine) operand(a *instance, ref *operand) (expr.Value, int64) {
	d := a.channel.device
	switch ref.Kind {
	case expr.Firing:
		return known(truthValue(e.fires(d, e.program.rules[ref.rule])).num), 0
	case expr.Share, expr.Count:
		return e.members(a, ref), 0
	case expr.Online:
		if d.presence == StatusUnknown {
			return expr.Value{}, 0
		}
		return known(truthValue(d.presence == Online).num), 0
	case expr.Hour, expr.Weekday:
		t := time.Unix(0, e.now).In(e.program.zone)
		next := t.Truncate(time.Hour).Add(time.Hour).UnixNano()
		if ref.Kind == expr.Hour {
			return known(float64(t.Hour())), next
		}
		return known(float64(t.Weekday())), next
	case expr.Attr:
		if d.def == nil {
			return expr.Value{}, 0
		}
		q, ok := d.def.Attr[ref.Name]
		if !ok {
			return expr.Value{}, 0
		}
		v, ok := ref.Convert(q.Value, q.Unit, convertValue)
		return expr.Value{Num: v, Known: ok}, 0
	}
	c := d.channel(ref.metric.name)
	if c == nil || c.last.at == 0 {
		return expr.Value{}, 0
	}
	if ref.Kind == expr.Age {
		if d.unheard() {
			return expr.Value{}, 0
		}
		age := e.now - c.at - e.missed(d, c.at)
		return known(float64(age) / 1e9), e.now - e.now%int64(time.Second) + int64(time.Second)
	}
	least, until := a.rule.minSamples(), int64(0)
	none := ref.Kind == expr.Window && ref.Func == "count" && least == 0 // is as good a number as some
	if fresh := a.fresh(c); fresh > 0 && !none {
		if until = c.at + fresh; until <= e.now {
			return expr.Value{}, 0
		}
	}
	switch ref.Kind {
	case expr.Window:
		m := e.windowed(c, int64(ref.Over), ref.Func, ref.Quantile, least, aggregate, 1)
		return expr.Value{Num: m.value.num, Known: m.known, Partial: m.partial && m.known}, sooner(m.until, until)
	case expr.Prev:
		return expr.Value{Num: c.prev.value.num, Text: c.prev.value.text, Known: c.prev.at != 0}, until
	case expr.Changed:
		return expr.Value{Num: truthValue(c.prev.value != c.last.value).num, Known: c.prev.at != 0}, until
	}
	return expr.Value{Num: c.last.value.num, Text: c.last.value.text, Known: true}, until
}

func known(v float64) expr.Value { return expr.Value{Num: v, Known: true} }

// fires reports whether a device's alarm of a rule is on, told or not.
func (e *Engine) fires(d *device, r *rule) bool {
	a := d.alarm(r)
	return a != nil && a.episode != nil && a.episode.fired != 0
}

// members counts the devices of a group for which a rule fires.
func (e *Engine) members(a *instance, ref *operand) expr.Value {
	r := e.program.rules[ref.rule]
	n := 0
	for _, d := range a.extra.members {
		if e.fires(d, r) {
			n++
		}
	}
	if ref.Kind == expr.Count {
		return known(float64(n))
	}
	if len(a.extra.members) == 0 {
		return expr.Value{}
	}
	return known(100 * float64(n) / float64(len(a.extra.members)))
}

// minSamples is what the rule asks of the windows in its expressions.
func (r *rule) minSamples() int {
	for i := range r.gauges {
		if n := r.gauges[i].minSamples; n > 0 {
			return n
		}
	}
	return 0
}
