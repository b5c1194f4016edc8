package rules

import (
	"fmt"
	"strings"
	"testing"
)

// How an alarm is muted, in five ways; the story is the same.
func TestAMutedAlarmIsToldWhenItIsHeardAgain(t *testing.T) {
	rule := hot + `
[rule.hot]
metric = "temperature"
above = 10
stale_after = "1d"
`
	const readings = `
		%s
		14m d temperature=9
		15m d temperature=11
		16m d temperature=9
		22m d temperature=11
		%s
		50m d temperature=9`
	for name, c := range map[string]struct{ rules, begin, end, why string }{
		"schedule": {`schedule = "work"
[schedule.work]
hours = ["00:00-14:10", "14:30-24:00"]
`, "0s tick", "30m tick", "schedule_work"},
		"not schedule": {`schedule = { not = "work" }
[schedule.work]
hours = ["14:10-14:30"]
`, "0s tick", "30m tick", "schedule_work"},
		"maintenance": {`
[maintenance.defrost]
devices = ["d"]
from = 2026-11-06T14:10:00Z
to = 2026-11-06T14:30:00Z
`, "0s tick", "30m tick", "maintenance_defrost"},
		"shelved":         {"", "10m shelve hot/d 20m", "30m tick", "shelved_by_ann"},
		"shelved by hand": {"", "10m shelve hot/d 2h", "30m unshelve hot/d", "shelved_by_ann"},
		"suppressed": {`suppress_if = ["door"]
[rule.door]
metric = "door"
is = "open"
notify = ["doors"]
stale_after = "1d"
`, "10m d door=open", "30m d door=shut", "suppressed_by_door"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, rule+c.rules)
			s.play("5m d temperature=11\n")
			s.play(fmt.Sprintf(readings, c.begin, c.end))
			var got []string
			for _, line := range s.told {
				if strings.Contains(line, "hot/d") && !strings.Contains(line, "shelved") || strings.Contains(line, "muted") {
					got = append(got, line)
				}
			}
			s.told = got
			s.expect(
				"5m fired warning hot/d",
				"14m resolved warning hot/d", // told that it fired, so told that it ended
				"15m fired warning hot/d muted="+c.why+" to=",
				"16m resolved warning hot/d muted="+c.why+" to=",
				"30m fired warning hot/d delayed=8m",
				"50m resolved warning hot/d")
		})
	}
}

// Events of a muted record are put together when it ends: they have its end's time.
func TestWhatAScheduleTakesForFalseDoesNotStart(t *testing.T) {
	rules := hot + `
[rule.hot]
metric = "temperature"
above = 10
stale_after = "1d"
schedule = "work"
[schedule.work]
hours = ["00:00-14:10", "14:30-24:00"]
outside = "off"
`
	tell(t, rules, `
		12m d temperature=11
		31m d temperature=9`,
		"30m fired warning hot/d", "31m resolved warning hot/d")
	tell(t, rules, `
		12m d temperature=11
		20m d temperature=9
		31m d temperature=9`)
	tell(t, rules, `
		5m d temperature=11
		31m d temperature=9`,
		"5m fired warning hot/d", "10m resolved warning hot/d reason=schedule",
		"30m fired warning hot/d", "31m resolved warning hot/d")
}

func TestShelvingBeforehandIsRemembered(t *testing.T) {
	tell(t, hot+"[rule.hot]\nmetric = \"temperature\"\nabove = 10\n", `
		0s d temperature=5
		1m shelve hot/d 10m
		2m restart
		2m reload
		3m d temperature=11
		4m..12m/1m d temperature=11
		13m d temperature=9`,
		"11m fired warning hot/d delayed=8m",
		"13m resolved warning hot/d")
}

func TestWhoShelvesIsToldSo(t *testing.T) {
	tell(t, hot+"[rule.hot]\nmetric = \"temperature\"\nabove = 10\nrenotify = \"5m\"\n", `
		0s d temperature=11
		1m shelve hot/d 10m
		1m..13m/1m d temperature=11
		14m unshelve hot/d
		14m d temperature=11
		15m shelve hot/d 10m
		15m d temperature=11
		16m unshelve hot/d
		16m30s d temperature=9`,
		"0s fired warning hot/d",
		"1m shelved warning hot/d",
		"11m reminder warning hot/d n=1",
		"14m refused hot/d: is not shelved",
		"15m shelved warning hot/d",
		"16m unshelved warning hot/d",
		"16m reminder warning hot/d n=2",
		"16m30s resolved warning hot/d")
}

// What happens to an alarm while it is muted is told as it stands afterwards.
func TestWhatWorsensWhileMutedIsToldAfterwards(t *testing.T) {
	rules := hot + `
[rule.hot]
metric = "temperature"
above = 10
stale_after = "1d"
[rule.hot.level.critical]
above = 20
[maintenance.m]
from = 2026-11-06T14:10:00Z
to = 2026-11-06T14:30:00Z
`
	tell(t, rules, `
		5m d temperature=11
		15m d temperature=21
		40m d temperature=9`,
		"5m fired warning hot/d", "30m escalated critical hot/d", "40m resolved critical hot/d")
	tell(t, rules, `
		5m d temperature=11
		15m d temperature=21
		16m d temperature=11
		40m d temperature=9`,
		"5m fired warning hot/d", "40m resolved warning hot/d")
	tell(t, rules, `
		5m d temperature=21
		15m d temperature=11
		40m d temperature=9`,
		"5m fired critical hot/d", "30m deescalated warning hot/d", "40m resolved warning hot/d")
}

func TestAnEscalationWaitsWhileMuted(t *testing.T) {
	tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
stale_after = "1d"
[rule.hot.escalate.unacked]
after = "10m"
severity = "critical"
notify = ["oncall"]
[maintenance.m]
from = 2026-11-06T14:10:00Z
to = 2026-11-06T14:30:00Z
`, `
		5m d temperature=11
		40m d temperature=9`,
		"5m fired warning hot/d",
		"30m escalated critical hot/d reason=unacked to=oncall,ops", // it waited
		"40m resolved critical hot/d to=oncall,ops")
}

const floodRules = `
[rule.hot]
metric = "temperature"
above = 10
stale_after = "1d"
[rule.hot.level.critical]
above = 100
[flood]
start = { events = 3, within = "10m" }
stop = { events = 2, within = "10m" }
pass = ["critical"]
digest = "1m"
`

func TestAFloodIsToldInSummaries(t *testing.T) {
	tell(t, floodRules, `
		0s a temperature=11
		1s b temperature=11
		2s c temperature=11
		3s d temperature=11
		4s e temperature=11
		5s f temperature=111
		6s e temperature=9
		7s a temperature=9
		30m b temperature=9
		31m d temperature=9`,
		"0s fired warning hot/a",
		"1s fired warning hot/b",
		"2s fired warning hot/c",
		"5s fired critical hot/f", // never held back
		"4s fired warning hot/e muted=flood to=",
		"6s resolved warning hot/e muted=flood to=",
		"7s resolved warning hot/a",
		"1m3s flood flood=2/1",
		"11m3s flood flood=0/1 over",
		"11m3s fired warning hot/d delayed=11m",
		"30m resolved warning hot/b",
		"31m resolved warning hot/d")
	// All of it is over before the first summary: it is told nonetheless.
	tell(t, floodRules, `
		0s a temperature=11
		1s b temperature=11
		2s c temperature=11
		3s d temperature=11
		4s d temperature=9
		30m tick`,
		"0s fired warning hot/a",
		"1s fired warning hot/b",
		"2s fired warning hot/c",
		"3s fired warning hot/d muted=flood to=",
		"4s resolved warning hot/d muted=flood to=",
		"1m3s flood flood=1/0",
		"10m3s flood flood=0/0 over")
}

func TestAFloodGoesOnAfterARestart(t *testing.T) {
	s := newScene(t, floodRules)
	s.play("0s a temperature=11\n1s b temperature=11\n2s c temperature=11\n3s d temperature=11\n30s restart\n40s reload\n50s e temperature=11\n30m tick")
	s.expect(
		"0s fired warning hot/a",
		"1s fired warning hot/b",
		"2s fired warning hot/c",
		"1m3s flood flood=2/2",
		"10m3s flood flood=0/2 over",
		"10m3s fired warning hot/d delayed=10m",
		"10m3s fired warning hot/e delayed=9m13s")
}

// Who has not been told cannot have acknowledged: an escalation counts from then.
func TestAnEscalationCountsFromWhenItWasTold(t *testing.T) {
	tell(t, hotOnly+`
[rule.hot.escalate.unacked]
after = "10m"
severity = "critical"
[maintenance.m]
from = 2026-11-06T14:00:00Z
to = 2026-11-06T14:30:00Z
`, "5m d temperature=11\n50m d temperature=9",
		"30m fired warning hot/d delayed=25m", "40m escalated critical hot/d reason=unacked", "50m resolved critical hot/d")
}

func TestAReturnWhileMutedIsToldAfterwards(t *testing.T) {
	tell(t, hotOnly+"latch = true\n", `
		0s d temperature=11
		1m shelve hot/d 9m
		2m d temperature=1
		11m tick
		12m ack hot/d`,
		"0s fired warning hot/d", "1m shelved warning hot/d", "10m returned warning hot/d",
		"12m acked warning hot/d", "12m resolved warning hot/d reason=acked")
}

// One reading may end what mutes an alarm and be looked at by that alarm as well.
func TestTheReadingThatEndsWhatMutesAnAlarmHasItTold(t *testing.T) {
	const rules = hot + `
[rule.frozen]
metric = "temperature"
below = 0
[rule.odd]
when = "temperature > -10"
suppress_if = ["frozen"]
`
	tell(t, rules, `
		1m d temperature=-5
		2m d temperature=5
		3m..9m/1m d temperature=5`,
		"1m fired warning frozen/d",
		"2m resolved warning frozen/d", "2m fired warning odd/d delayed=1m")
}

// Cause and symptom are often in one message, or two limits of one reading. Which of
// them is looked at first is nobody's business.
func TestWhatMutesAnAlarmMayBeInTheSameMessage(t *testing.T) {
	const symptom = hot + `
[rule.hot]
metric = "temperature"
above = 10
suppress_if = ["%s"]
`
	t.Run("another metric", func(t *testing.T) {
		tell(t, fmt.Sprintf(symptom, "open")+`
[rule.open]
metric = "door"
is = "open"
notify = ["doors"]
`, `
			3m message d temperature=11 door=open
			4m message d temperature=9 door=shut
			5m message d temperature=11 door=shut`,
			"3m fired warning open/d to=doors",
			"3m fired warning hot/d muted=suppressed_by_open to=",
			"4m resolved warning hot/d muted=suppressed_by_open to=",
			"4m resolved warning open/d to=doors",
			"5m fired warning hot/d")
	})
	t.Run("the same reading", func(t *testing.T) {
		tell(t, fmt.Sprintf(symptom, "hotter")+`
[rule.hotter]
metric = "temperature"
above = 20
`, `
			1m d temperature=21
			2m d temperature=11
			3m d temperature=9`,
			"1m fired warning hotter/d",
			"2m resolved warning hotter/d", "2m fired warning hot/d delayed=1m",
			"3m resolved warning hot/d")
	})
}
