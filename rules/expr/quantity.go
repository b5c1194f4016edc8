package expr

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// literal reads a literal by itself.
func (c *compiler) literal(n *node) (measure, bool) {
	text := strings.TrimSpace(n.text)
	v, unit, ok := parseQuantity(text)
	if d, isDuration := parseDuration(text); isDuration && (!ok || unit == "d" || strings.ContainsAny(unit, "0123456789")) {
		n.num, n.shown = d.Seconds(), text
		return measure{unit: "s", role: Either}, true
	}
	n.num, n.shown = v, spellQuantity(v, unit)
	if unit == "" {
		return measure{class: constant, role: Either}, true
	}
	return measure{unit: unit, role: Either}, true
}

func spellQuantity(v float64, unit string) string {
	switch unit {
	case "":
		return spellNumber(v)
	case "%":
		return spellNumber(v) + "%"
	}
	if unit[0] == '/' {
		return spellNumber(v) + unit
	}
	return spellNumber(v) + " " + unit
}

// adapt gives the literal n the number that it is in the measure of other.
func (c *compiler) adapt(n, other *node, m measure, as Role) bool {
	m = m.again()
	text := strings.TrimSpace(n.text)
	if m.class == weekday {
		if i := slices.Index(weekdays(), strings.ToLower(text)); i >= 0 {
			n.num, n.shown = float64(i), fmt.Sprintf("%q", weekdays()[i])
			return true
		}
	}
	if m.class == plain && m.unit != "" && !m.rate {
		if perSecond, ok := c.convert(1, "s", m.unit); ok {
			if d, ok := parseDuration(text); ok {
				n.num, n.shown = d.Seconds()*perSecond, text
				return true
			}
		}
	}
	if !isNumber(text) {
		c.fail(n.at, fmt.Sprintf("%s is a text, and %s is a number", c.says(n.at), c.says(other.at)), "write a number, with its unit if it has one")
		return false
	}
	own, _ := c.literal(n)
	switch {
	case own.class == constant:
		return true
	case m.class == constant:
		return true
	case m.class == ratio:
		if share, ok := c.convert(n.num, own.unit, "%"); ok {
			n.num = share / 100
			return true
		}
	case m.class == plain && m.rate:
		return c.adaptRate(n, other, m)
	case m.class == plain && m.unit == "":
		if m.subject != nil {
			m.adopt(measure{unit: own.unit, role: as})
		}
		return true
	case m.class == plain:
		way, ok := c.mapping(own.unit, m.unit)
		switch {
		case ok && way.shifted && as == Either:
			c.ambiguous(n.at, m.unit, own.unit)
			return false
		case ok && as == Absolute:
			n.num, _ = c.convert(n.num, own.unit, m.unit)
			return true
		case ok:
			n.num = way.difference().apply(n.num)
			return true
		}
	}
	c.wrongUnit(n, other, m)
	return false
}

// adaptRate takes "0.5 °C/min" to the metric's unit per second.
func (c *compiler) adaptRate(n, other *node, m measure) bool {
	v, unit, _ := parseQuantity(n.text)
	slash := strings.LastIndexByte(unit, '/')
	if slash < 0 {
		c.fail(n.at, fmt.Sprintf("%s is no rate, and %s is one", c.says(n.at), c.says(other.at)), "say per what time: "+spellQuantity(v, unit+"/min"))
		return false
	}
	of, per := strings.TrimSpace(unit[:slash]), strings.TrimSpace(unit[slash+1:])
	seconds, ok := c.seconds(per)
	if !ok {
		c.fail(n.at, fmt.Sprintf("%q is no time that something happens per", per), "write /s, /min, /h or /d")
		return false
	}
	if m.unit == "" && m.subject != nil && of != "" {
		m.adopt(measure{unit: of})
		m.unit = of
	}
	way, ok := c.mapping(of, m.unit)
	if !ok {
		c.wrongUnit(n, other, m)
		return false
	}
	n.num = way.difference().apply(v) / seconds
	return true
}

// seconds is how long a unit of time is.
func (c *compiler) seconds(unit string) (float64, bool) {
	switch unit {
	case "":
		return 0, false
	case "s":
		return 1, true
	case "d":
		return 86400, true
	}
	v, ok := c.convert(1, unit, "s")
	return v, ok && v > 0
}

func (c *compiler) wrongUnit(n, other *node, m measure) {
	remedy := "write a plain number"
	if m.class == plain && m.name() != "" {
		remedy = "write it in " + m.name()
	}
	c.fail(n.at, fmt.Sprintf("%s does not fit %s, which %s", c.says(n.at), c.says(other.at), m.measured()), remedy)
}

func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// isNumber reports whether a text is a number, with or without a unit.
func isNumber(text string) bool {
	_, _, ok := parseQuantity(text)
	_, isDuration := parseDuration(text)
	return ok || isDuration
}

// parseQuantity reads "-15 °C"; a number alone has no unit.
func parseQuantity(text string) (v float64, unit string, ok bool) {
	text = strings.TrimSpace(text)
	end := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("+-.0123456789", r) })
	if end < 0 {
		end = len(text)
	}
	// An e is an exponent if digits follow it, and may begin a unit otherwise.
	if rest := text[end:]; rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		size := len(rest) - len(strings.TrimLeft(strings.TrimLeft(rest[1:], "+-"), "0123456789"))
		if last := rest[size-1]; last >= '0' && last <= '9' {
			end += size
		}
	}
	v, err := strconv.ParseFloat(text[:end], 64)
	if err != nil || v-v != 0 {
		return 0, "", false
	}
	unit = strings.TrimSpace(text[end:])
	return v, unit, len(unit) <= maxUnit && !strings.ContainsAny(unit, "\n\"\\`'(),")
}

// parseDuration reads "90s", "1h30m" or "7d".
func parseDuration(text string) (time.Duration, bool) {
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, false
	}
	var d time.Duration
	if rest != "" || !hasDays {
		if d, err = time.ParseDuration(rest); err != nil || strings.ContainsAny(rest, "+-") || rest == "0" {
			return 0, false
		}
	}
	whole := time.Duration(n)*24*time.Hour + d
	return whole, whole >= d
}

// spellDuration writes a duration so that it can be read again.
func spellDuration(d time.Duration) string {
	var b strings.Builder
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}} {
		if n := d / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d %= u.size
		}
	}
	if d > 0 || b.Len() == 0 {
		fmt.Fprintf(&b, "%dns", d)
	}
	return b.String()
}

// spellNumber writes a number so that it can be read again.
func spellNumber(v float64) string {
	if abs := max(v, -v); abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
