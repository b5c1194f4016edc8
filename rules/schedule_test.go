package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the machine that tests need not have zones

	"pgregory.net/rapid"
)

// mustSchedule compiles a schedule that has nothing wrong with it.
func mustSchedule(t tb, def *ScheduleDef) *schedule {
	t.Helper()
	c := &compiler{file: &File{}}
	s := c.schedule("store", def)
	if c.errors > 0 {
		t.Fatalf("schedule refused: %v", c.problems)
	}
	return s
}

// clockShows is what a schedule means, said as simply as can be: look at the
// calendar and the clock on the wall, and see whether an entry covers them.
func clockShows(def *ScheduleDef, at time.Time) bool {
	year, month, date := at.Date()
	today := time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
	yesterday := today.AddDate(0, 0, -1)
	covers := func(day time.Time, minute int) bool {
		if slices.Contains(def.Except, day.Format(time.DateOnly)) || slices.Contains(def.Except, today.Format(time.DateOnly)) {
			return false
		}
		if len(def.Days) > 0 && !slices.ContainsFunc(def.Days, func(s string) bool { return dayIn(s, day) }) {
			return false
		}
		if len(def.Hours) == 0 {
			return minute < 24*60
		}
		for _, s := range def.Hours {
			digits := func(i int) int { return 10*int(s[i]-'0') + int(s[i+1]-'0') }
			from, to := digits(0)*60+digits(3), digits(6)*60+digits(9)
			if to < from {
				to += 24 * 60
			}
			if from <= minute && minute < to {
				return true
			}
		}
		return false
	}
	minute := at.Hour()*60 + at.Minute()
	return covers(today, minute) || covers(yesterday, minute+24*60)
}

// dayIn reports whether "mon" or "fri-mon" has the day.
func dayIn(s string, day time.Time) bool {
	week := []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	a, b, isRange := strings.Cut(strings.ToLower(s), "-")
	if !isRange {
		b = a
	}
	from, to := slices.Index(week, a), slices.Index(week, b)
	d := (int(day.Weekday()) + 6) % 7
	if from <= to {
		return from <= d && d <= to
	}
	return d >= from || d <= to
}

// follow walks a schedule from boundary to boundary, as the engine does, and
// compares each step in between with what the clock shows.
func follow(t tb, def *ScheduleDef, from, to time.Time, step time.Duration) {
	t.Helper()
	s := mustSchedule(t, def)
	open, until := s.open(from.UnixNano())
	for at := from; at.Before(to); at = at.Add(step) {
		if until != 0 && at.UnixNano() >= until {
			was := open
			if open, until = s.open(at.UnixNano()); open == was {
				t.Fatalf("%+v: nothing changes at %s, which was said to be a boundary", *def, at.In(s.zone))
			}
		}
		if want := clockShows(def, at.In(s.zone)); open != want {
			t.Fatalf("%+v: open is %t at %s, want %t", *def, open, at.In(s.zone), want)
		}
	}
}

func TestScheduleIsOpenWhenTheClockOnTheWallShowsItsHours(t *testing.T) {
	for _, c := range []struct {
		zone string
		year int
	}{
		{"Europe/Paris", 2026},
		{"America/New_York", 2027},
		{"Australia/Lord_Howe", 2026}, // half an hour of summer time
		{"Asia/Kolkata", 2026},        // half an hour off, and none
		{"Pacific/Apia", 2011},        // 30 December did not take place
		{"America/Sao_Paulo", 2018},   // clocks changed at midnight
	} {
		def := &ScheduleDef{
			Days: []string{"Fri-mon", "wed"}, Hours: []string{"22:00-06:00", "02:15-02:45", "12:00-13:00"},
			Except:   []string{fmt.Sprintf("%d-12-25", c.year), fmt.Sprintf("%d-03-29", c.year)},
			Timezone: c.zone,
		}
		from := time.Date(c.year, 1, 1, 0, 0, 0, 0, time.UTC)
		follow(t, def, from, from.AddDate(1, 0, 10), 5*time.Minute)
	}
}

func TestAnyScheduleAgreesWithTheClockAroundAnyChangeOfIt(t *testing.T) {
	changes := map[string][]string{
		"Europe/Paris":        {"2026-03-29", "2026-10-25", "1976-03-28"},
		"America/New_York":    {"2027-03-14", "2027-11-07"},
		"Australia/Lord_Howe": {"2026-04-05", "2026-10-04"},
		"Asia/Kolkata":        {"2026-06-01"},
		"Pacific/Apia":        {"2011-12-30", "2011-04-02"},
		"America/Sao_Paulo":   {"2018-11-04", "2018-02-18"},
	}
	var zones []string
	for zone := range changes {
		zones = append(zones, zone)
	}
	slices.Sort(zones)
	days := []string{"mon", "Tue", "wed", "THU", "fri", "sat", "sun"}
	rapid.Check(t, func(t *rapid.T) {
		def := &ScheduleDef{Timezone: rapid.SampledFrom(zones).Draw(t, "zone")}
		change, _ := time.Parse(time.DateOnly, rapid.SampledFrom(changes[def.Timezone]).Draw(t, "change"))
		for range rapid.IntRange(0, 3).Draw(t, "days") {
			day := rapid.SampledFrom(days).Draw(t, "day")
			if rapid.Bool().Draw(t, "range") {
				day += "-" + rapid.SampledFrom(days).Draw(t, "last")
			}
			def.Days = append(def.Days, day)
		}
		clock := rapid.Custom(func(t *rapid.T) int {
			return rapid.OneOf(rapid.IntRange(0, 24*60-1), rapid.IntRange(60, 4*60), rapid.Just(0)).Draw(t, "minute")
		})
		for range rapid.IntRange(0, 3).Draw(t, "hours") {
			from, to := clock.Draw(t, "from"), clock.Draw(t, "to")
			if from == to {
				to = 24 * 60
			}
			def.Hours = append(def.Hours, fmt.Sprintf("%02d:%02d-%02d:%02d", from/60, from%60, to/60, to%60))
		}
		for range rapid.IntRange(0, 3).Draw(t, "exceptions") {
			def.Except = append(def.Except, change.AddDate(0, 0, rapid.IntRange(-4, 4).Draw(t, "except")).Format(time.DateOnly))
		}
		from := change.Add(-time.Duration(rapid.IntRange(0, 6*24*60).Draw(t, "before")) * time.Minute)
		follow(t, def, from, change.AddDate(0, 0, 9), time.Minute)
	})
}

func TestNightBeforeAnExceptionDoesNotFillTheDayAfterIt(t *testing.T) {
	from := time.Date(2026, 12, 22, 0, 0, 0, 0, time.UTC)
	def := &ScheduleDef{Hours: []string{"22:00-06:00", "06:00-22:00"}, Except: []string{"2026-12-25"}}
	follow(t, def, from, from.AddDate(0, 0, 6), time.Minute)
}

func TestHoursShortenInSpringAndLengthenInAutumn(t *testing.T) {
	for _, c := range []struct {
		hours, date string
		want        time.Duration
	}{
		{"22:00-06:00", "2026-03-28", 7 * time.Hour},
		{"22:00-06:00", "2026-10-24", 9 * time.Hour},
		{"22:00-06:00", "2026-06-01", 8 * time.Hour},
		{"02:30-04:00", "2026-03-29", time.Hour}, // begins at the jump to 03:00
	} {
		s := mustSchedule(t, &ScheduleDef{Hours: []string{c.hours}, Timezone: "Europe/Paris"})
		day, _ := time.ParseInLocation(time.DateOnly, c.date, s.zone)
		begin := day.UnixNano()
		open, until := s.open(begin)
		for !open || until < day.Add(20*time.Hour).UnixNano() && c.hours[0] == '2' {
			begin = until
			open, until = s.open(begin)
		}
		if got := time.Duration(until - begin); got != c.want {
			t.Errorf("%s on %s is open for %s, want %s", c.hours, c.date, got, c.want)
		}
	}
}

func TestScheduleThatNeverChangesSaysSo(t *testing.T) {
	at := start.UnixNano()
	always := mustSchedule(t, &ScheduleDef{})
	if open, until := always.open(at); !open || until != 0 {
		t.Errorf("a schedule without hours is open %t until %d, want for ever", open, until)
	}
	once := mustSchedule(t, &ScheduleDef{Except: []string{"2040-12-25"}, Timezone: "Europe/Paris"})
	christmas := time.Date(2040, 12, 24, 23, 0, 0, 0, time.UTC)
	if open, until := once.open(at); !open || until != christmas.UnixNano() {
		t.Errorf("open %t until %s, want until %s", open, wall(until), christmas)
	}
	if open, until := once.open(christmas.UnixNano()); open || until != christmas.Add(24*time.Hour).UnixNano() {
		t.Errorf("on the excepted date: open %t until %s, want closed for a day", open, wall(until))
	}
	if open, until := once.open(christmas.Add(24 * time.Hour).UnixNano()); !open || until != 0 {
		t.Errorf("after the last exception: open %t until %d, want for ever", open, until)
	}
}

func TestScheduleAnswersWithoutAllocating(t *testing.T) {
	s := mustSchedule(t, &ScheduleDef{Days: []string{"mon-sat"}, Hours: []string{"08:00-20:00"}, Except: []string{"2026-12-25"}, Timezone: "Europe/Paris"})
	at := start.UnixNano()
	if n := testing.AllocsPerRun(100, func() { at += int64(time.Hour); s.open(at) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestScheduleProblemsSayWhatIsWrongAndWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		def       ScheduleDef
		key, want string
	}{
		{ScheduleDef{Days: []string{"monday"}}, "days", `holds "monday", which is no day (did you mean "mon"?)`},
		{ScheduleDef{Days: []string{"fry-sun"}}, "days", `holds "fry", which is no day (did you mean "fri"?)`},
		{ScheduleDef{Days: []string{"holidays"}}, "days", `holds "holidays", which is no day (write mon, tue, wed, thu, fri, sat, sun, or a range such as "mon-sat")`},
		{ScheduleDef{Hours: []string{"8-20"}}, "hours", `"8-20" is no time of day from one to another (write "08:00-20:00"; "22:00-06:00" ends on the next day)`},
		{ScheduleDef{Hours: []string{"08:00"}}, "hours", `"08:00" has no end (write "08:00-20:00"; "22:00-06:00" ends on the next day)`},
		{ScheduleDef{Hours: []string{"08:00-24:01"}}, "hours", `"08:00-24:01" is no time of day from one to another (write "08:00-20:00"; "22:00-06:00" ends on the next day)`},
		{ScheduleDef{Hours: []string{"24:00-06:00"}}, "hours", `"24:00-06:00" begins when the day is over (begin it at "00:00", and on the next day)`},
		{ScheduleDef{Hours: []string{"08:00-08:00"}}, "hours", `"08:00-08:00" is empty (write "00:00-24:00" for all day, or leave hours out)`},
		{ScheduleDef{Except: []string{"2026-02-29"}}, "except", `holds "2026-02-29", which is no date (write year-month-day of a day that exists, such as "2026-12-25")`},
		{ScheduleDef{Except: []string{"0226-02-20"}}, "except", `holds "0226-02-20", which is out of reach (write a date from 1970 to 2200)`},
		{ScheduleDef{Timezone: "europe/paris"}, "timezone", `there is no time zone "europe/paris" (did you mean "Europe/Paris"?)`},
		{ScheduleDef{Timezone: "America/New York"}, "timezone", `there is no time zone "America/New York" (did you mean "America/New_York"?)`},
		{ScheduleDef{Timezone: "cet"}, "timezone", `there is no time zone "cet" (did you mean "CET"?)`},
		{ScheduleDef{Timezone: "Paris"}, "timezone", `there is no time zone "Paris" (write its name in the IANA database, such as "Europe/Paris", or "UTC")`},
		{ScheduleDef{Timezone: "Local"}, "timezone", `"Local" is another zone on each machine (write its name in the IANA database, such as "Europe/Paris", or "UTC")`},
		{ScheduleDef{Outside: "silent"}, "outside", `outside "silent" is unknown (write "mute" to track alarms and tell nobody, or "off" to take the condition for false)`},
		{ScheduleDef{Days: []string{"mon-sun"}}, "", `is open all the time (narrow its days or hours, or remove it)`},
	} {
		comp := &compiler{file: &File{}}
		comp.schedule("store", &c.def)
		if len(comp.problems) != 1 {
			t.Errorf("%+v has %d problems, want one: %v", c.def, len(comp.problems), comp.problems)
			continue
		}
		p := comp.problems[0]
		path := []string{"schedule", "store"}
		if c.key != "" {
			path = append(path, c.key)
		}
		if got := p.Fact + " (" + p.Remedy + ")"; got != c.want || !slices.Equal(p.Path, path) || p.Warning != (c.key == "") {
			t.Errorf("%v: %s\nwant %v: %s", p.Path, got, path, c.want)
		}
	}
}

func TestZoneOfTheDefaultsIsToldOnce(t *testing.T) {
	c := &compiler{file: &File{Defaults: Defaults{Timezone: "Mars/Base"}}}
	c.schedule("a", &ScheduleDef{})
	c.schedule("b", &ScheduleDef{})
	if len(c.problems) != 1 || strings.Join(c.problems[0].Path, ".") != "defaults.timezone" {
		t.Errorf("got %v, want one problem of defaults.timezone", c.problems)
	}
	c = &compiler{file: &File{Defaults: Defaults{Timezone: "Asia/Kolkata"}}}
	if s := c.schedule("a", &ScheduleDef{}); s.zone.String() != "Asia/Kolkata" {
		t.Errorf("zone is %s, want that of the defaults", s.zone)
	}
	if s := c.schedule("a", &ScheduleDef{Timezone: "Europe/Paris"}); s.zone.String() != "Europe/Paris" {
		t.Errorf("zone is %s, want its own", s.zone)
	}
}

func BenchmarkScheduleOpen(b *testing.B) {
	s := mustSchedule(b, &ScheduleDef{Days: []string{"mon-sat"}, Hours: []string{"08:00-20:00"}, Except: []string{"2026-12-25"}, Timezone: "Europe/Paris"})
	at := start.UnixNano()
	for b.Loop() {
		at += int64(time.Minute)
		s.open(at)
	}
}
