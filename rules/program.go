package rules

import (
	"path"
	"slices"
	"strings"
	"time"
)

// A Program is a checked rule file, ready to be run by engines. It is immutable.
type Program struct {
	rules    []*rule // by ascending id
	byID     map[string]*rule
	metrics  map[string]*metric // those that rules use
	devices  map[string]*DeviceDef
	infos    []RuleInfo
	mentions []NotifyRef
}

// A RuleInfo describes a compiled rule to lints, metrics and lists.
type RuleInfo struct {
	ID         string
	Source     string // file:line
	Metric     string
	Revision   string     // hash of the rule as resolved: equal means nothing changed
	Severities []Severity // of its ladder, ascending
	Notify     []NotifyRef
}

// A NotifyRef is a mention of an endpoint in a rule file.
type NotifyRef struct {
	Endpoint string
	Path     []string // the key that mentions it, as in [Problem]
}

// Rules describes every rule, by ascending id. The caller must not change it.
func (p *Program) Rules() []RuleInfo { return p.infos }

// Mentions lists every endpoint the file names, defaults included. The caller
// must not change it.
func (p *Program) Mentions() []NotifyRef { return p.mentions }

// A rule is a [rule.ID] table with everything inherited filled in.
type rule struct {
	index           int // in Program.rules
	id, source      string
	revision        string
	devices, except Scope
	metric          *metric
	rungs           []rung // ascending severity
	title           title
	runbook         string
	labels          map[string]string
}

// A rung is one level of a rule's ladder.
type rung struct {
	condition
	severity  Severity
	hold      time.Duration // for
	clearHold time.Duration // clear_for
	samples   int
	notify    []string
	sentence  string // "temperature above -12 °C for 10m"
	limitFrom string
}

// applies reports whether the rule looks at a device.
func (r *rule) applies(id string, def *DeviceDef) bool {
	return (len(r.devices) == 0 || r.devices.matches(id, def)) && !r.except.matches(id, def)
}

// wakes reports whether v would start something in an alarm that is at rest.
func (r *rule) wakes(v value) bool {
	for i := range r.rungs {
		if r.rungs[i].fires(v) == yes {
			return true
		}
	}
	return false
}

// matches reports whether a pattern of s selects the device. def is nil for a
// device that the file does not describe.
func (s Scope) matches(id string, def *DeviceDef) bool {
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
			if def != nil {
				if have, ok := def.Labels[key]; ok && have == want {
					return true
				}
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
		return strings.ContainsAny(p, `*?[\`) || strings.HasPrefix(p, "type:") || strings.HasPrefix(p, "label:")
	}
	return s, len(s) > 0 && !slices.ContainsFunc(s, pattern)
}
