package survey

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a proposal shows at most; more is counted.
const (
	maxSources = 200
	maxFaults  = 20
	maxShown   = 100 // metrics
	maxLimits  = 20
)

// A Proposal is what a configuration would say of what was seen.
type Proposal struct {
	Sources string // the [source] tables, with comments
	Rules   string // a file of rules
	Found   []Source
	Faults  []Fault // what cannot be taken, and why
}

// A Source is one proposed source.
type Source struct {
	Name     string `json:"name"`
	Topic    string `json:"topic"`
	Decoder  string `json:"decoder"`
	Topics   int    `json:"topics"`
	Devices  int    `json:"devices"`
	Messages int    `json:"messages"`
	Lost     int    `json:"lost"`            // that its decoder does not read
	Every    string `json:"every,omitempty"` // how often a topic has a message, in the middle
	Longest  string `json:"longest,omitempty"`
}

// A Fault is messages that no source takes.
type Fault struct {
	Topic    string `json:"topic"` // one, or a template
	Topics   int    `json:"topics"`
	Messages int    `json:"messages"`
	Why      string `json:"why"`
}

// A writing is a proposal that is being made.
type writing struct {
	Proposal
	names   map[string]bool
	metrics map[string]*summary
	devices map[string]bool
	device  string // one of them, for the test
	sources strings.Builder
	more    bool // there are metrics that were not looked at
}

// A summary is what all topics say of one metric.
type summary struct {
	metric
	name    string
	devices int
}

// Propose says what was seen. When nothing was, it proposes no source.
func (s *Survey) Propose() *Proposal {
	s.mu.Lock()
	defer s.mu.Unlock()
	topics := slices.SortedFunc(maps.Values(s.topics), func(a, b *topic) int { return strings.Compare(a.name, b.name) })
	list := assign(patterns(topics, pattern{}))
	slices.SortStableFunc(list, func(a, b *pattern) int { return strings.Compare(a.template(), b.template()) })
	w := &writing{names: map[string]bool{}, metrics: map[string]*summary{}, devices: map[string]bool{}}
	for _, p := range list {
		w.pattern(p)
	}
	for _, why := range slices.Sorted(maps.Keys(s.left)) {
		w.Faults = append(w.Faults, Fault{Topic: "…", Messages: s.left[why], Why: why})
	}
	w.Sources = w.sources.String()
	w.Rules = w.rules()
	return &w.Proposal
}

// FaultText is what is not taken, and why, as lines of comment.
func (p *Proposal) FaultText() string {
	var b strings.Builder
	for i, f := range p.Faults {
		if i == maxFaults {
			fmt.Fprintf(&b, "#   and %s more\n", plural(len(p.Faults)-i, "kind"))
			break
		}
		fmt.Fprintf(&b, "#   %s of %s: %s\n", plural(f.Messages, "message"), comment(f.Topic), comment(f.Why))
	}
	return b.String()
}

// pattern writes a source, or says why there is none.
func (w *writing) pattern(p *pattern) {
	messages, lost, why := 0, 0, p.fault
	for _, t := range p.topics {
		messages += t.messages
		lost += t.lost(p.kind)
		why = cmp.Or(why, t.why)
	}
	template := p.template()
	if p.kind == unread || p.fault != "" {
		w.Faults = append(w.Faults, Fault{Topic: template, Topics: len(p.topics), Messages: messages, Why: why})
		return
	}
	if lost > 0 {
		w.Faults = append(w.Faults, Fault{Topic: template, Topics: len(p.topics), Messages: lost, Why: cmp.Or(why, "it is not what the other messages are: "+string(p.kind))})
	}
	if len(w.Found) >= maxSources {
		w.Faults = append(w.Faults, Fault{Topic: template, Topics: len(p.topics), Messages: messages - lost, Why: "there are " + plural(maxSources, "source") + " already, and no more are proposed"})
		return
	}
	src := Source{Name: w.unique(p.name()), Topic: template, Decoder: string(p.kind), Topics: len(p.topics), Messages: messages, Lost: lost}
	if p.kind == records {
		src.Decoder = string(document)
	}
	every, longest := p.rhythm()
	src.Every, src.Longest = spell(every), spell(longest)
	src.Devices = w.count(p)
	w.Found = append(w.Found, src)
	w.source(p, &src)
}

// source writes the table.
func (w *writing) source(p *pattern, src *Source) {
	b := &w.sources
	fmt.Fprintf(b, "# %s, as %s\n", seen(src), comment(p.topics[0].name))
	fmt.Fprintf(b, "[source.%s]\ntopic   = %s\ndecoder = %q\n", src.Name, Quote(src.Topic), src.Decoder)
	if p.kind == records {
		fmt.Fprintf(b, "records = \"$[*]\"\n")
	}
	if p.path != "" {
		fmt.Fprintf(b, "device  = %s\n", Quote(p.path))
	}
	if name := p.metricName(); p.kind == scalar && p.metric < 0 && name != "value" {
		fmt.Fprintf(b, "rename  = { value = %s }\n", Quote(name))
	}
	b.WriteByte('\n')
}

// seen says how much there was of a source.
func seen(src *Source) string {
	s := plural(src.Messages, "message") + " of " + plural(src.Devices, "device")
	if src.Topics != src.Devices {
		s += " in " + plural(src.Topics, "topic")
	}
	if src.Every != "" {
		s += ", one each " + src.Every
		if src.Longest != src.Every && src.Longest != "" {
			s += " (at most " + src.Longest + " apart)"
		}
	}
	return s
}

// rhythm is how often a topic of the pattern has a message: the middle of all, and
// the longest gap of any. Without three messages of one nothing is known.
func (p *pattern) rhythm() (every, longest time.Duration) {
	var all []time.Duration
	for _, t := range p.topics {
		if t.live >= 3 {
			all = append(all, t.last.Sub(t.first)/time.Duration(t.live-1))
			longest = max(longest, t.longest)
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], longest
}

// count adds a pattern's devices and metrics to all, and returns how many devices
// it has.
func (w *writing) count(p *pattern) int {
	devices := map[string]bool{}
	for _, t := range p.topics {
		w.more = w.more || t.more
		device := ""
		if p.device >= 0 {
			device = t.levels[p.device]
			devices[device] = true
		} else if m := t.metrics[strings.TrimPrefix(p.path, "@.")]; m != nil {
			for _, word := range m.words {
				device, devices[word] = word, true
			}
		}
		if w.device == "" {
			w.device = device
		}
		for name, m := range t.metrics {
			if p.path == "@."+name || isTime(name, m) {
				continue
			}
			if p.kind == scalar {
				name = p.metricName()
				if p.metric >= 0 {
					name = t.levels[p.metric]
				}
			}
			w.add(name, m)
		}
	}
	maps.Copy(w.devices, devices)
	return len(devices)
}

// isTime reports whether decoders may take a metric for the time.
func isTime(name string, m *metric) bool {
	return (name == "ts" || name == "time" || name == "timestamp") && (m.numbers == 0 || m.min > 9e8)
}

func (w *writing) add(name string, m *metric) {
	all := w.metrics[name]
	if all == nil {
		all = &summary{name: name}
		w.metrics[name] = all
	}
	if m.numbers > 0 {
		if all.numbers == 0 {
			all.min, all.max = m.min, m.max
		}
		all.min, all.max = min(all.min, m.min), max(all.max, m.max)
	}
	all.devices++
	all.numbers, all.bools, all.texts, all.invalid = all.numbers+m.numbers, all.bools+m.bools, all.texts+m.texts, all.invalid+m.invalid
	all.values = append(all.values, m.values...)
	for _, word := range m.words {
		all.word(word)
	}
	all.units = all.units || m.units || all.unit != "" && m.unit != "" && all.unit != m.unit
	all.unit = cmp.Or(all.unit, m.unit)
}

// template is the pattern as a source's topic.
func (p *pattern) template() string {
	used := map[string]bool{"device": true, "metric": true}
	labels := 0
	levels := make([]string, len(p.fixed))
	for i := range p.fixed {
		switch {
		case !p.varies[i]:
			levels[i] = p.fixed[i]
		case i == p.device:
			levels[i] = "{device}"
		case i == p.metric:
			levels[i] = "{metric}"
		case labels == maxLabels || p.values(i)[""] || p.kind == unread:
			levels[i] = "+"
		default:
			labels++
			levels[i] = "{" + p.label(i, used) + "}"
		}
	}
	return strings.Join(levels, "/")
}

// maxLabels is how many names a topic may have beside {device} and {metric}.
const maxLabels = 8

// label names a level by the one before it, if that is a plural, or else by what
// such levels often are.
func (p *pattern) label(level int, used map[string]bool) string {
	names := []string{"site", "area", "line", "part"}
	if level > 0 && !p.varies[level-1] {
		if stem, ok := strings.CutSuffix(slug(p.fixed[level-1]), "s"); ok && len(stem) > 1 {
			names = slices.Insert(names, 0, stem)
		}
	}
	for _, name := range append(names, "level"+strconv.Itoa(level+1)) {
		if !used[name] {
			used[name] = true
			return name
		}
	}
	return "level-" + strconv.Itoa(level+1)
}

// metricName is what the fixed levels call the metric of a scalar.
func (p *pattern) metricName() string {
	last := "value"
	for i, level := range p.fixed {
		if p.varies[i] || level == "" {
			continue
		}
		if quantityOf(level) != nil || i > p.device {
			last = level
		}
	}
	return last
}

// name is a name for the source: its fixed levels.
func (p *pattern) name() string {
	var parts []string
	for i, level := range p.fixed {
		if part := slug(level); part != "" && !p.varies[i] {
			parts = append(parts, part)
		}
	}
	if len(parts) > 3 {
		parts = append(parts[:2], parts[len(parts)-1])
	}
	return cmp.Or(strings.Join(parts, "-"), "devices")
}

// slug is a text as a name that needs no quotes.
func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			b.WriteRune(r)
		} else if n := b.Len(); n > 0 && b.String()[n-1] != '-' {
			b.WriteByte('-')
		}
		if b.Len() >= 40 {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}

func (w *writing) unique(name string) string {
	whole := name
	for i := 2; w.names[whole]; i++ {
		whole = name + "-" + strconv.Itoa(i)
	}
	w.names[whole] = true
	return whole
}

// spell writes a duration as people do: 10s, 1m30s, 2h.
func spell(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// comment makes what a device sent fit for a line of comment.
func comment(s string) string {
	s = quoted(s)
	s = s[1 : len(s)-1]
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// Quote writes a text as a value, in which a configuration looks for variables.
func Quote(s string) string { return quoted(strings.ReplaceAll(s, "${", "$${")) }

// quoted writes a text as TOML does.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\U%08X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// round rounds a number to what a span of this size is worth, away from zero of
// the span: up for a limit above, down for one below.
func round(v, span float64, up bool) float64 {
	step := math.Pow(10, math.Floor(math.Log10(span))-1)
	if up {
		return clean(math.Ceil(v/step) * step)
	}
	return clean(math.Floor(v/step) * step)
}

// clean takes away what binary fractions add to a decimal.
func clean(v float64) float64 {
	f, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64)
	if err != nil {
		return v
	}
	return f
}

func number(v float64) string {
	if a := math.Abs(v); a != 0 && (a >= 1e15 || a < 1e-6) {
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	return strconv.FormatFloat(clean(v), 'f', -1, 64)
}
