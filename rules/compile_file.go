package rules

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tables compiles what is no rule.
func (c *compiler) tables(p *Program) {
	f := c.file
	c.attrUnits = map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(f.Device)) {
		def := f.Device[id]
		c.device(id, def)
		p.devices[id] = def
		for name, q := range def.Attr {
			c.attrUnits[name] = first(c.attrUnits[name], q.Unit)
		}
	}
	c.circles(f.Device)
	for _, name := range slices.Sorted(maps.Keys(f.Group)) {
		c.groupDef(name, f.Group[name])
	}
	for _, name := range slices.Sorted(maps.Keys(f.Schedule)) {
		if name == "always" {
			c.fail([]string{"schedule", name}, "is the name for no schedule at all", "give it another name")
		}
		c.schedules[name] = c.schedule(name, f.Schedule[name])
	}
	p.zone = c.zone([]string{"defaults"}, &ScheduleDef{})
	for _, name := range slices.Sorted(maps.Keys(f.Maintenance)) {
		p.upkeep = append(p.upkeep, c.upkeep(name, f.Maintenance[name]))
	}
	p.flood = c.flood(f.Flood)
	p.declared = c.register(f)
	p.maxRate = f.Defaults.MaxRate
	c.rates()
	p.late = 2 * time.Minute
	if late := f.Defaults.Late; late != nil {
		p.late = time.Duration(*late)
		if *late > Duration(24*time.Hour) {
			c.fail([]string{"defaults", "late"}, "late is longer than a day", "what is later than that is of the past: see backfill")
		}
	}
}

func (c *compiler) device(id string, def *DeviceDef) {
	at := []string{"device", id}
	if id == "" {
		c.fail(at, "has no name", "write [device.NAME]")
	}
	if def.Via == id {
		c.fail(join(at, "via"), "a device cannot be its own parent", "name the gateway it is connected to, or remove via")
	}
	if def.Every != nil {
		c.span(join(at, "every"), *def.Every, longest)
	}
	for _, name := range slices.Sorted(maps.Keys(def.Attr)) {
		if q := def.Attr[name]; q.Attr != "" {
			c.fail(join(at, "attr", name), "is the attribute "+q.String()+", and an attribute is a value", `write a number and its unit, such as "-12 °C"`)
		}
	}
}

// circles refuses parents that stand behind one another: each would explain
// the other's silence, and nobody would be told of either.
func (c *compiler) circles(devices map[string]*DeviceDef) {
	done := map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(devices)) {
		var trail []string
		step := map[string]int{} // of this trail
		for ; id != "" && !done[id]; id = devices[id].Via {
			done[id] = true
			step[id] = len(trail)
			if trail = append(trail, id); devices[id] == nil {
				break
			}
		}
		if at, again := step[id]; again && len(trail)-at > 1 && devices[id] != nil {
			c.fail([]string{"device", trail[len(trail)-1], "via"}, "parents stand behind one another in a circle: "+circle(trail[at:]), "leave via out at the device that reaches us by itself")
		}
	}
}

// circle names what is in a circle, and not all of a long one.
func circle(trail []string) string {
	const most = 8
	if len(trail) > most {
		trail = append(slices.Clone(trail[:most-1]), fmt.Sprintf("(%d more)", len(trail)-most+1))
	}
	return strings.Join(append(slices.Clone(trail), trail[0]), " → ")
}

func (c *compiler) groupDef(name string, def *GroupDef) {
	at := []string{"group", name}
	if len(def.Match) == 0 {
		c.fail(at, "matches nothing", `write match = { type = "freezer" }, or the labels its devices have`, join(at, "match"))
	}
	for _, key := range slices.Sorted(maps.Keys(def.Match)) {
		if key == "id" || key == "type" {
			c.scope(join(at, "match", key), Scope{groupPattern(key, def.Match[key])})
		}
	}
}

func (c *compiler) upkeep(name string, def *MaintenanceDef) upkeep {
	at := []string{"maintenance", name}
	c.scope(join(at, "devices"), def.Devices)
	for _, pattern := range def.Rules {
		_, err := path.Match(pattern, "")
		switch {
		case err != nil:
			c.fail(join(at, "rules"), strconv.Quote(pattern)+" is no pattern: a bracket is not closed", "close it")
		case len(c.ids) > 0 && !c.ruleCalled(pattern):
			c.fail(join(at, "rules"), "no rule is called "+strconv.Quote(pattern), c.noRule(pattern), []string{"rule", pattern})
		}
	}
	switch {
	case def.From.IsZero():
		c.fail(at, "does not say when it begins", "write from = 2026-11-12T22:00:00+01:00", join(at, "from"))
	case def.To.IsZero():
		c.fail(at, "does not say when it ends", "write to = 2026-11-13T04:00:00+01:00", join(at, "to"))
	case !def.From.Before(def.To):
		c.fail(join(at, "to"), "ends before it begins", "write a time after from")
	case def.From.Unix() <= 0 || def.To.Unix() > latest:
		c.fail(join(at, "from"), "is not within 1970 and 2200", "write the date it takes place")
	}
	return upkeep{
		name: name, reason: def.Reason, devices: c.selector(def.Devices), rules: slices.Clone(def.Rules),
		from: def.From.UnixNano(), to: def.To.UnixNano(),
	}
}

// flood fills in ISA-18.2's numbers: more than ten alarms in ten minutes are
// more than a person can read, and with fewer than five it is over.
func (c *compiler) flood(def *FloodDef) *floodRule {
	if def == nil {
		return nil
	}
	at := []string{"flood"}
	out := &floodRule{startEvents: 10, startWithin: 10 * time.Minute, stopEvents: 5, stopWithin: 10 * time.Minute, digest: time.Minute}
	for _, r := range []struct {
		key    string
		def    *RateDef
		events *int
		within *time.Duration
	}{{"start", def.Start, &out.startEvents, &out.startWithin}, {"stop", def.Stop, &out.stopEvents, &out.stopWithin}} {
		if r.def == nil {
			continue
		}
		if r.def.Events < 1 || r.def.Events > maxCount {
			c.fail(join(at, r.key, "events"), fmt.Sprintf("events is %d", r.def.Events), fmt.Sprintf("write a number of alarms: 1 to %d", maxCount))
		}
		*r.events = r.def.Events
		if r.def.Within != nil && c.span(join(at, r.key, "within"), *r.def.Within, longestWindow) {
			*r.within = time.Duration(*r.def.Within)
		}
	}
	if out.stopEvents*int(out.startWithin/time.Second) > out.startEvents*int(out.stopWithin/time.Second) {
		c.fail(join(at, "stop"), "a flood ends at a higher rate of alarms than it begins at", "write fewer events for stop than for start")
	}
	if def.Pass == nil {
		out.pass[Critical] = true
	}
	for _, s := range def.Pass {
		out.pass[s] = true
	}
	if def.Digest != nil && c.span(join(at, "digest"), *def.Digest, longestWindow) {
		out.digest = time.Duration(*def.Digest)
	}
	return out
}

func cutLabel(s string) (name string, ok bool) { return strings.CutPrefix(s, "label:") }

func (c *compiler) scope(at []string, s Scope) {
	for _, pattern := range s {
		kind, rest, _ := strings.Cut(pattern, ":")
		label, _, pair := strings.Cut(rest, "=")
		switch {
		case pattern == "":
			c.fail(at, "holds an empty pattern", `write "*" for every device`)
		case kind == "group":
			if c.file.Group[rest] == nil {
				c.fail(at, strconv.Quote(pattern)+" is not declared", c.orDeclare("group", rest, c.groups), []string{"group", rest})
			}
		case kind == "label" && (!pair || label == ""):
			c.fail(at, strconv.Quote(pattern)+" is no label pattern", `write "label:name=value"`)
		case kind == "label":
			c.labelPattern(at, pattern)
		case kind == "type":
			if !c.selects(pattern) {
				c.warn(at, strconv.Quote(pattern)+" selects no declared device", "declare one as [device.NAME], with its type", []string{"device"})
			}
		default:
			if _, err := path.Match(pattern, ""); err != nil {
				c.fail(at, strconv.Quote(pattern)+" is no pattern: a bracket is not closed", `close it, or write \[ for a bracket in a name`)
			}
			c.scopeKind(at, pattern)
		}
	}
}

// orDeclare is the remedy for the name of a table that is not there.
func (c *compiler) orDeclare(table, name string, of *names) string {
	if n := of.nearest(name); n != "" {
		return "did you mean " + strconv.Quote(n) + "?"
	}
	return "declare [" + table + "." + name + "]"
}
