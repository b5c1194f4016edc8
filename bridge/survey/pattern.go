package survey

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A pattern is a set of topics that differ in some levels and are sent the same.
type pattern struct {
	kind   kind
	fixed  []string // by level; "" where it varies, and where varies says so
	varies []bool
	topics []*topic

	device, metric int    // the levels that say them; -1: none
	path           string // of the device in the payload
	fault          string // why nothing can be said of it
}

const (
	// many children of a level are devices or the like, whatever they are called and send.
	many = 16
	// alike is how much what is sent below two levels must be the same, of 1.
	alike = 0.3
)

// patterns groups topics that have their first levels in common.
func patterns(topics []*topic, above pattern) []*pattern {
	depth := len(above.fixed)
	var here, below []*topic
	for _, t := range topics {
		if len(t.levels) == depth {
			here = append(here, t)
		} else {
			below = append(below, t)
		}
	}
	var found []*pattern
	if len(here) > 0 {
		found = append(found, &pattern{fixed: above.fixed, varies: above.varies, topics: here, kind: kindOf(here), device: -1, metric: -1})
	}
	children := map[string][]*topic{}
	for _, t := range below {
		children[t.levels[depth]] = append(children[t.levels[depth]], t)
	}
	next := func(name string, varies bool) pattern {
		return pattern{fixed: append(slices.Clone(above.fixed), name), varies: append(slices.Clone(above.varies), varies)}
	}
	if together(children, depth) {
		return append(found, patterns(below, next("", true))...)
	}
	for _, name := range slices.Sorted(maps.Keys(children)) {
		found = append(found, patterns(children[name], next(name, false))...)
	}
	return found
}

// kindOf is how the messages of several topics are best read.
func kindOf(topics []*topic) kind {
	kinds := map[kind]int{}
	for _, t := range topics {
		for k, n := range t.kinds {
			kinds[k] += n
		}
	}
	return settle(kinds)
}

// together reports whether the values of a level are names of alike things, and
// not different words for what is sent below them.
func together(children map[string][]*topic, depth int) bool {
	if _, empty := children[""]; len(children) < 2 || empty {
		return false
	}
	if len(children) > many {
		return true
	}
	all := map[string]int{} // features, by how many children have them
	features := make([]map[string]bool, 0, len(children))
	leaves := true
	for name, topics := range children {
		f := map[string]bool{}
		for _, t := range topics {
			leaves = leaves && len(t.levels) == depth+1
			t.features(depth+1, f)
		}
		if isChannel(name) && !onlyScalars(topics, depth) {
			return false
		}
		for x := range f {
			all[x]++
		}
		features = append(features, f)
	}
	if leaves && len(all) == 1 && all["0 scalar"] > 0 {
		return true // the metrics of a device, or devices
	}
	least := alike
	if depth == 0 {
		least = 0.6 // the first level is that of an application
	}
	sum := 0.0
	for _, f := range features {
		common := 0
		for x := range f {
			if all[x]*2 > len(children) {
				common++
			}
		}
		sum += float64(common) / float64(len(f))
	}
	return sum/float64(len(features)) >= least && sameKinds(children, depth)
}

// features adds what is sent at a topic: which kind so far below, and its metrics.
func (t *topic) features(depth int, into map[string]bool) {
	k := t.kind()
	switch {
	case k == document || k == records:
		for name := range t.metrics {
			into["metric "+name] = true
		}
	case len(t.levels) == depth:
		into["0 "+string(k)] = true
	default:
		into[string(k)+" "+t.levels[len(t.levels)-1]] = true
	}
}

// sameKinds reports whether no two children have different kinds at one depth
// where both have only one.
func sameKinds(children map[string][]*topic, depth int) bool {
	leaf := map[kind]bool{}
	for _, topics := range children {
		for _, t := range topics {
			if len(t.levels) == depth+1 {
				leaf[t.kind()] = true
			}
		}
	}
	return len(leaf) < 2
}

func onlyScalars(topics []*topic, depth int) bool {
	for _, t := range topics {
		if t.kind() != scalar || len(t.levels) != depth+1 {
			return false
		}
	}
	return true
}

// isChannel reports whether a level says what is sent there, and not by whom.
func isChannel(level string) bool {
	switch strings.ToLower(level) {
	case "telemetry", "tele", "stat", "status", "state", "data", "up", "uplink", "down", "event", "events", "sensor", "lwt", "availability",
		"online", "info", "config", "cmd", "cmnd", "command", "rpc", "log", "logs", "attributes", "measurement", "measurements", "readings", "values", "alarm", "alarms", "result", "set", "get":
		return true
	}
	return false
}

// matches reports whether a topic is of the pattern, as its template will say.
func (p *pattern) matches(t *topic) bool {
	if len(t.levels) != len(p.fixed) {
		return false
	}
	for i, level := range t.levels {
		if !p.varies[i] && p.fixed[i] != level {
			return false
		}
	}
	return true
}

// values are the distinct values of a level.
func (p *pattern) values(level int) map[string]bool {
	values := map[string]bool{}
	for _, t := range p.topics {
		values[t.levels[level]] = true
	}
	return values
}

// assign says which level names the device, and which the metric, of every
// pattern; patterns that are one by that become one.
func assign(list []*pattern) []*pattern {
	slices.SortStableFunc(list, func(a, b *pattern) int { return cmp.Compare(len(b.topics), len(a.topics)) })
	for i := 0; i < len(list); i++ {
		p := list[i]
		if p.kind == unread {
			continue
		}
		p.nameMetric()
		p.nameDevice()
		if p.device < 0 && p.path == "" {
			list = p.widen(list)
			i = slices.Index(list, p) // what it covers may have stood before it
		}
	}
	return list
}

// nameMetric finds the level that names the metric of scalars.
func (p *pattern) nameMetric() {
	if p.kind != scalar {
		return
	}
	best, varying := 0.0, 0
	for i := range p.fixed {
		if !p.varies[i] {
			continue
		}
		varying++
		known, values := 0, p.values(i)
		for v := range values {
			if quantityOf(v) != nil {
				known++
			}
		}
		if share := float64(known) / float64(len(values)); share > best {
			best, p.metric = share, i
		}
	}
	if p.metric < 0 && varying > 1 {
		p.metric = len(p.fixed) - 1 - slices.Index(reversed(p.varies), true)
	}
}

func reversed(list []bool) []bool {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// nameDevice finds the level, or the place in the payload, that names the device.
func (p *pattern) nameDevice() {
	most := 0
	for i := range p.fixed {
		if values := p.values(i); p.varies[i] && i != p.metric && !values[""] && len(values) >= most {
			most, p.device = len(values), i
		}
	}
	if p.kind != document && p.kind != records {
		return
	}
	for _, name := range idNames {
		words, everywhere := map[string]bool{}, true
		for _, t := range p.topics {
			m := t.metrics[name]
			if everywhere = everywhere && m != nil && m.texts > 0 && m.numbers+m.bools+m.invalid == 0 && !m.nameless && m.everywhere(t); !everywhere {
				break
			}
			for _, w := range m.words {
				words[w] = true
			}
		}
		if everywhere && len(words) > most {
			p.device, p.path = -1, "@."+name
			return
		}
	}
}

// everywhere reports whether each message of a topic had the metric, and another
// one. Of a list each record must have them.
func (m *metric) everywhere(t *topic) bool {
	n, others := m.readings(), 0
	for _, other := range t.metrics {
		if other != m {
			others = max(others, other.readings())
		}
	}
	return n == others && n >= t.messages && t.kinds[document]+t.kinds[records] == t.messages
}

func (m *metric) readings() int { return m.numbers + m.bools + m.texts + m.invalid }

var idNames = [...]string{"device", "device_id", "deviceId", "dev_id", "devEUI", "dev_eui", "devEui", "sensor_id", "sensorId", "serial", "mac", "node_id", "nodeId", "uid", "id"}

// widen makes a level of a pattern that nothing names a device in one that does,
// and takes in what it covers then.
func (p *pattern) widen(list []*pattern) []*pattern {
	for _, level := range p.candidates() {
		p.varies[level] = true
		var covered []*pattern
		fits := true
		for _, q := range list {
			if q == p || !slices.ContainsFunc(q.topics, p.matches) {
				continue
			}
			covered = append(covered, q)
			// What is not taken in whole would be read twice, and nobody is called "".
			fits = fits && q.kind == p.kind && !slices.ContainsFunc(q.topics, func(t *topic) bool { return !p.matches(t) || t.levels[level] == "" })
		}
		if !fits {
			p.varies[level] = false
			continue
		}
		p.fixed[level], p.device = "", level
		for _, q := range covered {
			p.topics = append(p.topics, q.topics...)
		}
		return slices.DeleteFunc(list, func(q *pattern) bool { return slices.Contains(covered, q) })
	}
	p.fault = "nothing in topic or payload can be told to be the device"
	return list
}

// candidates are the fixed levels that may be a device's name, likeliest first.
func (p *pattern) candidates() []int {
	var good, bad []int
	for i := len(p.fixed) - 1; i >= 0; i-- {
		switch {
		case p.varies[i] || p.fixed[i] == "":
		case isChannel(p.fixed[i]) || quantityOf(p.fixed[i]) != nil:
			bad = append(bad, i)
		default:
			good = append(good, i)
		}
	}
	return append(good, bad...)
}
