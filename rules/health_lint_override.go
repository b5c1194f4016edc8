package rules

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// idle warns of overrides that are of no device which was heard of. Of one that is
// declared nothing is said: it may be new, or away.
func (l *Linter) idle(r *rule, warn func([]string, string, string)) {
	if len(r.overrides) == 0 {
		return
	}
	devices := l.lookedAt(r)
	for id, def := range l.engine.program.devices {
		if _, heard := devices[id]; !heard && r.applies(id, def) {
			devices[id] = def
		}
	}
	heard := 0
	var labels []string
	for id, def := range devices {
		if l.heard[id] == nil {
			continue
		}
		heard++
		if def != nil && len(labels) < maxSent {
			labels = append(labels, labelPatterns(def.Labels)...)
		}
	}
	if heard == 0 {
		return
	}
	for i := range r.overrides {
		o := &r.overrides[i]
		used := false
		for id, def := range devices {
			if used = o.is(id, def); used {
				break
			}
		}
		if used {
			continue
		}
		fact, remedy, near := fmt.Sprintf("is never used: none of the %d devices that the rule looks at and that were heard of is of it", heard), "correct the key, or wait until such a device reports", ""
		switch {
		case o.rank == len(ranks):
			fact, remedy = "is never used: no device of that id was heard of", "correct the key, or wait until it reports"
			near = nearest(o.key, slices.Sorted(maps.Keys(l.heard)))
		case heard == 1:
			fact = "is never used: the one device that the rule looks at and that was heard of is not of it"
			fallthrough
		default:
			near = nearest(o.key, slices.Sorted(slices.Values(labels)))
		}
		if near != "" {
			remedy = "did you mean " + strconv.Quote(near) + "?"
		}
		warn([]string{"rule", r.id, "override", o.key}, fact, remedy)
	}
}

// lookedAt are the devices that were heard of and that the rule looks at, with what
// is known of them.
func (l *Linter) lookedAt(r *rule) map[string]*DeviceDef {
	devices := map[string]*DeviceDef{}
	for id, h := range l.heard {
		def := l.engine.program.devices[id]
		if len(h.labels) > 0 {
			def = labelled(def, h.labels)
		}
		if r.applies(id, def) && (r.subject != ofGroup || hasValue(&device{def: def}, r.across)) {
			devices[id] = def
		}
	}
	return devices
}
