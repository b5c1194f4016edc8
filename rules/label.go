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
	switch {
	case !news:
		return
	case all:
		d.learnt = labels // shared: a fleet has few different ones
	case fresh:
		d.learnt = merged(d.learnt, labels)
	default:
		d.learnt = merged(labels, d.learnt)
	}
	d.def = labelled(e.program.devices[d.id], d.learnt)
	for _, c := range d.channels {
		d.moved = true
		e.bindRules(c, e.options.MaxInstances)
	}
	e.leave(d)
	e.bindDevice(d)
	e.vary(d)
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
			if v == a.rule || v.disabled && a.rule.disabled {
				continue
			}
			if v.disabled && e.recalling {
				e.drop(a)
				continue
			}
			s := a.state()
			a.rule = v
			a.equip()
			a.restore(&s)
			if !e.recalling {
				e.recheck = append(e.recheck, a)
			}
		}
	}
}

// looks reports whether a rule that is bound to the device still looks at it.
func (d *device) looks(r *rule) bool { return !d.moved || r.applies(d.id, d.def) }

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
