package config

import (
	"maps"
	"slices"
	"strconv"
	"time"
)

// localTimes gives the dates without an offset the zone of the defaults, which
// schedules have too. Without one there is nothing to go by: the zone of the
// machine would make the same file mean another time elsewhere.
func (l *loader) localTimes(set *ruleSet) {
	zone, written := zoneOf(set)
	if name := set.file.Defaults.Timezone; name != "" && zone == nil {
		path := keys("defaults.timezone")
		set.of(path).atValue(path, "there is no time zone "+strconv.Quote(name),
			`write its name in the IANA database, such as "Europe/Paris", or "UTC"`)
	}
	resolve := func(t *time.Time, path ...string) {
		s := set.of(path)
		if s == nil || t.Location().String() != "datetime-local" {
			return
		}
		const remedy = "add the offset, as in 2026-11-12T22:00:00+01:00"
		switch local, n := inZone(*t, zone); {
		case !written:
			s.atValue(path, "is a time without an offset, and the defaults name no zone", remedy+`, or timezone = "Europe/Paris" to [defaults]`)
		case zone == nil:
			s.blame(path) // it was reported that the zone is at fault
		case n == 0:
			s.atValue(path, "is a time that clocks in "+zone.String()+" skip that night", remedy)
		case n > 1:
			s.atValue(path, "is a time that clocks in "+zone.String()+" show twice that night", remedy)
		default:
			*t = local
			return
		}
		*t = time.Time{}
	}
	for _, name := range slices.Sorted(maps.Keys(set.file.Maintenance)) {
		if m := set.file.Maintenance[name]; m != nil {
			resolve(&m.From, "maintenance", name, "from")
			resolve(&m.To, "maintenance", name, "to")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set.file.Test)) {
		if t := set.file.Test[name]; t != nil {
			resolve(&t.Start, "test", name, "start")
		}
	}
}

// zoneOf returns the zone of the defaults, nil if there is none of that name, and
// whether one is written.
func zoneOf(set *ruleSet) (zone *time.Location, written bool) {
	name := set.file.Defaults.Timezone
	if name == "" {
		s := set.of([]string{"defaults"})
		return nil, s != nil && s.undecoded(keys("defaults.timezone")) || !set.whole
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, true
	}
	return zone, true
}

// inZone takes what a clock shows as a time in a zone. n is how often clocks there
// show it.
func inZone(t time.Time, zone *time.Location) (local time.Time, n int) {
	if zone == nil {
		return t, 0
	}
	shows := func(at time.Time) bool {
		return at.Format(time.DateTime) == t.Format(time.DateTime)
	}
	local = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
	// Clocks are set by up to an hour, and on Lord Howe by half of one.
	for _, by := range []time.Duration{-time.Hour, -30 * time.Minute, 0, 30 * time.Minute, time.Hour} {
		if shows(local.Add(by)) {
			n++
		}
	}
	return local, n
}
