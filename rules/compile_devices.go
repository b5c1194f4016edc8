package rules

import (
	"cmp"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
)

// A declared is a device of the file.
type declared struct {
	id  string
	def *DeviceDef
}

// An inventory finds the declared devices that a scope selects without looking at all
// of them: a file of a hundred thousand rules has as many devices.
type inventory struct {
	all     []declared         // by ascending id
	of      map[string][]int32 // in all, by a pattern of a type or a label
	names   *names             // ids
	labels  func() *names      // patterns of labels
	labeled map[string]bool    // names of labels
	kinds   map[string]string  // what precedes the first colon of an id → such an id
}

func newInventory(devices map[string]*DeviceDef) *inventory {
	v := &inventory{of: map[string][]int32{}, labeled: map[string]bool{}, kinds: map[string]string{}, names: namesOf(devices)}
	for i, id := range v.names.sorted {
		def := devices[id]
		v.all = append(v.all, declared{id, def})
		add := func(pattern string) { v.of[pattern] = append(v.of[pattern], int32(i)) } // #nosec G115 -- a file has fewer devices
		add("type:" + def.Type)
		for name := range def.Labels {
			v.labeled[name] = true
		}
		for _, pattern := range labelPatterns(def.Labels) {
			add(pattern)
		}
		if kind, _, colon := strings.Cut(id, ":"); colon && v.kinds[kind] == "" {
			v.kinds[kind] = id
		}
	}
	v.labels = sync.OnceValue(func() *names {
		list := map[string]bool{}
		for _, d := range v.all {
			for _, pattern := range labelPatterns(d.def.Labels) {
				list[pattern] = true
			}
		}
		return namesOf(list)
	})
	return v
}

// candidates are the devices that s can select, by ascending id: all that it does, and
// some that it does not.
func (v *inventory) candidates(s selector) iter.Seq2[string, *DeviceDef] {
	var list []int32
	for _, pattern := range s.scope {
		found, few := v.pattern(s, pattern)
		if !few {
			return v.each
		}
		list = append(list, found...)
	}
	slices.Sort(list)
	return func(yield func(string, *DeviceDef) bool) {
		for _, i := range slices.Compact(list) {
			if !yield(v.all[i].id, v.all[i].def) {
				return
			}
		}
	}
}

func (v *inventory) each(yield func(string, *DeviceDef) bool) {
	for _, d := range v.all {
		if !yield(d.id, d.def) {
			return
		}
	}
}

// pattern lists the devices that one pattern of s can select; false if that may be
// any.
func (v *inventory) pattern(s selector, pattern string) ([]int32, bool) {
	switch kind, rest, _ := strings.Cut(pattern, ":"); {
	case kind == "group" && s.groups[rest] != nil: // every part of it must match: the rarest says most
		var least []int32
		few := false
		for _, part := range s.groups[rest] {
			if found, ok := v.pattern(selector{}, part[0]); ok && (!few || len(found) < len(least)) {
				least, few = found, true
			}
		}
		return least, few
	case kind == "type" || kind == "label":
		return v.of[pattern], true
	}
	return v.prefixed(pattern)
}

// prefixed lists the devices whose ids begin as a glob does; false if it begins with
// anything.
func (v *inventory) prefixed(glob string) (list []int32, few bool) {
	prefix := glob
	if i := strings.IndexAny(glob, `*?[\`); i >= 0 {
		prefix = glob[:i]
	}
	if prefix == "" {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(v.all, prefix, func(d declared, prefix string) int { return cmp.Compare(d.id, prefix) })
	for ; i < len(v.all) && strings.HasPrefix(v.all[i].id, prefix); i++ {
		if prefix == glob && v.all[i].id != glob {
			break
		}
		list = append(list, int32(i)) // #nosec G115 -- a file has fewer devices
	}
	return list, true
}

// declared yields the declared devices that a rule looks at, in a stable order.
func (c *compiler) declared(r *rule) iter.Seq2[string, *DeviceDef] {
	v := c.devices
	list := v.each
	if len(r.devices.scope) > 0 {
		list = v.candidates(r.devices)
	}
	return func(yield func(string, *DeviceDef) bool) {
		for id, def := range list {
			if r.applies(id, def) && !yield(id, def) {
				return
			}
		}
	}
}

// selects reports whether a pattern selects a declared device.
func (c *compiler) selects(pattern string) bool {
	s := c.selector(Scope{pattern})
	for id, def := range c.devices.candidates(s) {
		if s.matches(id, def) {
			return true
		}
	}
	return false
}

// ruleCalled reports whether a glob is of a rule.
func (c *compiler) ruleCalled(glob string) bool {
	if _, ok := c.index[glob]; ok {
		return true
	}
	return slices.ContainsFunc(c.ids, func(id string) bool { ok, _ := path.Match(glob, id); return ok })
}
