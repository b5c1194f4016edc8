package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// behaviour compiles what a rule's alarms do once they are under way, and what
// keeps them from being told.
func (c *compiler) behaviour(path []string, def *RuleDef, r *rule) {
	b := c.file.Defaults.Behaviour
	own := keysOf(&def.Behaviour)
	for _, key := range keysOf(&b) {
		if !slices.Contains(own, key) {
			c.moved(join(path, key), []string{"defaults", key})
		}
	}
	overlay(&b, &def.Behaviour, func(string) {})
	on := func(v *bool) bool { return v != nil && *v }
	r.latch, r.shadow, r.forward = on(b.Latch), on(b.Shadow), on(b.Forward)
	r.disabled = b.Enabled != nil && !*b.Enabled
	if b.Cooldown != nil && c.span(join(path, "cooldown"), *b.Cooldown, longest) {
		r.cooldown = time.Duration(*b.Cooldown)
	}
	if b.StaleAfter != nil && c.span(join(path, "stale_after"), *b.StaleAfter, longest) {
		r.staleAfter = time.Duration(*b.StaleAfter)
	}
	if b.Renotify != nil {
		for _, wait := range *b.Renotify {
			if c.span(join(path, "renotify"), wait, longest) {
				r.renotify = append(r.renotify, time.Duration(wait))
			}
		}
	}
	r.noData = noData(c.word(join(path, "no_data"), b.NoData, "hold", "fire", "resolve"))
	r.retained = retained(c.word(join(path, "retained"), b.Retained, "prime", "use", "ignore"))
	r.backfill = c.word(join(path, "backfill"), b.Backfill, "report", "ignore") == 0
	if b.ExplainBy != "" {
		c.word(join(path, "explain_by"), b.ExplainBy, "via")
		r.explained = true
	}
	c.calendar(path, b.Schedule, r)
	c.unless(path, b.Unless, r)
	c.suppress(path, b.SuppressIf, r)
	c.escalate(path, def, r)
	c.flapping(path, def, r)
	c.renamed(path, def, r)
	if r.forward {
		c.forwards(path, def)
	}
}

// word reads a key that has one of a few words; the first is its default.
func (c *compiler) word(at []string, s string, words ...string) int {
	if s == "" {
		return 0
	}
	i := slices.Index(words, s)
	if i < 0 {
		c.fail(at, at[len(at)-1]+" "+strconv.Quote(s)+" is unknown", didYouMean(s, words))
	}
	return max(i, 0)
}

// forwards refuses what needs an alarm in a rule that has none.
func (c *compiler) forwards(path []string, def *RuleDef) {
	b, t := &def.Behaviour, &def.Timing
	for _, k := range []struct {
		key     string
		present bool
	}{
		{"for", t.For != nil}, {"for_share", t.ForShare != nil}, {"clear_for", t.ClearFor != nil}, {"samples", t.Samples != nil},
		{"clear_samples", t.ClearSamples != nil}, {"repeats", t.Repeats != nil}, {"clear", def.Clear != nil}, {"clear_is", def.ClearIs != nil},
		{"renotify", b.Renotify != nil}, {"latch", b.Latch != nil}, {"cooldown", b.Cooldown != nil}, {"no_data", b.NoData != ""},
		{"level", len(def.Level) > 0}, {"escalate", len(def.Escalate) > 0}, {"flap", def.Flap != nil}, {"across", def.Across != ""},
	} {
		if k.present {
			c.fail(join(path, k.key), k.key+" is about an alarm, and forward = true tells readings instead of alarms", "remove it, or remove forward")
		}
	}
	if f, ok := def.family(); ok && (f == silenceFamily || f == skewFamily) {
		c.fail(join(path, "forward"), "forward tells the reading that matches, and "+def.fire()[0].name+" is about none", "remove forward")
	}
}

func (c *compiler) calendar(path []string, ref *ScheduleRef, r *rule) {
	if ref == nil || ref.Name == "always" && !ref.Not {
		return
	}
	at := join(path, "schedule")
	s := c.schedules[ref.Name]
	if s == nil {
		remedy := c.orDeclare("schedule", ref.Name, c.calendars)
		if strings.Contains(ref.Name, ":") {
			days, hours := "", ref.Name
			if before, after, both := strings.Cut(ref.Name, " "); both {
				days, hours = "days = ["+strconv.Quote(before)+"] and ", strings.TrimSpace(after)
			}
			remedy = "declare the hours under a name, as in [schedule.opening] with " + days + "hours = [" + strconv.Quote(hours) + "], and write schedule = \"opening\""
		}
		c.fail(at, "schedule "+strconv.Quote(ref.Name)+" is not declared", remedy, []string{"schedule", ref.Name})
		return
	}
	r.calendar = &calendar{schedule: s, not: ref.Not, off: s.outside == "off", name: ref.Name}
}

// presences are the words that unless knows.
var presences = [...]string{"online", "offline", "lost", "sleeping"}

// isWord reports whether s is a single word that names no metric.
func (c *compiler) isWord(s string) bool {
	return c.metrics[s] == nil && !strings.ContainsFunc(s, func(x rune) bool { return !unicode.IsLetter(x) && x != '_' && x != '-' })
}

// unless takes words of presence, or one expression.
func (c *compiler) unless(path []string, list Texts, r *rule) {
	at := join(path, "unless")
	var strange []string
	for _, word := range list {
		if !slices.Contains(presences[:], word) {
			strange = append(strange, word)
		}
	}
	switch {
	case len(strange) == 0:
		r.unless = slices.Clone(list)
	case len(list) == 1 && !c.isWord(list[0]):
		if g, ok := c.expression(at, list[0], r); ok {
			r.unlessWhen = r.gauge(g) + 1
		}
	default:
		if _, rule := c.index[strange[0]]; rule {
			c.fail(at, strconv.Quote(strange[0])+" is no presence", "it is a rule: write suppress_if = "+strconv.Quote(strange[0])+" to tell nobody while that one fires")
			return
		}
		c.fail(at, strconv.Quote(strange[0])+" is no presence", didYouMean(strange[0], presences[:])+"; an expression stands alone: unless = \"maintenance_mode\"")
	}
}

func (c *compiler) suppress(path []string, list Texts, r *rule) {
	at := join(path, "suppress_if")
	for _, id := range list {
		i, ok := c.index[id]
		switch {
		case !ok:
			c.fail(at, "suppress_if names no rule "+strconv.Quote(id), c.noRule(id))
		case id == r.id:
			c.fail(at, "suppress_if names the rule itself", "name another rule, one whose alarm explains this one's")
		case c.file.Rule[id].Across != r.def.Across:
			c.fail(at, "suppress_if names the rule "+strconv.Quote(id)+", which is not about the same: one of them makes one alarm of many devices", "name a rule with the same across, or without across as this one")
		case !slices.Contains(r.suppressIf, i):
			r.suppressIf = append(r.suppressIf, i)
			c.ask(r, i, at)
		}
	}
}

// ask notes that r asks whether another rule fires.
func (c *compiler) ask(r *rule, other int, at []string) {
	if other == r.index {
		return
	}
	if !slices.Contains(r.asks, other) {
		r.asks = append(r.asks, other)
	}
	if c.asked == nil {
		c.asked = map[int][]string{}
	}
	if _, ok := c.asked[other]; !ok {
		c.asked[other] = c.written(at)
	}
}

func (c *compiler) escalate(path []string, def *RuleDef, r *rule) {
	base := first(def.Severity, c.file.Defaults.Severity, Warning)
	for _, name := range slices.Sorted(maps.Keys(def.Escalate)) {
		e, at := def.Escalate[name], join(path, "escalate", name)
		out := escalation{name: name, severity: e.Severity, notify: slices.Clone(e.Notify)}
		out.always = c.word(join(at, "unless"), e.Unless, "acked", "never") == 1
		c.note(join(at, "notify"), e.Notify)
		switch {
		case e.After == nil:
			c.fail(at, "escalates, and does not say when", `write after = "30m"`, join(at, "after"))
		case c.span(join(at, "after"), *e.After, longest):
			out.after = time.Duration(*e.After)
		}
		switch {
		case e.Severity == Unset && len(e.Notify) == 0:
			c.fail(at, "escalates to nothing", `write severity = "critical", or notify = ["oncall"]`, join(at, "severity"), join(at, "notify"))
		case e.Severity != Unset && e.Severity <= base:
			c.fail(join(at, "severity"), "escalates to "+e.Severity.String()+", and the rule is "+base.String()+" already", "name a higher severity", join(path, "severity"))
		}
		r.escalation = append(r.escalation, out)
	}
	slices.SortStableFunc(r.escalation, func(a, b escalation) int { return cmp.Compare(a.after, b.after) })
}

func (c *compiler) flapping(path []string, def *RuleDef, r *rule) {
	f, at := def.Flap, join(path, "flap")
	if f == nil {
		return
	}
	out := &flap{changes: f.Changes}
	if f.Changes < 2 || f.Changes > maxCount {
		c.fail(join(at, "changes"), fmt.Sprintf("changes is %d", f.Changes), "write how often the alarm fires and resolves: 2 or more", join(at, "changes"))
	}
	if f.Within == nil {
		c.fail(at, "counts changes, and does not say within what time", `write within = "30m"`, join(at, "within"))
		return
	}
	if c.span(join(at, "within"), *f.Within, longestWindow) {
		out.within = time.Duration(*f.Within)
	}
	out.hold = out.within
	if f.Hold != nil && c.span(join(at, "hold"), *f.Hold, longest) {
		out.hold = time.Duration(*f.Hold)
	}
	r.flap = out
}

func (c *compiler) renamed(path []string, def *RuleDef, r *rule) {
	at := join(path, "renamed_from")
	switch _, exists := c.index[def.RenamedFrom]; {
	case def.RenamedFrom == "":
		return
	case def.RenamedFrom == r.id:
		c.fail(at, "a rule is not renamed from itself", "name its former id, or remove renamed_from")
	case exists:
		c.fail(at, "renamed_from names the rule "+strconv.Quote(def.RenamedFrom)+", which still exists", "remove that rule, or remove renamed_from")
	}
	if first := c.renames[def.RenamedFrom]; first < r.id {
		c.fail(at, "rule "+first+" is renamed from "+strconv.Quote(def.RenamedFrom)+" too", "let one of them follow it")
	}
	r.renamed = def.RenamedFrom
}

// reductions are how many devices become one number.
var reductions = [...]string{"avg", "median", "min", "max", "sum", "count", "spread"}

// group compiles across and what belongs to it. The average is the default of
// reduce, because it is what people mean by the temperature of a room.
func (c *compiler) group(path []string, def *RuleDef, r *rule) {
	g := &def.GroupBy
	f, asks := def.family()
	if g.Fresh != nil && c.span(join(path, "fresh"), *g.Fresh, longest) {
		r.fresh = time.Duration(*g.Fresh)
		if g.Across == "" && f != expressionFamily {
			c.fail(join(path, "fresh"), "fresh has no effect without across or when", "write stale_after for how old a reading may be, or remove it", join(path, "across"), join(path, "when"))
		}
	}
	if g.Across == "" {
		for _, k := range []struct {
			key     string
			present bool
		}{{"reduce", g.Reduce != ""}, {"quorum", g.Quorum != nil}} {
			if k.present {
				c.fail(join(path, k.key), k.key+" has no effect without across", `write across = "label:room" for one alarm of many devices`, join(path, "across"))
			}
		}
		return
	}
	name, label := cutLabel(g.Across)
	switch r.across = name; {
	case g.Across == "type" || g.Across == "via":
	case !label || name == "":
		c.fail(join(path, "across"), "across "+strconv.Quote(g.Across)+" is unknown", `write "label:room", "type" or "via"`)
	case name == "type" || name == "via":
		c.fail(join(path, "across"), "a label called "+name+" cannot be told from a device's "+name, "give the label another name")
	}
	r.reduce = first(g.Reduce, "avg")
	c.word(join(path, "reduce"), g.Reduce, reductions[:]...)
	if f == expressionFamily && asks {
		if g.Reduce != "" {
			c.fail(join(path, "reduce"), "reduce has no effect with when", "an expression across devices asks for share_firing or count_firing: remove reduce")
		}
		r.reduce = ""
	}
	if asks && (f == valueFamily || f == changeFamily) {
		c.fail(join(path, "across"), "across makes one number of many devices, and "+def.fire()[0].name+" is about none", "make a rule of it, and ask share_firing(that rule) >= 50% in one with across")
	}
	if q := g.Quorum; q != nil {
		at := join(path, "quorum")
		switch u, _ := findUnit(q.Unit); {
		case u.name == "%":
			r.quorum, r.quorumShare = 100*c.share(at, *q), true
		case q.Unit != "" || q.Attr != "" || q.Value < 1 || q.Value != float64(int(q.Value)):
			c.fail(at, "quorum ("+q.String()+") is neither a share nor a number of devices", `write "60%", or a whole number of 1 or more`)
		default:
			r.quorum = q.Value
		}
	}
}
