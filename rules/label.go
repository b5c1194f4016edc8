package rules

import (
	"maps"
	"reflect"
	"slices"
)

// same reports whether a and b are one map. Equal ones that are two cost a
// closer look, and no more.
func same(a, b map[string]string) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// learn takes the labels of a sample: a live one is believed, and a retained
// one, which may be of another time, where nothing else is known.
func (e *Engine) learn(d *device, s *Sample) {
	retained := s.Flags&Retained != 0
	if !retained {
		d.heard = s.Labels
	}
	e.label(d, s.Labels, !retained)
}

// label gives a device labels; fresh ones beat those it has. Rules that look at
// the device now are bound to it. One that no longer does keeps the alarm that
// is under way until it ends, and starts no other.
func (e *Engine) label(d *device, labels map[string]string, fresh bool) {
	news, all := false, len(d.learnt) == 0
	for name, value := range labels {
		if have, known := d.learnt[name]; !known || fresh && have != value {
			news = true
		}
	}
	if !news {
		return
	}
	before := d.selected()
	switch {
	case all:
		d.learnt = labels // shared: a fleet has few different ones
	case fresh:
		d.learnt = merged(d.learnt, labels)
	default:
		d.learnt = merged(labels, d.learnt)
	}
	d.def = labelled(e.program.devices[d.id], d.learnt)
	d.moved = d.moved || len(d.channels) > 0 || d.self != nil
	for _, c := range d.channels {
		e.bindRules(c, e.options.MaxInstances)
	}
	e.leave(d)
	e.bindDevice(d)
	e.vary(d)
	for _, c := range d.all() {
		for _, a := range c.alarms {
			e.heed(a)
			if d.looks(a.rule) && !e.recalling && !slices.Contains(before, a) {
				e.selected = append(e.selected, a)
			}
		}
	}
}

// ask has an alarm judged by what is known, before the step ends: its rule has
// changed.
func (e *Engine) ask(a *instance) {
	if !e.recalling && !slices.Contains(e.recheck, a) {
		e.recheck = append(e.recheck, a)
	}
}

// selected are the alarms of a device whose rules look at it.
func (d *device) selected() []*instance {
	var list []*instance
	for _, c := range d.all() {
		for _, a := range c.alarms {
			if d.looks(a.rule) {
				list = append(list, a)
			}
		}
	}
	return list
}

// vary gives a device's alarms the variants of their rules that its new labels
// select.
func (e *Engine) vary(d *device) {
	for _, c := range d.all() {
		for _, a := range slices.Clone(c.alarms) {
			r := e.program.rules[a.rule.index] // of which a.rule may be a variant
			if !r.varies {
				continue
			}
			v := e.variant(r, d)
			if v == a.rule {
				continue
			}
			was, s := a.standing(), a.state()
			a.rule = v
			a.equip()
			e.attune(a)
			a.restore(&s)
			e.recount(a, was)
			e.ask(a)
		}
	}
}

// looks reports whether a rule that is bound to the device still looks at it.
func (d *device) looks(r *rule) bool { return !d.moved || r.applies(d.id, d.def) }

// heed counts an alarm among those whose rule looks at their device, or not any more.
func (e *Engine) heed(a *instance) {
	now := !a.rule.disabled && a.channel.device.looks(a.rule)
	switch looked := &e.counts[a.rule.index].looked; {
	case now && !a.counted:
		*looked++
	case a.counted && !now:
		*looked--
	}
	a.counted = now
}

// labelled is what a file says of a device, with labels that were learnt: what
// is declared wins.
func labelled(def *DeviceDef, learnt map[string]string) *DeviceDef {
	switch {
	case len(learnt) == 0:
		return def
	case def == nil:
		return &DeviceDef{Labels: learnt}
	}
	with := *def
	with.Labels = merged(learnt, def.Labels)
	return &with
}

// merged has the labels of both; those of the second win.
func merged(first, second map[string]string) map[string]string {
	all := make(map[string]string, len(first)+len(second))
	maps.Copy(all, first)
	maps.Copy(all, second)
	return all
}
