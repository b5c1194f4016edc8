package rules

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	longestWindow = Duration(31 * 24 * time.Hour) // over, within, flat.for and baseline
	maxCount      = 10_000                        // samples, occurrences
)

// span checks a duration that must be positive.
func (c *compiler) span(path []string, d, most Duration) bool {
	key := path[len(path)-1]
	switch {
	case d < Duration(time.Second):
		c.fail(path, key+" is shorter than a second", `write a duration such as "10m"`)
	case d > most:
		c.fail(path, key+" is longer than "+written(time.Duration(most)), `write a shorter duration, such as "10m"`)
	default:
		return true
	}
	return false
}

// count checks how often something must happen.
func (c *compiler) count(path []string, def *Count, least int) *count {
	if def.Count < least || def.Count > maxCount {
		c.fail(join(path, "count"), fmt.Sprintf("count is %d", def.Count), fmt.Sprintf("write how often it must happen: %d to %d", least, maxCount))
	}
	c.span(join(path, "within"), def.Within, longestWindow)
	return &count{def.Count, time.Duration(def.Within)}
}

// window fills in over and min_samples.
func (c *compiler) window(path []string, def *Condition, g *gauge) {
	if def.MinSamples != nil {
		g.minSamples = *def.MinSamples
	}
	if def.Over == nil {
		c.fail(path, "has a window without a length", `write over = "10m", or how far back it looks`, join(path, "over"))
		return
	}
	if c.span(join(path, "over"), *def.Over, longestWindow) {
		g.over = time.Duration(*def.Over)
	}
}

// aggregates are the functions of a window, besides the percentiles.
var aggregates = [...]string{"avg", "min", "max", "sum", "count", "stddev", "spread", "median", "last"}

func (c *compiler) aggregate(path []string, def *Condition, g *gauge, s *scale) {
	at := join(path, "agg")
	g.fn = def.Agg
	if adds(g.fn) {
		c.counts(at, g.metric)
	}
	if digits, ok := strings.CutPrefix(def.Agg, "p"); ok && digits != "" {
		p, ok := parseNumber(digits)
		switch {
		case ok && p > 0 && p < 100:
			g.fn, g.quantile = "quantile", p/100
			return
		case ok:
			c.fail(at, def.Agg+" is no percentile", `write p1 to p99.9, or "min" and "max" for the ends`)
			return
		}
	}
	switch def.Agg {
	case "count":
		*s, g.minSamples = scale{name: "the count of " + s.name, bare: true}, 0 // none is a number too
	case "stddev", "spread":
		s.difference, s.metric = true, nil
	case "sum":
		s.metric = nil
	case "avg", "min", "max", "median", "last":
	default:
		c.fail(at, "agg "+strconv.Quote(def.Agg)+" is unknown", didYouMean(def.Agg, append(aggregates[:], "p95")))
	}
}

func (c *compiler) trend(path []string, key fireKey, def *Condition, r *rule, out *condition) {
	m := r.metric
	if m.kind != Number {
		c.fail(join(path, key.name), key.name+" wants a number, and "+m.name+" is a "+m.kind.String(), `give [metric.`+m.name+`] type = "number"`)
		return
	}
	s := m.amount()
	g := gauge{source: delta, metric: m, minSamples: 2}
	if strings.HasPrefix(key.name, "rate") {
		g.source = slope
		q, _ := def.limits(key.name)
		s.per = c.perOf(join(path, key.name), *q, m)
		if s.per == "" {
			return
		}
		g.per, _ = perTime(s.per)
	}
	c.window(path, def, &g)
	c.compare(path, key.name, def, r, g, s, out)
}

// perOf is the time that a rule's rates are per: what its first one is written in.
func (c *compiler) perOf(at []string, q Quantity, m *metric) string {
	unit := q.Unit
	if q.Attr != "" {
		have, ok := c.attrs[q.Attr]
		if !ok {
			have.Unit = first(c.attrUnits[q.Attr], "/min")
		}
		unit = have.Unit
	}
	_, per, ok := cutRate(unit)
	if !ok {
		q := Quantity{Value: q.Value, Unit: first(m.unit, "") + "/min"}
		c.fail(at, at[len(at)-1]+" says nothing of time", "write "+strconv.Quote(q.String())+", or per s, h or d")
		return ""
	}
	c.per = first(c.per, per)
	return c.per
}

// deviation methods and seasons.
var (
	methods = [...]string{"mad", "zscore", "baseline"}
	seasons = [...]string{"none", "hour", "weekday", "hour_of_week"}
)

func (c *compiler) deviation(path []string, def *Condition, r *rule, out *condition) {
	at, d, m := join(path, "deviates"), def.Deviates, r.metric
	if m.kind != Number {
		c.fail(at, "deviates wants a number, and "+m.name+" is a "+m.kind.String(), `give [metric.`+m.name+`] type = "number"`)
		return
	}
	v := &deviates{method: first(d.Method, "mad"), season: d.Season, baseline: 7 * 24 * time.Hour}
	if !slices.Contains(methods[:], v.method) {
		c.fail(join(at, "method"), "method "+strconv.Quote(d.Method)+" is unknown", didYouMean(d.Method, methods[:]))
	}
	if v.season == "none" {
		v.season = ""
	} else if v.season != "" && !slices.Contains(seasons[:], v.season) {
		c.fail(join(at, "season"), "season "+strconv.Quote(d.Season)+" is unknown", didYouMean(d.Season, seasons[:]))
	}
	if d.Baseline != nil && c.span(join(at, "baseline"), *d.Baseline, longestWindow) {
		v.baseline = time.Duration(*d.Baseline)
	}
	v.minHistory = min(24*time.Hour, v.baseline)
	if d.MinHistory != nil {
		v.minHistory = time.Duration(*d.MinHistory)
		if v.minHistory > v.baseline {
			c.fail(join(at, "min_history"), "min_history ("+written(v.minHistory)+") is longer than the baseline ("+written(v.baseline)+"), so nothing is ever known", "write a shorter one", join(at, "baseline"))
		}
	}
	if !(d.By > 0) || math.IsInf(d.By, 0) {
		c.fail(join(at, "by"), "by is not a distance", "write how many deviations from normal are too far, such as 5.0", join(at, "by"))
		return
	}
	g := gauge{source: deviation, metric: m, deviates: v}
	s := &scale{name: "the deviation of " + m.name, bare: true}
	out.kind, out.gauge = Number, r.gauge(g)
	r.reduced(s)
	with := *def
	with.Above = &Quantity{Value: d.By}
	c.limit(at[:len(at)-1], "deviates", *with.Above, &with, s, out)
	out.tell(r.words(&g))
}

// truly makes out a condition that is true when its gauge is.
func (r *rule) truly(g gauge, out *condition, text, clearText string) {
	out.kind, out.op, out.values = Bool, is, []value{{num: 1}}
	out.gauge = r.gauge(g)
	out.text, out.clearText = text, clearText
}

func (c *compiler) change(path []string, def *Condition, r *rule, out *condition) {
	m, ch := r.metric, &change{}
	key := def.fire()[0].name
	at := join(path, key)
	text := "changed"
	scalar := func(key string, s *Scalar) *value {
		if s == nil {
			return nil
		}
		v, ok := c.scalar(join(path, key), key, *s, m)
		if !ok {
			return nil
		}
		out.threshold, out.limit = m.show(v), m.kind.public(v)
		text += " " + key + " " + m.show(v)
		return &v
	}
	switch key {
	case "changed":
		if ch.any = *def.Changed; !ch.any {
			c.fail(at, "changed = false asks for nothing", `write flat = { for = "6h", within = 0 } for a value that does not change`)
		}
	case "from", "to":
		ch.from, ch.to = scalar("from", def.From), scalar("to", def.To)
		if ch.from != nil && ch.to != nil && *ch.from == *ch.to {
			c.fail(at, "from and to are the same value", "name two values")
		}
	default:
		c.step(at, key, def, m, ch, out)
		text = strings.ReplaceAll(key, "_", " ") + " " + out.threshold + " or more"
	}
	if def.Hold == nil {
		c.fail(path, "a change is over at once, and nothing says how long it is an alarm", `write hold = "5m": the alarm ends that long after the change`, join(path, "hold"))
	} else if c.span(join(path, "hold"), *def.Hold, longestWindow) {
		ch.hold = time.Duration(*def.Hold)
	}
	r.truly(gauge{source: changed, metric: m, change: ch}, out, text, "not "+text+" within "+written(ch.hold))
	out.measured = m.unit
}

func (c *compiler) step(at []string, key string, def *Condition, m *metric, ch *change, out *condition) {
	if m.kind != Number {
		c.fail(at, key+" wants a number, and "+m.name+" is a "+m.kind.String(), "write changed, from or to")
		return
	}
	q := first(def.IncreasedBy, def.DecreasedBy)
	s := m.amount()
	by, ok := c.quantity(at, *q, s)
	if !ok {
		return
	}
	if by <= 0 {
		c.fail(at, key+" is "+s.write(*q, by), "write a number above zero")
	}
	out.limit, out.threshold = s.public(*q, by), s.write(*q, by)
	if ch.by = by; key == "decreased_by" {
		ch.by = -by
	}
}

func (c *compiler) silence(path []string, def *Condition, r *rule, out *condition) {
	g := gauge{source: silence, silent: time.Duration(def.Silent.After)}
	text := "silent for three times its interval"
	out.threshold = "auto"
	if def.Silent.After != 0 {
		c.span(join(path, "silent"), def.Silent.After, longestWindow)
		out.threshold = written(g.silent)
		text = "silent for " + out.threshold
	}
	out.limit = out.threshold
	r.truly(g, out, text, "heard again")
	if r.across != "" {
		c.fail(join(path, "silent"), "silence is of one device, and across makes one alarm of many", `make a rule of it, and ask share_firing(that rule) >= 50% in one with across`)
	}
}

func (c *compiler) flat(path []string, def *Condition, r *rule, out *condition) {
	at, m := join(path, "flat"), r.metric
	if m.kind != Number {
		c.fail(at, "flat wants a number, and "+m.name+" is a "+m.kind.String(), `give [metric.`+m.name+`] type = "number"`)
		return
	}
	s := m.amount()
	within, ok := c.quantity(join(at, "within"), def.Flat.Within, s)
	if !c.span(join(at, "for"), def.Flat.For, longestWindow) || !ok {
		return
	}
	if within < 0 {
		c.fail(join(at, "within"), "within is negative", "write how far a live value moves at least, or 0")
	}
	g := gauge{source: flatness, metric: m, within: within}
	hold := written(time.Duration(def.Flat.For))
	out.seconds(time.Duration(def.Flat.For), hold)
	out.kind, out.gauge = Number, r.gauge(g)
	out.text = "flat within " + s.write(def.Flat.Within, within) + " for " + hold
	out.clearText = "moved by more than " + s.write(def.Flat.Within, within)
	out.tell(r.words(&g))
}

// seconds makes d the limit.
func (c *condition) seconds(d time.Duration, text string) {
	c.lo, c.limit, c.clear, c.threshold, c.measured = d.Seconds(), text, text, text, "s"
}

func (c *compiler) invalidity(path []string, def *Condition, r *rule, out *condition) {
	n := c.count(join(path, "invalid"), def.Invalid, 1)
	g := gauge{source: invalidity, metric: r.metric, count: n}
	out.kind, out.gauge = Number, r.gauge(g)
	out.lo, out.limit, out.clear, out.threshold = float64(n.count), n.count, n.count, strconv.Itoa(n.count)
	times := fmt.Sprintf("%d times within %s", n.count, written(n.within))
	if n.count == 1 {
		times = "within " + written(n.within)
	}
	out.text, out.clearText = "invalid "+times, "invalid fewer than "+times
	if n.count == 1 {
		out.clearText = "valid for " + written(n.within)
	}
	out.tell(r.words(&g))
}

func (c *compiler) skew(path []string, def *Condition, r *rule, out *condition) {
	c.span(join(path, "skew"), *def.Skew, longestWindow)
	by := written(time.Duration(*def.Skew))
	out.seconds(time.Duration(*def.Skew), by)
	g := gauge{source: skewness}
	out.kind, out.gauge = Number, r.gauge(g)
	out.text, out.clearText = "clock off by more than "+by, "clock off by "+by+" or less"
	out.tell(r.words(&g))
}
