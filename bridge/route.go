package bridge

import (
	"path"
	"slices"
	"strings"

	"tocsin/rules"
)

// A Match selects the events an endpoint is sent when their rule does not name
// endpoints itself. An empty field selects everything that is an alarm's; other
// events, of devices, sources, readings and the configuration, are sent only
// where Types has them. Types and label values may hold the wildcards of
// path.Match, as in "alarm.*".
type Match struct {
	Types    []string
	Severity []rules.Severity  // of alarms
	Labels   map[string]string // of the device or, where it has none, of the rule
}

func (m *Match) selects(ev *rules.Event) bool {
	ofAlarm := strings.HasPrefix(string(ev.Type), "alarm.")
	named := slices.ContainsFunc(m.Types, func(p string) bool { return glob(p, string(ev.Type)) })
	if !named && (!ofAlarm || len(m.Types) > 0) {
		return false
	}
	if ofAlarm && len(m.Severity) > 0 && !slices.Contains(m.Severity, ev.Alarm.Severity) {
		return false
	}
	for name, want := range m.Labels {
		have, ok := ev.Device.Labels[name]
		if !ok {
			have, ok = ev.Rule.Labels[name]
		}
		if !ok || !glob(want, have) {
			return false
		}
	}
	return true
}

// glob reports whether pattern matches; a malformed one matches nothing.
func glob(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return ok && err == nil
}

// route names the endpoints that are told of ev. The caller holds mu.
func (b *Bridge) route(ev *rules.Event) []string { return Route(b.endpoints, ev) }

// synced names the endpoints that are told of all alarms under way after a store
// was lost. The caller holds mu.
func (b *Bridge) synced() []string {
	var names []string
	for i := range b.endpoints {
		if b.endpoints[i].Sync {
			names = append(names, b.endpoints[i].Name)
		}
	}
	return names
}

// Route names the endpoints that are told of ev: those its rule notifies, or else
// each one whose match selects it, in the order of the configuration.
func Route(endpoints []Endpoint, ev *rules.Event) []string {
	if len(ev.Notify) > 0 {
		return ev.Notify
	}
	var names []string
	for i := range endpoints {
		if endpoints[i].Match.selects(ev) {
			names = append(names, endpoints[i].Name)
		}
	}
	return names
}
