package rules

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const hotOnly = hot + "[rule.hot]\nmetric = \"temperature\"\nabove = 10\nstale_after = \"1d\"\n"

func TestABatchMayComeInAnyOrder(t *testing.T) {
	want := []string{"10m fired warning hot/d", "11m resolved warning hot/d"}
	for _, batch := range []string{"-2m=1 -1m=9 0s=11", "0s=11 -1m=9 -2m=1", "-1m=9 0s=11 -2m=1"} {
		tell(t, "[defaults]\nlate = \"5m\"\n"+hotOnly, "10m batch d temperature "+batch+"\n11m d temperature=9", want...)
	}
}

func TestAnOlderReadingTurnsNothing(t *testing.T) {
	tell(t, "[defaults]\nlate = \"2m\"\n"+hotOnly, `
		5m d temperature=11
		6m d temperature=9 age=2m
		7m d temperature=9 age=30m
		8m d temperature=9`,
		"5m fired warning hot/d", "8m resolved warning hot/d")
}

func TestALateReadingHasItsPlaceInAWindow(t *testing.T) {
	tell(t, "[defaults]\nlate = \"3m\"\n"+hot+"[rule.max]\nmetric = \"temperature\"\nagg = \"max\"\nover = \"10m\"\nabove = 10\n", `
		5m d temperature=1
		6m d temperature=20 age=2m
		6m30s..20m/1m d temperature=1`,
		"6m fired warning max/d", "14m resolved warning max/d")
}

func TestAScheduleFollowsTheClockOnTheWall(t *testing.T) {
	// On 25 October 2026 clocks in Paris go back at 01:00 UTC. The story begins on
	// 6 November; that of the test is in its own zone, and no reading is needed.
	tell(t, hotOnly+`schedule = "night"
[schedule.night]
hours = ["22:00-06:00"]
timezone = "America/New_York"
`, `
		0s d temperature=11
		20h d temperature=9`,
		"13h fired warning hot/d delayed=13h", // 22:00 of New York is 03:00 UTC
		"20h resolved warning hot/d")
}

func TestAClockThatIsWrongByHoursWaitsAsLong(t *testing.T) {
	rules := hot + "[rule.hot]\nmetric = \"temperature\"\nabove = 10\nfor = \"5m\"\n"
	for _, age := range []string{"3h", "0s"} {
		tell(t, rules, "0s..5m/1m d temperature=11 age="+age+"\n6m d temperature=9 age="+age,
			"5m fired warning hot/d", "6m resolved warning hot/d")
	}
}

// On 28 March 2027 the clocks of Paris go from 02:00 to 03:00, and on 31 October
// 2027 from 03:00 back to 02:00, both at 01:00 UTC: the first night is an hour
// shorter, the second an hour longer. At either end of it an alarm that begins a
// second too early or too late is not told.
func TestANightIsAsLongAsTheClockOnTheWallSays(t *testing.T) {
	for _, outside := range []string{"off", "mute"} {
		for _, night := range [][2]string{
			{"2027-03-26T21:00:00Z", "2027-03-27T05:00:00Z"}, // before the gap
			{"2027-03-27T21:00:00Z", "2027-03-28T04:00:00Z"}, // across it
			{"2027-03-28T20:00:00Z", "2027-03-29T04:00:00Z"}, // after it
			{"2027-10-30T20:00:00Z", "2027-10-31T05:00:00Z"}, // across the hour that comes twice
			{"2027-10-31T21:00:00Z", "2027-11-01T05:00:00Z"},
		} {
			begin, end := instant(t, night[0]).Sub(start), instant(t, night[1]).Sub(start)
			for _, at := range []time.Duration{begin - 2*time.Second, begin, end - 2*time.Second, end} {
				s := newScene(t, hotOnly+"schedule = \"night\"\n[schedule.night]\nhours = [\"22:00-06:00\"]\ntimezone = \"Europe/Paris\"\noutside = \""+outside+"\"\n")
				s.happen(at, []string{"d", "temperature=11"})
				s.happen(at+time.Second, []string{"d", "temperature=9"})
				told := 0
				for i := range s.events {
					told += len(s.events[i].Endpoints)
				}
				want := 0
				if at == begin || at == end-2*time.Second {
					want = 2 // it fired, and was over
				}
				if told != want {
					t.Errorf("%s, %s: %d tellings, want %d", outside, start.Add(at).Format(time.RFC3339), told, want)
				}
			}
			// What lasts is told when the night begins, and nothing has to come then.
			s := newScene(t, hotOnly+"schedule = \"night\"\n[schedule.night]\nhours = [\"22:00-06:00\"]\ntimezone = \"Europe/Paris\"\noutside = \""+outside+"\"\n")
			s.happen(begin-time.Hour, []string{"d", "temperature=11"})
			s.happen(end, []string{"tick"})
			if len(s.events) == 0 || s.events[0].Type != AlarmFired || !s.events[0].At.Equal(start.Add(begin)) {
				t.Errorf("%s: told %q, want fired at %s", outside, s.told, night[0])
			}
		}
	}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Within late, it does not matter in which order readings come one by one: where
// the alarms stand in the end is the same. One with a deadband may have missed what
// took it across.
func TestTheOrderOfReadingsWithinLateEndsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		condition := rapid.SampledFrom([]string{
			"above = 3", "agg = \"max\"\nover = \"5m\"\nabove = 4", "agg = \"avg\"\nover = \"5m\"\nabove = 2",
			"agg = \"count\"\nover = \"5m\"\nbelow = 3", "agg = \"median\"\nover = \"10m\"\nabove = 2", "delta_above = 1\nover = \"5m\"",
			"rate_above = \"0.3 /min\"\nover = \"10m\"\nmin_samples = 3",
		}).Draw(t, "condition")
		p := compileText("[defaults]\nnotify = [\"ops\"]\nlate = \"2m\"\n[metric.level]\ntype = \"number\"\n[rule.r]\nmetric = \"level\"\nstale_after = \"1d\"\n" + condition + "\n")
		var series []Sample
		for i := range rapid.IntRange(3, 20).Draw(t, "readings") {
			s := reading(start.Add(time.Duration(i)*30*time.Second), rapid.SampledFrom([]float64{0, 1, 2, 4, 5}).Draw(t, "level"))
			s.Device, s.Metric = "a", "level"
			series = append(series, *s)
		}
		late := make([]time.Duration, len(series)) // how much later than it was taken each comes
		order := make([]int, len(series))
		for i := range order {
			order[i] = i
			late[i] = time.Duration(rapid.IntRange(0, 4).Draw(t, "late")) * 30 * time.Second
		}
		late[len(late)-1] = 0 // by the newest one and its coming we know the device's clock
		comes := func(i int) time.Time { return series[i].At.Add(late[i]) }
		slices.SortStableFunc(order, func(i, j int) int { return comes(i).Compare(comes(j)) })
		a, b := begun(t, p), begun(t, p)
		for i := range series {
			a.step(Input{Now: series[i].At, Sample: &series[i]})
		}
		for _, i := range order {
			b.step(Input{Now: comes(i), Sample: &series[i]})
		}
		end := start.Add(13 * time.Minute) // all have come, and the windows still hold them
		for _, r := range []*run{a, b} {
			r.step(Input{Now: end})
		}
		on := func(r *run) string {
			for s := range r.e.States() {
				return fmt.Sprint(s.Levels[0].On)
			}
			return "false"
		}
		if on(a) != on(b) {
			t.Fatalf("%s\nin order it is on: %s, else: %s", condition, on(a), on(b))
		}
	})
}

// Of two readings of the same instant, one that says the same changes nothing, and
// one that says something else corrects it.
func TestTheLaterOfTwoReadingsOfOneInstantCounts(t *testing.T) {
	tell(t, hotOnly, `
		5m d temperature=11
		5m d temperature=11
		5m d temperature=9
		6m d temperature=12
		6m d temperature=12`,
		"5m fired warning hot/d", "5m resolved warning hot/d", "6m fired warning hot/d")
}

// A stamp from the future that was let through does not make the readings after it
// late for ever.
func TestAClockThatRanAheadIsCaughtUpWith(t *testing.T) {
	tell(t, "[defaults]\nlate = \"2m\"\n"+hotOnly, `
		5m d temperature=1 age=-1m
		5m10s d temperature=11
		6m10s d temperature=11
		7m d temperature=9`,
		"6m10s fired warning hot/d", "7m resolved warning hot/d")
}
