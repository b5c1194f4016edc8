package rules

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// matches reports whether a pattern of s selects the device. def is nil for a
// device that the file does not describe.
func (s Scope) matches(id string, def *DeviceDef) bool { return s.selects(id, def, false) }

// selects is matches, or, with some, whether the device would be selected with some
// labels beside those that it has.
func (s Scope) selects(id string, def *DeviceDef, some bool) bool {
	for _, pattern := range s {
		kind, rest, _ := strings.Cut(pattern, ":")
		switch kind {
		case "type":
			if def != nil && def.Type == rest {
				return true
			}
			continue
		case "label":
			key, want, _ := strings.Cut(rest, "=")
			have, known := "", false
			if def != nil {
				have, known = def.Labels[key]
			}
			if known && have == want || !known && some {
				return true
			}
			continue
		}
		if pattern == "*" || pattern == id {
			return true
		}
		if ok, err := path.Match(pattern, id); ok && err == nil {
			return true
		}
	}
	return false
}

// ids returns the devices that s names one by one; false if it has a pattern.
func (s Scope) ids() ([]string, bool) {
	pattern := func(p string) bool {
		kind, _, named := strings.Cut(p, ":")
		return strings.ContainsAny(p, `*?[\`) || named && (kind == "type" || kind == "label" || kind == "group")
	}
	return s, len(s) > 0 && !slices.ContainsFunc(s, pattern)
}

// A selector is a scope with the groups it names. Its zero value selects nothing.
type selector struct {
	scope  Scope
	groups map[string][]Scope // by name; every one of the scopes must match
}

func (s selector) matches(id string, def *DeviceDef) bool { return s.selects(id, def, false) }

func (s selector) selects(id string, def *DeviceDef, some bool) bool {
	if s.groups == nil {
		return s.scope.selects(id, def, some)
	}
	for i, pattern := range s.scope {
		name, group := strings.CutPrefix(pattern, "group:")
		if !group && s.scope[i:i+1].selects(id, def, some) {
			return true
		}
		if group && !slices.ContainsFunc(s.groups[name], func(part Scope) bool { return !part.selects(id, def, some) }) {
			return true
		}
	}
	return false
}

// selector resolves the groups of a scope, which c.scope has checked.
func (c *compiler) selector(s Scope) selector {
	out := selector{scope: slices.Clone(s)}
	for _, pattern := range s {
		name, ok := strings.CutPrefix(pattern, "group:")
		def := c.file.Group[name]
		if !ok || def == nil {
			continue
		}
		if out.groups == nil {
			out.groups = map[string][]Scope{}
		}
		parts := []Scope{}
		for _, key := range slices.Sorted(maps.Keys(def.Match)) {
			parts = append(parts, Scope{groupPattern(key, def.Match[key])})
		}
		out.groups[name] = parts
	}
	return out
}

// groupPattern is one line of a group's match as a scope has it.
func groupPattern(key, value string) string {
	switch key {
	case "type":
		return "type:" + value
	case "id":
		return value
	}
	return "label:" + key + "=" + value
}
