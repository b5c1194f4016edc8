package rules

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// An override is a [rule.ID.override.KEY] table.
type override struct {
	key     string
	def     *OverrideDef
	rank    int // of its kind of key: type, group, label, device
	matches selector
	attrs   []string // attributes it compares with
}

// ranks are the kinds of keys, by ascending precedence; a device comes last.
var ranks = [...]string{"type", groupRank: "group", labelRank: "label"}

const groupRank, labelRank = 1, 2

// maxFindings bounds what is said of one rule's variants: a file of ten thousand
// devices has as many attributes.
const maxFindings = 20

// whole compiles a rule with its overrides, and all variants that declared
// devices have of it.
func (c *compiler) whole(id string, def *RuleDef) *rule {
	c.origin, c.mentions, c.counted, c.asked = nil, nil, nil, map[int][]string{}
	before := c.errors
	r := c.rule(id, def)
	r.overrides = c.overrides([]string{"rule", id, "override"}, def)
	r.overridden = indexOverrides(r.overrides)
	r.attrs = attributes(&def.Condition)
	for _, level := range def.Level {
		r.attrs = append(r.attrs, attributes(&level.Condition)...)
	}
	slices.Sort(r.attrs)
	r.attrs = slices.Compact(r.attrs)
	r.varies = len(r.overrides) > 0 || len(r.attrs) > 0
	r.switched = slices.ContainsFunc(r.overrides, func(o override) bool { return o.rank == groupRank || o.rank == labelRank })
	if c.errors == before {
		c.lintRule(r, def)
		if r.varies {
			c.vary(r)
		}
	}
	c.asks = append(c.asks, c.asked)
	return r
}

// overrides reads the keys of a rule's overrides, by ascending precedence. Of two
// that are of equal rank the first by name comes last, so that it is the one to
// count where a device that is not declared meets both.
func (c *compiler) overrides(path []string, def *RuleDef) []override {
	var list []override
	for _, key := range slices.Sorted(maps.Keys(def.Override)) {
		kind, _, _ := strings.Cut(key, ":")
		o := override{key: key, def: def.Override[key], rank: slices.Index(ranks[:], kind)}
		at := join(path, key)
		if o.rank < 0 {
			o.rank = len(ranks)
			if key == "" || strings.ContainsAny(key, `*?[\`) {
				c.fail(at, strconv.Quote(key)+" is no device", `name one device, or write "label:name=value", "group:NAME" or "type:NAME"`)
			} else {
				c.scopeKind(at, key)
			}
		} else {
			c.scope(at, Scope{key})
		}
		o.matches = c.selector(Scope{key})
		o.attrs = attributes(&o.def.Condition)
		for _, level := range o.def.Level {
			o.attrs = append(o.attrs, attributes(&level.Condition)...)
		}
		if len(keysOf(o.def)) == 0 && len(o.def.Level) == 0 {
			c.warn(at, "overrides nothing", "write the keys that are different here, or remove it")
		}
		list = append(list, o)
	}
	slices.SortStableFunc(list, func(a, b override) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(b.key, a.key))
	})
	return list
}

// attributes lists the attributes that a condition compares with.
func attributes(c *Condition) []string {
	var list []string
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			if q, ok := v.Interface().(Quantity); ok {
				if q.Attr != "" {
					list = append(list, q.Attr)
				}
				return
			}
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(c))
	return list
}

// vary compiles each override by itself, and each variant that declared devices
// have: what is wrong with them is found before one of them is met.
func (c *compiler) vary(r *rule) {
	r.variants = map[string]*rule{}
	findings, before := 0, c.errors
	report := func(found []Problem) {
		for _, p := range found {
			if findings < maxFindings && !c.said(p) {
				findings++
				c.problems = append(c.problems, p)
				if !p.Warning {
					c.errors++
				}
			}
		}
	}
	for i := range r.overrides {
		v, found := c.make(r, []int{i}, nil, "")
		report(found)
		r.alone = append(r.alone, v)
		for _, asked := range v.asks {
			if !slices.Contains(r.asks, asked) {
				r.asks = append(r.asks, asked)
			}
		}
		c.unused(r, &r.overrides[i])
	}
	if c.errors > before {
		return
	}
	if len(r.attrs) > 0 { // each of thousands of devices may have others
		sub := *c
		sub.problems = nil // they have been found
		r.begun = sub.begin(r.id, r.def)
	}
	for id, def := range c.declared(r) {
		list := r.overriding(id, def)
		report(c.conflicts(r, list, id))
		if c.errors > before && findings >= maxFindings {
			return
		}
		key := r.variantKey(list, def)
		if key == "" || r.variants[key] != nil {
			continue
		}
		v, found := c.make(r, list, def.Attr, key)
		if missing := v.missing(def); missing != "" && !v.disabled {
			found = []Problem{{
				Path: []string{"device", id}, Warning: true,
				Fact:   fmt.Sprintf("has no attribute %s, which rule %q compares with, so that the rule does not look at it", missing, r.id),
				Remedy: fmt.Sprintf("write attr = { %s = … }, or leave the device out of the rule with except", missing),
				Absent: [][]string{{"device", id, "attr"}, {"device", id, "attr", missing}},
			}}
			v.disabled = true
		}
		for i := range found {
			found[i].Fact += " (as it is for " + id + ")"
		}
		report(found)
		r.variants[key] = v
	}
}

// conflicts finds keys that two overrides of equal rank write for one device.
func (c *compiler) conflicts(r *rule, list []int, id string) []Problem {
	var found []Problem
	for i := 1; i < len(list); i++ {
		for j := range i {
			if len(found) >= maxFindings {
				return found
			}
			a, b := &r.overrides[list[j]], &r.overrides[list[i]]
			here, there := a.both(b)
			if a.rank != b.rank || here == nil {
				continue
			}
			table := []string{"rule", r.id, "override"}
			where := ""
			if c.file.Place != nil {
				if at := c.file.Place(join(join(table, b.key), there...)); at != "" {
					where = " at " + at
				}
			}
			found = append(found, Problem{
				Path:   join(join(table, a.key), here...),
				Fact:   fmt.Sprintf("%s is written for %s here, and %s in override %q%s, and neither comes before the other", here[len(here)-1], id, there[len(there)-1], b.key, where),
				Remedy: fmt.Sprintf("write it once, or in override %q, which comes before both", id),
			})
		}
	}
	return found
}

// both is a key that both write, as each writes it; nil for none. Two questions
// are one key.
func (o *override) both(other *override) (here, there []string) {
	theirs := keysOf(other.def)
	for _, key := range keysOf(o.def) {
		if slices.Contains(theirs, key) {
			return []string{key}, []string{key}
		}
	}
	if a, b := o.def.fire(), other.def.fire(); len(a) > 0 && len(b) > 0 {
		return []string{a[0].name}, []string{b[0].name}
	}
	for _, name := range slices.Sorted(maps.Keys(o.def.Level)) {
		level := other.def.Level[name]
		if level == nil {
			continue
		}
		theirs := keysOf(level)
		for _, key := range keysOf(o.def.Level[name]) {
			if slices.Contains(theirs, key) {
				return []string{"level", name, key}, []string{"level", name, key}
			}
		}
	}
	return nil, nil
}

// make compiles a rule with some of its overrides, for a device with the given
// attributes. It says what is wrong, at the override that makes it wrong.
func (c *compiler) make(r *rule, list []int, attrs map[string]Quantity, key string) (*rule, []Problem) {
	sub := *c
	sub.problems, sub.errors, sub.origin, sub.attrs = nil, 0, nil, attrs
	if len(list) == 0 && r.begun != nil {
		v := *r.begun
		v.gauges, v.asks, v.variant = slices.Clip(v.gauges), slices.Clip(v.asks), key
		v.attrs = r.attrs
		sub.finish(&v)
		c.mentions, c.counted = sub.mentions, sub.counted
		return &v, sub.problems
	}
	path := []string{"rule", r.id}
	def := sub.merge(path, r, list)
	if f, _ := def.family(); f.ofDevice() != (r.metric == nil) {
		at := join(path, def.fire()[0].name)
		sub.fail(at, at[len(at)-1]+" asks about another thing than the rule", "make a rule of its own of it, and leave these devices out of this one with except")
		return r, sub.problems
	}
	v := sub.rule(r.id, def)
	v.variant = key
	c.mentions, c.counted = sub.mentions, sub.counted
	for i := range sub.problems {
		if p := &sub.problems[i]; len(list) > 0 && !slices.Contains(p.Path, "override") {
			p.Path, p.Offset, p.Length = r.blame(list, p.Path), 0, 0
			p.Fact = "together with what it leaves to the rule: " + p.Fact
		}
	}
	return v, sub.problems
}

// blame is the override, of those that apply, which makes a key of the rule
// wrong: the last that changes the question, or otherwise the last.
func (r *rule) blame(list []int, path []string) []string {
	blamed, level := list[len(list)-1], ""
	for _, i := range list {
		if len(r.overrides[i].def.fire()) > 0 {
			blamed = i
		}
	}
	if len(path) > 3 && path[2] == "level" {
		for _, i := range list {
			if r.overrides[i].def.Level[path[3]] != nil {
				blamed, level = i, path[3]
			}
		}
	}
	table := []string{"rule", r.id, "override", r.overrides[blamed].key}
	if level != "" {
		table = append(table, "level", level)
	}
	return table
}

// merge lays overrides over a rule, key by key.
func (c *compiler) merge(path []string, r *rule, list []int) *RuleDef {
	out := *r.def
	out.Level = maps.Clone(r.def.Level)
	for _, i := range list {
		o := r.overrides[i].def
		at := join(path, "override", r.overrides[i].key)
		rest := *o
		rest.Condition = Condition{}
		each := func(key string) { c.moved(join(path, key), join(at, key)) }
		out.Condition = o.Condition.over(out.Condition, true, each)
		overlay(&out, &rest, each)
		for name, level := range o.Level {
			below, above := join(path, "level", name), join(at, "level", name)
			if out.Level == nil {
				out.Level = map[string]*LevelDef{}
			}
			base := out.Level[name]
			if base == nil {
				out.Level[name] = level
				c.moved(below, above)
				continue
			}
			merged, rest := *base, *level
			rest.Condition = Condition{}
			each := func(key string) { c.moved(join(below, key), join(above, key)) }
			merged.Condition = level.Condition.over(base.Condition, true, each)
			overlay(&merged, &rest, each)
			out.Level[name] = &merged
		}
	}
	return &out
}

// is reports whether the override is of the device.
func (o *override) is(id string, def *DeviceDef) bool {
	if o.rank == len(ranks) {
		return o.key == id
	}
	return o.matches.matches(id, def)
}

// missing is an attribute that a variant compares with and the device has not.
func (r *rule) missing(def *DeviceDef) string {
	names := r.attrs
	if names == nil {
		names = attributes(&r.def.Condition)
		for _, level := range r.def.Level {
			names = append(names, attributes(&level.Condition)...)
		}
		slices.Sort(names)
	}
	for _, name := range names {
		if def == nil {
			return name
		}
		if _, ok := def.Attr[name]; !ok {
			return name
		}
	}
	return ""
}

// variantKey names what a device with these overrides has of the rule.
func (r *rule) variantKey(list []int, def *DeviceDef) string {
	if len(list) == 0 && len(r.attrs) == 0 {
		return ""
	}
	var b strings.Builder
	attr := func(name string) {
		b.WriteString(" @" + name + "=")
		if def != nil {
			if q, ok := def.Attr[name]; ok {
				b.WriteString(q.String())
			}
		}
	}
	for _, name := range r.attrs {
		attr(name)
	}
	for _, i := range list {
		b.WriteString(" override " + r.overrides[i].key)
		for _, name := range r.overrides[i].attrs {
			attr(name)
		}
	}
	return b.String()[1:]
}

// variant is the rule as it is for one device: with the overrides that apply to
// it, and its attributes. It is r itself where there are none. Declared devices
// have theirs from the start; for any other it is made anew at each call, so that
// who asks for many remembers them by [Program.variantKey].
func (p *Program) variant(r *rule, id string, def *DeviceDef) *rule {
	if !r.varies {
		return r
	}
	list := r.overriding(id, def)
	key := r.variantKey(list, def)
	if key == "" {
		return r
	}
	if v := r.variants[key]; v != nil {
		return v
	}
	var attrs map[string]Quantity
	if def != nil {
		attrs = def.Attr
	}
	for ; ; list = list[len(list)-1:] {
		c := *p.compiler
		c.mentions, c.asked = nil, nil
		v, found := c.make(r, list, attrs, key)
		refused := slices.ContainsFunc(found, func(p Problem) bool { return !p.Warning })
		if refused && len(list) > 1 {
			continue // overrides that do not go together: the one that comes first counts
		}
		if refused || v.missing(def) != "" {
			v.disabled = true
		}
		v.order, v.asks = r.order, r.asks
		v.simplify()
		c.revise(v)
		return v
	}
}

// variantKey names the variant that a device has, without making it: "" is the
// rule itself.
func (p *Program) variantKey(r *rule, id string, def *DeviceDef) string {
	if !r.varies {
		return ""
	}
	return r.variantKey(r.overriding(id, def), def)
}

// arrange orders the rules so that one which asks for another comes after it,
// and refuses those that ask for each other.
func (c *compiler) arrange(p *Program) {
	const visiting = -1
	orders := make([]int, len(p.rules)) // 0 is not visited yet
	var trail []string
	var visit func(i int) int
	visit = func(i int) int {
		if orders[i] != 0 {
			return orders[i]
		}
		orders[i] = visiting
		trail = append(trail, c.ids[i])
		order := 1
		for _, other := range slices.Sorted(slices.Values(p.rules[i].asks)) {
			below := visit(other)
			if below == visiting {
				c.fail(c.asks[i][other], "rules ask for each other in a circle: "+circle(trail[slices.Index(trail, c.ids[other]):]), "let one of them go by readings alone")
				continue
			}
			order = max(order, below+1)
		}
		trail = trail[:len(trail)-1]
		orders[i] = order
		return order
	}
	c.origin = nil
	for i, r := range p.rules {
		r.order = visit(i) - 1
	}
}
