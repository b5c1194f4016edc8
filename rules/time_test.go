package rules

import "testing"

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
