package rules

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A schedule is a [schedule.NAME] table: a weekly calendar as a clock on the
// wall and a calendar beside it show it. It is open whenever they show a time
// within its hours. So hours that a spring gap skips are shorter, those that an
// autumn repeat shows twice are longer, and a time that does not exist is the
// jump over it.
//
// Hours that cross midnight belong to the day they begin on. An excepted date
// is closed from midnight to midnight, and what would begin on it does not.
type schedule struct {
	name    string
	outside string // mute or off
	zone    *time.Location
	except  []int64 // days since 1970, ascending

	// The hours of each day of the week, Sunday first, ascending and apart from
	// each other: with the night that the day before began, and without it.
	days, alone [7][]hours

	uniform bool // all days are open all day
}

// hours are the seconds of a day in [from, to).
type hours struct{ from, to int64 }

const daySeconds = 24 * 60 * 60

// open reports whether at, in nanoseconds since 1970, is within the schedule,
// and when that changes next (0: never).
func (s *schedule) open(at int64) (open bool, until int64) {
	t := floorDiv(at, int64(time.Second))
	// Where nothing has changed in two weeks without exceptions, nothing will: one
	// week may lose its only hour to a spring gap.
	horizon := t
	if n := len(s.except); n > 0 {
		horizon = max(t, (s.except[n-1]+2)*daySeconds)
	}
	horizon = min(horizon+16*daySeconds, math.MaxInt64/int64(time.Second))
	offset, ends := s.offset(t)
	open, next := s.shown(t + offset)
	for now := open; now == open; now, next = s.shown(t + offset) {
		t = min(next-offset, ends)
		if t >= horizon {
			return open, 0
		}
		if t >= ends {
			offset, ends = s.offset(t)
		}
	}
	return open, t * int64(time.Second)
}

// offset is how far clocks in the zone are ahead of UTC, and when that ends.
func (s *schedule) offset(t int64) (offset, ends int64) {
	at := time.Unix(t, 0).In(s.zone)
	_, seconds := at.Zone()
	ends = math.MaxInt64
	if _, end := at.ZoneBounds(); !end.IsZero() {
		ends = end.Unix()
	}
	if ends <= t { // so the library says on 31 December of a leap year after 2037
		ends = t - floorMod(t, 15*60) + 15*60
	}
	return int64(seconds), ends
}

// shown reports whether the schedule is open when clock and calendar show the
// given time, in seconds since they showed 1970, and up to when that is certain.
func (s *schedule) shown(clock int64) (open bool, until int64) {
	day := floorDiv(clock, daySeconds)
	midnight := day * daySeconds
	i, excepted := slices.BinarySearch(s.except, day)
	if excepted {
		return false, midnight + daySeconds
	}
	today := &s.days
	if i > 0 && s.except[i-1] == day-1 {
		today = &s.alone
	}
	if s.uniform {
		if i < len(s.except) {
			return true, s.except[i] * daySeconds
		}
		return true, math.MaxInt64 / 2
	}
	const thursday = 4 // 1970 began on one
	for _, h := range today[floorMod(day+thursday, 7)] {
		switch second := clock - midnight; {
		case second < h.from:
			return false, midnight + h.from
		case second < h.to:
			return true, midnight + h.to
		}
	}
	return false, midnight + daySeconds
}

func floorDiv(a, b int64) int64 { return (a - floorMod(a, b)) / b }

func floorMod(a, b int64) int64 { return (a%b + b) % b }

// schedule compiles a [schedule.NAME] table; what it returns is of use only if
// nothing failed.
func (c *compiler) schedule(name string, def *ScheduleDef) *schedule {
	path := []string{"schedule", name}
	s := &schedule{name: name, outside: first(def.Outside, "mute")}
	if s.outside != "mute" && s.outside != "off" {
		c.fail(join(path, "outside"), "outside "+strconv.Quote(def.Outside)+" is unknown",
			`write "mute" to track alarms and tell nobody, or "off" to take the condition for false`)
	}
	s.zone = c.zone(path, def)
	for _, text := range def.Except {
		date, err := time.Parse(time.DateOnly, text)
		switch {
		case err != nil:
			c.fail(join(path, "except"), "holds "+strconv.Quote(text)+", which is no date", `write year-month-day of a day that exists, such as "2026-12-25"`)
		case date.Year() < 1970 || date.Year() > 2200:
			c.fail(join(path, "except"), "holds "+strconv.Quote(text)+", which is out of reach", "write a date from 1970 to 2200")
		default:
			s.except = append(s.except, date.Unix()/daySeconds)
		}
	}
	slices.Sort(s.except)
	s.except = slices.Compact(s.except)
	s.hours(c.scheduleDays(path, def), c.scheduleHours(path, def))
	if s.uniform && len(s.except) == 0 && len(def.Days)+len(def.Hours) > 0 {
		c.warn(path, "is open all the time", "narrow its days or hours, or remove it")
	}
	return s
}

// hours fills in the days of the week from which days begin which hours.
func (s *schedule) hours(begins [7]bool, daily []hours) {
	s.uniform = true
	for day := range 7 {
		var nights []hours
		for _, h := range daily {
			if begins[day] {
				s.alone[day] = append(s.alone[day], hours{h.from, min(h.to, daySeconds)})
			}
			if begins[(day+6)%7] && h.to > daySeconds {
				nights = append(nights, hours{0, h.to - daySeconds})
			}
		}
		s.days[day] = merge(slices.Concat(s.alone[day], nights))
		s.alone[day] = merge(s.alone[day])
		full := s.days[day]
		if len(s.except) > 0 {
			full = s.alone[day] // no night before it, after an exception
		}
		s.uniform = s.uniform && len(full) == 1 && full[0] == hours{0, daySeconds}
	}
}

// merge sorts hours and joins those that overlap or meet.
func merge(list []hours) []hours {
	slices.SortFunc(list, func(a, b hours) int { return int(a.from - b.from) })
	var out []hours
	for _, h := range list {
		if n := len(out); n > 0 && h.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, h.to)
			continue
		}
		out = append(out, h)
	}
	return out
}

// scheduleDays reads days: which of them the schedule begins on, Sunday first.
func (c *compiler) scheduleDays(path []string, def *ScheduleDef) (begins [7]bool) {
	if len(def.Days) == 0 {
		return [7]bool{true, true, true, true, true, true, true}
	}
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	day := func(text string) int {
		text = strings.TrimSpace(text)
		i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, text) })
		if i < 0 {
			remedy := `write mon, tue, wed, thu, fri, sat, sun, or a range such as "mon-sat"`
			lower := strings.ToLower(text)
			if len(lower) > 3 && slices.Contains(names, lower[:3]) {
				remedy = "did you mean " + strconv.Quote(lower[:3]) + "?"
			} else if n := nearest(lower, names); n != "" && lower != "" {
				remedy = "did you mean " + strconv.Quote(n) + "?"
			}
			c.fail(join(path, "days"), "holds "+strconv.Quote(text)+", which is no day", remedy)
		}
		return i
	}
	for _, text := range def.Days {
		from, to, isRange := strings.Cut(text, "-")
		begin := day(from)
		end := begin
		if isRange {
			end = day(to)
		}
		if begin < 0 || end < 0 {
			continue
		}
		begins[end] = true
		for d := begin; d != end; d = (d + 1) % 7 {
			begins[d] = true
		}
	}
	return begins
}

// scheduleHours reads hours; what crosses midnight ends after the day does.
func (c *compiler) scheduleHours(path []string, def *ScheduleDef) []hours {
	if len(def.Hours) == 0 {
		return []hours{{0, daySeconds}}
	}
	var list []hours
	for _, text := range def.Hours {
		a, b, isRange := strings.Cut(text, "-")
		from, okFrom := timeOfDay(a)
		to, okTo := timeOfDay(b)
		fact, remedy := "", `write "08:00-20:00"; "22:00-06:00" ends on the next day`
		switch {
		case !isRange:
			fact = "has no end"
		case !okFrom || !okTo:
			fact = "is no time of day from one to another"
		case from == daySeconds:
			fact, remedy = "begins when the day is over", `begin it at "00:00", and on the next day`
		case from == to:
			fact, remedy = "is empty", `write "00:00-24:00" for all day, or leave hours out`
		}
		if fact != "" {
			c.fail(join(path, "hours"), strconv.Quote(text)+" "+fact, remedy)
			continue
		}
		if to < from {
			to += daySeconds
		}
		list = append(list, hours{from, to})
	}
	return list
}

// timeOfDay reads "08:00", up to "24:00", as seconds.
func timeOfDay(s string) (int64, bool) {
	h, m, ok := strings.Cut(strings.TrimSpace(s), ":")
	hour, err1 := strconv.ParseUint(h, 10, 8)
	minute, err2 := strconv.ParseUint(m, 10, 8)
	if !ok || err1 != nil || err2 != nil || len(h) > 2 || len(m) != 2 || minute > 59 || hour*60+minute > 24*60 {
		return 0, false
	}
	return int64(hour*60+minute) * 60, true
}

// zone is the time zone of a schedule: its own, or that of the defaults.
func (c *compiler) zone(path []string, def *ScheduleDef) *time.Location {
	at, name := join(path, "timezone"), def.Timezone
	if name == "" {
		at, name = []string{"defaults", "timezone"}, c.file.Defaults.Timezone
	}
	zone, err := time.LoadLocation(name)
	if err == nil && name != "Local" {
		return zone
	}
	if slices.ContainsFunc(c.problems, func(p Problem) bool { return slices.Equal(p.Path, at) }) {
		return time.UTC // told of another schedule
	}
	fact, remedy := "there is no time zone "+strconv.Quote(name), `write its name in the IANA database, such as "Europe/Paris", or "UTC"`
	if name == "Local" {
		fact = `"Local" is another zone on each machine`
	} else if better := zoneCase(name); better != "" {
		remedy = fmt.Sprintf("did you mean %q?", better)
	}
	c.fail(at, fact, remedy)
	return time.UTC
}

// zoneCase is a zone that name would be in its usual spelling: the names tell
// capitals from small letters, and have no spaces. "" if there is none.
func zoneCase(name string) string {
	word := true // a new one begins
	spelt := strings.Map(func(r rune) rune {
		begins := word
		word = strings.ContainsRune("/_- ", r)
		switch {
		case r == ' ':
			return '_'
		case begins:
			return unicode.ToUpper(r)
		}
		return unicode.ToLower(r)
	}, strings.TrimSpace(name))
	for _, candidate := range []string{spelt, strings.ToUpper(spelt)} {
		if _, err := time.LoadLocation(candidate); err == nil && candidate != "" && candidate != "Local" {
			return candidate
		}
	}
	return ""
}
