package decode

import (
	"math"
	"strconv"
	"time"

	"tocsin/rules"
)

type clockRule uint8

const (
	clockAuto clockRule = iota
	clockDevice
	clockArrival
)

// A stampFormat is how a time is written: as a date, or as a number of units
// since 1970. 0 is either, told by its looks.
type stampFormat time.Duration

const (
	formatAuto stampFormat = 0
	formatDate stampFormat = -1
)

func parseFormat(s string) (stampFormat, bool) {
	switch s {
	case "", "auto":
		return formatAuto, true
	case "rfc3339":
		return formatDate, true
	case "unix":
		return stampFormat(time.Second), true
	case "unix_ms":
		return stampFormat(time.Millisecond), true
	case "unix_us":
		return stampFormat(time.Microsecond), true
	case "unix_ns":
		return stampFormat(time.Nanosecond), true
	}
	return 0, false
}

// setTime gives the record its event time by the clock rules, and marks the
// place where the document keeps it.
func (r *reading) setTime(doc *document, record int) {
	r.at, r.clock = r.received, rules.ClockArrival
	n := r.findTime(doc, record)
	if n != nil {
		n.taken = true
	}
	if r.d.clock == clockArrival {
		return
	}
	if n == nil || n.kind == 'n' {
		if r.d.clock == clockDevice {
			r.problem(ReasonClock, "device %s sent no time; its arrival counts (clock = \"auto\" accepts that)", quote(r.device))
		}
		return
	}
	at, fault := r.d.stamp(n, r.received)
	if fault == "" && r.d.clock == clockAuto {
		switch ahead := at.Sub(r.received); {
		case ahead > r.d.maxAhead:
			fault = "is " + ahead.Round(time.Second).String() + " ahead of its arrival, more than max_ahead"
		case -ahead > r.d.maxPast:
			fault = "is " + (-ahead).Round(time.Second).String() + " before its arrival, more than max_past"
		}
	}
	if fault != "" {
		r.problem(ReasonClock, "device %s: the time %s %s; its arrival counts", quote(r.device), quote(n.text), fault)
		return
	}
	r.at, r.clock = at, rules.ClockDevice
}

// findTime returns the node of the record's time; nil without one.
func (r *reading) findTime(doc *document, record int) *node {
	if p := r.d.time; p != nil {
		if i, ok := r.find(p, doc, record); ok {
			return &doc.nodes[i]
		}
		return nil
	}
	if record != 0 {
		if i, ok := r.wellKnown(doc, record); ok {
			return &doc.nodes[i]
		}
	}
	if !r.ownTime.done {
		r.ownTime.node, r.ownTime.found = r.wellKnown(doc, 0)
		r.ownTime.done = true
	}
	if r.ownTime.found {
		return &doc.nodes[r.ownTime.node]
	}
	return nil
}

// wellKnown returns the member of an object that goes by a usual name for time
// and looks like one; of several, the one whose name comes first here.
func (r *reading) wellKnown(doc *document, object int) (found int, ok bool) {
	if doc.nodes[object].kind != '{' {
		return 0, false
	}
	const none = 3
	best := none
	for i := object + 1; i < doc.nodes[object].next; i = doc.nodes[i].next {
		n := &doc.nodes[i]
		rank := none
		switch string(n.key) {
		case "ts":
			rank = 0
		case "time":
			rank = 1
		case "timestamp":
			rank = 2
		}
		if rank < best && r.looksLikeTime(n) {
			best, found = rank, i
		}
	}
	return found, best < none
}

func (r *reading) looksLikeTime(n *node) bool {
	switch n.kind {
	case '"':
		if _, _, ok := parseDate(n.text); ok {
			return true
		}
	case '0':
	default:
		return false
	}
	t, ok := unixTime(n.text, r.d.format)
	return ok && t.Year() >= 2000 && t.Year() < 2100
}

// stamp reads the time that a node holds. A fault is the end of a sentence.
func (d *Decoder) stamp(n *node, received time.Time) (t time.Time, fault string) {
	switch n.kind {
	case '"':
		if d.format > 0 {
			break
		}
		if t, zoned, ok := parseDate(n.text); ok {
			switch {
			case zoned:
				return usable(t)
			case d.zone == nil:
				return time.Time{}, "has no zone (send one, or set timezone)"
			}
			return usable(inZone(t, d.zone, received))
		}
	case '0':
	default:
		return time.Time{}, "is neither a string nor a number"
	}
	if d.format == formatDate {
		return time.Time{}, "is not an RFC 3339 time such as 2026-11-06T14:12:10Z"
	}
	t, ok := unixTime(n.text, d.format)
	if !ok {
		return time.Time{}, "cannot be read (set time.format)"
	}
	return usable(t)
}

// usable refuses times that cannot be told from none, and those whose
// nanoseconds do not fit 64 bits, so that nobody behind has to think of them.
func usable(t time.Time) (time.Time, string) {
	if t.Unix() <= 0 || t.Year() >= 2262 {
		return time.Time{}, "is not a time of this age"
	}
	return t, ""
}

// unixTime reads a number, which may be a fraction, of units since 1970. In
// auto its size tells the unit: the four ranges lie a factor of a thousand
// apart, and each covers the years 1973 to 5138.
func unixTime(text []byte, unit stampFormat) (time.Time, bool) {
	n, nanos, ok := parseDecimal(text)
	if !ok {
		return time.Time{}, false
	}
	if unit <= 0 {
		switch {
		case n < 1e11:
			unit = stampFormat(time.Second)
		case n < 1e14:
			unit = stampFormat(time.Millisecond)
		case n < 1e17:
			unit = stampFormat(time.Microsecond)
		default:
			unit = stampFormat(time.Nanosecond)
		}
	}
	if n > math.MaxInt64/int64(unit)-1 {
		return time.Time{}, false
	}
	return time.Unix(0, n*int64(unit)+nanos*int64(unit)/1e9).UTC(), true
}

// parseDecimal reads a number that is not negative: its whole, and its fraction
// in billionths. A float64 would round the digits of a nanosecond away.
func parseDecimal(text []byte) (whole, billionths int64, ok bool) {
	i := 0
	for ; i < len(text) && '0' <= text[i] && text[i] <= '9'; i++ {
		if whole > math.MaxInt64/10-1 {
			return 0, 0, false
		}
		whole = whole*10 + int64(text[i]-'0')
	}
	if i == 0 {
		return 0, 0, false
	}
	if i < len(text) && text[i] == '.' {
		i++
		for scale := int64(1e8); i < len(text) && '0' <= text[i] && text[i] <= '9'; i++ {
			billionths += int64(text[i]-'0') * scale
			scale /= 10
		}
	}
	if i == len(text) {
		return whole, billionths, true
	}
	if len(text) > 40 || numberLen(text) != len(text) {
		return 0, 0, false
	}
	f, err := strconv.ParseFloat(string(text), 64) // it has an exponent
	if err != nil || f >= math.MaxInt64 {
		return 0, 0, false
	}
	f, fraction := math.Modf(f)
	return int64(f), int64(fraction * 1e9), true
}

// parseDate reads RFC 3339 and what devices make of it: a space for the T,
// lower case, an offset without a colon or none at all, and leap seconds, which
// count as the second after. Without an offset the time is as if in UTC.
func parseDate(text []byte) (t time.Time, zoned, ok bool) {
	const seconds = len("2006-01-02T15:04:05")
	if len(text) < seconds || len(text) > 40 || text[4] != '-' || text[13] != ':' {
		return t, false, false
	}
	b := append(make([]byte, 0, 48), text...)
	switch b[10] {
	case 'T', 't', ' ':
		b[10] = 'T'
	default:
		return t, false, false
	}
	leap := string(b[17:seconds]) == "60"
	if leap {
		b[17], b[18] = '5', '9'
	}
	i := seconds
	if i < len(b) && b[i] == '.' {
		for i++; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		}
	}
	zoned = true
	switch offset := b[i:]; {
	case len(offset) == 0:
		zoned = false
		b = append(b, 'Z')
	case len(offset) == 1 && offset[0] == 'z':
		offset[0] = 'Z'
	case len(offset) == len("+01"):
		b = append(b, ":00"...)
	case len(offset) == len("+0100"):
		b = append(b[:len(b)-2], ':', text[len(text)-2], text[len(text)-1])
	}
	if err := t.UnmarshalText(b); err != nil {
		return time.Time{}, false, false
	}
	if leap {
		t = t.Add(time.Second)
	}
	return t.UTC(), zoned, true
}

// inZone reads a time that was written without an offset as the wall clock of a
// zone. Where the clock showed it twice, the reading nearer to arrival counts.
func inZone(t time.Time, zone *time.Location, received time.Time) time.Time {
	at := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
	best := at
	for _, shift := range [...]time.Duration{-time.Hour, -30 * time.Minute, 30 * time.Minute, time.Hour} {
		other := at.Add(shift)
		if wall(other) == wall(at) && other.Sub(received).Abs() < best.Sub(received).Abs() {
			best = other
		}
	}
	return best.UTC()
}

func wall(t time.Time) int64 {
	_, offset := t.Zone()
	return t.Unix() + int64(offset)
}
