package rules

import (
	"time"

	"tocsin/rules/expr"
)

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
		return known(float64(age) / 1e9), ref.nextAge(e.now, age)
	}
	least, until := a.rule.minSamples(), int64(0)
	none := ref.Kind == expr.Window && ref.Func == "count" && least == 0 // is as good a number as some
	if fresh := a.fresh(c); fresh > 0 && !none {
		if until = c.at + fresh; until <= e.gone() {
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

// nextAge is when an age has to be looked at again: at the first whole second at which
// it may have passed what it is compared with, 0 for never. Where it is not only
// compared, that is each second.
func (o *operand) nextAge(now, age int64) int64 {
	const second = int64(time.Second)
	next := now - now%second + second
	if o.bounds == nil {
		return next
	}
	for _, b := range o.bounds {
		if b < float64(age)/1e9 {
			continue
		}
		if b >= maxAge {
			break
		}
		left := int64(b*1e9) - age - int64(time.Millisecond) // rather too early than too late
		return max(next, (now+left)/second*second)
	}
	return 0
}

// maxAge is an age in seconds that nothing reaches.
const maxAge = 1e9

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
