package rules

import (
	"fmt"
	"testing"
)

// counted are two ways to say the same.
var counted = [...]string{
	"metric = \"x\"\nagg = \"count\"\nover = \"10m\"\nbelow = 3\n",
	"when = \"count(x, '10m') < 3\"\n",
}

func TestACountSaysNothingBeforeItsWindowHasBeenWatched(t *testing.T) {
	for _, condition := range counted {
		rules := "[metric.x]\ntype = \"number\"\n[rule.few]\n" + condition
		tell(t, rules, `
			0s tick
			5m d x=1
			6m d x=1
			7m..40m/1m d x=1`)
		tell(t, rules, `
			0s tick
			5m d x=1
			30m tick`,
			"15m fired warning few/d")
		tell(t, rules, `
			0s tick
			2h d x=1
			3h tick`,
			"2h10m fired warning few/d") // a device that was never heard of before
	}
	// What is enough already, will be enough.
	tell(t, "[metric.x]\ntype = \"number\"\n[rule.many]\nwhen = \"count(x, '10m') > 3\"\n", `
		0s..5m/1m d x=1
		30m tick`,
		"3m fired warning many/d", "12m resolved warning many/d")
}

func TestACountSaysNothingOfTimeInWhichNobodyListened(t *testing.T) {
	const before, after = "\n0s up plant\n0s..30m/1m d x=1\n", "\n"
	for _, condition := range counted {
		rules := "[metric.x]\ntype = \"number\"\n[rule.few]\n" + condition
		tell(t, rules, before+"60m gap 29m\n61m..90m/1m d x=1")
		tell(t, rules, before+"60m gap 29m\n2h tick", "1h10m fired warning few/d")
		tell(t, rules, before+"31m down plant\n60m up plant\n61m..90m/1m d x=1")
		tell(t, rules, before+"31m down plant\n35m restart\n60m up plant\n61m reload\n62m restart\n2h tick", "1h10m fired warning few/d")
		// An absence that is short beside the window does not blind a rule.
		tell(t, rules, before+"30m30s down plant\n30m50s up plant\n2h tick", "38m fired warning few/d")
		tell(t, rules, before+"30m30s gap 20s\n2h tick", "38m fired warning few/d")
		// What fires already, and what is on its way, waits.
		tell(t, rules+"for = \"10m\"\n", before+"39m down plant\n1h30m up plant\n2h tick", "1h49m fired warning few/d")
		tell(t, rules, before+"39m down plant\n1h30m up plant\n1h31m..1h32m/30s d x=1",
			"38m fired warning few/d", "1h32m resolved warning few/d")
	}
}

func TestASumSaysNothingBeforeItsWindowHasBeenWatched(t *testing.T) {
	const rules = "[metric.x]\ntype = \"number\"\n[rule.dry]\nmetric = \"x\"\nagg = \"sum\"\nover = \"10m\"\nbelow = 3\n"
	tell(t, rules, "0s tick\n5m d x=1\n6m d x=1\n7m d x=1")
	tell(t, rules, "0s..30m/1m d x=0", "10m fired warning dry/d")
}

// A sum of what came is what the sum of all comes to at least, unless what is
// missing may be negative.
func TestAPartialSumOfSignedReadingsIsUnknown(t *testing.T) {
	const rule = "[rule.much]\nmetric = \"x\"\nagg = \"sum\"\nover = \"10m\"\nabove = 5\n"
	const story = "0s up plant\n0s tick\n1m d x=4\n2m d x=4\n3m d x=%s\n10m30s d x=4\n20m tick"
	f := func(rules, third string, want ...string) {
		t.Helper()
		anywhere(t, rules, fmt.Sprintf(story, third), want...)
	}
	f(rule, "0", "2m fired warning much/d", "12m resolved warning much/d")
	f(rule, "-4", "2m fired warning much/d", "11m resolved warning much/d") // nothing was known in between
	f("[metric.x]\nrange = [0.0, 50.0]\n"+rule, "0", "2m fired warning much/d", "12m resolved warning much/d")
	f("[metric.x]\nrange = [-50.0, 50.0]\n"+rule, "0", "11m fired warning much/d", "12m resolved warning much/d")
	f("[metric.x]\nrange = [-50.0, 50.0]\n[rule.much]\nwhen = \"sum(x, '10m') > 5\"\n", "0", "11m fired warning much/d", "12m resolved warning much/d")
}

func TestAnAgeLeavesOutTimeInWhichNobodyListened(t *testing.T) {
	const rules = "[metric.x]\ntype = \"number\"\n[rule.old]\nwhen = \"age(x) > 300\"\n"
	tell(t, rules, "0s up plant\n0s d x=1\n10m tick", "5m1s fired warning old/d")
	tell(t, rules, "0s up plant\n0s d x=1\n1m down plant\n1h up plant\n2h tick", "1h4m1s fired warning old/d")
	tell(t, rules, "0s up plant\n0s d x=1\n1m down plant\n2m restart\n1h up plant\n1h1m restart\n2h tick", "1h4m1s fired warning old/d")
	tell(t, rules, "0s up plant\n0s d x=1\n1h gap 59m\n2h tick", "1h4m1s fired warning old/d")
	// Both at once count once.
	tell(t, rules, "0s up plant\n0s d x=1\n1m down plant\n31m gap 29m\n1h up plant\n2h tick", "1h4m1s fired warning old/d")
	tell(t, rules, "0s up plant\n0s d x=1\n10m down plant\n1h up plant\n61m d x=1", "5m1s fired warning old/d", "1h1m resolved warning old/d")
	// However often it happens.
	tell(t, rules, "0s up plant\n0s d x=1\n1m..6h/1m gap 59s", "5h0m1s fired warning old/d")
}

// A reading speaks for the present for a while, heard or not; then a timer waits
// for the next.
func TestATimerStandsStillWhileTheSourceIsAway(t *testing.T) {
	const rules = "[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\nabove = 2\nfor = \"10m\"\nno_data = \"fire\"\n"
	tell(t, rules, `
		0s up plant
		0s..2m/1m d x=3
		150s down plant
		40m up plant
		40m..50m/1m d x=3`,
		"45m fired warning hot/d") // 5 minutes, until the last reading was too old, and 5 more
	tell(t, rules, `
		0s up plant
		0s..2m/1m d x=3
		150s down plant
		10m restart
		40m up plant
		41m restart
		60m tick`,
		"43m fired warning hot/d reason=no_data") // it is not heard, and by now that says something
	tell(t, rules, `
		0s up plant
		0s..2m/1m d x=3
		150s down plant
		4m up plant
		4m..12m/1m d x=3`,
		"10m fired warning hot/d")
	// What was too old before does not become news when we come back.
	tell(t, "[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\nagg = \"max\"\nover = \"2h\"\nabove = 2\nfor = \"10m\"\n", `
		0s up plant
		0s..2m/1m d x=3
		20m down plant
		21m up plant
		23m tick`)
}

// What people arranged ends when their clock says so.
func TestArrangementsWithPeopleGoOnWhileNobodyListens(t *testing.T) {
	const rules = "[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\nabove = 2\nstale_after = \"1d\"\n"
	tell(t, rules+"cooldown = \"15m\"\n", "0s d x=3\n1m d x=1\n20m gap 18m\n21m d x=3",
		"0s fired warning hot/d", "1m resolved warning hot/d", "21m fired warning hot/d")
	tell(t, rules, "0s d x=1\n1m shelve hot/d 10m\n2m d x=3\n20m gap 17m\n21m tick",
		"20m fired warning hot/d delayed=18m")
	tell(t, rules+"[rule.hot.escalate.unacked]\nafter = \"10m\"\nseverity = \"critical\"\n", "0s d x=3\n20m gap 18m\n21m tick",
		"0s fired warning hot/d", "20m escalated critical hot/d reason=unacked")
	tell(t, rules+"renotify = \"5m\"\n", "0s d x=3\n20m gap 18m\n24m tick\n25m tick",
		"0s fired warning hot/d", "20m reminder warning hot/d n=1", "25m reminder warning hot/d n=2")
}

func TestTheQuietThatEndsFlappingIsHeard(t *testing.T) {
	const rules = "[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\nabove = 2\nstale_after = \"1d\"\n[rule.hot.flap]\nchanges = 3\nwithin = \"15m\"\nhold = \"10m\"\n"
	tell(t, rules, "0s d x=3\n1m d x=1\n2m d x=3\n3m d x=1\n4m tick\n64m gap 1h\n65m restart\n80m tick",
		"0s fired warning hot/d",
		"1m resolved warning hot/d",
		"2m fired warning hot/d",
		"2m flapping warning hot/d",
		"1h13m flap_ended warning hot/d",
		"1h13m resolved warning hot/d")
	// Changes count for as long as they would have.
	tell(t, rules, "0s d x=3\n1m d x=1\n20m gap 18m\n21m d x=3\n22m d x=1",
		"0s fired warning hot/d", "1m resolved warning hot/d", "21m fired warning hot/d", "22m resolved warning hot/d")
}

// What stands still already does not stand still twice.
func TestATimerThatStandsStillIsNotMovedByAGap(t *testing.T) {
	const rules = "[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\nabove = 2\nfor = \"10m\"\n"
	for _, story := range []string{
		"0s d x=3\n20m tick\n50m gap 30m\n61m..2h/1m d x=3",
		"0s d x=3\n50m gap 45m\n1h gap 5m\n61m..2h/1m d x=3",
		"0s d x=3\n50m gap 45m\n50m restart\n1h gap 5m\n61m..2h/1m d x=3",
	} {
		tell(t, rules, story, "1h8m fired warning hot/d")
	}
	tell(t, rules+"clear_for = \"10m\"\n", "0s..10m/1m d x=3\n11m d x=1\n20m tick\n50m gap 30m\n1h..2h/1m d x=1",
		"10m fired warning hot/d", "14m stale warning hot/d", "1h7m resolved warning hot/d")
}

// Two absences, ours and the source's, are one time in which nothing is heard.
func TestAReadingDoesNotBecomeOldInEitherAbsence(t *testing.T) {
	const rules = "[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\nabove = 2\n"
	f := func(story, stale string) {
		t.Helper()
		crashAnywhere(t, rules, "0s up plant\n0s d x=3\n"+story+"\n3h tick", "0s fired warning hot/d", stale+" stale warning hot/d")
	}
	f("10s down plant\n20m gap 16m\n30m up plant", "33m") // it came to a standstill before
	f("10s down plant\n20m gap 18m\n30m up plant", "33m") // and not
	f("10s down plant\n20m gap 10m\n30m up plant", "33m")
	f("10s down plant\n170s up plant\n20m gap 15m", "23m") // one after the other
	f("10m gap 8m\n12m down plant\n20m up plant", "23m")
}
