package rules

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// over refuses an alarm of a moment that nothing would end.
func (c *compiler) over(path []string, g *rung, r *rule, ok bool) {
	if !ok || r.forward || r.metric == nil || !r.metric.event || r.subject != ofMetric || g.repeats != nil || r.gauges[g.gauge].source != newest {
		return
	}
	c.fail(path, r.metric.name+` is of kind "event": it is over at once, and nothing says how long it is an alarm`,
		`write hold = "5m", or repeats = { count = 2, within = "5m" }`, join(path, "hold"), join(path, "repeats"), []string{"metric", r.metric.name, "kind"})
}

// ladder compiles the rule's own condition and its levels into rungs.
func (c *compiler) ladder(path []string, def *RuleDef, r *rule) {
	d := &c.file.Defaults
	base := rung{severity: first(def.Severity, d.Severity, Warning)}
	timing := d.Timing
	overlay(&timing, &def.Timing, func(string) {})
	own := keysOf(&def.Timing)
	for _, key := range keysOf(&d.Timing) {
		if !slices.Contains(own, key) {
			c.moved(join(path, key), []string{"defaults", key})
		}
	}
	c.time(path, timing, &base)
	base.notify = def.Notify
	c.note(join(path, "notify"), def.Notify)
	if def.Notify == nil {
		base.notify = d.Notify
	}
	condition, ok := c.condition(path, &def.Condition, r)
	base.condition = condition
	c.over(path, &base, r, ok)
	c.recurs(path, &base, r, ok)
	c.from(path, &def.Condition, &base)
	r.rungs = append(r.rungs, base)

	for _, name := range slices.Sorted(maps.Keys(def.Level)) {
		if up, good := c.level(join(path, "level", name), path, def, name, r, &base, timing, ok); good {
			r.rungs = append(r.rungs, up)
		}
	}
	slices.SortStableFunc(r.rungs, func(a, b rung) int { return int(a.severity) - int(b.severity) })
	for i := range r.rungs {
		r.rungs[i].notify = slices.Clone(r.rungs[i].notify)
		r.rungs[i].describe(r)
		if i > 0 && ok && c.errors == 0 {
			c.order(path, def, &r.rungs[i-1], &r.rungs[i])
		}
	}
}

// level compiles a [rule.ID.level.SEVERITY] table.
func (c *compiler) level(at, path []string, def *RuleDef, name string, r *rule, base *rung, timing Timing, ok bool) (rung, bool) {
	level := def.Level[name]
	up := *base
	up.severity = Unset
	if err := up.severity.UnmarshalText([]byte(name)); err != nil {
		c.fail(at, "level "+strconv.Quote(name)+" is no severity", didYouMean(name, severityNames[1:]))
		return up, false
	}
	if up.severity == base.severity {
		c.fail(at, "level "+name+" has the severity of the rule itself", "give the level another severity, or change severity of the rule",
			join(path, "severity"), []string{"defaults", "severity"})
		return up, false
	}
	written := keysOf(&level.Timing)
	for _, key := range keysOf(&timing) {
		if !slices.Contains(written, key) {
			c.moved(join(at, key), join(path, key))
		}
	}
	overlay(&timing, &level.Timing, func(string) {})
	c.time(at, timing, &up)
	c.note(join(at, "notify"), level.Notify)
	if level.Notify != nil {
		up.notify = level.Notify
	}
	own := keysOf(&level.Condition)
	if len(own) == 0 {
		c.recurs(at, &up, r, ok)
		return up, true
	}
	if fire := level.fire(); len(fire) == 0 && !ok {
		return up, true // the rule's own question is not known, which has been said
	} else if f, _ := def.family(); len(fire) > 0 && len(def.fire()) > 0 && fire[0].family.ofDevice() != f.ofDevice() {
		c.fail(join(at, fire[0].name), fire[0].name+" and "+def.fire()[0].name+" are about different things, and a level is the same alarm at another severity",
			"make a rule of its own of it")
		return up, false
	}
	merged := level.Condition.over(def.Condition, false, func(string) {})
	for _, key := range keysOf(&merged) {
		if !slices.Contains(own, key) {
			c.moved(join(at, key), join(path, key))
		}
	}
	up.condition, ok = c.condition(at, &merged, r)
	c.recurs(at, &up, r, ok)
	c.from(at, &merged, &up)
	return up, true
}

// from remembers where a limit comes from: in words for the event, and as a line
// of a file.
func (c *compiler) from(path []string, def *Condition, g *rung) {
	fire := def.fire()
	if len(fire) == 0 {
		g.limitFrom = "rule " + path[1]
		return
	}
	at := c.written(join(path, fire[0].name))
	var words []string
	for i := 2; i+1 < len(at)-1; i += 2 {
		words = append(words, at[i]+" "+at[i+1]) // override freezer-07, level critical
	}
	g.limitFrom = strings.Join(words, " ")
	if len(words) == 0 {
		g.limitFrom = "rule " + path[1]
	}
	if name := def.attrOf(fire[0].name); name != "" {
		g.limitFrom += " (@" + name + ")"
	}
	if c.file.Place != nil {
		g.limitAt = c.file.Place(at)
	}
}

// attrOf is the attribute that a fire key compares with, "" for none.
func (c *Condition) attrOf(key string) string {
	q, span := c.limits(key)
	switch {
	case q != nil:
		return q.Attr
	case span != nil && span.High != nil:
		return first(span.Low.Attr, span.High.Attr)
	}
	return ""
}

// order warns of a rung that a more severe one leaves nothing to do.
func (c *compiler) order(path []string, def *RuleDef, low, high *rung) {
	at := join(path, "level", high.severity.String())
	if _, written := def.Level[high.severity.String()]; !written {
		at = path
	}
	absent := [][]string{{"defaults", "for"}, {"defaults", "samples"}}
	for _, table := range [][]string{path, join(path, "level", low.severity.String()), join(path, "level", high.severity.String())} {
		absent = append(absent, append(firePaths(table), join(table, "for"), join(table, "samples"))...)
	}
	comparable := low.gauge == high.gauge && low.kind == Number && low.op.isLimit() && high.op.isLimit()
	switch {
	case comparable && (low.op.upward() && high.op.upward() && high.lo < low.lo || low.op.downward() && high.op.downward() && high.lo > low.lo):
		c.warn(at, fmt.Sprintf("levels are out of order: %s (%s) is reached before %s (%s)", high.severity, high.text, low.severity, low.text),
			"give the more severe level the limit that is further away", absent...)
	case low.text == high.text && high.hold <= low.hold && high.samples <= low.samples && high.share <= low.share && high.rarer() <= low.rarer():
		c.warn(at, fmt.Sprintf("%s (%s) never begins after %s", high.severity, high.sentence, low.severity),
			"give the more severe level a limit that is further away, or a longer for", absent...)
	}
}

// rarer is how often a rung's condition must come true.
func (r *rung) rarer() int {
	if r.repeats == nil {
		return 1
	}
	return r.repeats.count
}

// time compiles the timing of a rung.
func (c *compiler) time(path []string, t Timing, r *rung) {
	for _, d := range []struct {
		key   string
		value *Duration
		to    *time.Duration
	}{{"for", t.For, &r.hold}, {"clear_for", t.ClearFor, &r.clearHold}} {
		switch {
		case d.value == nil:
			continue
		case *d.value < 0:
			c.fail(join(path, d.key), d.key+" is negative", `write a duration such as "10m"`)
		case *d.value > longest:
			c.fail(join(path, d.key), d.key+" is longer than ten years", `write a shorter duration, such as "10m"`)
		}
		*d.to = time.Duration(*d.value)
	}
	r.samples, r.clearSamples = 1, 1
	for _, n := range []struct {
		key   string
		value *int
		to    *int
	}{{"samples", t.Samples, &r.samples}, {"clear_samples", t.ClearSamples, &r.clearSamples}} {
		if n.value == nil {
			continue
		}
		if *n.value < 1 || *n.value > maxCount {
			c.fail(join(path, n.key), fmt.Sprintf("%s is %d", n.key, *n.value), fmt.Sprintf("write how many samples in a row must hold: 1 to %d", maxCount))
		}
		*n.to = *n.value
	}
	if t.ForShare != nil {
		r.share = c.share(join(path, "for_share"), *t.ForShare)
		if r.hold == 0 {
			c.fail(join(path, "for_share"), "for_share is a part of for, and for is not written", `write for = "10m" too, or remove for_share`, join(path, "for"), []string{"defaults", "for"})
		}
		if r.share == 1 {
			r.share = 0 // all of it is what for asks
		}
		if r.hold > time.Duration(longestWindow) {
			c.fail(join(path, "for"), "for is longer than "+written(time.Duration(longestWindow))+", and for_share must remember all of it", "write a shorter for", join(path, "for"))
		}
	}
	r.repeats = nil
	if t.Repeats != nil {
		r.repeats = c.count(join(path, "repeats"), t.Repeats, 2)
	}
}

// share reads "80%" as 0.8; below 0, or 0 itself, is refused.
func (c *compiler) share(at []string, q Quantity) float64 {
	u, _ := findUnit(q.Unit)
	if q.Attr != "" || u.name != "%" || !(q.Value > 0) || q.Value > 100 {
		c.fail(at, at[len(at)-1]+" ("+q.String()+") is no share", `write a share such as "80%"`)
	}
	return q.Value / 100
}

// describe puts what a rung asks into a sentence.
func (r *rung) describe(of *rule) {
	r.sentence = r.text
	if r.metric != "" {
		r.sentence = r.metric + " " + r.text
	}
	switch {
	case r.share > 0:
		r.sentence += " for " + withUnit(shown(r.share*100), "%") + " of " + written(r.hold)
	case r.hold > 0:
		r.sentence += " for " + written(r.hold)
	}
	if r.samples > 1 {
		r.sentence += fmt.Sprintf(", %d samples in a row", r.samples)
	}
	if n := r.repeats; n != nil {
		r.sentence += fmt.Sprintf(", %d times within %s", n.count, written(n.within))
	}
}

func (c *compiler) title(path []string, def *RuleDef, r *rule) {
	text := def.Title
	if text == "" {
		text = "{device}: {metric} is {value}"
		switch g := &r.rungs[0]; {
		case r.subject == ofDevice, g.kind == Bool && (r.metric == nil || r.metric.kind != Bool || r.gauges[g.gauge].source == changed):
			text = "{device}: {condition}"
		case len(r.gauges) > 0 && (r.gauges[g.gauge].source == flatness || r.gauges[g.gauge].source == invalidity):
			text = "{device}: {condition}"
		case len(r.gauges) > 0 && r.gauges[g.gauge].source != newest:
			text = "{device}: {condition}, now {value} {unit}"
		case g.op.isLimit():
			text = "{device}: {metric} {value} {unit}, limit {threshold}"
		}
	}
	t, wrong := parseTitle(text)
	at := join(path, "title")
	for _, p := range wrong {
		c.fail(at, p.fact, p.remedy)
	}
	if _, after, ok := strings.Cut(text, "{{"); ok && strings.IndexAny(strings.TrimLeft(after, " -"), "$.") == 0 {
		c.warn(at, "is told as it is written: {{ is a brace, and opens no template", "write {device}, {metric}, {value} or {label.NAME}")
	}
	if m := r.metric; m != nil && t.formatted() && m.kind != Number && m.kind != asCame && r.rungs[0].kind != Number {
		c.fail(at, "asks for decimals of "+m.name+", which is a "+m.kind.String(), "write {value}",
			append(firePaths(path), []string{"metric", m.name, "type"})...)
	}
	for _, part := range t {
		switch part.name {
		case "limit":
			if _, ok := c.index[part.text]; !ok {
				c.fail(at, "{limit:"+part.text+"} names no rule", c.noRule(part.text))
			}
		case "eta":
			if len(r.gauges) == 0 || !slices.ContainsFunc(r.gauges, func(g gauge) bool { return g.source == slope }) {
				c.fail(at, "{eta} needs a rate, and this rule has none", "write rate_above or rate_below with over, or remove {eta}")
				break
			}
			if !slices.ContainsFunc(t, func(p titlePart) bool { return p.name == "limit" }) {
				c.fail(at, "{eta} is the time until a limit is reached, and the title names none", "write {limit:RULE} too, with the rule whose limit is meant")
			}
		}
	}
	r.title = t
}
