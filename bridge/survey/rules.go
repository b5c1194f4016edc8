package survey

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// rules writes the file of rules.
func (w *writing) rules() string {
	var b strings.Builder
	maps.DeleteFunc(w.metrics, func(name string, _ *summary) bool { return strings.TrimSpace(name) == "" }) // no table has such a name
	list := slices.SortedFunc(maps.Values(w.metrics), func(a, c *summary) int {
		return cmp.Or(cmp.Compare(c.devices, a.devices), strings.Compare(a.name, c.name))
	})
	b.WriteString(`# What was seen, and rules to begin with. Lines that begin with # and no space are
# suggestions: none of them would have fired on what was seen. tocsin test runs
# what stands at the end of this file.

schema = 1

# ---- what is measured --------------------------------------------------------

`)
	for i, m := range list {
		if i == maxShown {
			fmt.Fprintf(&b, "# and %s\n\n", plural(len(list)-i, "other metric"))
			break
		}
		m.write(&b)
	}
	if w.more {
		b.WriteString("# Not all metrics are here: some topics have more than are looked at.\n\n")
	}
	w.silence(&b, list)
	w.limits(&b, list)
	w.test(&b, list)
	return b.String()
}

// numeric reports whether a metric is a number wherever it is something.
func (m *summary) numeric() bool { return m.numbers > 0 && m.bools+m.texts == 0 }

// likely is the unit that a metric has, where that came from, and what it is.
func (m *summary) likely() (unit, why string, q *quantity) {
	q = quantityOf(m.name)
	switch {
	case m.units || !m.numeric():
		return "", "", q
	case m.unit != "":
		return m.unit, "the payload says so", q
	case q == nil || q.unit == "" || m.min < q.low || m.max > q.high:
		return "", "", q
	}
	return q.unit, "by its name: correct it if it is another", q
}

// write writes what a metric is.
func (m *summary) write(b *strings.Builder) {
	fmt.Fprintf(b, "# %s of %s", plural(m.readings(), "reading"), plural(m.devices, "sender"))
	if m.invalid > 0 {
		fmt.Fprintf(b, ", %d of them not a value", m.invalid)
	}
	table := func() { fmt.Fprintf(b, "\n[metric.%s]\n", key(m.name)) }
	switch {
	case m.numeric():
		low, high := m.quantile(0.01), m.quantile(0.99)
		fmt.Fprintf(b, ": %s to %s, nearly all from %s to %s", number(m.min), number(m.max), number(low), number(high))
		table()
		if unit, why, _ := m.likely(); unit != "" {
			fmt.Fprintf(b, "unit  = %s   # %s\n", Quote(unit), why)
			if unit == "%" && m.min >= 0 && m.max <= 100 {
				b.WriteString("range = [0, 100]\n")
			}
		}
	case m.bools > 0 && m.numbers+m.texts == 0:
		table()
		b.WriteString("type = \"bool\"\n")
	case m.texts > 0 && m.numbers+m.bools == 0:
		shown := make([]string, 0, 5)
		for _, word := range m.words[:min(len(m.words), 5)] {
			shown = append(shown, comment(word))
		}
		if len(m.words) > len(shown) {
			shown = append(shown, "…")
		}
		fmt.Fprintf(b, ": %s", strings.Join(shown, ", "))
		table()
		b.WriteString("type = \"text\"\n")
	default:
		fmt.Fprintf(b, " as %s: numbers, booleans and texts, so that nothing is said of it\n", comment(m.name))
	}
	b.WriteByte('\n')
}

// quantile is about how large the given share of the readings is at most.
func (m *summary) quantile(share float64) float64 {
	values := slices.Sorted(slices.Values(m.values))
	return values[min(int(share*float64(len(values))), len(values)-1)]
}

// silence writes the one rule that every fleet wants.
func (w *writing) silence(b *strings.Builder, list []*summary) {
	b.WriteString("# ---- what is an alarm ----------------------------------------------------------\n\n")
	if len(list) == 0 {
		b.WriteString("# No reading was seen, so there is nothing to judge yet.\n")
		return
	}
	b.WriteString("# A device is missed after three of its intervals, which are learned, and 2 minutes\n# at least.")
	for i := range w.Found {
		if src := &w.Found[i]; src.Every != "" {
			fmt.Fprintf(b, " In %s there was a message each %s.", src.Name, src.Every)
			break
		}
	}
	b.WriteString("\n[rule.device-silent]\nsilent   = \"auto\"\nseverity = \"warning\"\n\n")
}

// limits suggests some, well outside of what was seen.
func (w *writing) limits(b *strings.Builder, list []*summary) {
	type candidate struct {
		m    *summary
		unit string
		q    *quantity
	}
	var known, other []candidate
	for _, m := range list {
		if !m.numeric() || math.Abs(m.min) > 1e12 || math.Abs(m.max) > 1e12 {
			continue
		}
		unit, _, q := m.likely()
		switch {
		case q != nil && q.limit != neither && len(q.names) > 0:
			known = append(known, candidate{m, unit, q})
		case q == nil && m.numbers >= 10 && m.max > m.min:
			other = append(other, candidate{m, unit, &quantity{}})
		}
	}
	names := map[string]bool{"device-silent": true}
	for i, c := range append(known, other...) {
		if i == maxLimits {
			break
		}
		c.m.limit(b, c.unit, c.q.limit, names)
	}
}

// limit suggests limits for one metric.
func (m *summary) limit(b *strings.Builder, unit string, where side, names map[string]bool) {
	// A few readings have a small span: what is usual is wider.
	span := max(m.max-m.min, max(math.Abs(m.max), math.Abs(m.min))/5)
	if span == 0 {
		span = 1
	}
	write := func(what, limitKey string, limit, clear float64) {
		name := slug(m.name) + "-" + what
		for names[name] {
			name += "-2"
		}
		names[name] = true
		fmt.Fprintf(b, "# seen: %s to %s, nearly all from %s to %s\n", number(m.min), number(m.max), number(m.quantile(0.01)), number(m.quantile(0.99)))
		fmt.Fprintf(b, "#[rule.%s]\n#metric = %s\n#%s  = %s\n#clear  = %s\n#for    = \"5m\"\n\n", key(name), Quote(m.name), limitKey, amount(limit, unit), amount(clear, unit))
	}
	share := unit == "%" && m.min >= 0 && m.max <= 100
	if limit := round(m.max+span/4, span, true); where != below && !(share && limit >= 100) {
		write("high", "above", limit, round(m.max+span/10, span, true))
	}
	limit, clear := round(m.min-span/4, span, false), round(m.min-span/10, span, false)
	if where == below && share && m.min > 20 {
		limit, clear = 20, 25
	}
	if where != above && !(share && limit <= 0) {
		write("low", "below", limit, clear)
	}
}

// amount is a number with its unit.
func amount(v float64, unit string) string {
	if unit == "" {
		return number(v)
	}
	return Quote(number(v) + " " + unit)
}

// test writes a test of what the rules do.
func (w *writing) test(b *strings.Builder, list []*summary) {
	if len(list) == 0 {
		return
	}
	metric, value := list[0], "1"
	for _, m := range list {
		if m.numeric() {
			metric, value = m, number(m.min)
			break
		}
	}
	if !metric.numeric() {
		value = map[bool]string{true: "true", false: "x"}[metric.bools > 0]
	}
	fmt.Fprintf(b, `# ---- tests: tocsin test ----------------------------------------------------------

[test."a device that is heard no more is missed"]
rule   = "device-silent"
device = %s
metric = %s
values = "%sx10"   # one a minute
until  = "20m"
expect = [{ at = "12m", event = "fired" }]
`, Quote(cmp.Or(w.device, "device-1")), Quote(metric.name), value)
}

// key writes a name as a key of TOML.
func key(name string) string {
	for i := range len(name) {
		if c := name[i]; !(c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return quoted(name)
		}
	}
	return name
}
